//! Has questions asked, or wait until that is possible, or gives them up.

use std::time::Duration;

use super::Upstreams;
use crate::keys::ExchangeKey;
use crate::limits;
use crate::moment::Moment;
use crate::settings::GroupSettings;
use crate::waiting::Waiting;

impl Upstreams {
    /// Makes the next attempt for a question, or queues it for a session, or gives it up.
    pub(super) fn advance(&mut self, now: Moment, key: ExchangeKey) {
        self.forwarder().give_order(key);
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
        if !self.forwarder().attempt(now, key, is_first) {
            self.give_up(now, key);
        }
    }

    /// Chooses again for every question that waits for a session.
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
}
