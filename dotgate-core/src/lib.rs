//! Every decision on the path of a query, as state machines driven by input and time.
//!
//! The program feeds [`Engine`] with datagrams, bytes of streams and the time; the engine answers with
//! datagrams, bytes to write and [`Action`]s. The seam towards upstreams lies at the decrypted bytes of
//! one TLS stream, so that reconnecting, pipelining and retrying can be simulated.
//! This crate never touches a socket, a clock, a thread, the system's randomness or TLS.
#![forbid(unsafe_code)]
#![warn(clippy::iter_over_hash_type, clippy::wildcard_enum_match_arm)]

mod admit;
mod alert;
mod attempts;
pub mod cache;
mod clients;
mod counters;
mod domain;
mod due;
mod engine;
mod exchange;
mod exchanges;
mod failure;
mod flights;
mod frames;
mod groups;
mod health;
mod inflight;
mod isolation;
mod key_exchange;
mod keys;
pub mod limits;
mod link;
mod local;
mod loops;
mod memory;
mod moment;
mod outbox;
mod path_limits;
mod pool;
mod quarantine;
mod query;
mod questions;
mod random;
mod respond;
mod restore;
mod root;
mod route;
mod routes;
mod select;
mod session;
mod sessions;
mod settings;
mod stream;
mod sync;
mod tally;
mod upstreams;
mod verdict;
mod waiting;
mod zones;

pub use admit::{AccessList, MalformedClients, Quotas};
pub use alert::Alert;
pub use cache::Cache;
pub use counters::{
    BUCKETS_MICROS, ClientCounters, Count, Counters, Distribution, Gauge, GroupCounters,
    UpstreamCounters, WAITED, labels,
};
pub use engine::{Driver, Engine, Load, Shared, carry_out, drive};
pub use failure::{ConnectFault, Failure, Misbehaviour, SessionEnd, TlsFault};
pub use flights::{FlightMessage, Flights, WORKERS};
pub use health::{Evidence, Health, HealthState, Seen};
pub use key_exchange::{Handshakes, KeyExchange, KeyExchangePolicy};
pub use keys::{SessionKey, StreamKey, UpstreamId, WorkerId};
pub use link::{Link, Transport};
pub use local::{LocalData, LocalDataBuilder, LocalFault, RecordId};
pub use loops::OwnQueries;
pub use memory::ClientMemory;
pub use moment::Moment;
pub use outbox::{Action, Event, LogDetail, OutgoingDatagram, QueryEvent, ReturnPath};
pub use quarantine::Quarantine;
pub use query::ForwardedClasses;
pub use restore::CacheImporter;
pub use route::{LocalZone, LocalZones};
pub use routes::{Route, RouteId, RouteTable, reverse_zones};
pub use settings::{CacheSettings, GroupSettings, Settings, UpstreamSettings};
pub use stream::KernelBuffers;
