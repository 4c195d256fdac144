//! The questions that upstreams are asked, each with its attempts, and those that got no response.
//!
//! Knows which upstreams were tried and why they failed. Does not know how questions are sent; `upstreams` decides on
//! each next attempt.

use std::collections::VecDeque;
use std::sync::Arc;

use slotmap::SecondaryMap;

use crate::attempts::{Attempt, Attempts, Cause};
use crate::exchange::Lookup;
use crate::failure::{Failure, Misbehaviour};
use crate::groups::Groups;
use crate::isolation::Group;
use crate::keys::{ExchangeKey, SessionKey, UpstreamId};
use crate::limits;
use crate::moment::Moment;
use crate::pool::{Pool, Pools};
use crate::routes::RouteId;
use crate::session::{Purpose, QueryOwner, Session};
use crate::sessions::Sessions;
use crate::settings::GroupSettings;
use crate::waiting::Waiting;

/// A question that gets no response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenUp {
    pub(crate) exchange: ExchangeKey,
    pub(crate) failure: Failure,
    /// What its attempts show.
    pub(crate) noted: Cause,
}

/// The questions of one worker.
#[derive(Default)]
pub(crate) struct Questions {
    attempts: SecondaryMap<ExchangeKey, Attempts>,
    given_up: VecDeque<GivenUp>,
}

impl Questions {
    /// Takes a question, which only the upstreams of this group are asked.
    pub(crate) fn begin(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        lookup: &Lookup<'_>,
        group: Arc<GroupSettings>,
    ) {
        self.attempts.insert(key, Attempts::new(lookup, group, now));
    }

    pub(crate) fn get(&self, key: ExchangeKey) -> Option<&Attempts> {
        self.attempts.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: ExchangeKey) -> Option<&mut Attempts> {
        self.attempts.get_mut(key)
    }

    /// Ends the attempts for a question. None if they had ended before.
    pub(crate) fn end(&mut self, key: ExchangeKey) -> Option<Attempts> {
        self.attempts.remove(key)
    }

    /// Ends the attempts for a question that gets no response, for this reason.
    pub(crate) fn give_up(
        &mut self,
        key: ExchangeKey,
        failure: Failure,
        pools: &Pools,
    ) -> Option<Attempts> {
        let attempts = self.attempts.remove(key)?;
        self.given_up.push_back(GivenUp {
            exchange: key,
            failure,
            noted: cause_of(&attempts, pools),
        });
        Some(attempts)
    }

    /// The next question that gets no response; its attempts have ended.
    pub(crate) fn poll_given_up(&mut self) -> Option<GivenUp> {
        self.given_up.pop_front()
    }

    /// Notes why a question has no answer yet.
    pub(crate) fn note(
        &mut self,
        key: ExchangeKey,
        failure: Failure,
        upstream: Option<UpstreamId>,
    ) {
        if let Some(attempts) = self.attempts.get_mut(key) {
            attempts.note(failure, upstream);
        }
    }

    /// Notes that what came for a question does not answer it.
    pub(crate) fn note_misbehaviour(&mut self, owner: QueryOwner, fault: Misbehaviour) {
        if let QueryOwner::Exchange(key) = owner {
            self.note(key, Failure::Misbehaved(fault), None);
        }
    }

    /// Why a question has no answer, if it ends now. Where nothing was tried, it is why upstreams are not healthy.
    pub(crate) fn cause_at_end(&mut self, key: ExchangeKey, pools: &Pools) -> Option<Cause> {
        let attempts = self.attempts.get_mut(key)?;
        if attempts.failure().0 == Failure::NotReady {
            let group = Arc::clone(&attempts.group);
            for (upstream, pool) in pools.in_order(&group) {
                if let Some(failure) = pool.health().why() {
                    attempts.note(failure, Some(upstream));
                }
            }
        }
        Some(cause_of(attempts, pools))
    }

    /// Why a question has no answer yet, as far as its attempts show.
    pub(crate) fn cause(&self, key: ExchangeKey, pools: &Pools) -> Option<Cause> {
        Some(cause_of(self.attempts.get(key)?, pools))
    }

    /// Whether an attempt for this question runs.
    pub(crate) fn is_running(&self, key: ExchangeKey) -> bool {
        self.attempts.get(key).is_some_and(Attempts::is_running)
    }

    /// Whether it waits for a session since then, and still does.
    pub(crate) fn waits(&self, (since, key): Waiting) -> bool {
        let attempts = self.attempts.get(key);
        attempts.is_some_and(|attempts| attempts.waiting_since == Some(since))
    }

    /// A question waits no more. True if it waited since then.
    pub(crate) fn stop_waiting(&mut self, (since, key): Waiting) -> bool {
        let attempts = self.attempts.get_mut(key);
        attempts.is_some_and(|it| it.waiting_since.take_if(|begun| *begun == since).is_some())
    }

    /// Ends an attempt whose response came. None if it had ended.
    pub(crate) fn end_attempt(
        &mut self,
        key: ExchangeKey,
        session: SessionKey,
        id: u16,
    ) -> Option<Attempt> {
        self.attempts.get_mut(key)?.end(session, id)
    }

    /// The route of a question's group.
    pub(crate) fn route(&self, key: ExchangeKey) -> Option<RouteId> {
        let attempts = self.attempts.get(key)?;
        Some(attempts.group.route)
    }

    /// Drops from a group of suspects those that are in it no more.
    pub(crate) fn retain_members(&self, group: &mut Group) {
        let id = group.id;
        let is_member = |attempts: &Attempts| attempts.suspects == Some(id);
        group
            .suspects
            .retain(|key| self.attempts.get(*key).is_some_and(is_member));
    }

    /// Takes the suspects out of a group that is no longer asked together. Returns those that still were in it.
    pub(crate) fn leave_group(&mut self, group: &Group) -> Vec<ExchangeKey> {
        let mut members = group.suspects.clone();
        members.retain(|key| {
            let attempts = self.attempts.get_mut(*key);
            attempts.is_some_and(|it| it.suspects.take_if(|id| *id == group.id).is_some())
        });
        members
    }

    /// Removes the attempts of these questions on sessions that have ended.
    pub(crate) fn take_back(&mut self, keys: &[ExchangeKey], is_gone: impl Fn(SessionKey) -> bool) {
        for key in keys {
            if let Some(attempts) = self.attempts.get_mut(*key) {
                attempts.take_back_on(&is_gone);
            }
        }
    }

    /// Whether a question proves harmful that was alone on a session which the upstream ended. It does not if our own
    /// question before it may have had the only answer that the upstream gives on a session: then it is asked first next
    /// time.
    pub(crate) fn proves_harmful(
        &mut self,
        key: ExchangeKey,
        session: &Session,
        pool: Option<&Pool>,
    ) -> bool {
        let may_answer_once =
            session.responses == 1 && pool.is_some_and(|pool| !pool.answers_repeatedly);
        let Some(attempts) = self.attempts.get_mut(key) else {
            return false;
        };
        if may_answer_once && !attempts.is_asked_first {
            attempts.is_asked_first = true;
            return false;
        }
        attempts.strikes += 1;
        attempts.strikes >= limits::HARMFUL_STRIKES
            && !dotgate_wire::planted!("harmful-question-is-never-quarantined")
    }

    /// Whether a query whose session failed is to be isolated now. One that runs elsewhere too needs no further attempt
    /// yet; one that is in a group, or waits, gets its turn.
    pub(crate) fn becomes_suspect(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        carried_by: Purpose,
        sessions: &Sessions,
    ) -> bool {
        let Some(attempts) = self.attempts.get_mut(key) else {
            return false;
        };
        if carried_by == Purpose::Isolation {
            attempts.suspects = None;
        }
        attempts.is_suspect = true;
        let has_its_turn = attempts.suspects.is_some() || attempts.waiting_since.is_some();
        !has_its_turn && !self.runs_elsewhere(now, key, None, sessions)
    }

    /// Whether a query has a young attempt on a responsive session, other than this one.
    pub(crate) fn runs_elsewhere(
        &self,
        now: Moment,
        key: ExchangeKey,
        except: Option<SessionKey>,
        sessions: &Sessions,
    ) -> bool {
        let Some(attempts) = self.attempts.get(key) else {
            return false;
        };
        attempts.running().any(|attempt| {
            Some(attempt.session) != except
                && attempt.sent_at + limits::HEDGE_AFTER > now
                && sessions.is_responsive(attempt.session)
        })
    }

    /// Discards what an upstream did: its ID belongs to another one now.
    pub(crate) fn forget_upstream(&mut self, upstream: UpstreamId) {
        for (_, attempts) in &mut self.attempts {
            attempts.forget_upstream(upstream);
        }
    }

    /// The questions that are asked on sessions of this kind alone.
    pub(crate) fn asked_only_on(&self, is_such: impl Fn(SessionKey) -> bool) -> Vec<ExchangeKey> {
        let all = self.attempts.iter().filter(|(_, attempts)| {
            let mut running = attempts.running();
            attempts.is_running() && running.all(|attempt| is_such(attempt.session))
        });
        let mut keys: Vec<ExchangeKey> = all.map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys
    }

    /// Other groups are configured from now on.
    pub(crate) fn renew_groups(&mut self, groups: &Groups) {
        for (_, attempts) in &mut self.attempts {
            groups.renew(&mut attempts.group);
            attempts.order = None;
        }
    }
}

/// Why a question has no answer yet.
pub(crate) fn cause_of(attempts: &Attempts, pools: &Pools) -> Cause {
    let (failure, upstream) = attempts.failure();
    let mut upstreams = pools.in_order(&attempts.group);
    Cause {
        failure,
        upstream,
        is_final: failure == Failure::Harmful
            || upstreams.all(|(upstream, _)| attempts.answered_by.has(upstream)),
    }
}
