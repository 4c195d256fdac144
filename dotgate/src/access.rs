//! Who may ask, with the networks that this host is part of.
//!
//! The settings may allow or deny the networks of this host's interfaces. They are found out when the settings are read, and
//! looked at now and then: other networks are a reason to reload.

use std::io;

use dotgate_config::{AccessConfig, AccessEntry, AccessNetwork};
use dotgate_core::{Access, AccessAnswer, AccessScope};
use dotgate_net::interfaces;
use ipnet::IpNet;

/// Who may ask.
#[derive(Clone, Debug, Default)]
pub struct HostAccess {
    config: Option<AccessConfig>,
    /// The networks of this host, in order; none unless the settings depend on them.
    networks: Vec<IpNet>,
}

impl HostAccess {
    /// Finds out what the settings mean on this host now.
    ///
    /// # Errors
    /// Those of the system, which may not say what networks there are.
    pub(crate) fn find(config: &AccessConfig) -> io::Result<HostAccess> {
        let networks = match config.has_local_networks() {
            true => networks(interfaces::addresses()?),
            false => Vec::new(),
        };
        Ok(HostAccess {
            config: Some(config.clone()),
            networks,
        })
    }

    /// Whether the settings depend on the networks of this host, and it has others now.
    pub(crate) fn is_outdated(&self) -> bool {
        let config = self.config.as_ref();
        config.is_some_and(AccessConfig::has_local_networks)
            && interfaces::addresses().is_ok_and(|now| networks(now) != self.networks)
    }

    /// The networks of this host, if the settings depend on them.
    pub(crate) fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    /// What clients get that may not ask.
    pub(crate) fn answer(&self) -> AccessAnswer {
        let config = self.config.as_ref();
        config.map_or(AccessAnswer::Refused, |config| config.answer)
    }

    /// The same for an engine.
    pub(crate) fn rules(&self) -> Access {
        let Some(config) = &self.config else {
            return Access::default();
        };
        let (allowed, denied) = (self.prefixes(&config.allow), self.prefixes(&config.deny));
        Access::new(&allowed, &denied, config.answer)
    }

    fn prefixes(&self, entries: &[AccessEntry]) -> Vec<(IpNet, AccessScope)> {
        let of_entry = |entry: &AccessEntry| {
            let prefixes = match entry.network {
                AccessNetwork::Prefix(prefix) => vec![prefix],
                AccessNetwork::Local => self.networks.clone(),
            };
            let scope = entry.scope;
            prefixes.into_iter().map(move |prefix| (prefix, scope))
        };
        entries.iter().flat_map(of_entry).collect()
    }
}

/// The networks of these addresses, in order. An interface without a network is no reason to let everybody ask.
fn networks(addresses: Vec<(std::net::IpAddr, u8)>) -> Vec<IpNet> {
    let networks = addresses.into_iter().filter(|(_, bits)| *bits > 0);
    let networks = networks.filter_map(|(address, bits)| IpNet::new(address, bits).ok());
    let mut networks: Vec<IpNet> = networks.map(|network| network.trunc()).collect();
    networks.sort_unstable();
    networks.dedup();
    networks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_are_one_and_no_network_is_everybody() {
        let addresses = [
            ("192.168.1.7", 24),
            ("192.168.1.8", 24),
            ("fe80::1", 64),
            ("10.0.0.1", 32),
            ("0.0.0.0", 0),
        ];
        let addresses = addresses.map(|(ip, bits)| (ip.parse().unwrap(), bits));
        let found: Vec<String> = networks(addresses.to_vec())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["10.0.0.1/32", "192.168.1.0/24", "fe80::/64"]);
    }
}
