//! From the listener to the exchange: stages `query`, `admit`, `route` and `inflight`.

use std::net::IpAddr;

use dotgate_wire::{
    Ignore, LetterCase, Query, Question, Received, Reject, opcode, parse_query, write_local,
};

use super::{Engine, is_due};
use crate::admit::ClientId;
use crate::counters::Count;
use crate::counters::labels::{Limit, Outcome};
use crate::exchange::{Client, Exchange, ExchangeKey, Waiter};
use crate::failure::Failure;
use crate::moment::Moment;
use crate::outbox::{Event, ReturnPath};
use crate::query::{Refusal, refusal};
use crate::respond::Asked;

/// What became of a client's message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It was answered at once.
    Answered,
    /// It waits for an upstream.
    InFlight,
    /// It deserves no response.
    Ignored,
}

impl Engine {
    /// Takes a datagram that came in on `path`.
    pub fn on_datagram(&mut self, now: Moment, path: ReturnPath, message: &[u8]) {
        self.count(Count::Datagrams);
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
        match parse_query(message) {
            Received::Ignore(Ignore::TooShort | Ignore::IsResponse) => {
                self.count(Count::QueriesIgnored);
                self.count_ignored(client);
                Taken::Ignored
            }
            Received::Reject(reject) => {
                self.reject(client, peer, &reject);
                Taken::Answered
            }
            Received::Query(query) => self.admit(now, client, peer, &query),
        }
    }

    fn reject(&mut self, client: Client, peer: IpAddr, reject: &Reject<'_>) {
        let (outcome, refusal) = if self.settings.access.allows(peer) {
            self.count(Count::QueriesMalformed);
            (Outcome::Malformed, Refusal::of_fault(&reject.fault))
        } else {
            self.count(Count::ClientsRefused);
            (Outcome::Prohibited, Refusal::PROHIBITED)
        };
        self.count_at_once(client, 0, outcome, refusal.rcode);
        let asked = Asked {
            id: reject.id,
            flags: reject.flags,
            letter_case: LetterCase::default(),
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
        if !self.settings.access.allows(peer) {
            self.count(Count::ClientsRefused);
            self.refuse(client, query, Outcome::Prohibited, Refusal::PROHIBITED);
            return Taken::Answered;
        }
        if let Some(refusal) = refusal(query) {
            self.count(Count::QueriesRefused);
            self.refuse(client, query, Outcome::Refused, refusal);
            return Taken::Answered;
        }
        let Some((question, letter_case)) = Question::fold(query.question) else {
            return Taken::Ignored;
        };
        self.route(now, client, peer, query, question, letter_case)
    }

    fn route(
        &mut self,
        now: Moment,
        client: Client,
        peer: IpAddr,
        query: &Query<'_>,
        question: Question,
        letter_case: LetterCase,
    ) -> Taken {
        let asked = self.asked(client, query, letter_case);
        if let Some((zone, data)) = self.settings.local_zones.answer(&question) {
            self.count(Count::QueriesLocal);
            self.count_at_once(client, query.rtype, Outcome::Local, data.rcode());
            let hop = asked.hop(None, false);
            self.deliver(client, |_, out| {
                write_local(out, query.question, zone, data, &hop)
            });
            return Taken::Answered;
        }
        let client_id = ClientId::of(peer);
        let has_room = self.waiters.len() < self.settings.queries_max && self.quota.take(client_id);
        if !has_room {
            self.shed(now, client, query, &asked);
            return Taken::Answered;
        }
        self.count(Count::QueriesForwarded);
        self.last_query = Some(now);
        let dnssec_ok = query.edns.is_some_and(|edns| edns.dnssec_ok);
        let (exchange, is_new) =
            self.exchange_for(now, question, dnssec_ok, query.flags.checking_disabled());
        let waiter = self.waiters.insert(Waiter {
            client,
            client_id,
            id: asked.id,
            flags: asked.flags,
            letter_case,
            edns: asked.edns,
            asked_at: now,
            exchange,
            next: None,
        });
        if let Client::Stream(key) = client {
            self.one_more_on_stream(key);
        }
        self.deadlines
            .push_back((now + self.settings.query_deadline, waiter));
        if let Some(state) = self.exchanges.get_mut(exchange) {
            state.join(waiter, &mut self.waiters);
        }
        if is_new {
            self.advance(now, exchange);
        } else {
            self.count(Count::QueriesMerged);
        }
        Taken::InFlight
    }

    /// The exchange of the same question, or a new one.
    fn exchange_for(
        &mut self,
        now: Moment,
        question: Question,
        dnssec_ok: bool,
        checking_disabled: bool,
    ) -> (ExchangeKey, bool) {
        let hash = self.inflight.hash(&question, dnssec_ok, checking_disabled);
        let found = self.inflight.find(
            &self.exchanges,
            hash,
            &question,
            dnssec_ok,
            checking_disabled,
        );
        if let Some(key) = found {
            return (key, false);
        }
        // A real question tells best whether an upstream answers again; some know nothing of the root.
        if self.health.iter().any(|health| !health.is_well()) {
            self.probe = Some(question.clone());
        }
        let exchange = Exchange::new(question, hash, dnssec_ok, checking_disabled, now);
        let key = self.exchanges.insert(exchange);
        self.inflight.insert(&self.exchanges, hash, key);
        (key, true)
    }

    fn shed(&mut self, now: Moment, client: Client, query: &Query<'_>, asked: &Asked) {
        self.count(Count::QueriesShed);
        if is_due(&mut self.overload_told, now) {
            self.events.push_back(Event::Overload);
        }
        let failure = Failure::Overload;
        self.count_at_once(client, query.rtype, Outcome::Shed, failure.rcode());
        self.count_limit(if self.waiters.len() < self.settings.queries_max {
            Limit::QueriesPerClient
        } else {
            Limit::Queries
        });
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
        self.count_at_once(client, query.rtype, outcome, refusal.rcode);
        let asked = self.asked(client, query, LetterCase::default());
        self.deliver_error(
            client,
            &asked,
            query.question,
            opcode::QUERY,
            refusal.rcode,
            refusal.ede,
        );
    }

    fn asked(&self, client: Client, query: &Query<'_>, letter_case: LetterCase) -> Asked {
        Asked {
            id: query.id,
            flags: query.flags,
            letter_case,
            edns: query.edns,
            transport: self.transport(client),
        }
    }
}
