//! Which queries are suspects, and which of them are asked together: group testing.
//!
//! Many queries share a session, so one that makes the upstream close, reset, stall or flood it takes the others with
//! it. The queries in flight on a session that failed are *suspects*. They are split into
//! [`limits::ISOLATION_SPLIT`] groups, each asked on a session of its own; the group of a session that fails again is
//! split again, until the harmful query is alone. A suspect that is answered is cleared. It is between `exchange` and
//! `session`, in place of `select` and `pool`; the engine carries out what is decided here.
//! Limits: `limits::ISOLATION_SESSIONS`, `limits::ISOLATION_CREDIT`.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::health::HealthState;
use crate::keys::{ExchangeKey, GroupId, SessionKey, UpstreamId};
use crate::limits;
use crate::moment::Moment;
use crate::quarantine::{Admission, Quarantine};
use crate::questions::Questions;
use crate::select::may_learn;
use crate::sessions::Sessions;

/// Suspects that are asked on one session.
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) suspects: Vec<ExchangeKey>,
}

/// How far a group's session has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// It is being opened.
    Opening,
    /// A probe shows first that the upstream answers on it.
    Probing,
    /// The suspects have been asked.
    Sent,
    /// Its only suspect is not answered; that may be a slow name, and nothing else waits behind it.
    Stalled,
}

/// A group with its session.
pub(crate) struct Test {
    pub(crate) session: SessionKey,
    pub(crate) upstream: UpstreamId,
    pub(crate) group: Group,
    pub(crate) stage: Stage,
}

/// The result of the search for an upstream for suspects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Site {
    /// This one.
    Upstream(UpstreamId),
    /// None can be reached now.
    Unreachable,
    /// Each has answered one of them with an error.
    AllAnswered,
}

/// The suspects of one worker.
pub(crate) struct Isolation {
    quarantine: Arc<Quarantine>,
    pending: VecDeque<Group>,
    tests: Vec<Test>,
    next_id: GroupId,
    credit: u32,
}

impl Isolation {
    pub(crate) fn new(quarantine: Arc<Quarantine>) -> Isolation {
        Isolation {
            quarantine,
            pending: VecDeque::new(),
            tests: Vec::new(),
            next_id: GroupId::default(),
            credit: limits::ISOLATION_CREDIT,
        }
    }

    /// Whether a question may be asked with others; takes its turn if it may be asked alone.
    pub(crate) fn admit(&self, now: Moment, hash: u64) -> Admission {
        self.quarantine.admit(now, hash)
    }

    /// A question proved harmful. True if that was not known before.
    pub(crate) fn quarantine(&self, now: Moment, hash: u64) -> bool {
        self.quarantine.insert(now, hash)
    }

    /// A suspect was answered.
    pub(crate) fn acquit(&self, hash: u64) {
        self.quarantine.remove(hash);
    }

    /// Ends all tests: their sessions are closed.
    pub(crate) fn stop(&mut self) {
        *self = Isolation::new(Arc::clone(&self.quarantine));
    }

    /// Selects the upstream for suspects of one group: a healthy upstream before one that is not, one that
    /// opened its last session in time before one that did not, where names are sharded one that may know of them, one
    /// that has not failed them before one that has, one that none of them waits for before one that may not answer it,
    /// then the one with the fewest isolation sessions. One that is down must recover first.
    pub(crate) fn site_of(
        &self,
        suspects: &[ExchangeKey],
        questions: &Questions,
        sessions: &Sessions,
    ) -> Site {
        let attempts = || suspects.iter().filter_map(|key| questions.get(*key));
        let mut best = None;
        let mut all_answered = true;
        let group = attempts().next().map(|attempts| &*attempts.group);
        let upstreams = group.into_iter();
        let upstreams = upstreams.flat_map(|group| sessions.pools().in_order(group));
        // Asked once more, a question stays with the operator of its domain.
        let stays = attempts().all(|attempts| attempts.made() < 2);
        for (upstream, pool) in upstreams {
            if attempts().any(|attempts| attempts.answered_by.has(upstream)) {
                continue;
            }
            all_answered = false;
            let state = match pool.health().state() {
                HealthState::Healthy => 0,
                HealthState::Suspect => 1,
                HealthState::Down if pool.health().is_erring() => 2,
                HealthState::Down => continue,
            };
            if pool.paused_until.is_some() || sessions.lacks_descriptors() {
                continue;
            }
            let has_failed = attempts().any(|attempts| attempts.failed_at.has(upstream));
            let is_asked = attempts().any(|attempts| attempts.runs_at(upstream))
                && !dotgate_wire::planted!("suspects-wait-where-they-were-asked");
            let load = self.sessions_of(upstream).count();
            let leaves = stays && !attempts().all(|attempts| may_learn(attempts, upstream));
            let rank = (state, pool.was_slow, leaves, has_failed, is_asked, load);
            if best.is_none_or(|(found, _)| rank < found) {
                best = Some((rank, upstream));
            }
        }
        match best {
            Some((_, upstream)) => Site::Upstream(upstream),
            None if all_answered => Site::AllAnswered,
            None => Site::Unreachable,
        }
    }

    /// Splits suspects into groups that wait for a session, and returns which group each is in.
    pub(crate) fn split(
        &mut self,
        suspects: &[ExchangeKey],
    ) -> impl Iterator<Item = (GroupId, ExchangeKey)> + use<> {
        let split = match dotgate_wire::planted!("suspects-are-not-split") {
            true => 1,
            false => limits::ISOLATION_SPLIT,
        };
        let size = suspects.len().div_ceil(split).max(1);
        let mut members = Vec::with_capacity(suspects.len());
        for chunk in suspects.chunks(size) {
            let id = self.next_id;
            self.next_id.0 += 1;
            members.extend(chunk.iter().map(|key| (id, *key)));
            self.pending.push_back(Group {
                id,
                suspects: chunk.to_vec(),
            });
        }
        members.into_iter()
    }

    /// The next group, if a session may be opened for it.
    pub(crate) fn next_group(&mut self) -> Option<Group> {
        if self.tests.len() < limits::ISOLATION_SESSIONS {
            self.pending.pop_front()
        } else {
            None
        }
    }

    /// The longest stalled test, where a group waits for its session.
    pub(crate) fn stalled_in_the_way(&self) -> Option<SessionKey> {
        let is_full = self.tests.len() >= limits::ISOLATION_SESSIONS;
        if !is_full || self.pending.is_empty() {
            return None;
        }
        let mut stalled = self.tests.iter();
        Some(stalled.find(|test| test.stage == Stage::Stalled)?.session)
    }

    pub(crate) fn begin(&mut self, test: Test) {
        self.tests.push(test);
    }

    pub(crate) fn get(&self, session: SessionKey) -> Option<&Test> {
        self.tests.iter().find(|test| test.session == session)
    }

    pub(crate) fn get_mut(&mut self, session: SessionKey) -> Option<&mut Test> {
        self.tests.iter_mut().find(|test| test.session == session)
    }

    /// Ends the test on this session.
    pub(crate) fn end(&mut self, session: SessionKey) -> Option<Test> {
        let place = self.tests.iter().position(|test| test.session == session)?;
        Some(self.tests.remove(place))
    }

    /// The sessions of an upstream's tests.
    pub(crate) fn sessions_of(
        &self,
        upstream: UpstreamId,
    ) -> impl Iterator<Item = SessionKey> + '_ {
        let tests = self.tests.iter();
        tests
            .filter(move |test| test.upstream == upstream)
            .map(|test| test.session)
    }

    /// Earns the attempts of one forwarded query.
    pub(crate) fn earn(&mut self) {
        self.credit = (self.credit + limits::ISOLATION_EARNED).min(limits::ISOLATION_CREDIT);
    }

    /// Pays for one attempt. False if nothing is left.
    pub(crate) fn pay(&mut self) -> bool {
        let left = self.credit.checked_sub(1);
        self.credit = left.unwrap_or_default();
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn suspects_are_split_into_eight_even_groups_in_order() {
        let mut keys: SlotMap<ExchangeKey, ()> = SlotMap::with_key();
        for (count, sizes) in [
            (1, vec![1]),
            (3, vec![1; 3]),
            (8, vec![1; 8]),
            (20, vec![3, 3, 3, 3, 3, 3, 2]),
            (1_000, vec![125; 8]),
        ] {
            let suspects: Vec<ExchangeKey> = (0..count).map(|_| keys.insert(())).collect();
            let mut isolation = Isolation::new(Arc::default());
            let members: Vec<_> = isolation.split(&suspects).collect();
            assert_eq!(members.len(), count);
            let groups: Vec<Group> = std::iter::from_fn(|| isolation.next_group()).collect();
            let found: Vec<usize> = groups.iter().map(|group| group.suspects.len()).collect();
            assert_eq!(found, sizes);
            let in_order: Vec<ExchangeKey> = groups.into_iter().flat_map(|g| g.suspects).collect();
            assert_eq!(in_order, suspects);
        }
    }

    #[test]
    fn attempts_for_suspects_are_earned_by_forwarded_queries() {
        let mut isolation = Isolation::new(Arc::default());
        for _ in 0..limits::ISOLATION_CREDIT {
            assert!(isolation.pay());
        }
        assert!(!isolation.pay());
        isolation.earn();
        for _ in 0..limits::ISOLATION_EARNED {
            assert!(isolation.pay());
        }
        assert!(!isolation.pay());
    }
}
