//! Tests of dotgate-wire from outside, against the `domain` crate as the oracle.
//!
//! Messages are made by `domain`'s builder with compression, then sent through dotgate-wire as they
//! are, with bytes changed, or not at all like messages. What must hold for each is in
//! `tests/checks.rs`, which the fuzz targets share.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are tests"
)]

#[path = "../checks.rs"]
mod checks;

mod corpus;
mod messages;
mod properties;
