//! Whether portal windows may be opened, and the resolver of a network.

use std::fmt;

use super::{Kind, Resolvers};
use crate::address::ScopedSocketAddress;
use crate::fault::Fault;
use crate::upstream::PLAIN_PORT;

/// Whether portal windows may be opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PortalPolicy {
    /// No.
    #[default]
    Off,
    /// With any resolver that the command names.
    On,
    /// With this one alone.
    Resolver(ScopedSocketAddress),
}

impl fmt::Display for PortalPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortalPolicy::Off => f.write_str("off"),
            PortalPolicy::On => f.write_str("on"),
            PortalPolicy::Resolver(address) => write!(f, "{address}"),
        }
    }
}

/// `off`, `on` or a resolver.
#[derive(Debug)]
pub struct Portal;

impl Kind for Portal {
    type Value = PortalPolicy;

    fn read(&self, text: &str) -> Result<PortalPolicy, Fault> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(PortalPolicy::Off);
        }
        if text.eq_ignore_ascii_case("on") {
            return Ok(PortalPolicy::On);
        }
        read_resolver(text).map(PortalPolicy::Resolver)
    }

    fn expected(&self) -> String {
        format!(
            "off, on, or ADDR or ADDR@PORT of the network's resolver (port {PLAIN_PORT} if not given)"
        )
    }
}

/// Reads the resolver of a network: `ADDR` or `ADDR@PORT`.
///
/// # Errors
/// What is wrong with it.
pub fn read_resolver(text: &str) -> Result<ScopedSocketAddress, Fault> {
    let kind = Resolvers {
        most: 1,
        port: PLAIN_PORT,
    };
    let found = kind.read(text)?.into_iter().next();
    found.ok_or_else(|| Fault::NotAnAddress {
        item: text.to_owned(),
    })
}
