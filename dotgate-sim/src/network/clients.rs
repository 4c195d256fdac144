//! Clients over TCP: what they send and read, and how they leave.

use std::net::IpAddr;

use dotgate_core::StreamKind;

use super::Network;
use crate::client::{CLIENT_LATENCY, Stream};
use crate::event::{Event, Segment};
use crate::message;
use crate::record::Path;
use crate::script::Segments;

impl Network {
    pub(crate) fn open_stream(&mut self, worker: usize, peer: IpAddr, kind: StreamKind) -> usize {
        let number = self.streams.len();
        let mut stream = Stream::new(worker, peer, kind, self.now);
        stream.clock = self.now + self.random.time(CLIENT_LATENCY);
        self.arrange(stream.clock, Event::StreamOpens(number));
        self.streams.push(stream);
        let now = self.now;
        self.record.say(now, || {
            format!("tcp {number} opens from {peer} to w{worker}")
        });
        number
    }

    /// A client sends one message as a whole; returns the query's number.
    pub(crate) fn stream_ask(
        &mut self,
        stream: usize,
        query: Vec<u8>,
        segments: Segments,
    ) -> usize {
        let bytes = message::framed(&query);
        let number = self.record.queries.len();
        let state = &mut self.streams[stream];
        let end = state.sent + bytes.len();
        if !state.is_mangled {
            state.queries.push_back((end, number));
        }
        let worker = state.worker;
        self.record
            .add_query(self.now, Path::Tcp(stream), worker, query);
        self.stream_send(stream, bytes, segments);
        number
    }

    /// A client sends bytes that need be no message.
    pub(crate) fn stream_send(&mut self, stream: usize, bytes: Vec<u8>, segments: Segments) {
        self.streams[stream].sent += bytes.len();
        for piece in self.cut(bytes, segments) {
            self.stream_segment(stream, Segment::Bytes(piece));
        }
    }

    /// A client completes its TLS handshake.
    pub(crate) fn stream_secure(&mut self, stream: usize) {
        self.stream_segment(stream, Segment::TlsFinished);
    }

    /// A client ends its side, or all of it at once.
    pub(crate) fn stream_end(&mut self, stream: usize, end: Segment) {
        let now = self.now;
        self.record
            .say(now, || format!("tcp {stream} ends: {end:?}"));
        if end == Segment::Reset {
            let state = &mut self.streams[stream];
            (state.is_proper, state.is_mangled) = (false, true);
            self.record.abandon(Path::Tcp(stream));
        }
        self.stream_segment(stream, end);
    }

    fn stream_segment(&mut self, stream: usize, segment: Segment) {
        let at = self.now + self.random.time(CLIENT_LATENCY);
        let state = &mut self.streams[stream];
        state.clock = state.clock.max(at);
        let at = state.clock;
        self.arrange(at, Event::StreamAtWorker(stream, segment));
    }

    pub(crate) fn stream_at_worker(&mut self, stream: usize, segment: Segment) {
        let state = &mut self.streams[stream];
        if !state.is_over {
            state.arrived.push_back(segment);
            self.woken.push(state.worker);
        }
    }

    /// A client reads from now on, or no more.
    pub(crate) fn stream_reads(&mut self, stream: usize, reads: bool) {
        let state = &mut self.streams[stream];
        state.reads = reads;
        if !reads {
            state.is_proper = false;
            return;
        }
        let postponed = std::mem::take(&mut state.postponed);
        self.take_by_client(stream, postponed);
    }

    /// A worker writes bytes to a client.
    pub(crate) fn stream_write(&mut self, stream: usize, bytes: Vec<u8>) {
        let now = self.now;
        let state = &mut self.streams[stream];
        let is_mangled = state.is_mangled;
        state.unread += bytes.len();
        state.written.extend(&bytes);
        let mut written = std::mem::take(&mut state.written);
        while let Some((message, rest)) = message::split_frame(&written) {
            let rest = rest.to_vec();
            self.record
                .on_response(now, Path::Tcp(stream), message, is_mangled);
            written = rest;
        }
        self.streams[stream].written = written;
        self.segment_to_client(stream, Segment::Bytes(bytes));
    }

    /// A worker closes a client's connection.
    pub(crate) fn stream_close(&mut self, stream: usize) {
        let now = self.now;
        self.record
            .say(now, || format!("tcp {stream} is closed by its worker"));
        let state = &mut self.streams[stream];
        if state.is_proper && self.record.waits(Path::Tcp(stream)) {
            let text = format!("tcp {stream} is closed though it keeps the rules and waits");
            self.record.complain(now, text);
        }
        self.record.abandon(Path::Tcp(stream));
        self.streams[stream].is_over = true;
        self.segment_to_client(stream, Segment::Fin);
    }

    fn segment_to_client(&mut self, stream: usize, segment: Segment) {
        let at = self.now + self.random.time(CLIENT_LATENCY);
        let state = &mut self.streams[stream];
        state.back_clock = state.back_clock.max(at);
        let at = state.back_clock;
        self.arrange(at, Event::StreamAtClient(stream, segment));
    }

    pub(crate) fn stream_at_client(&mut self, stream: usize, segment: Segment) {
        if let Segment::Bytes(bytes) = segment {
            if self.streams[stream].reads {
                self.take_by_client(stream, bytes.len());
            } else {
                self.streams[stream].postponed += bytes.len();
            }
        } else {
            self.streams[stream].has_heard_of_end = true;
        }
    }

    fn take_by_client(&mut self, stream: usize, length: usize) {
        let state = &mut self.streams[stream];
        state.unread = state.unread.saturating_sub(length);
        state.acknowledged += length as u64;
        if std::mem::take(&mut state.is_full) {
            state.has_room = true;
            self.woken.push(state.worker);
        }
    }
}
