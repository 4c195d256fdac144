//! All upstreams as one worker sees them: their sessions, and the attempts for every question in flight.
//!
//! Stands between `inflight` and `respond`. `ask` makes attempts for a question until a response comes that its clients can
//! have, which `receive` returns, or until nobody is left to ask, which `poll_given_up` returns. Knows no client: `end` is how
//! it learns that nobody waits any more. `upstreams::forward` makes attempts and has them wait for a session,
//! `upstreams::suspects` asks what a failed session carried, `upstreams::sessions` takes what sessions report,
//! `upstreams::responses` their messages, `upstreams::plain` is what is different for plain upstreams, `upstreams::detail` makes the events of `debug`, `upstreams::lost` judges sessions that failed.

mod detail;
mod forward;
mod handshakes;
mod lost;
mod plain;
mod reconfigure;
mod responses;
mod sessions;
mod suspects;

use std::collections::VecDeque;
use std::sync::Arc;

use dotgate_wire::Answer;
use slotmap::{SecondaryMap, SlotMap};

use crate::attempts::{Attempt, Attempts, Cause};
use crate::cache::QuestionHasher;
use crate::exchange::Lookup;
use crate::failure::Failure;
use crate::isolation::Isolation;
use crate::keys::{ExchangeKey, SessionKey};
use crate::limits;
use crate::moment::{Moment, earlier};
use crate::outbox::{Action, Event, LogDetail};
use crate::pool::{Pools, Sessions};
use crate::quarantine::Quarantine;
use crate::random::Random;
use crate::routes::RouteId;
use crate::session::Purpose;
use crate::settings::{GroupSettings, Settings};
use crate::tally::Tally;
use crate::waiting::WaitingQueues;

/// What a message of an upstream was.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Received {
    /// The response that completes a question; `Upstreams::response` has it until the next message.
    Response(Completed),
    /// Nothing that a client gets.
    Nothing,
}

/// A question that has its response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completed {
    pub(crate) exchange: ExchangeKey,
    pub(crate) upstream: usize,
    pub(crate) is_authenticated: bool,
    /// Whether signatures were wanted and could not be asked for.
    pub(crate) lacks_signatures: bool,
}

/// A question that gets no response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenUp {
    pub(crate) exchange: ExchangeKey,
    pub(crate) failure: Failure,
    /// What its attempts show.
    pub(crate) noted: Cause,
}

/// What one worker knows of upstreams, and asks them.
pub(crate) struct Upstreams {
    settings: Arc<Settings>,
    tally: Tally,
    random: Random,
    hasher: QuestionHasher,
    pools: Pools,
    sessions: Sessions,
    attempts: SecondaryMap<ExchangeKey, Attempts>,
    /// Questions that wait for a session.
    waiting: WaitingQueues,
    isolation: Isolation,
    quarantine: Arc<Quarantine>,
    /// Recoveries of upstreams, by any worker, that those who wait have been told of.
    recoveries_seen: u64,
    /// When to look for further ones, while something waits.
    next_review: Option<Moment>,
    /// Until when no session is opened, because no file descriptor was left.
    descriptor_pause: Option<Moment>,
    /// The message of an upstream that came last.
    response: Answer,
    given_up: VecDeque<GivenUp>,
    /// Sessions with something to write.
    dirty: Vec<SessionKey>,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    log_detail: LogDetail,
}

impl Upstreams {
    pub(crate) fn new(
        (settings, tally): (Arc<Settings>, Tally),
        random: Random,
        hasher: QuestionHasher,
        quarantine: Arc<Quarantine>,
    ) -> Upstreams {
        Upstreams {
            tally,
            random,
            hasher,
            pools: Pools::new(&settings),
            sessions: SlotMap::with_key(),
            attempts: SecondaryMap::new(),
            waiting: WaitingQueues::default(),
            isolation: Isolation::new(),
            quarantine,
            recoveries_seen: 0,
            next_review: None,
            descriptor_pause: None,
            response: Answer::new(),
            given_up: VecDeque::new(),
            dirty: Vec::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            log_detail: LogDetail::Usual,
            settings,
        }
    }

    /// Takes a question, which is asked once `ask` is called, and at the upstreams of this group alone.
    pub(crate) fn begin(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        lookup: &Lookup<'_>,
        group: Arc<GroupSettings>,
    ) {
        self.attempts.insert(key, Attempts::new(lookup, group, now));
    }

    /// Asks a question.
    pub(crate) fn ask(&mut self, now: Moment, key: ExchangeKey) {
        self.advance(now, key);
    }

    /// Ends the attempts for a question: its clients have a response, or wait no more. Returns what they showed; none if
    /// they had ended before.
    pub(crate) fn end(&mut self, now: Moment, key: ExchangeKey) -> Option<Cause> {
        let attempts = self.attempts.remove(key)?;
        let cause = self.cause_of(&attempts);
        self.retire_all(now, attempts.running(), attempts.question_hash);
        Some(cause)
    }

    /// The next question that gets no response; its attempts have ended.
    pub(crate) fn poll_given_up(&mut self) -> Option<GivenUp> {
        self.given_up.pop_front()
    }

    /// Gives a question up with the most telling failure that it has seen.
    fn give_up(&mut self, now: Moment, key: ExchangeKey) {
        if let Some(cause) = self.cause_at_end(key) {
            self.give_up_for(now, key, cause.failure);
        }
    }

    fn give_up_for(&mut self, now: Moment, key: ExchangeKey, failure: Failure) {
        let Some(attempts) = self.attempts.remove(key) else {
            return;
        };
        self.given_up.push_back(GivenUp {
            exchange: key,
            failure,
            noted: self.cause_of(&attempts),
        });
        self.retire_all(now, attempts.running(), attempts.question_hash);
    }

    /// Gives those who still wait for a question at the end of the first one's time new attempts, if these are used up.
    pub(crate) fn renew(&mut self, now: Moment, key: ExchangeKey) {
        let Some(attempts) = self.attempts.get_mut(key) else {
            return;
        };
        let (running, hash) = (attempts.running(), attempts.question_hash);
        if attempts.renew(now) {
            self.retire_all(now, running, hash);
            self.advance(now, key);
        }
    }

    /// Notes why a question has no answer yet.
    pub(crate) fn note(&mut self, key: ExchangeKey, failure: Failure, upstream: Option<usize>) {
        if let Some(attempts) = self.attempts.get_mut(key) {
            attempts.note(failure, upstream);
        }
    }

    /// A waiter's time is over: no response came to what was asked, here or, with `is_asked_elsewhere`, by another worker.
    pub(crate) fn cause_at_deadline(
        &mut self,
        key: ExchangeKey,
        is_asked_elsewhere: bool,
    ) -> Option<Cause> {
        let attempts = self.attempts.get_mut(key)?;
        if attempts.made() > 0 || is_asked_elsewhere {
            let running = attempts.running().next();
            attempts.note(Failure::NoResponse, running.map(|attempt| attempt.upstream));
        }
        self.cause_at_end(key)
    }

    /// Why a question has no answer, if it ends now. Where nothing was tried, it is why upstreams are not healthy.
    pub(crate) fn cause_at_end(&mut self, key: ExchangeKey) -> Option<Cause> {
        let attempts = self.attempts.get_mut(key)?;
        if attempts.failure().0 == Failure::NotReady {
            let group = Arc::clone(&attempts.group);
            for (upstream, pool) in self.pools.in_order(&group) {
                if let Some(failure) = pool.health().why() {
                    attempts.note(failure, Some(upstream));
                }
            }
        }
        self.cause(key)
    }

    /// Why a question has no answer yet, as far as its attempts show.
    pub(crate) fn cause(&self, key: ExchangeKey) -> Option<Cause> {
        let attempts = self.attempts.get(key)?;
        Some(self.cause_of(attempts))
    }

    fn cause_of(&self, attempts: &Attempts) -> Cause {
        let (failure, upstream) = attempts.failure();
        let mut upstreams = self.pools.in_order(&attempts.group);
        Cause {
            failure,
            upstream,
            is_final: failure == Failure::Harmful
                || upstreams.all(|(upstream, _)| attempts.answered_by.has(upstream)),
        }
    }

    /// Whether an attempt for this question runs.
    pub(crate) fn is_running(&self, key: ExchangeKey) -> bool {
        self.attempts.get(key).is_some_and(Attempts::is_running)
    }

    /// The response that came last.
    pub(crate) fn response(&self) -> &Answer {
        &self.response
    }

    /// Its Extended DNS Error as it is passed on: the text says where it came from first (RFC 8914 section 3). Structured
    /// text would not survive a word before it, so it is dropped.
    pub(crate) fn relayed_ede(&self, upstream: usize) -> Option<(u16, String)> {
        let (code, text) = self.response.ede()?;
        let Some(pool) = self.pools.get(upstream) else {
            return Some((code, String::new()));
        };
        let label = &pool.upstream.label;
        let text = match text {
            text if text.is_empty() || text.starts_with('{') => format!("from {label}"),
            text => format!("from {label}: {text}"),
        };
        Some((code, text))
    }

    /// A failure in words, with the upstream whose fault it is and the group, unless that is the default one.
    pub(crate) fn failure_text(
        &self,
        group: &GroupSettings,
        failure: Failure,
        upstream: Option<usize>,
    ) -> String {
        let text = failure.text();
        let pool = upstream.and_then(|upstream| self.pools.get(upstream));
        let upstream = pool.map(|pool| &pool.upstream.label);
        match (upstream, group.route) {
            (None, RouteId::DEFAULT) => text.to_owned(),
            (Some(upstream), RouteId::DEFAULT) => format!("{text} ({upstream})"),
            (None, _) => format!("{text} (group {})", group.label),
            (Some(upstream), _) => format!("{text} ({upstream}, group {})", group.label),
        }
    }

    /// A query is forwarded: it earns attempts for suspects.
    pub(crate) fn on_query(&mut self, now: Moment, group: &GroupSettings) {
        self.isolation.earn();
        self.on_demand(now, group);
    }

    /// A query came that the upstreams of a group should answer: those that are not healthy are tried on.
    pub(crate) fn on_demand(&mut self, now: Moment, group: &GroupSettings) {
        self.pools.note_query(now, group);
    }

    #[cfg(test)]
    pub(crate) fn session(&self, key: SessionKey) -> Option<&crate::session::Session> {
        self.sessions.get(key)
    }

    /// Sessions in any phase.
    pub(crate) fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Gives up the IDs of attempts for a question.
    fn retire_all(&mut self, now: Moment, attempts: impl Iterator<Item = Attempt>, hash: u64) {
        for attempt in attempts {
            self.retire_id(now, &attempt, hash);
        }
    }

    fn retire_id(&mut self, now: Moment, attempt: &Attempt, question_hash: u64) {
        let Some(session) = self.sessions.get_mut(attempt.session) else {
            return;
        };
        session.retire(attempt.id, question_hash, now);
        let (is_isolation, has_released) = (
            session.purpose == Purpose::Isolation,
            session.has_released(),
        );
        if has_released {
            self.mark_dirty(attempt.session);
        }
        if is_isolation {
            self.settle_isolation(now, attempt.session);
        }
    }

    /// The next thing for the driver to do; flushes come late.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next session with something to write.
    pub(crate) fn poll_dirty(&mut self) -> Option<SessionKey> {
        let key = self.dirty.pop()?;
        if let Some(session) = self.sessions.get_mut(key) {
            session.is_dirty = false;
        }
        Some(key)
    }

    /// The next thing worth a line in the log.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn mark_dirty(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key)
            && !std::mem::replace(&mut session.is_dirty, true)
        {
            self.dirty.push(key);
        }
    }

    /// When time changes something here.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let sessions = self.sessions.values();
        let mut next = sessions.filter_map(|session| session.next_deadline()).min();
        next = earlier(next, self.next_upstream_try());
        next = earlier(next, self.next_review);
        let pauses = self.pools.all().filter_map(|(_, pool)| pool.paused_until);
        next = earlier(next, pauses.min());
        earlier(next, self.next_waiting_check())
    }

    /// Serves those who wait for a session where a pause is over, or another worker found an upstream healthy. Comes before
    /// the deadlines of clients, and `on_timeout` after them.
    pub(crate) fn resume(&mut self, now: Moment) {
        self.end_pauses(now);
        self.review_recoveries(now);
    }

    /// Does everything else that is due.
    pub(crate) fn on_timeout(&mut self, now: Moment) {
        self.expire_sessions(now);
        self.try_unhealthy(now);
        self.give_up_waiting(now);
    }

    /// Opens sessions again, where a pause in that is over.
    fn end_pauses(&mut self, now: Moment) {
        let is_over = |pause: &mut Option<Moment>| pause.take_if(|until| *until <= now).is_some();
        let mut some_are_over = is_over(&mut self.descriptor_pause);
        for pool in self.pools.all_mut() {
            some_are_over |= is_over(&mut pool.paused_until);
        }
        if some_are_over {
            self.serve_waiting(now);
        }
    }

    /// Another worker may have found an upstream healthy for which questions wait here.
    fn review_recoveries(&mut self, now: Moment) {
        if self.next_review.is_none_or(|due| due > now) {
            return;
        }
        let upstreams = self.pools.configured();
        let recoveries = upstreams.map(|(_, pool)| pool.health().generation()).sum();
        let has_recovered = std::mem::replace(&mut self.recoveries_seen, recoveries) != recoveries;
        if has_recovered && !cfg!(planted = "recovery-elsewhere-is-not-seen") {
            self.serve_waiting(now);
        }
        // Those who were answered elsewhere meanwhile wait no more.
        self.waiting.drop_served(&self.attempts);
        self.next_review = (!self.waiting.is_empty()).then(|| now + limits::RECOVERY_REVIEW);
    }

    /// When the oldest waiting question of a group has waited long enough, while no upstream of it is hopeful.
    fn next_waiting_check(&self) -> Option<Moment> {
        let checks = self.waiting.oldest().filter_map(|(group, (since, _))| {
            let check = since + limits::OUTAGE_WAIT;
            (!self.is_hopeful(check, group)).then_some(check)
        });
        let pause = self.descriptor_pause.filter(|_| !self.waiting.is_empty());
        earlier(checks.min(), pause)
    }

    /// Lets others read how much is in flight at each upstream.
    pub(crate) fn publish_load(&self) {
        for (upstream, pool) in self.pools.all() {
            let keys = pool.keys().iter().copied();
            let keys = keys.chain(self.isolation.sessions_of(upstream));
            let sessions = keys.filter_map(|key| self.sessions.get(key));
            let (mut open, mut in_flight) = (0, 0);
            for session in sessions.filter(|session| session.is_open()) {
                open += 1;
                in_flight += u64::from(session.in_flight());
            }
            if let Some(counters) = self.tally.upstream(upstream) {
                counters.set_load(open, in_flight);
            }
        }
    }
}

impl Drop for Upstreams {
    /// Its sessions go with it, also after a bug.
    fn drop(&mut self) {
        let open = self.sessions.values().filter(|session| session.is_open());
        for session in open {
            if let Some(pool) = self.pools.get(session.upstream) {
                pool.health().evidence().note_session_ended();
            }
        }
    }
}
