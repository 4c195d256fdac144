//! IP addresses and prefixes as settings hold them.
//! It is under the kinds of value, which make lists of them.
//! Never resolves a DNS name. A zone (RFC 4007 section 11) is the number or the name of an interface, as `ip link`
//! shows them; a name becomes a number when a socket needs it, since interfaces come and go.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use dotgate_net::interfaces;
use ipnet::IpNet;
use thiserror::Error;

use super::fault::Fault;
use super::numbers::digits;

/// The longest name of an interface, in bytes (`IFNAMSIZ` without the zero).
const INTERFACE_NAME_MAX: usize = 15;

/// An IP address, with its interface if it is an IPv6 link-local one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedAddress {
    ip: IpAddr,
    zone: Zone,
}

/// The interface of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Zone {
    /// None: the address is not link-local.
    None,
    /// By number, above 0.
    Number(u32),
    /// By name.
    Name(Box<str>),
}

impl ScopedAddress {
    /// Returns the address without its interface.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Returns the address with a port.
    pub fn with_port(self, port: u16) -> ScopedSocketAddress {
        ScopedSocketAddress {
            address: self,
            port,
        }
    }
}

/// As it was written.
impl fmt::Display for ScopedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = self.ip;
        match &self.zone {
            Zone::None => write!(f, "{ip}"),
            Zone::Number(number) => write!(f, "{ip}%{number}"),
            Zone::Name(name) => write!(f, "{ip}%{name}"),
        }
    }
}

impl FromStr for ScopedAddress {
    type Err = Fault;

    /// Reads `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]`, `fe80::1%2` or `fe80::1%eth0`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let not_an_address = || Fault::NotAnAddress {
            item: text.to_owned(),
        };
        let bracketed = text
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'));
        let bare = bracketed.unwrap_or(text);
        let (address, zone) = match bare.split_once('%') {
            Some((address, zone)) => (address, Some(zone)),
            None => (bare, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| not_an_address())?;
        if bracketed.is_some() && ip.is_ipv4() {
            return Err(not_an_address());
        }
        let link_local = match ip {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        let zone = match (zone, link_local) {
            (None, false) => Zone::None,
            (None, true) => {
                return Err(Fault::NoZone {
                    item: bare.to_owned(),
                });
            }
            (Some(_), false) => {
                return Err(Fault::NeedlessZone {
                    item: bare.to_owned(),
                });
            }
            (Some(zone), true) => read_zone(zone).ok_or_else(not_an_address)?,
        };
        Ok(Self { ip, zone })
    }
}

fn read_zone(text: &str) -> Option<Zone> {
    if let Some(number) = digits(text) {
        let number = number.parse().ok().filter(|number| *number != 0)?;
        return Some(Zone::Number(number));
    }
    is_interface_name(text).then(|| Zone::Name(text.into()))
}

/// Whether an interface can be called so: what Linux allows, without what separates things in settings.
pub fn is_interface_name(text: &str) -> bool {
    let fits = (1..=INTERFACE_NAME_MAX).contains(&text.len());
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"/:%,;@#[]\"'".contains(&byte);
    fits && text.bytes().all(is_allowed) && text != "." && text != ".."
}

/// An IP address with its interface, if it needs one, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedSocketAddress {
    address: ScopedAddress,
    port: u16,
}

/// An address is of an interface that this host does not have now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the interface {0} does not exist")]
pub struct NoInterface(Box<str>);

impl From<NoInterface> for io::Error {
    fn from(error: NoInterface) -> io::Error {
        io::Error::new(ErrorKind::AddrNotAvailable, error)
    }
}

impl ScopedSocketAddress {
    /// Returns the address, with its interface.
    pub(crate) fn host(&self) -> &ScopedAddress {
        &self.address
    }

    /// Returns the address without its interface.
    pub fn ip(&self) -> IpAddr {
        self.address.ip
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the same address with another port.
    #[must_use]
    pub fn at_port(&self, port: u16) -> Self {
        self.address.clone().with_port(port)
    }

    /// Returns the same port at another address.
    #[must_use]
    pub fn at_ip(&self, ip: IpAddr) -> Self {
        let zone = Zone::None;
        ScopedAddress { ip, zone }.with_port(self.port)
    }

    /// Returns the address as sockets take it.
    ///
    /// # Errors
    /// [`NoInterface`]: it names an interface that is not there now.
    pub fn resolve(&self) -> Result<SocketAddr, NoInterface> {
        let interface = match &self.address.zone {
            Zone::None => 0,
            Zone::Number(number) => *number,
            Zone::Name(name) => {
                interfaces::index_of(name).ok_or_else(|| NoInterface(name.clone()))?
            }
        };
        Ok(match self.address.ip {
            IpAddr::V4(ip) => (ip, self.port).into(),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, self.port, 0, interface).into(),
        })
    }
}

impl fmt::Display for ScopedSocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address.ip {
            IpAddr::V4(ip) => write!(f, "{ip}:{}", self.port),
            IpAddr::V6(_) => write!(f, "[{}]:{}", self.address, self.port),
        }
    }
}

impl FromStr for ScopedSocketAddress {
    type Err = Fault;

    /// Reads `192.0.2.1:53`, `[2001:db8::1]:53` or `[fe80::1%eth0]:53`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let not_with_port = || Fault::NotAnAddressWithPort {
            item: text.to_owned(),
        };
        let (address, port) = text.rsplit_once(':').ok_or_else(not_with_port)?;
        let port = digits(port)
            .and_then(|port| port.parse().ok())
            .ok_or_else(not_with_port)?;
        if address.contains(':') && !address.starts_with('[') {
            return Err(not_with_port());
        }
        let address = ScopedAddress::from_str(address).map_err(|fault| match fault {
            Fault::NotAnAddress { .. } => not_with_port(),
            fault => fault,
        })?;
        Ok(address.with_port(port))
    }
}

/// Reads `192.0.2.0/24`, or `192.0.2.1` for that one address.
pub(super) fn read_prefix(item: &str) -> Result<IpNet, Fault> {
    if let Ok(address) = item.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let prefix: IpNet = item.parse().map_err(|_| Fault::NotAPrefix {
        item: item.to_owned(),
    })?;
    if prefix.trunc() != prefix {
        return Err(Fault::HostBits {
            item: item.to_owned(),
            prefix: prefix.trunc(),
        });
    }
    Ok(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_brackets() {
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1:53"),
            ("0.0.0.0", "0.0.0.0:53"),
            ("::1", "[::1]:53"),
            ("[::1]", "[::1]:53"),
            ("fe80::1%2", "[fe80::1%2]:53"),
            ("[fe80::1%2]", "[fe80::1%2]:53"),
            ("fe80::1%eth0", "[fe80::1%eth0]:53"),
            ("[fe80::1%br-lan.7]", "[fe80::1%br-lan.7]:53"),
        ] {
            let address: ScopedAddress = text.parse().unwrap();
            let address = address.with_port(53);
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
    }

    #[test]
    fn a_zone_becomes_the_number_of_its_interface_when_a_socket_needs_it() {
        let resolved = |text: &str| text.parse::<ScopedSocketAddress>().unwrap().resolve();
        let expected = |text: &str| Ok(text.parse::<SocketAddr>().unwrap());
        assert_eq!(resolved("[fe80::1%7]:53"), expected("[fe80::1%7]:53"));
        assert_eq!(resolved("[::1]:53"), expected("[::1]:53"));
        assert_eq!(resolved("192.0.2.1:0"), expected("192.0.2.1:0"));
        let names = ["lo", "lo0"].into_iter();
        let (name, number) = names
            .filter_map(|name| Some((name, interfaces::index_of(name)?)))
            .next()
            .unwrap();
        let by_name = resolved(&format!("[fe80::1%{name}]:53"));
        assert_eq!(by_name, expected(&format!("[fe80::1%{number}]:53")));
        let missing = resolved("[fe80::1%no-such-if]:53").unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the interface no-such-if does not exist"
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "localhost",
            "[127.0.0.1]",
            "[::1",
            "fe80::1%",
            "fe80::1%0",
            "fe80::1%4294967296",
            "fe80::1%a/b",
            "fe80::1%a b",
            "fe80::1%sixteen-letters-",
        ] {
            let fault = text.parse::<ScopedAddress>().unwrap_err();
            assert_eq!(
                fault,
                Fault::NotAnAddress {
                    item: text.to_owned()
                }
            );
        }
        for text in [
            "::1",
            "::1:53",
            "192.0.2.1",
            "192.0.2.1:",
            "192.0.2.1:65536",
            ":53",
        ] {
            let fault = text.parse::<ScopedSocketAddress>().unwrap_err();
            let item = text.to_owned();
            assert_eq!(fault, Fault::NotAnAddressWithPort { item });
        }
        for text in ["::1%2", "127.0.0.1%2"] {
            let fault = text.parse::<ScopedAddress>().unwrap_err();
            let item = text.to_owned();
            assert_eq!(fault, Fault::NeedlessZone { item });
        }
        let fault = "[fe80::1]".parse::<ScopedAddress>().unwrap_err();
        assert_eq!(
            fault,
            Fault::NoZone {
                item: "fe80::1".to_owned()
            }
        );
    }

    #[test]
    fn prefixes_are_read_and_host_bits_are_refused() {
        assert_eq!(read_prefix("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(
            read_prefix("192.0.2.1").unwrap().to_string(),
            "192.0.2.1/32"
        );
        assert_eq!(read_prefix("::1").unwrap().to_string(), "::1/128");
        let fault = read_prefix("10.1.2.3/8").unwrap_err();
        assert_eq!(
            fault.to_string(),
            "10.1.2.3/8 has bits beyond its length (write 10.0.0.0/8)"
        );
        for text in ["10.0.0.0/33", "all", "10.0.0/8"] {
            let fault = read_prefix(text).unwrap_err();
            assert_eq!(
                fault,
                Fault::NotAPrefix {
                    item: text.to_owned()
                }
            );
        }
    }
}
