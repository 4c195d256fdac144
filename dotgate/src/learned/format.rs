//! The state file as text: JSON with one line for each upstream of which something is known.
//!
//! ```text
//! {"dotgate_upstreams":1,"upstreams":[
//! {"upstream":"9.9.9.9@853#dns.quad9.net","classical_until":1790000000,"idle_timeout_ms":10000}
//! ]}
//! ```
//!
//! A version writes what it reads, and all of it. Another version's file is not read, and is replaced when something is
//! learned.

use dotgate_core::limits;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a state file begins with.
pub(super) const MAGIC: &[u8] = b"{\"dotgate_upstreams\":";

/// The form of all that follows.
const VERSION: u32 = 1;

/// The longest file that is read: several times what all upstreams make.
pub(super) const BYTES_MAX: u64 = 256 * 1024;

/// Why text is not a state file to be read.
#[derive(Debug, Error)]
pub(super) enum Unreadable {
    /// It is not one of this version.
    #[error(
        "it is damaged, or another version of dotgate wrote it ({0}); it is replaced when something is learned"
    )]
    Foreign(#[from] serde_json::Error),
    /// It has another version.
    #[error(
        "another version of dotgate wrote it, in form {0}, and this one reads form {VERSION}; it is replaced when something is learned"
    )]
    Version(u32),
    /// It is longer than what is written here.
    #[error("it has more than {BYTES_MAX} bytes or more than {most} upstreams; remove it", most = limits::UPSTREAMS)]
    TooLong,
}

/// What is known of an upstream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// As in the settings and in logs.
    pub(super) upstream: String,
    /// Until when it gets classical handshakes, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) classical_until: Option<u64>,
    /// After what time it closed an idle session, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) idle_timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "dotgate_upstreams")]
    _version: u32,
    upstreams: Vec<Entry>,
}

/// What files of all versions have.
#[derive(Deserialize)]
struct Version {
    dotgate_upstreams: u32,
}

pub(super) fn parse(text: &[u8]) -> Result<Vec<Entry>, Unreadable> {
    if text.len() as u64 > BYTES_MAX {
        return Err(Unreadable::TooLong);
    }
    let Version { dotgate_upstreams } = serde_json::from_slice(text)?;
    if dotgate_upstreams != VERSION {
        return Err(Unreadable::Version(dotgate_upstreams));
    }
    let File { upstreams, .. } = serde_json::from_slice(text)?;
    if upstreams.len() > limits::UPSTREAMS {
        return Err(Unreadable::TooLong);
    }
    Ok(upstreams)
}

pub(super) fn write(entries: Vec<Entry>) -> Result<Vec<u8>, serde_json::Error> {
    let line = |entry: &Entry| serde_json::to_string(entry);
    let lines: Result<Vec<String>, _> = entries.iter().map(line).collect();
    let mut text = MAGIC.to_vec();
    let rest = format!("{VERSION},\"upstreams\":[\n{}\n]}}\n", lines?.join(",\n"));
    text.extend_from_slice(rest.as_bytes());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(upstream: &str) -> Entry {
        Entry {
            upstream: upstream.to_owned(),
            classical_until: Some(1_790_000_000),
            idle_timeout_ms: Some(10_000),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for entries in [
            vec![],
            vec![entry("9.9.9.9@853#dns.quad9.net"), entry("\"x\"\n")],
        ] {
            let text = write(entries.clone()).unwrap();
            assert!(text.starts_with(MAGIC));
            assert_eq!(parse(&text).unwrap(), entries);
        }
    }

    #[test]
    fn damage_other_versions_and_too_much_are_refused() {
        let good = write(vec![entry("a")]).unwrap();
        for end in 0..good.len() - 1 {
            assert!(
                matches!(parse(&good[..end]), Err(Unreadable::Foreign(_))),
                "{end}"
            );
        }
        let good = String::from_utf8(good).unwrap();
        for (from, to) in [
            ("1790000000", "-1"),
            ("1790000000", "\"soon\""),
            ("classical_until", "quantum_until"),
            ("10000", "1e4"),
            ("\"upstreams\"", "\"downstreams\""),
        ] {
            let bad = good.replace(from, to);
            assert!(
                matches!(parse(bad.as_bytes()), Err(Unreadable::Foreign(_))),
                "{bad}"
            );
        }
        let later = good.replace("s\":1,", "s\":2,\"new\":{},");
        assert!(matches!(
            parse(later.as_bytes()),
            Err(Unreadable::Version(2))
        ));
        let many = write(vec![entry("a"); limits::UPSTREAMS + 1]).unwrap();
        assert!(matches!(parse(&many), Err(Unreadable::TooLong)));
        let long = vec![b' '; BYTES_MAX as usize + 1];
        assert!(matches!(parse(&long), Err(Unreadable::TooLong)));
    }
    #[test]
    fn a_file_from_before_idle_timeouts_were_learned_is_read() {
        let text = br#"{"dotgate_upstreams":1,"upstreams":[{"upstream":"a","classical_until":7}]}"#;
        let entries = parse(text).unwrap();
        assert_eq!(entries[0].classical_until, Some(7));
        assert_eq!(entries[0].idle_timeout_ms, None);
    }
}
