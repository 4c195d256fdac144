//! Stage `cache`: a fresh answer, a stale one, or none; and what is kept of an exchange's end.
//!
//! Stands between `route` and `inflight` on the way out, between `exchange` and `respond` on the way back. Only
//! answers from authenticated upstreams are kept, as wholes and for the question that was asked (RFC 5452
//! section 6, RFC 2181 section 5.4.1). Stale answers follow RFC 8767: given when a refresh has failed, when it
//! takes longer than the client timer, or at once while every upstream is down.

use dotgate_wire::{Ede, Question, Stored, Ttls, ede, rcode, store_failure};

use super::Engine;
use crate::cache::{Found, Key, Scope, Terms};
use crate::counters::Count;
use crate::counters::labels::Outcome;
use crate::exchange::{Client, Lookup, Waiter};
use crate::failure::Failure;
use crate::flights::Role;
use crate::keys::ExchangeKey;
use crate::limits;
use crate::moment::Moment;
use crate::respond::Asked;
use crate::root::is_root_servers;
use crate::stream::{PendingEde, ResponseTerms};
use crate::upstreams::Completed;
use crate::verdict::is_policy;

/// Keeps a change of the settings and a recovery from looking the same.
const SPREAD: u32 = 0x9e37_79b9;

/// What the cache had for a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Held {
    /// The client has its response.
    Answered,
    /// A stale answer, for the time when patience ends.
    Stale,
    /// Nothing.
    Nothing,
}

/// How an answer from the cache is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    /// Kept for these seconds.
    Fresh(u32),
    /// As a failure that was kept.
    Failed,
    /// As stale, and why.
    Stale(&'static str),
}

impl Told {
    fn outcome(self) -> Outcome {
        match self {
            Told::Fresh(_) => Outcome::Cached,
            Told::Failed => Outcome::CachedFailure,
            Told::Stale(_) => Outcome::Stale,
        }
    }
}

impl Engine {
    /// Whether answers to this question go into the cache.
    pub(super) fn is_kept(&self, question: &Question) -> bool {
        self.cache.is_on() && self.settings.cache.keeps(question)
    }

    /// Answers a query from the cache, if that may be.
    pub(super) fn look_up(
        &mut self,
        now: Moment,
        client: Client,
        asked: &Asked,
        exact: &[u8],
        asks: &Lookup<'_>,
    ) -> Held {
        if !asks.is_cacheable {
            return Held::Nothing;
        }
        self.prefetch_credit = (self.prefetch_credit + 1).min(limits::PREFETCH_CREDIT);
        let may_prefetch = self.may_prefetch();
        let found = self.find(now, &asks.key, asks.question, may_prefetch);
        match found {
            Found::Fresh { age, prefetch } => {
                if !self.answer_now(client, asked, exact, asks, Told::Fresh(age)) {
                    return Held::Nothing;
                }
                if prefetch {
                    self.prefetch_credit -= limits::PREFETCH_COST;
                    self.count(Count::Prefetches);
                    self.refresh(now, asks);
                }
                Held::Answered
            }
            Found::Failed | Found::Miss | Found::Stale { .. }
                if is_root_servers(asks.question) && !asks.dnssec_ok =>
            {
                self.answer_root(now, client, asked, exact, asks, found)
            }
            Found::Failed => self.answer_held(client, asked, exact, asks, Told::Failed),
            Found::Stale { ask, .. } => {
                if ask && !self.upstreams.is_everything_unreachable() {
                    return Held::Stale;
                }
                // So that upstreams that are down are tried on.
                self.upstreams.on_demand(now);
                let told = Told::Stale(self.why_down());
                self.answer_held(client, asked, exact, asks, told)
            }
            Found::Miss => {
                self.count(Count::CacheMisses);
                Held::Nothing
            }
        }
    }

    /// `. NS` is how forwarders in front ask whether we live: it never waits for an upstream.
    fn answer_root(
        &mut self,
        now: Moment,
        client: Client,
        asked: &Asked,
        exact: &[u8],
        asks: &Lookup<'_>,
        found: Found,
    ) -> Held {
        if matches!(found, Found::Failed | Found::Miss) {
            self.kept.clear();
            self.kept.extend_from_slice(&self.root);
        }
        let told = Told::Stale("asking the upstream");
        if !self.answer_now(client, asked, exact, asks, told) {
            return Held::Nothing;
        }
        match found {
            Found::Miss | Found::Stale { ask: true, .. } => self.refresh(now, asks),
            Found::Failed | Found::Fresh { .. } | Found::Stale { ask: false, .. } => {}
        }
        Held::Answered
    }

    /// Takes what is held into `kept`.
    fn find(&mut self, now: Moment, key: &Key, question: &Question, may_prefetch: bool) -> Found {
        let terms = Terms {
            generation: self.recoveries(),
            stale_max: self.settings.cache.stale_max,
            may_prefetch,
            shares_nxdomain: self.settings.cache.nxdomain_all_types
                || cfg!(planted = "nxdomain-is-of-all-types"),
        };
        self.kept.clear();
        self.cache.lookup(now, key, question, terms, &mut self.kept)
    }

    /// A number that changes when an upstream recovers, or the settings change: what was kept of failures is then void.
    fn recoveries(&self) -> u32 {
        let changes = self.settings.generation.wrapping_mul(SPREAD);
        self.upstreams.recoveries().wrapping_add(changes)
    }

    fn why_down(&self) -> &'static str {
        self.upstreams.why_unhealthy().map_or("", Failure::text)
    }

    /// The same as `answer_now`, in the words of the stage.
    fn answer_held(
        &mut self,
        client: Client,
        asked: &Asked,
        exact: &[u8],
        asks: &Lookup<'_>,
        told: Told,
    ) -> Held {
        if self.answer_now(client, asked, exact, asks, told) {
            Held::Answered
        } else {
            Held::Nothing
        }
    }

    /// Answers a query with what is in `kept`. False if that is no answer.
    fn answer_now(
        &mut self,
        client: Client,
        asked: &Asked,
        exact: &[u8],
        asks: &Lookup<'_>,
        told: Told,
    ) -> bool {
        let Some(rcode) = self.deliver_kept(client, asked, exact, told) else {
            return false;
        };
        self.count_query(client, asks.question.rtype(), told.outcome(), rcode);
        self.trace_query(client, exact, told.outcome(), rcode);
        true
    }

    /// Answers a query for which there is no room with the stale answer that was found for it.
    pub(super) fn answer_from_kept(
        &mut self,
        client: Client,
        asked: &Asked,
        exact: &[u8],
        asks: &Lookup<'_>,
    ) -> bool {
        let told = Told::Stale(Failure::Overload.text());
        self.answer_now(client, asked, exact, asks, told)
    }

    /// Sends what is in `kept` to a client, and returns its RCODE. None if it is no answer.
    fn deliver_kept(
        &mut self,
        client: Client,
        asked: &Asked,
        exact: &[u8],
        told: Told,
    ) -> Option<u16> {
        let octets = std::mem::take(&mut self.kept);
        let turn = self.next_turn();
        let (ttls, ede) = match told {
            Told::Fresh(_) if cfg!(planted = "ttl-is-not-counted-down") => {
                (Ttls::CountedDown(0), PendingEde::OfAnswer(None))
            }
            Told::Fresh(age) => (Ttls::CountedDown(age), PendingEde::OfAnswer(None)),
            Told::Failed => {
                let ede = PendingEde::OfAnswer(Some(ede::CACHED_ERROR));
                (Ttls::CountedDown(0), ede)
            }
            Told::Stale(text) => {
                let stored = Stored::read(&octets);
                let code = stored.map_or(ede::STALE_ANSWER, |stored| stored.stale_ede());
                (Ttls::All(limits::STALE_TTL), PendingEde::Own(code, text))
            }
        };
        let terms = ResponseTerms {
            asked: *asked,
            ttls,
            turn,
            ede,
            // Signatures may have expired with the data.
            is_authenticated: !matches!(told, Told::Stale(_)),
        };
        let rcode = self.deliver_stored(client, &octets, exact, &terms);
        self.kept = octets;
        rcode
    }

    /// The turn of the next answer's addresses; 0 if they are to stand as they came.
    fn next_turn(&mut self) -> u32 {
        self.turn = self.turn.wrapping_add(1);
        if self.settings.cache.rotates_addresses {
            self.turn
        } else {
            0
        }
    }

    /// Whether a prefetch may be made now: clients' queries have earned it, and few are out.
    fn may_prefetch(&self) -> bool {
        self.settings.cache.prefetch
            && self.prefetch_credit >= limits::PREFETCH_COST
            && self.refreshes.len() < limits::REFRESHES
    }

    /// Asks for a question for which no client waits.
    fn refresh(&mut self, now: Moment, asks: &Lookup<'_>) {
        let is_out = self
            .inflight
            .find(&self.exchanges, &asks.key, asks.question)
            .is_some();
        if is_out || self.refreshes.len() >= limits::REFRESHES {
            return;
        }
        let flight = asks.key.hash();
        if self.flights.join(flight, self.number) == Role::Follows {
            // Another worker's answer will be in the cache.
            self.flights.leave(flight, self.number);
            return;
        }
        let key = self.begin_exchange(now, asks, Role::Leads);
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.is_refresh = true;
        }
        let given_up = now + self.settings.query_deadline;
        self.refreshes.push(given_up, key);
        self.upstreams.ask(now, key);
    }

    /// Keeps the response that came last, and sends it to the workers that wait for it.
    pub(super) fn keep(&mut self, now: Moment, completed: &Completed, ede: Option<Ede<'_>>) {
        let key = completed.exchange;
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let is_authenticated = completed.is_authenticated;
        let is_kept = exchange.is_cacheable && is_authenticated && !completed.lacks_signatures;
        let flight = exchange.key.hash();
        if is_kept {
            self.fill_kept(key, ede);
            self.insert_kept(now, key);
        }
        // In this order, so that who looks in vain finds the flight.
        let followers = self.land(key);
        if !followers.is_empty() {
            if !is_kept {
                self.fill_kept(key, ede);
            }
            self.tell_answered(flight, followers, is_authenticated);
        }
    }

    /// Writes the loaded answer into `kept`.
    fn fill_kept(&mut self, key: ExchangeKey, ede: Option<Ede<'_>>) {
        let answer = self.upstreams.response();
        let ttls = self.settings.cache.ttls(answer.life());
        self.kept.clear();
        if !answer.question().is_empty() {
            answer.store(&mut self.kept, ttls, ede);
        } else if let Some(exchange) = self.exchanges.get(key) {
            let question = exchange.question.as_bytes();
            store_failure(&mut self.kept, question, answer.rcode(), ede);
        }
    }

    /// Puts what is in `kept`, which is the loaded answer, into the cache, if it may be kept at all.
    fn insert_kept(&self, now: Moment, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let (key, question) = (&exchange.key, &exchange.question);
        let limits = &self.settings.cache;
        let answer = self.upstreams.response();
        if matches!(answer.rcode(), rcode::NOERROR | rcode::NXDOMAIN) {
            // One that is not kept still ends the life of what it supersedes.
            let least = u32::from(cfg!(planted = "answer-without-a-life-is-kept"));
            let life = limits.life(answer.life()).max(least);
            let covers_all_types =
                limits.nxdomain_all_types || cfg!(planted = "nxdomain-is-of-all-types");
            let scope = if covers_all_types && answer.denies_all_types() {
                Scope::AllTypes
            } else {
                Scope::Exact
            };
            self.cache
                .insert(now, key, question, scope, life, &self.kept);
        } else if Failure::is_failure(answer.rcode()) {
            if is_policy(answer.ede().map(|(code, _)| code)) {
                self.cache.insert(now, key, question, Scope::Exact, 0, &[]);
            }
            let longest = limits.failure_ttl_max;
            let recoveries = self.recoveries();
            self.cache
                .insert_failure(now, key, question, recoveries, longest, &self.kept);
        }
    }

    /// Remembers that a question could not be answered (RFC 9520 section 3.2).
    pub(super) fn keep_failure(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        (failure, upstream): (Failure, Option<usize>),
    ) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        if !exchange.is_cacheable || !failure.is_kept() || exchange.role == Role::Follows {
            return;
        }
        let text = self.upstreams.failure_text(failure, upstream);
        let ede = Ede {
            code: failure.ede(),
            text: &text,
        };
        let question = exchange.question.as_bytes();
        self.kept.clear();
        store_failure(&mut self.kept, question, failure.rcode(), Some(ede));
        self.cache.insert_failure(
            now,
            &exchange.key,
            &exchange.question,
            self.recoveries(),
            self.settings.cache.failure_ttl_max,
            &self.kept,
        );
    }

    /// Gives a client whose query failed what is held for it. False if nothing is.
    pub(super) fn answer_stale(
        &mut self,
        now: Moment,
        waiter: &Waiter,
        key: ExchangeKey,
        failure: Failure,
    ) -> bool {
        let held = self.find_for_waiter(now, key, failure);
        held.is_some_and(|held| self.give_waiter(now, waiter, key, held))
    }

    /// Gives clients that have waited for the client timer what is held for them (RFC 8767 section 5). The
    /// exchange goes on without them, to refresh it.
    pub(super) fn serve_stale(&mut self, now: Moment) {
        while let Some(key) = self.client_timers.pop_due(now) {
            let Some(held) = self.find_for_waiter(now, key, Failure::Silent) else {
                continue;
            };
            while let Some(waiter) = self.take_impatient(now, key) {
                // What was found is an answer: it was read when it was kept.
                self.give_waiter(now, &waiter, key, held);
                self.end_waiter(&waiter);
            }
            self.go_on_unwatched(now, key);
        }
    }

    /// Takes the first waiter of an exchange if it has waited for the client timer.
    fn take_impatient(&mut self, now: Moment, key: ExchangeKey) -> Option<Waiter> {
        let first = self.exchanges.get(key)?.first_waiter()?;
        let asked_at = self.waiters.get(first)?.asked_at;
        let is_due = asked_at + self.settings.cache.stale_after <= now;
        if is_due { self.take_waiter(key) } else { None }
    }

    /// Takes what is held for an exchange's question into `kept`: how it is told, and as what it counts.
    fn find_for_waiter(&mut self, now: Moment, key: ExchangeKey, failure: Failure) -> Option<Told> {
        let exchange = self.exchanges.get(key).filter(|held| held.is_cacheable)?;
        let (cache_key, question) = (exchange.key, exchange.question.clone());
        match self.find(now, &cache_key, &question, false) {
            Found::Fresh { age, .. } => Some(Told::Fresh(age)),
            Found::Stale { .. } => Some(Told::Stale(failure.text())),
            Found::Failed | Found::Miss => None,
        }
    }

    /// Gives a waiter what is in `kept`. False if that is no answer.
    fn give_waiter(&mut self, now: Moment, waiter: &Waiter, key: ExchangeKey, told: Told) -> bool {
        let asked = self.asked_by(waiter);
        let exact = self.spelt_question(key, waiter);
        let rcode = if self.must_cut(now, waiter) {
            let stored = Stored::read(&self.kept).map(|stored| stored.rcode());
            stored.inspect(|rcode| self.deliver_without_records(key, waiter, *rcode))
        } else {
            let rcode = self.deliver_kept(waiter.client, &asked, &exact, told);
            self.note_released(now, waiter);
            rcode
        };
        let Some(rcode) = rcode else {
            return false;
        };
        self.count(Count::AnsweredKept);
        self.count_waited(now, waiter, key, (told.outcome(), rcode), None);
        true
    }

    /// An exchange for which nobody waits any more goes on for a while.
    fn go_on_unwatched(&mut self, now: Moment, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        if exchange.first_waiter().is_some() || exchange.is_refresh {
            return;
        }
        if self.refreshes.len() >= limits::REFRESHES {
            self.remove_exchange(now, key, None);
            self.settle(now);
            return;
        }
        exchange.is_refresh = true;
        let given_up = now + self.settings.query_deadline;
        self.refreshes.push(given_up, key);
    }

    /// Gives up exchanges that were made or went on for the cache alone.
    pub(super) fn end_refreshes(&mut self, now: Moment) {
        while let Some(key) = self.refreshes.pop_due(now) {
            let Some(exchange) = self.exchanges.get_mut(key) else {
                continue;
            };
            exchange.is_refresh = false;
            if exchange.first_waiter().is_none() {
                self.upstreams.note(key, Failure::Silent, None);
                self.fail_with_noted(now, key);
                self.settle(now);
            }
        }
    }
}
