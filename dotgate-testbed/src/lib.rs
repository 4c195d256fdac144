//! What tests and `dotgate demo` need around the forwarder: certificates and an embedded DNS-over-TLS resolver on loopback.
//!
//! It is where the upstreams are, and needs no network. Its keys are made at start, live in memory alone and
//! authenticate nothing beyond the process.
#![forbid(unsafe_code)]

pub mod certificates;
pub mod quic;
pub mod resolver;
