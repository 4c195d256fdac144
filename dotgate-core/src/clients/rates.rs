//! Clients above their rates: what they may not do, and what they get.
//!
//! Looked at after the access list, so that nobody who may not ask takes a bucket. Over UDP, every second query above the
//! rate gets TC without records, or BADCOOKIE with a cookie if it had one, and the others nothing: who can be reached at its
//! address asks again over TCP or with the cookie, where its queries have a bucket of their own, and a forged source costs
//! its owner nothing that matters.

use std::net::IpAddr;

use dotgate_wire::{Front, ResponseCookie, opcode, parse_front, rcode};

use super::deliver::write_truncated;
use super::{Clients, Handled};
use crate::admit::{RateKind, Taken, Via};
use crate::cookies::CookieState;
use crate::counters::Count;
use crate::counters::labels::{Limit, Outcome};
use crate::exchange::Client;
use crate::moment::Moment;
use crate::query::Refusal;
use crate::record::Ended;
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
        let cookie = self.check_cookie(now, peer, message);
        let has_proof = matches!(cookie, Some((CookieState::Valid, _)))
            && !dotgate_wire::planted!("cookies-earn-nothing");
        let kind = match client.via() {
            Via::Datagram
                if !has_proof
                    && !dotgate_wire::planted!("forged-queries-count-for-connections") =>
            {
                RateKind::Datagram
            }
            Via::Datagram | Via::Stream => RateKind::Query,
        };
        let cookie = cookie.as_ref().map(|(_, response)| response);
        let kind = if self.is_above_rate(now, kind, (peer, &[])) {
            kind
        } else if kind == RateKind::Datagram && self.repeats_too_often(now, peer, message) {
            RateKind::Response
        } else {
            return None;
        };
        Some(self.shed_unread(client, peer, message, (kind, cookie)))
    }

    /// Whether one who may not be at its address has asked the same too often.
    fn repeats_too_often(&mut self, now: Moment, peer: IpAddr, message: &[u8]) -> bool {
        let is_limited = self.settings.rates.responses.is_some()
            && !dotgate_wire::planted!("equal-questions-have-no-rate");
        let front = is_limited.then(|| parse_front(message).ok()).flatten();
        front.is_some_and(|front| {
            self.is_above_rate(now, RateKind::Response, (peer, front.question))
        })
    }

    /// Whether a client may open one more connection as far as rates go; if not, that is counted.
    pub(super) fn may_connect(&mut self, now: Moment, peer: IpAddr, kind: StreamKind) -> bool {
        let is_above = self.is_above_rate(now, RateKind::Connection, (peer, &[]))
            || kind.is_encrypted() && self.is_above_rate(now, RateKind::Handshake, (peer, &[]));
        if is_above {
            self.tally.count(Count::StreamsRefused);
        }
        !is_above
    }

    /// Whether the address of a client that would begin a connection must be validated first. What it costs is charged to the
    /// address: nobody may spend what is another's.
    pub fn must_validate(&self, peer: IpAddr) -> bool {
        let rates = &self.settings.rates;
        let kinds = [RateKind::Connection, RateKind::Handshake];
        let has_rate = kinds.into_iter().any(|kind| rates.of(kind).is_some());
        has_rate && !self.settings.exempt.allows(peer) || self.streams.must_validate(peer)
    }

    /// Takes a token of a client's bucket. True if that is empty.
    fn is_above_rate(
        &mut self,
        now: Moment,
        kind: RateKind,
        (peer, question): (IpAddr, &[u8]),
    ) -> bool {
        if self.settings.rates.of(kind).is_none() || self.settings.exempt.allows(peer) {
            return false;
        }
        match self
            .rates
            .take(now, kind, (peer, question), &self.settings.rates)
        {
            _ if dotgate_wire::planted!("rates-are-ignored") => false,
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
    fn shed_unread(
        &mut self,
        client: Client,
        peer: IpAddr,
        message: &[u8],
        (kind, cookie): (RateKind, Option<&ResponseCookie>),
    ) -> Handled {
        let Ok(front) = parse_front(message) else {
            return self.ignore(client);
        };
        // Who can be reached at its address gets the reason; a forged source gets little, and not always.
        let is_proven = kind == RateKind::Query;
        let refusal = match cookie {
            Some(_) if !is_proven => Refusal::BAD_COOKIE,
            Some(_) | None => Refusal::ABOVE_RATE,
        };
        self.shed = self.shed.wrapping_add(u32::from(!is_proven));
        let slip = u32::from(self.settings.rates.slip);
        let slips = slip > 0
            && self.shed % slip == 1 % slip
            && !dotgate_wire::planted!("no-response-slips");
        let transport = client.transport();
        let is_truncated = !is_proven && cookie.is_none();
        let rcode = if is_truncated {
            rcode::NOERROR
        } else {
            refusal.rcode
        };
        let ended = || Ended {
            rcode,
            ..refusal.ended(Outcome::Shed)
        };
        self.record((client, peer, front.id), front.question, ended);
        if !is_proven && !slips {
            self.tally.unanswered(transport, front.qtype, Outcome::Shed);
            return Handled::Answered;
        }
        self.tally
            .at_once(transport, front.qtype, Outcome::Shed, rcode);
        let parameters = self.parameters_of_front(client, &front);
        if is_truncated {
            let hop = parameters.hop(None, false);
            self.deliver(client, None, |out| {
                write_truncated(out, front.question, opcode::QUERY, rcode, &hop);
            });
        } else {
            let question = (front.question, front.flags.opcode());
            self.deliver_error(client, &parameters, question, refusal, cookie);
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
            RateKind::Response => Limit::ResponseRate,
        }
    }
}
