//! From a file back into the cache: every entry is checked as if a stranger had sent it.
//!
//! Not on the path of a query. An entry must be an answer that could be cached today: well formed, for the question
//! it is filed under, of a life within the settings and not past what may still be served. Where its TTLs stand is
//! computed again, never trusted. Whether the file as a whole is one of ours is decided before, by who reads it.

use std::time::Duration;

use dotgate_wire::{Answer, CacheTtl, Question, Stored, is_printable_text, judged};

use crate::cache::{Cache, SavedEntry, Scope};
use crate::filter::Filter;
use crate::limits;
use crate::moment::Moment;
use crate::settings::CacheSettings;
use crate::verdict::{Verdict, judge};

/// Puts saved entries into a cache.
#[derive(Debug)]
pub struct CacheImporter<'c> {
    cache: &'c Cache,
    settings: &'c CacheSettings,
    filter: &'c Filter,
    answer: Answer,
    bytes: Vec<u8>,
}

impl<'c> CacheImporter<'c> {
    /// Into this cache, which is kept by these settings, what this filter lets pass.
    pub fn new(
        cache: &'c Cache,
        settings: &'c CacheSettings,
        filter: &'c Filter,
    ) -> CacheImporter<'c> {
        CacheImporter {
            cache,
            settings,
            filter,
            answer: Answer::new(),
            bytes: Vec::new(),
        }
    }

    /// Keeps an entry whose age is that of `now`. False if it was not kept: it is no answer to its question, must
    /// not be kept, is too old to be served, or something newer is known.
    pub fn entry(&mut self, now: Moment, entry: &SavedEntry<'_>) -> bool {
        let Some(ttl_seconds) = self.check(entry) else {
            return false;
        };
        let scope = if self.settings.nxdomain_all_types {
            entry.scope
        } else {
            Scope::Exact
        };
        let checked = SavedEntry {
            scope,
            ttl_seconds,
            bytes: &self.bytes,
            ..*entry
        };
        self.cache.import(now, checked)
    }

    /// How long an entry may live, in seconds; what is to be stored is then in `bytes`. None for one that is not
    /// to be kept.
    fn check(&mut self, entry: &SavedEntry<'_>) -> Option<u32> {
        let question = Question::new(entry.name, entry.qtype, entry.qclass)?;
        let stored = Stored::read(entry.bytes)?;
        self.answer.load(stored.body()).ok()?;
        let answer = &self.answer;
        let settings = self.settings;
        let is_answer = question.matches(answer.question())
            && answer.rcode() == stored.rcode()
            && judge(answer, false) == Verdict::Deliver;
        let is_filed_rightly = answer.denies_all_types() || entry.scope == Scope::Exact;
        let ede = stored.ede();
        let is_bounded = ede.is_none_or(|ede| {
            ede.text.len() <= limits::SAVED_EDE_BYTES && is_printable_text(ede.text)
        });
        if !(is_answer && is_filed_rightly && is_bounded && settings.keeps(&question)) {
            return None;
        }
        // All saved answers are of the default group.
        let is_denied = self.filter.judge(&question, answer, true).is_some();
        if is_denied || Filter::is_made_here(judged(entry.bytes)) {
            return None;
        }
        // Neither the settings of today nor the file make a life longer than its records say.
        let (CacheTtl::Positive(lowest) | CacheTtl::Negative(lowest)) = answer.cache_ttl() else {
            return None;
        };
        let ttl = settings.cache_ttl(answer.cache_ttl());
        let ttl = ttl.min(lowest).min(entry.ttl_seconds);
        if ttl == 0 || entry.age >= Duration::from_secs(ttl.into()) + settings.stale_max {
            return None;
        }
        self.bytes.clear();
        let ttls = 0..=*settings.ttls(answer.cache_ttl()).end();
        let mark = self.filter.mark(answer, false);
        answer.store_judged(&mut self.bytes, ttls, ede, mark);
        Some(ttl)
    }
}

#[cfg(test)]
mod tests;
