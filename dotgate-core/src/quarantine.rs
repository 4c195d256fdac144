//! Questions that proved harmful: an upstream ended session after session on which they were alone.
//!
//! Shared by all engines of a process. Such a question is asked on a session of its own, once per
//! `limits::QUARANTINE_EVERY`; between these trials it fails at once. It leaves with its first answer, or
//! `limits::QUARANTINE_FOR` after it last proved harmful. Known by the keyed 64-bit hash of the question: another one of
//! the same hash would be asked apart too, and answered. Limit: `limits::QUARANTINED`.

use std::collections::HashMap;
use std::fmt;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::limits;
use crate::moment::Moment;
use crate::sync::{Mutex, MutexGuard};

/// Whether a question may be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// It is not in quarantine.
    Free,
    /// Now, on a session of its own.
    Alone,
    /// Not now.
    Refused,
}

#[derive(Clone, Copy)]
struct Entry {
    ends: Moment,
    next_trial: Moment,
}

/// The questions in quarantine.
#[derive(Default)]
pub struct Quarantine {
    /// How many there are, to be read without the lock.
    count: AtomicUsize,
    entries: Mutex<HashMap<u64, Entry>>,
}

impl Quarantine {
    /// With no question in it.
    pub fn new() -> Quarantine {
        Quarantine::default()
    }

    /// How many questions are in it.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Whether it holds no question.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the question with this hash may be sent at `now`; claims the turn if so.
    pub(crate) fn admit(&self, now: Moment, question_hash: u64) -> Admission {
        if self.is_empty() || dotgate_wire::planted!("quarantine-is-forgotten") {
            return Admission::Free;
        }
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&question_hash) else {
            return Admission::Free;
        };
        if entry.ends <= now {
            entries.remove(&question_hash);
            self.count.store(entries.len(), Relaxed);
            return Admission::Free;
        }
        if entry.next_trial > now {
            return Admission::Refused;
        }
        entry.next_trial = now + limits::QUARANTINE_EVERY;
        Admission::Alone
    }

    /// Puts a question in, or proves it harmful once more. True if it is new.
    pub(crate) fn insert(&self, now: Moment, question_hash: u64) -> bool {
        let mut entries = self.lock();
        if entries.len() >= limits::QUARANTINED && !entries.contains_key(&question_hash) {
            let first = entries.iter().min_by_key(|(_, entry)| entry.ends);
            if let Some(hash) = first.map(|(hash, _)| *hash) {
                entries.remove(&hash);
            }
        }
        let entry = Entry {
            ends: now + limits::QUARANTINE_FOR,
            next_trial: now + limits::QUARANTINE_EVERY,
        };
        let is_new = entries.insert(question_hash, entry).is_none();
        self.count.store(entries.len(), Relaxed);
        is_new
    }

    /// Takes a question out, which was answered.
    pub(crate) fn remove(&self, question_hash: u64) {
        if !self.is_empty() {
            let mut entries = self.lock();
            entries.remove(&question_hash);
            self.count.store(entries.len(), Relaxed);
        }
    }

    /// No change to the table can be left half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Quarantine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.len();
        out.debug_struct("Quarantine")
            .field("count", &count)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_nanos(1_000_000_000_000);

    #[test]
    fn a_harmful_question_is_asked_once_a_second_until_it_is_answered_or_its_time_ends() {
        let quarantine = Quarantine::new();
        assert_eq!(quarantine.admit(START, 7), Admission::Free);
        assert!(quarantine.insert(START, 7));
        assert!(!quarantine.insert(START, 7));
        assert_eq!(quarantine.admit(START, 8), Admission::Free);
        assert_eq!(quarantine.admit(START, 7), Admission::Refused);
        let later = START + limits::QUARANTINE_EVERY;
        assert_eq!(quarantine.admit(later, 7), Admission::Alone);
        assert_eq!(quarantine.admit(later, 7), Admission::Refused);
        quarantine.remove(7);
        assert_eq!(quarantine.admit(later, 7), Admission::Free);
        quarantine.insert(START, 7);
        let end = START + limits::QUARANTINE_FOR;
        assert_eq!(quarantine.admit(end, 7), Admission::Free);
        assert!(quarantine.is_empty());
    }

    #[test]
    fn it_is_bounded_and_lets_the_oldest_question_go() {
        let quarantine = Quarantine::new();
        for hash in 0..=limits::QUARANTINED as u64 {
            quarantine.insert(Moment::from_nanos(START.nanos() + hash), hash);
        }
        assert_eq!(quarantine.len(), limits::QUARANTINED);
        assert_eq!(quarantine.admit(START, 0), Admission::Free);
        assert_eq!(quarantine.admit(START, 1), Admission::Refused);
    }
}
