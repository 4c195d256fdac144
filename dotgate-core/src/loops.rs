//! Queries to upstreams that return as clients' queries, because the server of a route sends them to dotgate again.
//!
//! A query over UDP has letters in random case, which forwarders preserve. A client's query for the same name, in the same
//! case and at the same time is probably dotgate's own, no matter who forwarded it. All workers share what they sent
//! lately: the query may come back to another one. Limits: [`PLACES`] queries are stored, for [`STORED_FOR`]; a later
//! one may replace another.
//!
//! A client that mixes the case of its names, too, has the same case by chance in one of 2^n queries for a name of n
//! letters. So evidence is collected for each group, as a sum of log-likelihoods in bits (CUSUM, Page 1954): a query in the
//! case of one that was sent adds n - 1, any other in mixed case subtracts 1. A query is dotgate's own once there are
//! [`LOOP_BITS`]. A name of 25 letters has them at once, one of ten with the third attempt. Where clients mix the case and
//! there is no loop, at most one in 2^24 of their queries is taken for dotgate's own.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use dotgate_wire::{NameCase, Question};

use crate::moment::Moment;
use crate::routes::RouteId;

/// Number of stored queries.
const PLACES: usize = 1_024;

/// How long a query is stored. A loop returns it within a few round trips between neighbors. A client that also mixes the
/// case of its names, and repeats its question later than that, is never mistaken for dotgate.
const STORED_FOR: Duration = Duration::from_secs(1);

/// Evidence with which a query is taken for dotgate's own.
const LOOP_BITS: u32 = 24;

/// No more evidence is collected, so that a group without a loop loses it within a few queries.
const LOOP_BITS_MAX: u32 = 32;

/// Number of groups whose evidence is counted apart.
const GROUPS: usize = 64;

/// A time is counted in 2^26 ns, about 67 ms, in the low 16 bits of a place.
const TIME_SHIFT: u32 = 26;
const TIME_MASK: u64 = 0xffff;

/// The queries that were sent lately to plain upstreams, and how likely each group is to send them back.
pub struct OwnQueries {
    places: Box<[AtomicU64]>,
    evidence: Box<[AtomicU32]>,
}

impl Default for OwnQueries {
    fn default() -> OwnQueries {
        OwnQueries {
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            evidence: (0..GROUPS).map(|_| AtomicU32::new(0)).collect(),
        }
    }
}

impl fmt::Debug for OwnQueries {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("OwnQueries").finish_non_exhaustive()
    }
}

impl OwnQueries {
    /// Stores that a question with this keyed hash was sent in this name case.
    pub(crate) fn add(&self, now: Moment, hash: u64, case: NameCase) {
        if case == NameCase::LOWER {
            return;
        }
        let mark = mark(hash, case);
        if let Some(place) = self.place(mark) {
            place.store(mark & !TIME_MASK | time(now), Relaxed);
        }
    }

    /// Whether a query of a client for this question in this case, whose group is `group`, is dotgate's own.
    pub(crate) fn recognizes(
        &self,
        now: Moment,
        group: RouteId,
        (question, hash): (&Question, u64),
        case: NameCase,
    ) -> bool {
        if case == NameCase::LOWER {
            return false;
        }
        let Some(evidence) = self.evidence.get(usize::from(group.0) % GROUPS) else {
            return false;
        };
        let mark = mark(hash, case);
        let Some(place) = self.place(mark).filter(|place| was_sent(now, place, mark)) else {
            // Evidence that another worker adds meanwhile may be lost, which delays the detection.
            let bits = evidence.load(Relaxed);
            if bits > 0 {
                evidence.store(bits - 1, Relaxed);
            }
            return false;
        };
        let bits = (evidence.load(Relaxed) + bits_of(question)).min(LOOP_BITS_MAX);
        evidence.store(bits, Relaxed);
        let is_own = bits >= LOOP_BITS || dotgate_wire::planted!("chance-is-a-loop");
        if !is_own {
            // A datagram that is sent again is the same evidence.
            place.store(0, Relaxed);
        }
        is_own
    }

    fn place(&self, mark: u64) -> Option<&AtomicU64> {
        let number = usize::try_from(mark >> 48).unwrap_or_default();
        self.places.get(number % PLACES)
    }
}

/// Whether a place has this query, and it was sent lately.
fn was_sent(now: Moment, place: &AtomicU64, mark: u64) -> bool {
    let stored = place.load(Relaxed);
    let age = time(now).wrapping_sub(stored) & TIME_MASK;
    let oldest = STORED_FOR.as_nanos() as u64 >> TIME_SHIFT;
    (stored ^ mark) & !TIME_MASK == 0 && age <= oldest
}

/// The evidence of one query: its letters, each of which is as likely in either case, and minus one because at most half of
/// the queries of a group that has a loop are assumed to be in it.
fn bits_of(question: &Question) -> u32 {
    let letters = question
        .name()
        .iter()
        .filter(|byte| byte.is_ascii_alphabetic());
    u32::try_from(letters.count())
        .unwrap_or(LOOP_BITS_MAX)
        .saturating_sub(1)
}

fn mark(hash: u64, case: NameCase) -> u64 {
    let words = case.words().into_iter();
    words.fold(hash, |mark, word| {
        let mixed = (mark ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ mixed >> 32
    })
}

fn time(now: Moment) -> u64 {
    now.nanos() >> TIME_SHIFT & TIME_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_nanos(1_000_000_000);
    const GROUP: RouteId = RouteId(1);
    const LONG: &str = "wWw.a-naME-of-mAny-LETTers.CorP.exAMple";

    fn case_of(name: &str) -> (Question, NameCase) {
        let wire = dotgate_message::question(name, 1, 1);
        (Question::fold(&wire).unwrap(), NameCase::of(&wire))
    }

    /// A query in this case is sent and one comes in, both with the same hash.
    fn sent_and_received(own: &OwnQueries, sent: &str, received: &str) -> bool {
        own.add(NOW, 7, case_of(sent).1);
        let (question, case) = case_of(received);
        own.recognizes(NOW, GROUP, (&question, 7), case)
    }

    #[test]
    fn a_query_is_our_own_in_the_same_case_while_it_is_stored() {
        let own = OwnQueries::default();
        let (question, case) = case_of(LONG);
        own.add(NOW, 7, case);
        let has = |after, hash, case| {
            let now = NOW + Duration::from_millis(after);
            own.recognizes(now, GROUP, (&question, hash), case)
        };
        assert!(has(0, 7, case));
        assert!(has(900, 7, case));
        assert!(!has(1_200, 7, case), "too old");
        assert!(!has(0, 8, case), "another question");
        assert!(!has(0, 7, case_of(&LONG.to_lowercase()).1), "lower case");
        assert!(!has(0, 7, case_of(&LONG.to_uppercase()).1), "another case");
    }

    #[test]
    fn a_short_name_is_our_own_when_it_came_back_often_enough() {
        let own = OwnQueries::default();
        let reverse = ["1.0.0.10.iN-aDDr.aRPa", "1.0.0.10.In-AddR.arpA"];
        for name in reverse {
            assert!(!sent_and_received(&own, name, name), "{name}");
        }
        let third = "1.0.0.10.in-aDDR.ARPA";
        assert!(sent_and_received(&own, third, third));
        let (question, case) = case_of(third);
        assert!(own.recognizes(NOW, GROUP, (&question, 7), case), "again");
        let elsewhere = own.recognizes(NOW, RouteId(2), (&question, 7), case);
        assert!(!elsewhere, "another group");
    }

    #[test]
    fn a_client_that_mixes_the_case_of_its_names_is_not_mistaken_for_us() {
        let own = OwnQueries::default();
        let name = "nAs.LaN";
        for other in ["NaS.lAn", "naS.lAn", "Nas.lAN", "NAS.lAn", "nas.LAn"] {
            assert!(!sent_and_received(&own, name, name), "by chance");
            for _ in 0..5 {
                assert!(!sent_and_received(&own, name, other));
            }
        }
    }

    #[test]
    fn a_datagram_that_is_sent_again_is_no_further_evidence() {
        let own = OwnQueries::default();
        let (question, case) = case_of("nAs.LaN");
        own.add(NOW, 7, case);
        for _ in 0..20 {
            assert!(!own.recognizes(NOW, GROUP, (&question, 7), case));
        }
    }
}
