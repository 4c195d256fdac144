//! Neither forwarding nor a cache hit allocates anything once warm: the engine's whole path of a query, under an
//! allocator that counts. It stands in this crate because a global allocator is unsafe code. Every query that is
//! forwarded has a name of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod counting;

use std::sync::Arc;
use std::time::Duration;

use counting::allocations;
use dotgate_core::{
    Access, Action, Cache, CacheSettings, Count, Counters, Driver, Engine, Event, Moment,
    ReturnPath, SessionKey, Settings, Shared, StreamKey, StreamKind, UpstreamId, UpstreamSettings,
    WorkerId, drive,
};
use dotgate_message::{
    A, Compose as _, QNAME, RA, RD, framed, query, record, response, split_frame,
};
/// Queries before the count begins, and counted.
const WARM_UP: u32 = 20_000;
const COUNTED: u32 = 5_000;
/// Queries of one turn.
const TURN: u32 = 32;
/// Names that are asked for again and again, all of them in the cache.
const HELD: u32 = 10 * TURN;
/// The size of the cache, in bytes, where there is one.
const CACHE_BYTES: usize = 1024 * 1024;
/// The TTL of answers.
const TTL: Duration = Duration::from_secs(300);
/// RCODEs (RFC 1035 section 4.1.1).
const NOERROR: u16 = 0;
const SERVFAIL: u16 = 2;

struct World {
    engine: Engine,
    now: Moment,
    session: Option<SessionKey>,
    stream: Option<StreamKey>,
    query: Vec<u8>,
    /// What reached the upstream, framed.
    forwarded: Vec<u8>,
    /// What the upstream answers.
    rcode: u16,
    /// Allocations of the engine, and of this driver's part in a turn, which has none of its own once warm.
    counted: usize,
    responses: u32,
}

fn settings(cache: CacheSettings) -> Settings {
    Settings {
        access: Access::of(["192.0.2.0/24".parse().unwrap()]),
        cache,
        queries_max: 1_000,
        streams_max: 10,
        streams_per_client_max: 10,
        stream_queries_max: 1_000,
        ..Settings::for_upstreams(vec![UpstreamSettings::new(UpstreamId(0), "upstream")])
    }
}

/// Those of an operator who set nothing.
fn cache_settings() -> CacheSettings {
    CacheSettings {
        ttl_min: 0,
        ttl_max: 86_400,
        negative_ttl_max: 3_600,
        failure_ttl_max: 5,
        stale_max: Duration::from_secs(86_400),
        stale_after: Duration::from_millis(1_800),
        prefetch: true,
        nxdomain_all_types: false,
        rotates_addresses: true,
        except: Vec::new(),
    }
}

impl World {
    fn without_cache() -> World {
        World::new(CacheSettings::off(), 0)
    }

    fn with_cache() -> World {
        World::new(cache_settings(), CACHE_BYTES)
    }

    fn new(cache: CacheSettings, cache_bytes: usize) -> World {
        let counters = Arc::new(Counters::new());
        let shared = Shared {
            cache: Arc::new(Cache::new(cache_bytes, (1, 2))),
            ..Shared::alone()
        };
        let settings = Arc::new(settings(cache));
        World {
            engine: Engine::new(WorkerId(0), settings, shared, counters, [1; 32]),
            now: Moment::from_nanos(1_000_000_000),
            session: None,
            stream: None,
            query: Vec::new(),
            forwarded: Vec::new(),
            rcode: NOERROR,
            counted: 0,
            responses: 0,
        }
    }

    fn counting<R>(&mut self, work: impl FnOnce(&mut Engine, &[u8]) -> R) -> R {
        let mut outcome = None;
        self.counted += allocations(|| outcome = Some(work(&mut self.engine, &self.query)));
        outcome.unwrap()
    }

    /// A query for `nNNNNNNN.example`, framed if it is for a stream, with an OPT.
    fn write_query(&mut self, number: u32, is_framed: bool) {
        let message = query(number as u16, &format!("n{number:07}.example")).with_edns();
        self.query = match is_framed {
            true => framed(&message),
            false => message,
        };
    }

    /// One turn: queries in, attempts out, responses in, answers out.
    fn turn(&mut self, first: u32, over_tcp: bool) {
        let peer = "192.0.2.7:5353".parse().unwrap();
        let path = ReturnPath {
            socket: 0,
            peer,
            local_ip: None,
            interface: 0,
        };
        for number in first..first + TURN {
            self.write_query(number, over_tcp);
            let now = self.now;
            match self.stream.filter(|_| over_tcp) {
                Some(stream) => {
                    assert!(self.counting(|engine, query| engine.stream_bytes(now, stream, query)));
                }
                None => self.counting(|engine, query| engine.on_datagram(now, path, query)),
            }
        }
        self.drive();
        self.now = self.now + Duration::from_millis(1);
        if let Some(session) = self.session {
            let answers = answers(&self.forwarded, self.rcode);
            self.forwarded.clear();
            let now = self.now;
            self.counting(|engine, _| engine.session_bytes(now, session, &answers));
        }
        self.drive();
    }

    fn drive(&mut self) {
        let now = self.now;
        let count = allocations(|| drive(self, now));
        self.counted += count;
    }

    fn open_stream(&mut self) {
        let client = "192.0.2.7".parse().unwrap();
        self.stream = self
            .engine
            .clients_mut()
            .stream_opened(self.now, (client, StreamKind::Tcp).into());
    }

    /// Asks so often, for `HELD` names in turn, and returns how many queries went to the upstream.
    fn ask_for_held(&mut self, queries: u32, over_tcp: bool) -> u64 {
        let forwarded = |world: &World| world.engine.counters().get(Count::QueriesForwarded);
        let before = forwarded(self);
        (self.counted, self.responses) = (0, 0);
        for first in (0..queries).step_by(TURN as usize) {
            self.turn(first % HELD, over_tcp);
        }
        assert_eq!(self.responses, queries.next_multiple_of(TURN));
        forwarded(self) - before
    }

    /// Asks for names that the cache answers; nothing may be allocated.
    fn count_hits(&mut self, over_tcp: bool) {
        assert_eq!(self.ask_for_held(HELD, over_tcp), 0);
        assert_eq!(self.ask_for_held(COUNTED, over_tcp), 0);
        assert_eq!(self.counted, 0, "allocations in {} hits", self.responses);
    }
}

impl Driver for World {
    fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    fn act(&mut self, now: Moment, action: Action) {
        match action {
            Action::OpenSession { session, .. } => {
                self.engine.sessions_mut().on_connected(now, session);
                self.engine.session_opened(now, session);
                self.session = Some(session);
            }
            Action::FlushSession(session) => {
                let frames = self.engine.sessions_mut().output(session).unwrap();
                self.forwarded.append(frames);
            }
            Action::FlushStream(stream) => {
                let output = self.engine.clients_mut().stream_output(stream).unwrap();
                let mut rest = &output[..];
                while let Some((_, after)) = split_frame(rest) {
                    rest = after;
                    self.responses += 1;
                }
                let taken = output.len();
                output.clear();
                self.engine.stream_wrote(now, stream, taken, 0);
            }
            Action::CloseSession(_) => self.session = None,
            other => panic!("unexpected {other:?}"),
        }
    }

    fn send_datagrams(&mut self, _now: Moment) {
        self.responses += u32::try_from(self.engine.clients().datagram_count()).unwrap();
        self.engine.clients_mut().clear_datagrams();
    }

    fn send_flight_messages(&mut self) {
        assert!(self.engine.poll_flight_message().is_none());
    }

    fn log(&mut self, _now: Moment, _event: Event) {}
}

/// The framed responses to framed queries: each has an OPT record, and one A record if it is no error.
fn answers(mut queries: &[u8], rcode: u16) -> Vec<u8> {
    let address = [record(QNAME, A, 300, &[203, 0, 113, 5])];
    let records = if rcode == NOERROR { &address[..] } else { &[] };
    let mut answers = Vec::new();
    while let Some((query, after)) = split_frame(queries) {
        let message = response(query, RD | RA | rcode, [records, &[], &[]]);
        answers.extend(framed(&message.with_edns()));
        queries = after;
    }
    answers
}

fn forward(over_tcp: bool) {
    let mut world = World::without_cache();
    if over_tcp {
        world.open_stream();
    }
    for first in (0..WARM_UP).step_by(TURN as usize) {
        world.turn(first, over_tcp);
    }
    world.counted = 0;
    world.responses = 0;
    for first in (WARM_UP..WARM_UP + COUNTED).step_by(TURN as usize) {
        world.turn(first, over_tcp);
    }
    assert_eq!(world.responses, COUNTED.next_multiple_of(TURN));
    assert_eq!(
        world.counted, 0,
        "allocations in {} forwarded queries",
        world.responses
    );
}

#[test]
fn a_query_forwarded_from_udp_allocates_nothing_once_warm() {
    forward(false);
}

#[test]
fn a_query_forwarded_from_tcp_allocates_nothing_once_warm() {
    forward(true);
}

#[test]
fn an_answer_from_the_cache_allocates_nothing_by_udp_and_tcp() {
    for over_tcp in [false, true] {
        let mut world = World::with_cache();
        if over_tcp {
            world.open_stream();
        }
        assert_eq!(world.ask_for_held(HELD, over_tcp), u64::from(HELD));
        world.count_hits(over_tcp);
    }
}

#[test]
fn a_stale_answer_allocates_nothing() {
    let mut world = World::with_cache();
    assert_eq!(world.ask_for_held(HELD, false), u64::from(HELD));
    world.now = world.now + TTL;
    // Each is requested once without success; then it is given without asking for some time.
    world.rcode = SERVFAIL;
    assert_eq!(world.ask_for_held(HELD, false), u64::from(HELD));
    world.count_hits(false);
}

#[test]
fn a_failure_from_the_cache_allocates_nothing() {
    let mut world = World::with_cache();
    world.rcode = SERVFAIL;
    assert_eq!(world.ask_for_held(HELD, false), u64::from(HELD));
    world.count_hits(false);
}
