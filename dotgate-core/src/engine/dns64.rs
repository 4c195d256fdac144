//! DNS64 (RFC 6147): where a name has no AAAA records, its A records are asked for, and AAAA records are made of them.
//!
//! Between the filter and the cache. The exchange of the question stays the same, with its waiters, its deadlines and its
//! flight; only what upstreams are asked is another question: for A records and, where the prefix is to be found out
//! (`nat64`), for the AAAA records of `ipv4only.arpa`. So nothing of this is on the path of a cache hit. The filter
//! judges the A records as they come; what is made of them is not judged again.

use std::sync::Arc;

use dotgate_wire::{Nat64Prefix, Question, rclass, rtype};

use super::Engine;
use crate::cache::CacheStage;
use crate::counters::labels::Dns64;
use crate::exchange::{Exchange, Lookup, Synthesis};
use crate::exchanges::Exchanges;
use crate::failure::Failure;
use crate::flights::Role;
use crate::groups::Groups;
use crate::keys::ExchangeKey;
use crate::local::{address_of_reverse, reverse_name};
use crate::moment::Moment;
use crate::nat64::{Dns64Prefix, Known, Nat64};
use crate::settings::Settings;
use crate::tally::Tally;
use crate::upstreams::{GivenUp, Upstreams};
use crate::verdict::is_policy;

/// The longest TTL of synthesized records where an error stands for the negative response (RFC 6147 section 5.1.7), and that
/// of CNAME records for reverse names, in seconds.
pub(super) const TTL: u32 = 600;

/// What became of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dns64Step {
    /// Clients get it as it is.
    Unchanged,
    /// Clients get another one, which stands in its place now.
    Changed,
    /// It has no AAAA records: upstreams are asked a further question.
    AsksFurther,
    /// Nothing could be made of it.
    Failed,
}

/// The part of the engine that DNS64 works with: everything but the clients.
pub(super) struct Dns64Stage<'e> {
    settings: &'e Settings,
    tally: &'e Tally,
    cache: &'e mut CacheStage,
    exchanges: &'e mut Exchanges,
    groups: &'e Groups,
    upstreams: &'e mut Upstreams,
    nat64: &'e mut Nat64,
}

impl Engine {
    /// DNS64 for one exchange or query. It may give questions up: `settle` fails their clients.
    #[inline]
    pub(super) fn dns64(&mut self) -> Dns64Stage<'_> {
        Dns64Stage {
            settings: &self.settings,
            tally: &self.tally,
            cache: &mut self.cache,
            exchanges: &mut self.exchanges,
            groups: &self.groups,
            upstreams: &mut self.upstreams,
            nat64: &mut self.nat64,
        }
    }
}

impl Dns64Stage<'_> {
    /// Takes the response that came last, which the filter has let pass.
    pub(super) fn apply(&mut self, now: Moment, key: ExchangeKey) -> Dns64Step {
        let Some(exchange) = self.exchanges.get(key) else {
            return Dns64Step::Unchanged;
        };
        match exchange.synthesis {
            Some(Synthesis::Addresses { prefix, ttl_max }) => {
                return self.synthesize(key, prefix, ttl_max);
            }
            Some(Synthesis::Discovery { ttl_max }) => {
                self.nat64.learn(now, self.upstreams.response());
                return self.after_discovery(now, key, ttl_max);
            }
            None => {}
        }
        let response = self.upstreams.response();
        let Some(source) = prefix_for(exchange) else {
            return Dns64Step::Unchanged;
        };
        if response.lacks_aaaa() && !dotgate_wire::planted!("dns64-asks-for-no-a-records") {
            let ttl_max = response.synthesis_ttl();
            return match self.known(now, source) {
                Known::Prefix(prefix) => self.find_a(now, key, prefix, ttl_max),
                Known::None => Dns64Step::Unchanged,
                Known::NotYet => self.discover(now, key, ttl_max),
            };
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
        if let Some(Synthesis::Discovery { ttl_max }) = exchange.synthesis {
            self.nat64.fail(now);
            match self.nat64.known(now) {
                Known::Prefix(prefix) => self.ask_for_a(now, key, prefix, ttl_max),
                Known::None | Known::NotYet => self.ask_anew(now, key),
            }
            return true;
        }
        let is_ours = exchange.role != Role::Follows && exchange.synthesis.is_none();
        let (Some(source), true, Failure::Answered { ede, .. }) =
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
        match self.known(now, source) {
            Known::Prefix(prefix) => self.ask_for_a(now, key, prefix, TTL),
            Known::None => return false,
            Known::NotYet => return self.discover(now, key, TTL) == Dns64Step::AsksFurther,
        }
        true
    }

    /// What is known of a prefix.
    fn known(&self, now: Moment, source: Dns64Prefix) -> Known {
        match source {
            Dns64Prefix::Fixed(prefix) => Known::Prefix(prefix),
            Dns64Prefix::Discovered => self.nat64.known(now),
        }
    }

    /// Asks for the prefix of the network, at the upstreams of the route of its name.
    fn discover(&mut self, now: Moment, key: ExchangeKey, ttl_max: u32) -> Dns64Step {
        let Some((question, exchange)) = Nat64::question().zip(self.exchanges.get(key)) else {
            return Dns64Step::Unchanged;
        };
        let place = self.settings.routes.find(&question).group;
        let group = Arc::clone(self.groups.get(place));
        let checking_disabled = exchange.key.checking_disabled();
        let route = (place, group.route);
        let lookup = self
            .cache
            .lookup(&question, route, false, checking_disabled);
        self.upstreams.begin(now, key, &lookup, group);
        self.ask_in_place(now, key, Some(Synthesis::Discovery { ttl_max }));
        Dns64Step::AsksFurther
    }

    /// The prefix is known, or known not to be there.
    fn after_discovery(&mut self, now: Moment, key: ExchangeKey, ttl_max: u32) -> Dns64Step {
        match self.nat64.known(now) {
            Known::Prefix(prefix) => self.find_a(now, key, prefix, ttl_max),
            Known::None | Known::NotYet => {
                self.ask_anew(now, key);
                Dns64Step::AsksFurther
            }
        }
    }

    /// Sends the question of an exchange once more, because its response is no longer available.
    fn ask_anew(&mut self, now: Moment, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let (question, group) = (exchange.question.clone(), Arc::clone(&exchange.group));
        let lookup = lookup_of(self.cache, exchange, &question);
        self.upstreams.begin(now, key, &lookup, group);
        self.ask_in_place(now, key, None);
    }

    /// Makes the response of A records that are cached, or asks for them.
    fn find_a(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        prefix: Nat64Prefix,
        ttl_max: u32,
    ) -> Dns64Step {
        let Some(exchange) = self.exchanges.get(key) else {
            return Dns64Step::Failed;
        };
        let Some(question) = question_of_a(exchange) else {
            return Dns64Step::Failed;
        };
        let recoveries = exchange.group.recoveries();
        let lookup = lookup_of(self.cache, exchange, &question);
        let cached = self.cache.fresh_response(now, &lookup, recoveries);
        match cached {
            Some(message) if self.upstreams.replace_response(&message) => {
                self.synthesize(key, prefix, ttl_max)
            }
            Some(_) => Dns64Step::Failed,
            None => {
                self.ask_for_a(now, key, prefix, ttl_max);
                Dns64Step::AsksFurther
            }
        }
    }

    /// Asks the upstreams of an exchange for A records.
    fn ask_for_a(&mut self, now: Moment, key: ExchangeKey, prefix: Nat64Prefix, ttl_max: u32) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let Some(question) = question_of_a(exchange) else {
            return;
        };
        let group = Arc::clone(&exchange.group);
        let lookup = lookup_of(self.cache, exchange, &question);
        self.upstreams.begin(now, key, &lookup, group);
        self.ask_in_place(now, key, Some(Synthesis::Addresses { prefix, ttl_max }));
    }

    /// Asks what has begun for an exchange, in place of what was asked before.
    fn ask_in_place(&mut self, now: Moment, key: ExchangeKey, synthesis: Option<Synthesis>) {
        self.exchanges.synthesize(key, synthesis);
        self.upstreams.ask(now, key);
    }

    /// Puts the response that is made of the one that came last in its place.
    fn synthesize(&mut self, key: ExchangeKey, prefix: Nat64Prefix, ttl_max: u32) -> Dns64Step {
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

    /// The name of the IPv4 address, for the reverse name of an address that a NAT64 translates. A CNAME record leads there
    /// (RFC 6147 section 5.3.1).
    pub(super) fn reverse_target(&self, question: &Question) -> Option<Question> {
        if (question.qtype(), question.qclass()) != (rtype::PTR, rclass::IN) {
            return None;
        }
        let place = self.settings.routes.find(question).group;
        let prefix = match self.groups.get(place).dns64? {
            Dns64Prefix::Fixed(prefix) => prefix,
            Dns64Prefix::Discovered => self.nat64.last()?,
        };
        let address = prefix.extract(address_of_reverse(question.name())?)?;
        let target = Question::new(&reverse_name(address.into()), rtype::PTR, rclass::IN)?;
        self.tally.dns64(Dns64::Reverse);
        Some(target)
    }
}

/// The question for A records in place of that of an exchange.
fn question_of_a(exchange: &Exchange) -> Option<Question> {
    Question::new(exchange.question.name(), rtype::A, rclass::IN)
}

/// What is to be found out for a question in place of that of an exchange, at its upstreams.
fn lookup_of<'q>(cache: &CacheStage, exchange: &Exchange, question: &'q Question) -> Lookup<'q> {
    // The place of the group is for those that begin an exchange; this one has its group.
    let route = (0, exchange.group.route);
    let key = &exchange.key;
    cache.lookup(question, route, key.dnssec_ok(), key.checking_disabled())
}

/// Where the prefix of AAAA records comes from that may be made for an exchange. None for those who check signatures themselves, which both
/// DO and CD tell (RFC 6147 section 5.5): they would find these forged.
fn prefix_for(exchange: &Exchange) -> Option<Dns64Prefix> {
    let (question, key) = (&exchange.question, &exchange.key);
    let is_of_aaaa = (question.qtype(), question.qclass()) == (rtype::AAAA, rclass::IN);
    let checks_itself = key.dnssec_ok() && key.checking_disabled();
    exchange
        .group
        .dns64
        .filter(|_| is_of_aaaa && !checks_itself)
}
