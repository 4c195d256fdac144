//! A fleet behind a balancer that honours readiness is restarted again and again, and no query is lost.
//!
//! `dotgate-bench roll` does the same for longer and with what the Helm chart sets; here everything is quicker.

use std::path::PathBuf;
use std::time::Duration;

use dotgate_bench::roll::{self, Asking, Flows, Kind, Probing, Roll};

const MS: Duration = Duration::from_millis(1);

/// Two instances that are replaced ten times.
fn roll(asking: Asking) -> Roll {
    Roll {
        dotgate: PathBuf::from(env!("CARGO_BIN_EXE_dotgate")),
        instances: 2,
        rollouts: 10,
        min_ready: 50 * MS,
        drain_max: 20_000 * MS,
        probing: Probing {
            every: 50 * MS,
            failures: 3,
            flows: Flows::Stay,
        },
        asking,
    }
}

#[test]
fn ten_rolling_restarts_behind_a_balancer_lose_no_query_of_clients_whose_flows_end() {
    let roll = roll(Asking {
        queries: 10_000,
        rate: 1_000,
        connection_lifetime: 500 * MS,
        endless: 0,
    });
    let mut said = Vec::new();
    let rolled = roll::run(&roll, &mut said).unwrap();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(rolled.unanswered(), 0, "{said}");
    assert_eq!(rolled.drains.len(), 20, "{said}");
    for kind in [Kind::Short, Kind::Long] {
        let sent = rolled.outcome[kind as usize].sent;
        assert!(sent >= 5_000, "{kind:?}: {sent} queries");
    }
}

#[test]
fn the_same_restarts_without_a_drain_lose_queries() {
    let mut roll = roll(Asking {
        queries: 2_000,
        rate: 1_000,
        connection_lifetime: 500 * MS,
        endless: 0,
    });
    roll.drain_max = Duration::ZERO;
    let mut said = Vec::new();
    let rolled = roll::run(&roll, &mut said).unwrap();
    let said = String::from_utf8_lossy(&said);
    assert!(rolled.unanswered() > 0, "{said}");
}
