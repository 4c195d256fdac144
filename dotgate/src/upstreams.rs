//! The upstreams as all workers share them: where they are, and the TLS towards them.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::{Endpoint, UpstreamConfig};
use crate::tls::{Roots, TlsSetupError, UpstreamTls};

/// One upstream. Its addresses may change while the program runs, its TLS does not.
#[derive(Debug)]
pub struct Upstream {
    label: String,
    tls: UpstreamTls,
    addresses: ArcSwap<Vec<SocketAddr>>,
}

impl Upstream {
    /// Makes the shared state of one upstream. One that is a name has no address yet.
    ///
    /// # Errors
    /// Those of [`UpstreamTls::new`].
    pub fn new(config: &UpstreamConfig, roots: &Roots) -> Result<Upstream, TlsSetupError> {
        let addresses = match &config.endpoint {
            Endpoint::Address(address) => vec![*address],
            Endpoint::Name { .. } => Vec::new(),
        };
        Ok(Upstream {
            label: config.label.clone(),
            tls: UpstreamTls::new(&config.authentication, roots)?,
            addresses: ArcSwap::from(Arc::new(addresses)),
        })
    }

    /// How logs call it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The TLS of its sessions.
    pub fn tls(&self) -> &UpstreamTls {
        &self.tls
    }

    /// The address for the `try_number`th opening since it was well: each in turn, so that a dead address or
    /// family costs one try. None while its name is not resolved.
    pub fn address(&self, try_number: u32) -> Option<SocketAddr> {
        let addresses = self.addresses.load();
        let count = u32::try_from(addresses.len())
            .ok()
            .filter(|count| *count > 0)?;
        addresses.get((try_number % count) as usize).copied()
    }

    /// Takes the addresses its name has now.
    pub fn set_addresses(&self, addresses: Vec<SocketAddr>) {
        self.addresses.store(Arc::new(addresses));
    }
}
