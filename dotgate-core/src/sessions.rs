//! All sessions of one worker, to all upstreams: how they are opened, used and closed.
//!
//! Owns the pools, what is to be written on each session, and what the driver is to do. Knows questions only as bytes
//! to send, and decides nothing about them: `upstreams` does, and calls in. `sessions::open` opens sessions,
//! `sessions::handshakes` decides on a further try with a smaller handshake, `sessions::evidence` records what
//! sessions show of their upstreams, `sessions::replace` opens the next one before one ends, `sessions::incidents` records
//! failures, `sessions::log` makes events, `sessions::loops` recognizes queries that come back.

mod evidence;
mod handshakes;
mod incidents;
mod log;
mod loops;
mod open;
mod replace;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use dotgate_wire::{NameCase, Question, UpstreamQuery};
use slotmap::SlotMap;

pub(crate) use self::incidents::Attempted;
use crate::attempts::Attempt;
use crate::cache::QuestionHasher;
use crate::counters::Count;
use crate::counters::labels::{AttemptKind, Ending};
use crate::health::Health;
use crate::keys::{ExchangeKey, SessionKey, UpstreamId};
use crate::limits;
use crate::link::Link;
use crate::loops::OwnQueries;
use crate::moment::{Moment, earlier};
use crate::outbox::{Action, Event, LogDetail};
use crate::pool::{Pool, Pools, SessionTable};
use crate::random::Random;
use crate::routes::RouteId;
use crate::session::{CaseVerdict, Purpose, QueryOwner, Session, Timeout};
use crate::settings::{GroupSettings, Settings};
use crate::tally::Tally;
use crate::tap::{MessageKind, MessagePeer, Tap};

/// The sessions of one worker.
///
/// A driver reports here what concerns a session alone. What may bring responses, or end questions, goes through
/// [`Engine`](crate::Engine).
pub struct Sessions {
    tally: Tally,
    random: Random,
    hasher: QuestionHasher,
    probe: Probe,
    own_queries: Arc<OwnQueries>,
    /// When a loop was last reported.
    loop_reported: Option<Moment>,
    pools: Pools,
    table: SessionTable,
    /// The age at which sessions are replaced.
    age_max: Option<Duration>,
    /// Until when no session is opened, because no file descriptor was left.
    descriptor_pause: Option<Moment>,
    /// Sessions with something to write.
    dirty: Vec<SessionKey>,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    log_detail: LogDetail,
    tap: Tap,
}

/// The question that upstreams are asked to see whether they answer, with its keyed hash.
struct Probe {
    question: Question,
    hash: u64,
}

impl Probe {
    fn new(question: &Question, hasher: QuestionHasher) -> Probe {
        let key = hasher.key(question, RouteId::DEFAULT, false, false);
        Probe {
            hash: key.question_hash(),
            question: question.clone(),
        }
    }
}

impl Sessions {
    pub(crate) fn new(
        settings: &Settings,
        tally: Tally,
        random: Random,
        hasher: QuestionHasher,
        own_queries: Arc<OwnQueries>,
    ) -> Sessions {
        Sessions {
            tally,
            random,
            hasher,
            probe: Probe::new(&settings.probe, hasher),
            own_queries,
            loop_reported: None,
            pools: Pools::new(settings),
            table: SlotMap::with_key(),
            age_max: settings.session_age_max,
            descriptor_pause: None,
            dirty: Vec::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            log_detail: LogDetail::Usual,
            tap: Tap::default(),
        }
    }

    /// Where messages of upstreams are copied.
    pub(crate) fn tap(&mut self) -> &mut Tap {
        &mut self.tap
    }

    /// The next message that came on a session, out of `input` and what is unread of it.
    pub(crate) fn next_message<'m, 'b: 'm>(
        &'m mut self,
        key: SessionKey,
        input: &mut &'b [u8],
    ) -> Option<&'m [u8]> {
        let session = self.table.get_mut(key)?;
        let peer = MessagePeer::Upstream(session.upstream, session.link);
        let message = session.frames.next(input)?;
        self.tap.add(MessageKind::ForwarderResponse, peer, message);
        Some(message)
    }

    /// Copies a datagram of an upstream.
    pub(crate) fn tap_response(&mut self, key: SessionKey, message: &[u8]) {
        if let Some(session) = self.table.get(key).filter(|_| self.tap.is_on()) {
            let peer = MessagePeer::Upstream(session.upstream, session.link);
            self.tap.add(MessageKind::ForwarderResponse, peer, message);
        }
    }

    /// Uses these settings from now on; upstreams that are the same keep their pools.
    pub(crate) fn reconfigure(&mut self, settings: &Settings) {
        self.probe = Probe::new(&settings.probe, self.hasher);
        self.pools.reconfigure(settings);
        self.age_max = settings.session_age_max;
    }

    pub(crate) fn pools(&self) -> &Pools {
        &self.pools
    }

    pub(crate) fn pool(&self, upstream: UpstreamId) -> Option<&Pool> {
        self.pools.get(upstream)
    }

    pub(crate) fn health(&self, upstream: UpstreamId) -> Option<&Health> {
        self.pools.get(upstream).map(Pool::health)
    }

    pub(crate) fn table(&self) -> &SessionTable {
        &self.table
    }

    pub(crate) fn get(&self, key: SessionKey) -> Option<&Session> {
        self.table.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.table.get_mut(key)
    }

    pub(crate) fn has(&self, key: SessionKey) -> bool {
        self.table.contains_key(key)
    }

    /// Sessions in any phase.
    pub(crate) fn count(&self) -> usize {
        self.table.len()
    }

    /// Whether the system had no file descriptor left a moment ago.
    pub(crate) fn lacks_descriptors(&self) -> bool {
        self.descriptor_pause.is_some()
    }

    /// When descriptors are asked for again.
    pub(crate) fn descriptor_pause(&self) -> Option<Moment> {
        self.descriptor_pause
    }

    /// Clients send queries for this group.
    pub(crate) fn note_query(&mut self, now: Moment, group: &GroupSettings) {
        self.pools.note_query(now, group);
    }

    /// The next thing for the driver to do; flushes come late.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next session with something to write.
    pub(crate) fn poll_dirty(&mut self) -> Option<SessionKey> {
        let key = self.dirty.pop()?;
        if let Some(session) = self.table.get_mut(key) {
            session.is_dirty = false;
        }
        Some(key)
    }

    /// The next event for the log.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn mark_dirty(&mut self, key: SessionKey) {
        if let Some(session) = self.table.get_mut(key)
            && !std::mem::replace(&mut session.is_dirty, true)
        {
            self.dirty.push(key);
        }
    }

    /// Closes the sockets of UDP queries that have ended. True if there were any.
    pub(crate) fn flush_released(&mut self, key: SessionKey) -> bool {
        let has_released = self.table.get(key).is_some_and(Session::has_released);
        if has_released {
            self.mark_dirty(key);
        }
        has_released
    }

    /// The frames that wait for a session's TLS, to be drained from the front. None once it is removed, and
    /// while it is not open: not one byte leaves before the upstream is authenticated (RFC 8310 section 6.6).
    pub fn output(&mut self, key: SessionKey) -> Option<&mut Vec<u8>> {
        self.table
            .get_mut(key)
            .filter(|session| {
                session.is_open()
                    || session.link == Link::Datagrams
                    || dotgate_wire::planted!("sent-before-authentication")
            })
            .map(|session| &mut session.outgoing)
    }

    /// The next query of a session over UDP that waits no more: its socket is to be closed.
    pub fn poll_released(&mut self, key: SessionKey) -> Option<u16> {
        self.table.get_mut(key)?.poll_released()
    }

    /// Whether the query with this ID waits for its response, on a session over UDP.
    pub fn awaits(&self, key: SessionKey, id: u16) -> bool {
        let session = self.table.get(key);
        session.is_some_and(|session| session.awaits(id))
    }

    pub(crate) fn is_over_udp(&self, key: SessionKey) -> bool {
        let session = self.table.get(key);
        session.is_some_and(|session| session.link == Link::Datagrams)
    }

    /// Whether what was asked on it may still be answered there.
    pub(crate) fn is_responsive(&self, key: SessionKey) -> bool {
        let session = self.table.get(key);
        session.is_some_and(|session| !session.is_unresponsive())
    }

    /// Puts a question on a session. Returns the message ID.
    pub(crate) fn send(
        &mut self,
        now: Moment,
        key: SessionKey,
        exchange: ExchangeKey,
        query: UpstreamQuery<'_>,
    ) -> Option<u16> {
        let session = self.table.get_mut(key)?;
        let question = query.question;
        let start = session.outgoing.len();
        let upstream = session.upstream;
        let id = session.send(QueryOwner::Exchange(exchange), query, &mut self.random, now);
        let peer = MessagePeer::Upstream(upstream, session.link);
        let frame = (&session.outgoing[..], start);
        self.tap.add_frame(MessageKind::ForwarderQuery, peer, frame);
        if let Some(pool) = self.pools.get_mut(upstream) {
            pool.note_asked(now);
        }
        self.remember(now, key, id, question);
        self.mark_dirty(key);
        Some(id)
    }

    /// Sends a probe on a session.
    pub(crate) fn send_probe(&mut self, now: Moment, key: SessionKey) {
        let Some(session) = self.table.get_mut(key) else {
            return;
        };
        let pool = self.pools.get(session.upstream);
        let of_upstream = pool.and_then(|pool| pool.upstream.probe.as_ref());
        let of_upstream = of_upstream.map(|question| Probe::new(question, self.hasher));
        let probe = of_upstream.as_ref().unwrap_or(&self.probe);
        let query = UpstreamQuery {
            id: 0,
            question: &probe.question,
            dnssec_ok: false,
            checking_disabled: false,
            edns: true,
            pads: true,
            name_case: NameCase::LOWER,
            asks_keepalive: false,
        };
        let (upstream, reuses) = (session.upstream, session.has_sent());
        let start = session.outgoing.len();
        let id = session.send(QueryOwner::Probe(probe.hash), query, &mut self.random, now);
        let peer = MessagePeer::Upstream(session.upstream, session.link);
        let frame = (&session.outgoing[..], start);
        self.tap.add_frame(MessageKind::ForwarderQuery, peer, frame);
        if let Some(probe) = of_upstream {
            self.remember(now, key, id, &probe.question);
        }
        self.tally.attempt(upstream, AttemptKind::Probe, reuses);
        self.tally.count(Count::Probes);
        self.log_probe(upstream, None);
        self.mark_dirty(key);
    }

    /// Tests every session: the network changed.
    pub(crate) fn recheck(&mut self, now: Moment) {
        let sessions = self.table.iter_mut();
        let tested = sessions.filter_map(|(key, session)| session.recheck(now).then_some(key));
        let tested: Vec<SessionKey> = tested.collect();
        for key in tested {
            self.send_probe(now, key);
        }
    }

    /// Gives up the ID of an attempt. Returns what its session is for.
    pub(crate) fn retire(&mut self, now: Moment, attempt: &Attempt, hash: u64) -> Option<Purpose> {
        let session = self.table.get_mut(attempt.session)?;
        match attempt.kind {
            AttemptKind::Exploration => session.keep_copy(attempt.id, hash, now),
            AttemptKind::First
            | AttemptKind::Retry
            | AttemptKind::Hedge
            | AttemptKind::Isolation
            | AttemptKind::Probe => session.retire(attempt.id, hash, now),
        }
        let purpose = session.purpose;
        self.flush_released(attempt.session);
        Some(purpose)
    }

    /// Leaves an attempt in flight whose question is answered, to measure how long it takes. False on an isolation session,
    /// which ends with its last question.
    pub(crate) fn keep_copy(&mut self, now: Moment, attempt: &Attempt, hash: u64) -> bool {
        let session = self.table.get_mut(attempt.session);
        let Some(session) = session.filter(|session| session.purpose == Purpose::Shared) else {
            return false;
        };
        session.keep_copy(attempt.id, hash, now);
        self.flush_released(attempt.session);
        true
    }

    /// Compares the name case of a response's question with that of the query: an upstream that keeps it must send the
    /// one that was asked in.
    pub(crate) fn judge_case(
        &mut self,
        key: SessionKey,
        id: u16,
        question: &[u8],
    ) -> Option<CaseVerdict> {
        Some(self.table.get_mut(key)?.judge_case(id, question))
    }

    /// Removes a session. If it is open, `ending` is the reason.
    pub(crate) fn remove(&mut self, key: SessionKey, ending: Ending) -> Option<Session> {
        let session = self.table.remove(key)?;
        if session.is_open()
            && let Some(counters) = self.tally.upstream(session.upstream)
        {
            counters.add_ending(ending);
            self.log_session_ended(&session, ending);
        }
        if let Some(pool) = self.pools.get_mut(session.upstream) {
            pool.remove(key);
            if session.is_open() {
                pool.health().evidence().note_session_ended();
            }
        }
        Some(session)
    }

    /// Closes a session in good order.
    pub(crate) fn close(&mut self, key: SessionKey, ending: Ending) -> Option<Session> {
        let session = self.remove(key, ending)?;
        self.actions.push_back(Action::CloseSession(key));
        Some(session)
    }

    /// Asks the driver to close a session, which is then reported as ended.
    pub(crate) fn push_close(&mut self, key: SessionKey) {
        self.actions.push_back(Action::CloseSession(key));
    }

    /// Closes all, as at the end of a stop.
    pub(crate) fn close_all(&mut self) {
        let keys: Vec<SessionKey> = self.table.keys().collect();
        for key in keys {
            self.close(key, Ending::Stopped);
        }
    }

    /// Closes the shared sessions to an upstream. Returns the questions that waited on them.
    pub(crate) fn close_all_to(&mut self, upstream: UpstreamId) -> Vec<ExchangeKey> {
        let keys = self.pools.get(upstream).map(|pool| pool.keys().to_vec());
        let mut waited = Vec::new();
        for key in keys.unwrap_or_default() {
            let session = self.close(key, Ending::Stopped);
            waited.extend(session.map(|it| it.unanswered()).unwrap_or_default());
        }
        waited
    }

    /// Stops sending queries to upstreams that are no longer configured. Returns these.
    pub(crate) fn leave_upstreams(&mut self) -> Vec<UpstreamId> {
        let left = self.pools.all();
        let left = left.filter(|(upstream, _)| !self.pools.is_configured(*upstream));
        let (upstreams, keys): (Vec<UpstreamId>, Vec<Vec<SessionKey>>) = left
            .map(|(upstream, pool)| (upstream, pool.keys().to_vec()))
            .unzip();
        for key in keys.into_iter().flatten() {
            match self.table.get_mut(key) {
                Some(session) if session.in_flight() > 0 => session.drain(),
                Some(_) | None => drop(self.close(key, Ending::Stopped)),
            }
        }
        upstreams
    }

    /// The sessions on which time changes something at `now`.
    pub(crate) fn due(&self, now: Moment) -> Vec<SessionKey> {
        let is_due = |session: &Session| session.next_deadline().is_some_and(|due| due <= now);
        let due = self.table.iter().filter(|(_, session)| is_due(session));
        due.map(|(key, _)| key).collect()
    }

    /// The next thing that the time did to this session.
    pub(crate) fn poll_timeout(&mut self, now: Moment, key: SessionKey) -> Option<Timeout> {
        self.table.get_mut(key)?.poll_timeout(now)
    }

    /// When time changes something here.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let sessions = self.table.values();
        let next = sessions.filter_map(Session::next_deadline).min();
        let pauses = self.pools.all().filter_map(|(_, pool)| pool.paused_until);
        earlier(next, pauses.min())
    }

    /// Resumes opening sessions after a pause. True if a pause has ended.
    pub(crate) fn end_pauses(&mut self, now: Moment) -> bool {
        let is_over = |pause: &mut Option<Moment>| pause.take_if(|until| *until <= now).is_some();
        let mut some_are_over = is_over(&mut self.descriptor_pause);
        for pool in self.pools.all_mut() {
            some_are_over |= is_over(&mut pool.paused_until);
        }
        some_are_over
    }

    /// No file descriptor was left.
    pub(crate) fn pause_for_descriptors(&mut self, now: Moment) {
        self.descriptor_pause = Some(now + limits::DESCRIPTOR_PAUSE);
    }

    /// Lets others read how much is in flight at each upstream. `isolation` are its isolation sessions.
    pub(crate) fn publish_load<I: Iterator<Item = SessionKey>>(
        &self,
        isolation: impl Fn(UpstreamId) -> I,
    ) {
        for (upstream, pool) in self.pools.all() {
            let keys = pool.keys().iter().copied().chain(isolation(upstream));
            let sessions = keys.filter_map(|key| self.table.get(key));
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

impl Drop for Sessions {
    /// What all workers count of open sessions is given back, also after a bug.
    fn drop(&mut self) {
        let open = self.table.values().filter(|session| session.is_open());
        for session in open {
            if let Some(pool) = self.pools.get(session.upstream) {
                pool.health().evidence().note_session_ended();
            }
        }
    }
}
