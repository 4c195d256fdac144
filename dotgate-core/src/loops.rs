//! Queries to upstreams that return as clients' queries, because the server of a route sends them to dotgate again.
//!
//! A query over UDP has letters in random case, which forwarders preserve. So a client's query for the same name, in
//! the same case and at the same time is dotgate's own, no matter who forwarded it. All workers share what they sent
//! lately: the query may come back to another one. Limits: [`PLACES`] queries are stored, for [`STORED_FOR`]; a later
//! one may replace another.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use dotgate_wire::{NameCase, Question};

use crate::moment::Moment;

/// Number of stored queries.
const PLACES: usize = 1_024;

/// How long a query is stored. A loop returns it within a few round trips between neighbors. A client that also mixes the
/// case of its names, and repeats its question later than that, is never mistaken for dotgate.
const STORED_FOR: Duration = Duration::from_secs(1);

/// Letters of a name in fewer of which the case of such a client could be ours by chance. A reverse name has ten.
const LETTERS_MIN: usize = 10;

/// A time is counted in 2^26 ns, about 67 ms, in the low 16 bits of a place.
const TIME_SHIFT: u32 = 26;
const TIME_MASK: u64 = 0xffff;

/// The queries that were sent lately to plain upstreams.
pub struct OwnQueries {
    places: Box<[AtomicU64]>,
}

impl Default for OwnQueries {
    fn default() -> OwnQueries {
        OwnQueries {
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl fmt::Debug for OwnQueries {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("OwnQueries").finish_non_exhaustive()
    }
}

impl OwnQueries {
    /// Stores that a question with this keyed hash was sent in this letter case.
    pub(crate) fn add(&self, now: Moment, question: &Question, hash: u64, case: NameCase) {
        let is_letter = |byte: &&u8| byte.is_ascii_alphabetic();
        let letters = question.name().iter().filter(is_letter).count();
        if letters < LETTERS_MIN || case == NameCase::LOWER {
            return;
        }
        let mark = mark(hash, case);
        if let Some(place) = self.place(mark) {
            place.store(mark & !TIME_MASK | time(now), Relaxed);
        }
    }

    /// Whether this question was sent in this case lately.
    pub(crate) fn has(&self, now: Moment, hash: u64, case: NameCase) -> bool {
        if case == NameCase::LOWER {
            return false;
        }
        let mark = mark(hash, case);
        let held = self.place(mark).map_or(0, |place| place.load(Relaxed));
        let age = time(now).wrapping_sub(held) & TIME_MASK;
        let oldest = STORED_FOR.as_nanos() as u64 >> TIME_SHIFT;
        (held ^ mark) & !TIME_MASK == 0 && age <= oldest
    }

    fn place(&self, mark: u64) -> Option<&AtomicU64> {
        let number = usize::try_from(mark >> 48).unwrap_or_default();
        self.places.get(number % PLACES)
    }
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

    fn case_of(name: &str) -> (Question, NameCase) {
        let mut wire: Vec<u8> = name.split('.').fold(Vec::new(), |mut wire, label| {
            wire.push(u8::try_from(label.len()).unwrap());
            wire.extend_from_slice(label.as_bytes());
            wire
        });
        wire.extend_from_slice(&[0, 0, 1, 0, 1]);
        (Question::fold(&wire).unwrap(), NameCase::of(&wire))
    }

    #[test]
    fn a_query_is_our_own_in_the_same_case_while_it_is_remembered() {
        let own = OwnQueries::default();
        let (question, case) = case_of("wWw.CorP.exAMple");
        own.add(NOW, &question, 7, case);
        assert!(own.has(NOW, 7, case));
        assert!(own.has(NOW + Duration::from_millis(900), 7, case));
        assert!(
            !own.has(NOW + Duration::from_millis(1_200), 7, case),
            "too old"
        );
        assert!(!own.has(NOW, 8, case), "another question");
        for other in ["www.corp.example", "wWw.CorP.exAMplE"] {
            assert!(!own.has(NOW, 7, case_of(other).1), "{other}");
        }
    }

    #[test]
    fn a_name_with_few_letters_or_in_lower_case_proves_nothing() {
        let own = OwnQueries::default();
        for name in ["nAs.LaN", "www.corp.example"] {
            let (question, case) = case_of(name);
            own.add(NOW, &question, 7, case);
            assert!(!own.has(NOW, 7, case), "{name}");
        }
    }
}
