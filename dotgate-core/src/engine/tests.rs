//! Stories about the engine in simulated time.

mod clients;
mod failover;
mod lab;
mod sessions;
mod streams;
