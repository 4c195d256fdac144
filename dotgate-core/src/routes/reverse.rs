//! The reverse zones of an address prefix.

use std::net::IpAddr;

use ipnet::IpNet;

/// Digits of a reverse name: a byte for each label below `in-addr.arpa`, a nibble below `ip6.arpa` (RFC 1035
/// section 3.5, RFC 3596 section 2.5).
struct Digits {
    values: Vec<u8>,
    bits: u8,
    apex: &'static [u8],
}

/// The zones that hold the reverse names of a prefix, uncompressed and in lower case. A prefix that does not end with a
/// label has several: 172.16.0.0/12 has the sixteen from 16.172.in-addr.arpa to 31.172.in-addr.arpa (RFC 2317).
pub fn reverse_zones(prefix: IpNet) -> Vec<Box<[u8]>> {
    let Digits { values, bits, apex } = digits(prefix.network());
    let whole = usize::from(prefix.prefix_len() / bits);
    let fixed = values.get(..whole).unwrap_or_default();
    match prefix.prefix_len() % bits {
        0 => vec![zone(fixed, &[], bits, apex)],
        rest => {
            let first = values.get(whole).copied().unwrap_or_default();
            let last = first + ((1_u16 << (bits - rest)) - 1) as u8;
            let numbers = first..=last;
            numbers
                .map(|last| zone(fixed, &[last], bits, apex))
                .collect()
        }
    }
}

fn digits(address: IpAddr) -> Digits {
    match address {
        IpAddr::V4(address) => Digits {
            values: address.octets().to_vec(),
            bits: 8,
            apex: b"\x07in-addr\x04arpa\0",
        },
        IpAddr::V6(address) => Digits {
            values: address
                .octets()
                .into_iter()
                .flat_map(|byte| [byte >> 4, byte & 15])
                .collect(),
            bits: 4,
            apex: b"\x03ip6\x04arpa\0",
        },
    }
}

fn zone(fixed: &[u8], last: &[u8], bits: u8, apex: &[u8]) -> Box<[u8]> {
    let mut name = Vec::new();
    for value in last.iter().chain(fixed.iter().rev()) {
        let label = match bits {
            8 => value.to_string(),
            _ => format!("{value:x}"),
        };
        name.push(label.len() as u8);
        name.extend_from_slice(label.as_bytes());
    }
    name.extend_from_slice(apex);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(prefix: &str) -> Vec<String> {
        let zones = reverse_zones(prefix.parse().unwrap());
        let text = |zone: &[u8]| {
            let mut text = String::new();
            let mut rest = zone;
            while let [length, behind @ ..] = rest
                && *length > 0
            {
                let (label, next) = behind.split_at(usize::from(*length));
                text.push_str(std::str::from_utf8(label).unwrap());
                text.push('.');
                rest = next;
            }
            text
        };
        zones.iter().map(|zone| text(zone)).collect()
    }

    #[test]
    fn a_prefix_that_ends_with_a_label_is_one_zone() {
        for (prefix, zone) in [
            ("10.0.0.0/8", "10.in-addr.arpa."),
            ("192.168.0.0/16", "168.192.in-addr.arpa."),
            ("192.0.2.0/24", "2.0.192.in-addr.arpa."),
            ("192.0.2.7/32", "7.2.0.192.in-addr.arpa."),
            ("0.0.0.0/0", "in-addr.arpa."),
            ("fd00::/8", "d.f.ip6.arpa."),
            ("2001:db8::/32", "8.b.d.0.1.0.0.2.ip6.arpa."),
            ("::/0", "ip6.arpa."),
        ] {
            assert_eq!(zones(prefix), [zone], "{prefix}");
        }
        let host = format!("1.{}8.b.d.0.1.0.0.2.ip6.arpa.", "0.".repeat(23));
        assert_eq!(zones("2001:db8::1/128"), [host]);
    }

    #[test]
    fn one_that_does_not_is_all_zones_below_its_last_whole_label() {
        let expected: Vec<String> = (16..=31)
            .map(|n| format!("{n}.172.in-addr.arpa."))
            .collect();
        assert_eq!(zones("172.16.0.0/12"), expected);
        assert_eq!(zones("10.128.0.0/9").len(), 128);
        assert_eq!(zones("10.128.0.0/9")[127], "255.10.in-addr.arpa.");
        assert_eq!(zones("128.0.0.0/1").len(), 128);
        assert_eq!(
            zones("192.0.2.254/31"),
            ["254.2.0.192.in-addr.arpa.", "255.2.0.192.in-addr.arpa."]
        );
        assert_eq!(zones("fc00::/7"), ["c.f.ip6.arpa.", "d.f.ip6.arpa."]);
        let eight: Vec<String> = (8..16).map(|n| format!("{n:x}.ip6.arpa.")).collect();
        assert_eq!(zones("8000::/1"), eight);
    }
}
