//! What clients do in a random world.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use dotgate_core::StreamKind;

use crate::message::{self, QueryForm};
use crate::model::{Expected, Model};
use crate::random::Random;
use crate::script::Segments;
use crate::simulator::Simulator;

use super::harm;

/// One thing a client does. Connections have numbers of the load's own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Asks by UDP, so many questions at once.
    Ask { worker: usize, questions: u64 },
    /// Asks a harmful question by UDP.
    AskHarmful { worker: usize, number: usize },
    /// Connects by TCP.
    Connect { worker: usize },
    /// Asks so many questions on a connection.
    AskOn { connection: usize, questions: u64 },
    /// Sends half a query.
    SendHalf { connection: usize },
    /// Sends bytes that are no query.
    SendJunk { connection: usize },
    /// Reads no more, or again.
    Read { connection: usize, reads: bool },
    /// Has sent its last byte.
    Finish { connection: usize },
    /// Goes away at once.
    Leave { connection: usize },
}

/// All that clients do, and when.
pub(super) fn acts(random: &mut Random, span: Duration, workers: usize) -> Vec<(Duration, Act)> {
    let micros = span.as_micros() as u64;
    let mut acts = Vec::new();
    for _ in 0..random.between(5, 80) {
        let questions = match random.below(20) {
            0 => random.between(5, 60),
            1..=4 => random.between(2, 4),
            _ => 1,
        };
        let worker = random.index(workers);
        let at = Duration::from_micros(random.below(micros));
        acts.push((at, Act::Ask { worker, questions }));
    }
    // A busy stretch, so that much is in flight when something happens.
    if random.happens(500) {
        let worker = random.index(workers);
        let from = random.below(micros);
        let step = random.pick([1_000, 10_000, 40_000]);
        let most = random.pick([100, 100, 100, 600]);
        for number in 0..random.between(10, most) {
            let at = Duration::from_micros(from + number * step);
            let questions = 1;
            acts.push((at, Act::Ask { worker, questions }));
        }
    }
    for connection in 0..random.pick([0, 0, 1, 3, 6]) {
        let worker = random.index(workers);
        let mut at = random.below(micros);
        acts.push((Duration::from_micros(at), Act::Connect { worker }));
        let connection = connection as usize;
        for _ in 0..random.between(0, 5) {
            at += random.pick([10, 1_000, 30_000, 1_000_000, 11_000_000]);
            let act = act_on(random, connection);
            acts.push((Duration::from_micros(at), act));
        }
    }
    // Connections are numbered in the order in which they come.
    acts.sort_by_key(|(at, _)| *at);
    acts.retain(|(at, _)| *at < span);
    acts
}

fn act_on(random: &mut Random, connection: usize) -> Act {
    match random.below(20) {
        0 => Act::SendHalf { connection },
        1 => Act::SendJunk { connection },
        2 => Act::Read {
            connection,
            reads: false,
        },
        3 => Act::Read {
            connection,
            reads: true,
        },
        4 => Act::Leave { connection },
        5 | 6 => Act::Finish { connection },
        7 => Act::AskOn {
            connection,
            questions: random.between(20, 120),
        },
        _ => Act::AskOn {
            connection,
            questions: random.between(1, 6),
        },
    }
}

/// What clients remember.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// Whether most of what is asked was asked before.
    asks_again: bool,
    asked: u64,
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    number: usize,
    has_finished: bool,
}

/// A query and what should become of it.
struct Question {
    message: Vec<u8>,
    expected: Expected,
}

impl Clients {
    pub(super) fn new(asks_again: bool) -> Clients {
        Clients {
            asks_again,
            ..Clients::default()
        }
    }

    pub(super) fn play(
        &mut self,
        act: Act,
        sim: &mut Simulator,
        model: &mut Model,
        random: &mut Random,
    ) {
        match act {
            Act::Ask { worker, questions } => {
                for _ in 0..questions {
                    self.ask(sim, model, random, worker);
                }
            }
            Act::AskHarmful { worker, number } => {
                let query = message::query(self.next_id(), &harm::name(number), &PLAIN);
                sim.ask(worker, self.peer(friend(random)), query);
            }
            Act::Connect { worker } => {
                let number = sim.open_stream(worker, friend(random), StreamKind::Tcp);
                self.streams.push(Stream {
                    number,
                    has_finished: false,
                });
            }
            Act::AskOn {
                connection,
                questions,
            } => {
                for _ in 0..questions {
                    self.ask_on(sim, model, random, connection);
                }
            }
            Act::SendHalf { connection } => {
                let half = message::framed(&message::query(1, "half.example", &PLAIN));
                self.send(sim, connection, half[..half.len() / 2].to_vec());
            }
            Act::SendJunk { connection } => {
                let junk = random.pick([vec![0, 0, 0, 0], vec![0, 3, 1, 2, 3], vec![0; 40]]);
                self.send(sim, connection, junk);
            }
            Act::Read { connection, reads } => {
                if let Some(stream) = self.streams.get(connection) {
                    sim.read_on(stream.number, reads);
                }
            }
            Act::Finish { connection } => {
                if let Some(stream) = self.open_stream(connection) {
                    stream.has_finished = true;
                    sim.end_stream(stream.number);
                }
            }
            Act::Leave { connection } => {
                if let Some(stream) = self.open_stream(connection) {
                    stream.has_finished = true;
                    sim.reset_stream(stream.number);
                }
            }
        }
    }

    fn open_stream(&mut self, connection: usize) -> Option<&mut Stream> {
        self.streams
            .get_mut(connection)
            .filter(|stream| !stream.has_finished)
    }

    fn send(&mut self, sim: &mut Simulator, connection: usize, bytes: Vec<u8>) {
        if let Some(stream) = self.open_stream(connection) {
            sim.send_on(stream.number, bytes);
        }
    }

    fn ask(&mut self, sim: &mut Simulator, model: &mut Model, random: &mut Random, worker: usize) {
        let question = self.question(random);
        let is_stranger = random.happens(10);
        let ip = match is_stranger {
            true => IpAddr::from([203, 0, 113, 5]),
            false => friend(random),
        };
        let number = sim.ask(worker, self.peer(ip), question.message);
        let expected = match question.expected {
            Expected::Forwarded | Expected::AtOnce(_) if is_stranger => Expected::AtOnce(5),
            expected => expected,
        };
        model.expect(number, expected);
    }

    fn ask_on(
        &mut self,
        sim: &mut Simulator,
        model: &mut Model,
        random: &mut Random,
        connection: usize,
    ) {
        let question = self.question(random);
        let segments = random.pick([Segments::Whole, Segments::Whole, Segments::Few]);
        let Some(stream) = self.open_stream(connection) else {
            return;
        };
        // A message that deserves no response ends a connection.
        if question.expected == Expected::NoResponse {
            return sim.send_on(stream.number, message::framed(&question.message));
        }
        let number = sim.ask_on(stream.number, question.message, segments);
        model.expect(number, question.expected);
    }

    /// One last plain query to a worker. Returns its number.
    pub(super) fn ask_at_last(&mut self, sim: &mut Simulator, worker: usize) -> usize {
        let name = format!("last{worker}.example");
        let query = message::query(self.next_id(), &name, &PLAIN);
        sim.ask(
            worker,
            self.peer(IpAddr::from([192, 0, 2, 200 + worker as u8])),
            query,
        )
    }

    /// All connections end.
    pub(super) fn leave(&mut self, sim: &mut Simulator) {
        for stream in &mut self.streams {
            if !std::mem::replace(&mut stream.has_finished, true) {
                sim.reset_stream(stream.number);
            }
        }
    }

    /// Every query by UDP comes from a port of its own.
    fn peer(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, 1_024 + (self.asked % 60_000) as u16)
    }

    fn next_id(&mut self) -> u16 {
        self.asked += 1;
        (self.asked as u16).wrapping_mul(40_503)
    }

    fn question(&mut self, random: &mut Random) -> Question {
        let id = self.next_id();
        let number = self.asked;
        let mut form = form(random);
        let (name, expected) = match random.below(100) {
            0..=4 => return odd(random, id),
            5..=79 if self.asks_again => {
                form.qtype = random.pick([message::A, message::A, message::A, message::PRIVATE]);
                (popular(random), Expected::Forwarded)
            }
            5..=14 => {
                // The form is part of what is shared.
                form = PLAIN;
                (
                    format!("shared{}.example", random.below(3)),
                    Expected::Forwarded,
                )
            }
            15..=18 => (
                format!("{}{number}.example", message::HUGE),
                Expected::Forwarded,
            ),
            19..=24 => (
                format!("{}{number}.example", message::NO_SUCH_NAME),
                Expected::Forwarded,
            ),
            _ => (format!("q{number}.example"), Expected::Forwarded),
        };
        let message = message::query(id, &in_random_case(random, &name), &form);
        Question { message, expected }
    }
}

const PLAIN: QueryForm = QueryForm {
    qtype: message::A,
    qclass: 1,
    edns: None,
    dnssec_ok: false,
    checking_disabled: false,
    recursion_desired: true,
    opcode: 0,
};

fn form(random: &mut Random) -> QueryForm {
    QueryForm {
        qtype: random.pick([message::A, message::A, message::PRIVATE]),
        edns: random.pick([None, Some(0), Some(512), Some(1_232), Some(4_096)]),
        dnssec_ok: random.happens(300),
        checking_disabled: random.happens(100),
        ..PLAIN
    }
}

/// One of the names that many ask for, the first ones most.
fn popular(random: &mut Random) -> String {
    let names = random.pick([2, 6, 20]);
    let number = random.below(names);
    let kind = random.pick([
        "kept",
        "kept",
        message::FLEETING,
        message::NO_SUCH_NAME,
        message::NO_DATA,
    ]);
    format!("{kind}{number}.example")
}

/// Queries that are answered here, or not at all.
fn odd(random: &mut Random, id: u16) -> Question {
    let query = |name: &str, form: QueryForm| message::query(id, name, &form);
    let of_type = |qtype: u16| QueryForm { qtype, ..PLAIN };
    let (message, expected) = match random.below(8) {
        0 => (query("zone.example", of_type(252)), Expected::AtOnce(5)),
        1 => (query("opt.example", of_type(41)), Expected::AtOnce(1)),
        2 => {
            let form = QueryForm { qclass: 3, ..PLAIN };
            (query("version.bind", form), Expected::AtOnce(5))
        }
        3 => {
            let form = QueryForm {
                recursion_desired: false,
                ..PLAIN
            };
            (query("snoop.example", form), Expected::AtOnce(5))
        }
        4 => (query("x.invalid", PLAIN), Expected::AtOnce(3)),
        5 => {
            let mut update = query("update.example", PLAIN);
            update[2] |= 5 << 3;
            (update, Expected::AtOnce(4))
        }
        6 => {
            let mut response = query("loop.example", PLAIN);
            response[2] |= 0x80;
            (response, Expected::NoResponse)
        }
        _ => (id.to_be_bytes().to_vec(), Expected::NoResponse),
    };
    Question { message, expected }
}

fn friend(random: &mut Random) -> IpAddr {
    match random.happens(200) {
        true => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1)),
        false => IpAddr::from([192, 0, 2, random.between(1, 6) as u8]),
    }
}

fn in_random_case(random: &mut Random, name: &str) -> String {
    let mut turn = |letter: char| match random.happens(300) {
        true => letter.to_ascii_uppercase(),
        false => letter,
    };
    name.chars().map(&mut turn).collect()
}
