//! Clients over TCP: what they have sent, what they read, and how they leave. Clients over UDP keep nothing.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use dotgate_core::{Moment, StreamKey, StreamKind};

use crate::connection::Segment;
use crate::message;
use crate::network::{Event, Network};
use crate::random::Span;
use crate::record::Path;
use crate::script::Segments;

/// One way between a client and its worker.
pub(crate) const CLIENT_LATENCY: Span = Span {
    least: Duration::from_micros(50),
    most: Duration::from_micros(900),
};

/// Bytes that the systems of both sides take for a client that does not read.
pub(crate) const CLIENT_WINDOW: usize = 64 * 1024;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) worker: usize,
    pub(crate) peer: IpAddr,
    pub(crate) kind: StreamKind,
    /// The engine's name for it, once accepted.
    pub(crate) key: Option<StreamKey>,
    /// What has arrived at the worker and was not read.
    pub(crate) arrived: VecDeque<Segment>,
    /// Bytes that were read by the engine.
    pub(crate) fed: usize,
    /// Where each query ends in what the client sent, and its number.
    pub(crate) queries: VecDeque<(usize, usize)>,
    /// Bytes written for the client that it has not read.
    pub(crate) unread: usize,
    /// Bytes that it has read.
    pub(crate) acknowledged: u64,
    /// Whether the worker waits for room.
    pub(crate) is_full: bool,
    /// Whether there is room again and the worker was not notified yet.
    pub(crate) has_room: bool,
    /// Whether the worker reads again without a notice.
    pub(crate) reads_again: bool,
    /// Whether the client keeps the rules: it reads, and has sent no half message.
    pub(crate) is_proper: bool,
    /// Whether the client has left, or sent what is no message: what it gets answers anything.
    pub(crate) is_mangled: bool,
    /// Whether one side has ended it.
    pub(crate) is_over: bool,
    reads: bool,
    sent: usize,
    held: usize,
    clock: Moment,
    back_clock: Moment,
    written: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(worker: usize, peer: IpAddr, kind: StreamKind, now: Moment) -> Stream {
        Stream {
            worker,
            peer,
            kind,
            key: None,
            arrived: VecDeque::new(),
            fed: 0,
            queries: VecDeque::new(),
            unread: 0,
            acknowledged: 0,
            is_full: false,
            has_room: false,
            reads_again: false,
            is_proper: true,
            is_mangled: false,
            is_over: false,
            reads: true,
            sent: 0,
            held: 0,
            clock: now,
            back_clock: now,
            written: Vec::new(),
        }
    }
}

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
        let bytes = message::frame(&query);
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
        let held = std::mem::take(&mut state.held);
        self.take_by_client(stream, held);
    }

    /// A worker writes bytes to a client.
    pub(crate) fn stream_write(&mut self, stream: usize, bytes: Vec<u8>) {
        let now = self.now;
        let state = &mut self.streams[stream];
        let is_mangled = state.is_mangled;
        state.unread += bytes.len();
        state.written.extend(&bytes);
        let mut written = std::mem::take(&mut state.written);
        while let Some((message, rest)) = message::unframe(&written) {
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
                self.streams[stream].held += bytes.len();
            }
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
