//! One client connection: QUIC, and the queries on its streams.

use std::net::IpAddr;

use bytes::Bytes;
use dotgate_core::Moment;
use quinn_proto::{
    ConnectionError, ConnectionEvent, ConnectionHandle, Dir, EndpointEvent, Event, ReadError,
    ReadableError, StreamEvent, StreamId, Transmit, VarInt, WriteError,
};

use crate::clock::QuicClock;
use crate::limits;
use crate::transactions::{Transactions, Violation};

/// What a connection or a stream ends with (RFC 9250 section 4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseCode {
    /// DOQ_NO_ERROR: nothing is wrong.
    NoError,
    /// DOQ_INTERNAL_ERROR: the fault is dotgate's.
    Internal,
    /// DOQ_PROTOCOL_ERROR: the fault is the client's.
    Protocol,
    /// DOQ_REQUEST_CANCELLED: the client did not want the response.
    Cancelled,
    /// DOQ_EXCESSIVE_LOAD: there is no room for it.
    ExcessiveLoad,
}

impl CloseCode {
    fn number(self) -> VarInt {
        VarInt::from_u32(match self {
            CloseCode::NoError => 0,
            CloseCode::Internal => 1,
            CloseCode::Protocol => 2,
            CloseCode::Cancelled => 3,
            CloseCode::ExcessiveLoad => 4,
        })
    }
}

/// Why a connection is over. It is closed already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuicEnd {
    /// The client closed it or does not respond, or it has its responses after [`crate::QuicServer::shut_down`].
    Closed,
    /// The handshake failed.
    Handshake(HandshakeFault),
    /// The client broke QUIC or the rules of RFC 9250.
    Protocol,
    /// The client did not complete a query in time.
    IncompleteQuery,
    /// The client cancelled most of what it asked.
    Flood,
}

/// How a handshake failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HandshakeFault {
    /// The client no longer responds.
    Closed,
    /// By a TLS alert of ours with this number (RFC 8446 section 6).
    Alert(u8),
    /// By the client, for instance because it does not trust the certificate.
    ByClient,
    /// In QUIC itself.
    Protocol,
}

/// Errors of TLS are its alerts plus this number (RFC 9001 section 4.8).
const CRYPTO_ERROR: u64 = 0x100;

impl HandshakeFault {
    pub(crate) fn of(error: &ConnectionError) -> HandshakeFault {
        match error {
            ConnectionError::TransportError(error) => {
                let alert = u64::from(error.code).checked_sub(CRYPTO_ERROR);
                let alert = alert.and_then(|alert| u8::try_from(alert).ok());
                alert.map_or(HandshakeFault::Protocol, HandshakeFault::Alert)
            }
            ConnectionError::ConnectionClosed(_) => HandshakeFault::ByClient,
            ConnectionError::VersionMismatch | ConnectionError::CidsExhausted => {
                HandshakeFault::Protocol
            }
            ConnectionError::ApplicationClosed(_)
            | ConnectionError::Reset
            | ConnectionError::TimedOut
            | ConnectionError::LocallyClosed => HandshakeFault::Closed,
        }
    }
}

pub(crate) struct Connection {
    quic: quinn_proto::Connection,
    pub(crate) handle: ConnectionHandle,
    pub(crate) peer: IpAddr,
    pub(crate) is_established: bool,
    /// Datagrams of its handshake that wait for the driver.
    pub(crate) waiting: usize,
    pub(crate) transactions: Transactions,
    /// Streams may have bytes that were not read for lack of room.
    has_unread: bool,
    /// Whether it ends once the client has its responses, and has acknowledged them if that can be heard.
    is_ending: Option<Ending>,
    pub(crate) end: Option<QuicEnd>,
    /// Whether it is to be removed as soon as its last packets are written.
    pub(crate) is_over: bool,
    /// Whether the client has not been sent the packet that closes it: QUIC may hold that back for a moment.
    owes_close: bool,
    /// Whether it is listed as one that may have packets to send.
    pub(crate) is_listed: bool,
    /// Whether it is listed as one that the driver is to look at.
    pub(crate) is_changed: bool,
    /// Its entry among the timers.
    pub(crate) timer: Option<Moment>,
}

struct Ending {
    hears_acknowledgments: bool,
    answered_since: Option<Moment>,
}

impl Connection {
    pub(crate) fn new(
        quic: quinn_proto::Connection,
        handle: ConnectionHandle,
        peer: IpAddr,
    ) -> Connection {
        Connection {
            quic,
            handle,
            peer,
            is_established: false,
            waiting: 0,
            transactions: Transactions::default(),
            has_unread: false,
            is_ending: None,
            end: None,
            is_over: false,
            owes_close: false,
            is_listed: false,
            is_changed: false,
            timer: None,
        }
    }

    pub(crate) fn on_event(&mut self, event: ConnectionEvent) {
        self.quic.handle_event(event);
    }

    pub(crate) fn poll_endpoint_event(&mut self) -> Option<EndpointEvent> {
        self.quic.poll_endpoint_events()
    }

    pub(crate) fn poll_transmit(
        &mut self,
        now: std::time::Instant,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let transmit = self.quic.poll_transmit(now, 1, out);
        // Once it is closed, QUIC sends nothing else.
        self.owes_close &= transmit.is_none();
        transmit
    }

    /// Whether there is no use in it any more.
    pub(crate) fn may_be_forgotten(&self) -> bool {
        let owes = self.owes_close && self.is_established && !self.quic.is_drained();
        self.is_over && !owes
    }

    /// Lets time pass.
    pub(crate) fn on_timeout(&mut self, now: Moment, clock: QuicClock) {
        self.quic.handle_timeout(clock.instant(now));
        if self.has_unread && self.transactions.wait_for_engine() {
            self.transactions.wait_from(now);
        }
        let since = self.transactions.incomplete_since();
        if since.is_some_and(|since| since + limits::QUERY_WAIT <= now) {
            self.fail(
                now,
                clock,
                QuicEnd::IncompleteQuery,
                CloseCode::ExcessiveLoad,
            );
        }
        self.end_if_answered(now);
    }

    /// When [`Connection::on_timeout`] is to be called.
    pub(crate) fn next_deadline(&mut self, clock: QuicClock) -> Option<Moment> {
        let quic = self.quic.poll_timeout().map(|due| clock.moment(due));
        let since = self.transactions.incomplete_since();
        let incomplete = since.map(|since| since + limits::QUERY_WAIT);
        let ending = self.is_ending.as_ref();
        let last = ending.and_then(|ending| ending.answered_since);
        let last = last.map(|since| since + limits::LAST_WAIT);
        [quic, incomplete, last].into_iter().flatten().min()
    }

    /// Takes what QUIC has to report: queries, cancellations, the end.
    pub(crate) fn take_events(&mut self, now: Moment, clock: QuicClock) {
        while self.end.is_none()
            && let Some(event) = self.quic.poll()
        {
            match event {
                Event::Connected => self.is_established = true,
                Event::ConnectionLost { reason } => self.end = Some(self.end_of(&reason)),
                Event::Stream(event) => {
                    if let Err((end, code)) = self.on_stream(now, event) {
                        self.fail(now, clock, end, code);
                    }
                }
                Event::HandshakeDataReady | Event::DatagramReceived | Event::DatagramsUnblocked => {
                }
            }
        }
        self.end_if_answered(now);
    }

    fn end_of(&self, reason: &ConnectionError) -> QuicEnd {
        match reason {
            _ if !self.is_established => QuicEnd::Handshake(HandshakeFault::of(reason)),
            ConnectionError::TransportError(_) => QuicEnd::Protocol,
            ConnectionError::VersionMismatch
            | ConnectionError::ConnectionClosed(_)
            | ConnectionError::ApplicationClosed(_)
            | ConnectionError::Reset
            | ConnectionError::TimedOut
            | ConnectionError::LocallyClosed
            | ConnectionError::CidsExhausted => QuicEnd::Closed,
        }
    }

    fn on_stream(&mut self, now: Moment, event: StreamEvent) -> Result<(), (QuicEnd, CloseCode)> {
        let result = match event {
            StreamEvent::Opened { dir: Dir::Uni } => Err(Violation),
            StreamEvent::Opened { dir: Dir::Bi } => {
                while let Some(id) = self.quic.streams().accept(Dir::Bi) {
                    self.transactions.open(id, now);
                    self.read(id).map_err(end_of_client)?;
                }
                Ok(())
            }
            StreamEvent::Readable { id } => return self.read(id).map_err(end_of_client),
            StreamEvent::Writable { .. } => {
                self.write_responses();
                Ok(())
            }
            StreamEvent::Finished { id } => {
                self.transactions.acknowledge(id);
                Ok(())
            }
            StreamEvent::Stopped { id, .. } => return self.cancel(id).map_err(end_of_client),
            StreamEvent::Available { .. } => Ok(()),
        };
        result.map_err(|Violation| end_of_client(Fault::Violation))
    }

    /// Reads what a stream has, unless there is no room for it.
    fn read(&mut self, id: StreamId) -> Result<(), Fault> {
        loop {
            if !self.transactions.may_read() {
                self.has_unread = true;
                return Ok(());
            }
            let mut stream = self.quic.recv_stream(id);
            let mut chunks = match stream.read(true) {
                Ok(chunks) => chunks,
                Err(ReadableError::ClosedStream | ReadableError::IllegalOrderedRead) => {
                    return Ok(());
                }
            };
            let read = chunks.next(usize::from(u16::MAX));
            // Whatever is to be sent in return is sent at the end of the turn.
            drop(chunks);
            match read {
                Ok(Some(chunk)) => self.transactions.add(id, &chunk.bytes)?,
                Ok(None) => return Ok(self.transactions.finish(id)?),
                Err(ReadError::Blocked) => return Ok(()),
                Err(ReadError::Reset(_)) => return self.cancel(id),
            }
        }
    }

    /// Reads on where there was no room.
    pub(crate) fn read_on(&mut self, now: Moment, clock: QuicClock) {
        if !self.has_unread || !self.transactions.may_read() || self.end.is_some() {
            return;
        }
        self.has_unread = false;
        self.transactions.wait_from(now);
        for id in self.transactions.incomplete() {
            if let Err(fault) = self.read(id) {
                let (end, code) = end_of_client(fault);
                return self.fail(now, clock, end, code);
            }
        }
    }

    /// The client does not want the response on a stream.
    fn cancel(&mut self, id: StreamId) -> Result<(), Fault> {
        let is_flood = self.transactions.cancel(id);
        // It may be reset already, or have got its response.
        drop(
            self.quic
                .send_stream(id)
                .reset(CloseCode::Cancelled.number()),
        );
        drop(
            self.quic
                .recv_stream(id)
                .stop(CloseCode::Cancelled.number()),
        );
        match is_flood {
            true => Err(Fault::Flood),
            false => Ok(()),
        }
    }

    /// Takes a response of the engine.
    pub(crate) fn respond(&mut self, message: &[u8]) {
        self.transactions.respond(message);
        self.write_responses();
    }

    /// Hands responses to QUIC, as far as it takes them: the window of one stream may be smaller than that of the next one.
    fn write_responses(&mut self) {
        let mut stopped = Vec::new();
        let quic = &mut self.quic;
        self.transactions.outgoing.retain_mut(|outgoing| {
            let mut stream = quic.send_stream(outgoing.id);
            // Until it is whole or blocked: only after that QUIC says when there is room again.
            while let Some(left @ [_, ..]) = outgoing.bytes.get(outgoing.taken..) {
                match stream.write(left) {
                    Ok(taken) => outgoing.taken += taken,
                    Err(WriteError::Blocked) => return true,
                    Err(WriteError::Stopped(_) | WriteError::ClosedStream) => {
                        stopped.push(outgoing.id);
                        return false;
                    }
                }
            }
            // A stream that the client has stopped has ended already.
            drop(stream.finish());
            false
        });
        for id in stopped {
            // More than may be cancelled are noticed when the client says so.
            self.transactions.cancel(id);
        }
    }

    /// Ends the connection once the client has its responses.
    pub(crate) fn shut_down(&mut self, now: Moment, hears: bool) {
        let ending = self.is_ending.get_or_insert(Ending {
            hears_acknowledgments: hears,
            answered_since: None,
        });
        ending.hears_acknowledgments &= hears;
        self.end_if_answered(now);
    }

    pub(crate) fn end_if_answered(&mut self, now: Moment) {
        let Some(ending) = &mut self.is_ending else {
            return;
        };
        if self.end.is_some() || !self.is_established {
            return;
        }
        if !self.transactions.is_answered() {
            ending.answered_since = None;
            return;
        }
        let since = *ending.answered_since.get_or_insert(now);
        let is_acknowledged = self.transactions.unsent() == 0;
        let waits = ending.hears_acknowledgments && since + limits::LAST_WAIT > now;
        if is_acknowledged || !waits {
            self.end = Some(QuicEnd::Closed);
        }
        // Packets with the last responses go before the one that closes: see `QuicServer::flush`.
    }

    /// Closes the connection, and tells the client so.
    pub(crate) fn close(&mut self, now: Moment, clock: QuicClock, code: CloseCode) {
        let (instant, code) = (clock.instant(now), code.number());
        if !self.quic.is_closed() {
            self.quic.close(instant, code, Bytes::new());
            self.owes_close = true;
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.quic.is_closed()
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.quic.is_handshaking()
    }

    fn fail(&mut self, now: Moment, clock: QuicClock, end: QuicEnd, code: CloseCode) {
        if self.end.is_none() {
            self.end = Some(end);
            self.close(now, clock, code);
        }
    }
}

/// What a client did wrong on a stream.
enum Fault {
    Violation,
    Flood,
}

impl From<Violation> for Fault {
    fn from(Violation: Violation) -> Fault {
        Fault::Violation
    }
}

fn end_of_client(fault: Fault) -> (QuicEnd, CloseCode) {
    match fault {
        Fault::Violation => (QuicEnd::Protocol, CloseCode::Protocol),
        Fault::Flood => (QuicEnd::Flood, CloseCode::ExcessiveLoad),
    }
}
