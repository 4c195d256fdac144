//! A simulated network around the real engine: the worst day, replayed as often as one likes.
//!
//! [`Simulator`] drives engines by the calls of the program's worker, against scripted upstreams and clients,
//! with one source of chance and a clock that jumps from event to event: the same seed gives the same run.
//! [`world`] makes topology, faults and load from a seed; [`Model`] says what should come out.
//! Nothing here opens a socket, reads a clock or is part of the product.
#![forbid(unsafe_code)]

mod bystander;
mod client; // clients over TCP
mod connection; // between a worker and an upstream
mod event; // what will happen, and what travels
pub mod fleet; // a million clients, a few instances, and the page about them
pub mod isolation; // what one harmful query costs others
pub mod message; // DNS messages, made without the code under test
mod model; // what should come out
mod network; // everything that travels, in the order of time
mod random; // the one source of chance
mod reaction; // what a scripted upstream does with one query
mod record; // what happened
pub mod scenario; // behaviours as text
mod script; // what an upstream does
mod simulator; // all of it together
mod upstream; // upstreams that follow a script
mod worker; // drives an engine as the program does
pub mod world; // topology, faults and load from a seed

pub use model::{Expected, LEARNING, Memory, Model, Room, SWIFT};
pub use random::{Random, Span};
pub use record::{
    Answered, Attempt, BEGINNING, ClientQuery, ClientResponse, Path, Record, UpstreamRecord, shown,
};
pub use script::{AnswerBound, Data, Invalid, Opening, Place, Reaction, Rule, Script, Segments};
pub use simulator::{Load, Plan, Simulator, cache_settings, settings};
pub use upstream::{Death, State};
