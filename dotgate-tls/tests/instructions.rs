//! What a query that is answered from the cache costs over one long connection, in instructions, counted by callgrind: over TCP, and
//! over TLS with its records.
//!
//! As `dotgate-sim/tests/instructions` does, which has the same figures for UDP and forwarded queries: `examples/dot` is run in the release
//! profile with some queries and with twice as many, and callgrind counts within the server's turn alone.
//! `cargo test -p dotgate-tls --test instructions -- --nocapture` prints the figures.
#![expect(
    clippy::unwrap_used,
    reason = "clippy exempts #[test] functions, not their parts"
)]

#[path = "../../dotgate-sim/tests/instructions/callgrind.rs"]
mod callgrind;
#[expect(dead_code, reason = "parts of it are for the other test alone")]
#[path = "../../dotgate-sim/tests/instructions/profile.rs"]
mod profile;

use callgrind::{Program, can_count};
use profile::Profile;

/// Instructions at most of a hit over TCP and over TLS, without the kernel's. Measured 2026-11-30 with Rust 1.95 for x86-64, one query
/// to a turn: 3944 and 9046, of which the records take 5102 with AES-GCM in hardware. Where 32 queries wait together they share records
/// and turns.
const TCP_MAX: f64 = 4_050.0;
const TLS_MAX: f64 = 9_300.0;

/// Callgrind counts within this function of the example.
const TURN: &[&str] = &["--toggle-collect=*dot::serve"];

/// Queries of the shorter run.
const QUERIES: usize = 2_000;

#[test]
fn a_hit_over_a_long_connection_costs_no_more_instructions_than_it_did() {
    if !can_count() {
        return;
    }
    let program = Program::build("dotgate-tls", "dot", TURN);
    let [tcp, tls] = ["tcp", "tls"].map(|kind| {
        let once = program.count(kind, QUERIES);
        let twice = program.count(kind, 2 * QUERIES);
        let total = |profile: &Profile| profile.sum(|_, _| true);
        let hit = (total(&twice) - total(&once)) as f64 / QUERIES as f64;
        println!("{kind}: {hit:.0} instructions per hit");
        for (function, cost) in twice.difference(&once).iter().take(15) {
            println!("  {:7.1}  {function}", *cost as f64 / QUERIES as f64);
        }
        hit
    });
    println!("records: {:.0} instructions", tls - tcp);
    // Fewer would mean that callgrind did not count in the turn, or that nothing was encrypted.
    assert!((1_500.0..=TCP_MAX).contains(&tcp), "{tcp} over TCP");
    assert!((tcp + 500.0..=TLS_MAX).contains(&tls), "{tls} over TLS");
}
