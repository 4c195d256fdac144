//! What can be wrong with one written value, as a closed set.
//! Stands between the kinds of value, which find faults, and `Problem`, which adds where the value was written.

use std::fmt;

use ipnet::IpNet;

use super::upstream::PINS_MAX;

/// What is wrong with a value. Where it holds an item, it is the one of the list at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An authentication domain name after an upstream's name, which is authenticated as itself.
    AuthenticationNameOfAName {
        /// The upstream as written.
        item: String,
    },
    /// An item stands twice.
    Duplicate {
        /// The second one as written.
        item: String,
    },
    /// Nothing is written.
    Empty,
    /// Nothing is written between two commas, or before the first or after the last.
    EmptyItem,
    /// A prefix has address bits beyond its length.
    HostBits {
        /// The prefix as written.
        item: String,
        /// The prefix without these bits.
        prefix: IpNet,
    },
    /// An IPv6 link-local address has no zone.
    NoZone {
        /// The address as written.
        item: String,
    },
    /// A lower bound is above the upper bound of the same thing.
    Above {
        /// The setting of the upper bound.
        other: &'static str,
    },
    /// Neither `true` nor `false`.
    NotABoolean,
    /// Not a number with a unit of time.
    NotADuration,
    /// Not a DNS name that can be in a certificate.
    NotAName {
        /// The name as written.
        item: String,
    },
    /// Not a DNS name.
    NotASuffix {
        /// The name as written.
        item: String,
    },
    /// Not decimal digits.
    NotANumber,
    /// Neither an address nor a name.
    NotAnAddressOrName {
        /// What is written.
        item: String,
    },
    /// Not an IP address, a colon and a port.
    NotAnAddressWithPort {
        /// What is written.
        item: String,
    },
    /// Not an IP address.
    NotAnAddress {
        /// What is written.
        item: String,
    },
    /// Not `sha256/` and the base64 of 32 octets.
    NotAPin {
        /// The pin as written.
        item: String,
    },
    /// Not a port from 1 to 65535.
    NotAPort {
        /// The port as written.
        item: String,
    },
    /// Not an address, a slash and a length.
    NotAPrefix {
        /// What is written.
        item: String,
    },
    /// Not a number with a unit of size.
    NotASize,
    /// None of the words of the set.
    NotAWord {
        /// What is written.
        item: String,
    },
    /// An address that no connection can be made to.
    NotConnectable {
        /// The address as written.
        item: String,
    },
    /// Understood, but less or more than allowed.
    OutOfRange,
    /// A port after a colon.
    PortAfterColon {
        /// The upstream as written.
        item: String,
        /// The same with the port where it belongs.
        instead: String,
    },
    /// More items than allowed.
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// More pins than allowed for one upstream.
    TooManyPins {
        /// How many there are.
        found: usize,
    },
    /// Something other than `pin=` after a semicolon.
    UnknownParameter {
        /// What is written.
        item: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuthenticationNameOfAName { item } => {
                write!(
                    f,
                    "{} has two names (a name is authenticated as itself)",
                    Shown(item)
                )
            }
            Self::Duplicate { item } => write!(f, "{} is there twice", Shown(item)),
            Self::Empty => write!(f, "it is empty"),
            Self::EmptyItem => write!(f, "there is nothing before or after a comma"),
            Self::HostBits { item, prefix } => {
                write!(
                    f,
                    "{} has bits beyond its length (write {prefix})",
                    Shown(item)
                )
            }
            Self::NoZone { item } => {
                write!(
                    f,
                    "{0} is link-local and needs its interface ({0}%2)",
                    Shown(item)
                )
            }
            Self::NotABoolean => write!(f, "it is neither true nor false"),
            Self::NotADuration => write!(f, "it is not a number with a unit of time"),
            Self::NotAName { item } | Self::NotASuffix { item } => {
                write!(f, "{} is not a DNS name", Shown(item))
            }
            Self::NotANumber => write!(f, "it is not a whole number"),
            Self::NotAnAddressOrName { item } => {
                write!(f, "{} is neither an IP address nor a DNS name", Shown(item))
            }
            Self::NotAnAddressWithPort { item } => write!(f, "{} is no ADDR:PORT", Shown(item)),
            Self::NotAnAddress { item } => write!(f, "{} is not an IP address", Shown(item)),
            Self::NotAPin { item } => {
                write!(f, "{} is not sha256/ and 32 octets in base64", Shown(item))
            }
            Self::NotAPort { item } => write!(f, "{} is not a port from 1 to 65535", Shown(item)),
            Self::NotAPrefix { item } => write!(f, "{} is no address or prefix", Shown(item)),
            Self::NotASize => write!(f, "it is not a number with a unit of size"),
            Self::Above { other } => write!(f, "it is more than {other} is"),
            Self::NotAWord { item } => write!(f, "{} is not one of the words", Shown(item)),
            Self::NotConnectable { item } => {
                write!(f, "no connection can be made to {}", Shown(item))
            }
            Self::OutOfRange => write!(f, "it is out of range"),
            Self::PortAfterColon { item, instead } => {
                write!(
                    f,
                    "{} has its port after a colon (write {})",
                    Shown(item),
                    Shown(instead)
                )
            }
            Self::TooMany { found } => write!(f, "there are {found}"),
            Self::TooManyPins { found } => {
                write!(f, "an upstream has {found} pins, the most is {PINS_MAX}")
            }
            Self::UnknownParameter { item } => {
                write!(
                    f,
                    "{} is not a parameter of an upstream (pin= is)",
                    Shown(item)
                )
            }
        }
    }
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

/// Text of somebody else's making with its control characters escaped.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}
