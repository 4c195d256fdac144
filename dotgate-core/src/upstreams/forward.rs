//! Makes attempts, and has them wait for a session to be made on.

use std::time::Duration;

use dotgate_wire::{NameCase, Question, UpstreamQuery, rclass, rtype};

use super::Upstreams;
use crate::attempts::Attempt;
use crate::counters::Count;
use crate::counters::labels::AttemptKind;
use crate::domain::registrable;
use crate::failure::Failure;
use crate::hedges::FirstAttempt;
use crate::keys::{ExchangeKey, SessionKey, UpstreamId};
use crate::limits;
use crate::moment::Moment;
use crate::pool::Pool;
use crate::routes::RouteId;
use crate::select::{Choice, choose, may_learn};
use crate::session::Purpose;
use crate::settings::GroupSettings;
use crate::waiting::Waiting;

impl Upstreams {
    /// Makes the next attempt for a question, or queues it for a session, or gives it up.
    pub(super) fn advance(&mut self, now: Moment, key: ExchangeKey) {
        self.give_order(key);
        let Some(attempts) = self.questions.get(key) else {
            return;
        };
        if attempts.is_suspect {
            self.advance_suspect(now, key);
            return;
        }
        let is_first = attempts.made() == 0;
        if is_first && !self.passes_quarantine(now, key) {
            return;
        }
        if is_first && let Some(session) = self.trial_session(now, key) {
            self.send(now, key, session);
            return;
        }
        let Some(attempts) = self.questions.get(key) else {
            return;
        };
        if !attempts.may_ask() {
            if !attempts.is_running() {
                self.give_up(now, key);
            }
            return;
        }
        if let Some(upstream) = attempts.over_tcp
            && self.advance_over_tcp(now, key, upstream)
        {
            return;
        }
        let Some(attempts) = self.questions.get(key) else {
            return;
        };
        match choose(attempts, self.sessions.pools(), self.sessions.table()) {
            Choice::Ask(session) => {
                self.send(now, key, session);
                if is_first {
                    self.explore(now, key, session);
                }
            }
            Choice::AskMeanwhile(session, turn) => {
                self.send(now, key, session);
                self.open_session(now, turn);
            }
            Choice::Open(upstream) => {
                self.open_session(now, upstream);
                self.wait(now, key);
                self.ask_on_opening(now, upstream);
            }
            Choice::Wait => self.wait(now, key),
            Choice::Nowhere => {
                if !attempts.is_running() {
                    self.give_up(now, key);
                }
            }
        }
    }

    /// Gives a question its turn, in the strategy of its group.
    fn give_order(&mut self, key: ExchangeKey) {
        let Some(attempts) = self.questions.get_mut(key) else {
            return;
        };
        if attempts.order.is_none() {
            let (pools, table) = (self.sessions.pools(), self.sessions.table());
            attempts.order = Some(self.selection.order(attempts, pools, table));
        }
    }

    /// Sends a copy of a question, which was sent on this session, to an upstream that has not been measured for long.
    fn explore(&mut self, now: Moment, key: ExchangeKey, session: SessionKey) {
        let Some(attempts) = self.questions.get(key) else {
            return;
        };
        let Some(asked) = self.sessions.get(session).map(|session| session.upstream) else {
            return;
        };
        let pools = self.sessions.pools();
        let explored = self.selection.explores(now, &attempts.group, pools, asked);
        let Some(upstream) = explored else {
            return;
        };
        let pool = self.sessions.pool(upstream);
        match pool.and_then(|pool| pool.with_room(self.sessions.table(), None)) {
            Some(session) => {
                self.send_as(now, key, session, AttemptKind::Exploration);
                if let Some(attempts) = self.questions.get_mut(key) {
                    attempts.take_back_one();
                }
            }
            None => self.open_session(now, upstream),
        }
    }

    /// A session to an upstream that is down for its errors, if this question is to show whether it still makes them.
    fn trial_session(&self, now: Moment, key: ExchangeKey) -> Option<SessionKey> {
        let attempts = self.questions.get(key)?;
        let mut upstreams = self.sessions.pools().in_order(&attempts.group);
        let (_, pool) = upstreams
            .find(|(upstream, pool)| pool.health().is_erring() && may_learn(attempts, *upstream))?;
        let session = pool.with_room(self.sessions.table(), None)?;
        let domain = self.domain_hash(attempts.question.name());
        pool.health().claim_trial(now, domain).then_some(session)
    }

    /// The keyed hash of a name's registrable domain.
    pub(super) fn domain_hash(&self, name: &[u8]) -> u64 {
        let domain = Question::new(registrable(name), rtype::NS, rclass::IN);
        domain.map_or(0, |domain| {
            let key = self.hasher.key(&domain, RouteId::DEFAULT, false, false);
            key.question_hash()
        })
    }

    pub(super) fn send(&mut self, now: Moment, key: ExchangeKey, session_key: SessionKey) {
        let (Some(attempts), Some(session)) =
            (self.questions.get(key), self.sessions.get(session_key))
        else {
            return;
        };
        let kind = match (session.purpose, attempts.is_running(), attempts.made()) {
            (Purpose::Isolation, _, _) => AttemptKind::Isolation,
            (Purpose::Shared, true, _) => AttemptKind::Hedge,
            (Purpose::Shared, false, 0) => AttemptKind::First,
            (Purpose::Shared, false, _) => AttemptKind::Retry,
        };
        self.send_as(now, key, session_key, kind);
    }

    pub(super) fn send_as(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        session_key: SessionKey,
        kind: AttemptKind,
    ) {
        let Some(attempts) = self.questions.get_mut(key) else {
            return;
        };
        let Some(session) = self.sessions.get(session_key) else {
            return;
        };
        let upstream = session.upstream;
        let Some(pool) = self.sessions.pool(upstream) else {
            return;
        };
        // DNSSEC needs EDNS, so a remembered refusal does not count for a query with DO.
        let is_refusing = pool.without_edns_until.is_some_and(|until| now < until);
        let query = UpstreamQuery {
            id: 0,
            question: &attempts.question,
            dnssec_ok: attempts.dnssec_ok,
            checking_disabled: attempts.checking_disabled,
            edns: !attempts.without_edns.has(upstream) && (attempts.dnssec_ok || !is_refusing),
            pads: true,
            name_case: NameCase::LOWER,
            asks_keepalive: false,
        };
        let edns = query.edns;
        let reuses = session.has_sent();
        let is_isolated = session.purpose == Purpose::Isolation;
        let is_busy = session.in_flight() + 1 >= limits::SESSION_BUSY && !is_isolated;
        let Some(id) = self.sessions.send(now, session_key, key, query) else {
            return;
        };
        let count = match kind {
            AttemptKind::Isolation | AttemptKind::Retry => Some(Count::AttemptsRetry),
            AttemptKind::Hedge => Some(Count::AttemptsHedge),
            AttemptKind::First | AttemptKind::Exploration | AttemptKind::Probe => None,
        };
        attempts.waiting_since = None;
        attempts.begin(Attempt {
            session: session_key,
            upstream,
            id,
            edns,
            kind,
            sent_at: now,
        });
        self.sessions
            .log_attempt(upstream, kind, &attempts.question);
        if kind == AttemptKind::First {
            self.watch(FirstAttempt {
                key,
                upstream,
                sent_at: now,
            });
        }
        self.tally.attempt(upstream, kind, reuses);
        self.tally.count(Count::Attempts);
        if let Some(count) = count {
            self.tally.count(count);
        }
        if is_busy {
            self.open_session(now, upstream);
        }
    }

    /// Begins to open a session, unless one is being opened or there are enough.
    pub(super) fn open_session(&mut self, now: Moment, upstream: UpstreamId) {
        let waiting = self.waiting.count_for(upstream);
        if self.sessions.open(now, upstream, waiting) {
            self.ask_on_opening(now, upstream);
        }
    }

    pub(super) fn wait(&mut self, now: Moment, key: ExchangeKey) {
        if let Some(attempts) = self.questions.get_mut(key)
            && attempts.waiting_since.is_none()
        {
            attempts.waiting_since = Some(now);
            self.waiting.begin(&attempts.group, (now, key));
        }
    }

    /// Chooses again for every attempts that waits for a session.
    pub(super) fn serve_waiting(&mut self, now: Moment) {
        let mut suspects = Vec::new();
        for queue in 0..self.waiting.queues() {
            for _ in 0..self.waiting.len_of(queue) {
                let Some(waiting) = self.waiting.pop(queue) else {
                    break;
                };
                if self.serve_one_waiting(now, queue, waiting) {
                    suspects.push(waiting.1);
                }
            }
        }
        self.waiting.drop_empty();
        self.isolate(now, &suspects);
    }

    /// The same for one that was taken from a queue. True for a suspect that is to be isolated.
    fn serve_one_waiting(&mut self, now: Moment, queue: usize, waiting: Waiting) -> bool {
        let (since, key) = waiting;
        let Some(attempts) = self.questions.get_mut(key) else {
            return false;
        };
        if attempts.waiting_since != Some(since) {
            return false;
        }
        if attempts.is_suspect {
            let may_be_isolated = self.may_isolate(key);
            if !may_be_isolated && let Some(attempts) = self.questions.get(key) {
                self.waiting.push(&attempts.group, waiting);
            }
            return may_be_isolated;
        }
        attempts.waiting_since = None;
        // Waiting on keeps the place and the time it has waited.
        self.advance(now, key);
        if self.waiting.keep_since(queue, waiting)
            && let Some(attempts) = self.questions.get_mut(key)
        {
            attempts.waiting_since = Some(since);
        }
        false
    }

    /// Ends the wait of exchanges that no session will serve: at once if nothing is being opened, else after
    /// `limits::OUTAGE_WAIT`. A young outage may be a restart, which is waited for until the deadline.
    pub(super) fn give_up_waiting(&mut self, now: Moment) {
        let pools = self.sessions.pools();
        let is_hopeless =
            |group: &GroupSettings| !pools.health_of(group).any(|health| health.is_hopeful(now));
        let given_up = self
            .waiting
            .take_hopeless(now, limits::OUTAGE_WAIT, is_hopeless);
        self.end_waits(now, given_up);
    }

    /// Whether waiting for an upstream of a group until then may help.
    pub(super) fn is_hopeful(&self, then: Moment, group: &GroupSettings) -> bool {
        let mut health = self.sessions.pools().health_of(group);
        health.any(|health| health.is_hopeful(then))
    }

    /// The same right after an opening failed: if no other one is under way, nothing is left to wait for.
    pub(super) fn give_up_waiting_after_failure(&mut self, now: Moment) {
        let (pools, sessions) = (self.sessions.pools(), self.sessions.table());
        let is_hopeless = |group: &GroupSettings| {
            !pools.in_order(group).any(|(_, pool)| {
                let health = pool.health();
                health.is_healthy() || health.may_return(now) || pool.is_opening(sessions)
            })
        };
        let given_up = self.waiting.take_hopeless(now, Duration::ZERO, is_hopeless);
        self.end_waits(now, given_up);
    }

    fn end_waits(&mut self, now: Moment, given_up: Vec<Waiting>) {
        for waiting in given_up {
            let (_, key) = waiting;
            if self.questions.stop_waiting(waiting) && !self.questions.is_running(key) {
                self.give_up(now, key);
            }
        }
    }

    /// Records, for every question that waits for this upstream, why no session could be opened.
    pub(super) fn note_waiting(&mut self, failure: Failure, upstream: UpstreamId) {
        for key in self.waiting.all_for(upstream) {
            self.questions.note(key, failure, Some(upstream));
        }
    }

    /// Tries upstreams that are not healthy, while there is traffic, in turn with all other workers.
    pub(super) fn try_unhealthy(&mut self, now: Moment) {
        for place in 0..self.sessions.pools().configured().count() {
            let found = self.sessions.pools().configured().nth(place);
            let Some((upstream, pool)) = found else {
                continue;
            };
            let is_due = !pool.health().is_healthy() && self.try_is_wanted(upstream, pool);
            if !is_due || !self.sessions.claim_try(now, upstream) {
                continue;
            }
            let Some(pool) = self.sessions.pool(upstream) else {
                continue;
            };
            let table = self.sessions.table();
            match pool.with_room(table, None) {
                // What shows whether it still errs is a client's query.
                Some(_) if pool.health().is_erring() => {}
                // Those who wait could have asked on that session: they need a fresh one.
                Some(session) if self.waiting.count_for(upstream) == 0 || !pool.may_grow(table) => {
                    self.sessions.send_probe(now, session);
                }
                Some(_) | None => self.open_session(now, upstream),
            }
        }
    }

    /// When the next of them is due.
    pub(super) fn next_upstream_try(&self) -> Option<Moment> {
        let upstreams = self.sessions.pools().configured();
        let wanted = upstreams.filter(|(upstream, pool)| {
            !pool.health().is_healthy() && self.try_is_wanted(*upstream, pool)
        });
        wanted.map(|(_, pool)| pool.health().next_try()).min()
    }

    /// Whether to try an upstream when that is due: a query waits for it, or did shortly before.
    fn try_is_wanted(&self, upstream: UpstreamId, pool: &Pool) -> bool {
        let due = pool.health().next_try();
        let has_traffic = pool
            .last_query
            .is_some_and(|last| due < last + limits::TRAFFIC_WITHIN);
        let is_wanted = has_traffic || self.waiting.count_for(upstream) > 0;
        !self.sessions.lacks_descriptors()
            && is_wanted
            && !cfg!(planted = "unhealthy-upstream-is-never-tried")
    }

    /// Opens a session to an upstream that has none, before a client asks.
    pub(crate) fn open_first_session(&mut self, now: Moment, upstream: UpstreamId) {
        let pools = self.sessions.pools();
        let pool = pools
            .get(upstream)
            .filter(|_| pools.is_configured(upstream));
        if pool.is_some_and(|pool| pool.keys().is_empty()) {
            self.open_session(now, upstream);
        }
    }

    /// Finds out whether an upstream answers, for a health check. Where something is in flight to it
    /// already, that will show it.
    pub(crate) fn probe(&mut self, now: Moment, upstream: UpstreamId) {
        if self.sessions.order_probe(now, upstream) {
            self.open_session(now, upstream);
        }
    }
}
