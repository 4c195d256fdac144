//! Client connections: messages in, responses out, limits kept (RFC 7766, RFC 9210 section 4).

use std::net::IpAddr;

use super::intake::Taken;
use super::{Engine, is_due};
use crate::counters::Count;
use crate::counters::labels::Limit;
use crate::exchange::Client;
use crate::frames::Next;
use crate::limits;
use crate::moment::Moment;
use crate::outbox::{Action, Event};
use crate::stream::{Stream, StreamKey};

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
            self.close_stream(displaced);
        }
        let opened = self.streams.open(peer, now);
        match opened {
            Some(_) => self.count(Count::StreamsAccepted),
            None => {
                self.count(Count::StreamsRefused);
                self.count_limit(if self.streams.len() < self.settings.streams_max {
                    Limit::StreamsPerClient
                } else {
                    Limit::Streams
                });
                if is_due(&mut self.streams_told, now) {
                    self.events.push_back(Event::TooManyStreams);
                }
            }
        }
        opened
    }

    /// Takes octets of a client, cut anywhere. False: read no more until `Action::ResumeStream`.
    pub fn stream_bytes(&mut self, now: Moment, key: StreamKey, bytes: &[u8]) -> bool {
        let Some(stream) = self.streams.get_mut(key) else {
            return false;
        };
        let peer = stream.peer;
        let mut frames = std::mem::take(&mut stream.frames);
        if stream.may_read(self.settings.stream_queries_max) {
            frames.feed(bytes, |message| {
                self.on_stream_message(now, key, peer, message)
            });
        } else {
            frames.keep(bytes);
        }
        let max = self.settings.stream_queries_max;
        let Some(stream) = self.streams.get_mut(key) else {
            return false;
        };
        stream.frames = frames;
        stream.is_paused = !stream.may_read(max);
        stream.on_read(now);
        let is_paused = stream.is_paused;
        self.streams.watch(key);
        !is_paused
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
                self.close_stream(key);
            }
        }
    }

    /// The connection is gone. Its queries go on without it.
    pub fn stream_closed(&mut self, key: StreamKey) {
        self.streams.remove(key);
    }

    /// The responses that wait for a client, to be drained from the front. None once it is forgotten.
    pub fn stream_output(&mut self, key: StreamKey) -> Option<&mut Vec<u8>> {
        self.streams.get_mut(key).map(|stream| &mut stream.outgoing)
    }

    /// Takes note of a write: `took_some` tells whether the system took an octet.
    pub fn stream_wrote(&mut self, now: Moment, key: StreamKey, took_some: bool) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        stream.on_unsent(took_some, now);
        if stream.outgoing.is_empty() && stream.outgoing.capacity() > limits::BUFFER_KEPT_BYTES {
            stream.outgoing = Vec::new();
        }
        self.streams.watch(key);
        self.resume_stream(now, key);
        if self.streams.get(key).is_some_and(Stream::is_finished) {
            self.close_stream(key);
        }
    }

    /// Closes all client connections, as at the end of a stop.
    pub fn close_all_streams(&mut self) {
        for key in self.streams.keys() {
            self.close_stream(key);
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
            if self
                .streams
                .get(key)
                .is_some_and(|stream| !stream.frames.is_empty() || !stream.outgoing.is_empty())
            {
                self.count(Count::StreamsCutOff);
            }
            self.close_stream(key);
        }
    }

    /// Reads on what was kept when the stream was paused, and lets the driver read on after that.
    fn resume_stream(&mut self, now: Moment, key: StreamKey) {
        let max = self.settings.stream_queries_max;
        let is_due = self
            .streams
            .get(key)
            .is_some_and(|stream| stream.is_paused && stream.may_read(max));
        if is_due && self.stream_bytes(now, key, &[]) {
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
        let max = self.settings.stream_queries_max;
        let Some(stream) = self.streams.get_mut(key) else {
            return Next::Pause;
        };
        stream.on_message(now);
        match taken {
            Taken::InFlight | Taken::Answered => {}
            Taken::Ignored => {
                // Without a header the framing is lost (RFC 1035 section 4.2.2); one empty frame is forgiven.
                stream.empty_frames += 1;
                if !message.is_empty() || stream.empty_frames >= limits::STREAM_EMPTY_FRAMES {
                    self.count(Count::StreamsCutOff);
                    self.close_stream(key);
                    return Next::Pause;
                }
            }
        }
        if stream.may_read(max) {
            Next::Continue
        } else {
            Next::Pause
        }
    }

    pub(super) fn close_stream(&mut self, key: StreamKey) {
        if self.streams.remove(key).is_some() {
            self.actions.push_back(Action::CloseStream(key));
        }
    }
}
