//! A UDP socket for one query to a plain upstream.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::egress::Egress;

/// Makes a non-blocking socket that sends to `address` and takes datagrams from there alone. Connecting it has the kernel
/// pick a random port that no other socket has, and pass on what ICMP says of what was sent.
///
/// # Errors
/// The system's: no descriptor left, no route (`NetworkUnreachable`), no port left (`AddrNotAvailable`), or what `egress` names that
/// it refuses.
pub fn connect(address: SocketAddr, egress: &Egress) -> io::Result<UdpSocket> {
    let socket = make(Domain::for_address(address))?;
    egress.apply(&socket, address)?;
    socket.connect(&SockAddr::from(address))?;
    Ok(socket.into())
}

/// With a single system call: a query to a plain upstream has one of these each.
#[cfg(not(target_vendor = "apple"))]
fn make(domain: Domain) -> io::Result<Socket> {
    Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))
}

/// Apple's systems have no flag for it.
#[cfg(target_vendor = "apple")]
fn make(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
