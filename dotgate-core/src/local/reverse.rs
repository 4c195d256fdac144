//! The name in the reverse zones under which the name of an address is asked for.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

/// Bytes of a digit's label, and digits of an IPv6 address.
const DIGIT_LEN: usize = 2;
const DIGITS: usize = 32;

/// The reverse name of an address (RFC 1035 section 3.5, RFC 3596 section 2.5), uncompressed and in lower case.
pub(crate) fn reverse_name(address: IpAddr) -> Vec<u8> {
    let mut name = Vec::new();
    let mut put = |label: &str| {
        // No label here is longer than seven bytes.
        name.push(label.len() as u8);
        name.extend_from_slice(label.as_bytes());
    };
    match address {
        IpAddr::V4(address) => {
            for number in address.octets().into_iter().rev() {
                put(&number.to_string());
            }
            put("in-addr");
        }
        IpAddr::V6(address) => {
            let mut digit = String::new();
            for byte in address.octets().into_iter().rev() {
                for half in [byte & 0x0f, byte >> 4] {
                    digit.clear();
                    // Writing to a string never fails.
                    write!(digit, "{half:x}").unwrap_or_default();
                    put(&digit);
                }
            }
            put("ip6");
        }
    }
    put("arpa");
    name.push(0);
    name
}

/// The IPv6 address whose reverse name this is, uncompressed and in lower case; none if it is another name.
pub(crate) fn address_of_reverse(name: &[u8]) -> Option<Ipv6Addr> {
    let (digits, apex) = name.split_at_checked(DIGITS * DIGIT_LEN)?;
    if apex != b"\x03ip6\x04arpa\0" {
        return None;
    }
    let mut bits = 0;
    for label in digits.chunks(DIGIT_LEN).rev() {
        let [1, digit] = label else { return None };
        let digit = char::from(*digit).to_digit(16)?;
        bits = bits << 4 | u128::from(digit);
    }
    Some(Ipv6Addr::from_bits(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_names_of_ipv6_addresses_are_read() {
        for address in ["2001:db8::a", "64:ff9b::c000:221", "::", "ffff::ffff"] {
            let address: Ipv6Addr = address.parse().unwrap();
            let name = reverse_name(address.into());
            assert_eq!(address_of_reverse(&name), Some(address));
            assert_eq!(address_of_reverse(&name[2..]), None);
            let mut wrong = name.clone();
            wrong[1] = b'g';
            assert_eq!(address_of_reverse(&wrong), None);
        }
        let name = reverse_name("192.0.2.1".parse().unwrap());
        assert_eq!(address_of_reverse(&name), None);
    }

    #[test]
    fn addresses_have_their_reverse_names() {
        let of = |address: &str| reverse_name(address.parse().unwrap());
        assert_eq!(
            of("192.168.1.10"),
            b"\x0210\x011\x03168\x03192\x07in-addr\x04arpa\0"
        );
        let digits = b"\x010".repeat(24);
        let expected = [
            &b"\x01a"[..],
            &digits[..46],
            b"\x018\x01b\x01d\x010\x011\x010\x010\x012\x03ip6\x04arpa\0",
        ];
        assert_eq!(of("2001:db8::a"), expected.concat());
    }
}
