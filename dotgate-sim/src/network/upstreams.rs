//! What scripted upstreams do: they speak framed DNS, and fail in every way a script names.

use std::time::Duration;

use dotgate_core::{ConnectFault, KeyExchange, Link, SessionEnd, TlsFault};

use super::Network;
use crate::bystander::ROUTED;
use crate::connection::Connection;
use crate::event::{Arrival, Event, Hello, Segment};
use crate::message;
use crate::random::Span;
use crate::script::{Opening, Reaction, Segments};
use crate::upstream::{Death, State};

/// From the last answer of a connection to its RST, where an [`AnswerBound`](crate::script::AnswerBound) says so: a
/// reset may discard what was not read yet, and the answer is to be read.
const RESET_AFTER: Duration = Duration::from_millis(1);

impl Network {
    /// Keeps an event for later if its upstream cannot take part in it now.
    pub(crate) fn put_off(&mut self, event: Event) -> Option<Event> {
        let (connection, is_process) = match &event {
            Event::AtUpstream(connection, _)
            | Event::Speak(connection, _)
            | Event::Finished(connection)
            | Event::IdleCheck(connection) => (*connection, true),
            Event::AtWorker(connection, _) => (*connection, false),
            Event::ConnectAgain(..)
            | Event::Reached(_)
            | Event::Datagram(_)
            | Event::StreamOpens(_)
            | Event::StreamAtWorker(..)
            | Event::StreamAtClient(..) => return Some(event),
        };
        let upstream = self.connections[connection].upstream;
        let upstream = &mut self.upstreams[upstream];
        let waits = match upstream.state {
            State::Running => false,
            State::Frozen => is_process,
            State::CutOff => true,
        };
        if !waits {
            return Some(event);
        }
        upstream.put_off.push(event);
        None
    }

    pub(crate) fn set_state(&mut self, upstream: usize, state: State) {
        let now = self.now;
        self.record.say(now, || format!("u{upstream}: {state:?}"));
        match (self.upstreams[upstream].state, state) {
            (State::CutOff, State::Running) => {
                // What was lost is sent again when the sender's timer says so.
                let pause = self.random.time(Span::millis(50, 900));
                self.arrange_in(pause, Event::Reached(upstream));
            }
            (State::Frozen, State::Running) => self.resume(upstream),
            (_, state) => self.upstreams[upstream].state = state,
        }
    }

    pub(crate) fn resume(&mut self, upstream: usize) {
        self.upstreams[upstream].state = State::Running;
        for event in std::mem::take(&mut self.upstreams[upstream].put_off) {
            self.arrange(self.now, event);
        }
    }

    /// All connections of an upstream end; those who connect are refused until it has another script.
    pub(crate) fn kill(&mut self, upstream: usize, death: Death) {
        let now = self.now;
        self.record
            .say(now, || format!("u{upstream} dies: {death:?}"));
        self.upstreams[upstream].script.opening = match death {
            Death::Fin | Death::Reset => Opening::Fails(SessionEnd::Connect(ConnectFault::Refused)),
            Death::Unnoticed => Opening::Vanishes,
        };
        self.upstreams[upstream].withheld.clear();
        for connection in self.connections_of(upstream) {
            // Queries over UDP know no process: the next one to listen there answers them.
            if self.connections[connection].link == Link::Datagrams {
                continue;
            }
            match death {
                Death::Fin => self.speak(connection, Segment::Fin),
                Death::Reset => self.speak(connection, Segment::Reset),
                Death::Unnoticed => {}
            }
            let state = &mut self.connections[connection];
            state.is_ended = true;
            state.is_forgotten = true;
        }
    }

    /// All present connections of an upstream end like this.
    pub(crate) fn end_connections(&mut self, upstream: usize, end: SessionEnd) {
        let now = self.now;
        self.record
            .say(now, || format!("u{upstream}: connections end: {end:?}"));
        for connection in self.connections_of(upstream) {
            if self.connections[connection].link == Link::Datagrams {
                continue;
            }
            match end {
                SessionEnd::Closed => self.speak(connection, Segment::Fin),
                SessionEnd::Reset => self.speak(connection, Segment::Reset),
                SessionEnd::Connect(_) | SessionEnd::Tls(_) => {
                    self.send_down(connection, Arrival::Failed(end), Duration::ZERO);
                }
            }
            self.connections[connection].is_ended = true;
            let withheld = &mut self.upstreams[upstream].withheld;
            withheld.retain(|(of, _)| *of != connection);
        }
    }

    /// All present connections of an upstream swallow everything from now on.
    pub(crate) fn swallow(&mut self, upstream: usize) {
        let now = self.now;
        self.record.say(now, || {
            format!("u{upstream}: connections are half-open now")
        });
        for connection in self.connections_of(upstream) {
            let state = &mut self.connections[connection];
            state.is_swallowed = state.link != Link::Datagrams;
        }
    }

    fn connections_of(&self, upstream: usize) -> Vec<usize> {
        let is_live = |state: &Connection| state.upstream == upstream && !state.is_closed;
        (0..self.connections.len())
            .filter(|number| is_live(&self.connections[*number]))
            .collect()
    }

    /// A worker connects.
    pub(crate) fn connect(&mut self, connection: usize, hello: Hello, pause: Duration) {
        let Connection {
            upstream, address, ..
        } = self.connections[connection];
        let script = &self.upstreams[upstream].script;
        let (connect, handshake) = (script.connect_time, script.handshake_time);
        let at_address = script.addresses.get(address).copied();
        let failing = at_address.filter(|opening| *opening != Opening::Accepts);
        let opening = match failing.unwrap_or(script.opening) {
            Opening::Fails(SessionEnd::Tls(TlsFault::AlpnRejected)) if !hello.alpn => {
                Opening::Accepts
            }
            Opening::DropsLargeHellos => match hello.key_exchange {
                KeyExchange::Hybrid => Opening::AcceptsAndSendsNothing,
                KeyExchange::Classical => Opening::Accepts,
            },
            opening => opening,
        };
        let connect = self.random.time(connect);
        let handshake = match self.connections[connection].link {
            Link::Tls => self.random.time(handshake),
            Link::Tcp | Link::Datagrams => Duration::ZERO,
        };
        let (is_connected, outcome) = match opening {
            Opening::Accepts => (true, Some(Arrival::Opened)),
            Opening::Fails(SessionEnd::Connect(fault)) => {
                (false, Some(Arrival::Failed(SessionEnd::Connect(fault))))
            }
            Opening::Fails(end) => (true, Some(Arrival::Failed(end))),
            Opening::Vanishes => {
                return self.arrange_in(pause, Event::ConnectAgain(connection, hello, pause));
            }
            Opening::FailsAtOnce(_) => (false, None),
            Opening::AcceptsAndSendsNothing | Opening::DropsLargeHellos => (true, None),
        };
        let mut extra = connect;
        if is_connected {
            self.send_down(connection, Arrival::Connected, extra);
            extra = handshake;
        }
        let Some(outcome) = outcome else {
            return;
        };
        if outcome == Arrival::Opened {
            // The process takes part in the handshake: a stopped one does not finish it.
            self.arrange_in(connect + handshake, Event::Speak(connection, OPENED));
        } else {
            self.send_down(connection, outcome, extra);
        }
    }

    /// Bytes reach an upstream.
    pub(crate) fn at_upstream(&mut self, connection: usize, segment: Segment) {
        let state = &mut self.connections[connection];
        if state.is_swallowed {
            return;
        }
        if state.link == Link::Datagrams && !self.hears_datagrams(connection) {
            return;
        }
        let state = &mut self.connections[connection];
        if state.is_forgotten || state.is_ended {
            let is_there = self.upstreams[state.upstream].script.opening != Opening::Vanishes;
            if matches!(segment, Segment::Bytes(_)) && !state.is_closed && is_there {
                self.send_down(connection, Arrival::End(Segment::Reset), Duration::ZERO);
            }
            return;
        }
        let Segment::Bytes(bytes) = segment else {
            state.is_ended = true;
            return;
        };
        state.unread = state.unread.saturating_sub(bytes.len());
        if std::mem::take(&mut state.is_full) {
            self.send_down(connection, Arrival::Room, Duration::ZERO);
        }
        let mut received = std::mem::take(&mut self.connections[connection].received);
        received.extend(bytes);
        while let Some((message, rest)) = message::split_frame(&received) {
            let rest = rest.to_vec();
            self.on_query(connection, message);
            received = rest;
        }
        self.connections[connection].received = received;
    }

    /// Whether somebody listens where a datagram arrives. The system of a host says so if nobody does.
    fn hears_datagrams(&mut self, connection: usize) -> bool {
        let state = &self.connections[connection];
        match self.upstreams[state.upstream].script.opening {
            Opening::Accepts | Opening::DropsLargeHellos => true,
            Opening::Fails(SessionEnd::Connect(ConnectFault::Refused)) => {
                let end = SessionEnd::Connect(ConnectFault::Refused);
                self.send_down(connection, Arrival::Failed(end), Duration::ZERO);
                false
            }
            Opening::Fails(_)
            | Opening::FailsAtOnce(_)
            | Opening::AcceptsAndSendsNothing
            | Opening::Vanishes => false,
        }
    }

    fn on_query(&mut self, connection: usize, query: &[u8]) {
        let now = self.now;
        let state = &mut self.connections[connection];
        let upstream = state.upstream;
        let id = query
            .first_chunk::<2>()
            .map_or(0, |id| u16::from_be_bytes(*id));
        let question = message::question(query).to_vec();
        state.active = now;
        let before = state.unanswered.insert(id, question.clone());
        // A query over UDP that a slow network delivers late may have lost its socket, and its ID is free.
        if let Some(before) = before.filter(|_| state.link != Link::Datagrams) {
            let text = format!(
                "u{upstream} c{connection} reads ID {id:04x} for {} and again for {}",
                message::shown(&before),
                message::shown(&question)
            );
            self.record.complain(now, text);
        }
        let has_opt = query.get(10..12) == Some(&[0, 1]);
        let pads = state.link == Link::Tls;
        if pads && has_opt && !query.len().is_multiple_of(dotgate_wire::PADDING_BLOCK) {
            let text = format!("u{upstream} reads a query of {} bytes", query.len());
            self.record.complain(now, text);
        }
        let asks_routed = dotgate_wire::Question::fold(&question)
            .is_some_and(|question| question.is_at_or_below(ROUTED));
        let bystander = self.bystander.as_ref().filter(|it| it.is(upstream));
        if asks_routed && bystander.is_some_and(|it| !it.may_be_asked(&question, &self.record)) {
            let question = message::shown(&question);
            let text = format!("{question} has a route and reached the default group");
            self.record.complain(now, text);
        }
        let state = &mut self.connections[connection];
        let is_stream = state.link != Link::Datagrams;
        let is_serial = self.upstreams[upstream].script.is_serial && is_stream;
        if is_serial && std::mem::replace(&mut state.is_busy, true) {
            self.record.say(now, || {
                format!("u{upstream} c{connection} lets {id:04x} wait")
            });
            return self.connections[connection]
                .waiting
                .push_back(query.to_vec());
        }
        self.serve(connection, query);
    }

    /// A serial upstream has finished with a query of a connection and takes the next one.
    pub(crate) fn serve_next(&mut self, connection: usize) {
        let state = &mut self.connections[connection];
        state.is_busy = false;
        if state.is_ended {
            state.waiting.clear();
        }
        let is_serial = self.upstreams[state.upstream].script.is_serial;
        while let Some(query) = self.connections[connection].waiting.pop_front() {
            self.connections[connection].is_busy = is_serial;
            self.serve(connection, &query);
            if is_serial {
                return;
            }
        }
    }

    fn serve(&mut self, connection: usize, query: &[u8]) {
        let state = &self.connections[connection];
        if state.is_stalled {
            return;
        }
        let (now, upstream) = (self.now, state.upstream);
        let question = message::question(query);
        let reaction = self.choose_reaction(upstream, question);
        let time = self.upstreams[upstream].script.answer_time;
        let time = self.random.time(time);
        self.record.say(now, || {
            format!(
                "u{upstream} c{connection} reads {} ({:02x?}): {reaction:?} in {time:?}",
                message::shown(question),
                query.get(..2).unwrap_or_default()
            )
        });
        let finished = self.react(connection, query, reaction, time);
        if self.connections[connection].is_busy
            && let Some(time) = finished
        {
            self.arrange_in(time, Event::Finished(connection));
        }
    }

    fn choose_reaction(&mut self, upstream: usize, question: &[u8]) -> Reaction {
        let Network {
            upstreams, random, ..
        } = self;
        let script = &mut upstreams[upstream].script;
        let name = message::shown(&message::folded(question));
        for rule in &mut script.rules {
            let fits = rule.times != Some(0)
                && name.starts_with(&rule.name)
                && random.happens(rule.per_mille);
            if fits {
                rule.times = rule.times.map(|times| times - 1);
                return rule.reaction;
            }
        }
        script.otherwise
    }

    /// An upstream sends bytes or ends the connection.
    pub(crate) fn speak(&mut self, connection: usize, segment: Segment) {
        if segment == OPENED {
            return self.finish_handshake(connection);
        }
        let state = &mut self.connections[connection];
        if state.is_ended || (state.is_stalled && matches!(segment, Segment::Bytes(_))) {
            return;
        }
        if state.link == Link::Datagrams {
            return self.speak_datagram(connection, segment);
        }
        state.active = self.now;
        let upstream = state.upstream;
        match segment {
            Segment::Bytes(bytes) => {
                self.note_spoken(connection, &bytes);
                let segments = self.upstreams[upstream].script.segments;
                for (number, piece) in self.cut(bytes, segments).into_iter().enumerate() {
                    let gap = match (segments, number) {
                        (Segments::Whole, _) | (_, 0) => Duration::ZERO,
                        (Segments::Few | Segments::Bytes, _) => {
                            Duration::from_micros(self.random.below(20))
                        }
                    };
                    self.send_down(connection, Arrival::Bytes(piece), gap);
                }
                self.watch_idle(connection);
                self.check_answer_bound(connection);
            }
            // A connection has no datagrams.
            Segment::Datagram(..) | Segment::TlsFinished => {}
            end @ (Segment::Fin | Segment::Reset) => {
                let now = self.now;
                self.record
                    .say(now, || format!("u{upstream} c{connection} ends: {end:?}"));
                self.connections[connection].is_ended = true;
                self.send_down(connection, Arrival::End(end), Duration::ZERO);
            }
        }
    }

    /// A datagram travels on its own; there is no connection that could end.
    fn speak_datagram(&mut self, connection: usize, segment: Segment) {
        let Segment::Datagram(id, message) = segment else {
            return;
        };
        self.note_spoken(connection, &message::framed(&message));
        let upstream = self.connections[connection].upstream;
        let latency = self.upstreams[upstream].script.latency;
        let at = self.now + self.random.time(latency);
        let arrival = Arrival::Datagram(id, message);
        self.arrange(at, Event::AtWorker(connection, arrival));
    }

    fn finish_handshake(&mut self, connection: usize) {
        if !self.connections[connection].is_ended {
            self.send_down(connection, Arrival::Opened, Duration::ZERO);
            self.connections[connection].active = self.now;
            self.watch_idle(connection);
        }
    }

    /// The IDs of what an upstream has answered may be used again.
    pub(crate) fn note_spoken(&mut self, connection: usize, bytes: &[u8]) {
        let state = &mut self.connections[connection];
        let mut rest = bytes;
        while let Some((bytes, after)) = message::split_frame(rest) {
            rest = after;
            let Some(seen) = message::read(bytes).filter(|seen| seen.is_response) else {
                continue;
            };
            let is_right = |question: &Vec<u8>| {
                *question == seen.question || (seen.question.is_empty() && seen.rcode != 0)
            };
            if state.unanswered.get(&seen.id).is_some_and(is_right) {
                state.unanswered.remove(&seen.id);
                state.answers += 1;
            }
        }
    }

    /// Ends a connection on which its upstream has given as many answers as it ever does.
    pub(crate) fn check_answer_bound(&mut self, connection: usize) {
        let state = &mut self.connections[connection];
        let bound = self.upstreams[state.upstream].script.answer_bound;
        let Some(bound) = bound.filter(|bound| state.answers >= bound.answers) else {
            return;
        };
        if bound.by_reset {
            state.is_stalled = true;
            self.arrange_in(RESET_AFTER, Event::Speak(connection, Segment::Reset));
        } else {
            self.speak(connection, Segment::Fin);
        }
    }

    fn watch_idle(&mut self, connection: usize) {
        let upstream = self.connections[connection].upstream;
        if let Some(limit) = self.upstreams[upstream].script.idle_close {
            self.arrange_in(limit, Event::IdleCheck(connection));
        }
    }

    pub(crate) fn check_idle(&mut self, connection: usize) {
        let state = &self.connections[connection];
        let limit = self.upstreams[state.upstream].script.idle_close;
        let is_idle = state.unanswered.is_empty()
            && limit.is_some_and(|limit| self.now.since(state.active) >= limit);
        if is_idle && !state.is_closed && !state.is_ended {
            self.speak(connection, Segment::Fin);
        }
    }
}

/// Says that the handshake is over: no bytes are sent that are empty.
const OPENED: Segment = Segment::Bytes(Vec::new());
