//! The end of an exchange: its answer delivered to all who wait, or the failure that stands for it.

use std::sync::Arc;

use dotgate_wire::{Ede, Stored, opcode, write_response};

use super::Engine;
use crate::attempts::Cause;
use crate::counters::Count;
use crate::counters::labels::{Limit, Outcome};
use crate::exchange::{Client, Waiter};
use crate::failure::Failure;
use crate::flights::Role;
use crate::keys::{ExchangeKey, WaiterKey};
use crate::moment::Moment;
use crate::respond::Asked;
use crate::stream::{Pending, ResponseTerms};
use crate::upstreams::{Completed, GivenUp};
use crate::verdict::is_policy;

impl Engine {
    /// Answers those whose deadline has passed.
    pub(super) fn expire_waiters(&mut self, now: Moment) {
        while let Some(key) = self.deadlines.pop_due(now) {
            let Some(waiter) = self.waiters.get(key) else {
                continue;
            };
            let exchange = waiter.exchange;
            let is_running = self.upstreams.is_running(exchange);
            if cfg!(planted = "attempt-extends-the-deadline") && is_running {
                self.deadlines.push(now + self.settings.query_deadline, key);
                continue;
            }
            self.expire(now, key, exchange);
        }
        self.drop_answered();
    }

    /// Fails a waiter of an exchange; those behind it may get new attempts.
    fn expire(&mut self, now: Moment, waiter: WaiterKey, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let follows = exchange.role == Role::Follows;
        let Some(cause) = self.upstreams.cause_at_deadline(key, follows) else {
            return;
        };
        let Some(waiter) = exchange.take(waiter, &mut self.waiters) else {
            return;
        };
        let has_waiters = exchange.first_waiter().is_some();
        self.fail_waiter(now, &waiter, key, (cause.failure, cause.upstream));
        if has_waiters {
            self.upstreams.renew(now, key);
        } else {
            self.keep_failure(now, key, (cause.failure, cause.upstream));
            self.remove_exchange(now, key, None);
        }
        self.settle(now);
    }

    /// Delivers the response that came last to all who wait for it, and ends the exchange.
    pub(super) fn answer_all(&mut self, now: Moment, completed: &Completed) {
        let Completed {
            exchange: key,
            upstream,
            is_authenticated,
            ..
        } = *completed;
        let ede = self.upstreams.relayed_ede(upstream);
        let code = ede.as_ref().map(|(code, _)| *code);
        let ede = ede.as_ref().map(|(code, text)| (*code, text.as_str()));
        self.keep(now, completed, ede.map(|(code, text)| Ede { code, text }));
        let rcode = self.upstreams.response().rcode();
        let mut shared = None;
        while let Some(waiter) = self.take_waiter(key) {
            if self.answer_stale_for(now, &waiter, key, (rcode, code)) {
                continue;
            }
            let asked = self.asked_by(&waiter);
            if self.must_cut(now, &waiter) {
                self.deliver_without_records(key, &waiter, rcode);
            } else if self.upstreams.response().question().is_empty() {
                // An error may come without its question; no client gets it so (RFC 1035 section 4.1.1).
                let question = self.spelt_question(key, &waiter);
                self.deliver_error(waiter.client, &asked, &question, opcode::QUERY, rcode, ede);
            } else if let Some(stream) = self.full_stream(waiter.client) {
                let answer = shared.get_or_insert_with(|| self.stored_answer(ede));
                let pending = Pending {
                    terms: ResponseTerms::of_answer(asked, is_authenticated),
                    question: self.spelt_question(key, &waiter).into(),
                    answer: Arc::clone(answer),
                };
                if !self.defer_response(stream, pending) {
                    self.fail_for_memory(now, &waiter, key);
                    continue;
                }
            } else {
                let ede = ede.map(|(code, text)| Ede { code, text });
                let hop = asked.hop(ede, is_authenticated);
                self.deliver(waiter.client, |answer, out| {
                    write_response(out, answer, waiter.letter_case, &hop);
                });
                self.note_released(now, &waiter);
            }
            self.count(Count::Answered);
            self.count_answered(now, &waiter, key, upstream);
            self.end_waiter(&waiter);
        }
        self.remove_exchange(now, key, None);
    }

    /// The same with an answer that another worker has got, and only if it speaks of the question.
    pub(super) fn answer_all_with(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        octets: &[u8],
        is_authenticated: bool,
    ) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let Some(stored) = Stored::read(octets).filter(|stored| stored.answers(&exchange.question))
        else {
            return;
        };
        let error = (stored.rcode(), stored.ede().map(|ede| ede.code));
        while let Some(waiter) = self.take_waiter(key) {
            if self.answer_stale_for(now, &waiter, key, error) {
                continue;
            }
            if self.must_cut(now, &waiter) {
                self.deliver_without_records(key, &waiter, stored.rcode());
            } else {
                let terms = ResponseTerms::of_answer(self.asked_by(&waiter), is_authenticated);
                let question = self.spelt_question(key, &waiter);
                self.deliver_stored(waiter.client, octets, &question, &terms);
                self.note_released(now, &waiter);
            }
            self.count(Count::Answered);
            self.count_waited(now, &waiter, key, (Outcome::Answered, stored.rcode()), None);
            self.end_waiter(&waiter);
        }
        self.remove_exchange(now, key, None);
        self.settle(now);
    }

    /// Gives a client what is held in place of an error that stands (RFC 8767 section 4). False if it is none or a
    /// policy, or if nothing is held.
    fn answer_stale_for(
        &mut self,
        now: Moment,
        waiter: &Waiter,
        key: ExchangeKey,
        (rcode, ede): (u16, Option<u16>),
    ) -> bool {
        let failure = Failure::Answered { rcode, ede };
        let is_answered = Failure::is_failure(rcode)
            && !is_policy(ede)
            && self.answer_stale(now, waiter, key, failure);
        if is_answered {
            self.end_waiter(waiter);
        }
        is_answered
    }

    /// Ends an exchange that its upstreams did not answer.
    pub(super) fn fail(&mut self, now: Moment, given_up: GivenUp) {
        let GivenUp {
            exchange: key,
            failure,
            noted,
        } = given_up;
        let cause = (failure, noted.upstream);
        self.keep_failure(now, key, cause);
        while let Some(waiter) = self.take_waiter(key) {
            self.fail_waiter(now, &waiter, key, cause);
        }
        self.remove_exchange(now, key, Some(noted));
    }

    /// Ends an exchange with this failure, whatever its attempts show.
    pub(super) fn fail_with(&mut self, now: Moment, key: ExchangeKey, failure: Failure) {
        if let Some(noted) = self.upstreams.cause(key) {
            self.fail(
                now,
                GivenUp {
                    exchange: key,
                    failure,
                    noted,
                },
            );
        }
    }

    /// Ends an exchange with the most telling failure it has seen.
    pub(super) fn fail_with_noted(&mut self, now: Moment, key: ExchangeKey) {
        if let Some(cause) = self.upstreams.cause_at_end(key) {
            self.fail_with(now, key, cause.failure);
        }
    }

    pub(super) fn take_waiter(&mut self, key: ExchangeKey) -> Option<Waiter> {
        let exchange = self.exchanges.get_mut(key)?;
        let first: WaiterKey = exchange.first_waiter()?;
        let waiter = self.waiters.remove(first)?;
        exchange.drop_first(waiter.next);
        Some(waiter)
    }

    pub(super) fn fail_waiter(
        &mut self,
        now: Moment,
        waiter: &Waiter,
        key: ExchangeKey,
        (failure, upstream): (Failure, Option<usize>),
    ) {
        if self.answer_stale(now, waiter, key, failure) {
            self.end_waiter(waiter);
            return;
        }
        let question = self.spelt_question(key, waiter);
        let asked = self.asked_by(waiter);
        let text = self.upstreams.failure_text(failure, upstream);
        let told = if cfg!(planted = "failure-tells-no-reason") {
            Failure::NotReady
        } else {
            failure
        };
        let ede = Some((told.ede(), text.as_str()));
        self.deliver_error(
            waiter.client,
            &asked,
            &question,
            opcode::QUERY,
            failure.rcode(),
            ede,
        );
        self.count(Count::Failed);
        self.count_failed(now, waiter, key, failure, upstream);
        self.end_waiter(waiter);
    }

    /// Answers a client for whose response there is no memory.
    fn fail_for_memory(&mut self, now: Moment, waiter: &Waiter, key: ExchangeKey) {
        let failure = Failure::Overload;
        let question = self.spelt_question(key, waiter);
        let asked = self.asked_by(waiter);
        let ede = Some((failure.ede(), failure.text()));
        let rcode = failure.rcode();
        self.deliver_error(waiter.client, &asked, &question, opcode::QUERY, rcode, ede);
        self.count_limit(Limit::ClientMemory);
        self.count(Count::Failed);
        self.count_failed(now, waiter, key, failure, None);
        self.end_waiter(waiter);
    }

    /// The question of an exchange as this client spelt it.
    pub(super) fn spelt_question(&self, key: ExchangeKey, waiter: &Waiter) -> Vec<u8> {
        let exchange = self.exchanges.get(key);
        let mut question =
            exchange.map_or_else(Vec::new, |exchange| exchange.question.as_bytes().to_vec());
        waiter.letter_case.apply(&mut question);
        question
    }

    pub(super) fn asked_by(&self, waiter: &Waiter) -> Asked {
        Asked {
            id: waiter.id,
            flags: waiter.flags,
            edns: waiter.edns,
            transport: self.transport(waiter.client),
        }
    }

    pub(super) fn end_waiter(&mut self, waiter: &Waiter) {
        if !cfg!(planted = "quota-is-never-given-back") {
            self.quotas.release(waiter.client_id, waiter.client.via());
        }
        if let Some(zone) = waiter.zone {
            self.zones.leave(zone);
        }
        if let Client::Stream(key) = waiter.client {
            self.one_less_on_stream(key);
        }
    }

    /// Forgets an exchange; `given_up` is what its attempts showed, if they have ended.
    pub(super) fn remove_exchange(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        given_up: Option<Cause>,
    ) {
        let followers = self.land(key);
        let cause = self.upstreams.end(now, key).or(given_up);
        if let Some(exchange) = self.exchanges.remove(key) {
            let hash = exchange.key.hash();
            if let Some(cause) = cause {
                self.tell_failed(hash, &cause, followers);
            }
            self.inflight.remove(hash, key);
        }
    }
}
