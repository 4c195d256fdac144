//! Suspects: queries whose session failed are asked apart from all others until each is answered.
//!
//! A session that ends abnormally, or is unresponsive, makes suspects of what it carried. Which of them is at fault,
//! if any, is found by group testing ([`crate::isolation`]). One that was alone on a session which the upstream ended,
//! twice, is harmful: it fails and goes into quarantine. No response proves nothing against a query that is alone.

use super::Upstreams;
use crate::counters::Count;
use crate::counters::labels::Ending;
use crate::failure::Failure;
use crate::isolation::{Group, Site, Stage, Test};
use crate::keys::{ExchangeKey, SessionKey, UpstreamId};
use crate::limits;
use crate::moment::Moment;
use crate::pool::Pool;
use crate::quarantine::Admission;

impl Upstreams {
    /// Sends suspects in groups, each on its own session. The suspects of a group have the same upstreams.
    pub(super) fn isolate(&mut self, now: Moment, suspects: &[ExchangeKey]) {
        let mut left = suspects.to_vec();
        while let Some(first) = left.first() {
            let route = self.questions.route(*first);
            let (together, others) = left
                .into_iter()
                .partition::<Vec<_>, _>(|key| self.questions.route(*key) == route);
            for (group, key) in self.isolation.split(&together) {
                if let Some(attempts) = self.questions.get_mut(key) {
                    attempts.is_suspect = true;
                    attempts.suspects = Some(group);
                    attempts.waiting_since = None;
                }
            }
            left = others;
        }
        self.start_isolation(now);
    }

    /// The same for one that is in no group and does not wait for an upstream.
    pub(super) fn advance_suspect(&mut self, now: Moment, key: ExchangeKey) {
        let is_free = self.questions.get(key).is_some_and(|attempts| {
            attempts.suspects.is_none() && attempts.waiting_since.is_none()
        });
        if is_free {
            self.isolate(now, &[key]);
        }
    }

    /// A suspect that one upstream has not answered for long is asked at another one too, if that is healthy: which may
    /// be the only one that answers.
    pub(super) fn isolate_elsewhere(&mut self, now: Moment, key: ExchangeKey) {
        let Some(attempts) = self.questions.get_mut(key) else {
            return;
        };
        if !attempts.is_suspect || attempts.waiting_since.is_some() {
            return;
        }
        let asked: Vec<UpstreamId> = attempts.running().map(|attempt| attempt.upstream).collect();
        for upstream in &asked {
            attempts.failed_at.add(*upstream);
        }
        if let Site::Upstream(upstream) = self.site_of(&[key])
            && !asked.contains(&upstream)
        {
            self.isolate(now, &[key]);
        }
    }

    /// Whether a question may be asked with others. One in quarantine is asked alone, or fails.
    pub(super) fn passes_quarantine(&mut self, now: Moment, key: ExchangeKey) -> bool {
        let Some(attempts) = self.questions.get_mut(key) else {
            return false;
        };
        match self.isolation.admit(now, attempts.hash) {
            Admission::Free => true,
            Admission::Alone => {
                attempts.strikes = limits::HARMFUL_STRIKES - 1;
                self.isolate(now, &[key]);
                false
            }
            Admission::Refused => {
                self.give_up_for(now, key, Failure::Harmful);
                false
            }
        }
    }

    /// Whether suspects that wait could be asked somewhere now.
    pub(super) fn may_isolate(&self, key: ExchangeKey) -> bool {
        self.site_of(&[key]) != Site::Unreachable
    }

    /// Opens sessions for the groups that wait for one, as far as there may be more.
    pub(super) fn start_isolation(&mut self, now: Moment) {
        if let Some(session) = self.isolation.stalled_in_the_way() {
            self.stop_isolation_session(session);
        }
        while let Some(mut group) = self.isolation.next_group() {
            self.questions.retain_members(&mut group);
            if group.suspects.is_empty() {
                continue;
            }
            match self.site_of(&group.suspects) {
                Site::Upstream(upstream) => self.open_isolation(now, upstream, group),
                Site::Unreachable | Site::AllAnswered => self.release_group(now, &group),
            }
        }
    }

    /// A group that cannot be asked as a whole: its members wait for an upstream, or are asked one by one.
    fn release_group(&mut self, now: Moment, group: &Group) {
        for key in &group.suspects {
            let site = self.site_of(&[*key]);
            let Some(attempts) = self.questions.get_mut(*key) else {
                continue;
            };
            attempts.suspects = None;
            let is_running = attempts.is_running();
            match site {
                Site::Upstream(_) => self.isolate(now, &[*key]),
                Site::Unreachable => self.forwarder().wait(now, *key),
                Site::AllAnswered if is_running => {}
                Site::AllAnswered => self.give_up(now, *key),
            }
        }
    }

    fn site_of(&self, suspects: &[ExchangeKey]) -> Site {
        self.isolation
            .site_of(suspects, &self.questions, &self.sessions)
    }

    fn open_isolation(&mut self, now: Moment, upstream: UpstreamId, group: Group) {
        if let Some(session) = self.sessions.open_isolated(now, upstream) {
            self.isolation.begin(Test {
                session,
                upstream,
                group,
                stage: Stage::Opening,
            });
        }
    }

    /// An isolation session is open. A question that may be harmful is sent after a probe, so that it is known
    /// that the upstream answers on this session; unless it answers once per session, which would leave nothing for the
    /// question.
    pub(super) fn isolation_opened(&mut self, now: Moment, session: SessionKey) {
        let Some(test) = self.isolation.get_mut(session) else {
            return;
        };
        let pool = self.sessions.pool(test.upstream);
        let answers_once = pool.is_some_and(|pool| pool.answers_max() == Some(1));
        let is_accused = !answers_once
            && match test.group.suspects.as_slice() {
                [key] => {
                    let attempts = self.questions.get(*key);
                    attempts.is_some_and(|it| it.strikes > 0 && !it.is_asked_first)
                }
                _ => false,
            };
        if is_accused {
            test.stage = Stage::Probing;
            self.sessions.send_probe(now, session);
        } else {
            self.ask_suspects(now, session);
        }
    }

    /// A response came on an isolation session.
    pub(super) fn isolation_answered(&mut self, now: Moment, session: SessionKey) {
        match self.isolation.get(session).map(|test| test.stage) {
            Some(Stage::Probing) => self.ask_suspects(now, session),
            Some(Stage::Sent | Stage::Stalled) => self.settle_isolation(now, session),
            Some(Stage::Opening) | None => {}
        }
    }

    fn ask_suspects(&mut self, now: Moment, session: SessionKey) {
        let Some(test) = self.isolation.get_mut(session) else {
            return;
        };
        test.stage = Stage::Sent;
        let id = test.group.id;
        for key in test.group.suspects.clone() {
            let Some(attempts) = self.questions.get_mut(key) else {
                continue;
            };
            if attempts.suspects != Some(id) {
                continue;
            }
            if !self.isolation.pay() {
                attempts.suspects = None;
                if !attempts.is_running() {
                    self.give_up(now, key);
                }
                continue;
            }
            let hash = attempts.hash;
            if let Some(attempt) = attempts.make_room() {
                let (question, failure) = (&attempts.question, Failure::NoResponse);
                self.sessions.log_failed(now, &attempt, question, failure);
                self.retire_id(now, &attempt, hash);
            }
            self.forwarder().send(now, key, session);
        }
        self.settle_isolation(now, session);
    }

    /// Ends the test on a session that carries nothing more. The session serves all clients from now on if the
    /// upstream has no other one.
    pub(super) fn settle_isolation(&mut self, now: Moment, key: SessionKey) {
        let is_over = self
            .isolation
            .get(key)
            .is_some_and(|test| matches!(test.stage, Stage::Sent | Stage::Stalled))
            && self
                .sessions
                .get(key)
                .is_some_and(|session| session.in_flight() == 0);
        if !is_over {
            return;
        }
        self.isolation.end(key);
        if !self.sessions.share(now, key) {
            self.sessions.close(key, Ending::Isolated);
        }
        self.start_isolation(now);
    }

    /// An isolation session is unresponsive. What it carries is split again; a query that is alone continues waiting.
    pub(super) fn isolation_unresponsive(&mut self, now: Moment, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if session.carried() == 1 && session.in_flight() > 0 {
            session.excuse();
            if let Some(test) = self.isolation.get_mut(key) {
                test.stage = Stage::Stalled;
            }
            self.start_isolation(now);
            return;
        }
        if let Some(session) = self.sessions.close(key, Ending::Unresponsive) {
            self.session_lost(now, key, &session, Failure::NoResponse);
        }
    }

    /// An isolation session could not be opened, or opens slowly: its suspects are asked elsewhere.
    pub(super) fn isolation_failed_to_open(
        &mut self,
        now: Moment,
        key: SessionKey,
        failure: Failure,
    ) {
        let Some(test) = self.isolation.end(key) else {
            return;
        };
        self.sessions.try_next_address(test.upstream);
        let suspects = self.questions.leave_group(&test.group);
        for key in &suspects {
            if let Some(attempts) = self.questions.get_mut(*key) {
                attempts.failed_at.add(test.upstream);
                attempts.note(failure, Some(test.upstream));
            }
        }
        self.isolate(now, &suspects);
    }

    /// The handshake of an isolation session takes long: another upstream, if one is healthy, is faster.
    pub(super) fn isolation_opens_slowly(&mut self, now: Moment, key: SessionKey) {
        let Some(test) = self.isolation.get(key) else {
            return;
        };
        let upstream = test.upstream;
        let mut suspects = test.group.suspects.iter();
        let Some(attempts) = suspects.find_map(|key| self.questions.get(*key)) else {
            return;
        };
        let is_faster =
            |(other, pool): (UpstreamId, &Pool)| other != upstream && pool.health().is_healthy();
        let has_faster = self
            .sessions
            .pools()
            .in_order(&attempts.group)
            .any(is_faster);
        if has_faster {
            self.sessions.note_slow_opening(upstream);
            self.sessions.close(key, Ending::Stopped);
            self.isolation_failed_to_open(now, key, Failure::NoResponse);
        }
    }

    /// Closes an isolation session whose place is needed. What it carries is asked again after the others.
    fn stop_isolation_session(&mut self, key: SessionKey) {
        self.sessions.close(key, Ending::Isolated);
        let Some(test) = self.isolation.end(key) else {
            return;
        };
        let suspects = self.questions.leave_group(&test.group);
        for (group, key) in self.isolation.split(&suspects) {
            if let Some(attempts) = self.questions.get_mut(key) {
                attempts.take_back_on(|session| !self.sessions.has(session));
                attempts.suspects = Some(group);
            }
        }
    }

    /// Ends all tests at an upstream that is no longer to be asked. Returns the suspects that must be asked elsewhere.
    pub(super) fn stop_isolation_at(&mut self, upstream: UpstreamId) -> Vec<ExchangeKey> {
        let keys: Vec<SessionKey> = self.isolation.sessions_of(upstream).collect();
        let mut orphans = Vec::new();
        for key in keys {
            self.sessions.close(key, Ending::Stopped);
            if let Some(test) = self.isolation.end(key) {
                orphans.extend(self.questions.leave_group(&test.group));
            }
        }
        let is_gone = |session| !self.sessions.has(session);
        self.questions.take_back(&orphans, is_gone);
        orphans
    }

    /// A question was alone, again, on a session that the upstream ended: it fails and goes into quarantine.
    pub(super) fn quarantine(&mut self, now: Moment, key: ExchangeKey, upstream: UpstreamId) {
        let Some(attempts) = self.questions.get_mut(key) else {
            return;
        };
        attempts.note(Failure::Harmful, Some(upstream));
        if self.isolation.quarantine(now, attempts.hash) {
            self.sessions.report_harmful(upstream);
        }
        self.tally.count(Count::QuestionsQuarantined);
        self.tally.error(upstream, Failure::Harmful);
        self.give_up(now, key);
    }
}
