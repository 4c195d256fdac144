//! The upstreams as all workers share them: where they are, the TLS towards them, and how long their certificates last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::config::{Endpoint, UpstreamConfig};
use crate::tls::{CertificateFacts, Roots, TlsSetupError, UpstreamTls};

/// One upstream. Its addresses may change while the program runs, its TLS does not.
#[derive(Debug)]
pub struct Upstream {
    label: String,
    tls: UpstreamTls,
    addresses: ArcSwap<Vec<SocketAddr>>,
    /// The last second of its certificate, in seconds since 1970; `UNKNOWN` before the first handshake.
    certificate_ends: AtomicI64,
}

const UNKNOWN: i64 = i64::MIN;

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
            certificate_ends: AtomicI64::new(UNKNOWN),
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

    /// Takes note of what it showed in a full handshake, its own certificate first.
    pub fn note_certificates(&self, certificates: &[CertificateDer<'_>]) {
        let own = certificates.first().map(CertificateFacts::read);
        if let Some(Ok(facts)) = own {
            self.certificate_ends.store(facts.not_after, Relaxed);
        }
    }

    /// The whole days from `now` to its certificate's end, negative once it has ended; none before the first handshake.
    pub fn certificate_days_left(&self, now: UnixTime) -> Option<i64> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.certificate_ends()
            .map(|ends| ends.saturating_sub(now).div_euclid(86_400))
    }

    /// The last second of its certificate, in seconds since 1970; none before the first full handshake.
    pub fn certificate_ends(&self) -> Option<i64> {
        let ends = self.certificate_ends.load(Relaxed);
        (ends != UNKNOWN).then_some(ends)
    }
}
