//! The forwarder with real sockets and real TLS between scripted upstreams and clients.
//!
//! Every test builds a `world`: upstreams that speak DNS over TLS and misbehave on command, the forwarder with a
//! configuration written as text, clients over UDP and TCP. Asserted is what a person outside can count (answers,
//! queries and connections that reached an upstream, counters, exit statuses), never a time. Every wait has a bound.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a part of a test that cannot go on fails the test"
)]

mod access;
mod admin;
mod admin_api;
mod admin_socket;
mod agreement;
mod asking;
mod balancer;
mod certificates;
mod clients;
mod clockless;
mod coredns;
mod designation;
mod dnstap;
mod doh;
mod doh_floods;
mod doh_proxy;
mod dot;
mod ends;
mod exhaustion;
mod failures;
mod filter;
mod lists;
mod local;
mod log;
mod metrics;
mod middlebox;
mod misbehaviour;
mod outage;
mod page;
mod peers;
mod plain;
mod probing;
mod program;
mod prometheus;
mod proxy;
mod query_log;
mod rates;
mod reload;
mod rest;
mod rolling;
mod routes;
mod sandbox;
mod signals;
mod snapshot;
mod start;
mod strategies;
mod streams;
mod system_calls;
mod take_over;
mod top;
mod unresponsive;
mod world;
