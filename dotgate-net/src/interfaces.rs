//! Network interfaces by name and by number, for the zones of IPv6 link-local addresses (RFC 4007 section 11).
//!
//! Not on the path of a query: listeners, upstreams and resolvers may be written with the name of an interface,
//! which the system turns into the number that socket addresses hold. A name may come and go while the program runs. So may
//! the addresses of interfaces, with the networks that they are part of.

use std::ffi::{CStr, CString};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use if_addrs::IfAddr;

/// Returns the number of the interface with this name; none if there is no such interface now.
#[must_use]
pub fn index_of(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: the pointer leads to a string with a zero at its end, which lives until the call returns.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// Returns the name of the interface with this number; none if there is no such interface now.
#[must_use]
pub fn name_of(index: u32) -> Option<String> {
    let mut buffer = [0; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the room that the call demands, and lives until it returns.
    let found = unsafe { libc::if_indextoname(index, buffer.as_mut_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: where the call succeeds, the buffer holds a string with a zero at its end.
    let name = unsafe { CStr::from_ptr(buffer.as_ptr()) };
    name.to_str().ok().map(str::to_owned)
}

/// Returns the addresses of this host, each with the number of its bits that are those of its network.
///
/// # Errors
/// Those of the system.
pub fn addresses() -> io::Result<Vec<(IpAddr, u8)>> {
    let interfaces = if_addrs::get_if_addrs()?;
    let addresses = interfaces
        .into_iter()
        .map(|interface| match interface.addr {
            IfAddr::V4(address) => (address.ip.into(), address.prefixlen),
            IfAddr::V6(address) => (address.ip.into(), address.prefixlen),
        });
    Ok(addresses.collect())
}

/// A socket address for people: with the name of its interface in place of the number, as in `[fe80::1%eth0]:53`.
#[derive(Clone, Copy, Debug)]
pub struct Named(pub SocketAddr);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let SocketAddr::V6(address) = self.0
            && address.scope_id() != 0
            && let Some(name) = name_of(address.scope_id())
        {
            return write!(f, "[{}%{name}]:{}", address.ip(), address.port());
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddrV6};

    use super::*;

    #[test]
    fn the_loopback_interface_has_a_name_and_a_number() {
        let name = ["lo", "lo0"]
            .into_iter()
            .find(|name| index_of(name).is_some());
        let name = name.unwrap();
        let index = index_of(name).unwrap();
        assert_eq!(name_of(index).as_deref(), Some(name));
        let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        let address = SocketAddr::V6(SocketAddrV6::new(ip, 53, 0, index));
        assert_eq!(Named(address).to_string(), format!("[fe80::1%{name}]:53"));
    }

    #[test]
    fn the_loopback_network_is_one_of_this_host() {
        let loopback = ("127.0.0.1".parse().unwrap(), 8);
        assert!(addresses().unwrap().contains(&loopback));
    }

    #[test]
    fn what_is_no_interface_has_none() {
        assert_eq!(index_of("no-such-if"), None);
        assert_eq!(index_of("a\0b"), None);
        assert_eq!(index_of(""), None);
        assert_eq!(name_of(0), None);
        let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        let address = SocketAddr::V6(SocketAddrV6::new(ip, 53, 0, 4_000_000));
        assert_eq!(Named(address).to_string(), "[fe80::1%4000000]:53");
        let plain: SocketAddr = "127.0.0.1:53".parse().unwrap();
        assert_eq!(Named(plain).to_string(), "127.0.0.1:53");
    }
}
