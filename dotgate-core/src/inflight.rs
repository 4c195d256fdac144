//! Stage `inflight`: is the same question already out? Then wait for it.
//!
//! It is between `cache` and `exchange`. The same question is the same name (whatever its name case), type,
//! class, DO, CD and route: two such questions in flight would double an attacker's chance to forge one of them
//! (RFC 5452 section 5). Knows the questions of one worker; `flights` those of all. Never holds an answer.

use dotgate_wire::Question;
use hashbrown::HashTable;
use slotmap::SlotMap;

use crate::cache::Key;
use crate::exchange::Exchange;
use crate::keys::ExchangeKey;

/// Finds the exchange of a question.
#[derive(Default)]
pub(crate) struct Inflight {
    table: HashTable<ExchangeKey>,
}

impl Inflight {
    pub(crate) fn find(
        &self,
        exchanges: &SlotMap<ExchangeKey, Exchange>,
        key: &Key,
        question: &Question,
    ) -> Option<ExchangeKey> {
        let is_same = |other: &ExchangeKey| {
            exchanges
                .get(*other)
                .is_some_and(|exchange| exchange.key == *key && exchange.question == *question)
        };
        self.table.find(key.hash(), is_same).copied()
    }

    /// Finds the exchange of a flight.
    pub(crate) fn find_flight(
        &self,
        exchanges: &SlotMap<ExchangeKey, Exchange>,
        flight: u64,
    ) -> Option<ExchangeKey> {
        let is_same = |other: &ExchangeKey| {
            exchanges
                .get(*other)
                .is_some_and(|exchange| exchange.key.hash() == flight)
        };
        self.table.find(flight, is_same).copied()
    }

    pub(crate) fn insert(
        &mut self,
        exchanges: &SlotMap<ExchangeKey, Exchange>,
        hash: u64,
        key: ExchangeKey,
    ) {
        self.table.insert_unique(hash, key, |other| {
            exchanges
                .get(*other)
                .map_or(0, |exchange| exchange.key.hash())
        });
    }

    pub(crate) fn remove(&mut self, hash: u64, key: ExchangeKey) {
        if let Ok(entry) = self.table.find_entry(hash, |other| *other == key) {
            entry.remove();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}
