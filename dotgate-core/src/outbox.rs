//! The output of an engine: datagrams to send, connections to open, flush and close, things to log.
//!
//! Buffers are reused: once warm, a response costs no allocation.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use dotgate_wire::Question;
use ipnet::IpNet;

use crate::counters::labels::{
    AttemptKind, ClientHandshake, ClientTransport, Ending, Limit, StreamEnd,
};
use crate::failure::Failure;
use crate::key_exchange::KeyExchange;
use crate::keys::{SessionKey, StreamKey, UpstreamId};
use crate::link::Link;
use crate::moment::Moment;

/// How a datagram's response gets back: through the socket and from the address that were asked
/// (RFC 2181 section 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReturnPath {
    /// The driver's number of the UDP socket.
    pub socket: u16,
    /// The client.
    pub peer: SocketAddr,
    /// The address that was asked, where the socket has several.
    pub local_ip: Option<IpAddr>,
    /// The interface it came in on, for link-local addresses; else 0.
    pub interface: u32,
}

/// Something a driver does for the engine, in the order given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Begin to open a session: connect, then TLS if its link says so. Report with `Sessions::on_connected`,
    /// `session_opened` or `session_closed`. One over UDP needs no connection: what its output says is sent at once, and it
    /// opens by itself.
    OpenSession {
        /// The session.
        session: SessionKey,
        /// The upstream.
        upstream: UpstreamId,
        /// What carries it.
        link: Link,
        /// How often this engine has tried since the upstream was last healthy: picks among several addresses.
        try_number: u32,
        /// Whether to offer ALPN `dot`.
        alpn: bool,
        /// Which key exchange to offer.
        key_exchange: KeyExchange,
    },
    /// Encrypt and write what `Sessions::output` has. Over UDP: close the sockets of the queries that
    /// `Engine::poll_released` names, then send each frame that `Engine::session_awaits`, from a socket of its own.
    FlushSession(SessionKey),
    /// Close a session in good order; the engine has removed it.
    CloseSession(SessionKey),
    /// Write what `Clients::stream_output` has.
    FlushStream(StreamKey),
    /// Read from a client's connection again.
    ResumeStream(StreamKey),
    /// Report what the kernel holds for each client's connection with `Clients::stream_measured`, in this turn or in the
    /// next ones, then call `Engine::free_client_memory`.
    MeasureStreams,
    /// Close a client's connection, after what was flushed; the engine has removed it, for this reason.
    CloseStream(StreamKey, StreamEnd),
}

/// How much of what happens becomes an event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum LogDetail {
    /// What is rare.
    #[default]
    Usual,
    /// Each session and probe, too.
    Debug,
    /// Each attempt, too.
    Trace,
}

/// Something that an operator should read in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// An upstream gets no more queries while another one is healthy.
    UpstreamDown {
        /// The upstream.
        upstream: UpstreamId,
        /// Why.
        failure: Failure,
    },
    /// An upstream answers again.
    UpstreamHealthy {
        /// The upstream.
        upstream: UpstreamId,
    },
    /// An upstream refused ALPN and is asked without it.
    AlpnRejected {
        /// The upstream.
        upstream: UpstreamId,
    },
    /// A hybrid key exchange does not get through to an upstream, a classical one does; said once.
    KeyExchangeReduced {
        /// The upstream.
        upstream: UpstreamId,
    },
    /// A limit was reached; reported at once, then every ten seconds while it lasts.
    LimitHit {
        /// Which limit.
        limit: Limit,
        /// Its value.
        max: usize,
        /// How often since the last such event.
        times: u64,
        /// The prefix of the clients that it happened to most often.
        client: IpNet,
    },
    /// A question makes an upstream end each session that carries it; it is asked apart from now on.
    HarmfulQuestion {
        /// The upstream that ended the last one.
        upstream: UpstreamId,
    },
    /// A query that was sent to an upstream of this group came back as a client's query.
    Loop {
        /// The group's name.
        group: Box<str>,
    },
    /// An upstream closes its connections after so many answers, and gets no more queries on each.
    FewAnswers {
        /// The upstream.
        upstream: UpstreamId,
        /// How many.
        answers: u32,
    },
    /// A session that was open has ended. From `LogDetail::Debug` on.
    SessionEnded {
        /// The upstream.
        upstream: UpstreamId,
        /// Why.
        ending: Ending,
        /// Since when it was open.
        opened: Moment,
        /// How many responses came on it.
        responses: u32,
    },
    /// A probe was sent. From `LogDetail::Debug` on.
    ProbeSent {
        /// The upstream.
        upstream: UpstreamId,
    },
    /// A probe was answered. From `LogDetail::Debug` on.
    ProbeAnswered {
        /// The upstream.
        upstream: UpstreamId,
        /// The usual round trip on its session, this one included.
        round_trip: Duration,
    },
    /// The TLS handshake of a client is over, with or without success. From `LogDetail::Debug` on.
    ClientHandshake {
        /// The client.
        client: IpAddr,
        /// What it speaks.
        transport: ClientTransport,
        /// How the handshake ended.
        result: ClientHandshake,
        /// When it began.
        began: Moment,
    },
    /// An attempt failed. At `LogDetail::Trace`.
    AttemptFailed {
        /// The upstream.
        upstream: UpstreamId,
        /// Which attempt for its question it was.
        kind: AttemptKind,
        /// The question.
        question: Box<Question>,
        /// Why.
        failure: Failure,
        /// How long it had taken.
        took: Duration,
    },
    /// A question was sent. At `LogDetail::Trace`.
    Attempted {
        /// The upstream.
        upstream: UpstreamId,
        /// Which attempt for its question it is.
        kind: AttemptKind,
        /// The question.
        question: Box<Question>,
    },
}

impl Event {
    /// From which detail on it is made.
    pub fn detail(&self) -> LogDetail {
        match self {
            Event::UpstreamDown { .. }
            | Event::UpstreamHealthy { .. }
            | Event::AlpnRejected { .. }
            | Event::KeyExchangeReduced { .. }
            | Event::LimitHit { .. }
            | Event::HarmfulQuestion { .. }
            | Event::Loop { .. }
            | Event::FewAnswers { .. } => LogDetail::Usual,
            Event::SessionEnded { .. }
            | Event::ProbeSent { .. }
            | Event::ProbeAnswered { .. }
            | Event::ClientHandshake { .. } => LogDetail::Debug,
            Event::Attempted { .. } | Event::AttemptFailed { .. } => LogDetail::Trace,
        }
    }
}

/// One response to be sent by UDP.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingDatagram<'a> {
    /// Where to, and through what.
    pub path: ReturnPath,
    /// The message.
    pub bytes: &'a [u8],
}

/// Responses by UDP that wait to be sent.
#[derive(Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    datagrams: Vec<(ReturnPath, Range<usize>)>,
}

impl Outbox {
    /// Adds the message that `write` appends.
    pub(crate) fn push(&mut self, path: ReturnPath, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.datagrams.push((path, start..self.bytes.len()));
        if dotgate_wire::planted!("datagrams-are-answered-twice") {
            self.datagrams.push((path, start..self.bytes.len()));
        }
    }

    /// Adds the message that `write` appends, unless it says that there is none. Whether it was added.
    pub(crate) fn push_if(
        &mut self,
        path: ReturnPath,
        write: impl FnOnce(&mut Vec<u8>) -> bool,
    ) -> bool {
        let start = self.bytes.len();
        let is_written = write(&mut self.bytes);
        if is_written {
            self.datagrams.push((path, start..self.bytes.len()));
        } else {
            self.bytes.truncate(start);
        }
        is_written
    }

    /// A message that was added, by its number.
    pub(crate) fn get(&self, number: usize) -> Option<OutgoingDatagram<'_>> {
        let (path, range) = self.datagrams.get(number)?;
        Some(OutgoingDatagram {
            path: *path,
            bytes: self.bytes.get(range.clone())?,
        })
    }

    /// The length of the message that was added last.
    pub(crate) fn last_length(&self) -> usize {
        self.datagrams.last().map_or(0, |(_, range)| range.len())
    }

    pub(crate) fn len(&self) -> usize {
        self.datagrams.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = OutgoingDatagram<'_>> {
        self.datagrams.iter().map(|(path, range)| OutgoingDatagram {
            path: *path,
            bytes: self.bytes.get(range.clone()).unwrap_or_default(),
        })
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }
}
