//! What came of reading the configuration anew, for metrics and the status.

use std::sync::{Mutex, PoisonError};

use rustls::pki_types::UnixTime;

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The new configuration is in force, but for these settings, which need a restart.
    Taken {
        /// Their names.
        waiting: Vec<String>,
    },
    /// The one before is still in force.
    Refused {
        /// Why.
        problem: String,
    },
}

/// What is known at one moment.
#[derive(Clone, Debug)]
pub struct Reloads {
    /// How often a configuration was taken since the start.
    pub taken: u64,
    /// How often one was refused.
    pub refused: u64,
    /// What came last; that of the start counts as taken.
    pub last: Outcome,
    /// When that was.
    pub last_at: UnixTime,
}

/// The record. Shared by the control thread's tasks.
#[derive(Debug)]
pub struct Record(Mutex<Reloads>);

impl Default for Record {
    fn default() -> Record {
        Record(Mutex::new(Reloads {
            taken: 0,
            refused: 0,
            last: Outcome::Taken {
                waiting: Vec::new(),
            },
            last_at: UnixTime::now(),
        }))
    }
}

impl Record {
    /// Adds one.
    pub(super) fn note(&self, outcome: Outcome) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Taken { .. } => held.taken += 1,
            Outcome::Refused { .. } => held.refused += 1,
        }
        held.last = outcome;
        held.last_at = UnixTime::now();
    }

    /// What is known now.
    pub fn read(&self) -> Reloads {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }
}
