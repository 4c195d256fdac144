//! What all sessions to one upstream share: verifier, ticket store and configurations.
//!
//! It stands under *pool*: made once per upstream and generation of the configuration, shared by all
//! workers. Tickets never cross from one upstream to another (RFC 8446 section 4.6.1), and early data is
//! never sent. Limits: 8 tickets.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls::client::{ClientSessionMemoryCache, Resumption, Tls12Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection};
use thiserror::Error;

use super::client::ClientTls;
use super::failure::TlsFailure;
use super::roots::Roots;
use super::verifier::{Check, Verifier};
use super::{Authentication, Identity};

/// The protocol name of DNS over TLS (IANA's ALPN registry).
const ALPN: &[u8] = b"dot";

/// Tickets kept for the upstream; as many as rustls keeps for one name.
const TICKETS: usize = 8;

/// Why an upstream's TLS cannot be set up.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum TlsSetupError {
    /// Neither a name nor an address nor a pin: there is nothing that could authenticate the upstream.
    #[error("the upstream has no name, no address and no pin to be authenticated by")]
    NothingToCheck,
    /// Pins together with the opportunistic profile, which would not look at them.
    #[error("pins have no effect with insecure-opportunistic: remove one of the two")]
    PinsNotChecked,
    /// The set of trust anchors is empty.
    #[error("there is no trusted certificate authority")]
    NoRoots,
    /// rustls refused the set-up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Everything shared by all sessions to one upstream.
#[derive(Debug)]
pub struct UpstreamTls {
    with_alpn: Arc<ClientConfig>,
    without_alpn: Arc<ClientConfig>,
    server_name: ServerName<'static>,
}

impl UpstreamTls {
    /// Makes the shared part for one upstream.
    ///
    /// # Errors
    /// [`TlsSetupError`]: nothing to check, pins that would not be checked, no trust anchors, or rustls
    /// refusing the set-up.
    pub fn new(authentication: &Authentication, roots: &Roots) -> Result<Self, TlsSetupError> {
        Self::with_time(authentication, roots, Arc::new(DefaultTimeProvider))
    }

    /// As [`Self::new`], with certificates judged by another clock.
    pub(super) fn with_time(
        authentication: &Authentication,
        roots: &Roots,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Self, TlsSetupError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let check = check(authentication, roots, &provider)?;
        let algorithms = provider.signature_verification_algorithms;
        let mut config = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier::new(check, algorithms)))
            .with_no_client_auth();
        config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(TICKETS)))
            .tls12_resumption(Tls12Resumption::SessionIdOrTickets);
        config.enable_early_data = false;
        // Both configurations share verifier and tickets: rustls compares them by address.
        let without_alpn = config.clone();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self {
            with_alpn: Arc::new(config),
            without_alpn: Arc::new(without_alpn),
            server_name: server_name(&authentication.identity),
        })
    }

    /// Starts one session's TLS, with the protocol name "dot" offered if `alpn` is set.
    ///
    /// # Errors
    /// [`TlsFailure::Protocol`] where rustls cannot start (no randomness).
    pub fn connect(&self, alpn: bool) -> Result<ClientTls, TlsFailure> {
        let config = if alpn {
            &self.with_alpn
        } else {
            &self.without_alpn
        };
        ClientConnection::new(Arc::clone(config), self.server_name.clone())
            .map(ClientTls::new)
            .map_err(|error| TlsFailure::from_rustls(error, true))
    }
}

fn check(
    authentication: &Authentication,
    roots: &Roots,
    provider: &Arc<CryptoProvider>,
) -> Result<Check, TlsSetupError> {
    let pins = authentication.pins.clone();
    match (&authentication.identity, authentication.strict) {
        (_, false) if !pins.is_empty() => Err(TlsSetupError::PinsNotChecked),
        (_, false) => Ok(Check::Nothing),
        (Identity::PinOnly, true) if pins.is_empty() => Err(TlsSetupError::NothingToCheck),
        (Identity::PinOnly, true) => Ok(Check::Pin { pins }),
        (Identity::Name(_) | Identity::Address(_), true) => {
            let builder = WebPkiServerVerifier::builder_with_provider(
                Arc::clone(roots.store()),
                Arc::clone(provider),
            );
            let verifier = builder.build().map_err(|_| TlsSetupError::NoRoots)?;
            Ok(Check::Chain { verifier, pins })
        }
    }
}

/// rustls wants a name for every session. It sends no SNI for an address, so where a pin alone counts the
/// unspecified address stands for "none"; the pin's verifier does not look at it.
fn server_name(identity: &Identity) -> ServerName<'static> {
    match identity {
        Identity::Name(name) => name.clone(),
        Identity::Address(address) => ServerName::from(*address),
        Identity::PinOnly => ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
    }
}
