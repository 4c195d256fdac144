//! Clients above their rates: what they may not do, and what they get.
//!
//! Looked at after the access list, so that nobody who may not ask takes a bucket. Over UDP, every second query above the
//! rate gets TC without records, and the others nothing: who can be reached at its address asks again over TCP, where its
//! queries have a bucket of their own, and a forged source costs its owner nothing that matters.

use std::net::IpAddr;

use dotgate_wire::{Front, opcode, parse_front, rcode};

use super::deliver::write_truncated;
use super::{Clients, Handled};
use crate::admit::{RateKind, Taken, Via};
use crate::counters::Count;
use crate::counters::labels::{Limit, Outcome};
use crate::exchange::Client;
use crate::moment::Moment;
use crate::query::Refusal;
use crate::respond::ClientParameters;
use crate::stream::StreamKind;

impl Clients {
    /// Sheds a message of a client that may ask, if it is above its rate of queries.
    pub(crate) fn shed_above_rate(
        &mut self,
        now: Moment,
        client: Client,
        peer: IpAddr,
        message: &[u8],
    ) -> Option<Handled> {
        if !self.settings.rates.has_queries() || !self.may_ask(client, peer) {
            return None;
        }
        let kind = match client.via() {
            Via::Datagram => RateKind::Datagram,
            Via::Stream => RateKind::Query,
        };
        self.is_above_rate(now, kind, peer)
            .then(|| self.shed_unread(client, peer, message))
    }

    /// Whether a client may open one more connection as far as rates go; if not, that is counted.
    pub(super) fn may_connect(&mut self, now: Moment, peer: IpAddr, kind: StreamKind) -> bool {
        let is_above = self.is_above_rate(now, RateKind::Connection, peer)
            || kind.is_encrypted() && self.is_above_rate(now, RateKind::Handshake, peer);
        if is_above {
            self.tally.count(Count::StreamsRefused);
        }
        !is_above
    }

    /// Takes a token of a client's bucket. True if that is empty.
    fn is_above_rate(&mut self, now: Moment, kind: RateKind, peer: IpAddr) -> bool {
        if self.settings.rates.of(kind).is_none() || self.settings.exempt.allows(peer) {
            return false;
        }
        match self.rates.take(now, kind, peer, &self.settings.rates) {
            _ if cfg!(planted = "rates-are-ignored") => false,
            Taken::Free { displaced } => {
                if displaced {
                    self.hit_limit(now, Limit::RateTable, peer);
                }
                false
            }
            Taken::Over => {
                self.hit_limit(now, kind.limit(), peer);
                true
            }
        }
    }

    /// Sheds a query, of which no more is read than its response repeats.
    fn shed_unread(&mut self, client: Client, peer: IpAddr, message: &[u8]) -> Handled {
        let Ok(front) = parse_front(message) else {
            return self.ignore(client);
        };
        let refusal = Refusal::ABOVE_RATE;
        let is_datagram = client.via() == Via::Datagram;
        self.slips ^= is_datagram;
        if is_datagram && !self.slips {
            self.tally
                .unanswered(client.transport(), front.qtype, Outcome::Shed);
        } else {
            let rcode = if is_datagram {
                rcode::NOERROR
            } else {
                refusal.rcode
            };
            self.tally
                .at_once(client.transport(), front.qtype, Outcome::Shed, rcode);
        }
        let ended = || refusal.ended(Outcome::Shed);
        self.record((client, peer, front.id), front.question, ended);
        let parameters = self.parameters_of_front(client, &front);
        let question = (front.question, front.flags.opcode());
        if !is_datagram {
            self.deliver_error(client, &parameters, question, refusal);
        } else if self.slips {
            let hop = parameters.hop(None, false);
            self.deliver(client, |out| {
                write_truncated(out, front.question, opcode::QUERY, rcode::NOERROR, &hop);
            });
        }
        Handled::Answered
    }

    /// What the response to a message that is not read depends on.
    pub(super) fn parameters_of_front(
        &self,
        client: Client,
        front: &Front<'_>,
    ) -> ClientParameters {
        ClientParameters {
            id: front.id,
            flags: front.flags,
            edns: front.edns,
            transport: self.transport(client),
        }
    }
}

impl RateKind {
    fn limit(self) -> Limit {
        match self {
            RateKind::Datagram | RateKind::Query => Limit::QueryRate,
            RateKind::Connection => Limit::ConnectionRate,
            RateKind::Handshake => Limit::HandshakeRate,
        }
    }
}
