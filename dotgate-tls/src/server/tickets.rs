//! Tickets by which clients resume their TLS sessions (RFC 5077, RFC 8446 section 4.6.1), without state here.
//!
//! Keys are derived from a secret and the time, and change every six hours: a ticket is good in the period in which it
//! was issued and in the next one. Processes with the same secret accept each other's tickets. The crate of TLS has
//! rotating keys too, but draws them itself, so that no two processes could share them.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;

/// Bytes of a secret, at least.
pub(super) const SECRET_BYTES_MIN: usize = 32;

/// How long a key is used for new tickets, in seconds.
const PERIOD: u32 = 6 * 60 * 60;

/// Bytes of the number of the period, in front of a ticket.
const NUMBER_LEN: usize = size_of::<u64>();

const KEY_LEN: usize = 32;

/// Bytes of a key for another purpose than tickets.
pub const KEY_BYTES: usize = 64;

/// What the keys of tickets are derived from.
#[derive(Clone)]
pub struct TicketSecret(Prk);

impl fmt::Debug for TicketSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TicketSecret").finish_non_exhaustive()
    }
}

impl TicketSecret {
    /// One that no other process has; `None` if the system has no randomness.
    pub fn random() -> Option<Self> {
        let mut secret = [0; SECRET_BYTES_MIN];
        rand::fill(&mut secret).ok()?;
        Self::of(&secret)
    }

    /// Takes a secret, unless it is too short.
    pub(super) fn of(secret: &[u8]) -> Option<Self> {
        let is_long = secret.len() >= SECRET_BYTES_MIN;
        is_long.then(|| Self(Salt::new(HKDF_SHA256, b"dotgate tickets").extract(secret)))
    }

    /// A key for another purpose, from which nothing of the keys of tickets can be found.
    pub(super) fn key_for(&self, purpose: &'static str) -> Option<[u8; KEY_BYTES]> {
        let mut key = [0; KEY_BYTES];
        // What keys of tickets are derived from begins with zeros: the number of a period.
        let info = [b"dotgate key for ", purpose.as_bytes()];
        let derived = self.0.expand(&info, LongKey).ok()?;
        derived.fill(&mut key).ok()?;
        Some(key)
    }
}

/// Seals and opens tickets.
pub(super) struct Tickets {
    secret: TicketSecret,
    /// Tickets are good only where this is the same: who has to show which certificate.
    scope: Vec<u8>,
    time: Arc<dyn TimeProvider>,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tickets").finish_non_exhaustive()
    }
}

impl Tickets {
    pub(super) fn new(secret: TicketSecret, scope: Vec<u8>, time: Arc<dyn TimeProvider>) -> Self {
        Self {
            secret,
            scope,
            time,
        }
    }

    fn period(&self) -> Option<u64> {
        let now = self.time.current_time()?.as_secs();
        now.checked_div(PERIOD.into())
    }

    fn key(&self, period: u64) -> Option<RandomizedNonceKey> {
        let number = period.to_be_bytes();
        let info = [&number[..], &self.scope];
        let mut key = [0; KEY_LEN];
        let derived = self.secret.0.expand(&info, KeyOfTicket).ok()?;
        derived.fill(&mut key).ok()?;
        RandomizedNonceKey::new(&AES_256_GCM, &key).ok()
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        PERIOD
    }

    /// The number of the period, the nonce, and the rest sealed.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let period = self.period()?;
        let mut sealed = plain.to_vec();
        let nonce = self
            .key(period)?
            .seal_in_place_append_tag(Aad::empty(), &mut sealed);
        let number = period.to_be_bytes();
        Some([&number[..], nonce.ok()?.as_ref(), &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (number, rest) = ticket.split_first_chunk::<NUMBER_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (period, now) = (u64::from_be_bytes(*number), self.period()?);
        // Clocks of a fleet differ, so one that has the next period already is believed.
        let is_good = period.abs_diff(now) <= 1;
        let key = is_good.then(|| self.key(period)).flatten()?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.open_in_place(nonce, Aad::empty(), &mut opened).ok()?;
        Some(plain.to_vec())
    }
}

/// The length of a key, for the derivation.
struct KeyOfTicket;

impl KeyType for KeyOfTicket {
    fn len(&self) -> usize {
        KEY_LEN
    }
}

/// The length of a key for another purpose, for the derivation.
struct LongKey;

impl KeyType for LongKey {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::time::Duration;

    use rustls::pki_types::UnixTime;

    use super::*;

    #[derive(Debug, Default)]
    struct Clock(AtomicU64);

    impl TimeProvider for Clock {
        fn current_time(&self) -> Option<UnixTime> {
            let now = Duration::from_secs(self.0.load(Relaxed));
            Some(UnixTime::since_unix_epoch(now))
        }
    }

    fn tickets(secret: &[u8], scope: &[u8], clock: &Arc<Clock>) -> Tickets {
        let secret = TicketSecret::of(secret).unwrap();
        Tickets::new(secret, scope.to_vec(), Arc::clone(clock) as _)
    }

    #[test]
    fn a_ticket_is_good_for_its_period_and_the_next_one_with_the_same_secret_and_scope() {
        let clock = Arc::new(Clock::default());
        let start = 1_800_000_000 / u64::from(PERIOD) * u64::from(PERIOD);
        let [one, same] = [(); 2].map(|()| tickets(&[7; 32], b"scope", &clock));
        let others = [
            tickets(&[8; 32], b"scope", &clock),
            tickets(&[7; 32], b"another", &clock),
        ];
        clock.0.store(start, Relaxed);
        let ticket = one.encrypt(b"state").unwrap();
        assert_ne!(ticket, one.encrypt(b"state").unwrap(), "another nonce");
        for (after, is_good) in [
            (0, true),
            (2 * u64::from(PERIOD) - 1, true),
            (2 * u64::from(PERIOD), false),
        ] {
            clock.0.store(start + after, Relaxed);
            let expected = is_good.then(|| b"state".to_vec());
            assert_eq!(same.decrypt(&ticket), expected, "{after}");
            assert!(others.iter().all(|it| it.decrypt(&ticket).is_none()));
        }
    }

    #[test]
    fn a_ticket_that_was_changed_or_cut_is_refused() {
        let clock = Arc::new(Clock(AtomicU64::new(1_800_000_000)));
        let tickets = tickets(&[7; 40], b"", &clock);
        let ticket = tickets.encrypt(b"state").unwrap();
        for place in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[place] ^= 1;
            assert_eq!(tickets.decrypt(&changed), None, "{place}");
            assert_eq!(tickets.decrypt(&ticket[..place]), None, "{place}");
        }
        assert!(TicketSecret::of(&[7; 31]).is_none());
    }
}
