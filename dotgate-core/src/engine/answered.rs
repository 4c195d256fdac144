//! The end of an exchange: its response delivered to all who wait, or the failure in its place.

use dotgate_wire::{Ede, Stored};

use super::Engine;
use super::dns64::Dns64Step;
use crate::attempts::Cause;
use crate::clients::{Failed, Relayed};
use crate::exchange::{Exchange, Synthesis, Waiter};
use crate::failure::Failure;
use crate::filter::{Filter, store_substitute};
use crate::flights::{FlightMessage, Role};
use crate::keys::{ExchangeKey, UpstreamId, WaiterKey};
use crate::moment::Moment;
use crate::tally::Tally;
use crate::upstreams::{Completed, GivenUp, Upstreams};
use crate::verdict::is_policy;

impl Engine {
    /// Delivers the response that came last to all who wait for it, and ends the exchange.
    pub(super) fn answer_all(&mut self, now: Moment, completed: &Completed) {
        let key = completed.exchange;
        let denied = self.exchanges.get(key).and_then(|exchange| {
            let filter = &self.settings.filter;
            replace_denied(filter, exchange, &mut self.upstreams, &self.tally)
        });
        let ede = self.upstreams.relayed_ede(completed.upstream);
        let is_changed = match denied {
            Some(_) => true,
            None => match self.dns64().apply(now, key) {
                Dns64Step::Unchanged => false,
                Dns64Step::Changed => true,
                Dns64Step::AsksFurther => return,
                Dns64Step::Failed => return self.fail_with(now, key, Some(Failure::Internal)),
            },
        };
        let ede = ede.as_ref().map(|(code, text)| (*code, text.as_str()));
        let ede = denied.map(|ede| (ede.code, ede.text)).or(ede);
        let relayed = ede.map(|(code, text)| Ede { code, text });
        self.share(now, completed, (relayed, is_changed));
        let rcode = self.upstreams.response().rcode();
        let error = (rcode, ede.map(|(code, _)| code));
        let mut stored = None;
        while let Some(waiter) = self.exchanges.take_first(key) {
            if let Some(failure) = overruled(error)
                && self.answer_stale(now, &waiter, failure)
            {
                continue;
            }
            let Some(exchange) = self.exchanges.get(key) else {
                continue;
            };
            let mut relayed = Relayed {
                response: self.upstreams.response(),
                upstream: completed.upstream,
                took: completed.took,
                attempts: completed.attempts,
                is_authenticated: completed.is_authenticated,
                ede,
                stored,
            };
            self.clients
                .deliver_relayed_to(now, &waiter, exchange, &mut relayed);
            stored = relayed.stored;
        }
        self.remove_exchange(now, key, None);
    }

    /// Caches the response that came last, and sends it to the workers that wait for it.
    fn share(
        &mut self,
        now: Moment,
        completed: &Completed,
        (ede, is_made_here): (Option<Ede<'_>>, bool),
    ) {
        let Some(exchange) = self.exchanges.get(completed.exchange) else {
            return;
        };
        let is_authenticated = completed.is_authenticated;
        let response = self.upstreams.response();
        if exchange.is_cacheable && is_authenticated && !completed.lacks_signatures {
            let recoveries = exchange.group.recoveries();
            let relayed = (response, ede, is_made_here);
            self.cache.insert(now, exchange, relayed, recoveries);
        }
        // In this order, so that a worker that misses the cache finds the flight.
        let flight = exchange.key.hash();
        let followers = self.exchanges.end_flight(completed.exchange);
        if !followers.is_empty()
            && let Some(exchange) = self.exchanges.get(completed.exchange)
        {
            let relayed = (response, ede, is_made_here);
            let stored = self.cache.stored(&exchange.question, relayed);
            self.exchanges
                .send_answered(flight, followers, &stored, is_authenticated);
        }
    }

    /// Takes a flight message from another worker.
    pub fn on_flight_message(&mut self, now: Moment, message: FlightMessage) {
        match message {
            FlightMessage::Answered {
                flight,
                bytes,
                is_authenticated,
            } => {
                if let Some(key) = self.exchanges.find_flight(flight) {
                    self.answer_all_with(now, key, &bytes, is_authenticated);
                }
            }
            FlightMessage::Failed {
                flight,
                failure,
                upstream,
                is_final,
            } => {
                if let Some(key) = self.exchanges.find_flight(flight) {
                    self.leader_failed(now, key, (failure, upstream), is_final);
                }
            }
        }
        self.settle(now);
    }

    /// Delivers a response that another worker has got, and only if it is for the question.
    fn answer_all_with(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        bytes: &[u8],
        is_authenticated: bool,
    ) {
        let Some(stored) = Stored::read(bytes) else {
            return;
        };
        let exchange = self.exchanges.get(key);
        if !exchange.is_some_and(|exchange| stored.answers(&exchange.question)) {
            return;
        }
        let error = (stored.rcode(), stored.ede().map(|ede| ede.code));
        while let Some(waiter) = self.exchanges.take_first(key) {
            if let Some(failure) = overruled(error)
                && self.answer_stale(now, &waiter, failure)
            {
                continue;
            }
            if let Some(exchange) = self.exchanges.get(key) {
                let stored = (bytes, &stored);
                self.clients
                    .deliver_shared_to(now, &waiter, exchange, stored, is_authenticated);
            }
        }
        self.remove_exchange(now, key, None);
    }

    /// The leader's failure is ours only if another attempt could not mend it.
    fn leader_failed(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        (failure, upstream): (Failure, Option<UpstreamId>),
        is_final: bool,
    ) {
        let exchange = self.exchanges.get(key);
        if !exchange.is_some_and(|exchange| exchange.role == Role::Follows) {
            return;
        }
        self.upstreams.note(key, failure, upstream);
        if is_final {
            self.fail_with(now, key, None);
        } else {
            self.exchanges.join_flight(key);
            self.start(now, key);
        }
    }

    /// Asks for those whose flight message did not come in time.
    pub(super) fn stop_following(&mut self, now: Moment) {
        while let Some(key) = self.exchanges.pop_follower(now) {
            self.upstreams.ask(now, key);
            self.settle(now);
        }
    }

    /// Answers those whose deadline has passed.
    pub(super) fn expire_waiters(&mut self, now: Moment) {
        while let Some((waiter, key)) = self.exchanges.pop_expired(now) {
            if dotgate_wire::planted!("attempt-extends-the-deadline")
                && self.upstreams.is_running(key)
            {
                let deadline = now + self.settings.query_deadline;
                self.exchanges.extend(waiter, deadline);
                continue;
            }
            self.expire(now, waiter, key);
        }
    }

    /// Fails a waiter of an exchange; those behind it may get new attempts.
    fn expire(&mut self, now: Moment, waiter: WaiterKey, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let follows = exchange.role == Role::Follows;
        let Some(cause) = self.upstreams.cause_at_deadline(key, follows) else {
            return;
        };
        let Some(waiter) = self.exchanges.take(waiter, key) else {
            return;
        };
        let cause = (cause.failure, cause.upstream);
        self.fail_waiter(now, &waiter, cause);
        if self.exchanges.has_waiters(key) {
            self.upstreams.renew(now, key);
        } else {
            self.cache_failure(now, key, cause);
            self.remove_exchange(now, key, None);
        }
        self.settle(now);
    }

    /// Gives clients that have waited for the client response timer what is cached for them (RFC 8767 section 5). The
    /// exchange continues without them, to refresh it.
    pub(super) fn serve_stale(&mut self, now: Moment) {
        let timer = self.settings.cache.stale_after;
        while let Some(key) = self.exchanges.pop_client_timer(now) {
            let Some(exchange) = self.exchanges.get(key) else {
                continue;
            };
            let recoveries = exchange.group.recoveries();
            let (cache, unresponsive) = (&mut self.cache, Failure::NoResponse);
            let Some(response) = cache.look_up_again(now, exchange, recoveries, unresponsive)
            else {
                continue;
            };
            while let Some(waiter) = self.exchanges.take_first_after(key, now, timer) {
                if let Some(exchange) = self.exchanges.get(key) {
                    self.clients
                        .deliver_cached_to(now, &waiter, exchange, &response);
                }
            }
            let given_up_at = now + self.settings.query_deadline;
            if !self.exchanges.go_on_as_refresh(key, given_up_at) {
                self.remove_exchange(now, key, None);
                self.settle(now);
            }
        }
    }

    /// Gives up exchanges that were made or went on for the cache alone.
    pub(super) fn end_refreshes(&mut self, now: Moment) {
        while let Some(key) = self.exchanges.pop_refresh(now) {
            self.upstreams.note(key, Failure::NoResponse, None);
            self.fail_with(now, key, None);
            self.settle(now);
        }
    }

    /// Fails the clients of questions that upstreams did not answer. To be called whenever upstreams may have given some up.
    pub(super) fn settle(&mut self, now: Moment) {
        while let Some(given_up) = self.upstreams.poll_given_up() {
            if !self.dns64().asks_for_a_instead(now, &given_up) {
                self.fail(now, given_up);
            }
        }
    }

    /// Ends an exchange with this failure, or else with the most telling one that its attempts show.
    pub(super) fn fail_with(&mut self, now: Moment, exchange: ExchangeKey, why: Option<Failure>) {
        let noted = match why {
            Some(_) => self.upstreams.cause(exchange),
            None => self.upstreams.cause_at_end(exchange),
        };
        if let Some(noted) = noted {
            let failure = why.unwrap_or(noted.failure);
            self.fail(
                now,
                GivenUp {
                    exchange,
                    failure,
                    noted,
                },
            );
        }
    }

    /// Ends an exchange that gets no response.
    fn fail(&mut self, now: Moment, given_up: GivenUp) {
        let key = given_up.exchange;
        let cause = (given_up.failure, given_up.noted.upstream);
        self.cache_failure(now, key, cause);
        while let Some(waiter) = self.exchanges.take_first(key) {
            self.fail_waiter(now, &waiter, cause);
        }
        self.remove_exchange(now, key, Some(given_up.noted));
    }

    /// Answers a waiter with what is cached for it, or else with the failure.
    pub(super) fn fail_waiter(
        &mut self,
        now: Moment,
        waiter: &Waiter,
        (failure, upstream): (Failure, Option<UpstreamId>),
    ) {
        if self.answer_stale(now, waiter, failure) {
            return;
        }
        if let Some(exchange) = self.exchanges.get(waiter.exchange) {
            let group = &exchange.group;
            let failed = Failed {
                failure,
                upstream,
                attempts: self.upstreams.attempts(waiter.exchange),
                text: &self.upstreams.failure_text(group, failure, upstream),
            };
            self.clients
                .deliver_failure_to(now, waiter, exchange, &failed);
        }
    }

    /// Caches that a question could not be answered.
    fn cache_failure(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        (failure, upstream): (Failure, Option<UpstreamId>),
    ) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let is_ours = exchange.role != Role::Follows;
        if exchange.is_cacheable && failure.is_cacheable() && is_ours {
            let group = &exchange.group;
            let text = self.upstreams.failure_text(group, failure, upstream);
            let recoveries = group.recoveries();
            self.cache
                .insert_failure(now, exchange, failure, &text, recoveries);
        }
    }

    /// Gives a client whose query failed what is cached for it. False if nothing is.
    fn answer_stale(&mut self, now: Moment, waiter: &Waiter, failure: Failure) -> bool {
        let Some(exchange) = self.exchanges.get(waiter.exchange) else {
            return false;
        };
        let recoveries = exchange.group.recoveries();
        let cached = self.cache.look_up_again(now, exchange, recoveries, failure);
        let is_cached = cached.is_some();
        if let Some(response) = cached {
            self.clients
                .deliver_cached_to(now, waiter, exchange, &response);
        }
        is_cached
    }

    /// Removes an exchange; `given_up` is the result of its attempts, if they have ended.
    pub(super) fn remove_exchange(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        given_up: Option<Cause>,
    ) {
        let cause = self.upstreams.end(now, key).or(given_up);
        self.exchanges.remove(key, cause);
    }
}

/// Replaces the response that came last if clients may not have it; returns the error that they get.
fn replace_denied(
    filter: &Filter,
    exchange: &Exchange,
    upstreams: &mut Upstreams,
    tally: &Tally,
) -> Option<Ede<'static>> {
    if matches!(exchange.synthesis, Some(Synthesis::Discovery { .. })) {
        return None;
    }
    let question = &exchange.question;
    let denied = filter.judge(question, upstreams.response(), exchange.group.is_public)?;
    let ede = denied.why.ede();
    let mut stored = Vec::new();
    let soa = (question.name(), filter.ttl);
    let asked = (question.as_bytes(), question);
    store_substitute(&mut stored, asked, denied.substitute, soa, ede);
    let stored = Stored::read(&stored)?;
    if !upstreams.replace_response(&stored.response()) {
        return None;
    }
    tally.filtered(denied.why);
    Some(ede)
}

/// The failure that an error is whose clients get older data in its place, if there is some (RFC 8767 section 4). None if
/// it is no error, or a policy.
fn overruled((rcode, ede): (u16, Option<u16>)) -> Option<Failure> {
    let is_overruled = Failure::is_failure(rcode) && !is_policy(ede);
    is_overruled.then_some(Failure::Answered { rcode, ede })
}
