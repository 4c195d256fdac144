//! The name and the type as a person types them, and why they cannot be asked.
//!
//! It is before the command. A name with other letters than ASCII is asked as its A-label (RFC 5891, UTS 46); one
//! that means something to `dig` alone is refused with what to write instead.

use std::net::IpAddr;
use std::str::FromStr;

use domain::base::Name;
use domain::base::iana::Rtype;
use idna::AsciiDenyList;
use thiserror::Error;

/// A name to ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryName {
    /// The name that is asked.
    pub name: Name<Vec<u8>>,
    /// The name as typed, if it has non-ASCII letters.
    pub typed: Option<String>,
}

/// Why a word is no name, type or address to ask about.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotAskable {
    /// A server, as `dig` takes it.
    #[error(
        "to ask a resolver over DNS over TLS, write --upstream '{0}#NAME' with the name in its certificate"
    )]
    Server(String),
    /// An option, as `dig` takes it.
    #[error("options begin with two hyphens; write {0}")]
    DigOption(&'static str),
    /// No name.
    #[error("not a DNS name: {0}")]
    NotAName(String),
    /// No type.
    #[error("not a record type: write a name such as AAAA or HTTPS, or TYPE65")]
    NotAType,
    /// No address.
    #[error("not an IP address")]
    NotAnAddress,
}

/// Reads a name.
///
/// # Errors
/// [`NotAskable`].
pub fn read_name(text: &str) -> Result<QueryName, NotAskable> {
    refuse_dig(text)?;
    let parse =
        |text: &str| Name::from_str(text).map_err(|error| NotAskable::NotAName(error.to_string()));
    if text.is_ascii() {
        let name = parse(text)?;
        return Ok(QueryName { name, typed: None });
    }
    let label = idna::domain_to_ascii_cow(text.as_bytes(), AsciiDenyList::EMPTY);
    let label = label.map_err(|_| {
        NotAskable::NotAName(
            "an internationalized name with letters that are not allowed".to_owned(),
        )
    })?;
    Ok(QueryName {
        name: parse(&label)?,
        typed: Some(text.to_owned()),
    })
}

/// Reads a type.
///
/// # Errors
/// [`NotAskable`].
pub fn read_type(text: &str) -> Result<Rtype, NotAskable> {
    refuse_dig(text)?;
    Rtype::from_str(text).map_err(|_| NotAskable::NotAType)
}

/// Reads an address, for its name in the reverse zone.
///
/// # Errors
/// [`NotAskable`].
pub fn read_reverse(text: &str) -> Result<QueryName, NotAskable> {
    let address: IpAddr = text.parse().map_err(|_| NotAskable::NotAnAddress)?;
    let name = Name::reverse_from_addr(address);
    let name = name.map_err(|error| NotAskable::NotAName(error.to_string()))?;
    Ok(QueryName { name, typed: None })
}

/// Refuses what `dig` takes in this place.
fn refuse_dig(text: &str) -> Result<(), NotAskable> {
    if let Some(server) = text.strip_prefix('@') {
        return Err(NotAskable::Server(server.to_owned()));
    }
    match text.strip_prefix('+') {
        Some("short") => Err(NotAskable::DigOption("--short")),
        Some(_) => Err(NotAskable::DigOption(
            "--short or --json; there are no others",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_letters_are_sent_as_an_a_label() {
        let asked = read_name("BÜCHER.example").unwrap();
        assert_eq!(asked.name.to_string(), "xn--bcher-kva.example");
        assert_eq!(asked.typed.as_deref(), Some("BÜCHER.example"));
        let asked = read_name("_dmarc.bücher.example.").unwrap();
        assert_eq!(asked.name.to_string(), "_dmarc.xn--bcher-kva.example");
        let asked = read_name("_DMARC.Example").unwrap();
        assert_eq!(asked.name.to_string(), "_DMARC.Example");
        assert_eq!(asked.typed, None);
        for wrong in ["a..b", "ü..b", "\u{ad}", "", &"ü".repeat(64)] {
            let refused = read_name(wrong);
            assert!(
                matches!(refused, Err(NotAskable::NotAName(_))),
                "{wrong}: {refused:?}"
            );
        }
    }

    #[test]
    fn an_address_is_asked_about_in_its_reverse_zone() {
        let name = |text: &str| read_reverse(text).unwrap().name.to_string();
        assert_eq!(name("192.0.2.12"), "12.2.0.192.in-addr.arpa");
        let ipv6 = name("2001:db8::1").to_ascii_lowercase();
        assert!(ipv6.starts_with("1.0.0.") && ipv6.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"));
        assert_eq!(read_reverse("example.org"), Err(NotAskable::NotAnAddress));
    }

    #[test]
    fn what_dig_takes_is_refused_with_what_to_write() {
        let refused = read_name("@9.9.9.9").unwrap_err().to_string();
        assert!(refused.contains("--upstream '9.9.9.9#NAME'"), "{refused}");
        let refused = read_type("+short").unwrap_err().to_string();
        assert!(refused.contains("write --short"), "{refused}");
        assert_eq!(read_type("xyzzy"), Err(NotAskable::NotAType));
        assert_eq!(read_type("type65"), Ok(Rtype::HTTPS));
    }
}
