//! Every decision on the path of a query, as state machines driven by input and time.
//!
//! The program feeds [`Engine`] with datagrams, bytes of streams and the time; the engine answers with
//! datagrams, bytes to write and [`Action`]s. The seam towards upstreams lies at the decrypted bytes of
//! one TLS stream, so that reconnecting, pipelining and retrying can be simulated.
//! This crate never touches a socket, a clock, a thread, the system's randomness or TLS.
//!
//! # How to drive an engine
//!
//! One thread owns an engine, and calls it with a time that never goes back. A turn has three parts:
//!
//! 1. Input: [`Engine::on_datagram`] for queries over UDP, `stream_*` for clients over TCP, `session_*` for upstreams. What
//!    can neither bring a query nor complete one is a method of [`Clients`] or [`Sessions`]. Input does no work for the outside
//!    and may be repeated.
//! 2. [`drive`], once: processes timeouts, then has the [`Driver`] carry out each [`Action`], send the datagrams and the messages to
//!    other workers, and log events. What an action brings at once, such as a refused connection, is input of the same turn.
//! 3. Sleep until input arrives or [`Engine::next_deadline`] is reached, which is later than the time of the turn.
//!
//! Every query that is accepted gets one response, by its deadline at the latest, if turns happen when they are due. Bytes of a
//! session are plaintext: a driver reports [`Engine::session_opened`] only after the upstream is authenticated, and the engine
//! has no byte for it before. Nothing here blocks, and no input makes it panic.
//!
//! ```
//! use std::sync::Arc;
//!
//! use dotgate_core::{
//!     Access, Action, Counters, Driver, Engine, Event, Moment, ReturnPath, SessionKey,
//!     Settings, Shared, UpstreamId, UpstreamSettings, WorkerId, drive,
//! };
//!
//! /// An engine in a network with one upstream, which answers everything that it is asked.
//! struct World {
//!     engine: Engine,
//!     opened: Option<SessionKey>,
//!     responses: Vec<Vec<u8>>,
//! }
//!
//! impl Driver for World {
//!     fn engine(&mut self) -> &mut Engine {
//!         &mut self.engine
//!     }
//!
//!     fn act(&mut self, now: Moment, action: Action) {
//!         match action {
//!             Action::OpenSession { session, .. } => {
//!                 self.engine.sessions_mut().on_connected(now, session);
//!                 self.engine.session_opened(now, session);
//!                 self.opened = Some(session);
//!             }
//!             Action::FlushSession(session) => {
//!                 let Some(output) = self.engine.sessions_mut().output(session) else { return };
//!                 // Each query in its frame, with QR and RA set, is a response without records.
//!                 let mut frame = std::mem::take(output);
//!                 frame[4] |= 0x80;
//!                 frame[5] |= 0x80;
//!                 self.engine.session_bytes(now, session, &frame);
//!             }
//!             _ => {}
//!         }
//!     }
//!
//!     fn send_datagrams(&mut self, _now: Moment) {
//!         let datagrams = self.engine.clients().datagrams();
//!         self.responses.extend(datagrams.map(|datagram| datagram.bytes.to_vec()));
//!         self.engine.clients_mut().clear_datagrams();
//!     }
//!
//!     fn send_flight_messages(&mut self) {}
//!
//!     fn log(&mut self, _now: Moment, _event: Event) {}
//! }
//!
//! let settings = Settings {
//!     access: Access::of(["192.0.2.0/24".parse()?]),
//!     ..Settings::for_upstreams(vec![UpstreamSettings::new(UpstreamId(0), "upstream")])
//! };
//! let counters = Arc::new(Counters::new());
//! let mut world = World {
//!     engine: Engine::new(WorkerId(0), Arc::new(settings), Shared::alone(), counters, [7; 32]),
//!     opened: None,
//!     responses: Vec::new(),
//! };
//!
//! let now = Moment::from_nanos(1_000_000_000);
//! let path = ReturnPath {
//!     socket: 0,
//!     peer: "192.0.2.1:5300".parse()?,
//!     local_ip: None,
//!     interface: 0,
//! };
//! let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\0\0\x01\0\x01";
//! world.engine.on_datagram(now, path, query);
//! drive(&mut world, now);
//!
//! assert!(world.opened.is_some());
//! let response = world.responses.pop().ok_or("no response")?;
//! assert_eq!(response[..2], query[..2], "the client's message ID");
//! assert!(world.engine.next_deadline().is_none_or(|deadline| deadline > now));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![warn(clippy::iter_over_hash_type, clippy::wildcard_enum_match_arm)]

mod admit;
mod alert;
mod attempts;
pub mod cache;
mod clients;
mod cookies;
mod counters;
mod domain;
mod due;
mod engine;
mod exchange;
mod exchanges;
mod failure;
mod filter;
mod flights;
mod frames;
mod groups;
mod health;
mod hedges;
mod idle_timeout;
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
mod nat64;
mod outbox;
mod path_limits;
mod pool;
mod portal;
mod quarantine;
mod query;
mod questions;
mod random;
mod record;
mod respond;
mod response_time;
mod restore;
mod root;
mod route;
mod routes;
mod select;
mod session;
mod sessions;
mod settings;
mod stream;
mod suffixes;
mod sync;
mod tally;
mod tap;
mod upstreams;
mod verdict;
mod waiting;
mod zones;

pub use admit::{
    Access, AccessAnswer, AccessList, AccessScope, MalformedClients, Quotas, RateSettings, Rates,
};
pub use alert::Alert;
pub use cache::Cache;
pub use clients::{Clients, StreamHeader};
pub use cookies::{CookieSecret, CookieSecrets, WallClock};
pub use counters::labels::Strategy;
pub use counters::{
    BUCKETS_MICROS, ClientCounters, Count, Counters, Distribution, Gauge, GroupCounters,
    UpstreamCounters, WAITED, labels,
};
pub use domain::{operator, registrable};
pub use engine::{Driver, Engine, Load, Shared, carry_out, drive};
pub use failure::{ConnectFault, Failure, Misbehaviour, SessionEnd, TlsFault};
pub use filter::{
    Filter, ListAction, ListCount, ListFault, ListScope, Lists, ListsBuilder, Rebinding, Substitute,
};
pub use flights::{FlightMessage, Flights, WORKERS};
pub use health::{
    Evidence, Health, HealthState, Incident, IncidentKind, NextStep, Recorder, Seen, Stage,
};
pub use idle_timeout::IdleTimeout;
pub use key_exchange::{Handshakes, KeyExchange, KeyExchangePolicy};
pub use keys::{SessionKey, StreamKey, UpstreamId, WorkerId};
pub use link::{Link, Transport};
pub use local::{LocalData, LocalDataBuilder, LocalFault, RecordId, ptr_that_follows};
pub use loops::OwnQueries;
pub use memory::ClientMemory;
pub use moment::Moment;
pub use nat64::Dns64Prefix;
pub use outbox::{Action, Event, LogDetail, OutgoingDatagram, ReturnPath};
pub use portal::{PortalEnd, PortalWindow};
pub use quarantine::Quarantine;
pub use query::ForwardedClasses;
pub use record::{Ended, QueryRecord};
pub use restore::CacheImporter;
pub use route::{LocalZone, special_use};
pub use routes::{Route, RouteId, RouteTable, reverse_zones};
pub use sessions::Sessions;
pub use settings::{CacheSettings, GroupSettings, Settings, ShardKey, UpstreamSettings};
pub use stream::{AcceptedStream, KernelBuffers, StreamKind};
pub use tap::{MessageKind, MessagePeer, TappedMessage};
