//! What the kernel may buffer for a client's connection, and what it does buffer.
//!
//! By default it lets one connection's send buffer grow to 4 MiB (`net.ipv4.tcp_wmem`) and its receive buffer to 6 MiB,
//! which a memory cgroup is charged for: a client that reads nothing could take that much with every connection.

use std::io;
use std::os::fd::AsFd;

use socket2::Socket;

/// The send buffer to ask for, in bytes; Linux takes twice that, to count its own overhead.
const SEND_BUFFER_BYTES: usize = 32 * 1024;

/// The receive buffer to ask for, in bytes. Twice that is what Linux starts with anyway; asking ends its growth.
const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;

/// Bytes that the kernel has not sent yet at which it takes no more: they can as well stay in dotgate, where they are
/// counted.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 16 * 1024;

/// Bounds the buffers of all connections that this listener accepts from now on, and has their responses sent at once
/// (`TCP_NODELAY`): a turn's responses are written together already.
pub(super) fn bound_buffers(listener: &Socket) -> io::Result<()> {
    listener.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    listener.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    listener.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    listener.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    Ok(())
}

/// What the kernel buffers for a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Buffered {
    /// What its buffers take, in bytes as it counts them, both ways.
    pub bytes: usize,
    /// Whether it has bytes that the peer has not acknowledged.
    pub is_sending: bool,
    /// How many bytes the peer has acknowledged in all, while there are some that it has not; 0 where an old kernel does not
    /// tell.
    pub acknowledged: u64,
}

/// What the kernel buffers for a connection now. None where the system does not report it.
#[cfg(target_os = "linux")]
pub fn buffered(stream: impl AsFd) -> Option<Buffered> {
    // The places in what SO_MEMINFO writes (linux/sock_diag.h): received, reserved, queued to be sent.
    const RECEIVED: usize = 0;
    const RESERVED: usize = 4;
    const QUEUED: usize = 5;
    const WORDS: usize = 9;
    // The place of tcpi_bytes_acked, of eight bytes, in what TCP_INFO writes (linux/tcp.h), counted in words.
    const ACKNOWLEDGED: usize = 30;
    const INFO_WORDS: usize = 32;

    let memory = option::<WORDS>(&stream, libc::SOL_SOCKET, libc::SO_MEMINFO)?;
    let counted = [RECEIVED, RESERVED, QUEUED].map(|place| memory[place] as usize);
    let is_sending = memory[QUEUED] > 0;
    // What was acknowledged says whether a client takes what is sent to it, and is expensive to know.
    let info = is_sending.then(|| option::<INFO_WORDS>(&stream, libc::IPPROTO_TCP, libc::TCP_INFO));
    let info = info.flatten().unwrap_or([0; INFO_WORDS]);
    let acknowledged = [info[ACKNOWLEDGED], info[ACKNOWLEDGED + 1]].map(u32::to_ne_bytes);
    let acknowledged = acknowledged.as_flattened().try_into();
    Some(Buffered {
        bytes: counted.iter().sum(),
        is_sending,
        acknowledged: acknowledged.map_or(0, u64::from_ne_bytes),
    })
}

/// Reads an option of words; those that the kernel does not write are 0.
#[cfg(target_os = "linux")]
fn option<const WORDS: usize>(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
) -> Option<[u32; WORDS]> {
    use std::os::fd::AsRawFd;

    let mut words = [0_u32; WORDS];
    let mut length = size_of_val(&words) as libc::socklen_t;
    let descriptor = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most `length` bytes to `words`, which has as many, and keeps no pointer.
    let outcome = unsafe {
        libc::getsockopt(
            descriptor,
            level,
            name,
            words.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    (outcome == 0).then_some(words)
}

/// What the kernel buffers for a connection now. None where the system does not report it.
#[cfg(not(target_os = "linux"))]
pub fn buffered(_: impl AsFd) -> Option<Buffered> {
    None
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Ipv4Addr, SocketAddr, TcpStream};

    use super::*;
    use crate::tcp::listen;

    /// A connection that was accepted, and its client.
    fn connection() -> (TcpStream, TcpStream) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = listen(address, false, 16).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = loop {
            match listener.accept() {
                Ok((accepted, _)) => break accepted,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        };
        accepted.set_nonblocking(true).unwrap();
        (accepted, client)
    }

    #[test]
    fn accepted_connections_inherit_what_the_listener_was_given() {
        let (accepted, _client) = connection();
        assert!(accepted.nodelay().unwrap());
        let socket = socket2::SockRef::from(&accepted);
        assert!(socket.send_buffer_size().unwrap() <= 2 * SEND_BUFFER_BYTES);
        assert!(socket.recv_buffer_size().unwrap() <= 2 * RECEIVE_BUFFER_BYTES);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_takes_little_for_a_client_that_does_not_read_and_says_how_much() {
        let (mut accepted, mut client) = connection();
        let before = buffered(&accepted).unwrap();
        assert!(!before.is_sending);
        let mut taken = 0;
        // What the client's own receive buffer takes is more than ours; it is not charged to us.
        let outcome = loop {
            match accepted.write(&[7; 64 * 1024]) {
                Ok(length) => taken += length,
                Err(error) => break error.kind(),
            }
            assert!(taken < 64 << 20, "it takes without end");
        };
        assert_eq!(outcome, ErrorKind::WouldBlock);
        let full = buffered(&accepted).unwrap();
        assert!(full.is_sending && full.bytes > before.bytes);
        // The last segment may go beyond the bound.
        assert!(full.bytes <= 4 * SEND_BUFFER_BYTES, "{full:?}");
        assert!(full.acknowledged > 0 && full.acknowledged < taken as u64);
        let mut rest = vec![0; taken];
        client.read_exact(&mut rest).unwrap();
        // Acknowledgements may still be on their way.
        while buffered(&accepted).unwrap().is_sending {
            std::thread::yield_now();
        }
    }
}
