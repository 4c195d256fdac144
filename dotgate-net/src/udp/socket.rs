//! A worker's UDP socket and its options.
//!
//! Made once per listen address and worker. Reading and writing are in `receive` and `send`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::control::ipv4;
use crate::option;
use crate::presence::Presence;

/// How to bind a [`UdpSocket`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BindOptions {
    /// Sets `SO_REUSEPORT`: every worker has a socket of its own on one port, and the kernel
    /// spreads the datagrams by their source and destination. A port that the system chooses is one
    /// that no other socket has at that moment.
    pub share_port: bool,
    /// The receive buffer to ask for, in bytes; 0 leaves the system's default. The kernel
    /// charges a small datagram about 800 bytes, and caps the buffer (`net.core.rmem_max`).
    pub receive_buffer_bytes: usize,
}

/// A bound UDP socket, non-blocking and closed on exec.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
}

impl UdpSocket {
    /// Binds to `address`; an IPv6 socket takes IPv6 alone.
    ///
    /// On an unspecified address every datagram is received with the address it came to. Datagrams
    /// leave unfragmented, and what an ICMP message claims about the path is not believed
    /// (`IP_PMTUDISC_PROBE`): a forged one would make fragments, which can be forged in turn.
    ///
    /// # Errors
    /// `AddrInUse` where somebody has the port (or shares it while `share_port` is false),
    /// `PermissionDenied` for a port below 1024 without the right, `AddrNotAvailable` for an
    /// address that is not this machine's.
    pub fn bind(address: SocketAddr, options: &BindOptions) -> io::Result<UdpSocket> {
        Self::bind_when(address, options, Presence::Required)
    }

    /// The same, perhaps ahead of the address.
    ///
    /// # Errors
    /// As [`UdpSocket::bind`], but for `AddrNotAvailable` where the system binds ahead.
    pub fn bind_when(
        address: SocketAddr,
        options: &BindOptions,
        presence: Presence,
    ) -> io::Result<UdpSocket> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        socket.set_nonblocking(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Linux chooses among the ports that are free or may be shared: a socket that shares already could get
        // the port of another program.
        let is_chosen = address.port() == 0;
        if options.share_port && !is_chosen {
            socket.set_reuse_port(true)?;
        }
        if options.receive_buffer_bytes > 0 {
            socket.set_recv_buffer_size(options.receive_buffer_bytes)?;
        }
        set_options(&socket, address)?;
        presence.prepare(&socket, address)?;
        socket.bind(&SockAddr::from(address))?;
        if options.share_port && is_chosen {
            socket.set_reuse_port(true)?;
        }
        Ok(UdpSocket { socket })
    }

    /// Takes a socket that another process of this program bound, or that was prepared, with its queue and all options but its receive
    /// buffer, which becomes the one of `options`.
    ///
    /// # Errors
    /// `InvalidInput` for what is no UDP socket, bound and shared as `options` say.
    pub fn adopt(descriptor: OwnedFd, options: &BindOptions) -> io::Result<UdpSocket> {
        let socket = Socket::from(descriptor);
        let is_ours = socket.r#type()? == Type::DGRAM && socket.reuse_port()? == options.share_port;
        if !is_ours || socket.local_addr()?.as_socket().is_none() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if options.receive_buffer_bytes > 0 {
            socket.set_recv_buffer_size(options.receive_buffer_bytes)?;
        }
        Ok(UdpSocket { socket })
    }

    /// Returns a second descriptor of the same socket, which stays open until both are closed.
    ///
    /// # Errors
    /// Where the system has no descriptor left.
    pub fn second_descriptor(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone().map(OwnedFd::from)
    }

    /// Returns the address bound to, the port included where the system chose it.
    ///
    /// # Errors
    /// What the system says; it has no reason to refuse.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Returns the effective receive buffer in bytes, comparable to what was asked for: Linux
    /// doubles the number for its own bookkeeping, and this is the half without it.
    ///
    /// # Errors
    /// What the system says; it has no reason to refuse.
    pub fn receive_buffer_bytes(&self) -> io::Result<usize> {
        let reported = self.socket.recv_buffer_size()?;
        Ok(if cfg!(target_os = "linux") {
            reported / 2
        } else {
            reported
        })
    }

    /// Returns how many datagrams the kernel has dropped because the receive buffer was full, since the
    /// socket was made, modulo 2^32. None where the system does not report it (Linux does since 4.12).
    pub fn dropped_datagrams(&self) -> Option<u32> {
        dropped_datagrams(&self.socket)
    }

    /// Makes believe that a stream is a datagram socket.
    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn over_stream(stream: std::net::TcpStream) -> UdpSocket {
        UdpSocket {
            socket: stream.into(),
        }
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Numbers that `SO_MEMINFO` tells, and the place of the drops among them (linux/sock_diag.h).
#[cfg(target_os = "linux")]
const MEMINFO_NUMBERS: usize = 9;
#[cfg(target_os = "linux")]
const MEMINFO_DROPS: usize = 8;

#[cfg(target_os = "linux")]
fn dropped_datagrams(socket: &Socket) -> Option<u32> {
    let mut numbers = [0_u32; MEMINFO_NUMBERS];
    let mut length = size_of_val(&numbers) as libc::socklen_t;
    // SAFETY: the descriptor is open while `socket` lives; the kernel writes at most `length` bytes into
    // `numbers`, in which every pattern of bits is a value, and the length it wrote into `length`.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let is_whole = outcome == 0 && length as usize == size_of_val(&numbers);
    is_whole.then_some(numbers[MEMINFO_DROPS])
}

#[cfg(not(target_os = "linux"))]
fn dropped_datagrams(_: &Socket) -> Option<u32> {
    None
}

/// Gives a socket that another program bound to `address` what [`UdpSocket::adopt`] expects, and what `bind` sets.
pub(crate) fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    socket.set_reuse_port(true)?;
    set_options(socket, address)
}

fn set_options(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.ip().is_unspecified() {
        report_destination_address(socket, address)?;
    }
    never_fragment(socket, address)
}

fn report_destination_address(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => option::set(socket, libc::IPPROTO_IP, ipv4::DESTINATION, 1),
        SocketAddr::V6(_) => option::set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

#[cfg(target_os = "linux")]
fn never_fragment(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    let (level, name, value) = match address {
        SocketAddr::V4(_) => (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_PROBE,
        ),
        SocketAddr::V6(_) => (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_PROBE,
        ),
    };
    option::set(socket, level, name, value)
}

/// Other systems keep no path MTU for UDP that an ICMP message could lower.
#[cfg(not(target_os = "linux"))]
fn never_fragment(_: &Socket, _: SocketAddr) -> io::Result<()> {
    Ok(())
}
