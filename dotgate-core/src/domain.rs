//! The registrable domain of a name: the part that one owner has, such as `example.co.uk`.
//!
//! All names of one owner count as one piece of evidence. Public suffixes are those of
//! the Public Suffix List (publicsuffix.org), as of the version of the crate `psl`.

use psl::{List, Psl};

/// Who runs a server with this name, in text without a dot at its end: the registrable domain. A name that has none is
/// its own.
pub fn operator(name: &str) -> &str {
    let domain = List.domain(name.as_bytes());
    let text = domain.and_then(|domain| str::from_utf8(domain.as_bytes()).ok());
    text.unwrap_or(name)
}

/// A name has at most 127 labels besides the root.
const LABELS_MAX: usize = 127;

/// The registrable domain of an uncompressed name in lower case, as a suffix of it. A name that is a public suffix
/// itself, or the root, is its own.
pub fn registrable(name: &[u8]) -> &[u8] {
    let mut starts = [0; LABELS_MAX];
    let mut count = 0;
    let mut at = 0;
    while let Some(length) = name.get(at).copied().filter(|length| *length != 0) {
        let Some(start) = starts.get_mut(count) else {
            return name;
        };
        *start = at;
        count += 1;
        at += 1 + usize::from(length);
    }
    let starts = starts.get(..count).unwrap_or_default();
    let label = |start: &usize| {
        let length = name.get(*start).copied().map_or(0, usize::from);
        name.get(start + 1..start + 1 + length).unwrap_or_default()
    };
    // A suffix of n bytes as text has n + 1 here, and the root behind them.
    let suffix = List.find(starts.iter().rev().map(label)).len + 2;
    let longer = starts
        .iter()
        .rev()
        .find(|start| name.len() - **start > suffix);
    longer.map_or(name, |start| name.get(*start..).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dotgate_message::wire_name as wire;

    #[test]
    fn names_of_one_owner_have_one_registrable_domain() {
        for (name, domain) in [
            ("www.example.com", "example.com"),
            ("a.b.c.example.co.uk", "example.co.uk"),
            ("example.co.uk", "example.co.uk"),
            ("co.uk", "co.uk"),
            ("uk", "uk"),
            ("", ""),
            ("someone.github.io", "someone.github.io"),
            ("x.someone.github.io", "someone.github.io"),
            ("printer.some-unknown-suffix", "printer.some-unknown-suffix"),
            ("4.3.2.1.in-addr.arpa", "1.in-addr.arpa"),
        ] {
            let name_wire = wire(name);
            assert_eq!(registrable(&name_wire), wire(domain), "{name}");
        }
    }

    #[test]
    fn an_operator_has_all_names_of_its_domain() {
        for (name, domain) in [
            ("dns.quad9.net", "quad9.net"),
            ("abc123.dns.nextdns.io", "nextdns.io"),
            ("one.one.one.one", "one.one"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(operator(name), domain);
        }
    }

    #[test]
    fn what_is_no_name_is_its_own() {
        assert_eq!(registrable(&[]), &[] as &[u8]);
        assert_eq!(registrable(&[9, b'a']), &[9, b'a']);
        let labels = [1, b'a'].repeat(200);
        assert_eq!(registrable(&labels), labels);
    }
}
