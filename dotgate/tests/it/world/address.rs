//! Loopback addresses, each for one server of one test.
//!
//! A port that a test expects to be free, or closed, or its own after a restart, must not be given to another test, of this
//! process or of one that runs at the same time. On an address of its own, no other test binds a port.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

/// The addresses of one process: enough for all its tests.
const OF_A_PROCESS: u32 = 1 << 12;

/// Processes with addresses of their own, by their ID: more than run at the same time.
const PROCESSES: u32 = 1 << 11;

/// The first of all these addresses, which end with 127.227.255.255.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 100, 0, 0);

/// A loopback address that no other server has.
pub(crate) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(number < OF_A_PROCESS, "more servers than addresses");
    let process = std::process::id() % PROCESSES;
    Ipv4Addr::from(u32::from(FIRST) + process * OF_A_PROCESS + number)
}
