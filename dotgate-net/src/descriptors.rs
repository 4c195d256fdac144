//! Open sockets handed from one process to another, over a Unix socket (`SCM_RIGHTS`, unix(7)).
//!
//! Not on the path of a query: a new process gets its listeners so from the one it replaces. A descriptor travels
//! with bytes of its sender; this module says neither what they mean nor who may ask. At most `DESCRIPTORS_MAX`
//! arrive in one read. The calls are rustix's safe ones: alignment and lengths of control messages are its affair.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// Descriptors that one read may bring; one write sends one.
const DESCRIPTORS_MAX: usize = 4;

/// Sends `bytes`, and with the first of them a descriptor, which stays open here. Waits for room as `stream` does.
///
/// # Errors
/// Those of the system; `WriteZero` where not all of it was taken.
pub fn send(stream: impl AsFd, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    // The room was measured for one.
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let vectors = [IoSlice::new(bytes)];
    let sent = rustix::net::sendmsg(stream, &vectors, &mut control, SendFlags::empty())?;
    if sent < bytes.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(())
}

/// Receives bytes into `buffer`, appends descriptors that came with them to `received`, and returns the number of
/// bytes; 0 is the end. Descriptors are closed on exec.
///
/// # Errors
/// Those of the system.
pub fn receive(
    stream: &UnixStream,
    buffer: &mut [u8],
    received: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut vectors = [IoSliceMut::new(buffer)];
    let message = rustix::net::recvmsg(stream, &mut vectors, &mut control, close_on_exec())?;
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            received.extend(descriptors);
        }
    }
    Ok(message.bytes)
}

/// The effective user of this process.
#[must_use]
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The user of the process at the other end, or of the one that began to listen there.
///
/// # Errors
/// Those of the system.
#[cfg(target_os = "linux")]
pub fn peer_user(stream: &UnixStream) -> io::Result<u32> {
    let credentials = rustix::net::sockopt::socket_peercred(stream)?;
    Ok(credentials.uid.as_raw())
}

/// The user of the process at the other end, or of the one that began to listen there.
///
/// # Errors
/// Those of the system.
#[cfg(not(target_os = "linux"))]
pub fn peer_user(stream: &UnixStream) -> io::Result<u32> {
    use std::os::fd::AsRawFd as _;
    let (mut user, mut group) = (0, 0);
    // SAFETY: the descriptor is open as long as `stream` is borrowed, and both results are valid for writes.
    let result = unsafe { libc::getpeereid(stream.as_raw_fd(), &mut user, &mut group) };
    if result == 0 {
        Ok(user)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(target_os = "linux")]
fn close_on_exec() -> RecvFlags {
    RecvFlags::CMSG_CLOEXEC
}

/// There is no such flag elsewhere; a server executes nothing.
#[cfg(not(target_os = "linux"))]
fn close_on_exec() -> RecvFlags {
    RecvFlags::empty()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::{BindOptions, ReceiveBatch, UdpPath, UdpSocket, tcp};

    const OPTIONS: BindOptions = BindOptions {
        share_port: true,
        receive_buffer_bytes: 0,
    };

    fn handed_over(descriptor: BorrowedFd<'_>) -> OwnedFd {
        let (here, there) = UnixStream::pair().unwrap();
        send(&here, b"one\n", descriptor).unwrap();
        let (mut buffer, mut received) = ([0; 16], Vec::new());
        assert_eq!(receive(&there, &mut buffer, &mut received).unwrap(), 4);
        assert_eq!((&buffer[..4], received.len()), (&b"one\n"[..], 1));
        drop(here);
        assert_eq!(receive(&there, &mut buffer, &mut received).unwrap(), 0);
        received.pop().unwrap()
    }

    #[test]
    fn the_process_at_the_other_end_is_of_its_user() {
        let (here, _there) = UnixStream::pair().unwrap();
        assert_eq!(peer_user(&here).unwrap(), own_user());
    }

    #[test]
    fn a_socket_handed_over_keeps_its_queue_when_its_first_owner_closes_it() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let first = UdpSocket::bind(address, &OPTIONS).unwrap();
        let bound = first.local_addr().unwrap();
        let client = std::net::UdpSocket::bind(address).unwrap();
        client.send_to(b"queued", bound).unwrap();
        let second = first.second_descriptor().unwrap();
        let second = UdpSocket::adopt(handed_over(second.as_fd()), &OPTIONS).unwrap();
        drop(first);
        assert_eq!(second.local_addr().unwrap(), bound);
        let mut batch = ReceiveBatch::new(UdpPath::default());
        assert_eq!(batch.receive(&second).unwrap(), 1);
        let datagrams: Vec<_> = batch.datagrams().map(|it| it.bytes.to_vec()).collect();
        assert_eq!(datagrams, [b"queued"]);
    }

    #[test]
    fn a_listener_handed_over_keeps_the_connections_that_wait() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let first = tcp::listen(address, true, 16).unwrap();
        let client = std::net::TcpStream::connect(first.local_addr().unwrap()).unwrap();
        let second = tcp::adopt(handed_over(first.as_fd())).unwrap();
        drop(first);
        let (_, peer) = second.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    }

    #[test]
    fn what_is_no_listening_socket_is_not_adopted() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = tcp::listen(address, true, 16).unwrap();
        let datagrams = UdpSocket::bind(address, &OPTIONS).unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(tcp::adopt(client.into()).is_err());
        assert!(tcp::adopt(datagrams.second_descriptor().unwrap()).is_err());
        assert!(UdpSocket::adopt(listener.into(), &OPTIONS).is_err());
    }
}
