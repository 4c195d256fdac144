//! Stage `admit`: may this client ask, and this often?
//!
//! It is between `query` and `route`. Owns the access list; `admit::quotas` has the number of queries each client
//! address has in flight, `admit::malformed` who sends malformed messages over TCP. Never looks into a message.
//! Limits: `Settings::queries_max` and `queries_per_client_max`; an IPv6 client is its /64, which one host can hold
//! alone.

mod malformed;
mod quotas;

use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use self::malformed::MalformedClients;
pub use self::quotas::Quotas;
pub(crate) use self::quotas::Via;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use siphasher::sip::SipHasher13;

/// The address prefixes whose clients are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessList {
    /// First and last address of each prefix, in order; none overlap.
    v4: Vec<(Ipv4Addr, Ipv4Addr)>,
    v6: Vec<(Ipv6Addr, Ipv6Addr)>,
}

impl AccessList {
    /// A list of exactly these prefixes.
    pub fn new(prefixes: impl IntoIterator<Item = IpNet>) -> AccessList {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            match prefix {
                IpNet::V4(net) => v4.push(net.trunc()),
                IpNet::V6(net) => v6.push(net.trunc()),
            }
        }
        let v4 = Ipv4Net::aggregate(&v4);
        let v6 = Ipv6Net::aggregate(&v6);
        let v4 = v4.iter().map(|net| (net.network(), net.broadcast()));
        let v6 = v6.iter().map(|net| (net.network(), net.broadcast()));
        let mut list = AccessList {
            v4: v4.collect(),
            v6: v6.collect(),
        };
        list.v4.sort_unstable();
        list.v6.sort_unstable();
        list
    }

    /// Whether a client at `ip` is served. An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn allows(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => is_within(&self.v4, ip),
            IpAddr::V6(ip) => is_within(&self.v6, ip),
        }
    }
}

/// Whether one of these ranges, which are in order, has the address.
fn is_within<A: Ord + Copy>(ranges: &[(A, A)], ip: A) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= ip);
    let range = after.checked_sub(1).and_then(|number| ranges.get(number));
    range.is_some_and(|(_, last)| ip <= *last)
}

/// What is counted as one client: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ClientId(u64);

impl ClientId {
    pub(crate) fn of(ip: IpAddr) -> ClientId {
        match ip.to_canonical() {
            // No client has a /64 within ::/32, so the two families do not collide.
            IpAddr::V4(ip) => ClientId(u64::from(u32::from(ip))),
            IpAddr::V6(ip) => ClientId((u128::from(ip) >> 64) as u64),
        }
    }
}

/// A keyed hash, so that no one can choose addresses whose hashes collide.
pub(crate) fn hash(keys: (u64, u64), client: ClientId) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(keys.0, keys.1);
    hasher.write_u64(client.0);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(prefixes: &[&str]) -> AccessList {
        AccessList::new(prefixes.iter().map(|text| text.parse().unwrap()))
    }

    #[test]
    fn access_is_decided_by_prefix_on_both_sides_of_its_edge() {
        let list = list(&["10.0.0.0/8", "10.1.0.0/16", "192.168.0.0/16", "fd00::/8"]);
        for (ip, allowed) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.200.0.1", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("::ffff:10.1.2.3", true),
            ("::ffff:11.1.2.3", false),
            ("fcff::1", false),
            ("fd00::1", true),
            ("fe00::1", false),
        ] {
            assert_eq!(list.allows(ip.parse().unwrap()), allowed, "{ip}");
        }
        assert!(!AccessList::new([]).allows("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_slash_64() {
        let id = |ip: &str| ClientId::of(ip.parse().unwrap());
        assert_eq!(id("192.0.2.1"), id("::ffff:192.0.2.1"));
        assert_ne!(id("192.0.2.1"), id("192.0.2.2"));
        assert_eq!(id("2001:db8::1"), id("2001:db8::2"));
        assert_ne!(id("2001:db8::1"), id("2001:db8:0:1::1"));
    }
}
