//! System calls per query of a worker, counted by `strace` in the built program: they are what costs most of a query's time.
//!
//! The calls of a run with few queries are taken from those of a run with many, so that start and end do not count. A ceiling
//! rises only with a reason. Timers wake a worker as well, for which there is room.

use std::collections::BTreeMap;

use dotgate_testbed::certificates::TestAuthority;

use crate::world::client::Client;
use crate::world::dot::{Files, NAME, Offer};
use crate::world::message::assert_all_right;
use crate::world::peer::are_installed;
use crate::world::program::Program;
use crate::world::trace::{Traced, call};
use crate::world::upstream::Upstream;

const FEW: usize = 20;
const MANY: usize = 120;

/// Calls per round that timers may cost.
const ROOM: f64 = 0.3;

/// The program, and clients that may ask it.
struct Running<'a> {
    program: &'a Program,
    authority: &'a TestAuthority,
}

/// Calls of a worker, by name.
#[derive(Debug)]
struct Calls(BTreeMap<String, f64>);

impl Calls {
    fn total(&self) -> f64 {
        self.0.values().sum()
    }

    fn of(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }
}

/// The calls per round of what `ask` asks in so many rounds. None: this cannot be counted here.
fn calls_per_round(ask: fn(&Running<'_>, usize)) -> Option<Calls> {
    if !are_installed(&[], &["strace"]) {
        return None;
    }
    let [few, many] = [FEW, MANY].map(|rounds| calls(ask, rounds));
    let rounds = (MANY - FEW) as f64;
    let per_round = many.into_iter().map(|(name, count)| {
        let at_start = few.get(&name).copied().unwrap_or(0);
        (name, (count as f64 - at_start as f64) / rounds)
    });
    Some(Calls(per_round.filter(|(_, it)| *it > 0.0).collect()))
}

fn calls(ask: fn(&Running<'_>, usize), rounds: usize) -> BTreeMap<String, usize> {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let files = Files::new(&authority);
    let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
    let variables = [
        ("DOTGATE_DOT_LISTEN", "127.0.0.1:0"),
        ("DOTGATE_SERVER_CERTIFICATE_FILE", &*certificate),
        ("DOTGATE_SERVER_KEY_FILE", &*key),
    ];
    let traced = Traced::serve(&authority, &upstream.written(), &variables);
    let program = &traced.program;
    ask(
        &Running {
            program,
            authority: &authority,
        },
        rounds,
    );
    let mut worker = BTreeMap::new();
    let threads = traced.stop();
    let is_worker = |it: &&String| it.contains("recvmmsg(");
    let lines = threads.iter().filter(is_worker).flat_map(|it| it.lines());
    for call in lines.map(call).filter(|call| is_of_sockets(call)) {
        *worker.entry(call.to_owned()).or_default() += 1;
    }
    worker
}

/// Whether a call is about sockets: files are looked at by time, not by query, and the worker has none.
fn is_of_sockets(call: &str) -> bool {
    let of_sockets = [
        "epoll", "recv", "send", "readv", "writev", "poll", "ppoll", "accept", "getsock",
        "setsock", "getpeer", "shutdown", "close",
    ];
    of_sockets.iter().any(|start| call.starts_with(start))
}

#[track_caller]
fn assert_at_most(calls: Option<Calls>, total: f64, waits: f64) {
    let Some(calls) = calls else { return };
    assert!(calls.total() <= total + ROOM, "{calls:?}");
    assert!(calls.of("epoll_wait") <= waits + ROOM, "{calls:?}");
    // What is counted is there.
    assert!(calls.total() > total - 1.0, "{calls:?}");
}

#[test]
fn a_hit() {
    let calls = calls_per_round(|running, rounds| {
        let mut client = running.program.udp();
        for _ in 0..rounds {
            client.ask("a.test").assert_right();
        }
    });
    assert_at_most(calls, 3.0, 1.0);
}

#[test]
fn a_batch_of_32_hits() {
    let calls = calls_per_round(|running, rounds| {
        let mut client = running.program.udp();
        client.ask("a.test").assert_right();
        for _ in 0..rounds {
            ask_together(running.program, &mut client);
        }
    });
    // What stops it interrupts it while it waits. It reads again after a batch that is not small.
    if let Some(calls) = calls {
        assert!(calls.of("recvmmsg") <= 2.0 + ROOM, "{calls:?}");
        assert!(calls.of("sendmmsg") <= 1.0 + ROOM, "{calls:?}");
    }
}

/// Asks 32 queries that the program finds all at once.
fn ask_together(program: &Program, client: &mut Client) {
    program.signal("STOP");
    for _ in 0..32 {
        client.send("a.test");
    }
    program.signal("CONT");
    assert_all_right(&client.receive_all(), 32);
}

#[test]
fn a_hit_over_tcp() {
    let calls = calls_per_round(|running, rounds| {
        let mut client = running.program.tcp();
        for _ in 0..rounds {
            client.ask("a.test").assert_right();
        }
    });
    assert_at_most(calls, 3.0, 1.0);
}

#[test]
fn a_hit_over_a_connection_of_its_own() {
    let calls = calls_per_round(|running, rounds| {
        for _ in 0..rounds {
            running.program.tcp().ask("a.test").assert_right();
        }
    });
    let Some(calls) = calls else { return };
    // Wait, accept, see that no other connection waits, watch, read, write; wait, read the end, close. A connection may end while
    // the next one begins.
    assert!(calls.total() <= 9.0 + ROOM, "{calls:?}");
    assert!(calls.of("epoll_wait") <= 2.0 + ROOM, "{calls:?}");
    assert!(calls.of("accept4") <= 1.0 + ROOM, "{calls:?}");
    assert!(calls.of("recvfrom") <= 2.0 + ROOM, "{calls:?}");
    // What is counted is there.
    assert!(calls.total() > 7.0, "{calls:?}");
}

#[test]
fn a_hit_over_tls() {
    let calls = calls_per_round(|running, rounds| {
        let offer = Offer::new(running.authority);
        let mut client = offer.connect(running.program.dot_address(), NAME).unwrap();
        for _ in 0..rounds {
            client.ask("a.test").assert_right();
        }
    });
    assert_at_most(calls, 3.0, 1.0);
}

#[test]
fn a_forwarded_query() {
    let calls = calls_per_round(|running, rounds| {
        let mut client = running.program.udp();
        for number in 0..rounds {
            client.ask(&format!("n{number}.test")).assert_right();
        }
    });
    assert_at_most(calls, 6.0, 2.0);
}
