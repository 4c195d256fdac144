//! Responses to clients: written at once, or, on a connection that has much to be written already, once there is room.

use std::sync::Arc;
use std::time::Duration;

use dotgate_wire::{
    ClientHop, Ede, LocalData, Question, ResponseCookie, Stored, TTL_MAX, UpstreamResponse, opcode,
    write_error, write_framed, write_local, write_response,
};

use super::{Clients, Request};
use crate::admit::Via;
use crate::cache::CachedResponse;
use crate::counters::Count;
use crate::counters::labels::{Limit, Outcome};
use crate::exchange::{Client, Exchange, Waiter};
use crate::failure::Failure;
use crate::keys::{StreamKey, UpstreamId};
use crate::limits;
use crate::moment::Moment;
use crate::query::Refusal;
use crate::record::Ended;
use crate::respond::ClientParameters;
use crate::routes::RouteId;
use crate::stream::{Pending, ResponseTerms, with_cookie};
use crate::tap::{MessageKind, MessagePeer};

/// Where a message has its bit TC (RFC 1035 section 4.1.1).
const TRUNCATED_AT: usize = 2;
const TRUNCATED: u8 = 0x02;

/// What a response made of a stored answer depends on, with its cookie.
pub(super) type TermsWithCookie<'c> = (&'c ResponseTerms, Option<&'c ResponseCookie>);

/// The response of an upstream on its way to those who wait for it.
pub(crate) struct Relayed<'r> {
    pub(crate) response: &'r UpstreamResponse,
    pub(crate) upstream: UpstreamId,
    pub(crate) took: Duration,
    pub(crate) attempts: u8,
    pub(crate) is_authenticated: bool,
    pub(crate) ede: Option<(u16, &'r str)>,
    /// The same as stored, once somebody has to wait for it.
    pub(crate) stored: Option<Arc<[u8]>>,
}

/// The failure that a waiter gets in place of a response.
pub(crate) struct Failed<'r> {
    pub(crate) failure: Failure,
    /// The one at fault.
    pub(crate) upstream: Option<UpstreamId>,
    /// How many attempts were made.
    pub(crate) attempts: u8,
    pub(crate) text: &'r str,
}

impl Clients {
    /// Writes one response to a client, wherever it is.
    pub(super) fn deliver(
        &mut self,
        client: Client,
        cookie: Option<&ResponseCookie>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        match cookie {
            None => self.deliver_plain(client, write),
            Some(cookie) => self.deliver_made(client, &with_cookie(cookie, write)),
        }
    }

    /// The same without a cookie.
    fn deliver_plain(&mut self, client: Client, write: impl FnOnce(&mut Vec<u8>)) {
        match client {
            Client::Datagram(path) => self.outbox.push(path, write),
            Client::Stream(key, _) => match self.streams.get_mut(key) {
                Some(stream) => {
                    let start = stream.outgoing.len();
                    write_framed(&mut stream.outgoing, write);
                    let peer = MessagePeer::Client(stream.peer, None, client.transport());
                    let frame = (&stream.outgoing[..], start);
                    self.tap.add_frame(MessageKind::ClientResponse, peer, frame);
                    self.streams.charge(key);
                    self.mark_dirty(key);
                }
                None => self.tally.count(Count::ClientsGone),
            },
        }
    }

    #[cold]
    #[inline(never)]
    fn deliver_made(&mut self, client: Client, message: &[u8]) {
        self.deliver_plain(client, |out| out.extend_from_slice(message));
    }

    /// Answers with a locally generated RCODE, and the EDE where the client can read one.
    pub(super) fn deliver_error(
        &mut self,
        client: Client,
        parameters: &ClientParameters,
        (question, opcode): (&[u8], u8),
        refusal: Refusal<'_>,
        cookie: Option<&ResponseCookie>,
    ) {
        let ede = refusal.ede.map(|(code, text)| Ede { code, text });
        let hop = parameters.hop(ede, false);
        self.deliver(client, cookie, |out| {
            write_error(out, question, opcode, refusal.rcode, &hop);
        });
    }

    /// Answers a query for a name of special use.
    pub(crate) fn deliver_local(&mut self, request: &Request<'_>, zone: &[u8], data: LocalData) {
        let (client, query) = (request.client, &request.query);
        self.tally.at_once(
            client.transport(),
            query.qtype,
            Outcome::Local,
            data.rcode(),
        );
        let ended = || Ended::here(Outcome::Local, data.rcode(), None);
        self.record((client, request.peer, query.id), query.question, ended);
        let hop = request.parameters.hop(None, false);
        let cookie = self.cookie_of(query);
        self.deliver(client, cookie.as_ref(), |out| {
            write_local(out, query.question, zone, data, &hop);
        });
    }

    /// Answers a query from the cache.
    pub(crate) fn deliver_cached(
        &mut self,
        request: &Request<'_>,
        response: &CachedResponse<'_>,
        route: RouteId,
    ) {
        let (client, query) = (request.client, &request.query);
        let terms = response.terms(&request.parameters);
        let stored = (response.bytes, &response.stored);
        let has_cookie = query.edns.is_some_and(|edns| edns.has_cookie);
        let rcode = match request.alias.is_some() || has_cookie {
            false => self.deliver_stored(client, stored, query.question, &terms),
            true => self.deliver_stored_and_more(request, stored, &terms),
        };
        let outcome = response.outcome();
        self.tally
            .at_once(client.transport(), query.qtype, outcome, rcode);
        let ended = || Ended {
            route: Some(route),
            ..response.ended(rcode)
        };
        self.record((client, request.peer, query.id), query.question, ended);
    }

    /// The same for a query with a cookie, or with local CNAME records that lead to another name. Apart, so that others do
    /// not pay for it.
    #[cold]
    #[inline(never)]
    fn deliver_stored_and_more(
        &mut self,
        request: &Request<'_>,
        stored: (&[u8], &Stored<'_>),
        terms: &ResponseTerms,
    ) -> u16 {
        let (client, question) = (request.client, request.query.question);
        let cookie = self.cookie_of(&request.query);
        let terms = (terms, cookie.as_ref());
        match &request.alias {
            None => self.deliver_stored_with(client, stored, question, terms),
            Some(alias) => self.deliver_behind(alias, client, stored.0, question, terms),
        }
    }

    /// Answers with a stored answer, which waits if the client has much to read already; with SERVFAIL if there is no
    /// memory for that. Returns the RCODE.
    fn deliver_stored(
        &mut self,
        client: Client,
        (bytes, stored): (&[u8], &Stored<'_>),
        question: &[u8],
        terms: &ResponseTerms,
    ) -> u16 {
        if let Some(stream) = self.full_stream(client) {
            let terms = (terms, None);
            return self.deliver_later((client, stream), (bytes, stored), question, terms);
        }
        self.deliver_plain(client, |out| terms.write(out, question, stored));
        stored.rcode()
    }

    /// The same with a cookie, if there is one.
    pub(super) fn deliver_stored_with(
        &mut self,
        client: Client,
        stored: (&[u8], &Stored<'_>),
        question: &[u8],
        (terms, cookie): TermsWithCookie<'_>,
    ) -> u16 {
        let Some(cookie) = cookie else {
            return self.deliver_stored(client, stored, question, terms);
        };
        if let Some(stream) = self.full_stream(client) {
            let terms = (terms, Some(cookie));
            return self.deliver_later((client, stream), stored, question, terms);
        }
        let write = |out: &mut Vec<u8>| terms.write(out, question, stored.1);
        self.deliver_made(client, &with_cookie(cookie, write));
        stored.1.rcode()
    }

    #[cold]
    #[inline(never)]
    fn deliver_later(
        &mut self,
        (client, stream): (Client, StreamKey),
        (bytes, stored): (&[u8], &Stored<'_>),
        question: &[u8],
        (terms, cookie): TermsWithCookie<'_>,
    ) -> u16 {
        let answer = match self.deferred.upgrade() {
            Some(last) if *last == *bytes => last,
            Some(_) | None => bytes.into(),
        };
        self.deferred = Arc::downgrade(&answer);
        let pending = Pending {
            terms: *terms,
            question: question.into(),
            cookie: cookie.copied().map(Box::new),
            answer,
        };
        if self.defer_response(stream, pending) {
            return stored.rcode();
        }
        let refusal = Refusal::of_failure(Failure::Overload);
        let question = (question, opcode::QUERY);
        self.deliver_error(client, &terms.parameters, question, refusal, cookie);
        refusal.rcode
    }

    /// Answers a waiter from the cache.
    pub(crate) fn deliver_cached_to(
        &mut self,
        now: Moment,
        waiter: &Waiter,
        exchange: &Exchange,
        response: &CachedResponse<'_>,
    ) {
        let question = &exchange.question;
        let terms = response.terms(&self.parameters_of(waiter));
        let rcode = self.deliver_stored_to(
            now,
            waiter,
            question,
            (response.bytes, &response.stored),
            &terms,
        );
        self.tally.count(Count::AnsweredFromCache);
        let ended = response.ended(rcode);
        self.finish(now, waiter, exchange, ended);
    }

    /// Answers a waiter with the response that another worker has got.
    pub(crate) fn deliver_shared_to(
        &mut self,
        now: Moment,
        waiter: &Waiter,
        exchange: &Exchange,
        stored: (&[u8], &Stored<'_>),
        is_authenticated: bool,
    ) {
        let question = &exchange.question;
        let terms = ResponseTerms::of_answer(self.parameters_of(waiter), is_authenticated);
        self.deliver_stored_to(now, waiter, question, stored, &terms);
        let ede = stored.1.ede().map(|ede| ede.code);
        let ended = Ended::here(Outcome::Answered, stored.1.rcode(), ede);
        self.finish(now, waiter, exchange, ended);
    }

    fn deliver_stored_to(
        &mut self,
        now: Moment,
        waiter: &Waiter,
        question: &Question,
        (bytes, stored): (&[u8], &Stored<'_>),
        terms: &ResponseTerms,
    ) -> u16 {
        if self.must_truncate(now, waiter) {
            self.deliver_without_records(waiter, question, stored.rcode());
            return stored.rcode();
        }
        let question = as_received(question, waiter);
        let (client, terms) = (waiter.client, (terms, waiter.cookie()));
        let rcode = match &waiter.alias {
            None => self.deliver_stored_with(client, (bytes, stored), &question, terms),
            Some(alias) => self.deliver_behind(alias, client, bytes, &question, terms),
        };
        self.note_released(now, waiter);
        rcode
    }

    /// Answers a waiter with the response of an upstream.
    pub(crate) fn deliver_relayed_to(
        &mut self,
        now: Moment,
        waiter: &Waiter,
        exchange: &Exchange,
        relayed: &mut Relayed<'_>,
    ) {
        let question = &exchange.question;
        let response = relayed.response;
        let (rcode, ede) = (response.rcode(), relayed.ede);
        let parameters = self.parameters_of(waiter);
        if self.must_truncate(now, waiter) {
            self.deliver_without_records(waiter, question, rcode);
        } else if response.question().is_empty() {
            // An error may come without its question; no client gets it so (RFC 1035 section 4.1.1).
            let question = as_received(question, waiter);
            let question = (question.as_slice(), opcode::QUERY);
            let error = Refusal { rcode, ede };
            self.deliver_error(waiter.client, &parameters, question, error, waiter.cookie());
        } else if let Some(alias) = &waiter.alias {
            let stored = relayed.stored.get_or_insert_with(|| stored(response, ede));
            let terms = ResponseTerms::of_answer(parameters, false);
            let question = as_received(question, waiter);
            let terms = (&terms, waiter.cookie());
            self.deliver_behind(alias, waiter.client, stored, &question, terms);
            self.note_released(now, waiter);
        } else if let Some(stream) = self.full_stream(waiter.client) {
            let stored = relayed.stored.get_or_insert_with(|| stored(response, ede));
            let pending = Pending {
                terms: ResponseTerms::of_answer(parameters, relayed.is_authenticated),
                question: as_received(question, waiter).into(),
                cookie: waiter.cookie.clone(),
                answer: Arc::clone(stored),
            };
            if !self.defer_response(stream, pending) {
                self.tally.limit(Limit::ClientMemory);
                let failed = Failed {
                    failure: Failure::Overload,
                    upstream: None,
                    attempts: relayed.attempts,
                    text: Failure::Overload.text(),
                };
                self.deliver_failure_to(now, waiter, exchange, &failed);
                return;
            }
        } else {
            let ede = ede.map(|(code, text)| Ede { code, text });
            let hop = parameters.hop(ede, relayed.is_authenticated);
            self.deliver(waiter.client, waiter.cookie(), |out| {
                write_response(out, response, waiter.name_case, &hop);
            });
            self.note_released(now, waiter);
        }
        self.tally
            .total(relayed.upstream, now.since(waiter.asked_at));
        let ended = Ended {
            upstream: Some(relayed.upstream),
            upstream_took: Some(relayed.took),
            attempts: relayed.attempts,
            ..Ended::here(Outcome::Answered, rcode, relayed.ede.map(|(code, _)| code))
        };
        self.finish(now, waiter, exchange, ended);
    }

    /// Answers a waiter with a failure.
    pub(crate) fn deliver_failure_to(
        &mut self,
        now: Moment,
        waiter: &Waiter,
        exchange: &Exchange,
        failed: &Failed<'_>,
    ) {
        let failure = failed.failure;
        let question = &exchange.question;
        let parameters = self.parameters_of(waiter);
        let reason = if dotgate_wire::planted!("failure-tells-no-reason") {
            Failure::NotReady
        } else {
            failure
        };
        let error = Refusal {
            rcode: failure.rcode(),
            ede: Some((reason.ede(), failed.text)),
        };
        let received = as_received(question, waiter);
        let received = (received.as_slice(), opcode::QUERY);
        self.deliver_error(waiter.client, &parameters, received, error, waiter.cookie());
        self.tally.failure(failure);
        let ended = Ended {
            upstream: failed.upstream,
            attempts: failed.attempts,
            failure: Some(failure),
            ..Ended::here(Outcome::Failed, failure.rcode(), Some(failure.ede()))
        };
        self.finish(now, waiter, exchange, ended);
    }

    /// A waiter has its response: counts and records it, and gives back what its query took.
    fn finish(&mut self, now: Moment, waiter: &Waiter, exchange: &Exchange, ended: Ended) {
        let question = &exchange.question;
        let span = now.since(waiter.asked_at);
        let transport = waiter.client.transport();
        let outcome = (ended.outcome, ended.rcode);
        self.tally
            .waited(transport, question.qtype(), outcome, span);
        exchange.group.counters.add_query(ended.outcome);
        let ended = Ended {
            route: Some(exchange.group.route),
            ..ended
        };
        self.record_waiter(
            (waiter.client, waiter.peer, waiter.id),
            question,
            span,
            ended,
        );
        self.on_answered(waiter);
    }

    /// Whether a waiter's response goes without records: over UDP, what was held back for long must not leave at once,
    /// for its source may be forged, and who holds it back may choose when it leaves.
    fn must_truncate(&self, now: Moment, waiter: &Waiter) -> bool {
        let waited = now.since(waiter.asked_at);
        if waited <= limits::RELEASE_PACED_AFTER
            || dotgate_wire::planted!("deferred-answers-leave-whole")
        {
            return false;
        }
        if waiter.client.via() == Via::Stream {
            return false;
        }
        let is_late = waited > limits::UDP_WAIT_MAX;
        (is_late || !self.quotas.may_release(now, waiter.client_id))
            && !self.settings.exempt.allows(waiter.peer)
    }

    /// Counts the response that was delivered last towards what leaves for a client at once, if its query had waited.
    fn note_released(&self, now: Moment, waiter: &Waiter) {
        let waited = now.since(waiter.asked_at);
        if waited > limits::RELEASE_PACED_AFTER && waiter.client.via() == Via::Datagram {
            let bytes = self.outbox.last_length();
            self.quotas.note_released(now, waiter.client_id, bytes);
        }
    }

    /// Answers a waiter with TC and the RCODE alone; it may ask again over TCP.
    fn deliver_without_records(&mut self, waiter: &Waiter, question: &Question, rcode: u16) {
        self.tally.limit(Limit::UdpRelease);
        let question = as_received(question, waiter);
        let hop = self.parameters_of(waiter).hop(None, false);
        self.deliver(waiter.client, waiter.cookie(), |out| {
            write_truncated(out, &question, opcode::QUERY, rcode, &hop);
        });
    }

    /// A client's connection that takes no further response now.
    fn full_stream(&self, client: Client) -> Option<StreamKey> {
        match client {
            Client::Datagram(_) => None,
            Client::Stream(key, _) => self.streams.is_full(key).then_some(key),
        }
    }

    /// Queues a response until the client has taken those before it. False if the client costs too much
    /// memory for that.
    fn defer_response(&mut self, key: StreamKey, pending: Pending) -> bool {
        let may_wait = self.streams.may_wait(key, &pending);
        if may_wait && let Some(stream) = self.streams.get_mut(key) {
            stream.pending.push(pending);
            // Until it is written out its query counts as in flight.
            stream.in_flight += 1;
            self.streams.charge(key);
            self.mark_dirty(key);
        }
        may_wait
    }

    /// Writes out responses that waited, as far as there is room.
    pub(super) fn write_out_pending(&mut self, key: StreamKey) {
        while self.streams.may_write_out(key) {
            let Some(stream) = self.streams.get_mut(key) else {
                return;
            };
            if let Some(pending) = stream.pending.pop() {
                let start = stream.outgoing.len();
                write_framed(&mut stream.outgoing, |out| pending.write(out));
                let transport = Client::Stream(key, stream.kind).transport();
                let peer = MessagePeer::Client(stream.peer, None, transport);
                let frame = (&stream.outgoing[..], start);
                self.tap.add_frame(MessageKind::ClientResponse, peer, frame);
                stream.in_flight = stream.in_flight.saturating_sub(1);
            }
            self.streams.charge(key);
            self.mark_dirty(key);
        }
    }

    pub(super) fn mark_dirty(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key)
            && !std::mem::replace(&mut stream.is_dirty, true)
        {
            self.dirty.push(key);
        }
    }
}

/// Writes a response without records, whose client may ask again over TCP.
pub(super) fn write_truncated(
    out: &mut Vec<u8>,
    question: &[u8],
    opcode: u8,
    rcode: u16,
    hop: &ClientHop<'_>,
) {
    let start = out.len();
    write_error(out, question, opcode, rcode, hop);
    if let Some(flags) = out.get_mut(start + TRUNCATED_AT) {
        *flags |= TRUNCATED;
    }
}

/// The question as this client sent it.
fn as_received(question: &Question, waiter: &Waiter) -> Vec<u8> {
    if let Some(alias) = waiter.alias.as_deref().and_then(Stored::read) {
        return alias.question().to_vec();
    }
    let mut received = question.as_bytes().to_vec();
    waiter.name_case.apply(&mut received);
    received
}

/// A response as a cache stores it, with the TTLs it came with.
fn stored(response: &UpstreamResponse, ede: Option<(u16, &str)>) -> Arc<[u8]> {
    let mut stored = Vec::new();
    let ede = ede.map(|(code, text)| Ede { code, text });
    response.store(&mut stored, 0..=TTL_MAX, ede);
    stored.into()
}
