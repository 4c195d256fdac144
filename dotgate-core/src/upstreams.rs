//! The questions in flight of one worker, from the first attempt to the response.
//!
//! It is between `inflight` and `respond`. `ask` makes attempts for a question until there is a response for its clients, which
//! `receive` returns, or no upstream to try, which `poll_given_up` returns. It has no access to clients: `end` is called when
//! no client waits any longer. The state has six owners: `questions`, `selection` (the order of upstreams), `sessions`,
//! `waiting` (the queues for a session), `hedges` (late questions) and `isolation` (the suspects, with the quarantine).
//! Calls go from here to them, never from one to another. The modules below have no state. Each has the part of the
//! coordination that its name says: `upstreams::forward` makes attempts and queues questions for a session; the forwarder
//! (`upstreams::forwarder`, `upstreams::hedge`, `upstreams::tries`) sends attempts, copies late ones, and opens sessions.
//! `upstreams::suspects` sends the queries of a failed session in isolation, `upstreams::reports` processes session events and
//! `upstreams::responses` messages (`incoming`), `upstreams::plain` has the differences of plain upstreams, `upstreams::lost`
//! processes failed sessions, and `upstreams::timeouts` expired timers.

mod forward;
mod forwarder;
mod hedge;
mod incoming;
mod lost;
mod plain;
mod reconfigure;
mod reports;
mod responses;
mod suspects;
mod timeouts;
mod tries;

use std::sync::Arc;
use std::time::Duration;

use dotgate_wire::UpstreamResponse;

use self::incoming::Incoming;
use crate::attempts::{Attempt, Attempts, Cause};
use crate::cache::QuestionHasher;
use crate::counters::labels::AttemptKind;
use crate::exchange::Lookup;
use crate::failure::Failure;
use crate::hedges::Hedges;
use crate::isolation::Isolation;
use crate::keys::{ExchangeKey, UpstreamId};
use crate::loops::OwnQueries;
use crate::moment::Moment;
use crate::quarantine::Quarantine;
pub(crate) use crate::questions::GivenUp;
use crate::questions::{Questions, cause_of};
use crate::random::Random;
use crate::routes::RouteId;
use crate::select::Selection;
use crate::session::Purpose;
use crate::sessions::Sessions;
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
    pub(crate) upstream: UpstreamId,
    pub(crate) is_authenticated: bool,
    /// How long the upstream took for the attempt that it answered, and how many there were.
    pub(crate) took: Duration,
    pub(crate) attempts: u8,
    /// Whether signatures were wanted and could not be asked for.
    pub(crate) lacks_signatures: bool,
}

/// What one worker knows of upstreams, and asks them.
pub(crate) struct Upstreams {
    tally: Tally,
    hasher: QuestionHasher,
    questions: Questions,
    sessions: Sessions,
    /// Questions that wait for a session.
    waiting: WaitingQueues,
    isolation: Isolation,
    selection: Selection,
    hedges: Hedges,
    incoming: Incoming,
}

impl Upstreams {
    pub(crate) fn new(
        (settings, tally): (&Settings, Tally),
        mut random: Random,
        hasher: QuestionHasher,
        (quarantine, own_queries): (Arc<Quarantine>, Arc<OwnQueries>),
    ) -> Upstreams {
        Upstreams {
            selection: Selection::new(settings, random.word()),
            hedges: Hedges::new(settings.hedge_percent),
            sessions: Sessions::new(settings, tally.clone(), random, hasher, own_queries),
            tally,
            hasher,
            questions: Questions::default(),
            waiting: WaitingQueues::default(),
            isolation: Isolation::new(quarantine),
            incoming: Incoming::new(hasher),
        }
    }

    /// The sessions to them.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The same, for what concerns no question.
    pub(crate) fn sessions_mut(&mut self) -> &mut Sessions {
        &mut self.sessions
    }

    /// Takes a question, which is asked once `ask` is called, and at the upstreams of this group alone.
    pub(crate) fn begin(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        lookup: &Lookup<'_>,
        group: Arc<GroupSettings>,
    ) {
        self.questions.begin(now, key, lookup, group);
        self.hedges.earn();
    }

    /// Asks a question.
    pub(crate) fn ask(&mut self, now: Moment, key: ExchangeKey) {
        self.advance(now, key);
    }

    /// Ends the attempts for a question: its clients have a response, or wait no more. Returns what they showed; none if
    /// they had ended before.
    pub(crate) fn end(&mut self, now: Moment, key: ExchangeKey) -> Option<Cause> {
        let attempts = self.questions.end(key)?;
        let cause = cause_of(&attempts, self.sessions.pools());
        self.forwarder().settle_copy(now, &attempts, None);
        self.retire_unanswered(now, &attempts);
        Some(cause)
    }

    /// Ends the attempts for a question that one of them answered. How long the others take is measured.
    pub(super) fn end_answered(&mut self, now: Moment, key: ExchangeKey, winner: AttemptKind) {
        let Some(attempts) = self.questions.end(key) else {
            return;
        };
        self.forwarder().settle_copy(now, &attempts, Some(winner));
        for loser in attempts.running() {
            if !self.sessions.keep_copy(now, &loser, attempts.question_hash) {
                self.retire_id(now, &loser, attempts.question_hash);
            }
        }
    }

    /// The next question that gets no response; its attempts have ended.
    pub(crate) fn poll_given_up(&mut self) -> Option<GivenUp> {
        self.questions.poll_given_up()
    }

    /// Gives a question up with the most telling failure that it has seen.
    fn give_up(&mut self, now: Moment, key: ExchangeKey) {
        if let Some(cause) = self.cause_at_end(key) {
            self.give_up_for(now, key, cause.failure);
        }
    }

    fn give_up_for(&mut self, now: Moment, key: ExchangeKey, failure: Failure) {
        let given_up = self.questions.give_up(key, failure, self.sessions.pools());
        if let Some(attempts) = given_up {
            self.forwarder().settle_copy(now, &attempts, None);
            self.retire_unanswered(now, &attempts);
        }
    }

    /// Gives those who still wait for a question at the end of the first one's time further attempts, if it has no room for one
    /// or none left.
    pub(crate) fn renew(&mut self, now: Moment, key: ExchangeKey) {
        let Some(attempts) = self.questions.get_mut(key) else {
            return;
        };
        let Some(ended) = attempts.renew(now) else {
            return;
        };
        let hash = attempts.question_hash;
        for attempt in ended.iter().flatten() {
            let (question, failure) = (&attempts.question, Failure::NoResponse);
            self.sessions.log_failed(now, attempt, question, failure);
        }
        self.retire_all(now, ended.into_iter().flatten(), hash);
        self.advance(now, key);
    }

    /// Notes why a question has no answer yet.
    pub(crate) fn note(
        &mut self,
        key: ExchangeKey,
        failure: Failure,
        upstream: Option<UpstreamId>,
    ) {
        self.questions.note(key, failure, upstream);
    }

    /// A waiter's deadline has passed without a response to its question, here or, with `is_asked_elsewhere`, by
    /// another worker.
    pub(crate) fn cause_at_deadline(
        &mut self,
        key: ExchangeKey,
        is_asked_elsewhere: bool,
    ) -> Option<Cause> {
        let attempts = self.questions.get_mut(key)?;
        if attempts.made() > 0 || is_asked_elsewhere {
            let running = attempts.running().next();
            attempts.note(Failure::NoResponse, running.map(|attempt| attempt.upstream));
        }
        self.cause_at_end(key)
    }

    /// Why a question has no answer, if it ends now. Where nothing was tried, it is why upstreams are not healthy.
    pub(crate) fn cause_at_end(&mut self, key: ExchangeKey) -> Option<Cause> {
        self.questions.cause_at_end(key, self.sessions.pools())
    }

    /// Why a question has no answer yet, as far as its attempts show.
    pub(crate) fn cause(&self, key: ExchangeKey) -> Option<Cause> {
        self.questions.cause(key, self.sessions.pools())
    }

    /// How many attempts were made for a question.
    pub(crate) fn attempts(&self, key: ExchangeKey) -> u8 {
        self.questions.get(key).map_or(0, Attempts::made)
    }

    /// Whether an attempt for this question runs.
    pub(crate) fn is_running(&self, key: ExchangeKey) -> bool {
        self.questions.is_running(key)
    }

    /// The response that came last.
    pub(crate) fn response(&self) -> &UpstreamResponse {
        self.incoming.message()
    }

    /// Replaces it by another message, which was made here. False if that is no response.
    pub(crate) fn replace_response(&mut self, message: &[u8]) -> bool {
        self.incoming.load(message)
    }

    /// Its Extended DNS Error as it is passed on.
    pub(crate) fn relayed_ede(&self, upstream: UpstreamId) -> Option<(u16, String)> {
        self.incoming.relayed_ede(self.sessions.pool(upstream))
    }

    /// A failure in words, with the upstream whose fault it is and the group, unless that is the default one.
    pub(crate) fn failure_text(
        &self,
        group: &GroupSettings,
        failure: Failure,
        upstream: Option<UpstreamId>,
    ) -> String {
        let text = failure.text();
        let pool = upstream.and_then(|upstream| self.sessions.pool(upstream));
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

    /// Whether a client's query is one of dotgate's own that came back; if so, reports the loop.
    pub(crate) fn is_loop(
        &mut self,
        now: Moment,
        (lookup, received): (&Lookup<'_>, &[u8]),
        group: &GroupSettings,
    ) -> bool {
        let is_loop = self.sessions.is_own_query(now, lookup, received)
            && !dotgate_wire::planted!("loops-are-not-detected");
        if is_loop {
            self.sessions.report_loop(now, group);
        }
        is_loop
    }

    /// A query came that the upstreams of a group should answer: those that are not healthy are tried on.
    pub(crate) fn on_demand(&mut self, now: Moment, group: &GroupSettings) {
        self.sessions.note_query(now, group);
    }

    /// Ends the attempts for a question that none of them answered in time.
    fn retire_unanswered(&mut self, now: Moment, attempts: &Attempts) {
        for attempt in attempts.running() {
            let (question, failure) = (&attempts.question, Failure::NoResponse);
            self.sessions.log_failed(now, &attempt, question, failure);
        }
        self.retire_all(now, attempts.running(), attempts.question_hash);
    }

    /// Gives up the IDs of attempts for a question.
    fn retire_all(&mut self, now: Moment, attempts: impl Iterator<Item = Attempt>, hash: u64) {
        for attempt in attempts {
            self.retire_id(now, &attempt, hash);
        }
    }

    fn retire_id(&mut self, now: Moment, attempt: &Attempt, question_hash: u64) {
        let purpose = self.sessions.retire(now, attempt, question_hash);
        if purpose == Some(Purpose::Isolation) {
            self.settle_isolation(now, attempt.session);
        }
    }

    /// Lets others read how much is in flight at each upstream.
    pub(crate) fn publish_load(&self) {
        self.sessions
            .publish_load(|upstream| self.isolation.sessions_of(upstream));
    }
}
