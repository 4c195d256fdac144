//! One session to an upstream for a person who waits: blocking, and timed step by step.
//!
//! It works like a session of a worker, with the same TLS, so nothing is sent before the upstream is
//! authenticated. It never opens a second connection by itself. Limits: `limits::HANDSHAKE_WAIT` for connection and
//! handshake together, as for a worker's.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use dotgate_core::limits::HANDSHAKE_WAIT;
use dotgate_core::{KeyExchange, TlsFault};
use dotgate_net::{Egress, boottime_nanos, tcp};
use dotgate_tls::{HandshakeFacts, TlsChannel, TlsFailure, UpstreamTls};
use dotgate_wire::split_frame;

/// Room for one read of the socket, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// How a session failed.
#[derive(Debug)]
pub(super) enum SessionFailure {
    /// No TCP connection came about.
    Connect(io::Error),
    /// The handshake was not done in time.
    HandshakeTimedOut,
    /// TLS failed, in the handshake or later.
    Tls(TlsFailure),
}

impl SessionFailure {
    /// Whether a middlebox that takes no large ClientHello may have caused it.
    pub(super) fn may_be_size(&self) -> bool {
        match self {
            SessionFailure::Connect(_) => false,
            SessionFailure::HandshakeTimedOut => TlsFault::TimedOut.may_be_size(),
            SessionFailure::Tls(failure) => failure.fault().may_be_size(),
        }
    }
}

impl From<TlsFailure> for SessionFailure {
    fn from(failure: TlsFailure) -> SessionFailure {
        SessionFailure::Tls(failure)
    }
}

/// What a handshake offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Offer {
    pub(super) alpn: bool,
    pub(super) key_exchange: KeyExchange,
}

/// When a wait ends, in nanoseconds of the boot-time clock.
#[derive(Clone, Copy)]
struct Deadline(u64);

impl Deadline {
    fn in_(wait: Duration) -> Deadline {
        let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Deadline(boottime_nanos().saturating_add(wait))
    }

    /// The remaining time; `None` once it has passed.
    fn left(self) -> Option<Duration> {
        match self.0.saturating_sub(boottime_nanos()) {
            0 => None,
            left => Some(Duration::from_nanos(left)),
        }
    }
}

/// The time since `start`, in nanoseconds of the boot-time clock.
fn since(start: u64) -> Duration {
    Duration::from_nanos(boottime_nanos().saturating_sub(start))
}

/// An open session.
pub(super) struct Session {
    stream: TcpStream,
    tls: TlsChannel,
    buffer: Vec<u8>,
    received: Vec<u8>,
    is_closed: bool,
    /// What the TCP connection took.
    pub(super) connect: Duration,
    /// What the TLS handshake took.
    pub(super) handshake: Duration,
    /// The handshake's outcome.
    pub(super) facts: HandshakeFacts,
}

impl Session {
    pub(super) fn open(
        address: SocketAddr,
        egress: &Egress,
        tls: &UpstreamTls,
        offer: Offer,
    ) -> Result<Session, SessionFailure> {
        let mut tls = tls.connect(offer.alpn, offer.key_exchange)?;
        let deadline = Deadline::in_(HANDSHAKE_WAIT);
        let start = boottime_nanos();
        let mut stream = tcp::connect_within(address, egress, HANDSHAKE_WAIT)
            .map_err(SessionFailure::Connect)?;
        let connect = since(start);
        let start = boottime_nanos();
        let (mut buffer, mut received) = (vec![0; READ_BYTES], Vec::new());
        let facts = loop {
            let left = deadline.left().ok_or(SessionFailure::HandshakeTimedOut)?;
            turn(&mut stream, &mut tls, left, &mut buffer, &mut received)?;
            if let Some(facts) = tls.facts() {
                break facts;
            }
        };
        Ok(Session {
            stream,
            tls,
            buffer,
            received,
            is_closed: false,
            connect,
            handshake: since(start),
            facts,
        })
    }

    /// Sends frames at once and shows each message that comes back with the time it took, until `take` has enough,
    /// `wait` is over or the upstream closes.
    pub(super) fn exchange(
        &mut self,
        mut frames: Vec<u8>,
        wait: Duration,
        mut take: impl FnMut(&[u8], Duration) -> bool,
    ) -> Result<(), SessionFailure> {
        let deadline = Deadline::in_(wait);
        let start = boottime_nanos();
        loop {
            while let Some((message, rest)) = split_frame(&self.received) {
                let has_enough = take(message, since(start));
                let taken = self.received.len() - rest.len();
                self.received.drain(..taken);
                if has_enough {
                    return Ok(());
                }
            }
            let Some(left) = deadline.left().filter(|_| !self.is_closed) else {
                return Ok(());
            };
            self.stream.set_write_timeout(Some(left)).map_err(broken)?;
            self.tls.write(&mut self.stream, &mut frames)?;
            self.is_closed = turn(
                &mut self.stream,
                &mut self.tls,
                left,
                &mut self.buffer,
                &mut self.received,
            )?;
        }
    }

    /// Sends close_notify, if the upstream still reads.
    pub(super) fn close(mut self) {
        self.tls.close_notify();
        drop(self.tls.write(&mut self.stream, &mut Vec::new()));
    }
}

/// Writes what the handshake has to say and reads once. True once the upstream has ended its direction.
fn turn(
    stream: &mut TcpStream,
    tls: &mut TlsChannel,
    left: Duration,
    buffer: &mut [u8],
    received: &mut Vec<u8>,
) -> Result<bool, SessionFailure> {
    stream.set_write_timeout(Some(left)).map_err(broken)?;
    stream.set_read_timeout(Some(left)).map_err(broken)?;
    tls.write(stream, &mut Vec::new())?;
    let progress = tls.read(stream, buffer, &mut |plaintext| {
        received.extend_from_slice(plaintext);
    })?;
    Ok(progress.peer_closed.is_some())
}

fn broken(error: io::Error) -> SessionFailure {
    match error.kind() {
        ErrorKind::ConnectionReset => SessionFailure::Tls(TlsFailure::Reset),
        kind => SessionFailure::Tls(TlsFailure::Io(kind)),
    }
}
