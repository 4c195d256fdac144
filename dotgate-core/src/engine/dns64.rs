//! DNS64 (RFC 6147): where a name has no AAAA records, its A records are asked for, and AAAA records are made of them.
//!
//! Between the filter and the cache. The exchange of the question stays the same, with its waiters, its deadlines and its
//! flight; only what its upstreams are asked is another question. So nothing of this is on the path of a cache hit. The filter
//! judges the A records as they come; what is made of them is not judged again.

use std::sync::Arc;

use dotgate_wire::{Nat64Prefix, Question, rclass, rtype};

use super::Engine;
use crate::cache::CacheStage;
use crate::clients::{Local, Request};
use crate::counters::labels::Dns64;
use crate::exchange::{Exchange, Lookup, Synthesis};
use crate::failure::Failure;
use crate::flights::Role;
use crate::keys::ExchangeKey;
use crate::local::{address_of_reverse, reverse_name};
use crate::moment::Moment;
use crate::upstreams::GivenUp;
use crate::verdict::is_policy;

/// The longest TTL of synthesized records where an error stands for the negative response (RFC 6147 section 5.1.7), and that
/// of CNAME records for reverse names, in seconds.
const TTL: u32 = 600;

/// What became of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dns64Step {
    /// Clients get it as it is.
    Unchanged,
    /// Clients get another one, which stands in its place now.
    Changed,
    /// It has no AAAA records: A records are asked for.
    AsksForA,
    /// Nothing could be made of it.
    Failed,
}

impl Engine {
    /// Takes the response that came last, which the filter has let pass.
    pub(super) fn apply_dns64(&mut self, now: Moment, key: ExchangeKey) -> Dns64Step {
        let Some(exchange) = self.exchanges.get(key) else {
            return Dns64Step::Unchanged;
        };
        if let Some(synthesis) = exchange.synthesis {
            return self.synthesize(key, synthesis);
        }
        let response = self.upstreams.response();
        let Some(prefix) = prefix_for(exchange) else {
            return Dns64Step::Unchanged;
        };
        if response.lacks_aaaa() && !cfg!(planted = "dns64-asks-for-no-a-records") {
            let ttl_max = response.synthesis_ttl();
            return self.find_a(now, key, Synthesis { prefix, ttl_max });
        }
        let is_mixed = response.has_excluded_aaaa();
        match response.without_excluded_aaaa().filter(|_| is_mixed) {
            Some(message) if self.upstreams.replace_response(&message) => Dns64Step::Changed,
            Some(_) => Dns64Step::Failed,
            None => Dns64Step::Unchanged,
        }
    }

    /// An error in place of AAAA records says nothing about A records (RFC 6147 section 5.1.2). True if these are asked for,
    /// which they are not if something older can be served, or if the error is a policy or a proof that data is bogus.
    pub(super) fn asks_for_a_instead(&mut self, now: Moment, given_up: &GivenUp) -> bool {
        let (key, failure) = (given_up.exchange, given_up.failure);
        let Some(exchange) = self.exchanges.get(key) else {
            return false;
        };
        let is_ours = exchange.role != Role::Follows && exchange.synthesis.is_none();
        let (Some(prefix), true, Failure::Answered { ede, .. }) =
            (prefix_for(exchange), is_ours, failure)
        else {
            return false;
        };
        let recoveries = exchange.group.recoveries();
        let is_stale_cached = (self.cache)
            .look_up_again(now, exchange, recoveries, failure)
            .is_some();
        if is_policy(ede) || is_stale_cached {
            return false;
        }
        let Some(question) = question_of_a(exchange) else {
            return false;
        };
        let ttl_max = TTL;
        self.ask_for_a(now, key, &question, Synthesis { prefix, ttl_max });
        true
    }

    /// Makes the response of A records that are cached, or asks for them.
    fn find_a(&mut self, now: Moment, key: ExchangeKey, synthesis: Synthesis) -> Dns64Step {
        let Some(exchange) = self.exchanges.get(key) else {
            return Dns64Step::Unchanged;
        };
        let Some(question) = question_of_a(exchange) else {
            return Dns64Step::Unchanged;
        };
        let recoveries = exchange.group.recoveries();
        let lookup = lookup_of_a(&self.cache, exchange, &question);
        let cached = self.cache.fresh_response(now, &lookup, recoveries);
        match cached {
            Some(message) if self.upstreams.replace_response(&message) => {
                self.synthesize(key, synthesis)
            }
            Some(_) => Dns64Step::Failed,
            None => {
                self.ask_for_a(now, key, &question, synthesis);
                Dns64Step::AsksForA
            }
        }
    }

    /// Asks the upstreams of an exchange for A records.
    fn ask_for_a(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        question: &Question,
        synthesis: Synthesis,
    ) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let group = Arc::clone(&exchange.group);
        let lookup = lookup_of_a(&self.cache, exchange, question);
        self.upstreams.begin(now, key, &lookup, group);
        self.exchanges.synthesize(key, synthesis);
        self.upstreams.ask(now, key);
        self.settle(now);
    }

    /// Puts the response that is made of the one that came last in its place.
    fn synthesize(&mut self, key: ExchangeKey, synthesis: Synthesis) -> Dns64Step {
        let Synthesis { prefix, ttl_max } = synthesis;
        let Some(exchange) = self.exchanges.get(key) else {
            return Dns64Step::Failed;
        };
        let question = exchange.question.as_bytes();
        let response = self.upstreams.response();
        let Some((message, count)) = response.synthesized(question, prefix, ttl_max) else {
            return Dns64Step::Failed;
        };
        if !self.upstreams.replace_response(&message) {
            return Dns64Step::Failed;
        }
        self.tally.dns64(match count {
            0 => Dns64::NoAddress,
            _ => Dns64::Synthesized,
        });
        Dns64Step::Changed
    }

    /// Answers a query for the name of an address that a NAT64 translates with a CNAME record, which leads to the name of the
    /// IPv4 address (RFC 6147 section 5.3.1).
    pub(super) fn translate_reverse(
        &mut self,
        request: &Request<'_>,
        question: &Question,
    ) -> Local {
        if (question.qtype(), question.qclass()) != (rtype::PTR, rclass::IN) {
            return Local::No;
        }
        let place = self.settings.routes.find(question).group;
        let prefix = self.groups.get(place).dns64;
        let address = prefix.zip(address_of_reverse(question.name()));
        let Some(address) = address.and_then(|(prefix, address)| prefix.extract(address)) else {
            return Local::No;
        };
        let target = Question::new(&reverse_name(address.into()), rtype::PTR, rclass::IN);
        self.tally.dns64(Dns64::Reverse);
        self.clients.redirect_reverse(request, target, TTL)
    }
}

/// The question for A records in place of that of an exchange.
fn question_of_a(exchange: &Exchange) -> Option<Question> {
    Question::new(exchange.question.name(), rtype::A, rclass::IN)
}

/// What is to be found out for that question, at the upstreams of the exchange.
fn lookup_of_a<'q>(cache: &CacheStage, exchange: &Exchange, question: &'q Question) -> Lookup<'q> {
    // The place of the group is for those that begin an exchange; this one has its group.
    let route = (0, exchange.group.route);
    let key = &exchange.key;
    cache.lookup(question, route, key.dnssec_ok(), key.checking_disabled())
}

/// The prefix of AAAA records that may be made for an exchange. None for those who check signatures themselves, which both
/// DO and CD tell (RFC 6147 section 5.5): they would find these forged.
fn prefix_for(exchange: &Exchange) -> Option<Nat64Prefix> {
    let (question, key) = (&exchange.question, &exchange.key);
    let is_of_aaaa = (question.qtype(), question.qclass()) == (rtype::AAAA, rclass::IN);
    let checks_itself = key.dnssec_ok() && key.checking_disabled();
    exchange
        .group
        .dns64
        .filter(|_| is_of_aaaa && !checks_itself)
}
