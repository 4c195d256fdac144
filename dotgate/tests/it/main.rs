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
mod call_counts;
mod certificates;
mod clients;
mod clockless;
mod cookies;
mod coredns;
mod designation;
mod dnstap;
mod doh;
mod doh_floods;
mod doh_proxy;
mod doq;
mod dot;
mod dot_hellos;
mod ends;
mod exhaustion;
mod failures;
mod filter;
mod four_views;
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
mod portal;
mod probing;
mod program;
mod prometheus;
mod proxy;
mod query_log;
mod rates;
mod reload;
mod rest;
mod retiring;
mod rolling;
mod routes;
mod sandbox;
mod signals;
mod snapshot;
mod start;
mod strategies;
mod streams;
mod stubs;
mod system_calls;
mod tail;
mod take_over;
mod top;
mod unresponsive;
mod volatile_routes;
mod world;
