//! Which clients may ask, and at which listeners.
//!
//! A client may ask where an entry that allows it holds, and none that denies it. An entry holds everywhere, for one
//! transport, or at one address of this host. Never looks at anything but addresses.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::counters::labels::ClientTransport;

/// Address prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessList {
    /// First and last address of each prefix, in order; none overlap.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
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
        let v4 = v4
            .iter()
            .map(|net| (net.network().into(), net.broadcast().into()));
        let v6 = v6
            .iter()
            .map(|net| (net.network().into(), net.broadcast().into()));
        let mut list = AccessList {
            v4: v4.collect(),
            v6: v6.collect(),
        };
        list.v4.sort_unstable();
        list.v6.sort_unstable();
        list
    }

    /// Whether it has this address. An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn allows(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => is_within(&self.v4, ip.into()),
            IpAddr::V6(ip) => is_within(&self.v6, ip.into()),
        }
    }

    /// Whether it has no address.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// Whether one of these ranges, which are in order, has the address.
fn is_within<A: Ord + Copy>(ranges: &[(A, A)], ip: A) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= ip);
    let range = after.checked_sub(1).and_then(|number| ranges.get(number));
    range.is_some_and(|(_, last)| ip <= *last)
}

/// Where an entry of the access list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessScope {
    /// At every listener.
    Everywhere,
    /// For clients that come so.
    Transport(ClientTransport),
    /// For clients that ask this address of the host.
    Address(IpAddr),
}

/// What a client gets that may not ask. Connections are closed in both cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessAnswer {
    /// REFUSED.
    #[default]
    Refused,
    /// Nothing.
    NoResponse,
}

/// What holds for one transport, or at one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rules {
    allowed: AccessList,
    denied: AccessList,
}

impl Rules {
    fn allows(&self, ip: IpAddr) -> bool {
        self.allowed.allows(ip) && (self.denied.is_empty() || !self.denied.allows(ip))
    }
}

type RulesByTransport = [Rules; ClientTransport::COUNT];

/// Who may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// At all addresses without rules of their own.
    elsewhere: RulesByTransport,
    /// At these addresses, with what holds everywhere.
    at: Vec<(IpAddr, RulesByTransport)>,
    /// What others get.
    pub(crate) answer: AccessAnswer,
}

impl Access {
    /// Clients with these addresses may ask, everywhere.
    pub fn of(prefixes: impl IntoIterator<Item = IpNet>) -> Access {
        let everywhere = |prefix| (prefix, AccessScope::Everywhere);
        let allowed: Vec<_> = prefixes.into_iter().map(everywhere).collect();
        Access::new(&allowed, &[], AccessAnswer::Refused)
    }

    /// Clients may ask that are allowed and not denied; others get this answer.
    pub fn new(
        allowed: &[(IpNet, AccessScope)],
        denied: &[(IpNet, AccessScope)],
        answer: AccessAnswer,
    ) -> Access {
        let rules = |address| {
            std::array::from_fn(|number| Rules {
                allowed: list_at(allowed, number, address),
                denied: list_at(denied, number, address),
            })
        };
        let scopes = allowed.iter().chain(denied).map(|(_, scope)| *scope);
        let mut at: Vec<(IpAddr, RulesByTransport)> = Vec::new();
        for scope in scopes {
            if let AccessScope::Address(address) = scope
                && !at.iter().any(|(known, _)| *known == address)
            {
                at.push((address, rules(Some(address))));
            }
        }
        Access {
            elsewhere: rules(None),
            at,
            answer,
        }
    }

    /// Whether a client that comes by this transport may ask. `local` is the address of this host that it asks, where
    /// that is known; it is looked for only if it matters.
    #[inline]
    pub(crate) fn allows(
        &self,
        client: IpAddr,
        transport: ClientTransport,
        local: impl FnOnce() -> Option<IpAddr>,
    ) -> bool {
        let rules = match self.at.is_empty() {
            true => &self.elsewhere,
            false => self.rules_at(local()),
        };
        let rules = rules.get(transport as usize);
        rules.is_some_and(|rules| rules.allows(client))
    }

    fn rules_at(&self, local: Option<IpAddr>) -> &RulesByTransport {
        let mut at = self.at.iter();
        let found = at.find(|(address, _)| Some(*address) == local);
        let is_ignored = dotgate_wire::planted!("access-ignores-the-listener");
        let found = found.filter(|_| !is_ignored);
        found.map_or(&self.elsewhere, |(_, rules)| rules)
    }
}

/// The prefixes of the entries that hold for a transport at an address.
fn list_at(
    entries: &[(IpNet, AccessScope)],
    transport: usize,
    address: Option<IpAddr>,
) -> AccessList {
    let holds = |scope: AccessScope| match scope {
        AccessScope::Everywhere => true,
        AccessScope::Transport(it) => it as usize == transport,
        AccessScope::Address(it) => Some(it) == address,
    };
    let applicable = entries.iter().filter(|(_, scope)| holds(*scope));
    AccessList::new(applicable.map(|(prefix, _)| *prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn entries(entries: &[(&str, AccessScope)]) -> Vec<(IpNet, AccessScope)> {
        let read = |(prefix, scope): &(&str, AccessScope)| (prefix.parse().unwrap(), *scope);
        entries.iter().map(read).collect()
    }

    #[test]
    fn access_is_decided_by_prefix_on_both_sides_of_its_edge() {
        let prefixes = ["10.0.0.0/8", "10.1.0.0/16", "192.168.0.0/16", "fd00::/8"];
        let list = AccessList::new(prefixes.map(|text| text.parse().unwrap()));
        for (client, allowed) in [
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
            assert_eq!(list.allows(ip(client)), allowed, "{client}");
        }
        assert!(!AccessList::new([]).allows(ip("127.0.0.1")));
    }

    #[test]
    fn an_entry_holds_where_it_says_and_denying_wins() {
        use AccessScope::{Address, Everywhere, Transport};
        use ClientTransport::{Dot, Tcp, Udp};
        let inside = ip("192.0.2.53");
        let allowed = entries(&[
            ("10.0.0.0/8", Everywhere),
            ("198.51.100.0/24", Transport(Dot)),
            ("203.0.113.0/24", Address(inside)),
        ]);
        let denied = entries(&[
            ("10.66.0.0/16", Everywhere),
            ("10.77.0.0/16", Transport(Udp)),
            ("10.88.0.0/16", Address(inside)),
        ]);
        let access = Access::new(&allowed, &denied, AccessAnswer::NoResponse);
        let outside = ip("192.0.2.54");
        for (client, transport, local, may_ask) in [
            ("10.1.1.1", Udp, outside, true),
            ("10.1.1.1", Dot, inside, true),
            ("10.66.1.1", Tcp, outside, false),
            ("10.66.1.1", Tcp, inside, false),
            ("10.77.1.1", Udp, outside, false),
            ("10.77.1.1", Udp, inside, false),
            ("10.77.1.1", Tcp, inside, true),
            ("10.88.1.1", Tcp, inside, false),
            ("10.88.1.1", Tcp, outside, true),
            ("198.51.100.9", Dot, outside, true),
            ("198.51.100.9", Dot, inside, true),
            ("198.51.100.9", Tcp, outside, false),
            ("203.0.113.9", Udp, inside, true),
            ("203.0.113.9", Udp, outside, false),
        ] {
            let found = access.allows(ip(client), transport, || Some(local));
            assert_eq!(found, may_ask, "{client} {transport:?} {local}");
        }
        // An address that is not known has no rules of its own.
        assert!(!access.allows(ip("203.0.113.9"), Udp, || None));
    }
}
