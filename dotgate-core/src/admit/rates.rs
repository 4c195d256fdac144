//! How often clients may do something: a token bucket for each address prefix, in a table of fixed size.
//!
//! All workers share the table. A bucket is one number: the time at which it would be full again (the generic cell rate
//! algorithm), with some bits of the hash of its prefix. The hash has a key, so that nobody can choose prefixes that share
//! a place. Queries over UDP have buckets of their own: a source over UDP can be forged, and must not use up what its owner
//! has over a connection. Equal questions over UDP have a bucket for each prefix and question, in a table of its own: there may
//! be any number of them.
//! Limits: 2,097,152 buckets in 16 MiB for each table, which are taken once a rate of its is set: of a million prefixes at once, fewer than one in a
//! hundred finds its place full. Of the eight buckets there, the one that is full soonest gives way, which is counted if it
//! was not full.

use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use siphasher::sip::SipHasher13;

use crate::moment::Moment;

/// Places; each has as many buckets as a line of a processor's cache holds.
const PLACES: usize = 262_144;
const WAYS: usize = 8;

/// Bits of a bucket's number that are its time; the others are of its prefix.
const TIME_BITS: u32 = 48;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// Units of a bucket's time in a second: its times last for 34 years.
const UNITS: u64 = 1 << 18;

/// What a bucket holds: what comes in so many seconds.
const BURST_SECONDS: u64 = 2;

/// Tries to write a bucket that other workers write at the same time. Beyond them the client has its way.
const TRIES: usize = 4;

/// What is done, as far as rates go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RateKind {
    /// A query over UDP, whose source may be forged.
    Datagram,
    /// A query of somebody who is who it says.
    Query,
    Connection,
    Handshake,
    /// The same question over UDP once more.
    Response,
}

/// The rates of all clients, in a second for each prefix; none where there is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateSettings {
    /// Queries: so many over UDP, and as many over connections.
    pub queries: Option<NonZeroU32>,
    /// Responses over UDP to equal questions, but for clients with a valid cookie.
    pub responses: Option<NonZeroU32>,
    /// Of the queries above a rate whose source may be forged, one in so many gets a short response; none if it is 0.
    pub slip: u8,
    /// New connections.
    pub connections: Option<NonZeroU32>,
    /// TLS handshakes.
    pub handshakes: Option<NonZeroU32>,
    /// Bits of an IPv4 address that make a prefix, at most 32.
    pub ipv4_bits: u8,
    /// The same of an IPv6 address, at most 64.
    pub ipv6_bits: u8,
}

impl RateSettings {
    /// No limit.
    pub const OFF: RateSettings = RateSettings {
        queries: None,
        responses: None,
        slip: 2,
        connections: None,
        handshakes: None,
        ipv4_bits: 32,
        ipv6_bits: 56,
    };

    /// Whether there is a limit on queries, or on responses to equal ones.
    pub(crate) fn has_queries(&self) -> bool {
        self.queries.is_some() || self.responses.is_some()
    }

    pub(crate) fn of(&self, kind: RateKind) -> Option<NonZeroU32> {
        match kind {
            RateKind::Datagram | RateKind::Query => self.queries,
            RateKind::Connection => self.connections,
            RateKind::Handshake => self.handshakes,
            RateKind::Response => self.responses,
        }
    }

    /// The prefix of an address, and whether it is one of IPv6.
    fn prefix(&self, client: IpAddr) -> (u64, bool) {
        match client.to_canonical() {
            IpAddr::V4(ip) => {
                let shift = 32_u32.saturating_sub(self.ipv4_bits.into());
                (u64::from(u32::from(ip)) >> shift, false)
            }
            IpAddr::V6(ip) => {
                let shift = 64_u32.saturating_sub(self.ipv6_bits.into());
                let upper = (u128::from(ip) >> 64) as u64;
                (upper.checked_shr(shift).unwrap_or_default(), true)
            }
        }
    }
}

/// Whether somebody may do something once more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// It may.
    Free {
        /// Whether the bucket of another prefix gave way that was not full.
        displaced: bool,
    },
    /// Its bucket is empty.
    Over,
}

#[repr(align(64))]
struct Place([AtomicU64; WAYS]);

/// The buckets of all prefixes, shared by the engines of a process.
pub struct Rates {
    keys: (u64, u64),
    places: Table,
    /// Those of equal questions.
    responses: Table,
}

type Table = OnceLock<Box<[Place]>>;

impl fmt::Debug for Rates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Rates").finish_non_exhaustive()
    }
}

impl Rates {
    /// For prefixes that are hashed with `keys`, which must be unpredictable in production. Takes no memory yet.
    pub fn new(keys: (u64, u64)) -> Rates {
        Rates {
            keys,
            places: Table::new(),
            responses: Table::new(),
        }
    }

    /// Takes one token of a client's bucket, if there is a limit. `question` is that of a response, as it came.
    pub(crate) fn take(
        &self,
        now: Moment,
        kind: RateKind,
        (client, question): (IpAddr, &[u8]),
        settings: &RateSettings,
    ) -> Taken {
        const FREE: Taken = Taken::Free { displaced: false };
        let Some(rate) = settings.of(kind) else {
            return FREE;
        };
        let hash = self.hash(kind, settings.prefix(client), question);
        let table = match kind {
            RateKind::Response => &self.responses,
            RateKind::Datagram | RateKind::Query | RateKind::Connection | RateKind::Handshake => {
                &self.places
            }
        };
        let Some(place) = place(table, hash) else {
            return FREE;
        };
        let tag = hash & !TIME_MASK;
        let now = units(now);
        for _ in 0..TRIES {
            let found = Found::look(&place.0, tag, now);
            let Some(full_at) = taken(found.full_at, now, rate) else {
                return Taken::Over;
            };
            let Some(bucket) = place.0.get(found.way) else {
                return FREE;
            };
            let written = bucket.compare_exchange_weak(found.seen, tag | full_at, Relaxed, Relaxed);
            if written.is_ok() {
                let displaced = found.displaces;
                return Taken::Free { displaced };
            }
        }
        FREE
    }

    fn hash(&self, kind: RateKind, (prefix, is_v6): (u64, bool), question: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write_u64(prefix);
        hasher.write_u8((kind as u8) << 1 | u8::from(is_v6));
        for byte in question {
            hasher.write_u8(byte.to_ascii_lowercase());
        }
        hasher.finish()
    }
}

fn place(table: &Table, hash: u64) -> Option<&Place> {
    let empty = || Place([const { AtomicU64::new(0) }; WAYS]);
    let make = || (0..PLACES).map(|_| empty()).collect();
    let places = table.get_or_init(make);
    places.get((hash & TIME_MASK) as usize % PLACES)
}

/// The bucket of a prefix in its place, or the one that gives way to it.
struct Found {
    way: usize,
    /// What was read there.
    seen: u64,
    /// When it is full; that is not later than now for one that is new.
    full_at: u64,
    displaces: bool,
}

impl Found {
    fn look(place: &[AtomicU64; WAYS], tag: u64, now: u64) -> Found {
        let mut first = Found {
            way: 0,
            seen: 0,
            full_at: u64::MAX,
            displaces: false,
        };
        for (way, bucket) in place.iter().enumerate() {
            let seen = bucket.load(Relaxed);
            let full_at = seen & TIME_MASK;
            if seen & !TIME_MASK == tag {
                let displaces = false;
                return Found {
                    way,
                    seen,
                    full_at,
                    displaces,
                };
            }
            if full_at < first.full_at {
                let displaces = full_at > now;
                first = Found {
                    way,
                    seen,
                    full_at,
                    displaces,
                };
            }
        }
        first.full_at = 0;
        first
    }
}

/// A time in the units of buckets.
fn units(now: Moment) -> u64 {
    const NANOS: u64 = 1_000_000_000;
    let (seconds, rest) = (now.nanos() / NANOS, now.nanos() % NANOS);
    (seconds * UNITS + rest * UNITS / NANOS) & TIME_MASK
}

/// When a bucket is full again once one more token is taken; none if it is empty.
fn taken(full_at: u64, now: u64, rate: NonZeroU32) -> Option<u64> {
    let burst = BURST_SECONDS * UNITS;
    let each = (UNITS / u64::from(rate.get())).max(1);
    let full_at = full_at.max(now) + each;
    (full_at - now <= burst.max(each)).then_some(full_at & TIME_MASK)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: Moment = Moment::from_nanos(5_000_000_000);

    fn settings(rate: u32) -> RateSettings {
        RateSettings {
            queries: NonZeroU32::new(rate),
            ..RateSettings::OFF
        }
    }

    fn take(rates: &Rates, at: Moment, client: &str, settings: &RateSettings) -> bool {
        let client = client.parse().unwrap();
        let taken = rates.take(at, RateKind::Query, (client, &[]), settings);
        taken != Taken::Over
    }

    #[test]
    fn a_bucket_holds_two_seconds_and_fills_at_its_rate() {
        for rate in [1, 10, 1_000, 10_000] {
            let rates = Rates::new((1, 2));
            let settings = settings(rate);
            let burst = (0..).take_while(|_| take(&rates, START, "192.0.2.1", &settings));
            let burst = burst.count() as f64;
            let expected = f64::from(2 * rate);
            assert!(
                (expected..expected * 1.02).contains(&burst),
                "{burst} of {rate}"
            );
            let later = START + Duration::from_secs(1);
            let filled = (0..).take_while(|_| take(&rates, later, "192.0.2.1", &settings));
            let filled = filled.count() as f64;
            let expected = f64::from(rate);
            assert!(
                (expected..expected * 1.02 + 1.0).contains(&filled),
                "{filled} of {rate}"
            );
        }
    }

    #[test]
    fn each_prefix_and_each_kind_has_its_own_bucket() {
        let rates = Rates::new((1, 2));
        let settings = settings(1);
        let spend = |client: &str| while take(&rates, START, client, &settings) {};
        spend("2001:db8:0:a100::1");
        assert!(
            !take(&rates, START, "2001:db8:0:a1ff::2", &settings),
            "the same /56"
        );
        assert!(take(&rates, START, "2001:db8:0:a200::1", &settings));
        spend("192.0.2.1");
        assert!(!take(&rates, START, "::ffff:192.0.2.1", &settings));
        assert!(take(&rates, START, "192.0.2.2", &settings));
        let client = "192.0.2.1".parse().unwrap();
        let over_udp = rates.take(START, RateKind::Datagram, (client, &[]), &settings);
        assert_eq!(over_udp, Taken::Free { displaced: false });
        assert!(
            take(&rates, START, "192.0.2.1", &RateSettings::OFF),
            "no limit"
        );
    }

    #[test]
    fn a_million_prefixes_have_their_buckets_at_once_and_more_are_bounded() {
        let rates = Rates::new((3, 4));
        let settings = settings(1);
        let flood = |clients: u32| {
            let ip = |number: u32| IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            let taken = (0..clients)
                .map(|number| rates.take(START, RateKind::Query, (ip(number), &[]), &settings));
            taken
                .filter(|taken| *taken == Taken::Free { displaced: true })
                .count()
        };
        // Eight to a place: few find theirs full.
        let displaced = flood(1_000_000);
        assert!(displaced < 10_000, "{displaced}");
        assert_eq!(size_of::<Place>() * PLACES, 16 << 20);
    }
}
