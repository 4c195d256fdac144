//! The upstreams as all workers share them: where they are, the TLS towards them, and how long their certificates last.

mod addresses;
mod groups;

use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dotgate_config::{Endpoint, UpstreamConfig};
use dotgate_core::{Handshakes, Health, IdleTimeout, Moment, UpstreamId, UpstreamSettings};
use dotgate_tls::{CertificateDer, CertificateFacts, Roots, TlsSetupError, UnixTime, UpstreamTls};

pub use self::groups::{Group, Groups};
pub(crate) use self::groups::{RouteNumbers, route_table};

use self::addresses::Addresses;

/// All upstreams, in the order of the settings.
pub type Upstreams = Arc<[Arc<Upstream>]>;

/// One upstream. Its addresses may change while the program runs; with other TLS or a pin more it is another one.
#[derive(Debug)]
pub struct Upstream {
    id: UpstreamId,
    config: UpstreamConfig,
    roots: Roots,
    /// None for one that is queried without TLS.
    tls: Option<UpstreamTls>,
    health: Arc<Health>,
    handshakes: Arc<Handshakes>,
    idle_timeout: Arc<IdleTimeout>,
    /// Those of its name; none for one that is an address.
    addresses: Addresses,
    /// How often its addresses were looked up: found, and not found.
    lookups: [AtomicU64; 2],
    /// Of the last full handshake.
    presented: Mutex<Presented>,
}

/// What an upstream's certificates showed.
#[derive(Clone, Copy, Default, Debug)]
struct Presented {
    /// None before the first full handshake.
    validity: Option<Validity>,
    /// The pin of its key, if that should have been another one.
    pin_mismatch: Option<[u8; 32]>,
}

/// The first and the last second in which a certificate is valid, in seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// The first second.
    pub not_before: i64,
    /// The last second.
    pub not_after: i64,
}

impl Upstream {
    /// Makes the shared state of one upstream. One that is a name has no address yet. Engines call it by its `id`.
    ///
    /// # Errors
    /// Those of [`UpstreamTls::new`].
    pub fn new(
        id: UpstreamId,
        config: &UpstreamConfig,
        roots: &Roots,
    ) -> Result<Upstream, TlsSetupError> {
        Ok(Upstream {
            id,
            config: config.clone(),
            roots: roots.clone(),
            tls: match &config.authentication {
                Some(authentication) => Some(UpstreamTls::new(authentication, roots)?),
                None => None,
            },
            health: Arc::new(Health::new()),
            handshakes: Arc::new(Handshakes::new(config.key_exchange)),
            idle_timeout: Arc::default(),
            addresses: Addresses::default(),
            lookups: Default::default(),
            presented: Mutex::default(),
        })
    }

    /// Whether it is what these settings and trust anchors would make.
    pub fn is_of(&self, config: &UpstreamConfig, roots: &Roots) -> bool {
        let has_same_certificate = || {
            let authentication = config.authentication.as_ref();
            let both = self.tls.as_ref().zip(authentication);
            both.is_none_or(|(tls, authentication)| tls.has_certificate_of(authentication))
        };
        self.config == *config && self.roots.trusts_the_same(roots) && has_same_certificate()
    }

    /// The data for engines.
    pub fn settings(&self) -> UpstreamSettings {
        let authentication = self.config.authentication.as_ref();
        UpstreamSettings {
            id: self.id,
            label: self.label().into(),
            operator: self.config.operator().into(),
            weight: NonZeroU8::MIN,
            transport: self.config.transport(),
            is_authenticated: authentication.is_some_and(|authentication| authentication.strict),
            health: Arc::clone(&self.health),
            handshakes: Arc::clone(&self.handshakes),
            idle_timeout: Arc::clone(&self.idle_timeout),
            probe: None,
        }
    }

    /// Its settings.
    pub fn config(&self) -> &UpstreamConfig {
        &self.config
    }

    /// The trust anchors that its certificate is validated with.
    pub(crate) fn roots(&self) -> &Roots {
        &self.roots
    }

    /// What engines call it by.
    pub fn id(&self) -> UpstreamId {
        self.id
    }

    /// How logs call it.
    pub fn label(&self) -> &str {
        &self.config.label
    }

    /// Where it is, as the settings say.
    pub fn endpoint(&self) -> &Endpoint {
        &self.config.endpoint
    }

    /// State shared by all workers.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// What was learned of its handshakes, shared by all workers.
    pub fn handshakes(&self) -> &Handshakes {
        &self.handshakes
    }

    /// What was learned of how long it keeps idle sessions, shared by all workers.
    pub fn idle_timeout(&self) -> &IdleTimeout {
        &self.idle_timeout
    }

    /// Takes what was learned of an upstream that is the same server, for all that one can tell: it has the same label.
    pub fn learn_from(&self, before: &Upstream, now: Moment) {
        if let Some(until) = before.handshakes.classical_until(now) {
            self.handshakes.restore(now, until);
        }
        if let Some(seen) = before.idle_timeout.seen() {
            self.idle_timeout.restore(seen);
        }
    }

    /// The TLS of its sessions; none for one that is queried without TLS.
    pub fn tls(&self) -> Option<&UpstreamTls> {
        self.tls.as_ref()
    }

    /// The address for the `try_number`th opening since it was healthy: each in turn of those that have not failed. None
    /// while its name is not resolved, or while there is no interface of its zone.
    pub fn address(&self, try_number: u32) -> Option<SocketAddr> {
        if let Endpoint::Address(address) = &self.config.endpoint {
            return address.resolve().ok();
        }
        self.addresses.pick(try_number)
    }

    /// All its addresses; none while its name is not resolved, or while there is no interface of its zone.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        if let Endpoint::Address(address) = &self.config.endpoint {
            return address.resolve().into_iter().collect();
        }
        self.addresses.all()
    }

    /// Takes the addresses its name has now. Former ones that led to it stay in use behind them.
    pub fn set_addresses(&self, addresses: &[SocketAddr]) {
        self.addresses.set(addresses);
        self.handshakes.set_addresses(self.addresses.count());
    }

    /// The addresses of its name, or of the endpoint that a resolver designates, were looked up.
    pub fn note_lookup(&self, is_found: bool) {
        let [found, failed] = &self.lookups;
        let counted = if is_found { found } else { failed };
        counted.fetch_add(1, Relaxed);
    }

    /// How often these were found, and how often they were not.
    pub fn lookups(&self) -> [u64; 2] {
        self.lookups.each_ref().map(|count| count.load(Relaxed))
    }

    /// No session came of a connection to this address.
    pub fn note_failed(&self, address: SocketAddr) {
        self.addresses.note_failed(address);
    }

    /// A session to this address was authenticated.
    pub fn note_authenticated(&self, address: SocketAddr) {
        self.addresses.note_authenticated(address);
    }

    /// Waits until all addresses that its name has now have failed; at once if they have since the last call.
    pub async fn all_addresses_failed(&self) {
        self.addresses.all_failed().await;
    }

    /// Whether one of the addresses that its name has now led to it since the last call.
    pub fn take_authenticated(&self) -> bool {
        self.addresses.take_authenticated()
    }

    /// Records the certificates of a full handshake, its own certificate first. Returns the pin of its key if that is
    /// to be reported and was not reported last time.
    pub fn note_certificates(&self, certificates: &[CertificateDer<'_>]) -> Option<[u8; 32]> {
        let own = certificates.first().map(CertificateFacts::read);
        let tls = self.tls.as_ref();
        let pin_mismatch = tls.and_then(|tls| tls.pin_to_report(certificates));
        let mut presented = self.lock_presented();
        if let Some(Ok(facts)) = own {
            presented.validity = Some(Validity {
                not_before: facts.not_before,
                not_after: facts.not_after,
            });
        }
        let before = std::mem::replace(&mut presented.pin_mismatch, pin_mismatch);
        pin_mismatch.filter(|_| pin_mismatch != before)
    }

    /// The pin of its key, if none of its pins to report matched in the last full handshake; none without such pins.
    pub fn pin_mismatch(&self) -> Option<Option<[u8; 32]>> {
        let authentication = self.config.authentication.as_ref()?;
        let presented = *self.lock_presented();
        let is_known = presented.validity.is_some() && !authentication.report_pins.is_empty();
        is_known.then_some(presented.pin_mismatch)
    }

    /// The whole days from `now` to its certificate's end, negative once it has ended; none before the first handshake.
    pub fn certificate_days_left(&self, now: UnixTime) -> Option<i64> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.certificate_validity()
            .map(|validity| validity.not_after.saturating_sub(now).div_euclid(86_400))
    }

    /// When its certificate is valid; none before the first full handshake.
    pub fn certificate_validity(&self) -> Option<Validity> {
        self.lock_presented().validity
    }

    fn lock_presented(&self) -> MutexGuard<'_, Presented> {
        // A panic in between leaves a whole value.
        let presented = self.presented.lock();
        presented.unwrap_or_else(PoisonError::into_inner)
    }
}
