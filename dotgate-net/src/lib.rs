//! Batched UDP, TCP sockets, the clock, and the few system calls dotgate needs.
//!
//! First and last on the path of a query: a worker's datagrams come in and leave through
//! [`udp`], its streams start in [`tcp`], and its time is read from [`clock`]. This crate moves
//! bytes and addresses; it never looks into a DNS message and keeps no thread. It is the only
//! crate of the workspace with `unsafe` code.
//!
//! Systems: Linux, and macOS with one system call per datagram.

#![deny(unsafe_op_in_unsafe_fn)]
#![deny(clippy::undocumented_unsafe_blocks)]

pub mod activation;
pub mod allocator;
pub mod clock;
pub mod descriptors;
mod egress;
pub mod interfaces;
pub mod limits;
pub mod network;
mod option;
pub mod presence;
pub mod sandbox;
pub mod signals;
pub mod tcp;
pub mod udp;
pub mod user;

pub use allocator::map_large_blocks;
pub use clock::{boottime_nanos, monotonic_nanos};
pub use egress::Egress;
pub use interfaces::Named;
pub use limits::raise_descriptor_limit;
pub use presence::Presence;
pub use udp::{
    BATCH, BindOptions, Datagram, LocalAddress, Outgoing, RECEIVE_SLOT_BYTES, ReceiveBatch,
    SendBatch, Sent, UdpPath, UdpSocket,
};
