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
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking(),
        Some(Protocol::UDP),
    )?;
    egress.apply(&socket, address)?;
    socket.connect(&SockAddr::from(address))?;
    Ok(socket.into())
}
