//! Stage `route`: which upstreams serve this name, or is it answered here?
//!
//! Stands between `admit` and `inflight`. Names of special use (RFC 6761 and others) are answered here and
//! leave no host; every other name has the one route that there is. Never touches the network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dotgate_wire::{LocalData, Question, rtype};

/// A group of names that is answered here unless an operator has it forwarded.
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
    /// The reverse zones of private and reserved addresses (RFC 6303 section 4).
    PrivateReverse,
    /// `resolver.arpa` (RFC 9462 section 6.4): speaks of this resolver alone, never forwarded.
    ResolverArpa,
}

impl LocalZone {
    /// All groups.
    pub const ALL: [LocalZone; 7] = [
        LocalZone::HomeArpa,
        LocalZone::Invalid,
        LocalZone::Local,
        LocalZone::Localhost,
        LocalZone::Onion,
        LocalZone::PrivateReverse,
        LocalZone::ResolverArpa,
    ];

    /// The word in settings.
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
}

/// The groups of names that are answered here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalZones {
    forwarded: u8,
}

impl LocalZones {
    /// All groups but `forwarded`; `resolver.arpa` is never forwarded.
    pub fn all_but(forwarded: impl IntoIterator<Item = LocalZone>) -> LocalZones {
        let forwarded = forwarded
            .into_iter()
            .filter(|zone| *zone != LocalZone::ResolverArpa)
            .fold(0, |set, zone| set | 1 << zone as u8);
        LocalZones { forwarded }
    }

    /// The zone that holds the question's name, and what it says; none if the name is forwarded.
    pub(crate) fn answer(self, question: &Question) -> Option<(&'static [u8], LocalData)> {
        // Few names have such an end; whether it is a label of theirs is seen below.
        let name = question.name();
        let names = if name.ends_with(b"\x04arpa\0") {
            ARPA
        } else if TOP_LEVEL.iter().any(|(_, apex)| name.ends_with(apex)) {
            TOP_LEVEL
        } else {
            return None;
        };
        let (zone, apex) = names
            .iter()
            .find(|(_, apex)| question.is_at_or_below(apex))
            .map(|(zone, apex)| (*zone, *apex))?;
        if self.forwarded & 1 << zone as u8 != 0 {
            return None;
        }
        let is_apex = question.name().len() == apex.len();
        let data = match zone {
            LocalZone::Localhost => match question.rtype() {
                rtype::A => LocalData::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                rtype::AAAA => LocalData::Address(IpAddr::V6(Ipv6Addr::LOCALHOST)),
                _ => LocalData::NoData,
            },
            LocalZone::ResolverArpa => LocalData::NoData,
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
        Some((apex, data))
    }
}

const TOP_LEVEL: &[(LocalZone, &[u8])] = &[
    (LocalZone::Invalid, b"\x07invalid\0"),
    (LocalZone::Local, b"\x05local\0"),
    (LocalZone::Localhost, b"\x09localhost\0"),
    (LocalZone::Onion, b"\x05onion\0"),
];

const ARPA: &[(LocalZone, &[u8])] = &[
    (LocalZone::HomeArpa, b"\x04home\x04arpa\0"),
    (LocalZone::ResolverArpa, b"\x08resolver\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x010\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0210\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x03127\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x03254\x03169\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0216\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0217\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0218\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0219\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0220\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0221\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0222\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0223\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0224\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0225\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0226\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0227\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0228\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0229\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0230\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x0231\x03172\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x03168\x03192\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x012\x010\x03192\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x03100\x0251\x03198\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x03113\x010\x03203\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x03255\x03255\x03255\x03255\x07in-addr\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x03ip6\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x011\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x03ip6\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x01d\x01f\x03ip6\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x018\x01e\x01f\x03ip6\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x019\x01e\x01f\x03ip6\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x01a\x01e\x01f\x03ip6\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x01b\x01e\x01f\x03ip6\x04arpa\0"),
    (LocalZone::PrivateReverse, b"\x018\x01b\x01d\x010\x011\x010\x010\x012\x03ip6\x04arpa\0"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(name: &str) -> Vec<u8> {
        let mut wire = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            wire.push(u8::try_from(label.len()).unwrap());
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        wire
    }

    fn ask(zones: LocalZones, name: &str, rtype: u16) -> Option<LocalData> {
        let question = Question::new(&wire(name), rtype, 1).unwrap();
        zones.answer(&question).map(|(_, data)| data)
    }

    #[test]
    fn names_of_special_use_are_answered_here() {
        let zones = LocalZones::all_but([]);
        let v4 = LocalData::Address("127.0.0.1".parse().unwrap());
        let v6 = LocalData::Address("::1".parse().unwrap());
        for (name, rtype, expected) in [
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
            assert_eq!(ask(zones, name, rtype), expected, "{name}");
        }
    }

    #[test]
    fn each_group_but_resolver_arpa_can_be_forwarded() {
        for (zone, name) in [
            (LocalZone::HomeArpa, "nas.home.arpa"),
            (LocalZone::Invalid, "x.invalid"),
            (LocalZone::Local, "x.local"),
            (LocalZone::Localhost, "x.localhost"),
            (LocalZone::Onion, "x.onion"),
            (LocalZone::PrivateReverse, "1.168.192.in-addr.arpa"),
        ] {
            assert_eq!(
                ask(LocalZones::all_but([zone]), name, rtype::A),
                None,
                "{name}"
            );
            let others = LocalZones::all_but(LocalZone::ALL.into_iter().filter(|z| *z != zone));
            assert!(ask(others, name, rtype::A).is_some(), "{name}");
        }
        let forwarded = LocalZones::all_but([LocalZone::ResolverArpa]);
        assert_eq!(
            ask(forwarded, "resolver.arpa", rtype::A),
            Some(LocalData::NoData)
        );
    }
}
