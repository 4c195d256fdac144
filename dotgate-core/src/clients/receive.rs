//! Messages of clients: which are queries that may be asked. The others are answered here, or ignored.

use std::net::IpAddr;

use dotgate_wire::{
    Ignore, Malformed, NameFault, Query, QueryFault, Received, Reject, opcode, parse_front,
    parse_query,
};

use super::{Clients, Handled, Request};
use crate::admit::AccessAnswer;
use crate::counters::Count;
use crate::counters::labels::{Limit, Outcome};
use crate::exchange::Client;
use crate::failure::Failure;
use crate::moment::Moment;
use crate::outbox::ReturnPath;
use crate::query::{Refusal, refusal};
use crate::respond::ClientParameters;

impl Clients {
    /// Takes a datagram that came in on `path`, and returns whose query it is. A part of its caller, as `receive` is of it.
    #[inline(always)]
    pub(crate) fn receive_datagram<'m>(
        &mut self,
        now: Moment,
        path: ReturnPath,
        message: &'m [u8],
    ) -> Result<(IpAddr, Query<'m>), Handled> {
        self.tally.count(Count::Datagrams);
        self.path_limits.pass(now);
        let client = Client::Datagram(path);
        // Port 0 cannot be a source port: the address is forged.
        if path.peer.port() == 0 {
            return Err(self.ignore(client));
        }
        let peer = path.peer.ip();
        let (peer, message) = match self.examines_datagrams {
            true => self.examine_datagram(now, client, peer, message)?,
            false => (peer, message),
        };
        let query = self.receive(now, client, peer, message)?;
        Ok((peer, query))
    }

    /// Takes one message of a client, and returns the query that may be asked. A part of its callers, for its speed.
    #[inline(always)]
    pub(crate) fn receive<'m>(
        &mut self,
        now: Moment,
        client: Client,
        peer: IpAddr,
        message: &'m [u8],
    ) -> Result<Query<'m>, Handled> {
        if !self.may_ask(client, peer) {
            return Err(self.prohibit(client, peer, message));
        }
        let query = match parse_query(message) {
            Received::Ignore(Ignore::TooShort | Ignore::IsResponse) => {
                return Err(self.ignore(client));
            }
            Received::Reject(reject) => {
                return Err(self.reject(now, (client, peer), &reject, message));
            }
            Received::Query(query) => query,
        };
        if query.edns.is_some_and(|edns| edns.has_cookie) {
            self.cookie = self.take_cookie(now, peer, message);
        }
        match refusal(&query, self.settings.forwarded_classes) {
            Some(refusal) => {
                let request = self.request(client, peer, query);
                self.refuse(&request, Outcome::Refused, refusal);
                Err(Handled::Answered)
            }
            None => Ok(query),
        }
    }

    /// A client's query with what its response depends on. A part of its callers, so that it is made in its place: it is too
    /// large to be copied for every query.
    #[inline(always)]
    pub(crate) fn request<'m>(
        &self,
        client: Client,
        peer: IpAddr,
        query: Query<'m>,
    ) -> Request<'m> {
        Request {
            client,
            peer,
            alias: None,
            parameters: ClientParameters {
                id: query.id,
                flags: query.flags,
                edns: query.edns,
                transport: self.transport(client),
            },
            query,
        }
    }

    /// Whether the access list has a client, at the listener that it came to.
    #[inline(always)]
    pub(super) fn may_ask(&self, client: Client, peer: IpAddr) -> bool {
        let access = &self.settings.access;
        access.allows(peer, client.transport(), || self.local_address(client))
    }

    pub(super) fn ignore(&mut self, client: Client) -> Handled {
        self.tally.ignored(client.transport());
        Handled::Ignored
    }

    /// Refuses a client that may not ask, if it is to get a response. Of its message no more is read than that repeats.
    #[inline(never)]
    fn prohibit(&mut self, client: Client, peer: IpAddr, message: &[u8]) -> Handled {
        let Ok(front) = parse_front(message) else {
            return self.ignore(client);
        };
        self.tally.count(Count::ClientsRefused);
        // A request over HTTP has a response in any case, and a proxy's connection goes on.
        let is_shared = matches!(client, Client::Stream(_, kind) if kind.is_shared());
        if self.settings.access.answer == AccessAnswer::NoResponse && !is_shared {
            return self.prohibit_silently((client, peer), (front.id, front.qtype, front.question));
        }
        let refusal = Refusal::PROHIBITED;
        self.tally.at_once(
            client.transport(),
            front.qtype,
            Outcome::Prohibited,
            refusal.rcode,
        );
        let ended = || refusal.ended(Outcome::Prohibited);
        self.record((client, peer, front.id), front.question, ended);
        let parameters = self.parameters_of_front(client, &front);
        let opcode = front.flags.opcode();
        let question = (front.question, opcode);
        self.deliver_error(client, &parameters, question, refusal, None);
        Handled::Answered
    }

    /// A client that may not ask gets no response; its connection is closed.
    fn prohibit_silently(
        &mut self,
        (client, peer): (Client, IpAddr),
        (id, qtype, question): (u16, u16, &[u8]),
    ) -> Handled {
        self.tally
            .unanswered(client.transport(), qtype, Outcome::Prohibited);
        let ended = || Refusal::PROHIBITED.ended(Outcome::Prohibited);
        self.record((client, peer, id), question, ended);
        Handled::Unwelcome
    }

    fn reject(
        &mut self,
        now: Moment,
        (client, peer): (Client, IpAddr),
        reject: &Reject<'_>,
        message: &[u8],
    ) -> Handled {
        let has_cookie = reject.edns.is_some_and(|edns| edns.has_cookie);
        if has_cookie && reject.fault == QueryFault::Malformed(Malformed::NoQuestion) {
            return self.answer_cookie_alone(now, (client, peer), reject, message);
        }
        let cookie = match has_cookie {
            true => self.take_cookie(now, peer, message),
            false => None,
        };
        let refusal = Refusal::of_fault(&reject.fault);
        self.tally
            .at_once(client.transport(), 0, Outcome::Malformed, refusal.rcode);
        let ended = || refusal.ended(Outcome::Malformed);
        self.record((client, peer, reject.id), reject.question, ended);
        let parameters = ClientParameters {
            id: reject.id,
            flags: reject.flags,
            edns: reject.edns,
            transport: self.transport(client),
        };
        let opcode = reject.flags.opcode();
        let question = (reject.question, opcode);
        self.deliver_error(client, &parameters, question, refusal, cookie.as_ref());
        Handled::Rejected {
            is_cut_short: is_cut_short(&reject.fault),
        }
    }

    fn refuse(&mut self, request: &Request<'_>, outcome: Outcome, refusal: Refusal) {
        let client = request.client;
        self.tally.at_once(
            client.transport(),
            request.query.qtype,
            outcome,
            refusal.rcode,
        );
        let query = &request.query;
        self.record((client, request.peer, query.id), query.question, || {
            refusal.ended(outcome)
        });
        let question = (request.query.question, opcode::QUERY);
        let parameters = &request.parameters;
        let cookie = self.cookie_of(query);
        self.deliver_error(client, parameters, question, refusal, cookie.as_ref());
    }

    /// Turns a query away for which there is no room.
    pub(crate) fn turn_away(&mut self, now: Moment, request: &Request<'_>, limit: Limit) {
        self.refuse(
            request,
            Outcome::Shed,
            Refusal::of_failure(Failure::Overload),
        );
        self.hit_limit(now, limit, request.peer);
    }

    /// Fails a query that is dotgate's own, so that the loop ends here.
    pub(crate) fn break_loop(&mut self, request: &Request<'_>) {
        self.tally.failure(Failure::Loop);
        let refusal = Refusal::of_failure(Failure::Loop);
        self.refuse(request, Outcome::Refused, refusal);
    }

    /// A query that waits already, which gets one response.
    pub(crate) fn on_repeated(&mut self, request: &Request<'_>) {
        self.tally
            .repeated(request.client.transport(), request.query.qtype);
    }
}

/// Whether a message ended before all that its header counts.
fn is_cut_short(fault: &QueryFault) -> bool {
    let name = Malformed::Name(NameFault::CutShort);
    [name, Malformed::CutShort]
        .map(QueryFault::Malformed)
        .contains(fault)
}
