//! DNS over QUIC (RFC 9250) as datagrams and messages: all client connections of one UDP socket.
//!
//! On the path of a query this stands between a UDP socket and the engine: datagrams go in, queries come out; responses go
//! in, datagrams come out. It owns no socket, thread or clock: the worker's loop drives it, and the
//! engine's limits and deadlines for connections bound it. Everything of the path that names quinn is in this crate.
//!
//! A client whose address is not validated gets a Retry whenever the engine says so, and then costs nothing here. Handshakes
//! are begun by the driver one at a time, so that a flood of them takes no more of a turn than the driver gives it. A
//! connection that is closed leaves nothing behind: late packets of it get a stateless reset.
//!
//! Limits: `limits`. QUIC version 1 alone, early data never. Not used: ECN, segmentation offload, datagrams longer than the 1,200
//! bytes that every path carries, tokens for later connections.
#![forbid(unsafe_code)]

mod clock;
mod connection;
mod ids;
mod server;
mod setup;
#[cfg(test)]
mod tests;
mod timers;
mod transactions;

/// The fixed bounds of a connection and of a socket.
pub mod limits;

pub use connection::{CloseCode, HandshakeFault, QuicEnd};
pub use server::{Attempt, OutgoingPacket, PacketFate, QuicServer, ReceivedPacket};
pub use setup::{QuicSetup, QuicSetupError};
