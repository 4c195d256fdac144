//! Percent-encoding (RFC 3986 section 2.1).

use data_encoding::HEXUPPER_PERMISSIVE;

/// The text that a part of an address stands for; none if that is no text.
pub(super) fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = part.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            bytes.extend(HEXUPPER_PERMISSIVE.decode(digits).ok()?);
            rest = behind;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A text as a part of an address: all but letters, digits, `-`, `_` and `.` encoded (RFC 3986 section 2.3).
pub(crate) fn encoded(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_to_the_same() {
        for text in ["", "example.com.", "_dns.a/b?.test", "slow>200ms, ü%"] {
            assert_eq!(decoded(&encoded(text)).as_deref(), Some(text));
        }
        assert_eq!(encoded("_dns.a/b?.test."), "_dns.a%2Fb%3F.test.");
        for wrong in ["a%2", "a%zz", "%ff", "%"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }
}
