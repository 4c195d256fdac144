//! Makes attempts: on which session a question is asked, and which session is opened for it.
//!
//! It is between a question and its sessions. Reaches all state of upstreams but the suspects and the message that came last;
//! that a question has no attempt left it only reports.

use dotgate_wire::{NameCase, UpstreamQuery};

use super::Upstreams;
use crate::attempts::Attempt;
use crate::cache::QuestionHasher;
use crate::counters::Count;
use crate::counters::labels::AttemptKind;
use crate::hedges::{FirstAttempt, Hedges};
use crate::keys::{ExchangeKey, SessionKey, UpstreamId};
use crate::limits;
use crate::link::Link;
use crate::moment::Moment;
use crate::questions::Questions;
use crate::select::{Choice, Selection, choose, may_learn};
use crate::session::{Purpose, Session};
use crate::sessions::Sessions;
use crate::tally::Tally;
use crate::waiting::WaitingQueues;

/// What makes attempts, with the state that it needs.
pub(crate) struct Forwarder<'u> {
    pub(super) tally: &'u Tally,
    pub(super) hasher: QuestionHasher,
    pub(super) questions: &'u mut Questions,
    pub(super) sessions: &'u mut Sessions,
    pub(super) waiting: &'u mut WaitingQueues,
    pub(super) hedges: &'u mut Hedges,
    selection: &'u mut Selection,
}

impl Upstreams {
    /// What makes attempts.
    #[inline]
    pub(crate) fn forwarder(&mut self) -> Forwarder<'_> {
        Forwarder {
            tally: &self.tally,
            hasher: self.hasher,
            questions: &mut self.questions,
            sessions: &mut self.sessions,
            waiting: &mut self.waiting,
            hedges: &mut self.hedges,
            selection: &mut self.selection,
        }
    }
}

impl Forwarder<'_> {
    /// Gives a question its turn, in the strategy of its group.
    pub(super) fn give_order(&mut self, key: ExchangeKey) {
        let Some(attempts) = self.questions.get_mut(key) else {
            return;
        };
        if attempts.order.is_none() {
            let (pools, table) = (self.sessions.pools(), self.sessions.table());
            attempts.order = Some(self.selection.order(attempts, pools, table));
        }
    }

    /// Makes the next attempt for a question, or queues it for a session. False if it is asked nowhere and no attempt is left.
    pub(super) fn attempt(&mut self, now: Moment, key: ExchangeKey, is_first: bool) -> bool {
        if is_first && let Some(session) = self.trial_session(now, key) {
            self.send(now, key, session);
            return true;
        }
        let Some(attempts) = self.questions.get(key) else {
            return true;
        };
        if !attempts.may_ask() {
            return attempts.is_running();
        }
        if let Some(upstream) = attempts.over_tcp
            && self.advance_over_tcp(now, key, upstream)
        {
            return true;
        }
        let Some(attempts) = self.questions.get(key) else {
            return true;
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
            Choice::Nowhere => return attempts.is_running(),
        }
        true
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
        let domain = self.hasher.domain(attempts.question.name());
        pool.health().claim_trial(now, domain).then_some(session)
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

    /// One that waits is asked meanwhile: a server that knows the names of its zone alone may not answer ours.
    pub(super) fn ask_on_opening(&mut self, now: Moment, upstream: UpstreamId) {
        let Some(pool) = self.sessions.pool(upstream) else {
            return;
        };
        let sessions = pool.keys().iter();
        let mut opening = sessions.filter_map(|key| Some((*key, self.sessions.get(*key)?)));
        let is_free = |session: &Session| {
            session.link == Link::Datagrams && !session.is_open() && session.carried() == 0
        };
        let Some((session, _)) = opening.find(|(_, session)| is_free(session)) else {
            return;
        };
        let may_ask = |key: &ExchangeKey| {
            let attempts = self.questions.get(*key);
            attempts.is_some_and(|it| it.waiting_since.is_some() && !it.is_suspect && it.may_ask())
        };
        let waiting = self.waiting.all_for(upstream).find(may_ask);
        if let Some(key) = waiting {
            self.send(now, key, session);
        }
    }

    /// Makes the next attempt over TCP, or has the question wait for a connection. False if it is not to be asked there.
    fn advance_over_tcp(&mut self, now: Moment, key: ExchangeKey, upstream: UpstreamId) -> bool {
        let Some(attempts) = self.questions.get_mut(key) else {
            return false;
        };
        let may_be_asked =
            self.sessions.pools().is_configured(upstream) && attempts.group.has(upstream);
        if attempts.answered_by.has(upstream) || !may_be_asked {
            attempts.over_tcp = None;
            return false;
        }
        let Some(pool) = self.sessions.pool(upstream) else {
            return false;
        };
        let (session, is_opening) = pool.tcp_with_room(self.sessions.table());
        let is_asked = |session| {
            attempts
                .running()
                .any(|attempt| Some(attempt.session) == session)
        };
        match session {
            // A question is not sent twice on it.
            Some(_) if is_asked(session) => return false,
            Some(session) => self.send(now, key, session),
            None => {
                if !is_opening && !self.sessions.lacks_descriptors() {
                    self.sessions.open_plain(now, upstream, Link::Tcp);
                }
                self.wait(now, key);
            }
        }
        true
    }
}
