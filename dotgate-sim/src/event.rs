//! What will happen in the simulated network, and what travels in it.

use std::time::Duration;

use dotgate_core::{KeyExchange, SessionEnd};

/// What travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Segment {
    Bytes(Vec<u8>),
    /// A message over UDP, on the socket of the query with this ID.
    Datagram(u16, Vec<u8>),
    /// The last message of a client's TLS handshake.
    TlsFinished,
    /// The end, in good order.
    Fin,
    /// The end, at once.
    Reset,
}

/// What a worker reads from a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// The TCP connection stands.
    Connected,
    /// The upstream is authenticated.
    Opened,
    /// It could not be opened.
    Failed(SessionEnd),
    Bytes(Vec<u8>),
    /// A message over UDP, on the socket of the query with this ID.
    Datagram(u16, Vec<u8>),
    /// It ended.
    End(Segment),
    /// There is room to write again.
    Room,
}

/// What a worker offers in its first message of TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    pub(crate) alpn: bool,
    /// Hybrid ones need more than one segment.
    pub(crate) key_exchange: KeyExchange,
}

/// Something that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Bytes, or the end, reach an upstream.
    AtUpstream(usize, Segment),
    /// Something about a connection reaches its worker.
    AtWorker(usize, Arrival),
    /// An upstream has made up its mind.
    Speak(usize, Segment),
    /// A serial upstream has finished with a query.
    Finished(usize),
    /// An upstream looks whether a connection has been idle too long.
    IdleCheck(usize),
    /// A connection that vanished is tried again by the system, with ALPN or without, and so much later again.
    ConnectAgain(usize, Hello, Duration),
    /// An upstream that was cut off is reached again.
    Reached(usize),
    /// A client's datagram reaches its worker.
    Datagram(usize),
    /// A client's connection reaches its worker.
    StreamOpens(usize),
    /// Bytes of a client, or the end, reach its worker.
    StreamAtWorker(usize, Segment),
    /// So many bytes of responses reach a client, or the end.
    StreamAtClient(usize, Segment),
}
