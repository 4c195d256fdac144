//! Waiting for another worker that asks the same question, and telling those that wait for this one.
//!
//! A follower keeps its own waiters and their deadlines. It asks for itself when the leader failed in a way that
//! another attempt may mend, and when the letter is too long in coming.

use std::sync::Arc;

use super::Engine;
use crate::attempts::Cause;
use crate::counters::Count;
use crate::failure::Failure;
use crate::flights::{Followers, Letter, Role};
use crate::keys::ExchangeKey;
use crate::moment::Moment;

impl Engine {
    /// Takes a letter from another worker.
    pub fn on_letter(&mut self, now: Moment, letter: Letter) {
        match letter {
            Letter::Answered {
                flight,
                octets,
                is_authenticated,
            } => {
                if let Some(key) = self.inflight.find_flight(&self.exchanges, flight) {
                    self.answer_all_with(now, key, &octets, is_authenticated);
                }
            }
            Letter::Failed {
                flight,
                failure,
                upstream,
                is_final,
            } => {
                if let Some(key) = self.inflight.find_flight(&self.exchanges, flight) {
                    self.leader_failed(now, key, (failure, upstream), is_final);
                }
            }
        }
    }

    /// Begins what an exchange is for: asks, or waits for the worker that does.
    pub(super) fn set_out(&mut self, now: Moment, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        match exchange.role {
            Role::Leads | Role::Alone => {
                self.upstreams.ask(now, key);
                self.settle(now);
            }
            Role::Follows => {
                self.count(Count::QueriesFollowing);
                let timeout = self.settings.query_deadline / 2;
                self.following.push(now + timeout, key);
            }
        }
    }

    /// The leader's failure is ours only if another attempt could not mend it.
    fn leader_failed(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        (failure, upstream): (Failure, Option<usize>),
        is_final: bool,
    ) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        if exchange.role != Role::Follows {
            return;
        }
        self.upstreams.note(key, failure, upstream);
        if is_final {
            self.fail_with_noted(now, key);
            self.settle(now);
            return;
        }
        exchange.role = self.flights.join(exchange.key.hash(), self.number);
        self.set_out(now, key);
    }

    /// Asks for those whose letter did not come in time.
    pub(super) fn stop_following(&mut self, now: Moment) {
        while let Some(key) = self.following.pop_due(now) {
            let Some(exchange) = self.exchanges.get_mut(key) else {
                continue;
            };
            if exchange.role == Role::Follows {
                exchange.role = Role::Alone;
                self.flights.leave(exchange.key.hash(), self.number);
                self.upstreams.ask(now, key);
                self.settle(now);
            }
        }
    }

    /// Ends the flight of an exchange that leads one.
    pub(super) fn land(&mut self, key: ExchangeKey) -> Followers {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return Followers::default();
        };
        match exchange.role {
            Role::Leads => {
                exchange.role = Role::Alone;
                self.flights.land(exchange.key.hash(), self.number)
            }
            Role::Follows => {
                self.flights.leave(exchange.key.hash(), self.number);
                Followers::default()
            }
            Role::Alone => Followers::default(),
        }
    }

    /// Sends the answer in `kept`.
    pub(super) fn tell_answered(
        &mut self,
        flight: u64,
        followers: Followers,
        is_authenticated: bool,
    ) {
        if followers.is_empty() || cfg!(planted = "followers-are-not-told") {
            return;
        }
        let octets: Arc<[u8]> = self.kept.as_slice().into();
        for worker in followers.numbers() {
            let letter = Letter::Answered {
                flight,
                octets: Arc::clone(&octets),
                is_authenticated,
            };
            self.letters.push_back((worker, letter));
        }
    }

    /// Tells that there is no answer.
    pub(super) fn tell_failed(&mut self, flight: u64, cause: &Cause, followers: Followers) {
        for worker in followers.numbers() {
            let letter = Letter::Failed {
                flight,
                failure: cause.failure,
                upstream: cause.upstream,
                is_final: cause.is_final,
            };
            self.letters.push_back((worker, letter));
        }
    }
}
