//! Stage `route`: which upstreams serve this name, or is it answered here?
//!
//! It is between `admit` and `inflight`. Names of special use (RFC 6761 and others) are answered here unless a route
//! names them; `routes` finds the group of all others. Never touches the network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dotgate_wire::{LocalData, Question, rtype};

/// Whether no route takes precedence over the answer of this zone.
pub(crate) fn is_never_forwarded(zone: &[u8]) -> bool {
    zone == RESOLVER_ARPA
}

/// A group of names that is answered here unless they have a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LocalZone {
    /// `home.arpa` (RFC 8375): a home network's own names.
    HomeArpa,
    /// `invalid` (RFC 6761 section 6.4).
    Invalid,
    /// `local` (RFC 6762 section 22.1): multicast DNS.
    Local,
    /// `localhost` (RFC 6761 section 6.3).
    Localhost,
    /// `onion` (RFC 7686).
    Onion,
    /// The reverse zones of private, shared and reserved addresses (RFC 6303 section 4, RFC 7793).
    PrivateReverse,
    /// `resolver.arpa` (RFC 9462 section 6.4): speaks of this resolver alone, never forwarded.
    ResolverArpa,
}

impl LocalZone {
    /// Its name for operators.
    pub const fn label(self) -> &'static str {
        match self {
            LocalZone::HomeArpa => "home.arpa",
            LocalZone::Invalid => "invalid",
            LocalZone::Local => "local",
            LocalZone::Localhost => "localhost",
            LocalZone::Onion => "onion",
            LocalZone::PrivateReverse => "private-reverse",
            LocalZone::ResolverArpa => "resolver.arpa",
        }
    }

    /// Where the answer is specified.
    pub const fn reference(self) -> &'static str {
        match self {
            LocalZone::HomeArpa => "RFC 8375",
            LocalZone::Invalid | LocalZone::Localhost => "RFC 6761",
            LocalZone::Local => "RFC 6762",
            LocalZone::Onion => "RFC 7686",
            LocalZone::PrivateReverse => "RFC 6303",
            LocalZone::ResolverArpa => "RFC 9462",
        }
    }
}

/// The group of names of special use that a question's name is in.
pub fn special_use(question: &Question) -> Option<LocalZone> {
    zone_of(question.name()).map(|(zone, _)| zone)
}

/// Whether the question is one about a zone that is answered here, whose answer is data of the zone's parent: the DS
/// records, which prove that the zone is not signed.
#[inline(never)]
pub(crate) fn leaves_to_parent(question: &Question) -> bool {
    let is_in_zone = || {
        zone_of(question.name()).filter(|(zone, apex_at)| {
            let is_delegated = matches!(zone, LocalZone::HomeArpa | LocalZone::PrivateReverse);
            is_delegated && *apex_at == 0
        })
    };
    question.qtype() == rtype::DS && is_in_zone().is_some()
}

/// The zone that holds a name, and where the zone's apex begins in it.
#[inline(always)]
fn zone_of(name: &[u8]) -> Option<(LocalZone, usize)> {
    // Few other names have such an end, which is compared as one number; whether it is a label of theirs is seen below.
    let (zone, apex): (_, &[u8]) = match name.last_chunk()? {
        b"rpa\0" => return below_arpa(&Labels::of(name)),
        b"lid\0" => (LocalZone::Invalid, b"\x07invalid\0"),
        b"cal\0" => (LocalZone::Local, b"\x05local\0"),
        b"ost\0" => (LocalZone::Localhost, b"\x09localhost\0"),
        b"ion\0" => (LocalZone::Onion, b"\x05onion\0"),
        _ => return None,
    };
    Some((zone, start_of_suffix(name, apex)?))
}

/// The zone that holds the question's name, and what it says; none if the question is forwarded.
#[inline]
pub(crate) fn special_use_answer(question: &Question) -> Option<(&[u8], LocalData)> {
    let name = question.name();
    let (zone, apex_at) = zone_of(name)?;
    let is_apex = apex_at == 0;
    let data = match zone {
        // DS is data of the parent, which proves that there is none (RFC 4035 section 3.1.4.1).
        LocalZone::HomeArpa | LocalZone::PrivateReverse
            if is_apex && question.qtype() == rtype::DS =>
        {
            return None;
        }
        LocalZone::Localhost => match question.qtype() {
            rtype::A => LocalData::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            rtype::AAAA => LocalData::Address(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            _ => LocalData::NoData,
        },
        LocalZone::ResolverArpa => LocalData::NoData,
        LocalZone::PrivateReverse if LOOPBACK.contains(&name) => match question.qtype() {
            rtype::PTR => LocalData::Localhost,
            _ => LocalData::NoData,
        },
        // What stands between the apex and that name.
        LocalZone::PrivateReverse if LOOPBACK.iter().any(|below| below.ends_with(name)) => {
            LocalData::NoData
        }
        LocalZone::HomeArpa
        | LocalZone::Invalid
        | LocalZone::Local
        | LocalZone::Onion
        | LocalZone::PrivateReverse => {
            if is_apex {
                LocalData::NoData
            } else {
                LocalData::NxDomain
            }
        }
    };
    Some((name.get(apex_at..)?, data))
}

/// Where a suffix of a name begins, if it begins with a label of the name.
fn start_of_suffix(name: &[u8], suffix: &[u8]) -> Option<usize> {
    let start = name.len().checked_sub(suffix.len())?;
    let mut at = 0;
    while at < start {
        at += 1 + usize::from(*name.get(at)?);
    }
    (at == start && name.ends_with(suffix)).then_some(start)
}

/// The labels of a name from the right, the root left out.
struct Labels<'a> {
    name: &'a [u8],
    starts: [u8; 128],
    count: usize,
}

impl<'a> Labels<'a> {
    fn of(name: &'a [u8]) -> Labels<'a> {
        let mut labels = Labels {
            name,
            starts: [0; 128],
            count: 0,
        };
        let mut at = 0;
        while let (Some(&length @ 1..), Some(start)) =
            (name.get(at), labels.starts.get_mut(labels.count))
        {
            *start = u8::try_from(at).unwrap_or(u8::MAX);
            labels.count += 1;
            at += 1 + usize::from(length);
        }
        labels
    }

    /// Where the label before `depth` others stands.
    fn start(&self, depth: usize) -> Option<usize> {
        let number = self.count.checked_sub(depth + 1)?;
        self.starts.get(number).map(|start| usize::from(*start))
    }

    /// That label.
    fn get(&self, depth: usize) -> Option<&'a [u8]> {
        let (length, rest) = self.name.get(self.start(depth)?..)?.split_first()?;
        rest.get(..usize::from(*length))
    }

    /// That label, if it is a number of 8 bits as reverse names have it.
    fn number(&self, depth: usize) -> Option<u8> {
        let text = str::from_utf8(self.get(depth)?).ok()?;
        let is_canonical = text == "0" || !text.starts_with(['0', '+']);
        text.parse().ok().filter(|_| is_canonical)
    }
}

/// The zone below `arpa` that a name is in, and where the zone's apex begins in it.
fn below_arpa(labels: &Labels<'_>) -> Option<(LocalZone, usize)> {
    if labels.get(0)? != b"arpa" {
        return None;
    }
    let (zone, depth) = match labels.get(1)? {
        b"home" => (LocalZone::HomeArpa, 1),
        b"resolver" => (LocalZone::ResolverArpa, 1),
        b"in-addr" => (LocalZone::PrivateReverse, 1 + private_v4(labels)?),
        b"ip6" => (LocalZone::PrivateReverse, 1 + private_v6(labels)?),
        _ => return None,
    };
    Some((zone, labels.start(depth)?))
}

/// How many numbers of an IPv4 address make the private prefix that a reverse name is in (RFC 6303 section 4.1 and
/// 4.2, RFC 7793).
fn private_v4(labels: &Labels<'_>) -> Option<usize> {
    let number = |depth: usize| labels.number(2 + depth);
    let numbers = [number(0)?, number(1).unwrap_or(0), number(2).unwrap_or(0)];
    let given = (0..4).take_while(|depth| number(*depth).is_some()).count();
    let depth = match numbers {
        [0 | 10 | 127, ..] => 1,
        [100, 64..=127, _] | [169, 254, _] | [172, 16..=31, _] | [192, 168, _] => 2,
        [192, 0, 2] | [198, 51, 100] | [203, 0, 113] => 3,
        [255, 255, 255] if number(3) == Some(255) => 4,
        _ => return None,
    };
    (depth <= given).then_some(depth)
}

/// The same in digits of an IPv6 address (RFC 6303 section 4.3 to 4.6).
fn private_v6(labels: &Labels<'_>) -> Option<usize> {
    let is_in = |prefix: &&str| {
        let mut digits = prefix.bytes().enumerate();
        digits.all(|(depth, digit)| labels.get(2 + depth) == Some(&[digit]))
    };
    PRIVATE_V6
        .iter()
        .find(|prefix| is_in(prefix))
        .map(|prefix| prefix.len())
}

const PRIVATE_V6: &[&str] = &[
    "00000000000000000000000000000000",
    "00000000000000000000000000000001",
    "20010db8",
    "fd",
    "fe8",
    "fe9",
    "fea",
    "feb",
];

/// The reverse names of 127.0.0.1 and ::1.
const LOOPBACK: [&[u8]; 2] = [
    b"\x011\x010\x010\x03127\x07in-addr\x04arpa\0",
    b"\x011\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x03ip6\x04arpa\0",
];

const RESOLVER_ARPA: &[u8] = b"\x08resolver\x04arpa\0";

#[cfg(test)]
mod tests {
    use super::*;
    use dotgate_message::wire_name as wire;

    #[test]
    fn ds_of_a_zone_belongs_to_its_parent_and_is_forwarded() {
        for apex in [
            "home.arpa",
            "10.in-addr.arpa",
            "168.192.in-addr.arpa",
            "64.100.in-addr.arpa",
            "2.0.192.in-addr.arpa",
            "255.255.255.255.in-addr.arpa",
            "d.f.ip6.arpa",
        ] {
            assert_eq!(ask(apex, rtype::DS), None, "{apex}");
            for other in [rtype::SOA, rtype::NS, rtype::DNSKEY, rtype::A] {
                assert_eq!(ask(apex, other), Some(LocalData::NoData), "{apex}");
            }
            let below = format!("x.{apex}");
            assert_eq!(ask(&below, rtype::DS), Some(LocalData::NxDomain));
        }
        // These are never forwarded (RFC 6761, RFC 6762, RFC 7686, RFC 9462).
        for apex in ["localhost", "invalid", "local", "onion", "resolver.arpa"] {
            assert_eq!(ask(apex, rtype::DS), Some(LocalData::NoData), "{apex}");
        }
    }

    #[test]
    fn reverse_names_of_private_and_shared_addresses_are_answered_up_to_the_edges() {
        let ptr = |name: &str| ask(&format!("{name}.arpa"), rtype::PTR);
        for inside in [
            "1.0.64.100.in-addr",
            "255.255.127.100.in-addr",
            "9.0.0.0.in-addr",
            "1.1.16.172.in-addr",
            "1.1.31.172.in-addr",
            "1.1.254.169.in-addr",
            "1.2.0.192.in-addr",
            "1.100.51.198.in-addr",
            "1.113.0.203.in-addr",
            "8.e.f.ip6",
            "1.b.e.f.ip6",
            "0.8.b.d.0.1.0.0.2.ip6",
        ] {
            assert!(ptr(inside).is_some(), "{inside}");
        }
        for outside in [
            "1.0.63.100.in-addr",
            "1.0.128.100.in-addr",
            "1.0.064.100.in-addr",
            "1.0.+64.100.in-addr",
            "100.in-addr",
            "172.in-addr",
            "1.1.15.172.in-addr",
            "1.1.32.172.in-addr",
            "192.in-addr",
            "0.192.in-addr",
            "1.3.0.192.in-addr",
            "255.255.255.in-addr",
            "254.255.255.255.in-addr",
            "0.0.0.ip6",
            "1.f.ip6",
            "7.e.f.ip6",
            "in-addr",
            "ip6",
            "10.in-addr.x",
        ] {
            assert_eq!(ptr(outside), None, "{outside}");
        }
    }

    #[test]
    fn the_loopback_addresses_are_called_localhost() {
        let v6 = format!("1.{}ip6.arpa", "0.".repeat(31));
        for name in ["1.0.0.127.in-addr.arpa", &v6] {
            assert_eq!(ask(name, rtype::PTR), Some(LocalData::Localhost));
            assert_eq!(ask(name, rtype::TXT), Some(LocalData::NoData));
            let below = format!("x.{name}");
            assert_eq!(ask(&below, rtype::PTR), Some(LocalData::NxDomain));
        }
        for (name, expected) in [
            ("0.0.127.in-addr.arpa", LocalData::NoData),
            ("0.127.in-addr.arpa", LocalData::NoData),
            ("127.in-addr.arpa", LocalData::NoData),
            ("2.0.0.127.in-addr.arpa", LocalData::NxDomain),
            ("1.127.in-addr.arpa", LocalData::NxDomain),
        ] {
            assert_eq!(ask(name, rtype::PTR), Some(expected), "{name}");
        }
    }

    fn ask(name: &str, qtype: u16) -> Option<LocalData> {
        let question = Question::new(&wire(name), qtype, 1).unwrap();
        special_use_answer(&question).map(|(_, data)| data)
    }

    #[test]
    fn names_of_special_use_are_answered_here() {
        let v4 = LocalData::Address("127.0.0.1".parse().unwrap());
        let v6 = LocalData::Address("::1".parse().unwrap());
        for (name, qtype, expected) in [
            ("localhost", rtype::A, Some(v4)),
            ("app.localhost", rtype::AAAA, Some(v6)),
            ("localhost", rtype::MX, Some(LocalData::NoData)),
            ("invalid", rtype::A, Some(LocalData::NoData)),
            ("x.invalid", rtype::A, Some(LocalData::NxDomain)),
            ("printer.local", rtype::A, Some(LocalData::NxDomain)),
            ("abc.onion", rtype::A, Some(LocalData::NxDomain)),
            ("nas.home.arpa", rtype::A, Some(LocalData::NxDomain)),
            ("_dns.resolver.arpa", rtype::SVCB, Some(LocalData::NoData)),
            ("resolver.arpa", rtype::RESINFO, Some(LocalData::NoData)),
            (
                "1.0.0.10.in-addr.arpa",
                rtype::PTR,
                Some(LocalData::NxDomain),
            ),
            (
                "1.2.20.172.in-addr.arpa",
                rtype::PTR,
                Some(LocalData::NxDomain),
            ),
            ("1.2.32.172.in-addr.arpa", rtype::PTR, None),
            ("8.8.8.8.in-addr.arpa", rtype::PTR, None),
            ("1.d.f.ip6.arpa", rtype::PTR, Some(LocalData::NxDomain)),
            ("mylocalhost", rtype::A, None),
            ("local.example.org", rtype::A, None),
            // The end of a label that looks like a label.
            ("www.my\u{5}local", rtype::A, None),
            ("www.10\u{7}in-addr\u{4}arpa", rtype::PTR, None),
            ("", rtype::NS, None),
        ] {
            assert_eq!(ask(name, qtype), expected, "{name}");
        }
    }
}
