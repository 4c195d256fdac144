//! The program as a service of a real systemd, installed by the commands of `docs/host.md`.
//!
//! Each test boots a Debian system of its own, with systemd as its first process, in namespaces that end with the test.
//! Upstreams and clients are in the test's process: both share one network, in which there is only loopback. Needs root,
//! and debootstrap with a mirror for the first run; else the tests are skipped.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a part of a test that cannot go on fails the test"
)]

mod activation;
mod ends;
mod install;
mod journal;
mod machine;
mod packages;
mod page;
mod reload;
mod resolved;
mod secrets;
mod settings;
mod snapshot;

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
