//! The built program on a real system: processes that die or freeze, networks that vanish, a crowd of clients.
//!
//! What a simulated network cannot show is shown here, with the kernel's own sockets, signals and links: upstreams
//! in processes of their own, network namespaces whose links are cut, as many connections as a process may have
//! open. Asserted are counts, never times; every wait has a bound. Running out of file descriptors is shown in
//! `tests/it/exhaustion.rs`; a clock that jumps only in the simulator, since it would jump for the whole machine.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a part of a test that cannot go on fails the test"
)]

mod addresses;
mod crowd;
mod cut_off;
mod egress;
mod families;
mod home;
mod namespaces;
mod network;
mod processes;

#[expect(
    dead_code,
    unused_imports,
    reason = "parts of it are for the other tests alone"
)]
#[path = "../it"]
mod shared {
    pub(crate) mod world;
}

use shared::world;
