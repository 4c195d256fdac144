//! One of three upstreams is killed, frozen or slowed under load, with each strategy.
//!
//! Upstreams are processes of dnsdist, each of another operator. Counted are wrong and missing responses, of which there may be
//! none; queries that are asked while more than twenty others are unanswered, of which there are hardly any once a failure is
//! known; and where queries go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dotgate_testbed::certificates::TestAuthority;

use crate::world::http::metric;
use crate::world::load::Load;
use crate::world::message::assert_all_right;
use crate::world::peer::{ANSWER, Peer, Product, are_installed};
use crate::world::program::Program;

const MS: Duration = Duration::from_millis(1);

/// The client's pause between two questions.
const GAP: Duration = Duration::from_millis(5);

/// Questions after which a failure is known: those of a second.
const KNOWN: u64 = 200;

/// Questions of which hardly any may be crowded then, and how many may.
const COUNTED: u64 = 200;
const CROWDED_MAX: u64 = COUNTED / 20;

struct Trial {
    peers: [Peer; 3],
    program: Program,
    load: Load,
}

impl Trial {
    fn start(strategy: &str) -> Trial {
        let authority = TestAuthority::new().unwrap();
        let names = ["dot.one.test", "dot.two.test", "dot.three.test"];
        let peers = names.map(|name| Peer::start_as(name, Product::Dnsdist, &authority));
        let hosts: Vec<String> = peers.iter().map(Peer::written).collect();
        let mut variables = vec![("DOTGATE_DNS_STRATEGY", strategy)];
        if strategy == "shard" {
            variables.push(("DOTGATE_DNS_SHARD_KEY", "000102030405060708090a0b0c0d0e0f"));
        }
        let program = Program::serve(&authority, &hosts.join(","), &variables);
        let mut client = program.udp().expecting(ANSWER);
        client.ask("warm-up.test").assert_right();
        let load = Load::start(client, GAP);
        load.go_on_for(KNOWN);
        Trial {
            peers,
            program,
            load,
        }
    }

    /// Queries of clients that an upstream got first.
    fn first_attempts(&self, peer: usize) -> u64 {
        let series = format!(
            "dotgate_upstream_attempts_total{{upstream=\"{}\",kind=\"first\"}}",
            self.peers[peer].written()
        );
        metric(self.program.admin(), &series) as u64
    }

    #[track_caller]
    fn assert_usual(&self, when: &str) {
        self.load.go_on_for(KNOWN);
        let crowded = self.load.crowded_of(COUNTED);
        assert!(crowded <= CROWDED_MAX, "{when}: {crowded} of {COUNTED}");
    }
}

/// The first upstream fails in every way, one after the other; `slowed` asserts what it gets while it is slow.
fn survives(strategy: &str, slowed: impl Fn(&Trial)) {
    if !are_installed(&[Product::Dnsdist], &[]) {
        return;
    }
    let mut trial = Trial::start(strategy);
    trial.peers[0].kill();
    trial.assert_usual("killed");
    trial.peers[0].start_again();
    trial.assert_usual("started again");

    trial.peers[0].freeze();
    trial.assert_usual("frozen");
    trial.peers[0].signal("CONT");
    trial.assert_usual("thawed");

    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // As a container beyond its share of the processor: the kernel holds it, then lets it go on.
            while !is_over.load(Ordering::Relaxed) {
                trial.peers[0].freeze();
                thread::sleep(90 * MS);
                trial.peers[0].signal("CONT");
                thread::sleep(10 * MS);
            }
        });
        trial.load.go_on_for(2 * KNOWN);
        slowed(&trial);
        is_over.store(true, Ordering::Relaxed);
    });
    trial.assert_usual("fast again");
    let responses = trial.load.finish();
    assert_all_right(&responses, responses.len());
}

#[test]
fn in_order_no_query_is_lost_when_an_upstream_is_killed_frozen_or_slow() {
    // It is the upstream of choice as long as it responds.
    survives("ordered", |trial| trial.load.go_on_for(COUNTED));
}

#[test]
fn with_fastest_no_query_is_lost_and_a_slow_upstream_gets_hardly_any() {
    survives("fastest", |trial| {
        let before = trial.first_attempts(0);
        let crowded = trial.load.crowded_of(COUNTED);
        assert!(crowded <= CROWDED_MAX, "slow: {crowded} of {COUNTED}");
        let asked = trial.first_attempts(0) - before;
        assert!(asked <= COUNTED / 5, "{asked} of {COUNTED}");
    });
}

#[test]
fn in_turns_no_query_is_lost_when_an_upstream_is_killed_frozen_or_slow() {
    survives("round-robin", |trial| trial.load.go_on_for(COUNTED));
}

#[test]
fn with_shard_no_query_is_lost_when_an_upstream_is_killed_frozen_or_slow() {
    survives("shard", |trial| trial.load.go_on_for(COUNTED));
}
