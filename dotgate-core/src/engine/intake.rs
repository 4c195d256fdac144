//! From the listener to the exchange: stages `query`, `admit`, `route` and `inflight`; `cache` is `engine::kept`.

use std::net::IpAddr;

use dotgate_wire::{
    Ignore, LetterCase, Malformed, NameFault, Query, QueryFault, Question, Received, Reject,
    opcode, parse_front, parse_query, write_local,
};

use super::Engine;
use super::kept::Held;
use super::places::hash_sender;
use crate::cache::ROUTE;
use crate::counters::Count;
use crate::counters::labels::{Limit, Outcome};
use crate::exchange::{Client, Exchange, Lookup, Waiter};
use crate::failure::Failure;
use crate::flights::Role;
use crate::keys::ExchangeKey;
use crate::moment::Moment;
use crate::outbox::ReturnPath;
use crate::query::{Refusal, refusal};
use crate::respond::Asked;

/// What became of a client's message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It was answered at once.
    Answered,
    /// It was answered with FORMERR, NOTIMP or BADVERS.
    Rejected {
        /// Whether it ended before all that its header counts.
        is_cut_short: bool,
    },
    /// It waits for an upstream.
    InFlight,
    /// It deserves no response.
    Ignored,
}

impl Engine {
    /// Takes a datagram that came in on `path`.
    pub fn on_datagram(&mut self, now: Moment, path: ReturnPath, message: &[u8]) {
        self.count(Count::Datagrams);
        self.path_limits.pass(now);
        // Nobody can be answered at port 0: such a source is forged.
        if path.peer.port() == 0 {
            self.count(Count::QueriesIgnored);
            self.count_ignored(Client::Datagram(path));
            return;
        }
        self.take(now, Client::Datagram(path), path.peer.ip(), message);
    }

    /// Takes one message of a client.
    pub(super) fn take(
        &mut self,
        now: Moment,
        client: Client,
        peer: IpAddr,
        message: &[u8],
    ) -> Taken {
        if !self.settings.access.allows(peer) {
            return self.prohibit(client, message);
        }
        match parse_query(message) {
            Received::Ignore(Ignore::TooShort | Ignore::IsResponse) => self.ignore(client),
            Received::Reject(reject) => {
                self.reject(client, &reject);
                Taken::Rejected {
                    is_cut_short: is_cut_short(&reject.fault),
                }
            }
            Received::Query(query) => self.admit(now, client, peer, &query),
        }
    }

    fn ignore(&mut self, client: Client) -> Taken {
        self.count(Count::QueriesIgnored);
        self.count_ignored(client);
        Taken::Ignored
    }

    /// Refuses a client that may not ask. Of its message no more is read than the response repeats.
    fn prohibit(&mut self, client: Client, message: &[u8]) -> Taken {
        let Ok(front) = parse_front(message) else {
            return self.ignore(client);
        };
        self.count(Count::ClientsRefused);
        let refusal = Refusal::PROHIBITED;
        self.count_at_once(
            client,
            front.rtype,
            front.question,
            Outcome::Prohibited,
            refusal.rcode,
        );
        let asked = Asked {
            id: front.id,
            flags: front.flags,
            edns: front.edns,
            transport: self.transport(client),
        };
        let opcode = front.flags.opcode();
        self.deliver_error(
            client,
            &asked,
            front.question,
            opcode,
            refusal.rcode,
            refusal.ede,
        );
        Taken::Answered
    }

    fn reject(&mut self, client: Client, reject: &Reject<'_>) {
        let refusal = Refusal::of_fault(&reject.fault);
        self.count(Count::QueriesMalformed);
        self.count_at_once(
            client,
            0,
            reject.question,
            Outcome::Malformed,
            refusal.rcode,
        );
        let asked = Asked {
            id: reject.id,
            flags: reject.flags,
            edns: reject.edns,
            transport: self.transport(client),
        };
        let opcode = reject.flags.opcode();
        self.deliver_error(
            client,
            &asked,
            reject.question,
            opcode,
            refusal.rcode,
            refusal.ede,
        );
    }

    fn admit(&mut self, now: Moment, client: Client, peer: IpAddr, query: &Query<'_>) -> Taken {
        if let Some(refusal) = refusal(query, self.settings.forwarded_classes) {
            self.count(Count::QueriesRefused);
            self.refuse(client, query, Outcome::Refused, refusal);
            return Taken::Answered;
        }
        self.route(now, client, peer, query, &Question::of(query))
    }

    fn route(
        &mut self,
        now: Moment,
        client: Client,
        peer: IpAddr,
        query: &Query<'_>,
        question: &Question,
    ) -> Taken {
        let asked = self.asked(client, query);
        if let Some((zone, data)) = self.settings.local_zones.answer(question) {
            self.count(Count::QueriesLocal);
            self.count_at_once(
                client,
                query.rtype,
                query.question,
                Outcome::Local,
                data.rcode(),
            );
            let hop = asked.hop(None, false);
            self.deliver(client, |_, out| {
                write_local(out, query.question, zone, data, &hop)
            });
            return Taken::Answered;
        }
        let dnssec_ok = query.edns.is_some_and(|edns| edns.dnssec_ok);
        let checking_disabled = query.flags.checking_disabled();
        let asks = Lookup {
            key: self
                .cache
                .key(question, ROUTE, dnssec_ok, checking_disabled),
            is_cacheable: self.is_kept(question),
            question,
            dnssec_ok,
            checking_disabled,
        };
        match self.look_up(now, client, &asked, query.question, &asks) {
            Held::Answered => Taken::Answered,
            held @ (Held::Nothing | Held::Stale) => {
                let joined = self.wait_for_answer(now, client, peer, query, &asks, held);
                if let Err(limit) = joined {
                    let is_held = held == Held::Stale;
                    if is_held && self.answer_from_kept(client, &asked, query.question, &asks) {
                        return Taken::Answered;
                    }
                    self.shed(client, query, &asked);
                    self.hit_limit(now, limit, peer);
                    return Taken::Answered;
                }
                Taken::InFlight
            }
        }
    }

    /// Has a client wait for the exchange of its question, unless it is to be turned away at a limit.
    fn wait_for_answer(
        &mut self,
        now: Moment,
        client: Client,
        peer: IpAddr,
        query: &Query<'_>,
        asks: &Lookup<'_>,
        held: Held,
    ) -> Result<(), Limit> {
        let found = self
            .inflight
            .find(&self.exchanges, &asks.key, asks.question);
        if found.is_some_and(|key| self.waits_already(key, client, query.id)) {
            self.count(Count::QueriesRepeated);
            self.count_repeated(client, query.rtype);
            return Ok(());
        }
        let client_id = self.take_place(now, client, peer, found)?;
        // The query that gave way may have been the only one of this exchange.
        let found = found.filter(|key| self.exchanges.contains_key(*key));
        self.count(Count::QueriesForwarded);
        self.upstreams.on_query(now);
        let exchange = found.unwrap_or_else(|| {
            let role = self.flights.join(asks.key.hash(), self.number);
            self.begin_exchange(now, asks, role)
        });
        let zone = self.zone_of(asks.question);
        let waiter = self.waiters.insert(Waiter {
            client,
            client_id,
            id: query.id,
            flags: query.flags,
            letter_case: LetterCase::of(query.question),
            edns: query.edns,
            asked_at: now,
            exchange,
            zone,
            next: None,
        });
        if let Some(zone) = zone {
            let waiters = &self.waiters;
            self.zones
                .enter(zone, waiter, |key| waiters.contains_key(key));
        }
        if let Client::Stream(key) = client {
            self.one_more_on_stream(key);
        }
        let deadline = now + self.settings.query_deadline;
        if found.is_none() || !cfg!(planted = "merged-query-has-no-deadline") {
            self.deadlines.push(deadline, waiter);
        }
        let stale_after = self.settings.cache.stale_after;
        if held == Held::Stale && stale_after <= self.settings.query_deadline {
            self.client_timers.push(now + stale_after, exchange);
        }
        if let Some(state) = self.exchanges.get_mut(exchange) {
            state.join(waiter, &mut self.waiters);
            let keys = self.hash_keys;
            state.note_senders(&self.waiters, |peer, id| hash_sender(keys, peer, id));
        }
        match found {
            None => self.set_out(now, exchange),
            Some(_) => self.count(Count::QueriesMerged),
        }
        Ok(())
    }

    /// Makes an exchange, for whoever will wait for it.
    pub(super) fn begin_exchange(
        &mut self,
        now: Moment,
        asks: &Lookup<'_>,
        role: Role,
    ) -> ExchangeKey {
        let hash = asks.key.hash();
        let key = self.exchanges.insert(Exchange::new(asks, role));
        self.upstreams.begin(now, key, asks);
        self.inflight.insert(&self.exchanges, hash, key);
        key
    }

    fn shed(&mut self, client: Client, query: &Query<'_>, asked: &Asked) {
        self.count(Count::QueriesShed);
        let failure = Failure::Overload;
        self.count_at_once(
            client,
            query.rtype,
            query.question,
            Outcome::Shed,
            failure.rcode(),
        );
        let ede = Some((failure.ede(), failure.text()));
        self.deliver_error(
            client,
            asked,
            query.question,
            opcode::QUERY,
            failure.rcode(),
            ede,
        );
    }

    fn refuse(&mut self, client: Client, query: &Query<'_>, outcome: Outcome, refusal: Refusal) {
        self.count_at_once(client, query.rtype, query.question, outcome, refusal.rcode);
        let asked = self.asked(client, query);
        self.deliver_error(
            client,
            &asked,
            query.question,
            opcode::QUERY,
            refusal.rcode,
            refusal.ede,
        );
    }

    fn asked(&self, client: Client, query: &Query<'_>) -> Asked {
        Asked {
            id: query.id,
            flags: query.flags,
            edns: query.edns,
            transport: self.transport(client),
        }
    }
}

/// Whether a message ended before all that its header counts.
fn is_cut_short(fault: &QueryFault) -> bool {
    let name = Malformed::Name(NameFault::CutShort);
    [name, Malformed::CutShort]
        .map(QueryFault::Malformed)
        .contains(fault)
}
