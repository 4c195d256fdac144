//! Who may ask, and at which listeners: `access.allow`, `access.deny` and `access.answer`.
//!
//! An entry is a prefix, an address, or the word for the networks of this host, and may end in `@` and the listener at
//! which it holds.

use std::fmt;
use std::net::IpAddr;

use dotgate_core::{AccessAnswer, AccessScope};
use ipnet::IpNet;

/// Which clients an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessNetwork {
    /// Those with these addresses.
    Prefix(IpNet),
    /// Those of the networks that this host is part of.
    Local,
}

/// One entry of a list of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessEntry {
    /// Which clients.
    pub network: AccessNetwork,
    /// At which listeners.
    pub scope: AccessScope,
}

/// Who may ask.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AccessConfig {
    /// The clients that may.
    pub allow: Vec<AccessEntry>,
    /// Those of them that may not.
    pub deny: Vec<AccessEntry>,
    /// What others get.
    pub answer: AccessAnswer,
}

impl AccessConfig {
    /// Whether it depends on the networks of this host.
    pub fn has_local_networks(&self) -> bool {
        let mut entries = self.allow.iter().chain(&self.deny);
        entries.any(|entry| entry.network == AccessNetwork::Local)
    }

    /// The prefixes of the clients that may ask somewhere, but for the networks of this host.
    pub(crate) fn allowed_prefixes(&self) -> impl Iterator<Item = IpNet> {
        self.allow.iter().filter_map(|entry| match entry.network {
            AccessNetwork::Prefix(prefix) => Some(prefix),
            AccessNetwork::Local => None,
        })
    }
}

/// What is wrong with entries that are right one by one.
#[derive(Debug)]
pub enum AccessFault {
    /// An entry holds at an address that nothing listens on.
    NoSuchListener {
        /// The setting.
        variable: &'static str,
        /// The address.
        address: IpAddr,
    },
}

impl fmt::Display for AccessFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchListener { variable, address } => write!(
                f,
                "{variable} has an entry @{address}, but no listener has this address\n  to do: use an address of \
                 HOST or of another listener, or remove @{address}"
            ),
        }
    }
}
