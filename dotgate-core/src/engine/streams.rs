//! Client connections: messages in, responses out, limits kept (RFC 7766, RFC 9210 section 4).

use std::net::IpAddr;

use super::Engine;
use super::intake::Taken;
use crate::counters::Count;
use crate::counters::labels::{Limit, StreamEnd};
use crate::exchange::Client;
use crate::frames::{Frames, Next};
use crate::keys::StreamKey;
use crate::limits;
use crate::moment::Moment;
use crate::outbox::Action;
use crate::stream::{KernelBuffers, Stream};

impl Engine {
    /// Takes a new client connection. None: close it at once, for the client may not ask or a limit is reached.
    pub fn stream_opened(&mut self, now: Moment, peer: IpAddr) -> Option<StreamKey> {
        if !self.settings.access.allows(peer) {
            self.count(Count::ClientsRefused);
            return None;
        }
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
        let opened = self.streams.open(peer, now);
        match opened {
            Some(_) => self.count(Count::StreamsAccepted),
            None if self.streams.has_its_share(peer) => {
                self.refuse_stream(now, peer, Limit::StreamsPerClient);
            }
            None => self.refuse_stream(now, peer, Limit::Streams),
        }
        opened
    }

    fn refuse_stream(&mut self, now: Moment, peer: IpAddr, limit: Limit) {
        self.count(Count::StreamsRefused);
        self.hit_limit(now, limit, peer);
    }

    /// Takes octets of a client, cut anywhere. False: read no more until `Action::ResumeStream`.
    pub fn stream_bytes(&mut self, now: Moment, key: StreamKey, bytes: &[u8]) -> bool {
        let Some(stream) = self.streams.get_mut(key) else {
            return false;
        };
        let peer = stream.peer;
        let mut frames = std::mem::take(&mut stream.frames);
        if self.streams.may_read(key) {
            frames.feed(bytes, |message| {
                self.on_stream_message(now, key, peer, message)
            });
        } else {
            frames.keep(bytes);
        }
        if let Some(stream) = self.streams.get_mut(key) {
            if stream.end == StreamEnd::Malformed {
                frames = Frames::default();
            }
            stream.frames = frames;
            self.streams.charge(key);
        }
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

    /// The client has sent its last octet. It still gets its responses.
    pub fn stream_ended(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.has_ended = true;
            if stream.is_finished() {
                self.close_stream(key, StreamEnd::Finished);
            }
        }
    }

    /// The connection is gone. Its queries go on without it.
    pub fn stream_closed(&mut self, key: StreamKey) {
        self.forget_stream(key);
    }

    /// The responses that wait for a client, to be drained from the front. None once it is forgotten.
    pub fn stream_output(&mut self, key: StreamKey) -> Option<&mut Vec<u8>> {
        self.streams.get_mut(key).map(|stream| &mut stream.outgoing)
    }

    /// Takes note of a write, of which the system took `taken` bytes.
    pub fn stream_wrote(&mut self, now: Moment, key: StreamKey, taken: usize) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        stream.on_unsent(taken > 0, now);
        stream.kernel_bytes = (stream.kernel_bytes + taken).min(limits::STREAM_KERNEL_BYTES);
        if stream.outgoing.is_empty() && stream.outgoing.capacity() > limits::BUFFER_KEPT_BYTES {
            stream.outgoing = Vec::new();
        }
        self.streams.charge(key);
        self.write_out_pending(key);
        self.streams.watch(key);
        if !cfg!(planted = "paused-stream-is-never-resumed") {
            self.resume_stream(now, key);
        }
        if let Some(stream) = self.streams.get(key).filter(|held| held.is_finished()) {
            self.close_stream(key, stream.end);
        }
    }

    /// Takes note of what the kernel buffers for a client's connection.
    pub fn stream_measured(&mut self, now: Moment, key: StreamKey, measured: KernelBuffers) {
        self.streams.on_measured(now, key, measured);
    }

    /// Closes connections if clients cost more memory than they may, and lets those go on that waited for memory. To
    /// be called after `Action::MeasureStreams`.
    pub fn relieve(&mut self, now: Moment) {
        for key in self.streams.to_be_closed(now) {
            if let Some(stream) = self.streams.get(key) {
                let peer = stream.peer;
                self.count(Count::StreamsCutOff);
                self.hit_limit(now, Limit::ClientMemory, peer);
                self.close_stream(key, StreamEnd::Memory);
            }
        }
        for key in self.streams.take_waiting_for_memory() {
            self.write_out_pending(key);
            self.resume_stream(now, key);
            let max = self.settings.stream_queries_max;
            let waits = |stream: &Stream| stream.is_paused && stream.may_read(max);
            if self.streams.get(key).is_some_and(waits) {
                self.streams.wait_for_memory(key);
            }
        }
        self.streams.plan_relief(now);
    }

    /// Closes all client connections, as at the end of a stop.
    pub fn close_all_streams(&mut self) {
        for key in self.streams.keys() {
            self.close_stream(key, StreamEnd::Stopped);
        }
    }

    /// One more query of a client's connection waits.
    pub(super) fn one_more_on_stream(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.in_flight += 1;
        }
    }

    /// One query of a client's connection got its response.
    pub(super) fn one_less_on_stream(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.in_flight = stream.in_flight.saturating_sub(1);
        }
    }

    /// Closes connections whose time is over: idle, half-way through a message, or not reading.
    pub(super) fn lapse_streams(&mut self, now: Moment) {
        while let Some(key) = self.streams.poll_lapsed(now) {
            let end = match self.streams.get(key) {
                Some(stream) if !stream.outgoing.is_empty() => StreamEnd::Unread,
                Some(stream) if !stream.frames.is_empty() => StreamEnd::HalfMessage,
                Some(_) | None => StreamEnd::Idle,
            };
            if end != StreamEnd::Idle {
                self.count(Count::StreamsCutOff);
            }
            self.close_stream(key, end);
        }
    }

    /// Reads on what was kept when the stream was paused, and lets the driver read on after that.
    fn resume_stream(&mut self, now: Moment, key: StreamKey) {
        let may_read = self.streams.may_read(key);
        let stream = self.streams.get_mut(key);
        let Some(stream) = stream.filter(|stream| stream.is_paused && may_read) else {
            return;
        };
        // What is answered meanwhile must not resume it as well: it may have to pause again.
        stream.is_paused = false;
        if self.stream_bytes(now, key, &[]) {
            self.actions.push_back(Action::ResumeStream(key));
        }
    }

    fn on_stream_message(
        &mut self,
        now: Moment,
        key: StreamKey,
        peer: IpAddr,
        message: &[u8],
    ) -> Next {
        let taken = self.take(now, Client::Stream(key), peer, message);
        let Some(stream) = self.streams.get_mut(key) else {
            return Next::Pause;
        };
        stream.on_message(now);
        match taken {
            Taken::InFlight | Taken::Answered => {}
            Taken::Rejected { is_cut_short } => {
                stream.rejected += 1;
                // One that ends too early was framed wrongly, and so is what follows it.
                if is_cut_short || stream.rejected >= limits::STREAM_REJECTED {
                    self.end_after_responses(key);
                    return Next::Pause;
                }
            }
            Taken::Ignored => {
                // Without a header the framing is lost (RFC 1035 section 4.2.2); one empty frame is forgiven.
                stream.empty_frames += 1;
                if !message.is_empty() || stream.empty_frames >= limits::STREAM_EMPTY_FRAMES {
                    self.count(Count::StreamsCutOff);
                    self.close_stream(key, StreamEnd::Framing);
                    return Next::Pause;
                }
            }
        }
        if self.streams.may_read(key) {
            Next::Continue
        } else {
            Next::Pause
        }
    }

    /// Reads nothing more from a client whose messages make no sense, and closes its connection when it has its
    /// responses.
    fn end_after_responses(&mut self, key: StreamKey) {
        self.count(Count::StreamsCutOff);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.has_ended = true;
            stream.end = StreamEnd::Malformed;
        }
    }

    pub(super) fn close_stream(&mut self, key: StreamKey, end: StreamEnd) {
        if self.forget_stream(key) {
            self.tally.counters().clients().add_stream_end(end);
            self.actions.push_back(Action::CloseStream(key));
        }
    }

    /// Forgets a connection and the responses that waited for it. False if it was forgotten before.
    fn forget_stream(&mut self, key: StreamKey) -> bool {
        let stream = self.streams.remove(key);
        let unsent = stream.as_ref().map_or(0, |stream| stream.pending.len());
        self.tally.count_many(Count::ClientsGone, unsent as u64);
        stream.is_some()
    }
}
