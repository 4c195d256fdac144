//! What must hold for every sequence of inputs to engines, however hostile or out of step.
//!
//! [`check_engine`] and [`check_session`] take any bytes as a list of operations: clients that ask by UDP and
//! TCP, well and badly; upstreams that accept, answer right, wrong, cut or not at all, and end sessions in every
//! way; time that passes, at the engines' deadlines or past them; other settings. After each, and at the end when everybody has
//! fallen silent, `worker` checks what the engines promise:
//! - no panic; after `on_timeout` the next deadline lies ahead; no turn and no wait runs in circles;
//! - every query that was taken gets exactly one response, for its own question, by its deadline;
//! - nothing leaves before a session is open; no message ID is in use twice; keys are known and never return;
//! - all limits hold; idle engines hold nothing, give their whole room again, and answer again.
//!
//! The tests in `it` feed both with random bytes and the kept inputs of `corpus`; the targets in `fuzz` with
//! whatever a fuzzer finds.

mod counted;
mod message;
mod operations;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dotgate_core::{
    Access, Count, Moment, SessionKey, Settings, Shared, StreamKey, UpstreamId, UpstreamSettings,
    WorkerId,
};

use message::{Ask, Form};
use worker::{Phase, Worker};

/// Deadlines between two operations beyond which time is thought to stand still.
const TURNS: usize = 20_000;

/// Any operations on up to two engines that share their upstreams' health.
pub(crate) fn check_engine(input: &[u8]) {
    let mut world = World::new(input);
    while let Some(operation) = world.bytes.next() {
        world.operate(operation);
    }
    world.end();
}

/// The same on one engine with one upstream, whose session is open from the start.
pub(crate) fn check_session(input: &[u8]) {
    let mut world = World::with_one_session(input);
    while let Some(operation) = world.bytes.next() {
        world.operate_session(operation);
    }
    world.end();
}

/// The bytes of an input; zeros where they are used up within an operation.
struct Bytes<'i>(&'i [u8]);

impl<'i> Bytes<'i> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    fn several(&mut self, length: usize) -> &'i [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

struct World<'i> {
    bytes: Bytes<'i>,
    now: Moment,
    workers: Vec<Worker>,
    /// The worker of the present operation.
    worker: usize,
    settings: Arc<Settings>,
    /// An ID that no upstream has had.
    next_upstream: UpstreamId,
    next_id: u16,
    next_name: u16,
    /// Queries that bursts may still make.
    burst_room: usize,
}

fn upstream(id: UpstreamId) -> UpstreamSettings {
    UpstreamSettings {
        is_authenticated: id == UpstreamId(0),
        ..UpstreamSettings::new(id, &format!("u{}", id.0))
    }
}

fn settings(upstreams: u8, is_small: bool) -> Settings {
    let limit = |small, large| if is_small { small } else { large };
    Settings {
        access: Access::of(
            ["192.0.2.0/24", "2001:db8::/32"].map(|prefix| prefix.parse().expect("a prefix")),
        ),
        queries_max: limit(6, 20_000),
        queries_per_client_max: limit(4, 5_000),
        streams_max: limit(4, 100),
        streams_per_client_max: limit(2, 25),
        stream_queries_max: limit(2, 100),
        ..Settings::for_upstreams((0..upstreams).map(UpstreamId).map(upstream).collect())
    }
}

impl World<'_> {
    fn new(input: &[u8]) -> World<'_> {
        let mut bytes = Bytes(input);
        let shape = bytes.byte();
        let upstreams = 1 + (shape & 3) % 3;
        let workers = 1 + usize::from(shape >> 2 & 1);
        World::of(bytes, upstreams, workers, shape & 8 == 0)
    }

    fn with_one_session(input: &[u8]) -> World<'_> {
        let mut world = World::of(Bytes(input), 1, 1, false);
        world.ask(0);
        world.serve_all();
        world
    }

    fn of(bytes: Bytes<'_>, upstreams: u8, workers: usize, is_small: bool) -> World<'_> {
        let settings = Arc::new(settings(upstreams, is_small));
        let shared = Shared::alone();
        let worker = |number: u8| Worker::new(WorkerId(number), &settings, &shared, [number; 32]);
        World {
            bytes,
            now: Moment::from_nanos(1_000_000_000),
            workers: (0..workers as u8).map(worker).collect(),
            worker: 0,
            settings,
            next_upstream: UpstreamId(upstreams),
            next_id: 0,
            next_name: 1_000,
            burst_room: 2_400,
        }
    }

    fn this(&mut self) -> &mut Worker {
        &mut self.workers[self.worker]
    }

    /// The session that a byte means, if there is any: lists are short, so that bytes mean much.
    fn session(&mut self) -> Option<SessionKey> {
        let place = usize::from(self.bytes.byte());
        let keys: Vec<SessionKey> = self.this().sessions.keys().copied().collect();
        keys.get(place % keys.len().max(1)).copied()
    }

    fn stream(&mut self) -> Option<StreamKey> {
        let place = usize::from(self.bytes.byte());
        let keys: Vec<StreamKey> = self.this().streams.keys().copied().collect();
        keys.get(place % keys.len().max(1)).copied()
    }

    fn next_id(&mut self) -> u16 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    /// A well-formed query for one of eight names in the case and wrapping as the byte says.
    fn query(&mut self, byte: u8) -> Vec<u8> {
        message::query(Ask {
            id: self.next_id(),
            name: u16::from(byte & 7),
            is_upper_case: byte & 8 != 0,
            checking_disabled: byte & 0xf0 == 0x10,
            edns: match byte >> 5 {
                0..=2 => None,
                3..=5 => Some(false),
                _ => Some(true),
            },
        })
    }

    fn ask(&mut self, byte: u8) {
        let query = self.query(byte);
        let (now, peer) = (self.now, client(byte >> 3));
        self.this().datagram(now, peer, &query);
        self.this().pump(now);
    }

    /// Lets time pass; each engine is called when it asked to be.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..TURNS {
            let due = |worker: &Worker| worker.engine.next_deadline();
            let next = self.workers.iter().filter_map(due).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            for worker in &mut self.workers {
                if due(worker).is_some_and(|due| due <= self.now) {
                    worker.on_timeout(self.now);
                }
            }
        }
        panic!("time stands still at {:?}", self.now);
    }

    /// Lets all upstreams be sound until nobody waits for them.
    fn serve_all(&mut self) {
        for worker in 0..self.workers.len() {
            self.worker = worker;
            for _ in 0..8 {
                if !self.serve_round() {
                    break;
                }
            }
        }
    }

    /// Opens what is being opened and answers what was asked. False if there was nothing to do.
    fn serve_round(&mut self) -> bool {
        let now = self.now;
        let mut is_busy = false;
        let keys: Vec<SessionKey> = self.this().sessions.keys().copied().collect();
        for key in keys {
            self.open_session(key);
            let Some(session) = self.this().sessions.get_mut(&key) else {
                continue;
            };
            session.is_blocked = false;
            self.this().flush_session(key);
            let Some(session) = self.this().sessions.get_mut(&key) else {
                continue;
            };
            // A message that was cut off would swallow the first answer.
            for query in std::mem::take(&mut session.asked).into_values() {
                let answer = message::response(&query, Form::default());
                session.undelivered.extend(message::framed(&answer));
            }
            is_busy |= !session.undelivered.is_empty();
            self.this().deliver(now, key, usize::MAX);
            self.this().pump(now);
        }
        is_busy
    }

    fn open_session(&mut self, key: SessionKey) {
        let now = self.now;
        let Some(session) = self.this().sessions.get_mut(&key) else {
            return;
        };
        if session.phase == Phase::Open {
            return;
        }
        session.phase = Phase::Open;
        self.this().engine.sessions_mut().on_connected(now, key);
        self.this().engine.session_opened(now, key);
        self.this().pump(now);
    }

    /// Everybody falls silent; then nothing is left, there is room for all again, and all are answered again.
    fn end(&mut self) {
        for worker in &mut self.workers {
            worker.fails_at_once = None;
            worker.on_timeout(self.now);
            let keys: Vec<StreamKey> = worker.streams.keys().copied().collect();
            for key in keys {
                worker.unblock_stream(self.now, key);
                worker.pump(self.now);
            }
        }
        self.pass(Duration::from_secs(200));
        for worker in 0..self.workers.len() {
            self.worker = worker;
            self.this().check_idle();
            self.check_room();
            self.check_recovery();
        }
    }

    /// As many queries and connections as ever are taken of one client.
    fn check_room(&mut self) {
        let now = self.now;
        let room = self.settings.queries_per_client_max.min(10);
        let (asked, shed) = (Count::QueriesForwarded, Count::QueriesShed);
        let before = (self.this().count(asked), self.this().count(shed));
        for _ in 0..room {
            self.ask_new(client(0));
        }
        let after = (self.this().count(asked), self.this().count(shed));
        assert_eq!(after, (before.0 + room as u64, before.1));
        self.this().engine.fail_all(now);
        self.this().pump(now);
        for _ in 0..self.settings.streams_per_client_max {
            assert!(self.this().open_stream(now, client(0).ip()).is_some());
        }
        self.this().close_all_streams();
        self.this().pump(now);
    }

    fn ask_new(&mut self, peer: SocketAddr) {
        self.next_name = self.next_name.wrapping_add(1);
        let query = message::query(Ask {
            id: self.next_id(),
            name: self.next_name,
            is_upper_case: false,
            checking_disabled: false,
            edns: Some(false),
        });
        let now = self.now;
        self.this().datagram(now, peer, &query);
        self.this().pump(now);
    }

    /// Once all upstreams are sound, a query is answered before long.
    fn check_recovery(&mut self) {
        self.this().is_garbled = false;
        for _ in 0..20 {
            let good = self.this().good;
            self.ask_new(client(0));
            for _ in 0..20 {
                let worker = self.worker;
                self.serve_all();
                self.worker = worker;
                if self.this().good > good {
                    return;
                }
                self.pass(Duration::from_millis(50));
            }
        }
        panic!("upstreams stay unhealthy");
    }
}

/// One of four clients; the last has no right to ask.
fn client(byte: u8) -> SocketAddr {
    let client = match byte & 3 {
        0 => "192.0.2.1:5301",
        1 => "192.0.2.2:5302",
        2 => "[2001:db8::1]:5303",
        _ => "198.51.100.1:5304",
    };
    client.parse().expect("an address")
}
