//! Answers one query again and again, for callgrind to count: `hit cached|local QUERIES`.
//!
//! `local` asks for `localhost`, which dotgate answers itself; `cached` for a name that an upstream answered
//! once. The engine is driven by the calls of the program's worker, 32 queries to a turn, so that the difference
//! between two runs with different `QUERIES` is the work of that many queries and nothing else.
//! `dotgate-sim/tests/instructions` does that.

use std::process::ExitCode;
use std::sync::Arc;

use dotgate_core::{
    Action, Cache, Counters, Engine, Flights, Moment, ReturnPath, Settings, Shared,
};
use dotgate_sim::message::{QueryForm, ResponseForm, frame, query, response, unframe};

/// Queries to a turn, as in a full batch of the program.
const BATCH: usize = 32;

/// As many as `dotgate-bench` gives the program.
const WORKERS: usize = 2;

/// The size of the cache.
const CACHE_BYTES: usize = 1024 * 1024;

/// As long as the names that `dotgate-bench` asks for.
const CACHED_NAME: &str = "0123456789abcdef01234567.example.com";
const LOCAL_NAME: &str = "localhost";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, count] = arguments.as_slice() else {
        return usage();
    };
    let name = match kind.as_str() {
        "cached" => CACHED_NAME,
        "local" => LOCAL_NAME,
        _ => return usage(),
    };
    let Ok(queries) = count.parse::<usize>() else {
        return usage();
    };
    let message = query(1, name, &QueryForm::default());
    let mut bench = Bench::new();
    bench.ask_upstream(&message);
    let answered = bench.ask(&message, queries);
    if answered == queries {
        ExitCode::SUCCESS
    } else {
        eprintln!("{answered} of {queries} queries were answered at once");
        ExitCode::FAILURE
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: hit cached|local QUERIES");
    ExitCode::FAILURE
}

struct Bench {
    engine: Engine,
    now: Moment,
    path: ReturnPath,
}

impl Bench {
    fn new() -> Bench {
        let settings = Settings {
            cache: dotgate_sim::cache_settings(),
            ..dotgate_sim::settings(1)
        };
        let shared = Shared {
            cache: Arc::new(Cache::new(CACHE_BYTES, (1, 2))),
            flights: Arc::new(Flights::new(WORKERS)),
        };
        let counters = Arc::new(Counters::new());
        Bench {
            engine: Engine::new(0, Arc::new(settings), shared, counters, [7; 32]),
            now: Moment::from_nanos(1_000_000_000_000),
            path: ReturnPath {
                socket: 0,
                peer: ([192, 0, 2, 1], 1_000).into(),
                local_ip: None,
                interface: 0,
            },
        }
    }

    /// Asks once and answers as an upstream would, if the engine wants one.
    fn ask_upstream(&mut self, message: &[u8]) {
        self.engine.on_datagram(self.now, self.path, message);
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::OpenSession { session, .. } => {
                    self.engine.session_connected(self.now, session);
                    self.engine.session_opened(self.now, session);
                }
                Action::FlushSession(session) => {
                    let asked = self.engine.session_output(session).map(std::mem::take);
                    let asked = asked.unwrap_or_default();
                    let mut rest = asked.as_slice();
                    while let Some((query, behind)) = unframe(rest) {
                        let answer = frame(&response(query, &ResponseForm::RIGHT));
                        self.engine.session_bytes(self.now, session, &answer);
                        rest = behind;
                    }
                }
                Action::CloseSession(_)
                | Action::FlushStream(_)
                | Action::ResumeStream(_)
                | Action::CloseStream(_) => {}
            }
        }
        self.engine.clear_datagrams();
    }

    /// Asks so many times, in turns of the worker, and returns how many responses came at once.
    fn ask(&mut self, message: &[u8], queries: usize) -> usize {
        let mut answered = 0;
        let mut left = queries;
        while left > 0 {
            let batch = left.min(BATCH);
            left -= batch;
            for _ in 0..batch {
                self.engine.on_datagram(self.now, self.path, message);
            }
            if self
                .engine
                .next_deadline()
                .is_some_and(|due| due <= self.now)
            {
                self.engine.on_timeout(self.now);
            }
            if self.engine.poll_action().is_some() || self.engine.poll_event().is_some() {
                return answered;
            }
            let sent = self
                .engine
                .datagrams()
                .filter(|datagram| datagram.bytes.len() > message.len());
            answered += sent.count();
            self.engine.clear_datagrams();
            self.engine.publish_load();
        }
        answered
    }
}
