//! What happened in a simulation, as a model or a scenario asks for it afterwards, and its log.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dotgate_core::{Event, Moment};

use crate::message::{self, Seen};

/// Everything that was seen from outside the engines.
#[derive(Debug, Default)]
pub struct Record {
    /// Queries of clients, in the order sent.
    pub queries: Vec<ClientQuery>,
    /// Responses to clients, in the order made.
    pub responses: Vec<ClientResponse>,
    /// Questions that left for an upstream, in the order sent.
    pub attempts: Vec<Attempt>,
    /// What is known of each upstream from the engines' side.
    pub upstreams: Vec<UpstreamRecord>,
    /// What engines had to say, and the worker each is of.
    pub events: Vec<(Moment, usize, Event)>,
    /// Rules that were broken. A good run leaves none.
    pub violations: Vec<String>,
    log: Option<Vec<String>>,
    open: BTreeMap<(Path, u16), usize>,
}

/// Where a client's query came from and its response goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Path {
    /// A UDP socket.
    Udp {
        /// The worker it reaches.
        worker: usize,
        /// The client.
        peer: SocketAddr,
    },
    /// A TCP connection, by its number.
    Tcp(usize),
}

/// One query of a client.
#[derive(Clone, Debug)]
pub struct ClientQuery {
    /// The client's path.
    pub path: Path,
    /// The worker it reaches.
    pub worker: usize,
    /// The message.
    pub message: Vec<u8>,
    /// When the client sent it.
    pub sent: Moment,
    /// When the engine took it.
    pub given: Option<Moment>,
    /// Queries in flight in the engine at that moment.
    pub in_flight_before: usize,
    /// Queries of the same path that had no response then: too many of them wait unread.
    pub ahead: usize,
    /// The place of its response in [`Record::responses`].
    pub response: Option<usize>,
    /// Whether its client left before the response.
    pub is_abandoned: bool,
    /// Whether an upstream sent it: it is one of dotgate's own.
    pub is_sent_back: bool,
}

/// One response to a client.
#[derive(Clone, Debug)]
pub struct ClientResponse {
    /// When it left the engine.
    pub at: Moment,
    /// The query it answers.
    pub query: usize,
    /// What the client reads in it.
    pub seen: Seen,
}

/// One question on its way to an upstream.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When its last byte left the worker.
    pub at: Moment,
    /// The worker that asks.
    pub worker: usize,
    /// The upstream asked.
    pub upstream: usize,
    /// The connection.
    pub connection: usize,
    /// The question, in lower case.
    pub question: Vec<u8>,
    /// The same as it was sent, in its name case.
    pub sent_as: Vec<u8>,
    /// Its CD and DO bits.
    pub variant: (bool, bool),
    /// Whether it has an OPT record.
    pub has_opt: bool,
    /// Whether it is a probe: a question asked again to test whether an upstream responds.
    pub is_probe: bool,
    /// Its response, once it has reached the engine.
    pub answered: Option<Answered>,
    /// When its connection ended for the engine without a response.
    pub lost: Option<Moment>,
}

/// How a probe is distinguished from the question of a client.
#[derive(Clone, Copy)]
enum ProbeKind {
    Root,
    AskedBefore,
    First,
}

/// A right response to an attempt, an error perhaps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answered {
    /// When it reached the engine.
    pub at: Moment,
    /// Its RCODE.
    pub rcode: u8,
    /// Its INFO-CODE.
    pub ede: Option<u16>,
    /// Its TC bit.
    pub is_truncated: bool,
    /// The lowest TTL of its records.
    pub ttl: Option<u32>,
    /// The first four bytes of the first data of the type asked for.
    pub data: Option<u32>,
}

/// What is known of an upstream from the engines' side.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpstreamRecord {
    /// Since when it may count as unhealthy: the first opening, question or failure after its last right response.
    pub troubled_since: Option<Moment>,
    /// Whether the last failure was one that time does not cure.
    pub is_lasting: bool,
    /// Whether the last opening was refused.
    pub is_refusing: bool,
    /// Connections that were begun.
    pub started: u32,
    /// Connections that became open.
    pub opened: u32,
    /// Right responses, errors not counted.
    pub responses: u64,
}

impl Record {
    pub(crate) fn new(upstreams: usize, with_log: bool) -> Record {
        Record {
            upstreams: vec![UpstreamRecord::default(); upstreams],
            log: with_log.then(Vec::new),
            ..Record::default()
        }
    }

    /// Adds a line to the log, if one is kept.
    pub fn say(&mut self, now: Moment, text: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{} {}", shown(now), text()));
        }
    }

    /// Notes that a rule was broken.
    pub fn complain(&mut self, now: Moment, text: String) {
        self.say(now, || format!("BROKEN RULE: {text}"));
        self.violations.push(format!("{} {text}", shown(now)));
    }

    /// The log, if one was kept.
    pub fn log(&self) -> &[String] {
        self.log.as_deref().unwrap_or_default()
    }

    pub(crate) fn add_query(&mut self, now: Moment, path: Path, worker: usize, message: Vec<u8>) {
        self.say(now, || {
            format!(
                "{} asks {} (query {})",
                shown_path(path),
                message::shown(message::question(&message)),
                self_number(&message)
            )
        });
        self.queries.push(ClientQuery {
            path,
            worker,
            message,
            sent: now,
            given: None,
            in_flight_before: 0,
            ahead: 0,
            response: None,
            is_abandoned: false,
            is_sent_back: false,
        });
    }

    /// Of the attempts from `first` on, which one turn of a worker made, so many were probes: those that ask for the
    /// servers of the root come first, then the first ones of a connection that ask what was asked before.
    pub(crate) fn note_probes(&mut self, first: usize, probes: usize) {
        if probes == 0 {
            return;
        }
        let mut left = probes;
        for kind in [ProbeKind::Root, ProbeKind::AskedBefore, ProbeKind::First] {
            for place in first..self.attempts.len() {
                let (before, made) = self.attempts.split_at(first);
                let attempt = &self.attempts[place];
                let same = |other: &Attempt| other.connection == attempt.connection;
                let is_first = !made[..place - first].iter().any(same);
                let is_known = before.iter().chain(&made[..place - first]).any(|other| {
                    other.worker == attempt.worker && other.question == attempt.question
                });
                let may_be = match kind {
                    ProbeKind::Root => attempt.question == message::ROOT_SERVERS,
                    ProbeKind::AskedBefore => is_first && is_known,
                    ProbeKind::First => is_first,
                };
                if left > 0 && may_be && !attempt.is_probe {
                    self.attempts[place].is_probe = true;
                    left -= 1;
                }
            }
        }
    }

    pub(crate) fn give(&mut self, now: Moment, number: usize, in_flight_before: usize) {
        if let Some(query) = self.queries.get_mut(number) {
            query.given = Some(now);
            query.in_flight_before = in_flight_before;
            let open = self.open.range((query.path, 0)..=(query.path, u16::MAX));
            query.ahead = open.count();
            if let Some(id) = query.message.first_chunk::<2>() {
                self.open
                    .insert((query.path, u16::from_be_bytes(*id)), number);
            }
        }
    }

    /// A client of this path left, or was left: its open queries need no response.
    pub(crate) fn abandon(&mut self, path: Path) {
        let range = (path, 0)..=(path, u16::MAX);
        let numbers: Vec<usize> = self.open.range(range).map(|(_, number)| *number).collect();
        for number in numbers {
            if let Some(query) = self.queries.get_mut(number) {
                query.is_abandoned = true;
            }
        }
        self.open.retain(|(of, _), _| *of != path);
    }

    /// Whether some query of this path waits for its response.
    pub(crate) fn waits(&self, path: Path) -> bool {
        self.open
            .range((path, 0)..=(path, u16::MAX))
            .next()
            .is_some()
    }

    /// A response leaves a worker. From then on that a client has sent what is no message, what it gets may
    /// answer anything.
    pub(crate) fn on_response(&mut self, now: Moment, path: Path, bytes: &[u8], is_mangled: bool) {
        let Some(seen) = message::read(bytes) else {
            let text = format!("malformed response to {}: {bytes:x?}", shown_path(path));
            return self.complain(now, text);
        };
        self.say(now, || {
            format!(
                "{} gets {} rcode {}{} {:?} TTL {:?} (query {})",
                shown_path(path),
                message::shown(&seen.question),
                seen.rcode,
                if seen.is_truncated { " TC" } else { "" },
                seen.edes,
                seen.ttl,
                seen.id,
            )
        });
        let Some(number) = self.open.remove(&(path, seen.id)) else {
            if is_mangled {
                return;
            }
            let text = format!("{} gets a response it waits not for", shown_path(path));
            return self.complain(now, text);
        };
        let response = self.responses.len();
        let query = &mut self.queries[number];
        query.response = Some(response);
        let asked = message::question(&query.message);
        if !seen.is_response || (!asked.is_empty() && seen.question != asked) {
            let text = format!(
                "{} asked {} and gets {}",
                shown_path(path),
                message::shown(asked),
                message::shown(&seen.question)
            );
            self.complain(now, text);
        }
        self.responses.push(ClientResponse {
            at: now,
            query: number,
            seen,
        });
    }
}

fn self_number(message: &[u8]) -> u16 {
    message
        .first_chunk::<2>()
        .map_or(0, |id| u16::from_be_bytes(*id))
}

/// A moment in seconds since the beginning of a simulation.
pub fn shown(now: Moment) -> String {
    let micros = now.since(BEGINNING).as_micros();
    format!("{:>4}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// When every simulation begins.
pub const BEGINNING: Moment = Moment::from_nanos(1_000_000_000_000);

pub(crate) fn shown_path(path: Path) -> String {
    match path {
        Path::Udp { worker, peer } => format!("w{worker} udp {peer}"),
        Path::Tcp(stream) => format!("tcp {stream}"),
    }
}
