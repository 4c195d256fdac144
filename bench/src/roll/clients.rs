//! The clients of a fleet: each asks from ports of its own, once, and never again.
//!
//! *Short* flows are stub resolvers: a new socket from a new address, two queries at once, closed when both are
//! answered. *Long* flows are forwarders in front: one port under steady load, then a new one after a while.
//! *Endless* ones never change their port. Every name is new, so every query goes to the upstream.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use dotgate_net::boottime_nanos;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::Error;
use crate::error::Action;
use crate::message::{self, Name, Verdict};

/// A query not answered for so long is lost; dotgate's own deadline is 4 s.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for a packet.
const TURN: Duration = Duration::from_millis(1);
/// Long flows at once.
const LONG_FLOWS: usize = 32;
/// Queries of a short flow: those for the IPv4 and the IPv6 address.
const SHORT_QUERIES: u64 = 2;
/// The seed of all names.
const SEED: u32 = 77;

/// What clients do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asking {
    /// Queries in all, at least.
    pub queries: u64,
    /// Queries per second.
    pub rate: u32,
    /// How long a long flow keeps its port.
    pub connection_lifetime: Duration,
    /// How many flows never change it; a quarter of the queries is theirs if there are any.
    pub endless: u32,
}

/// How long a flow keeps its port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// For two queries.
    Short,
    /// For a while.
    Long,
    /// Without end.
    Endless,
}

impl Kind {
    /// All of them, in the order of [`Outcome`].
    pub const ALL: [Kind; 3] = [Kind::Short, Kind::Long, Kind::Endless];
}

/// What came of the queries of one kind of flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Queries sent.
    pub sent: u64,
    /// Those with an answer.
    pub answered: u64,
    /// Those with SERVFAIL or anything else.
    pub failed: u64,
    /// Those without a response.
    pub lost: u64,
}

/// What came of all queries, by the kind of their flow.
pub type Outcome = [Counts; 3];

struct Flow {
    kind: Kind,
    socket: UdpSocket,
    opened_at: u64,
    /// Numbers of the queries without a response, each with its message ID in the lower bits.
    waiting: Vec<u64>,
    /// Nothing more is asked: it closes with its last response.
    is_over: bool,
}

/// The clients while they ask.
pub(super) struct Clients {
    asking: Asking,
    target: SocketAddr,
    poll: Poll,
    /// By token.
    flows: Vec<Option<Flow>>,
    free: Vec<usize>,
    /// Flows that are kept, in turn.
    long: VecDeque<usize>,
    endless: VecDeque<usize>,
    opened: u32,
    sent: u64,
    /// Time, flow and number of each query, to find what is lost.
    history: VecDeque<(u64, usize, u64)>,
    outcome: Outcome,
}

impl Clients {
    pub(super) fn new(asking: Asking, target: SocketAddr) -> Result<Clients, Error> {
        Ok(Clients {
            asking,
            target,
            poll: Poll::new().to("make a poll")?,
            flows: Vec::new(),
            free: Vec::new(),
            long: VecDeque::new(),
            endless: VecDeque::new(),
            opened: 0,
            sent: 0,
            history: VecDeque::new(),
            outcome: Outcome::default(),
        })
    }

    /// Asks until all queries are sent and `goes_on` says no, then waits for the last response or its timeout.
    pub(super) fn run(mut self, goes_on: impl Fn() -> bool) -> Result<Outcome, Error> {
        let mut events = Events::with_capacity(1024);
        let start = boottime_nanos();
        loop {
            let now = boottime_nanos();
            let due = u128::from(now - start) * u128::from(self.asking.rate) / 1_000_000_000;
            let is_asking = self.sent < self.asking.queries || goes_on();
            while is_asking && u128::from(self.sent) < due {
                self.ask(now)?;
            }
            self.give_up(now);
            if !is_asking && self.history.is_empty() {
                return Ok(self.outcome);
            }
            match self.poll.poll(&mut events, Some(TURN)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled.to("poll")?,
            }
            for event in &events {
                self.receive(event.token().0);
            }
        }
    }

    /// Sends the next queries: half of all from short flows.
    fn ask(&mut self, now: u64) -> Result<(), Error> {
        match self.sent % 4 {
            0 => {
                let slot = self.open(Kind::Short, now)?;
                for _ in 0..SHORT_QUERIES {
                    self.send(slot, now);
                }
                self.close_after(slot);
            }
            3 if self.asking.endless > 0 => {
                if self.endless.len() < self.asking.endless as usize {
                    let slot = self.open(Kind::Endless, now)?;
                    self.endless.push_back(slot);
                }
                self.endless.rotate_left(1);
                if let Some(slot) = self.endless.front().copied() {
                    self.send(slot, now);
                }
            }
            _ => {
                let slot = self.long_flow(now)?;
                self.send(slot, now);
            }
        }
        Ok(())
    }

    /// The long flow whose turn it is, or a new one in its place.
    fn long_flow(&mut self, now: u64) -> Result<usize, Error> {
        let lifetime = self.asking.connection_lifetime.as_nanos() as u64;
        let next = (self.long.len() == LONG_FLOWS)
            .then(|| self.long.pop_front())
            .flatten();
        let is_young = |flow: &Flow| now - flow.opened_at < lifetime;
        let slot = match next {
            Some(slot) if self.flows[slot].as_ref().is_some_and(is_young) => slot,
            Some(old) => {
                self.close_after(old);
                self.open(Kind::Long, now)?
            }
            None => self.open(Kind::Long, now)?,
        };
        self.long.push_back(slot);
        Ok(slot)
    }

    /// A socket with a client address that no flow had before: 127.64.0.0 and up.
    fn open(&mut self, kind: Kind, now: u64) -> Result<usize, Error> {
        self.opened += 1;
        let [_, high, middle, low] = self.opened.to_be_bytes();
        let address = Ipv4Addr::new(127, 64 | high & 63, middle, low);
        let mut socket = UdpSocket::bind((address, 0).into()).to("bind a client")?;
        socket.connect(self.target).to("connect a client")?;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.flows.push(None);
            self.flows.len() - 1
        });
        self.poll
            .registry()
            .register(&mut socket, Token(slot), Interest::READABLE)
            .to("poll a client")?;
        self.flows[slot] = Some(Flow {
            kind,
            socket,
            opened_at: now,
            waiting: Vec::new(),
            is_over: false,
        });
        Ok(slot)
    }

    fn send(&mut self, slot: usize, now: u64) {
        let Some(flow) = self.flows[slot].as_mut() else {
            return;
        };
        let number = self.sent;
        let name = Name {
            seed: SEED,
            socket: 0,
            number,
        };
        // One that the kernel does not take is lost.
        drop(flow.socket.send(&message::query(number as u16, name)));
        flow.waiting.push(number);
        self.history.push_back((now, slot, number));
        self.outcome[flow.kind as usize].sent += 1;
        self.sent += 1;
    }

    fn receive(&mut self, slot: usize) {
        let mut buffer = [0; 512];
        while let Some(flow) = self.flows[slot].as_mut() {
            let response = match flow.socket.recv(&mut buffer) {
                Ok(length) => message::response(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Refused, a while ago: nobody listened.
                Err(_) => None,
            };
            let Some(response) = response else { continue };
            let number = response.name.number;
            let is_right = response.name.seed == SEED && response.id == number as u16;
            let place = flow.waiting.iter().position(|waiting| *waiting == number);
            let Some(place) = place.filter(|_| is_right) else {
                continue;
            };
            flow.waiting.swap_remove(place);
            let counts = &mut self.outcome[flow.kind as usize];
            match response.verdict {
                Verdict::Answered => counts.answered += 1,
                Verdict::ServerFailure | Verdict::Other => counts.failed += 1,
            }
            self.close_if_over(slot);
        }
    }

    /// Counts as lost what has waited too long, and drops from the history what was answered.
    fn give_up(&mut self, now: u64) {
        while let Some((sent_at, slot, number)) = self.history.front().copied() {
            let flow = self.flows[slot].as_mut();
            let waiting = flow.and_then(|flow| {
                let place = flow.waiting.iter().position(|waiting| *waiting == number)?;
                Some((flow, place))
            });
            if let Some((flow, place)) = waiting {
                if now - sent_at < TIMEOUT.as_nanos() as u64 {
                    return;
                }
                flow.waiting.swap_remove(place);
                self.outcome[flow.kind as usize].lost += 1;
            }
            self.history.pop_front();
            self.close_if_over(slot);
        }
    }

    fn close_after(&mut self, slot: usize) {
        if let Some(flow) = self.flows[slot].as_mut() {
            flow.is_over = true;
        }
        self.close_if_over(slot);
    }

    /// Closing the socket also ends its registration.
    fn close_if_over(&mut self, slot: usize) {
        let is_over = |flow: &Flow| flow.is_over && flow.waiting.is_empty();
        if self.flows[slot].as_ref().is_some_and(is_over) {
            self.flows[slot] = None;
            self.free.push(slot);
        }
    }
}
