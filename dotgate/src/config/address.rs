//! IP addresses and prefixes as settings hold them.
//! Stands under the kinds of value, which make lists of them.
//! Never resolves a name. Zones are interface numbers (RFC 4007 section 11), as `ip link` shows them;
//! *Not done*: interface names, because turning them into numbers needs the running system.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use ipnet::IpNet;

use super::fault::Fault;
use super::kinds::digits;

/// An IP address, with its interface's number if it is an IPv6 link-local one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopedAddress {
    address: IpAddr,
    /// 0 for all but IPv6 link-local addresses.
    interface: u32,
}

impl ScopedAddress {
    /// Returns the address without its interface.
    pub fn ip(self) -> IpAddr {
        self.address
    }

    /// Returns the address with a port.
    pub fn with_port(self, port: u16) -> SocketAddr {
        match self.address {
            IpAddr::V4(_) => SocketAddr::new(self.address, port),
            IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, self.interface).into(),
        }
    }
}

impl FromStr for ScopedAddress {
    type Err = Fault;

    /// Reads `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]` or `fe80::1%2`.
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
        let address: IpAddr = address.parse().map_err(|_| not_an_address())?;
        if bracketed.is_some() && address.is_ipv4() {
            return Err(not_an_address());
        }
        let link_local = match address {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        let interface = match (zone, link_local) {
            (None, false) => 0,
            (None, true) => {
                return Err(Fault::NoZone {
                    item: bare.to_owned(),
                });
            }
            (Some(_), false) => return Err(not_an_address()),
            (Some(zone), true) => digits(zone)
                .and_then(|zone| zone.parse().ok())
                .filter(|number| *number != 0)
                .ok_or_else(not_an_address)?,
        };
        Ok(Self { address, interface })
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
        ] {
            let address: ScopedAddress = text.parse().unwrap();
            assert_eq!(address.with_port(53).to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "localhost",
            "[127.0.0.1]",
            "[::1",
            "::1%2",
            "127.0.0.1%2",
            "fe80::1%",
            "fe80::1%0",
        ] {
            let fault = text.parse::<ScopedAddress>().unwrap_err();
            assert_eq!(
                fault,
                Fault::NotAnAddress {
                    item: text.to_owned()
                }
            );
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
