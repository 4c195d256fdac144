//! The name in the reverse zones under which the name of an address is asked for.

use std::fmt::Write;
use std::net::IpAddr;

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

#[cfg(test)]
mod tests {
    use super::*;

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
