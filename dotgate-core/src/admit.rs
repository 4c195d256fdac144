//! Stage `admit`: may this client ask, and this often?
//!
//! It is between `query` and `route`. `admit::access` has the access list, `admit::quotas` the number of queries each client
//! address has in flight, `admit::rates` how often each prefix asks and connects, `admit::malformed` who sends malformed
//! messages over TCP. Never looks into a message.
//! Limits: `Settings::queries_max` and `queries_per_client_max`; an IPv6 client is its /64, which one host can hold
//! alone.

mod access;
mod malformed;
mod quotas;
mod rates;

use std::hash::Hasher;
use std::net::IpAddr;

pub use self::access::{Access, AccessAnswer, AccessList, AccessScope};
pub use self::malformed::MalformedClients;
pub use self::quotas::Quotas;
pub(crate) use self::quotas::Via;
pub(crate) use self::rates::{RateKind, Taken};
pub use self::rates::{RateSettings, Rates};
use siphasher::sip::SipHasher13;

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

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_slash_64() {
        let id = |ip: &str| ClientId::of(ip.parse().unwrap());
        assert_eq!(id("192.0.2.1"), id("::ffff:192.0.2.1"));
        assert_ne!(id("192.0.2.1"), id("192.0.2.2"));
        assert_eq!(id("2001:db8::1"), id("2001:db8::2"));
        assert_ne!(id("2001:db8::1"), id("2001:db8:0:1::1"));
    }
}
