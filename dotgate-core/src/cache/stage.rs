//! The cache as a stage of the path: what it may serve, and what of a response goes into it.
//!
//! It is between `route` and `inflight` on the way out, between `exchange` and `respond` on the way back. Only
//! answers from authenticated upstreams are cached, as wholes and for the question that was asked (RFC 5452
//! section 6, RFC 2181 section 5.4.1). Stale answers follow RFC 8767: served when a refresh has failed, when it
//! takes longer than the client response timer, or at once while every upstream is down; the engine decides which.

use std::sync::Arc;

use dotgate_wire::{
    Ede, Question, Stored, Ttls, UpstreamResponse, ede, is_judged, judged, rcode, store_failure,
};

use super::{Cache, Found, Key, QuestionHasher, Scope, Terms};
use crate::counters::labels::Outcome;
use crate::exchange::{Exchange, Lookup};
use crate::failure::Failure;
use crate::filter::Filter;
use crate::limits;
use crate::moment::Moment;
use crate::record::Ended;
use crate::respond::ClientParameters;
use crate::root::{is_root_servers, root_servers};
use crate::routes::RouteId;
use crate::settings::Settings;
use crate::stream::{PendingEde, ResponseTerms};
use crate::verdict::is_policy;

/// Distinguishes a change of the settings from a recovery.
const SPREAD: u32 = 0x9e37_79b9;

/// As what a cached answer is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Serving {
    /// Cached for these seconds.
    Fresh(u32),
    /// As a cached failure.
    Failed,
    /// As stale, and why.
    Stale(&'static str),
}

/// A response from the cache.
#[derive(Clone, Copy)]
pub(crate) struct CachedResponse<'c> {
    pub(crate) bytes: &'c [u8],
    pub(crate) stored: Stored<'c>,
    serving: Serving,
    turn: u32,
}

/// The result of a look-up.
pub(crate) enum Cached<'c> {
    /// An answer, and whether it is to be refreshed now.
    Fresh(CachedResponse<'c>, bool),
    /// A failure that is not worth trying again yet.
    Failed(CachedResponse<'c>),
    /// A stale answer, and whether to ask for a better one first.
    Stale(CachedResponse<'c>, bool),
    /// The servers of the root, which never wait for an upstream, and whether to ask for better ones.
    Root(CachedResponse<'c>, bool),
    /// Nothing.
    Miss,
}

/// What one worker's lookups need besides the cache.
pub(crate) struct CacheStage {
    cache: Arc<Cache>,
    settings: Arc<Settings>,
    /// The entry that was found last, or is about to be inserted.
    buffer: Vec<u8>,
    /// The answer that is judged again.
    judged: UpstreamResponse,
    /// The servers of the root, as if cached long ago.
    root_servers: Vec<u8>,
    /// What clients' queries have earned for prefetching.
    prefetch_credit: u32,
    /// Answers served, which give addresses in another order each time.
    turn: u32,
}

impl CachedResponse<'_> {
    /// The terms of this response for a client.
    pub(crate) fn terms(&self, parameters: &ClientParameters) -> ResponseTerms {
        let (ttls, ede) = match self.serving {
            Serving::Fresh(_) if dotgate_wire::planted!("ttl-is-not-counted-down") => {
                (Ttls::CountedDown(0), PendingEde::OfAnswer(None))
            }
            Serving::Fresh(age) => (Ttls::CountedDown(age), PendingEde::OfAnswer(None)),
            Serving::Failed => {
                let ede = PendingEde::OfAnswer(Some(ede::CACHED_ERROR));
                (Ttls::CountedDown(0), ede)
            }
            Serving::Stale(text) => {
                let ede = PendingEde::Own(self.stored.stale_ede(), text);
                (Ttls::All(limits::STALE_TTL), ede)
            }
        };
        ResponseTerms {
            parameters: *parameters,
            ttls,
            turn: self.turn,
            ede,
            // Signatures may have expired with the data.
            is_authenticated: !matches!(self.serving, Serving::Stale(_)),
        }
    }

    /// As what the query counts that gets it.
    pub(crate) fn outcome(&self) -> Outcome {
        match self.serving {
            Serving::Fresh(_) => Outcome::Cached,
            Serving::Failed => Outcome::CachedFailure,
            Serving::Stale(_) => Outcome::Stale,
        }
    }

    /// How a query ended that got it with this RCODE.
    pub(crate) fn ended(&self, rcode: u16) -> Ended {
        let (ede, cache_age) = match self.serving {
            Serving::Fresh(age) => (None, Some(age)),
            Serving::Failed => (Some(ede::CACHED_ERROR), None),
            Serving::Stale(_) => (Some(self.stored.stale_ede()), None),
        };
        let stored = self.stored.ede().map(|ede| ede.code);
        Ended {
            cache_age,
            ..Ended::here(self.outcome(), rcode, ede.or(stored))
        }
    }

    /// The same as stale, for this reason.
    pub(crate) fn because(self, text: &'static str) -> Self {
        CachedResponse {
            serving: Serving::Stale(text),
            ..self
        }
    }
}

impl CacheStage {
    pub(crate) fn new(cache: Arc<Cache>, settings: Arc<Settings>) -> CacheStage {
        CacheStage {
            cache,
            settings,
            buffer: Vec::new(),
            judged: UpstreamResponse::new(),
            root_servers: root_servers(),
            prefetch_credit: 0,
            turn: 0,
        }
    }

    /// Uses other settings from now on. Cached responses stay, including those of removed upstreams.
    pub(crate) fn reconfigure(&mut self, settings: &Arc<Settings>) {
        self.settings = Arc::clone(settings);
    }

    /// What makes the keys of questions.
    pub(crate) fn hasher(&self) -> QuestionHasher {
        self.cache.hasher()
    }

    /// The lookup for a question, which belongs to the group in this place.
    pub(crate) fn lookup<'q>(
        &self,
        question: &'q Question,
        (group, route): (usize, RouteId),
        dnssec_ok: bool,
        checking_disabled: bool,
    ) -> Lookup<'q> {
        Lookup {
            question,
            key: self
                .cache
                .key(question, route, dnssec_ok, checking_disabled),
            group,
            dnssec_ok,
            checking_disabled,
            is_cacheable: self.cache.is_on() && self.settings.cache.keeps(question),
        }
    }

    /// Looks for a response to a query. `recoveries` changes when an upstream recovers; what is known of failures is void
    /// then. `may_refresh` says whether there is room for one more question that no client waits for.
    pub(crate) fn look_up(
        &mut self,
        now: Moment,
        lookup: &Lookup<'_>,
        recoveries: u32,
        may_refresh: bool,
    ) -> Cached<'_> {
        if !lookup.is_cacheable {
            return Cached::Miss;
        }
        self.prefetch_credit = (self.prefetch_credit + 1).min(limits::PREFETCH_CREDIT);
        let may_prefetch = self.settings.cache.prefetch
            && may_refresh
            && self.prefetch_credit >= limits::PREFETCH_COST;
        let found = self.find(now, &lookup.key, lookup.question, recoveries, may_prefetch);
        let is_root = || is_root_servers(lookup.question) && !lookup.dnssec_ok;
        match found {
            Found::Fresh { age, prefetch } => {
                if prefetch {
                    self.prefetch_credit -= limits::PREFETCH_COST;
                }
                match self.respond(Serving::Fresh(age)) {
                    Some(response) => Cached::Fresh(response, prefetch),
                    None => Cached::Miss,
                }
            }
            Found::Failed | Found::Miss | Found::Stale { .. } if is_root() => self.root(found),
            Found::Failed => match self.respond(Serving::Failed) {
                Some(response) => Cached::Failed(response),
                None => Cached::Miss,
            },
            Found::Stale { ask, .. } => match self.respond(Serving::Stale("")) {
                Some(response) => Cached::Stale(response, ask),
                None => Cached::Miss,
            },
            Found::Miss => Cached::Miss,
        }
    }

    /// Forwarders in front send `. NS` to test whether dotgate responds.
    fn root(&mut self, found: Found) -> Cached<'_> {
        if matches!(found, Found::Failed | Found::Miss) {
            self.buffer.clear();
            self.buffer.extend_from_slice(&self.root_servers);
        }
        let recheck = matches!(found, Found::Miss | Found::Stale { ask: true, .. });
        match self.respond(Serving::Stale("asking the upstream")) {
            Some(response) => Cached::Root(response, recheck),
            None => Cached::Miss,
        }
    }

    /// The message that is cached for a question, if it is fresh and an upstream's.
    pub(crate) fn fresh_response(
        &mut self,
        now: Moment,
        lookup: &Lookup<'_>,
        recoveries: u32,
    ) -> Option<Vec<u8>> {
        let found = self.find(now, &lookup.key, lookup.question, recoveries, false);
        let (Found::Fresh { age, .. }, true) = (found, lookup.is_cacheable) else {
            return None;
        };
        let is_of_upstream = !Filter::is_made_here(judged(&self.buffer));
        let stored = Stored::read(&self.buffer).filter(|_| is_of_upstream)?;
        Some(stored.aged_body(age))
    }

    /// What a client gets whose query failed, or has waited for the client response timer; none if nothing is cached for it.
    pub(crate) fn look_up_again(
        &mut self,
        now: Moment,
        exchange: &Exchange,
        recoveries: u32,
        failure: Failure,
    ) -> Option<CachedResponse<'_>> {
        if !exchange.is_cacheable {
            return None;
        }
        match self.find(now, &exchange.key, &exchange.question, recoveries, false) {
            Found::Fresh { age, .. } => self.respond(Serving::Fresh(age)),
            Found::Stale { .. } => self.respond(Serving::Stale(failure.text())),
            Found::Failed | Found::Miss => None,
        }
    }

    /// The same for a query that is rejected.
    pub(crate) fn look_up_overloaded(
        &mut self,
        now: Moment,
        lookup: &Lookup<'_>,
        recoveries: u32,
    ) -> Option<CachedResponse<'_>> {
        match self.find(now, &lookup.key, lookup.question, recoveries, false) {
            Found::Stale { .. } => self.respond(Serving::Stale(Failure::Overload.text())),
            Found::Fresh { .. } | Found::Failed | Found::Miss => None,
        }
    }

    /// Takes what is cached into the buffer.
    fn find(
        &mut self,
        now: Moment,
        key: &Key,
        question: &Question,
        recoveries: u32,
        may_prefetch: bool,
    ) -> Found {
        let terms = Terms {
            generation: self.generation(recoveries),
            stale_max: self.settings.cache.stale_max,
            may_prefetch,
            shares_nxdomain: self.settings.cache.nxdomain_all_types
                || dotgate_wire::planted!("nxdomain-is-of-all-types"),
        };
        self.buffer.clear();
        let found = self
            .cache
            .lookup(now, key, question, terms, &mut self.buffer);
        if is_judged(&self.buffer) && !self.passes(key, question) {
            return Found::Miss;
        }
        found
    }

    /// Whether what is in the buffer passes the filter. What another filter has judged is judged again.
    #[inline(never)]
    fn passes(&mut self, key: &Key, question: &Question) -> bool {
        let (settings, mark) = (&self.settings, judged(&self.buffer));
        if settings.filter.has_judged(mark) {
            return true;
        }
        let mut groups = settings.groups.iter();
        let group = groups.find(|group| group.route == key.route());
        let is_public = group.is_none_or(|group| group.is_public);
        let has_dns64 = group.is_some_and(|group| group.dns64.is_some());
        let stored = Stored::read(&self.buffer);
        let is_loaded = stored.is_some_and(|it| self.judged.load(it.body()).is_ok());
        let denied = settings.filter.judge(question, &self.judged, is_public);
        let is_complete = !(has_dns64 && self.judged.lacks_aaaa());
        is_loaded && denied.is_none() && is_complete && !Filter::is_made_here(mark)
    }

    /// The response that is in the buffer.
    fn respond(&mut self, serving: Serving) -> Option<CachedResponse<'_>> {
        self.turn = self.turn.wrapping_add(1);
        let rotates = self.settings.cache.rotates_addresses;
        Some(CachedResponse {
            bytes: &self.buffer,
            stored: Stored::read(&self.buffer)?,
            serving,
            turn: if rotates { self.turn } else { 0 },
        })
    }

    /// A number that changes when an upstream recovers, or the settings change: what is known of failures is then void.
    fn generation(&self, recoveries: u32) -> u32 {
        let changes = self.settings.generation.wrapping_mul(SPREAD);
        recoveries.wrapping_add(changes)
    }

    /// Caches the response to a question, if it may be cached at all.
    pub(crate) fn insert(
        &mut self,
        now: Moment,
        exchange: &Exchange,
        relayed: (&UpstreamResponse, Option<Ede<'_>>, bool),
        recoveries: u32,
    ) {
        self.store(&exchange.question, relayed);
        let (response, _, is_made_here) = relayed;
        let (key, question) = (&exchange.key, &exchange.question);
        let limits = &self.settings.cache;
        if matches!(response.rcode(), rcode::NOERROR | rcode::NXDOMAIN) {
            // One that is not cached still ends the lifetime of what it supersedes.
            let least = u32::from(dotgate_wire::planted!("ttl-of-zero-is-cached"));
            let ttl = limits.cache_ttl(response.cache_ttl()).max(least);
            let covers_all_types =
                limits.nxdomain_all_types || dotgate_wire::planted!("nxdomain-is-of-all-types");
            // What is filtered is one answer, not the name.
            let denies_name = response.denies_all_types() && !is_made_here;
            let scope = if covers_all_types && denies_name {
                Scope::AllTypes
            } else {
                Scope::Exact
            };
            self.cache
                .insert(now, key, question, scope, ttl, &self.buffer);
        } else if Failure::is_failure(response.rcode()) {
            if is_made_here || is_policy(response.ede().map(|(code, _)| code)) {
                self.cache.insert(now, key, question, Scope::Exact, 0, &[]);
            }
            let longest = limits.failure_ttl_max;
            let generation = self.generation(recoveries);
            self.cache
                .insert_failure(now, key, question, generation, longest, &self.buffer);
        }
    }

    /// Caches that a question could not be answered (RFC 9520 section 3.2).
    pub(crate) fn insert_failure(
        &mut self,
        now: Moment,
        exchange: &Exchange,
        failure: Failure,
        text: &str,
        recoveries: u32,
    ) {
        let ede = Ede {
            code: failure.ede(),
            text,
        };
        let question = exchange.question.as_bytes();
        self.buffer.clear();
        store_failure(&mut self.buffer, question, failure.rcode(), Some(ede));
        self.cache.insert_failure(
            now,
            &exchange.key,
            &exchange.question,
            self.generation(recoveries),
            self.settings.cache.failure_ttl_max,
            &self.buffer,
        );
    }

    /// A response as it is cached, for other workers.
    pub(crate) fn stored(
        &mut self,
        question: &Question,
        relayed: (&UpstreamResponse, Option<Ede<'_>>, bool),
    ) -> Arc<[u8]> {
        self.store(question, relayed);
        self.buffer.as_slice().into()
    }

    /// Writes a response into the buffer, with the error that clients get with it, and whether it was made here.
    fn store(
        &mut self,
        question: &Question,
        (response, ede, is_made_here): (&UpstreamResponse, Option<Ede<'_>>, bool),
    ) {
        let ttls = self.settings.cache.ttls(response.cache_ttl());
        self.buffer.clear();
        if response.question().is_empty() {
            let question = question.as_bytes();
            store_failure(&mut self.buffer, question, response.rcode(), ede);
        } else {
            let mark = self.settings.filter.mark(response, is_made_here);
            response.store_judged(&mut self.buffer, ttls, ede, mark);
        }
    }
}
