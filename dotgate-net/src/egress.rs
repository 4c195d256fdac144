//! Where a connection or query to an upstream leaves this host: source address, interface, routing mark.
//!
//! Used where a socket to an upstream is made. A host with several uplinks, a VPN or policy routing needs these; without
//! them the system's routing table decides. Nothing is verified ahead: an address or interface may come and go while the
//! program runs, so each socket reports what its system calls report.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{SockAddr, Socket};

/// What the socket to an upstream is bound to. The default leaves all of it to the system.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Egress {
    /// The source address. It must be of the upstream's address family.
    pub source: Option<IpAddr>,
    /// The only interface that packets leave through and arrive from (`SO_BINDTODEVICE`, socket(7); Linux).
    pub interface: Option<String>,
    /// The mark of each packet, for policy routing and packet filters (`SO_MARK`, socket(7); Linux). Needs CAP_NET_ADMIN.
    pub mark: Option<u32>,
}

/// What could not be set, as the text of an [`io::Error`] whose kind is that of the system's.
#[derive(Debug)]
struct Refused {
    what: String,
    error: io::Error,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.error)
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl Egress {
    /// Binds `socket`, which is to be connected to `target`.
    ///
    /// # Errors
    /// The system's, with the setting it is about in its text: `AddrNotAvailable` for a source address that this host does
    /// not have, `NotFound` for an interface that is not there, `PermissionDenied` for a mark without the capability.
    pub(crate) fn apply(&self, socket: &Socket, target: SocketAddr) -> io::Result<()> {
        if let Some(mark) = self.mark {
            set_mark(socket, mark).map_err(|error| refused(format!("mark {mark}"), error))?;
        }
        if let Some(name) = &self.interface {
            bind_to_interface(socket, name)
                .map_err(|error| refused(format!("interface {name}"), error))?;
        }
        if let Some(source) = self.source {
            // An IPv6 link-local source needs the zone, which is that of the target.
            let mut address = SocketAddr::new(source, 0);
            if let (SocketAddr::V6(address), SocketAddr::V6(target)) = (&mut address, target) {
                address.set_scope_id(target.scope_id());
            }
            socket
                .bind(&SockAddr::from(address))
                .map_err(|error| refused(format!("source {source}"), error))?;
        }
        Ok(())
    }
}

fn refused(what: String, error: io::Error) -> io::Error {
    let kind = match error.raw_os_error() {
        Some(libc::ENODEV) => io::ErrorKind::NotFound,
        _ => error.kind(),
    };
    io::Error::new(kind, Refused { what, error })
}

#[cfg(target_os = "linux")]
fn set_mark(socket: &Socket, mark: u32) -> io::Result<()> {
    socket.set_mark(mark)
}

#[cfg(target_os = "linux")]
fn bind_to_interface(socket: &Socket, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

/// Only Linux has it.
#[cfg(not(target_os = "linux"))]
fn set_mark(_: &Socket, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Other systems have other options for this.
#[cfg(not(target_os = "linux"))]
fn bind_to_interface(_: &Socket, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, UdpSocket};

    use super::*;
    use crate::{tcp, udp};

    fn from(source: impl Into<IpAddr>) -> Egress {
        Egress {
            source: Some(source.into()),
            ..Egress::default()
        }
    }

    #[test]
    fn connections_and_queries_leave_from_the_source_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let mut stream = tcp::connect(target, &from([127, 0, 0, 9])).unwrap();
        let (mut accepted, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip().to_string(), "127.0.0.9");
        stream.set_nonblocking(false).unwrap();
        accepted.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();

        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = server.local_addr().unwrap();
        let client = udp::connect(target, &from([127, 0, 0, 9])).unwrap();
        client.send(b"x").unwrap();
        let (_, peer) = server.recv_from(&mut [0; 8]).unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(peer.ip().to_string(), "127.0.0.9");
    }

    #[test]
    fn what_cannot_be_set_is_named() {
        let target: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let absent = tcp::connect(target, &from([192, 0, 2, 77])).unwrap_err();
        assert_eq!(absent.kind(), ErrorKind::AddrNotAvailable);
        assert!(
            absent.to_string().starts_with("source 192.0.2.77: "),
            "{absent}"
        );

        let other_family = udp::connect(target, &from([0, 0, 0, 0, 0, 0, 0, 1_u16])).unwrap_err();
        assert!(
            other_family.to_string().starts_with("source ::1: "),
            "{other_family}"
        );

        let interface = Egress {
            interface: Some("no-such-if".to_owned()),
            ..Egress::default()
        };
        let missing = udp::connect(target, &interface).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(
            missing.to_string().starts_with("interface no-such-if: "),
            "{missing}"
        );
    }
}
