//! Client connections: messages in, responses out, limits (RFC 7766, RFC 7858, RFC 9210 section 4).

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Clients, Handled};
use crate::admit::{AccessList, ClientId, Via};
use crate::counters::Count;
use crate::counters::labels::{ClientHandshake, HttpStatus, Limit, QuicPacket, StreamEnd};
use crate::frames::Frames;
use crate::keys::StreamKey;
use crate::limits;
use crate::moment::Moment;
use crate::outbox::{Action, Event, LogDetail};
use crate::stream::{AcceptedStream, EndedHandshake, KernelBuffers, Stream, StreamKind};

impl Clients {
    /// Takes a new client connection. None: close it at once, for the client may not ask or a limit is reached.
    pub(crate) fn admit_stream(
        &mut self,
        now: Moment,
        accepted: AcceptedStream,
    ) -> Option<StreamKey> {
        let AcceptedStream { peer, local, kind } = accepted;
        let access = &self.settings.access;
        // Whether the clients of a proxy may ask is decided for each query.
        if !kind.is_shared() && !access.allows(peer, kind.transport(), || local) {
            self.tally.count(Count::ClientsRefused);
            return None;
        }
        // One that many clients share has none of their rates.
        if !kind.is_shared() && !self.may_connect(now, peer, kind) {
            return None;
        }
        if !kind.is_shared() && !self.may_reconnect(now, peer) {
            self.refuse_stream(now, peer, Limit::StreamsMalformed);
            return None;
        }
        if kind.has_handshake() && !self.make_room_for_handshake(now, peer) {
            return None;
        }
        self.place_stream(now, accepted, false)
    }

    /// Gives a connection a place, unless a limit is reached.
    pub(super) fn place_stream(
        &mut self,
        now: Moment,
        accepted: AcceptedStream,
        awaits_header: bool,
    ) -> Option<StreamKey> {
        let peer = accepted.peer;
        if self.streams.len() >= self.settings.streams_max
            && !self.streams.has_its_share(peer)
            && let Some(displaced) = self.streams.displaced_by(peer, now)
        {
            self.close_stream(displaced, StreamEnd::Displaced);
        }
        if self.streams.costs_its_share(peer) {
            self.refuse_stream(now, peer, Limit::ClientMemory);
            return None;
        }
        let opened = self.streams.open(accepted, awaits_header, now);
        match opened {
            Some(_) if awaits_header => {}
            Some(_) => self.tally.count(Count::StreamsAccepted),
            None if self.streams.has_its_share(peer) => {
                self.refuse_stream(now, peer, Limit::StreamsPerClient);
            }
            None => self.refuse_stream(now, peer, Limit::Streams),
        }
        opened
    }

    /// Whether a client that may have sent malformed messages on other connections may open one more.
    fn may_reconnect(&self, now: Moment, peer: IpAddr) -> bool {
        self.settings.exempt.allows(peer)
            || dotgate_wire::planted!("malformed-clients-reconnect-at-will")
            || self.malformed.may_open(now, ClientId::of(peer))
    }

    /// Makes room for one more TLS handshake, unless this client has enough of them.
    fn make_room_for_handshake(&mut self, now: Moment, peer: IpAddr) -> bool {
        if self.streams.has_its_handshakes(peer) {
            self.refuse_stream(now, peer, Limit::Handshakes);
            return false;
        }
        self.displace_handshake(now, peer);
        true
    }

    /// Has the first handshake give way if there are too many.
    pub(super) fn displace_handshake(&mut self, now: Moment, peer: IpAddr) {
        if let Some(first) = self.streams.displaced_handshake() {
            self.hit_limit(now, Limit::Handshakes, peer);
            self.close_stream(first, StreamEnd::Displaced);
        }
    }

    /// The TLS handshake of a connection is complete. What the client sends is for
    /// [`Engine::stream_bytes`](crate::Engine::stream_bytes) from now on.
    pub fn stream_secured(&mut self, now: Moment, key: StreamKey, is_resumed: bool) {
        if let Some(ended) = self.streams.end_handshake(key)
            && let Some(stream) = self.streams.get_mut(key)
        {
            stream.on_message(now);
            let result = match is_resumed {
                true => ClientHandshake::Resumed,
                false => ClientHandshake::Full,
            };
            self.report_handshake(ended, result);
            self.streams.watch(key);
        }
    }

    /// TLS has failed on a connection, which is gone: `outcome` says how if that was in the handshake.
    pub fn stream_failed(&mut self, key: StreamKey, outcome: ClientHandshake) {
        if let Some(ended) = self.streams.end_handshake(key) {
            self.report_handshake(ended, outcome);
        } else if self.streams.get(key).is_some() {
            self.tally
                .counters()
                .clients()
                .add_stream_end(StreamEnd::Tls);
            self.tally.count(Count::StreamsCutOff);
        }
        self.forget_stream(key);
    }

    /// Counts a handshake, and logs it at `debug`.
    fn report_handshake(&mut self, ended: EndedHandshake, result: ClientHandshake) {
        self.tally.counters().clients().add_handshake(result);
        if self.log_detail >= LogDetail::Debug {
            self.events.push_back(Event::ClientHandshake {
                client: ended.client,
                transport: ended.kind.transport(),
                result,
                began: ended.began,
            });
        }
    }

    fn refuse_stream(&mut self, now: Moment, peer: IpAddr, limit: Limit) {
        self.tally.count(Count::StreamsRefused);
        self.hit_limit(now, limit, peer);
    }

    /// The next message of a connection, out of what is unread of it and of `input`, and whose it is. None if there is none,
    /// or if no more may be read now; `input` is empty then.
    pub(crate) fn next_message<'b>(
        &mut self,
        key: StreamKey,
        input: &mut &'b [u8],
    ) -> Option<(IpAddr, StreamKind, Cow<'b, [u8]>)> {
        let may_read = self.streams.may_read(key);
        let stream = self.streams.get_mut(key)?;
        if stream.end == StreamEnd::Malformed || stream.is_cut {
            stream.frames = Frames::default();
            *input = &[];
            return None;
        }
        if !may_read {
            stream.frames.keep(input);
            *input = &[];
            return None;
        }
        let message = stream.frames.next_owned(input)?;
        Some((stream.peer, stream.kind, message))
    }

    /// Whose connection it is, if a message of it may be taken now.
    pub(crate) fn may_take(&self, key: StreamKey) -> Option<(IpAddr, StreamKind)> {
        let stream = self.streams.get(key).filter(|_| self.stream_reads(key))?;
        Some((stream.peer, stream.kind))
    }

    /// Records the outcome of a connection's message.
    pub(crate) fn on_handled(
        &mut self,
        now: Moment,
        key: StreamKey,
        message: &[u8],
        handled: Handled,
    ) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        stream.on_message(now);
        if stream.kind.is_shared() {
            return;
        }
        match handled {
            Handled::Answered => {}
            Handled::Rejected { is_cut_short } => {
                stream.rejected += 1;
                if stream.rejected == 1 {
                    self.malformed.note(now, ClientId::of(stream.peer));
                }
                let is_too_many = stream.rejected >= limits::STREAM_REJECTED
                    && !dotgate_wire::planted!("malformed-messages-are-borne");
                // One that ends too early was framed wrongly, and so is what follows it.
                if (is_cut_short && stream.kind.has_frames()) || is_too_many {
                    // Closed once it has its responses.
                    stream.has_ended = true;
                    stream.end = StreamEnd::Malformed;
                    self.tally.count(Count::StreamsCutOff);
                }
            }
            // What it asks is not heard: there is no use in a connection.
            Handled::Forbidden => self.stream_cut_off(key, StreamEnd::Quic),
            Handled::Unwelcome => self.close_stream(key, StreamEnd::Prohibited),
            Handled::Ignored => {
                // Without a header the framing is lost (RFC 1035 section 4.2.2); one empty frame is forgiven.
                stream.empty_frames += 1;
                if !message.is_empty() || stream.empty_frames >= limits::STREAM_EMPTY_FRAMES {
                    if stream.rejected == 0 {
                        self.malformed.note(now, ClientId::of(stream.peer));
                    }
                    self.tally.count(Count::StreamsCutOff);
                    self.close_stream(key, StreamEnd::Framing);
                }
            }
        }
    }

    /// Counts a query of a connection, which may be its last one.
    pub(crate) fn count_query(&mut self, now: Moment, key: StreamKey) {
        if self.streams.count_query(key) {
            self.streams.begin_leaving(now, key);
            self.mark_dirty(key);
        }
    }

    /// Whether a client is to be sent to another connection: the driver says so, if its protocol has a word for that.
    pub fn stream_is_leaving(&self, key: StreamKey) -> bool {
        self.streams.get(key).is_some_and(Stream::is_leaving)
    }

    /// Records that all messages were taken that may be taken now. False: read no more until `Action::ResumeStream`.
    pub(crate) fn end_read(&mut self, now: Moment, key: StreamKey) -> bool {
        self.streams.charge(key);
        let max = self.settings.stream_queries_max;
        let is_paused = !self.streams.may_read(key);
        let Some(stream) = self.streams.get_mut(key) else {
            return false;
        };
        stream.is_paused = is_paused;
        stream.on_read(now, max);
        let reads_on = !is_paused && !stream.has_ended;
        if is_paused && stream.may_read(max) {
            self.streams.wait_for_memory(key);
        }
        self.streams.watch(key);
        reads_on
    }

    /// Whether a client's connection is to be read from.
    pub fn stream_reads(&self, key: StreamKey) -> bool {
        self.streams
            .get(key)
            .is_some_and(|stream| !stream.is_paused && !stream.has_ended)
    }

    /// The client has sent its last byte. It still gets its responses.
    pub fn stream_ended(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.has_ended = true;
            if stream.is_finished() {
                let end = stream.end;
                self.close_stream(key, end);
            }
        }
    }

    /// What a client speaks that came to a listener of `listener`: proxies have ended the TLS of their clients.
    pub fn stream_kind(&self, listener: StreamKind, peer: IpAddr) -> StreamKind {
        if listener == StreamKind::Doh && self.settings.http_proxies.allows(peer) {
            StreamKind::DohProxy
        } else {
            listener
        }
    }

    /// Proxies that end the TLS of clients over HTTPS.
    pub fn http_proxies(&self) -> &Arc<AccessList> {
        &self.settings.http_proxies
    }

    /// Counts a datagram at a listener of DNS over QUIC.
    pub fn count_quic(&self, fate: QuicPacket) {
        self.tally.counters().clients().add_quic(fate);
    }

    /// Counts requests of clients over HTTP that were answered so.
    pub fn count_http(&self, status: HttpStatus, count: u64) {
        self.tally.counters().clients().add_http(status, count);
    }

    /// The responses that wait for a client, to be drained from the front. None once it is removed.
    pub fn stream_output(&mut self, key: StreamKey) -> Option<&mut Vec<u8>> {
        self.streams.get_mut(key).map(|stream| &mut stream.outgoing)
    }

    /// Records a write, of which the system took `taken` bytes. `encrypted` bytes have left the output and are still
    /// the driver's.
    pub(crate) fn wrote(&mut self, now: Moment, key: StreamKey, taken: usize, encrypted: usize) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        stream.encrypted = encrypted;
        stream.on_unsent(taken > 0, now);
        // What a client over QUIC has taken it has acknowledged.
        if stream.kind != StreamKind::Doq {
            stream.kernel_bytes = (stream.kernel_bytes + taken).min(limits::STREAM_KERNEL_BYTES);
        }
        if stream.outgoing.is_empty() && stream.outgoing.capacity() > limits::BUFFER_IDLE_BYTES {
            stream.outgoing = Vec::new();
        }
        self.streams.charge(key);
        self.write_out_pending(key);
        self.streams.watch(key);
    }

    /// Records what the driver holds for a connection in addition to what was encrypted, in bytes.
    pub fn stream_buffered(&mut self, key: StreamKey, bytes: usize) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.driver_bytes = bytes;
            self.streams.charge(key);
        }
    }

    /// Closes a connection that has nothing more to read or to write.
    pub(crate) fn close_if_finished(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get(key).filter(|stream| stream.is_finished()) {
            self.close_stream(key, stream.end);
        }
    }

    /// Records what the kernel buffers for a client's connection.
    pub fn stream_measured(&mut self, now: Moment, key: StreamKey, measured: KernelBuffers) {
        self.streams.on_measured(now, key, measured);
    }

    /// Closes connections if clients cost more memory than they may. Returns those that waited for memory and may continue.
    pub(crate) fn free_client_memory(&mut self, now: Moment) -> Vec<StreamKey> {
        self.streams.begin_relief_pause(now);
        for key in self.streams.to_be_closed(now) {
            if let Some(stream) = self.streams.get(key) {
                let peer = stream.peer;
                self.tally.count(Count::StreamsCutOff);
                self.hit_limit(now, Limit::ClientMemory, peer);
                self.close_stream(key, StreamEnd::Memory);
            }
        }
        self.streams.take_waiting_for_memory()
    }

    /// Writes what waited for memory.
    pub(crate) fn write_waiting(&mut self, key: StreamKey) {
        self.write_out_pending(key);
    }

    /// Queues a connection for memory again if it still needs some.
    pub(crate) fn wait_again(&mut self, key: StreamKey) {
        let max = self.settings.stream_queries_max;
        let waits = |stream: &Stream| stream.is_paused && stream.may_read(max);
        if self.streams.get(key).is_some_and(waits) {
            self.streams.wait_for_memory(key);
        }
    }

    /// Has memory looked at again after a while, if it is scarce.
    pub(crate) fn plan_relief(&mut self, now: Moment) {
        self.streams.plan_relief(now);
    }

    /// Whether a paused connection may be read again; it is no longer paused then.
    pub(crate) fn unpause(&mut self, key: StreamKey) -> bool {
        let may_read = self.streams.may_read(key);
        let stream = self.streams.get_mut(key);
        let Some(stream) = stream.filter(|stream| stream.is_paused && may_read) else {
            return false;
        };
        // What is answered meanwhile must not resume it as well: it may have to pause again.
        stream.is_paused = false;
        true
    }

    /// Asks the driver to read from a connection again.
    pub(crate) fn resume(&mut self, key: StreamKey) {
        self.actions.push_back(Action::ResumeStream(key));
    }

    /// Closes all client connections, as at the end of a stop.
    pub fn close_all_streams(&mut self) {
        for key in self.streams.keys() {
            self.close_stream(key, StreamEnd::Stopped);
        }
    }

    /// Closes connections that have timed out: idle, half-way through a message, or not reading.
    pub(super) fn expire_streams(&mut self, now: Moment) {
        while let Some(key) = self.streams.poll_expired(now) {
            if self.streams.go_on_leaving(now, key) {
                self.mark_dirty(key);
                self.close_if_finished(key);
                continue;
            }
            let end = match self.streams.get(key) {
                Some(stream) if stream.awaits_header => StreamEnd::ProxyHeader,
                Some(stream) if stream.is_handshaking() => StreamEnd::Handshake,
                Some(stream) if stream.unsent() > 0 => StreamEnd::Unread,
                Some(stream) if !stream.frames.is_empty() => StreamEnd::IncompleteQuery,
                Some(_) | None => StreamEnd::Idle,
            };
            if end != StreamEnd::Idle {
                self.tally.count(Count::StreamsCutOff);
            }
            self.close_stream(key, end);
        }
    }

    /// The client has broken the protocol that the driver speaks with it: the connection is closed. `end` says how.
    pub fn stream_cut_off(&mut self, key: StreamKey, end: StreamEnd) {
        if self.streams.get(key).is_some() {
            self.tally.count(Count::StreamsCutOff);
            self.close_stream(key, end);
        }
    }

    fn close_stream(&mut self, key: StreamKey, end: StreamEnd) {
        if let Some(ended) = self.streams.end_handshake(key) {
            let result = match end {
                StreamEnd::Handshake => ClientHandshake::Timeout,
                StreamEnd::Finished => ClientHandshake::Closed,
                StreamEnd::Idle
                | StreamEnd::IncompleteQuery
                | StreamEnd::Unread
                | StreamEnd::Framing
                | StreamEnd::Malformed
                | StreamEnd::Prohibited
                | StreamEnd::ProxyHeader
                | StreamEnd::Tls
                | StreamEnd::Http
                | StreamEnd::Quic
                | StreamEnd::Flood
                | StreamEnd::Displaced
                | StreamEnd::Memory
                | StreamEnd::Retired
                | StreamEnd::Stopped => ClientHandshake::Displaced,
            };
            self.report_handshake(ended, result);
        }
        if self.forget_stream(key) {
            self.tally.counters().clients().add_stream_end(end);
            self.actions.push_back(Action::CloseStream(key, end));
        }
    }

    /// The connection has ended. Its queries continue without it.
    pub fn stream_closed(&mut self, key: StreamKey) {
        if let Some(ended) = self.streams.end_handshake(key) {
            self.report_handshake(ended, ClientHandshake::Closed);
        }
        self.forget_stream(key);
    }

    /// Removes a connection and the responses that waited for it. False if it was forgotten before.
    pub(crate) fn forget_stream(&mut self, key: StreamKey) -> bool {
        let stream = self.streams.remove(key);
        if let Some(stream) = stream.as_ref()
            && dotgate_wire::planted!("quota-is-given-back-at-the-close")
        {
            let client = ClientId::of(stream.peer);
            for _ in 0..stream.in_flight {
                self.quotas.release(client, Via::Stream);
            }
        }
        let unsent = stream.as_ref().map_or(0, |stream| stream.pending.len());
        self.tally.count_many(Count::ClientsGone, unsent as u64);
        stream.is_some()
    }
}
