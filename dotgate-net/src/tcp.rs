//! TCP sockets as the workers need them: listeners for clients, streams to upstreams.
//!
//! Where a stream starts; reading and writing it is the program's. Everything made here is
//! non-blocking and closed on exec. It never waits: a connection in progress is handed out as it
//! is. RFC 7766 (DNS over TCP), RFC 7858 (towards upstreams).

mod accepting;
mod buffers;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

pub use self::accepting::{defer_until_data, has_waiting, is_of_one_connection};
use self::buffers::bound_buffers;
pub use self::buffers::{Buffered, buffered};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::egress::Egress;
use crate::presence::Presence;

/// The longest segment towards and from an upstream, in bytes: what every path carries, since the smallest MTU of
/// IPv6 is 1,280 bytes (RFC 8200 section 5), of which IP and TCP take 60. A path that drops longer packets and says
/// so to nobody (RFC 2923 section 2.1) would swallow handshakes.
const SEGMENT_BYTES: u32 = 1_220;

/// How long data towards an upstream may stay unacknowledged (RFC 5482; `TCP_USER_TIMEOUT`, tcp(7); Linux). Sessions are
/// judged by their responses long before. This is for connections that were closed on a path that swallows everything: the
/// system would continue sending what was not acknowledged, and keep memory and port, for minutes (`tcp_orphan_retries`).
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// The same towards a client, for whose responses the system would try for a quarter of an hour while the connection is open.
/// It is longer than a client may leave responses unread, which is judged first and has a reason that operators see.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_BY_CLIENT_MAX: Duration = Duration::from_secs(15);

/// Listens on `address`, non-blocking; an IPv6 listener takes IPv6 alone.
///
/// `share_port` sets `SO_REUSEPORT`, so that every worker has a listener of its own on one port
/// and the kernel spreads the connections. `backlog` is the number of connections that may wait
/// to be accepted; the kernel caps it (`net.core.somaxconn`). Accepted connections have bounded buffers,
/// send small writes at once, and fail when nothing is acknowledged for 15 seconds (Linux).
///
/// # Errors
/// `AddrInUse` where somebody else listens there (or shares the port while `share_port` is
/// false), `PermissionDenied` for a port below 1024 without the right, `AddrNotAvailable` for an
/// address that is not this machine's.
pub fn listen(address: SocketAddr, share_port: bool, backlog: i32) -> io::Result<TcpListener> {
    listen_when(address, share_port, backlog, Presence::Required)
}

/// The same, perhaps ahead of the address.
///
/// # Errors
/// As [`listen`], but for `AddrNotAvailable` where the system binds ahead.
pub fn listen_when(
    address: SocketAddr,
    share_port: bool,
    backlog: i32,
    presence: Presence,
) -> io::Result<TcpListener> {
    let socket = stream_socket(address)?;
    if share_port {
        socket.set_reuse_port(true)?;
    }
    prepare_listener(&socket)?;
    bind_stream(&socket, address, presence)?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Listens on a port that nobody else has, and shares it with listeners that are made afterwards.
///
/// # Errors
/// As [`listen_when`], and `AddrInUse` also where somebody shares the port.
pub fn listen_first(
    address: SocketAddr,
    backlog: i32,
    presence: Presence,
) -> io::Result<TcpListener> {
    let socket = stream_socket(address)?;
    prepare_listener(&socket)?;
    bind_stream(&socket, address, presence)?;
    socket.set_reuse_port(true)?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Takes a listener that another process of this program made, with the connections that wait there.
///
/// # Errors
/// `InvalidInput` for what is no listening TCP socket.
pub fn adopt(descriptor: OwnedFd) -> io::Result<TcpListener> {
    let socket = Socket::from(descriptor);
    if socket.r#type()? != Type::STREAM || !is_listener(&socket)? {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    prepare_listener(&socket)?;
    Ok(socket.into())
}

/// Whether a socket listens for connections.
///
/// # Errors
/// What the system says; it has no reason to refuse.
#[cfg(not(target_vendor = "apple"))]
pub fn is_listener(socket: &Socket) -> io::Result<bool> {
    socket.is_listener()
}

/// Whether a socket listens for connections: one that is bound and connected to nobody, since Apple's systems do not say.
///
/// # Errors
/// What the system says; it has no reason to refuse.
#[cfg(target_vendor = "apple")]
pub fn is_listener(socket: &Socket) -> io::Result<bool> {
    Ok(socket.local_addr().is_ok() && socket.peer_addr().is_err())
}

/// Fails if anybody, a second copy of this program included, has the UDP or TCP port of `address`.
///
/// Binds both without `SO_REUSEPORT` and closes them again. Call it before the first shared bind:
/// a copy started by mistake would otherwise take a part of the queries silently.
///
/// # Errors
/// `AddrInUse` where the UDP or the TCP port is taken; else what a bind there would fail with.
pub fn probe_bind(address: SocketAddr, presence: Presence) -> io::Result<()> {
    probe_bind_datagram(address, presence)?;
    probe_bind_stream(address, presence)
}

/// The same for a listener without TCP.
///
/// # Errors
/// As [`probe_bind`].
pub fn probe_bind_datagram(address: SocketAddr, presence: Presence) -> io::Result<()> {
    let datagrams = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        datagrams.set_only_v6(true)?;
    }
    presence.prepare(&datagrams, address)?;
    datagrams.bind(&SockAddr::from(address))
}

/// The same for a listener without UDP.
///
/// # Errors
/// As [`probe_bind`].
pub fn probe_bind_stream(address: SocketAddr, presence: Presence) -> io::Result<()> {
    bind_stream(&stream_socket(address)?, address, presence)
}

/// A descriptor that is good for nothing but to be closed when another one is needed: a socket without an address.
///
/// # Errors
/// The system's, as when the process has as many open as it may.
pub fn spare_descriptor() -> io::Result<OwnedFd> {
    Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).map(OwnedFd::from)
}

/// Starts to connect to `address` and returns at once, the handshake usually still in progress:
/// the stream becomes writable when it is done, and `take_error` then says how it went.
///
/// Small writes are sent at once (`TCP_NODELAY`): a turn's records are written together already.
/// Segments have at most 1,220 bytes, so that no path is too narrow for them.
///
/// # Errors
/// What the system refuses at once, for instance `NetworkUnreachable`, or what `egress` names that it refuses.
pub fn connect(address: SocketAddr, egress: &Egress) -> io::Result<TcpStream> {
    let socket = upstream_socket(address, egress)?;
    match socket.connect(&SockAddr::from(address)) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        Ok(()) | Err(_) => Ok(socket.into()),
    }
}

/// Connects to `address` as [`connect`] does, and waits for it, at most `wait`; the stream blocks.
///
/// # Errors
/// As [`connect`], and `TimedOut` after `wait`.
pub fn connect_within(
    address: SocketAddr,
    egress: &Egress,
    wait: Duration,
) -> io::Result<TcpStream> {
    let socket = upstream_socket(address, egress)?;
    // The stream blocks once this returns.
    socket.connect_timeout(&SockAddr::from(address), wait)?;
    Ok(socket.into())
}

fn upstream_socket(address: SocketAddr, egress: &Egress) -> io::Result<Socket> {
    let socket = stream_socket(address)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_mss(SEGMENT_BYTES)?;
    #[cfg(target_os = "linux")]
    bound_unacknowledged(&socket, UNACKNOWLEDGED_MAX)?;
    egress.apply(&socket, address)?;
    Ok(socket)
}

/// Sets what connections that this listener accepts inherit.
fn prepare_listener(socket: &Socket) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    bound_unacknowledged(socket, UNACKNOWLEDGED_BY_CLIENT_MAX)?;
    bound_buffers(socket)
}

/// Other systems have options of their own for this, or none.
#[cfg(target_os = "linux")]
fn bound_unacknowledged(socket: &Socket, max: Duration) -> io::Result<()> {
    if dotgate_wire::planted!("unacknowledged-data-has-no-timeout") {
        return Ok(());
    }
    socket.set_tcp_user_timeout(Some(max))
}

fn stream_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Binds so that connections of an earlier run in TIME_WAIT do not stand in the way.
fn bind_stream(socket: &Socket, address: SocketAddr, presence: Presence) -> io::Result<()> {
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    presence.prepare(socket, address)?;
    socket.bind(&SockAddr::from(address))
}

#[cfg(test)]
mod tests;
