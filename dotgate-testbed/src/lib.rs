//! What tests and `dotgate demo` need around the forwarder: certificates, a scripted DNS-over-TLS server on loopback, and a
//! client over QUIC.
//!
//! The server has the place of an upstream, and needs no network. Its keys are made at start and are only in memory. They
//! authenticate nothing outside of the process.
#![forbid(unsafe_code)]

pub mod certificates;
pub mod quic;
pub mod resolver;
pub mod upstream;
