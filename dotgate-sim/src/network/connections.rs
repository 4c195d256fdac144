//! Connections between workers and upstreams: what is sent on them, and what the record learns of it.
//!
//! Bytes are those above TLS. Each direction is first in, first out; a reset overtakes.

use dotgate_core::{Link, Moment, limits};

use super::Network;
use crate::event::{Arrival, Event, Segment};
use crate::message;
use crate::record::{Answered, Attempt};

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
        while let Some((message, rest)) = message::split_frame(&written) {
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
        while let Some((bytes, rest)) = message::split_frame(&state.delivered) {
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
        let framed = message::framed(message);
        self.note_written(connection, &framed);
        let state = &mut self.connections[connection];
        if !state.sockets.insert(id) {
            let text = format!("c{connection} has two sockets with ID {id:04x}");
            self.record.complain(self.now, text);
        }
        let state = &self.connections[connection];
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
