//! What can be wrong with one written value, as a closed set.
//! It is between the kinds of value, which find faults, and `Problem`, which adds where the value was written.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;

/// The most pins of one upstream: some in use, some in reserve.
pub(crate) const PINS_MAX: usize = 8;

/// What is wrong with a value. Where it holds an item, it is the one of the list at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// An address where a suffix of names is expected.
    #[error("{item} is an address (write {prefix} for its reverse name)")]
    AddressAsSuffix {
        /// The address.
        item: IpAddr,
        /// The prefix of this address alone.
        prefix: IpNet,
    },
    /// An authentication domain name after an upstream's name, which is authenticated as itself.
    #[error("{} has two names (a name is authenticated as itself)", Shown(.item))]
    AuthenticationNameOfAName {
        /// The upstream as written.
        item: String,
    },
    /// The key of a client certificate that is not there.
    #[error("{} is a client-key without a client-cert", Shown(.item))]
    ClientKeyAlone {
        /// The file of the key.
        item: String,
    },
    /// No resolver that could designate an endpoint.
    #[error("{} is no resolver that designates its endpoint (write ddr:ADDR or ddr:ADDR@PORT)", Shown(.item))]
    NotADesignatingResolver {
        /// The upstream as written.
        item: String,
    },
    /// No user of a system.
    #[error("{} is neither the name of a user nor UID:GID", Shown(.item))]
    NoUser {
        /// The text as written.
        item: String,
    },
    /// A duplicate item.
    #[error("{} is listed twice", Shown(.item))]
    Duplicate {
        /// The second one as written.
        item: String,
    },
    /// A fault, and what may have been meant.
    #[error("{fault} ({hint})")]
    Hinted {
        /// What is wrong.
        fault: Box<Fault>,
        /// What to do about it.
        hint: String,
    },
    /// The quotes around a value are part of it.
    #[error("the quotes are part of the value and are not removed (write {})", Shown(.bare))]
    Quoted {
        /// The value without them.
        bare: String,
    },
    /// Nothing is written.
    #[error("it is empty")]
    Empty,
    /// Nothing is written between two commas, or before the first or after the last.
    #[error("there is nothing before or after a comma")]
    EmptyItem,
    /// A prefix has address bits beyond its length.
    #[error("{} has bits beyond its length (write {prefix})", Shown(.item))]
    HostBits {
        /// The prefix as written.
        item: String,
        /// The prefix without these bits.
        prefix: IpNet,
    },
    /// An address that is not link-local has a zone.
    #[error("{} is not link-local and has no interface (write {})", Shown(.item), Shown(without_zone(.item)))]
    NeedlessZone {
        /// The address as written.
        item: String,
    },
    /// An IPv6 link-local address has no zone.
    #[error("{0} is link-local and needs its interface (as in {0}%eth0)", Shown(.item))]
    NoZone {
        /// The address as written.
        item: String,
    },
    /// A lower bound is above the upper bound of the same thing.
    #[error("it is more than {other} is")]
    Above {
        /// The setting of the upper bound.
        other: &'static str,
    },
    /// Neither `true` nor `false`.
    #[error("it is neither true nor false")]
    NotABoolean,
    /// Not a number with a unit of time.
    #[error("it is not a number with a unit of time")]
    NotADuration,
    /// Not a route.
    #[error("{} is not SUFFIX=UPSTREAM", Shown(.item))]
    NotARoute {
        /// What is written.
        item: String,
    },
    /// A name that is not in ASCII: which A-labels it stands for is a matter of choice (RFC 5891).
    #[error("{} is not in ASCII{}", Shown(.item), instead(.a_label.as_deref()))]
    NotAnALabel {
        /// The name as written.
        item: String,
        /// Its A-labels, if it has any.
        a_label: Option<String>,
    },
    /// Not a DNS name that can be in a certificate.
    #[error("{} is not a DNS name", Shown(.item))]
    NotAName {
        /// The name as written.
        item: String,
    },
    /// Not a DNS name.
    #[error("{} is not a DNS name", Shown(.item))]
    NotASuffix {
        /// The name as written.
        item: String,
    },
    /// A wildcard where a suffix of names is expected, which has none.
    #[error("{} is a wildcard (write {}, which stands for itself and all names below it)", Shown(.item), Shown(.name))]
    WildcardAsSuffix {
        /// The wildcard as written.
        item: String,
        /// The name behind its asterisk.
        name: String,
    },
    /// Not a condition on queries.
    #[error("{} is not failed, slow>TIME, suffix=NAME, client=PREFIX or sample=1/N", Shown(.item))]
    NotAQueryFilter {
        /// The item as written.
        item: String,
    },
    /// Not a reader of dnstap.
    #[error("{} is not off, unix:PATH or tcp:ADDR:PORT", Shown(.item))]
    NotADnstapReader {
        /// The value as written.
        item: String,
    },
    /// Not decimal digits.
    #[error("it is not a whole number")]
    NotANumber,
    /// A plain upstream is not an address.
    #[error("{} is not plain:ADDR or plain:ADDR@PORT", Shown(.item))]
    NotAPlainUpstream {
        /// The upstream as written.
        item: String,
    },
    /// Neither an address nor a name.
    #[error("{} is neither an IP address nor a DNS name", Shown(.item))]
    NotAnAddressOrName {
        /// What is written.
        item: String,
    },
    /// Not an IP address, a colon and a port.
    #[error("{} is not a valid ADDR:PORT", Shown(.item))]
    NotAnAddressWithPort {
        /// What is written.
        item: String,
    },
    /// Not an IP address.
    #[error("{} is not an IP address", Shown(.item))]
    NotAnAddress {
        /// What is written.
        item: String,
    },
    /// Not `sha256/` and the base64 of 32 bytes.
    #[error("{} is not sha256/ and 32 bytes in base64", Shown(.item))]
    NotAPin {
        /// The pin as written.
        item: String,
    },
    /// Not a key in hexadecimal.
    #[error("not 32 hexadecimal digits")]
    NotAKey,
    /// A key that nobody has drawn at random.
    #[error("a key of zeros is not random")]
    KeyOfZeros,
    /// Not a weight.
    #[error("{} is not a weight from 1 to 100", Shown(.item))]
    NotAWeight {
        /// The weight as written.
        item: String,
    },
    /// Not a routing mark.
    #[error("{} is not a mark from 0 to 4294967295, decimal or hexadecimal after 0x", Shown(.item))]
    NotAMark {
        /// The mark as written.
        item: String,
    },
    /// Not the name of an interface.
    #[error("{} is not the name of an interface (as in eth0)", Shown(.item))]
    NotAnInterface {
        /// What is written.
        item: String,
    },
    /// A source address of the other address family.
    #[error("from {from} no connection can be made to {target}: one is IPv4, the other IPv6")]
    OtherFamily {
        /// The source address.
        from: IpAddr,
        /// The upstream's address.
        target: IpAddr,
    },
    /// Not a port from 1 to 65535.
    #[error("{} is not a port from 1 to 65535", Shown(.item))]
    NotAPort {
        /// The port as written.
        item: String,
    },
    /// An entry of an access list that holds at no listener.
    #[error("the part after @ in {} is not a listener", Shown(.item))]
    NotAListener {
        /// The entry as written.
        item: String,
    },
    /// Not an address, a slash and a length.
    #[error("{} is not an address or prefix", Shown(.item))]
    NotAPrefix {
        /// What is written.
        item: String,
    },
    /// Not a prefix that a NAT64 may have.
    #[error(
        "{} is not an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits whose bits 64 to 71 are zero (RFC 6052 section 2.2)",
        Shown(.item)
    )]
    NotANat64Prefix {
        /// What is written.
        item: String,
    },
    /// Not the name of a record.
    #[error("{} is not a domain name", Shown(.item))]
    NotARecordName {
        /// What is written.
        item: String,
    },
    /// Not a record type.
    #[error("{} is not a record type", Shown(.item))]
    NotARecordType {
        /// What is written.
        item: String,
    },
    /// Not a DNS record.
    #[error("{} is not a record that can be served: {why}", Shown(.item))]
    NotARecord {
        /// The record as written.
        item: String,
        /// Why it is none.
        why: String,
    },
    /// Not a number with a unit of size.
    #[error("it is not a number with a unit of size")]
    NotASize,
    /// None of the words of the set.
    #[error("{} is not a valid value", Shown(.item))]
    NotAWord {
        /// What is written.
        item: String,
    },
    /// An address that no connection can be made to.
    #[error("no connection can be made to {}", Shown(.item))]
    NotConnectable {
        /// The address as written.
        item: String,
    },
    /// Understood, but less or more than allowed.
    #[error("it is out of range")]
    OutOfRange,
    /// A port after a colon.
    #[error("{} has its port after a colon (write {})", Shown(.item), Shown(.instead))]
    PortAfterColon {
        /// The upstream as written.
        item: String,
        /// The same with the port where it belongs.
        instead: String,
    },
    /// The root where a suffix is expected.
    #[error("the default route is DNS_HOST and not a suffix")]
    RootAsSuffix,
    /// More items than allowed.
    #[error("there are {found}")]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// More `[[record]]` tables than allowed.
    #[error("there are {found} [[record]] tables; the maximum is {most}")]
    TooManyRecords {
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// More pins than allowed for one upstream.
    #[error("an upstream has {found} pins; the maximum is {PINS_MAX}")]
    TooManyPins {
        /// How many there are.
        found: usize,
    },
    /// Something that an upstream does not have after a semicolon.
    #[error("{} is not a parameter of an upstream; the parameters are {known}", Shown(.item))]
    UnknownParameter {
        /// What is written.
        item: String,
        /// How those are written that there are.
        known: String,
    },
}

impl Fault {
    /// Adds what may have been meant, unless something was said already.
    #[must_use]
    pub(super) fn with_hint(self, hint: Option<String>) -> Fault {
        match (self, hint) {
            (fault @ Fault::Hinted { .. }, _) | (fault, None) => fault,
            (fault, Some(hint)) => {
                let fault = Box::new(fault);
                Fault::Hinted { fault, hint }
            }
        }
    }
}

/// What to write for a name, if that is known.
fn instead(a_label: Option<&str>) -> String {
    let text = |a_label| format!(" (write {})", Shown(a_label));
    a_label.map(text).unwrap_or_default()
}

/// An address without what follows its zone's mark.
fn without_zone(item: &str) -> &str {
    item.split('%').next().unwrap_or_default()
}

/// Text of somebody else's making, fit to be printed: control characters escaped, at most 200 characters.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 200;
        if self.0.is_empty() {
            return write!(f, "\"\"");
        }
        let end = self
            .0
            .char_indices()
            .nth(MOST)
            .map_or(self.0.len(), |(at, _)| at);
        write!(f, "{}", Escaped(self.0.get(..end).unwrap_or_default()))?;
        if end < self.0.len() {
            write!(f, "...")
        } else {
            Ok(())
        }
    }
}

/// Text of somebody else's making with its control characters escaped, and those that change the direction of text.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() || changes_direction(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

/// Whether text behind it is shown elsewhere than it stands: marks, embeddings and isolates, and separators of lines.
fn changes_direction(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}
