//! One connection between a worker and an upstream: what travels on it, in order, and what each side knows.
//!
//! Bytes are those above TLS. Each direction is first in, first out; a reset overtakes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dotgate_core::{KeyExchange, Link, Moment, SessionEnd, limits};

use crate::message;
use crate::network::{Event, Network};
use crate::record::{Answered, Attempt};

/// Bytes on their way to an upstream that does not read, beyond which a worker can write no more.
pub(crate) const WINDOW: usize = 128 * 1024;

/// What travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Segment {
    Bytes(Vec<u8>),
    /// A message over UDP, on the socket of the query with this ID.
    Datagram(u16, Vec<u8>),
    /// The last message of a client's TLS handshake.
    TlsFinished,
    /// The end, in good order.
    Fin,
    /// The end, at once.
    Reset,
}

/// What a worker reads from a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// The TCP connection stands.
    Connected,
    /// The upstream is authenticated.
    Opened,
    /// It could not be opened.
    Failed(SessionEnd),
    Bytes(Vec<u8>),
    /// A message over UDP, on the socket of the query with this ID.
    Datagram(u16, Vec<u8>),
    /// It ended.
    End(Segment),
    /// There is room to write again.
    Room,
}

/// What a worker offers in its first message of TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    pub(crate) alpn: bool,
    /// Hybrid ones need more than one segment.
    pub(crate) key_exchange: KeyExchange,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) worker: usize,
    pub(crate) upstream: usize,
    /// What carries it; over UDP, it stands for the sockets of all queries to its upstream.
    pub(crate) link: Link,
    /// Over UDP: the queries whose sockets are open.
    pub(crate) sockets: BTreeSet<u16>,
    /// What the worker has not read yet.
    pub(crate) arrived: VecDeque<Arrival>,
    /// Whether the worker was notified that it is open.
    pub(crate) is_open: bool,
    /// Whether the worker has closed it or read its end.
    pub(crate) is_closed: bool,
    /// Whether the upstream has ended it.
    pub(crate) is_ended: bool,
    /// Whether the network swallows all of it.
    pub(crate) is_swallowed: bool,
    /// Whether the upstream knows nothing of it any more: what reaches it is answered by a reset.
    pub(crate) is_forgotten: bool,
    /// Whether the upstream answers nothing more on it.
    pub(crate) is_stalled: bool,
    /// Answers that the upstream has given on it.
    pub(crate) answers: u32,
    /// Whether a serial upstream works on a query of it.
    pub(crate) is_busy: bool,
    /// Queries that a serial upstream has read and not begun.
    pub(crate) waiting: VecDeque<Vec<u8>>,
    /// Bytes the upstream has not taken.
    pub(crate) unread: usize,
    /// Whether the worker waits for room.
    pub(crate) is_full: bool,
    /// Bytes that the upstream has read and not used.
    pub(crate) received: Vec<u8>,
    /// Message IDs the upstream has read and not answered.
    pub(crate) unanswered: BTreeMap<u16, Vec<u8>>,
    /// When the upstream last read a query or answered one.
    pub(crate) active: Moment,
    up_clock: Moment,
    down_clock: Moment,
    /// Bytes written by the worker that are no whole frame yet.
    written: Vec<u8>,
    /// Bytes read by the worker that are no whole frame yet.
    delivered: Vec<u8>,
    /// Messages read by the worker since the last right one.
    invalid: u32,
    /// Attempts without a response, by message ID.
    asked: BTreeMap<u16, usize>,
}

impl Connection {
    pub(crate) fn new(worker: usize, upstream: usize, link: Link, now: Moment) -> Self {
        Connection {
            worker,
            upstream,
            link,
            sockets: BTreeSet::new(),
            arrived: VecDeque::new(),
            is_open: link == Link::Datagrams,
            is_closed: false,
            is_ended: false,
            is_swallowed: false,
            is_forgotten: false,
            is_stalled: false,
            answers: 0,
            is_busy: false,
            waiting: VecDeque::new(),
            unread: 0,
            is_full: false,
            received: Vec::new(),
            unanswered: BTreeMap::new(),
            active: now,
            up_clock: now,
            down_clock: now,
            written: Vec::new(),
            delivered: Vec::new(),
            invalid: 0,
            asked: BTreeMap::new(),
        }
    }
}

impl Network {
    /// A worker writes bytes, or closes.
    pub(crate) fn send_up(&mut self, connection: usize, segment: Segment) {
        let upstream = self.connections[connection].upstream;
        let script = &self.upstreams[upstream].script;
        let (latency, segments) = (script.latency, script.segments);
        let bytes = match segment {
            Segment::Bytes(bytes) => bytes,
            Segment::Datagram(..) | Segment::TlsFinished | Segment::Fin | Segment::Reset => {
                let at = self.up_time(connection, latency);
                return self.arrange(at, Event::AtUpstream(connection, segment));
            }
        };
        self.note_written(connection, &bytes);
        self.connections[connection].unread += bytes.len();
        for piece in self.cut(bytes, segments) {
            let at = self.up_time(connection, latency);
            self.arrange(at, Event::AtUpstream(connection, Segment::Bytes(piece)));
        }
    }

    fn up_time(&mut self, connection: usize, latency: crate::random::Span) -> Moment {
        let at = self.now + self.random.time(latency);
        let state = &mut self.connections[connection];
        state.up_clock = state.up_clock.max(at);
        state.up_clock
    }

    /// Something travels from an upstream to the worker, behind all that went before, `extra` later.
    pub(crate) fn send_down(
        &mut self,
        connection: usize,
        arrival: Arrival,
        extra: std::time::Duration,
    ) {
        let upstream = self.connections[connection].upstream;
        let latency = self.upstreams[upstream].script.latency;
        let at = self.now + self.random.time(latency);
        let state = &mut self.connections[connection];
        let at = match arrival {
            Arrival::End(Segment::Reset) => at,
            Arrival::Connected
            | Arrival::Opened
            | Arrival::Failed(_)
            | Arrival::Bytes(_)
            | Arrival::Datagram(..)
            | Arrival::End(_)
            | Arrival::Room => {
                state.down_clock = state.down_clock.max(at) + extra;
                state.down_clock
            }
        };
        self.arrange(at, Event::AtWorker(connection, arrival));
    }

    /// Finds the attempts in what a worker writes.
    fn note_written(&mut self, connection: usize, bytes: &[u8]) {
        let state = &mut self.connections[connection];
        state.written.extend(bytes);
        let mut written = std::mem::take(&mut state.written);
        while let Some((message, rest)) = message::unframe(&written) {
            let rest = rest.to_vec();
            self.note_attempt(connection, message);
            written = rest;
        }
        self.connections[connection].written = written;
    }

    fn note_attempt(&mut self, connection: usize, bytes: &[u8]) {
        let Network {
            connections,
            record,
            now,
            ..
        } = self;
        let state = &mut connections[connection];
        let (worker, upstream) = (state.worker, state.upstream);
        let Some(seen) = message::read(bytes).filter(|seen| !seen.question.is_empty()) else {
            return record.complain(*now, format!("malformed query to upstream {upstream}"));
        };
        record.say(*now, || {
            format!(
                "w{worker} c{connection} u{upstream} <- {} ({:04x})",
                message::shown(&seen.question),
                seen.id
            )
        });
        record.upstreams[upstream]
            .troubled_since
            .get_or_insert(*now);
        let question = message::folded(&seen.question);
        if state.asked.insert(seen.id, record.attempts.len()).is_some() {
            record.complain(
                *now,
                format!("ID {:04x} is in use on c{connection}", seen.id),
            );
        }
        record.attempts.push(Attempt {
            at: *now,
            worker,
            upstream,
            connection,
            question,
            sent_as: seen.question,
            variant: seen.variant,
            has_opt: seen.has_opt,
            is_probe: false,
            answered: None,
            lost: None,
        });
    }

    /// Finds the right responses in what a worker reads.
    pub(crate) fn note_delivered(&mut self, connection: usize, bytes: &[u8]) {
        let Network {
            connections,
            record,
            now,
            ..
        } = self;
        let state = &mut connections[connection];
        state.delivered.extend(bytes);
        while let Some((bytes, rest)) = message::unframe(&state.delivered) {
            let seen = message::read(bytes);
            state.delivered = rest.to_vec();
            // After a flood of what answers nothing the engine has closed the connection.
            let is_stream = state.link != Link::Datagrams;
            if is_stream && state.invalid >= limits::SESSION_INVALID_MESSAGES {
                return;
            }
            state.invalid += 1;
            let Some(seen) = seen.filter(|seen| seen.is_response) else {
                continue;
            };
            let Some(&number) = state.asked.get(&seen.id) else {
                continue;
            };
            let attempt = &mut record.attempts[number];
            let is_right = match seen.question.is_empty() {
                true => seen.rcode != 0 && seen.rcode != 3,
                false if state.link == Link::Datagrams => seen.question == attempt.sent_as,
                false => message::folded(&seen.question) == attempt.question,
            };
            if is_right {
                state.invalid = 0;
                attempt.answered = Some(Answered {
                    at: *now,
                    rcode: seen.rcode,
                    ede: seen.ede.as_ref().map(|(code, _)| *code),
                    is_truncated: seen.is_truncated,
                    ttl: seen.ttl,
                    data: seen
                        .data
                        .first()
                        .and_then(|data| data.first_chunk())
                        .map(|data| u32::from_be_bytes(*data)),
                });
                state.asked.remove(&seen.id);
                if seen.rcode == 0 || seen.rcode == 3 {
                    let upstream = &mut record.upstreams[state.upstream];
                    upstream.troubled_since = None;
                    upstream.is_lasting = false;
                    upstream.is_refusing = false;
                    upstream.responses += 1;
                }
            }
        }
    }

    /// A worker sends a query over UDP, from a socket of its own.
    pub(crate) fn send_datagram(&mut self, connection: usize, id: u16, message: &[u8]) {
        let framed = message::frame(message);
        self.note_written(connection, &framed);
        let state = &mut self.connections[connection];
        state.sockets.insert(id);
        let latency = self.upstreams[state.upstream].script.latency;
        let at = self.now + self.random.time(latency);
        self.arrange(at, Event::AtUpstream(connection, Segment::Bytes(framed)));
    }

    /// A worker closes the socket of a query over UDP: what comes for it is not read any more.
    pub(crate) fn close_socket(&mut self, connection: usize, id: u16) {
        let state = &mut self.connections[connection];
        state.sockets.remove(&id);
        state.unanswered.remove(&id);
        if let Some(number) = state.asked.remove(&id) {
            self.record.attempts[number].lost = Some(self.now);
        }
    }

    /// The worker has done with a connection.
    pub(crate) fn note_closed(&mut self, connection: usize) {
        let state = &mut self.connections[connection];
        state.is_closed = true;
        state.arrived.clear();
        if !state.is_open {
            let upstream = &mut self.record.upstreams[state.upstream];
            upstream.troubled_since.get_or_insert(self.now);
        }
        for (_, number) in std::mem::take(&mut state.asked) {
            self.record.attempts[number].lost = Some(self.now);
        }
    }
}
