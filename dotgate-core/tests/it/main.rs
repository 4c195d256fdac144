//! Tests of dotgate-core from outside: any sequence of inputs keeps the promises of its public interface.
//!
//! What must hold is in `tests/checks`, which the fuzz targets share.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are tests"
)]

#[path = "../checks/mod.rs"]
mod checks;

mod corpus;
mod random;
