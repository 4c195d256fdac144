//! Stories about the engine in simulated time.

mod clients;
mod edns;
mod failover;
mod lab;
mod message;
mod protocol;
mod sessions;
mod streams;
mod tcp;
