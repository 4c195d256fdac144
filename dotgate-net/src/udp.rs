//! Datagrams in and out, up to [`BATCH`] of them per system call.
//!
//! The listener's end of a query's path: a [`ReceiveBatch`] is filled from a worker's
//! [`UdpSocket`], and its responses leave through a [`SendBatch`] from the very address the query
//! came to (RFC 2181 section 4.1). Memory is allocated when a socket or batch is made and never
//! again. It never waits, never looks into a datagram and never holds one back.

mod address;
mod connected;
mod control;
mod memory;
mod path;
mod receive;
mod send;
mod slots;
mod socket;

use std::net::{IpAddr, SocketAddr};

pub use connected::connect;
pub use path::{FoundPath, is_refusal};
pub use receive::ReceiveBatch;
pub use send::{SendBatch, Sent};
pub(crate) use socket::prepare;
pub use socket::{BindOptions, UdpSocket};

/// Datagrams per batch. Receiving gains nothing more beyond 16 on loopback; a bigger batch also
/// packs more queries into one TLS record. 32 slots of 2 KiB stay in a core's second-level cache.
pub const BATCH: usize = 32;

/// Bytes a received datagram may have; what is longer is cut. Queries over UDP are far shorter,
/// and responses are asked for at 1232 bytes at most.
pub const RECEIVE_SLOT_BYTES: usize = 2048;

/// Which system calls carry datagrams. Both behave alike but for their cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UdpPath {
    /// `recvmmsg` and `sendmmsg`: up to [`BATCH`] datagrams per call.
    #[cfg(target_os = "linux")]
    Batched,
    /// `recvmsg` and `sendmsg`: one datagram per call.
    Portable,
}

impl Default for UdpPath {
    /// Batched where the system can.
    #[cfg(target_os = "linux")]
    fn default() -> Self {
        UdpPath::Batched
    }

    /// Batched where the system can.
    #[cfg(not(target_os = "linux"))]
    fn default() -> Self {
        UdpPath::Portable
    }
}

/// Where a datagram came in, so that the response leaves from there (RFC 2181 section 4.1).
///
/// Empty on a socket bound to one address, from which everything leaves anyway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LocalAddress {
    /// The address the datagram came to; of a broadcast, the interface's own address.
    pub ip: Option<IpAddr>,
    /// The interface's index where `ip` is link-local, else 0: the route decides.
    pub interface: u32,
}

/// A datagram received. It borrows the batch it is in.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Who sent it. Its port may be 0: nothing can be sent there.
    pub peer: SocketAddr,
    /// Where it came in.
    pub local: LocalAddress,
    /// Its payload, 0 to [`RECEIVE_SLOT_BYTES`] bytes.
    pub bytes: &'a [u8],
    /// Whether it was longer than [`RECEIVE_SLOT_BYTES`] and the rest is lost.
    pub is_cut: bool,
}

/// A datagram to send.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Its destination.
    pub peer: SocketAddr,
    /// The address it leaves from: what the query's [`Datagram::local`] said.
    pub local: LocalAddress,
    /// Its payload.
    pub bytes: &'a [u8],
}
