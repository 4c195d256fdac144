//! Server cookies (RFC 7873, RFC 9018): a client that shows one that was made for its address can be reached there.
//!
//! `clients::cookies` checks those of queries. A cookie is made of the client's own cookie, its address and the time, with
//! a secret: nothing is stored. Instances with the same secret accept each other's cookies.

use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dotgate_wire::{Cookie, ResponseCookie};
use siphasher::sip::SipHasher24;

use crate::moment::Moment;

/// The one version of RFC 9018, which includes the hash function.
const VERSION: u8 = 1;

/// How old a cookie may be, how far ahead of this clock that of another instance, and from which age on its client gets a
/// new one, in seconds (RFC 9018 section 4.3).
const AGE_MAX: i32 = 60 * 60;
const AHEAD_MAX: i32 = 5 * 60;
const RENEWED_AFTER: i32 = 30 * 60;

/// A server cookie: version, three reserved bytes, timestamp, hash.
const SERVER_LEN: usize = 16;
const HASH_AT: usize = 8;

/// A secret that cookies are made with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CookieSecret(pub [u8; 16]);

impl fmt::Debug for CookieSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CookieSecret").finish_non_exhaustive()
    }
}

/// The secrets whose cookies are accepted. The first one makes cookies; without any, there are none.
#[derive(Clone, Debug, Default)]
pub struct CookieSecrets(Arc<[CookieSecret]>);

impl CookieSecrets {
    /// The most of them: each is tried for a cookie that is not valid.
    pub const MAX: usize = 8;

    /// Takes the first [`Self::MAX`] of these.
    pub fn new(secrets: impl IntoIterator<Item = CookieSecret>) -> CookieSecrets {
        CookieSecrets(secrets.into_iter().take(Self::MAX).collect())
    }

    /// The one that makes cookies.
    pub fn first(&self) -> Option<CookieSecret> {
        self.0.first().copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks a client's cookie and makes the one of its response; none without a secret.
    pub(crate) fn check(
        &self,
        cookie: &Cookie<'_>,
        client: IpAddr,
        now: u32,
    ) -> Option<(CookieState, ResponseCookie)> {
        let first = self.0.first()?;
        let age = |server: &[u8; SERVER_LEN]| {
            let [_, _, _, _, a, b, c, d, ..] = *server;
            // Serial number arithmetic (RFC 1982).
            now.wrapping_sub(u32::from_be_bytes([a, b, c, d])) as i32
        };
        let is_made_with = |secret: &CookieSecret, server: &[u8; SERVER_LEN]| {
            let hash = hash(secret, cookie.client, server, client);
            server.get(HASH_AT..) == Some(&hash)
        };
        let server = <&[u8; SERVER_LEN]>::try_from(cookie.server).ok();
        let in_time = server.filter(|server| (-AHEAD_MAX..=AGE_MAX).contains(&age(server)));
        let valid = in_time.filter(|server| {
            let is_known = server.first() == Some(&VERSION);
            let mut secrets = self.0.iter();
            is_known && secrets.any(|secret| is_made_with(secret, server))
                || dotgate_wire::planted!("every-cookie-is-valid")
        });
        let state = match valid {
            Some(_) => CookieState::Valid,
            None if cookie.server.is_empty() => CookieState::ClientOnly,
            None => CookieState::Invalid,
        };
        let recent = valid.filter(|server| age(server) < RENEWED_AFTER);
        let server = match recent.filter(|server| is_made_with(first, server)) {
            Some(recent) => *recent,
            None => made(first, cookie.client, client, now),
        };
        let mut response = [0; 24];
        for (to, from) in response.iter_mut().zip(cookie.client.iter().chain(&server)) {
            *to = *from;
        }
        Some((state, response))
    }
}

/// What a client's COOKIE option shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CookieState {
    /// The client has no server cookie yet.
    ClientOnly,
    /// It has got this one at its address.
    Valid,
    /// Its server cookie is too old, of another secret, or forged.
    Invalid,
}

fn made(secret: &CookieSecret, cookie: [u8; 8], client: IpAddr, now: u32) -> [u8; SERVER_LEN] {
    let [a, b, c, d] = now.to_be_bytes();
    let mut server = [VERSION, 0, 0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0];
    let hash = hash(secret, cookie, &server, client);
    if let Some(place) = server.last_chunk_mut() {
        *place = hash;
    }
    server
}

/// The hash of RFC 9018 section 4.4, over the first half of a server cookie.
fn hash(
    CookieSecret(secret): &CookieSecret,
    cookie: [u8; 8],
    server: &[u8; SERVER_LEN],
    client: IpAddr,
) -> [u8; 8] {
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(&cookie);
    hasher.write(server.get(..HASH_AT).unwrap_or_default());
    match client.to_canonical() {
        IpAddr::V4(ip) => hasher.write(&ip.octets()),
        IpAddr::V6(ip) => hasher.write(&ip.octets()),
    }
    hasher.finish().to_le_bytes()
}

/// The time of day of engines, which know another clock: what it shows at that clock's zero.
#[derive(Debug, Default)]
pub struct WallClock(AtomicU64);

impl WallClock {
    /// Sets it to so many seconds since 1970.
    pub fn set(&self, now: Moment, seconds: u64) {
        self.0
            .store(seconds.wrapping_sub(whole_seconds(now)), Relaxed);
    }

    /// The lower bits of the seconds since 1970.
    pub(crate) fn seconds(&self, now: Moment) -> u32 {
        self.0.load(Relaxed).wrapping_add(whole_seconds(now)) as u32
    }
}

fn whole_seconds(now: Moment) -> u64 {
    now.nanos() / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        std::array::from_fn(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap())
    }

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

    fn check(
        secrets: &[&str],
        client: &str,
        now: u32,
        option: &str,
    ) -> (CookieState, ResponseCookie) {
        let secrets = secrets.iter().map(|secret| CookieSecret(bytes(secret)));
        let server: Vec<u8> = match option.len() {
            16 => Vec::new(),
            _ => bytes::<16>(&option[16..]).to_vec(),
        };
        let cookie = Cookie {
            client: bytes(option),
            server: &server,
        };
        let checked = CookieSecrets::new(secrets).check(&cookie, client.parse().unwrap(), now);
        checked.unwrap()
    }

    /// Secrets, client, time, option of the query, what it shows, option of the response.
    type Vector = (
        &'static [&'static str],
        &'static str,
        u32,
        &'static str,
        CookieState,
        &'static str,
    );

    /// The four of RFC 9018 appendix A.
    const VECTORS: [Vector; 4] = [
        (
            &[SECRET],
            "198.51.100.100",
            1_559_731_985,
            "2464c4abcf10c957",
            CookieState::ClientOnly,
            "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
        ),
        (
            &[SECRET],
            "198.51.100.100",
            1_559_734_385,
            "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
            CookieState::Valid,
            "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
        ),
        (
            &[SECRET],
            "203.0.113.203",
            1_559_734_700,
            "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
            CookieState::Invalid,
            "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
        ),
        (
            &[
                "445536bcd2513298075a5d379663c962",
                "dd3bdf9344b678b185a6f5cb60fca715",
            ],
            "2001:db8:220:1:59de:d0f4:8769:82b8",
            1_559_741_961,
            "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
            CookieState::Valid,
            "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
        ),
    ];

    #[test]
    fn cookies_are_those_of_the_test_vectors_of_rfc_9018() {
        for (secrets, client, now, option, state, response) in VECTORS {
            let (got, made) = check(secrets, client, now, option);
            assert_eq!((got, made), (state, bytes(response)), "{option}");
        }
        // The third one is older than an hour: at its own time it is valid, with its reserved bytes.
        let (_, client, _, option, ..) = VECTORS[2];
        let (state, same) = check(&[SECRET], client, 1_559_727_985 + 60, option);
        assert_eq!((state, same), (CookieState::Valid, bytes(option)));
    }

    #[test]
    fn a_cookie_is_valid_for_an_hour_and_renewed_after_half_of_it() {
        let (client, at, option) = ("198.51.100.100", 1_559_731_985_u32, VECTORS[0].5);
        for (later, state, is_same) in [
            (-301, CookieState::Invalid, false),
            (-300, CookieState::Valid, true),
            (0, CookieState::Valid, true),
            (1_799, CookieState::Valid, true),
            (1_800, CookieState::Valid, false),
            (3_600, CookieState::Valid, false),
            (3_601, CookieState::Invalid, false),
            (i32::MAX, CookieState::Invalid, false),
            (i32::MIN, CookieState::Invalid, false),
        ] {
            let now = at.wrapping_add_signed(later);
            let (got, response) = check(&[SECRET], client, now, option);
            assert_eq!(
                (got, response == bytes(option)),
                (state, is_same),
                "{later}"
            );
        }
    }

    #[test]
    fn a_cookie_is_for_one_address_and_every_bit_of_it_counts() {
        let (client, at, option) = ("198.51.100.100", 1_559_731_985, VECTORS[0].5);
        let state = |client: &str, option: &str| check(&[SECRET], client, at, option).0;
        assert_eq!(state("::ffff:198.51.100.100", option), CookieState::Valid);
        for other in ["198.51.100.101", "2001:db8::1", "::198.51.100.100"] {
            assert_eq!(state(other, option), CookieState::Invalid, "{other}");
        }
        for place in 0..48 {
            let digit = u8::from_str_radix(&option[place..=place], 16).unwrap() ^ 1;
            let changed = format!("{}{digit:x}{}", &option[..place], &option[place + 1..]);
            assert_eq!(state(client, &changed), CookieState::Invalid, "{place}");
        }
    }

    #[test]
    fn without_a_secret_there_are_no_cookies_and_of_many_some() {
        let cookie = Cookie {
            client: [1; 8],
            server: &[],
        };
        let client = "192.0.2.1".parse().unwrap();
        assert!(CookieSecrets::default().check(&cookie, client, 0).is_none());
        let many = CookieSecrets::new([CookieSecret([1; 16]); 20]);
        assert_eq!(many.0.len(), CookieSecrets::MAX);
    }

    #[test]
    fn the_time_of_day_goes_with_the_other_clock() {
        let clock = WallClock::default();
        clock.set(Moment::from_nanos(7_900_000_000), 1_800_000_000);
        let later = Moment::from_nanos(9_100_000_000);
        assert_eq!(clock.seconds(later), 1_800_000_002);
    }
}
