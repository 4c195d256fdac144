//! All sessions of this engine to one upstream, and what was learned about it.
//!
//! It is between `select` and `session`. Knows which session has room, whether another one may be opened, how
//! long the upstream keeps idle connections, and whether it takes ALPN and EDNS. The pool of an upstream that is no
//! longer configured stays, out of the order, until another upstream needs its ID. Never chooses between
//! upstreams. Limits: `limits::UPSTREAM_IDS`, `SESSIONS_PER_UPSTREAM`, `SESSION_BUSY`.

use std::sync::Arc;
use std::time::Duration;

use slotmap::SlotMap;

use crate::failure::Failure;
use crate::health::Health;
use crate::key_exchange::{Fallback, Handshake, KeyExchange};
use crate::keys::{SessionKey, UpstreamId};
use crate::limits;
use crate::link::{Link, Transport};
use crate::moment::Moment;
use crate::response_time::ResponseTime;
use crate::select::order::Sequence;
use crate::session::{Phase, Session};
use crate::settings::{GroupSettings, Settings, UpstreamSettings};

pub(crate) type SessionTable = SlotMap<SessionKey, Session>;

/// The pools of all upstreams by ID, and which of them are configured.
pub(crate) struct Pools {
    by_id: Vec<Option<Pool>>,
    configured: Vec<UpstreamId>,
}

impl Pools {
    pub(crate) fn new(settings: &Settings) -> Pools {
        let mut pools = Pools {
            by_id: Vec::new(),
            configured: Vec::new(),
        };
        pools.reconfigure(settings);
        pools
    }

    /// Switches to these upstreams. Those that are the same keep their pool; others get a new one.
    pub(crate) fn reconfigure(&mut self, settings: &Settings) {
        self.configured = settings.upstreams().map(|upstream| upstream.id).collect();
        for upstream in settings.upstreams() {
            if self.by_id.len() <= upstream.id.index() {
                self.by_id.resize_with(upstream.id.index() + 1, || None);
            }
            match self.by_id.get_mut(upstream.id.index()) {
                Some(Some(pool)) if pool.is_of(upstream) => pool.upstream.clone_from(upstream),
                Some(place) => *place = Some(Pool::new(upstream.clone())),
                None => {}
            }
        }
    }

    /// The IDs that these upstreams take over from others.
    pub(crate) fn taken_by(&self, settings: &Settings) -> Vec<UpstreamId> {
        let is_taken = |upstream: &&UpstreamSettings| {
            self.get(upstream.id)
                .is_some_and(|pool| !pool.is_of(upstream))
        };
        let taken = settings.upstreams().filter(is_taken);
        taken.map(|upstream| upstream.id).collect()
    }

    pub(crate) fn get(&self, id: UpstreamId) -> Option<&Pool> {
        self.by_id.get(id.index())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: UpstreamId) -> Option<&mut Pool> {
        self.by_id.get_mut(id.index())?.as_mut()
    }

    /// The upstreams of a group that may be asked, with their IDs, as configured: all of them, but for those
    /// that are no longer configured and those whose ID is another upstream's now.
    pub(crate) fn in_order(
        &self,
        group: &GroupSettings,
    ) -> impl Iterator<Item = (UpstreamId, &Pool)> + Clone {
        self.in_turn(group, Sequence::AS_CONFIGURED)
    }

    /// The same in another order.
    pub(crate) fn in_turn(
        &self,
        group: &GroupSettings,
        order: Sequence,
    ) -> impl Iterator<Item = (UpstreamId, &Pool)> + Clone {
        let strangers: &[UpstreamId] = match dotgate_wire::planted!("questions-leave-their-group") {
            true => &self.configured,
            false => &[],
        };
        let strangers = strangers.iter().map(|id| (*id, self.get(*id)));
        let places = order.places(group.upstreams.len());
        let own = places.filter_map(|place| {
            let pool = self.at_place(group, place)?;
            Some((pool.upstream.id, pool))
        });
        own.chain(strangers.filter_map(|(id, pool)| Some((id, pool?))))
    }

    /// The upstream at a place of a group, if it may be asked.
    pub(crate) fn at_place(&self, group: &GroupSettings, place: usize) -> Option<&Pool> {
        let upstream = group.upstreams.get(place)?;
        let pool = self.get(upstream.id);
        pool.filter(|pool| pool.is_of(upstream) && self.is_configured(upstream.id))
    }

    /// The health of these.
    pub(crate) fn health_of(&self, group: &GroupSettings) -> impl Iterator<Item = &Health> + Clone {
        self.in_order(group).map(|(_, pool)| pool.health())
    }

    /// The configured upstreams of all groups with their IDs.
    pub(crate) fn configured(&self) -> impl Iterator<Item = (UpstreamId, &Pool)> + Clone {
        let ids = self.configured.iter();
        ids.filter_map(|id| Some((*id, self.get(*id)?)))
    }

    pub(crate) fn is_configured(&self, id: UpstreamId) -> bool {
        self.configured.contains(&id)
    }

    /// Clients ask for what these upstreams may answer.
    pub(crate) fn note_query(&mut self, now: Moment, group: &GroupSettings) {
        for upstream in &group.upstreams {
            if let Some(pool) = self.get_mut(upstream.id) {
                pool.last_query = Some(now);
            }
        }
    }

    /// All pools with their IDs.
    pub(crate) fn all(&self) -> impl Iterator<Item = (UpstreamId, &Pool)> {
        let pools = self.by_id.iter().flatten();
        pools.map(|pool| (pool.upstream.id, pool))
    }

    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Pool> {
        self.by_id.iter_mut().flatten()
    }
}

pub(crate) struct Pool {
    /// What the settings say of the upstream, or said last.
    pub(crate) upstream: UpstreamSettings,
    keys: Vec<SessionKey>,
    /// Openings since one succeeded.
    pub(crate) tries: u32,
    /// Whether ALPN is offered: not once it was refused.
    pub(crate) alpn: bool,
    /// The try whose hybrid handshake has just failed, in a way that a classical one might not.
    pub(crate) failed_hybrid: Option<u32>,
    /// Until when it is asked without EDNS.
    pub(crate) without_edns_until: Option<Moment>,
    /// Whether a session for suspects last took long to open, and none has opened since.
    pub(crate) was_slow: bool,
    /// Until when no session is opened, because the last try failed while another session answered.
    pub(crate) paused_until: Option<Moment>,
    /// How that try failed, until a session opens.
    pub(crate) failed_to_open: Option<Failure>,
    /// When a query was last forwarded to a group it is in.
    pub(crate) last_query: Option<Moment>,
    /// Whether the next session to open is to be probed on.
    pub(crate) probe_ordered: bool,
    /// When a response last came on one of this worker's sessions.
    pub(crate) last_response: Option<Moment>,
    /// Whether a session brought more than one response.
    pub(crate) answers_repeatedly: bool,
    /// The same of responses to clients' questions.
    pub(crate) last_answer: Option<Moment>,
    /// How long they take.
    pub(crate) response_time: ResponseTime,
    /// The smoothed round trip of the session that a response came on last: what the next session may expect.
    pub(crate) round_trip: Option<Duration>,
    /// When a client's question was last sent to it.
    last_asked: Option<Moment>,
    /// The latest pause between two of these that was not short.
    pause: Option<Duration>,
    answers: AnswersPerSession,
}

/// How many answers an upstream gives on a session before it closes it, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AnswersPerSession {
    /// No bound is known.
    Unknown,
    /// A session was closed after so many; once more, and that is the bound.
    Seen(u32),
    /// So many, until this expires.
    AtMost(u32, Moment),
}

/// Why an upstream may have closed a session with queries in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Closing {
    /// Because of what it carried, for all that is known.
    Suspicious,
    /// It has given as many answers as it gives on any session.
    Spent,
    /// The same, and that was not known before.
    SpentLearned(u32),
}

impl Pool {
    pub(crate) fn new(upstream: UpstreamSettings) -> Pool {
        Pool {
            upstream,
            keys: Vec::new(),
            tries: 0,
            alpn: true,
            failed_hybrid: None,
            without_edns_until: None,
            was_slow: false,
            paused_until: None,
            failed_to_open: None,
            last_query: None,
            probe_ordered: false,
            last_response: None,
            answers_repeatedly: false,
            last_answer: None,
            response_time: ResponseTime::default(),
            round_trip: None,
            last_asked: None,
            pause: None,
            answers: AnswersPerSession::Unknown,
        }
    }

    pub(crate) fn health(&self) -> &Health {
        &self.upstream.health
    }

    fn is_of(&self, upstream: &UpstreamSettings) -> bool {
        Arc::ptr_eq(&self.upstream.health, &upstream.health)
    }

    pub(crate) fn keys(&self) -> &[SessionKey] {
        &self.keys
    }

    pub(crate) fn add(&mut self, key: SessionKey) {
        self.keys.push(key);
    }

    /// Takes the next try: to which address, and with what handshake.
    pub(crate) fn next_handshake(&mut self, now: Moment, sessions: &SessionTable) -> Handshake {
        if let Some(try_number) = self.failed_hybrid.take() {
            return Handshake {
                offer: KeyExchange::Classical,
                fallback: Some(Fallback::AfterFailure),
                try_number,
            };
        }
        let handshakes = &self.upstream.handshakes;
        let awaits_hybrid = self.openings(sessions).any(|opening| {
            opening.phase == Phase::Handshaking && opening.handshake.offer == KeyExchange::Hybrid
        });
        let (offer, fallback) = match handshakes.next(now) {
            KeyExchange::Hybrid if awaits_hybrid && handshakes.may_fall_back() => {
                (KeyExchange::Classical, Some(Fallback::Hedge))
            }
            offer @ (KeyExchange::Hybrid | KeyExchange::Classical) => (offer, None),
        };
        let try_number = self.tries;
        self.tries = self.tries.saturating_add(1);
        Handshake {
            offer,
            fallback,
            try_number,
        }
    }

    pub(crate) fn remove(&mut self, key: SessionKey) {
        self.keys.retain(|other| *other != key);
    }

    /// The session that should take the next query: the first that is not busy, else the least busy.
    /// Filling one before the next makes larger records and fewer system calls.
    /// With `after`, only sessions that became open no earlier count: they have shown that the upstream responds.
    pub(crate) fn with_room(
        &self,
        sessions: &SessionTable,
        after: Option<Moment>,
    ) -> Option<SessionKey> {
        let fit = |key: &&SessionKey| {
            sessions.get(**key).is_some_and(|session| {
                let is_fresh = match session.link {
                    Link::Tls => after.is_none() || session.opened >= after,
                    Link::Tcp => false,
                    // Each query has its own socket.
                    Link::Datagrams => true,
                };
                session.takes_queries() && is_fresh
            })
        };
        let load = |key: &SessionKey| sessions.get(*key).map_or(u32::MAX, Session::in_flight);
        let mut fitting = self.keys.iter().filter(fit);
        let first = *fitting.next()?;
        if load(&first) < limits::SESSION_BUSY {
            return Some(first);
        }
        Some(
            *fitting
                .min_by_key(|key| load(key))
                .filter(|key| load(key) < load(&first))
                .unwrap_or(&first),
        )
    }

    /// Queries in flight on shared sessions.
    pub(crate) fn in_flight(&self, sessions: &SessionTable) -> u32 {
        let own = self.keys.iter().filter_map(|key| sessions.get(*key));
        own.map(Session::in_flight).sum()
    }

    /// Whether there is a session for queries over UDP; one carries all.
    pub(crate) fn has_datagrams(&self, sessions: &SessionTable) -> bool {
        let mut own = self.keys.iter().filter_map(|key| sessions.get(*key));
        own.any(|session| session.link == Link::Datagrams && !session.is_draining())
    }

    /// The TCP connection to a plain upstream that takes the next query; and whether one is being opened.
    pub(crate) fn tcp_with_room(&self, sessions: &SessionTable) -> (Option<SessionKey>, bool) {
        let is_tcp = |session: &&Session| session.link == Link::Tcp;
        let own = || {
            let keys = self.keys.iter();
            keys.filter_map(|key| Some((*key, sessions.get(*key).filter(is_tcp)?)))
        };
        let with_room = own().find(|(_, session)| session.takes_queries());
        let is_opening = own().any(|(_, session)| !session.is_open());
        (with_room.map(|(key, _)| key), is_opening)
    }

    /// Whether some session is being opened.
    pub(crate) fn is_opening(&self, sessions: &SessionTable) -> bool {
        self.openings(sessions).next().is_some()
    }

    /// Whether all openings under way take long already.
    pub(crate) fn opens_slowly(&self, sessions: &SessionTable) -> bool {
        let mut openings = self.openings(sessions).peekable();
        openings.peek().is_some() && openings.all(Session::opens_slowly)
    }

    /// Whether another session may be opened at all, and now.
    /// Sessions that take no more queries make room for others, up to `limits::SESSIONS_SHARED` in all.
    pub(crate) fn may_grow(&self, sessions: &SessionTable) -> bool {
        if self.upstream.transport == Transport::Plain {
            let mut own = self.keys.iter().filter_map(|key| sessions.get(*key));
            let carries_all = own.any(|session| {
                session.link == Link::Datagrams && session.is_open() && !session.is_draining()
            });
            return self.paused_until.is_none() && !carries_all;
        }
        let max = match self.answers {
            AnswersPerSession::AtMost(..) => limits::SESSIONS_SHARED,
            AnswersPerSession::Unknown | AnswersPerSession::Seen(_) => {
                limits::SESSIONS_PER_UPSTREAM
            }
        };
        let is_draining = |key: &&SessionKey| sessions.get(**key).is_some_and(Session::is_draining);
        let draining = self.keys.iter().filter(is_draining).count();
        self.paused_until.is_none()
            && self.keys.len() < limits::SESSIONS_SHARED
            && self.keys.len() - draining < max
    }

    /// Whether `waiting` queries justify opening one more session.
    pub(crate) fn wants_opening(&self, sessions: &SessionTable, waiting: usize) -> bool {
        if self.upstream.transport == Transport::Plain {
            return !self.has_datagrams(sessions);
        }
        if dotgate_wire::planted!("handshakes-are-not-bounded") {
            return true;
        }
        let openings = self.openings(sessions).count();
        match self.answers {
            AnswersPerSession::AtMost(answers, _) => openings * (answers as usize) < waiting.max(1),
            AnswersPerSession::Unknown | AnswersPerSession::Seen(_) => {
                !self.awaits_opening(sessions)
            }
        }
    }

    /// Whether a session is being opened that is worth waiting for. A single one that takes long is not: it may never
    /// open.
    pub(crate) fn awaits_opening(&self, sessions: &SessionTable) -> bool {
        let mut openings = self.openings(sessions);
        match (openings.next(), openings.next()) {
            (None, _) => false,
            (Some(only), None) => !only.opens_late(),
            (Some(_), Some(_)) => true,
        }
    }

    /// How many queries a session may carry, where the upstream closes it after so many answers.
    pub(crate) fn answers_max(&self) -> Option<u32> {
        match self.answers {
            AnswersPerSession::AtMost(answers, _) => Some(answers),
            AnswersPerSession::Unknown | AnswersPerSession::Seen(_) => None,
        }
    }

    /// The peer closed a session after this many responses while others were awaited. Twice the same number is its
    /// bound; with a single query unanswered, that query may be the cause instead.
    pub(crate) fn on_closed_after(
        &mut self,
        responses: u32,
        unanswered: usize,
        now: Moment,
    ) -> Closing {
        match self.answers {
            AnswersPerSession::AtMost(answers, _) if responses >= answers => Closing::Spent,
            _ if unanswered < 2 || responses == 0 || responses > limits::ANSWERS_MAX => {
                Closing::Suspicious
            }
            AnswersPerSession::Seen(seen)
                if seen == responses
                    && !dotgate_wire::planted!("answers-per-session-are-not-learned") =>
            {
                let until = now + limits::ANSWERS_MAX_FOR;
                self.answers = AnswersPerSession::AtMost(responses, until);
                Closing::SpentLearned(responses)
            }
            AnswersPerSession::AtMost(..) => Closing::Suspicious,
            AnswersPerSession::Unknown | AnswersPerSession::Seen(_) => {
                self.answers = AnswersPerSession::Seen(responses);
                Closing::Suspicious
            }
        }
    }

    /// Removes a limit that was learned long ago. To be called before a session is opened.
    pub(crate) fn forget_old_bound(&mut self, now: Moment) {
        if matches!(self.answers, AnswersPerSession::AtMost(_, until) if until <= now) {
            self.answers = AnswersPerSession::Unknown;
        }
    }

    pub(crate) fn openings<'s>(
        &'s self,
        sessions: &'s SessionTable,
    ) -> impl Iterator<Item = &'s Session> + 's {
        self.keys
            .iter()
            .filter_map(|key| sessions.get(*key))
            .filter(|session| !session.is_open() && session.link != Link::Tcp)
    }

    /// After what time an idle session is closed.
    pub(crate) fn idle_limit(&self) -> Duration {
        self.upstream.idle_timeout.limit()
    }

    /// A client's question is sent to it.
    pub(crate) fn note_asked(&mut self, now: Moment) {
        let pause = self.last_asked.map(|last| now.since(last));
        if pause.is_some_and(|pause| pause >= limits::SESSION_IDLE_SHORTEST) {
            self.pause = pause;
        }
        self.last_asked = Some(now);
    }

    /// Whether a client's question is likely to come while the next session would be idle: they come with pauses about as
    /// long as a session may be idle.
    pub(crate) fn expects_question(&self) -> bool {
        let limit = self.idle_limit();
        self.pause
            .is_some_and(|pause| limit / 2 <= pause && pause < limit * 2)
    }

    /// Whether the upstream may have closed a session because it had given so many answers on it.
    pub(crate) fn may_end_after(&self, responses: u32) -> bool {
        match self.answers {
            AnswersPerSession::Unknown => false,
            AnswersPerSession::Seen(seen) => responses == seen,
            AnswersPerSession::AtMost(most, _) => responses >= most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sessions_closed_after_as_many_answers_teach_a_bound_that_is_forgotten() {
        let start = Moment::from_nanos(1_000_000_000);
        let mut pool = Pool::new(UpstreamSettings::new(UpstreamId(0), "up0"));
        assert_eq!(pool.on_closed_after(5, 9, start), Closing::Suspicious);
        assert_eq!(pool.on_closed_after(6, 9, start), Closing::Suspicious);
        assert_eq!(pool.on_closed_after(6, 1, start), Closing::Suspicious);
        assert_eq!(pool.on_closed_after(6, 2, start), Closing::SpentLearned(6));
        assert_eq!(pool.on_closed_after(6, 1, start), Closing::Spent);
        assert_eq!(pool.on_closed_after(5, 4, start), Closing::Suspicious);
        assert!(
            pool.may_end_after(6) && !pool.may_end_after(5),
            "it is not for being idle"
        );
        pool.forget_old_bound(start);
        assert_eq!(pool.answers_max(), Some(6));
        pool.forget_old_bound(start + limits::ANSWERS_MAX_FOR);
        assert_eq!(pool.answers_max(), None);
    }

    #[test]
    fn a_question_is_expected_where_pauses_are_about_as_long_as_a_session_is_idle() {
        let mut pool = Pool::new(UpstreamSettings::new(UpstreamId(0), "up0"));
        let mut now = Moment::from_nanos(1_000_000_000);
        pool.note_asked(now);
        for (pause, is_expected) in [
            (100, false),
            (3_900, false),
            (10_000, true),
            (10, true),
            (16_000, false),
        ] {
            now = now + Duration::from_millis(pause);
            pool.note_asked(now);
            assert_eq!(pool.expects_question(), is_expected, "{pause}");
        }
    }
}
