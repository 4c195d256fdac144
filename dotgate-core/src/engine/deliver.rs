//! Responses to clients: written at once, or, on a connection that has much to be written already, once there is room.

use std::sync::Arc;

use dotgate_wire::{Answer, ClientHop, Ede, Stored, TTL_MAX, opcode, write_error, write_framed};

use super::Engine;
use crate::admit::Via;
use crate::counters::Count;
use crate::counters::labels::Limit;
use crate::exchange::{Client, Waiter};
use crate::failure::Failure;
use crate::keys::{ExchangeKey, StreamKey};
use crate::limits;
use crate::moment::Moment;
use crate::respond::Asked;
use crate::stream::{Pending, ResponseTerms};

/// Where a message has its bit TC (RFC 1035 section 4.1.1).
const TRUNCATED_AT: usize = 2;
const TRUNCATED: u8 = 0x02;

impl Engine {
    /// Writes one response to a client, wherever it is.
    pub(super) fn deliver(&mut self, client: Client, write: impl FnOnce(&Answer, &mut Vec<u8>)) {
        match client {
            Client::Datagram(path) => {
                let response = self.upstreams.response();
                self.outbox.push(path, |out| write(response, out));
            }
            Client::Stream(key) => match self.streams.get_mut(key) {
                Some(stream) => {
                    let response = self.upstreams.response();
                    write_framed(&mut stream.outgoing, |out| write(response, out));
                    self.streams.charge(key);
                    self.mark_stream_dirty(key);
                }
                None => self.tally.count(Count::ClientsGone),
            },
        }
    }

    /// Answers with an RCODE of ours, and the EDE where the client can read one.
    pub(super) fn deliver_error(
        &mut self,
        client: Client,
        asked: &Asked,
        question: &[u8],
        opcode: u8,
        rcode: u16,
        ede: Option<(u16, &str)>,
    ) {
        let ede = ede.map(|(code, text)| Ede { code, text });
        let hop: ClientHop<'_> = asked.hop(ede, false);
        self.deliver(client, |_, out| {
            write_error(out, question, opcode, rcode, &hop)
        });
    }

    /// Whether a waiter's response goes without records: over UDP, what was held back for long must not leave at once,
    /// for its source may be forged, and who holds it back may choose when it leaves.
    pub(super) fn must_cut(&self, now: Moment, waiter: &Waiter) -> bool {
        let waited = now.since(waiter.asked_at);
        if waited <= limits::RELEASE_PACED_AFTER || cfg!(planted = "held-back-answers-leave-whole")
        {
            return false;
        }
        let Client::Datagram(path) = waiter.client else {
            return false;
        };
        let is_late = waited > limits::UDP_WAIT_MAX;
        (is_late || !self.quotas.may_release(now, waiter.client_id))
            && !self.settings.exempt.allows(path.peer.ip())
    }

    /// Counts the response that was delivered last towards what leaves for a client at once, if its query had waited.
    pub(super) fn note_released(&self, now: Moment, waiter: &Waiter) {
        let waited = now.since(waiter.asked_at);
        if waited > limits::RELEASE_PACED_AFTER && waiter.client.via() == Via::Datagram {
            let bytes = self.outbox.last_length();
            self.quotas.note_released(now, waiter.client_id, bytes);
        }
    }

    /// Answers a waiter with TC and the RCODE alone; it may ask again over TCP.
    pub(super) fn deliver_without_records(
        &mut self,
        key: ExchangeKey,
        waiter: &Waiter,
        rcode: u16,
    ) {
        self.count_limit(Limit::UdpRelease);
        let question = self.spelt_question(key, waiter);
        let hop = self.asked_by(waiter).hop(None, false);
        self.deliver(waiter.client, |_, out| {
            let start = out.len();
            write_error(out, &question, opcode::QUERY, rcode, &hop);
            if let Some(flags) = out.get_mut(start + TRUNCATED_AT) {
                *flags |= TRUNCATED;
            }
        });
    }

    /// Answers with a stored answer, which waits if the client has much to read already; with SERVFAIL if there is no
    /// memory for that. Returns the RCODE; none if it is no answer.
    pub(super) fn deliver_stored(
        &mut self,
        client: Client,
        octets: &[u8],
        question: &[u8],
        terms: &ResponseTerms,
    ) -> Option<u16> {
        let stored = Stored::read(octets)?;
        let Some(stream) = self.full_stream(client) else {
            self.deliver(client, |_, out| terms.write(out, question, &stored));
            return Some(stored.rcode());
        };
        let answer = match self.deferred.upgrade() {
            Some(last) if *last == *octets => last,
            Some(_) | None => octets.into(),
        };
        self.deferred = Arc::downgrade(&answer);
        let pending = Pending {
            terms: *terms,
            question: question.into(),
            answer,
        };
        if self.defer_response(stream, pending) {
            return Some(stored.rcode());
        }
        let failure = Failure::Overload;
        let ede = Some((failure.ede(), failure.text()));
        let rcode = failure.rcode();
        self.deliver_error(client, &terms.asked, question, opcode::QUERY, rcode, ede);
        Some(rcode)
    }

    /// A client's connection that takes no further response now.
    pub(super) fn full_stream(&self, client: Client) -> Option<StreamKey> {
        match client {
            Client::Datagram(_) => None,
            Client::Stream(key) => self.streams.is_full(key).then_some(key),
        }
    }

    /// The loaded answer as a cache stores it, with the TTLs it came with.
    pub(super) fn stored_answer(&self, ede: Option<(u16, &str)>) -> Arc<[u8]> {
        let mut stored = Vec::new();
        let ede = ede.map(|(code, text)| Ede { code, text });
        let response = self.upstreams.response();
        response.store(&mut stored, 0..=TTL_MAX, ede);
        stored.into()
    }

    /// Has a response wait until the client has taken what is ready before it. False if the client costs too much
    /// memory for that.
    pub(super) fn defer_response(&mut self, key: StreamKey, pending: Pending) -> bool {
        let may_wait = self.streams.may_wait(key, &pending);
        if may_wait && let Some(stream) = self.streams.get_mut(key) {
            stream.pending.push(pending);
            // Until it is written out its query counts as in flight.
            stream.in_flight += 1;
            self.streams.charge(key);
            self.mark_stream_dirty(key);
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
                write_framed(&mut stream.outgoing, |out| pending.write(out));
                stream.in_flight = stream.in_flight.saturating_sub(1);
            }
            self.streams.charge(key);
            self.mark_stream_dirty(key);
        }
    }

    pub(super) fn mark_stream_dirty(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key)
            && !std::mem::replace(&mut stream.is_dirty, true)
        {
            self.dirty_streams.push(key);
        }
    }
}
