//! Copies of questions whose first attempt is late.
//!
//! `hedges` knows which are late and what the budget allows, `select` where a copy goes. A copy belongs to the attempts of
//! its question, but is none of the few that a question has: it costs no retry if the first attempt fails.

use std::time::Duration;

use super::forwarder::Forwarder;
use crate::attempts::{Attempts, Copied};
use crate::counters::labels::{AttemptKind, Hedging};
use crate::hedges::FirstAttempt;
use crate::keys::UpstreamId;
use crate::moment::Moment;
use crate::select::{CopySite, copy_site};
use crate::session::QueryOwner;

impl Forwarder<'_> {
    /// Copies the questions that are late by now.
    pub(super) fn copy_late(&mut self, now: Moment) {
        while let Some(first) = self.hedges.poll_late(now) {
            self.copy(now, first);
        }
    }

    /// Copies those that waited for a session, which may be open now.
    pub(super) fn copy_waiting(&mut self, now: Moment) {
        for first in self.hedges.take_waiting() {
            self.copy(now, first);
        }
    }

    /// Copies a question, unless anything has come of it.
    fn copy(&mut self, now: Moment, first: FirstAttempt) {
        let Some(attempts) = self.questions.get(first.key) else {
            return;
        };
        let late = attempts.first_alone();
        let is_it = |sent_at, upstream| (sent_at, upstream) == (first.sent_at, first.upstream);
        let Some(late) = late.filter(|late| is_it(late.sent_at, late.upstream)) else {
            return;
        };
        if self
            .hedges
            .is_slow(now, self.hasher.domain(attempts.question.name()))
        {
            self.tally.hedging(late.upstream, Hedging::SlowDomain);
            return;
        }
        if !self.hedges.has_credit() {
            self.tally.hedging(late.upstream, Hedging::NoBudget);
            return;
        }
        let (pools, table) = (self.sessions.pools(), self.sessions.table());
        match copy_site(attempts, &late, pools, table) {
            CopySite::Session(session) => {
                let Some(to) = self.sessions.get(session).map(|it| it.upstream) else {
                    return;
                };
                self.send_as(now, first.key, session, AttemptKind::Hedge);
                let Some(attempts) = self.questions.get_mut(first.key) else {
                    return;
                };
                attempts.take_back_one();
                attempts.copied = Some(Copied {
                    from: late.upstream,
                    to,
                    sent_at: now,
                });
                self.hedges.pay();
                self.tally.hedging(late.upstream, Hedging::Sent);
            }
            CopySite::Opening(upstream) => {
                self.hedges.wait(first);
                self.open_session(now, upstream);
            }
            CopySite::Nowhere => {}
        }
    }

    /// The first attempt for a question was sent.
    pub(super) fn watch(&mut self, first: FirstAttempt) {
        if !self.hedges.watch(first) {
            self.tally.hedging(first.upstream, Hedging::NoBudget);
        }
    }

    /// An upstream answered a question after so long.
    pub(super) fn measure(
        &mut self,
        now: Moment,
        upstream: UpstreamId,
        took: Duration,
        owner: QueryOwner,
    ) {
        if !self.is_slow_name(now, upstream, took, owner) {
            self.hedges.add_response(upstream, took);
        }
        let questions = &*self.questions;
        self.hedges
            .trim(upstream, |key| questions.get(key).is_some());
    }

    /// Whether a response took long for its name, which says nothing of the upstream.
    fn is_slow_name(
        &self,
        now: Moment,
        upstream: UpstreamId,
        took: Duration,
        owner: QueryOwner,
    ) -> bool {
        let is_slow = self
            .hedges
            .slow_after(upstream)
            .is_some_and(|slow| took > slow);
        match owner {
            QueryOwner::Exchange(key) if is_slow => self.questions.get(key).is_some_and(|it| {
                self.hedges
                    .is_slow(now, self.hasher.domain(it.question.name()))
            }),
            QueryOwner::Exchange(_)
            | QueryOwner::Copy(_)
            | QueryOwner::Probe(_)
            | QueryOwner::Retired(_) => false,
        }
    }

    /// A question that was copied ends. `winner` is the attempt whose response its clients get.
    pub(super) fn settle_copy(
        &mut self,
        now: Moment,
        attempts: &Attempts,
        winner: Option<AttemptKind>,
    ) {
        let Some(copied) = attempts.copied else {
            return;
        };
        let has_won = winner == Some(AttemptKind::Hedge);
        let result = if has_won { Hedging::Won } else { Hedging::Lost };
        self.tally.hedging(copied.from, result);
        let slow = self.hedges.slow_after(copied.to);
        let slow = slow.or_else(|| self.hedges.slow_after(copied.from));
        // The first attempt was late before.
        if slow.is_some_and(|slow| now.since(copied.sent_at) > slow) {
            let domain = self.hasher.domain(attempts.question.name());
            self.hedges.note_slow(now, domain);
        }
    }
}
