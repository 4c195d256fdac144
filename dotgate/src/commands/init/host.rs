//! What `dotgate init` looks at: the resolvers of the network, systemd-resolved, IPv6, and port 53.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

/// The file that programs read.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What systemd-resolved learned from the network; the file that programs read then names itself alone.
const RESOLVED_CONF: &str = "/run/systemd/resolve/resolv.conf";

/// Where the unit of dotgate is, once it is installed.
const UNITS: [&str; 3] = [
    "/etc/systemd/system/dotgate.service",
    "/usr/lib/systemd/system/dotgate.service",
    "/lib/systemd/system/dotgate.service",
];

/// An address of the Internet, to which nothing is sent.
const ELSEWHERE: SocketAddr = SocketAddr::new(
    IpAddr::V6(Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe)),
    853,
);

/// Whether port 53 of the loopback address can be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Port {
    Free,
    /// Another server has it.
    Taken,
    /// This user may not have it.
    Denied,
}

/// A host, as far as a first configuration depends on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Host {
    pub(super) network: Network,
    pub(super) has_resolved: bool,
    /// Whether `::1` can be listened on.
    pub(super) has_ipv6_loopback: bool,
    /// Whether there is a way to the Internet over IPv6.
    pub(super) has_ipv6_route: bool,
    pub(super) port: Port,
    /// Whether dotgate is installed as a service of systemd.
    pub(super) has_unit: bool,
}

/// What the network announced.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Network {
    /// Its resolvers with private addresses: those that may know names of its own.
    pub(super) resolvers: Vec<IpAddr>,
    /// Domains of its own.
    pub(super) domains: Vec<String>,
}

impl Host {
    /// Looks at this host. What cannot be read is not there.
    pub(super) fn look() -> Host {
        let has_resolved = Path::new(RESOLVED_CONF).exists();
        let path = if has_resolved {
            RESOLVED_CONF
        } else {
            RESOLV_CONF
        };
        let announced = fs::read_to_string(path).unwrap_or_default();
        let is_bound = |address| UdpSocket::bind(address).ok();
        let unspecified = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        Host {
            network: Network::read(&announced),
            has_resolved,
            has_ipv6_loopback: is_bound(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))).is_some(),
            // Looks for a route, and sends nothing.
            has_ipv6_route: is_bound(unspecified).is_some_and(|it| it.connect(ELSEWHERE).is_ok()),
            port: Port::look(),
            has_unit: UNITS.iter().any(|path| Path::new(path).exists()),
        }
    }
}

impl Port {
    fn look() -> Port {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
        let bound = UdpSocket::bind(address).and_then(|_| TcpListener::bind(address));
        match bound {
            Ok(_) => Port::Free,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Port::Denied,
            Err(_) => Port::Taken,
        }
    }
}

impl Network {
    /// Reads a file as resolv.conf(5) describes it. Names that could not stand in the file of settings are passed over.
    fn read(text: &str) -> Network {
        let mut network = Network::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let resolver = words.next().and_then(|it| it.parse().ok());
                    network.resolvers.extend(resolver.filter(is_private));
                }
                // The last of these lines holds.
                Some("search" | "domain") => {
                    let domains = words.map(|it| it.trim_matches('.'));
                    let domains = domains.filter(|it| is_plain_name(it));
                    network.domains = domains.map(str::to_ascii_lowercase).collect();
                }
                Some(_) | None => {}
            }
        }
        network
    }
}

fn is_private(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

fn is_plain_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.len() <= 253 && name.bytes().all(is_plain) && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_of_the_network_and_its_domains_are_found() {
        let network = Network::read(
            "# comment\nnameserver 192.168.1.1\nnameserver 9.9.9.9\nnameserver fd00::1\nnameserver fe80::1%eth0\n\
             nameserver\nnameserver 127.0.0.1\nsearch old.test\nsearch Fritz.Box. lan bad\"name a..b .\noptions edns0\n",
        );
        assert_eq!(
            network.resolvers,
            ["192.168.1.1", "fd00::1"].map(|it| it.parse::<IpAddr>().unwrap())
        );
        assert_eq!(network.domains, ["fritz.box", "lan"]);
        assert_eq!(
            Network::read("\u{0}\u{fffd}nameserver\n"),
            Network::default()
        );
    }
}
