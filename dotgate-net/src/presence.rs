//! Addresses that this host does not have yet: late DHCP, an IPv6 address still in duplicate detection, a VPN.
//!
//! Not on the path of a query. A socket can be bound ahead of its address (`IP_FREEBIND`, ip(7); Linux) and receives
//! from the moment at which the address is there; where the system cannot do that, one has to try again later.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// When a socket may be bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// While the host has the address.
    Required,
    /// Whether or not the host has the address.
    Ahead,
}

impl Presence {
    /// Sets what `socket`, which is to be bound to `address`, needs for this.
    pub(crate) fn prepare(self, socket: &Socket, address: SocketAddr) -> io::Result<()> {
        match self {
            Presence::Required => Ok(()),
            Presence::Ahead => allow_ahead(socket, address),
        }
    }
}

#[cfg(target_os = "linux")]
fn allow_ahead(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true),
        SocketAddr::V6(_) => socket.set_freebind_v6(true),
    }
}

/// Other systems have other options for this, with other rights.
#[cfg(not(target_os = "linux"))]
fn allow_ahead(_: &Socket, _: SocketAddr) -> io::Result<()> {
    Err(ErrorKind::AddrNotAvailable.into())
}

/// Whether an error of binding says that the host does not have the address now, which may change: no such address,
/// no such interface, or no such family of addresses.
#[must_use]
pub fn is_absence(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable
        || matches!(
            error.raw_os_error(),
            Some(libc::EAFNOSUPPORT | libc::ENODEV)
        )
}

/// Makes sure that this host has an address now, whatever its port.
///
/// # Errors
/// Those of binding a socket to it; [`is_absence`] tells those that may pass.
pub fn look_for(mut address: SocketAddr) -> io::Result<()> {
    address.set_port(0);
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&SockAddr::from(address))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::{BindOptions, UdpSocket, tcp};

    /// Of a network for documentation (RFC 5737, RFC 3849), which no host has.
    const ABSENT: [&str; 2] = ["192.0.2.77:0", "[2001:db8::77]:0"];

    const OPTIONS: BindOptions = BindOptions {
        share_port: true,
        receive_buffer_bytes: 0,
    };

    #[test]
    fn an_address_that_is_not_there_can_be_bound_ahead_alone() {
        for address in ABSENT.map(|text| text.parse::<SocketAddr>().unwrap()) {
            assert!(is_absence(&look_for(address).unwrap_err()));
            let required = Presence::Required;
            let error = UdpSocket::bind_when(address, &OPTIONS, required).unwrap_err();
            assert!(is_absence(&error), "{error}");
            let error = tcp::listen_when(address, true, 8, required).unwrap_err();
            assert!(is_absence(&error), "{error}");
            let ahead = Presence::Ahead;
            let udp = UdpSocket::bind_when(address, &OPTIONS, ahead).unwrap();
            let bound = udp.local_addr().unwrap();
            assert_eq!(bound.ip(), address.ip());
            tcp::listen_when(bound, true, 8, ahead).unwrap();
        }
        for here in ["127.0.0.1:0", "0.0.0.0:0"] {
            look_for(here.parse().unwrap()).unwrap();
        }
    }

    #[test]
    fn a_port_that_is_taken_is_seen_ahead_of_its_address() {
        let address: SocketAddr = ABSENT[0].parse().unwrap();
        let own = BindOptions {
            share_port: false,
            ..OPTIONS
        };
        let udp = UdpSocket::bind_when(address, &own, Presence::Ahead).unwrap();
        let taken = udp.local_addr().unwrap();
        let error = tcp::probe_bind(taken, Presence::Ahead).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(!is_absence(&error));
    }
}
