//! Takes one message again and again, for callgrind to count: `hit KIND COUNT`.
//!
//! `local` asks for `localhost`, which dotgate answers itself; `cached` for a name that an upstream answered
//! once, `cached-listed` the same where there are block lists that do not have it, `cached-recorded` the same where records of queries are read; `blocked` for a name on a list,
//! `local-data` for one of 10,000 with local data; `excluded` is a datagram of a client that may not ask, `many-records` a query that is too long; `route-0`,
//! `route-3` and `route-6` look up a name among no routes, or one of so many labels among 10,000; the other kinds are those of
//! [`crafted`]: each query gets one such response from the upstream. `response:FILE` and `query:FILE` take the message of a
//! stored [`recipe`], and `search` looks for worse ones. `forwarded` is a query that an upstream answers and nothing caches, one to a
//! turn, and `forwarded-hedged` the same where late queries are copied, and none is late.
//! The engine is driven as by the program's worker, 32 queries to a turn, so that the difference
//! between two runs with different counts is the work of that many messages and nothing else.
//! `dotgate-sim/tests/instructions` does that.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "messages are made here, and end the program if they are wrong"
)]

mod crafted;
mod operator;
mod recipe;
mod routes;
mod search;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dotgate_core::{
    Action, Cache, ClientMemory, Counters, Driver, Engine, Event, Flights, Moment, QueryRecord,
    Quotas, ReturnPath, Settings, Shared, StreamKind, WorkerId, drive,
};
use dotgate_sim::message::{QueryForm, ResponseForm, framed, query, response, split_frame};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::recipe::Cook;

/// Queries to a turn, as in a full batch of the program.
const BATCH: usize = 32;

/// As many as `dotgate-bench` gives the program.
const WORKERS: usize = 2;

/// Bytes of a header, which every response has.
const HEADER_LEN: usize = 12;

/// The longest message, and the longest one that is read of a datagram.
const MESSAGE_MAX: usize = 65_535;
const DATAGRAM_MAX: usize = 2_048;

/// The size of the cache.
const CACHE_BYTES: usize = 1024 * 1024;

/// As long as the names that `dotgate-bench` asks for.
const CACHED_NAME: &str = "0123456789abcdef01234567.example.com";
const LOCAL_NAME: &str = "localhost";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kind, count) = match arguments.as_slice() {
        [kind, count] => (kind, count),
        [word, kind, seconds, folder] if word == "search" => {
            return search_for(kind, seconds, folder);
        }
        _ => return usage(),
    };
    let Ok(count) = count.parse::<usize>() else {
        return usage();
    };
    if let Some((kind @ ("response" | "query"), file)) = kind.split_once(':') {
        return take_recipe(kind, Path::new(file), count);
    }
    let mut bench = Bench::new(operator::change_for(kind));
    let form = QueryForm::default();
    let right = |query: &[u8]| response(query, &ResponseForm::RIGHT);
    let answered = match kind.as_str() {
        "cached" | "cached-listed" | "cached-recorded" => {
            bench
                .engine
                .clients_mut()
                .set_recording(kind == "cached-recorded");
            let message = query(1, CACHED_NAME, &form);
            bench.ask_upstream(&message, right);
            bench.ask(&message, count, message.len())
        }
        "blocked" | "local-data" => {
            let message = query(1, operator::NAME, &form);
            bench.ask(&message, count, message.len())
        }
        "local" => {
            let message = query(1, LOCAL_NAME, &form);
            bench.ask(&message, count, message.len())
        }
        "excluded" => {
            bench.path.peer = ([198, 51, 100, 1], 1_000).into();
            bench.ask(&crafted::datagram(), count, HEADER_LEN)
        }
        "forwarded" | "forwarded-hedged" => {
            let message = query(1, CACHED_NAME, &form);
            // One more is asked in any case, so that a session is open.
            for _ in 0..=count {
                bench.ask_upstream(&message, right);
            }
            count
        }
        "route-0" => routes::look_up(0, count),
        "route-3" => routes::look_up(3, count),
        "route-6" => routes::look_up(6, count),
        "many-records" => bench.ask(&crafted::stream_query(), count, HEADER_LEN),
        other => {
            let kinds = crafted::RESPONSES.iter();
            let Some((_, craft)) = kinds.into_iter().find(|(name, _)| *name == other) else {
                return usage();
            };
            let message = query(1, &crafted::long_name(), &form);
            let crafted = craft(&message);
            // One more is asked in any case, so that a session is open and all memory is there.
            for _ in 0..=count {
                bench.ask_upstream(&message, |query| with_id_of(query, &crafted));
                bench.cache.flush_all();
            }
            count
        }
    };
    if answered == count {
        ExitCode::SUCCESS
    } else {
        eprintln!("{answered} of {count} queries were answered at once");
        ExitCode::FAILURE
    }
}

fn search_for(kind: &str, seconds: &str, folder: &str) -> ExitCode {
    let known = ["response", "query"].contains(&kind);
    let Some(seconds) = seconds.parse().ok().filter(|_| known) else {
        return usage();
    };
    match search::run(kind, Duration::from_secs(seconds), Path::new(folder)) {
        0 => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Takes the message of a stored recipe so many times.
fn take_recipe(kind: &str, file: &Path, count: usize) -> ExitCode {
    let Ok(recipe) = std::fs::read(file) else {
        eprintln!("cannot read {}", file.display());
        return ExitCode::FAILURE;
    };
    let meal = Meal::new(kind, &recipe);
    let mut bench = Bench::warm();
    // One more is taken in any case, so that all memory is there.
    for _ in 0..=count {
        meal.take(&mut bench);
    }
    ExitCode::SUCCESS
}

/// What a recipe makes.
enum Meal {
    /// A response, for a client over UDP and one over TCP, which wait for it together: it may be too large for the cache.
    Response { query: Vec<u8>, response: Vec<u8> },
    /// Queries over TCP and, as long as one may be, over UDP; they are refused.
    Queries { long: Vec<u8>, short: Vec<u8> },
}

impl Meal {
    fn new(kind: &str, recipe: &[u8]) -> Meal {
        let query = query(1, &crafted::long_name(), &QueryForm::default());
        match kind {
            "response" => Meal::Response {
                response: Cook::response(recipe, &query, MESSAGE_MAX),
                query,
            },
            _ => Meal::Queries {
                long: Cook::query(recipe, &query, MESSAGE_MAX),
                short: Cook::query(recipe, &query, DATAGRAM_MAX),
            },
        }
    }

    fn take(&self, bench: &mut Bench) {
        bench.cache.flush_all();
        match self {
            Meal::Response { query, response } => {
                let answer = |query: &[u8]| with_id_of(query, response);
                bench.engine.on_datagram(bench.now, bench.path, query);
                bench.ask_by_stream(query, answer);
            }
            Meal::Queries { long, short } => {
                bench.ask_by_stream(long, refusal);
                bench.ask_upstream(short, refusal);
            }
        }
    }
}

/// A response that refuses a query.
fn refusal(query: &[u8]) -> Vec<u8> {
    let mut response = query.get(..HEADER_LEN).unwrap_or_default().to_vec();
    response[2..].copy_from_slice(&[0x81, 0x85, 0, 0, 0, 0, 0, 0, 0, 0]);
    response
}

/// The response, with the message ID of a query.
fn with_id_of(query: &[u8], response: &[u8]) -> Vec<u8> {
    let mut response = response.to_vec();
    response[..2].copy_from_slice(&query[..2]);
    response
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: hit cached|cached-listed|cached-recorded|forwarded|forwarded-hedged|blocked|local-data|local|excluded|many-records|route-0|route-3|route-6|response:FILE|query:FILE|CRAFTED COUNT\n       \
         hit search response|query SECONDS FOLDER\nwhere CRAFTED is one of"
    );
    for (name, _) in crafted::RESPONSES {
        eprintln!("    {name}");
    }
    ExitCode::FAILURE
}

struct Bench {
    engine: Engine,
    cache: Arc<Cache>,
    now: Moment,
    path: ReturnPath,
    ring: Ring,
}

/// Where records of queries go, both ends of it.
type Ring = (
    Producer<(Moment, QueryRecord)>,
    Consumer<(Moment, QueryRecord)>,
);

impl Bench {
    fn new(change: impl FnOnce(&mut Settings)) -> Bench {
        let mut settings = Settings {
            cache: dotgate_sim::cache_settings(),
            ..dotgate_sim::settings(1)
        };
        change(&mut settings);
        let cache = Arc::new(Cache::new(CACHE_BYTES, (1, 2)));
        let shared = Shared {
            cache: Arc::clone(&cache),
            flights: Arc::new(Flights::new(WORKERS)),
            memory: Arc::new(ClientMemory::new(WORKERS)),
            quotas: Arc::new(Quotas::new((3, 4))),
            ..Shared::alone()
        };
        let counters = Arc::new(Counters::new());
        Bench {
            cache,
            engine: Engine::new(WorkerId(0), Arc::new(settings), shared, counters, [7; 32]),
            now: Moment::from_nanos(1_000_000_000_000),
            path: ReturnPath {
                socket: 0,
                peer: ([192, 0, 2, 1], 1_000).into(),
                local_ip: None,
                interface: 0,
            },
            ring: RingBuffer::new(BATCH),
        }
    }

    /// With a session that is open.
    fn warm() -> Bench {
        let mut bench = Bench::new(|_| {});
        let message = query(1, CACHED_NAME, &QueryForm::default());
        bench.ask_upstream(&message, |query| response(query, &ResponseForm::RIGHT));
        bench
    }

    /// Asks on a connection of its own.
    fn ask_by_stream(&mut self, message: &[u8], answer: impl Fn(&[u8]) -> Vec<u8>) {
        let Some(stream) = self
            .engine
            .clients_mut()
            .stream_opened(self.now, (self.path.peer.ip(), StreamKind::Tcp).into())
        else {
            return;
        };
        self.engine.stream_bytes(self.now, stream, &framed(message));
        drive(
            &mut Turn::new(&mut self.engine, &mut self.ring, answer),
            self.now,
        );
        self.engine.clients_mut().stream_closed(stream);
    }

    /// Asks once and answers as an upstream would, if the engine wants one.
    fn ask_upstream(&mut self, message: &[u8], answer: impl Fn(&[u8]) -> Vec<u8>) {
        self.engine.on_datagram(self.now, self.path, message);
        let mut turn = Turn::new(&mut self.engine, &mut self.ring, answer);
        drive(&mut turn, self.now);
    }

    /// Asks so many times, in turns of the worker, and returns how many responses of more than `shortest` bytes came at
    /// once.
    fn ask(&mut self, message: &[u8], queries: usize, shortest: usize) -> usize {
        let mut answered = 0;
        let mut left = queries;
        while left > 0 {
            let batch = left.min(BATCH);
            left -= batch;
            for _ in 0..batch {
                self.engine.on_datagram(self.now, self.path, message);
            }
            let mut turn = Turn::new(&mut self.engine, &mut self.ring, <[u8]>::to_vec);
            turn.shortest = shortest;
            drive(&mut turn, self.now);
            if turn.others > 0 {
                return answered;
            }
            answered += turn.sent;
        }
        answered
    }
}

/// The end of a turn, with an upstream that answers at once.
struct Turn<'b, A> {
    engine: &'b mut Engine,
    ring: &'b mut Ring,
    answer: A,
    /// Responses that are no longer do not count as sent.
    shortest: usize,
    sent: usize,
    /// What else the engine wanted done.
    others: usize,
}

impl<'b, A: Fn(&[u8]) -> Vec<u8>> Turn<'b, A> {
    fn new(engine: &'b mut Engine, ring: &'b mut Ring, answer: A) -> Turn<'b, A> {
        Turn {
            engine,
            ring,
            answer,
            shortest: 0,
            sent: 0,
            others: 0,
        }
    }
}

impl<A: Fn(&[u8]) -> Vec<u8>> Driver for Turn<'_, A> {
    fn engine(&mut self) -> &mut Engine {
        self.engine
    }

    fn act(&mut self, now: Moment, action: Action) {
        self.others += 1;
        match action {
            Action::OpenSession { session, .. } => {
                self.engine.sessions_mut().on_connected(now, session);
                self.engine.session_opened(now, session);
            }
            Action::FlushSession(session) => {
                // Drained as by the program: what is left is the session's memory for the next queries.
                let asked = self.engine.sessions_mut().output(session);
                let asked = asked.map_or_else(Vec::new, |output| {
                    let asked = output.clone();
                    output.clear();
                    asked
                });
                let mut rest = asked.as_slice();
                while let Some((query, behind)) = split_frame(rest) {
                    let answer = framed(&(self.answer)(query));
                    self.engine.session_bytes(now, session, &answer);
                    rest = behind;
                }
            }
            Action::CloseSession(_)
            | Action::MeasureStreams
            | Action::FlushStream(_)
            | Action::ResumeStream(_)
            | Action::CloseStream(..) => {}
        }
    }

    fn send_datagrams(&mut self, _now: Moment) {
        let sent = self.engine.clients().datagrams();
        let sent = sent.filter(|datagram| datagram.bytes.len() > self.shortest);
        self.sent += sent.count();
        self.engine.clients_mut().clear_datagrams();
    }

    fn send_flight_messages(&mut self) {
        while self.engine.poll_flight_message().is_some() {
            self.others += 1;
        }
    }

    /// Copies each to a ring, as the program's worker does.
    fn take_records(&mut self, now: Moment) {
        let made = self.engine.clients().records();
        if !made.is_empty() {
            let (producer, consumer) = &mut *self.ring;
            let room = producer.slots();
            let records = made.iter().map(|record| (now, *record));
            if let Ok(chunk) = producer.write_chunk_uninit(made.len().min(room)) {
                chunk.fill_from_iter(records);
            }
            self.engine.clients_mut().clear_records();
            if let Ok(chunk) = consumer.read_chunk(consumer.slots()) {
                chunk.commit_all();
            }
        }
    }

    fn log(&mut self, _now: Moment, _event: Event) {
        self.others += 1;
    }
}
