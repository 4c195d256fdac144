//! Stage `inflight`: is the same question already out? Then wait for it.
//!
//! Stands between `route` and `exchange`. The same question is the same name (whatever its letter case), type,
//! class, DO and CD: two such questions in flight would double an attacker's chance to forge one of them
//! (RFC 5452 section 5). Never holds an answer.

use std::hash::Hasher;

use dotgate_wire::Question;
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use slotmap::SlotMap;

use crate::exchange::{Exchange, ExchangeKey};

/// Finds the exchange of a question. Clients choose the names, so the hash is keyed.
pub(crate) struct Inflight {
    table: HashTable<ExchangeKey>,
    keys: (u64, u64),
}

impl Inflight {
    pub(crate) fn new(keys: (u64, u64)) -> Inflight {
        Inflight {
            table: HashTable::new(),
            keys,
        }
    }

    pub(crate) fn hash(
        &self,
        question: &Question,
        dnssec_ok: bool,
        checking_disabled: bool,
    ) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write(question.as_bytes());
        hasher.write_u8(u8::from(dnssec_ok) << 1 | u8::from(checking_disabled));
        hasher.finish()
    }

    pub(crate) fn find(
        &self,
        exchanges: &SlotMap<ExchangeKey, Exchange>,
        hash: u64,
        question: &Question,
        dnssec_ok: bool,
        checking_disabled: bool,
    ) -> Option<ExchangeKey> {
        let is_same = |key: &ExchangeKey| {
            exchanges.get(*key).is_some_and(|exchange| {
                exchange.dnssec_ok == dnssec_ok
                    && exchange.checking_disabled == checking_disabled
                    && exchange.question == *question
            })
        };
        self.table.find(hash, is_same).copied()
    }

    pub(crate) fn insert(
        &mut self,
        exchanges: &SlotMap<ExchangeKey, Exchange>,
        hash: u64,
        key: ExchangeKey,
    ) {
        self.table.insert_unique(hash, key, |held| {
            exchanges
                .get(*held)
                .map_or(0, |exchange| exchange.question_hash)
        });
    }

    pub(crate) fn remove(&mut self, hash: u64, key: ExchangeKey) {
        if let Ok(entry) = self.table.find_entry(hash, |held| *held == key) {
            entry.remove();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}
