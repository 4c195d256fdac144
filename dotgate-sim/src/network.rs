//! Everything between and beyond the workers: what travels, what upstreams have read, what clients hold.
//!
//! Holds no engine. Time moves only from one event to the next; what happens at the same moment happens in
//! the order in which it was arranged.

mod clients; // over TCP
mod connections; // between workers and upstreams
mod upstreams;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use dotgate_core::{FlightMessage, Moment};

use crate::bystander::Bystander;
use crate::client::Stream;
use crate::connection::Connection;
use crate::event::{Arrival, Event, Segment};
use crate::random::Random;
use crate::record::Record;
use crate::script::Segments;
use crate::upstream::Upstream;

/// What waits for a worker in addition to its connections.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Queries that the worker had in flight after its last turn.
    pub(crate) in_flight: usize,
    pub(crate) datagrams: VecDeque<usize>,
    pub(crate) streams: VecDeque<usize>,
    /// From other workers of the same process.
    pub(crate) messages: Vec<FlightMessage>,
}

#[derive(Debug)]
struct Timed {
    at: Moment,
    number: u64,
    event: Event,
}

impl PartialEq for Timed {
    fn eq(&self, other: &Timed) -> bool {
        self.number == other.number
    }
}

impl Eq for Timed {}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Timed) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timed {
    fn cmp(&self, other: &Timed) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

pub(crate) struct Network {
    pub(crate) now: Moment,
    queue: BinaryHeap<Reverse<Timed>>,
    arranged: u64,
    pub(crate) random: Random,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) inboxes: Vec<Inbox>,
    /// Whether the system has descriptors left for connections to upstreams.
    pub(crate) has_descriptors: bool,
    /// Workers that something has arrived for.
    pub(crate) woken: Vec<usize>,
    pub(crate) record: Record,
    /// The upstream that must not be asked a routed name.
    pub(crate) bystander: Option<Bystander>,
}

impl Network {
    pub(crate) fn new(
        now: Moment,
        random: Random,
        upstreams: Vec<Upstream>,
        workers: usize,
        record: Record,
    ) -> Network {
        Network {
            now,
            queue: BinaryHeap::new(),
            arranged: 0,
            random,
            upstreams,
            connections: Vec::new(),
            streams: Vec::new(),
            inboxes: (0..workers).map(|_| Inbox::default()).collect(),
            has_descriptors: true,
            woken: Vec::new(),
            record,
            bystander: None,
        }
    }

    /// Puts a flight message into another worker's mailbox, which wakes it.
    pub(crate) fn send_flight_message(&mut self, to: usize, message: FlightMessage) {
        self.inboxes[to].messages.push(message);
        self.woken.push(to);
    }

    pub(crate) fn arrange(&mut self, at: Moment, event: Event) {
        self.arranged += 1;
        self.queue.push(Reverse(Timed {
            at,
            number: self.arranged,
            event,
        }));
    }

    pub(crate) fn arrange_in(&mut self, span: Duration, event: Event) {
        self.arrange(self.now + span, event);
    }

    pub(crate) fn next_event(&self) -> Option<Moment> {
        self.queue.peek().map(|Reverse(timed)| timed.at)
    }

    /// Lets the next event happen.
    pub(crate) fn step(&mut self) {
        let Some(Reverse(timed)) = self.queue.pop() else {
            return;
        };
        self.now = self.now.max(timed.at);
        match timed.event {
            Event::AtUpstream(..)
            | Event::AtWorker(..)
            | Event::Speak(..)
            | Event::Finished(..)
            | Event::IdleCheck(..) => {
                if let Some(event) = self.put_off(timed.event) {
                    self.happen(event);
                }
            }
            Event::ConnectAgain(connection, hello, pause) => {
                if !self.connections[connection].is_closed {
                    self.connect(connection, hello, pause * 2);
                }
            }
            Event::Reached(upstream) => self.resume(upstream),
            Event::Datagram(number) => {
                let worker = self.record.queries[number].worker;
                self.inboxes[worker].datagrams.push_back(number);
                self.woken.push(worker);
            }
            Event::StreamOpens(stream) => {
                let worker = self.streams[stream].worker;
                self.inboxes[worker].streams.push_back(stream);
                self.woken.push(worker);
            }
            Event::StreamAtWorker(stream, segment) => self.stream_at_worker(stream, segment),
            Event::StreamAtClient(stream, segment) => self.stream_at_client(stream, segment),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::AtUpstream(connection, segment) => self.at_upstream(connection, segment),
            Event::AtWorker(connection, arrival) => self.at_worker(connection, arrival),
            Event::Speak(connection, segment) => self.speak(connection, segment),
            Event::Finished(connection) => self.serve_next(connection),
            Event::IdleCheck(connection) => self.check_idle(connection),
            Event::ConnectAgain(..)
            | Event::Reached(_)
            | Event::Datagram(_)
            | Event::StreamOpens(_)
            | Event::StreamAtWorker(..)
            | Event::StreamAtClient(..) => {}
        }
    }

    fn at_worker(&mut self, connection: usize, arrival: Arrival) {
        let state = &mut self.connections[connection];
        if state.is_closed || state.is_swallowed {
            return;
        }
        if arrival == Arrival::End(Segment::Reset) && self.random.happens(500) {
            // A reset discards what was received and not read.
            state
                .arrived
                .retain(|arrival| !matches!(arrival, Arrival::Bytes(_)));
        }
        state.arrived.push_back(arrival);
        self.woken.push(state.worker);
    }

    /// Cuts bytes as the script wants it.
    pub(crate) fn cut(&mut self, bytes: Vec<u8>, segments: Segments) -> Vec<Vec<u8>> {
        let pieces = match segments {
            Segments::Whole => return vec![bytes],
            Segments::Few => self.random.between(1, 4) as usize,
            Segments::Bytes => bytes.len().min(300),
        };
        let mut cuts: Vec<usize> = match bytes.len() <= pieces {
            true => (1..bytes.len()).collect(),
            false => (1..pieces)
                .map(|_| self.random.index(bytes.len()))
                .collect(),
        };
        cuts.sort_unstable();
        cuts.dedup();
        let mut rest = bytes;
        let mut cut = Vec::new();
        for at in cuts.into_iter().rev() {
            let tail = rest.split_off(at);
            if !tail.is_empty() {
                cut.push(tail);
            }
        }
        cut.push(rest);
        cut.reverse();
        cut
    }
}
