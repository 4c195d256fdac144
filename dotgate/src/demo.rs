//! An embedded DNS-over-TLS resolver on loopback, for `dotgate demo` and for tests.
//!
//! It stands where the upstreams stand, on the far side of *session*, and needs no network. Its keys are
//! made at start, live in memory alone and authenticate nothing beyond the process.

pub mod certificates;
mod command;
pub mod resolver;

pub use command::run;
