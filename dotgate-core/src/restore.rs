//! From a file back into the cache: every entry is checked as if a stranger had sent it.
//!
//! Not on the path of a query. An entry must be an answer that could be cached today: well formed, for the question
//! it is filed under, with a TTL within the settings, and not too old to be served. The places of its TTLs are
//! computed again, never trusted. Whether the file as a whole is one of ours is decided before, by who reads it.

use std::time::Duration;

use dotgate_wire::{CacheTtl, Question, Stored, UpstreamResponse, is_printable_text, judged};

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
    answer: UpstreamResponse,
    bytes: Vec<u8>,
}

impl<'c> CacheImporter<'c> {
    /// The target cache with its settings, and the filter that entries must pass.
    pub fn new(
        cache: &'c Cache,
        settings: &'c CacheSettings,
        filter: &'c Filter,
    ) -> CacheImporter<'c> {
        CacheImporter {
            cache,
            settings,
            filter,
            answer: UpstreamResponse::new(),
            bytes: Vec::new(),
        }
    }

    /// Inserts an entry whose age is that of `now`. False if it was not cached: it is no answer to its question, must
    /// not be cached, is too old to be served, or something newer is known.
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

    /// The TTL of an entry, in seconds; what is to be stored is then in `bytes`. None for one that is not
    /// to be cached.
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
        let may_be_synthesized = self.filter.dns64.is_some() && answer.lacks_aaaa();
        if is_denied || may_be_synthesized || Filter::is_made_here(judged(entry.bytes)) {
            return None;
        }
        // Neither the current settings nor the file can extend a TTL beyond that of the records.
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
