//! Stories about the engine in simulated time.

mod bomb;
mod cache;
mod cache_answers;
mod cache_attacks;
mod clients;
mod dnssec;
mod edns;
mod evidence;
mod failover;
mod handshakes;
mod isolation;
mod lab;
mod malformed;
mod measures;
mod memory;
mod message;
mod places;
mod protocol;
mod query_log;
mod reconfigure;
mod routes;
mod sessions;
mod stale;
mod streams;
mod tcp;
mod wrong_responses;
