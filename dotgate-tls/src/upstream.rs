//! What all sessions to one upstream share: verifier, ticket store and configurations.
//!
//! It is under *pool*: made once per upstream and generation of the configuration, shared by all
//! workers. Tickets never cross from one upstream to another (RFC 8446 section 4.6.1), end with the certificate and a
//! day after the full handshake, and early data is never sent. Limits: 8 tickets.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use dotgate_core::KeyExchange;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientSessionMemoryCache, Resumption, Tls12Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection};
use thiserror::Error;

use super::certificate::pin_of;
use super::channel::TlsChannel;
use super::failure::TlsFailure;
use super::identity::{KeyPair, KeyPairError};
use super::pins::{Path, Pins};
use super::roots::Roots;
use super::tickets::Tickets;
use super::verifier::{Check, Verifier};
use super::window::Window;
use dotgate_config::{Authentication, Identity};

/// The protocol name of DNS over TLS (IANA's ALPN registry).
const ALPN: &[u8] = b"dot";

/// Tickets kept for the upstream; as many as rustls keeps for one name.
const TICKETS: usize = 8;

/// Why an upstream's TLS cannot be set up.
#[derive(Debug, Error)]
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
    /// The certificate for the upstream's request cannot be used.
    #[error("the client certificate cannot be used: {0}")]
    Client(#[from] KeyPairError),
    /// rustls refused the set-up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Everything shared by all sessions to one upstream.
#[derive(Debug)]
pub struct UpstreamTls {
    hybrid: ClientConfig,
    classical: ClientConfig,
    check: Arc<Check>,
    time: Arc<dyn TimeProvider>,
    server_name: ServerName<'static>,
    /// A mismatch with these is reported.
    report_pins: Pins,
    /// What the upstream may ask for.
    client: Option<KeyPair>,
    current: ArcSwap<Generation>,
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
        let provider = aws_lc_rs::default_provider();
        let shared = Arc::new(provider.clone());
        let check = Arc::new(check(authentication, roots, &shared)?);
        let report_pins = Pins::new(&authentication.report_pins, roots, &shared);
        let client = authentication.client.as_ref();
        let client = client
            .filter(|_| !dotgate_wire::planted!("client-certificates-are-not-shown"))
            .map(KeyPair::load)
            .transpose()?;
        let few_groups = CryptoProvider {
            kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
            ..provider.clone()
        };
        let mut hybrid = template(provider, &check, &time)?;
        if let Some((client, files)) = client.as_ref().zip(authentication.client.as_ref()) {
            hybrid.client_auth_cert_resolver = client.resolver(files, &shared)?;
        }
        let mut classical = template(few_groups, &check, &time)?;
        // A session is resumed only where both are the same objects.
        classical
            .client_auth_cert_resolver
            .clone_from(&hybrid.client_auth_cert_resolver);
        let first = Generation::new(&hybrid, &classical, &check);
        Ok(Self {
            hybrid,
            classical,
            check,
            time,
            server_name: server_name(&authentication.identity),
            report_pins,
            client,
            current: ArcSwap::from_pointee(first),
        })
    }

    /// Whether the files of the client certificate, if there are any, are unchanged since this was made.
    pub fn has_certificate_of(&self, authentication: &Authentication) -> bool {
        let now = authentication.client.as_ref().map(KeyPair::load);
        match (now, &self.client) {
            (None, None) => true,
            (Some(Ok(now)), Some(client)) => now == *client,
            (Some(_), _) | (None, Some(_)) => false,
        }
    }

    /// Starts one session's TLS, with the protocol name "dot" offered if `alpn` is set.
    ///
    /// # Errors
    /// [`TlsFailure::Protocol`] where rustls cannot start (no randomness).
    pub fn connect(&self, alpn: bool, key_exchange: KeyExchange) -> Result<TlsChannel, TlsFailure> {
        let config = self.generation().config(alpn, key_exchange);
        ClientConnection::new(config, self.server_name.clone())
            .map(TlsChannel::of_upstream)
            .map_err(|error| TlsFailure::from_rustls(error, true))
    }

    /// Returns the pin of the upstream's key, if it has pins whose mismatch is to be reported and none of them is on the
    /// path of `certificates`: those that it showed in a full handshake, its own first.
    pub fn pin_to_report(&self, certificates: &[CertificateDer<'_>]) -> Option<[u8; 32]> {
        let (end_entity, intermediates) = certificates.split_first()?;
        let path = Path {
            end_entity,
            intermediates,
            server_name: &self.server_name,
            now: self.time.current_time()?,
        };
        let is_pinned = self.report_pins.is_empty()
            || self.report_pins.match_path(&path)
            || dotgate_wire::planted!("pin-mismatches-are-not-reported");
        pin_of(end_entity).ok().filter(|_| !is_pinned)
    }

    /// The present generation, or the next one once the time of the present one is over: then all that is known of
    /// the upstream's certificate is forgotten, and a full handshake comes first.
    fn generation(&self) -> Arc<Generation> {
        let current = self.current.load_full();
        // Without a time no certificate can be judged, and the handshake fails by itself.
        let is_over = |now| !current.window.has(now);
        if !self.time.current_time().is_some_and(is_over) {
            return current;
        }
        let next = Arc::new(Generation::new(&self.hybrid, &self.classical, &self.check));
        // Should two workers do this at once, the sessions of one have tickets that nobody uses.
        self.current.store(Arc::clone(&next));
        next
    }
}

/// One verifier and the tickets of the sessions it has accepted. rustls resumes a session only under the verifier
/// that accepted it, so what another generation accepted is never resumed.
#[derive(Debug)]
struct Generation {
    window: Arc<Window>,
    hybrid: Offers,
    classical: Offers,
}

/// One key exchange, with and without the protocol name.
#[derive(Debug)]
struct Offers {
    with_alpn: Arc<ClientConfig>,
    without_alpn: Arc<ClientConfig>,
}

impl Generation {
    fn new(hybrid: &ClientConfig, classical: &ClientConfig, check: &Arc<Check>) -> Self {
        let window = Arc::new(Window::new());
        let algorithms = hybrid.crypto_provider().signature_verification_algorithms;
        let verifier = Verifier::new(Arc::clone(check), algorithms, Arc::clone(&window));
        let verifier: Arc<dyn ServerCertVerifier> = Arc::new(verifier);
        let tickets = Arc::new(ClientSessionMemoryCache::new(TICKETS));
        let offers = |template: &ClientConfig| {
            let mut config = template.clone();
            config
                .dangerous()
                .set_certificate_verifier(Arc::clone(&verifier));
            config.resumption = Resumption::store(Arc::new(Tickets::new(&tickets)))
                .tls12_resumption(Tls12Resumption::SessionIdOrTickets);
            let without_alpn = config.clone();
            config.alpn_protocols = vec![ALPN.to_vec()];
            Offers {
                with_alpn: Arc::new(config),
                without_alpn: Arc::new(without_alpn),
            }
        };
        Self {
            hybrid: offers(hybrid),
            classical: offers(classical),
            window,
        }
    }

    fn config(&self, alpn: bool, key_exchange: KeyExchange) -> Arc<ClientConfig> {
        let offers = match key_exchange {
            KeyExchange::Hybrid => &self.hybrid,
            KeyExchange::Classical => &self.classical,
        };
        Arc::clone(if alpn {
            &offers.with_alpn
        } else {
            &offers.without_alpn
        })
    }
}

/// A configuration but for its protocol names, and for the verifier and the tickets, which each generation has of its
/// own.
fn template(
    provider: CryptoProvider,
    check: &Arc<Check>,
    time: &Arc<dyn TimeProvider>,
) -> Result<ClientConfig, rustls::Error> {
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Verifier::new(Arc::clone(check), algorithms, Arc::new(Window::new()));
    let mut config = ClientConfig::builder_with_details(Arc::new(provider), Arc::clone(time))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.enable_early_data = false;
    Ok(config)
}

fn check(
    authentication: &Authentication,
    roots: &Roots,
    provider: &Arc<CryptoProvider>,
) -> Result<Check, TlsSetupError> {
    let pins = Pins::new(&authentication.pins, roots, provider);
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
            Ok(Check::Chain {
                verifier,
                listed: Arc::clone(roots.listed()),
                pins,
                pin_without_clock: authentication.pin_without_clock,
            })
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
