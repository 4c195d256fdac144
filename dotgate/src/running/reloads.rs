//! What came of reloading the configuration, for metrics and the status.

use std::sync::{Mutex, PoisonError};

use dotgate_tls::UnixTime;

/// Its result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The new configuration is active, except for these settings, which need a restart.
    Applied {
        /// Their names.
        waiting: Vec<String>,
    },
    /// The current configuration stays active.
    Rejected {
        /// Why.
        problem: String,
    },
}

/// What is known at one moment.
#[derive(Clone, Debug)]
pub struct Reloads {
    /// How often a configuration was applied since the start.
    pub applied: u64,
    /// How often one was rejected.
    pub rejected: u64,
    /// What came last; that of the start counts as applied.
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
            applied: 0,
            rejected: 0,
            last: Outcome::Applied {
                waiting: Vec::new(),
            },
            last_at: UnixTime::now(),
        }))
    }
}

impl Record {
    /// Adds one.
    pub(crate) fn note(&self, outcome: Outcome) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Applied { .. } => guard.applied += 1,
            Outcome::Rejected { .. } => guard.rejected += 1,
        }
        guard.last = outcome;
        guard.last_at = UnixTime::now();
    }

    /// What is known now.
    pub fn read(&self) -> Reloads {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        guard.clone()
    }
}
