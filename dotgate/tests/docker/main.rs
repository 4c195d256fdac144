//! The image and the compose files, built and run by a Docker engine as a user would.
//!
//! The upstream is Unbound in a container of its own, in an image that is not ours; the clients are on the host, at
//! the published ports. Where there is no engine, or none whose base images can be had (`base-images`), these tests
//! are skipped. Prometheus and Grafana are not run: their services are only read.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a part of a test that cannot go on fails the test"
)]

mod engine;
mod image;
mod stack;
mod two_instances;

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
