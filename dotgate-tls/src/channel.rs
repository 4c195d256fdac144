//! The TLS of one connection over a non-blocking socket, in the shape a poll loop wants.
//!
//! It is between a *session* or a client's *stream* and its socket: frames of plaintext go in, records go out, and the
//! other way round. It owns no socket and waits for nothing. Not one byte of a frame is encrypted, let alone
//! sent, before the handshake is complete: before the upstream is authenticated (RFC 8310 section 6.6). Nothing follows a
//! failure.
//!
//! Limits: rustls keeps at most 64 KiB of unsent records and 16 KiB of plaintext not yet taken, so the
//! plaintext is drained after every 4 KiB fed. Records hold up to 16 KiB.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConnection, Connection, HandshakeKind, ProtocolVersion, ServerConnection};

use super::failure::TlsFailure;

/// How the peer ended its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// By the alert close_notify: it has said all it wanted.
    Notify,
    /// By the end of the stream alone (TCP FIN): what came may be a part.
    Fin,
}

/// What one read brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether the handshake was finished by this read; [`TlsChannel::facts`] has its outcome.
    pub handshake_done_now: bool,
    /// Set from the read on in which the peer's end was seen.
    pub peer_closed: Option<Close>,
    /// Whether the read filled the buffer, so that the socket may have more. A shorter read has emptied
    /// the socket, but for a FIN: a caller notified by its poll that the read side is closed reads once more.
    pub maybe_more: bool,
    /// Whether the socket had nothing, not even its end: whatever comes is announced by the poll.
    pub would_block: bool,
}

/// What a write left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteState {
    /// Whether something is left that waits for the socket to become writable.
    pub wants_writable: bool,
    /// Bytes that the socket took.
    pub taken: usize,
    /// Bytes of frames that are encrypted and may not all have been taken; none if nothing is left.
    pub encrypted: usize,
}

/// The outcome of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeFacts {
    /// The protocol version: `TLS 1.2` or `TLS 1.3`.
    pub version: &'static str,
    /// The cipher suite's IANA name.
    pub cipher_suite: &'static str,
    /// The key exchange's group; `None` in a TLS 1.2 session that was resumed.
    pub key_exchange: Option<String>,
    /// The application protocol that was agreed on.
    pub alpn: Option<String>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The peer's certificates, its own first; of the first session where this one was resumed.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// The TLS of one connection.
#[derive(Debug)]
pub struct TlsChannel {
    connection: Connection,
    failure: Option<TlsFailure>,
    peer_closed: Option<Close>,
    closing: bool,
    /// Bytes of frames that were encrypted since the socket last took everything.
    encrypted: usize,
}

impl TlsChannel {
    /// Towards an upstream.
    pub(super) fn of_upstream(connection: ClientConnection) -> Self {
        Self::new(connection.into())
    }

    /// Towards a client.
    pub(super) fn of_client(connection: ServerConnection) -> Self {
        Self::new(connection.into())
    }

    fn new(connection: Connection) -> Self {
        Self {
            connection,
            failure: None,
            peer_closed: None,
            closing: false,
            encrypted: 0,
        }
    }

    /// Reads once from the socket and hands every piece of plaintext to `on_plaintext`, in order.
    ///
    /// `buffer` is room for what the socket has (64 KiB is best), of no meaning before and after. What the
    /// handshake has to say in return goes out with the next [`Self::write`]; an alert about a failure is
    /// tried at once.
    ///
    /// # Errors
    /// [`TlsFailure`]; plaintext that came before the failure has been handed over. Every later call
    /// returns the same.
    pub fn read<S: Read + Write>(
        &mut self,
        socket: &mut S,
        buffer: &mut [u8],
        on_plaintext: &mut dyn FnMut(&[u8]),
    ) -> Result<Progress, TlsFailure> {
        self.check()?;
        let was_handshaking = self.is_handshaking();
        let (mut maybe_more, mut would_block) = (false, false);
        match read_once(socket, buffer) {
            Ok(None) => would_block = true,
            Ok(Some(0)) => self.peer_closed = self.peer_closed.or(Some(Close::Fin)),
            Ok(Some(length)) => {
                maybe_more = length == buffer.len();
                if let Err(failure) = self.feed(&buffer[..length], on_plaintext) {
                    // The alert is a courtesy: the failure stands whether it can be sent or not.
                    drop(self.connection.write_tls(socket));
                    return Err(self.fail(failure));
                }
            }
            Err(error) => return Err(self.fail(TlsFailure::from_io(&error))),
        }
        if self.peer_closed.is_some() && self.is_handshaking() {
            return Err(self.fail(TlsFailure::ClosedInHandshake));
        }
        Ok(Progress {
            handshake_done_now: was_handshaking && !self.is_handshaking(),
            peer_closed: self.peer_closed,
            maybe_more,
            would_block,
        })
    }

    /// Takes plaintext from the front of `frames`, encrypts it and writes what the socket takes.
    ///
    /// One write call, and a further one only where the socket took all of the one before and more is
    /// there. What was encrypted and not taken is kept; what was not encrypted stays in `frames`: all of
    /// it while the handshake continues and after [`Self::close_notify`].
    ///
    /// # Errors
    /// [`TlsFailure`] of the socket, or the one of an earlier call.
    pub fn write<S: Write>(
        &mut self,
        socket: &mut S,
        frames: &mut Vec<u8>,
    ) -> Result<WriteState, TlsFailure> {
        self.check()?;
        let mut taken = 0;
        loop {
            self.encrypt(frames)?;
            if !self.connection.wants_write() {
                self.encrypted = 0;
                return Ok(self.write_state(taken));
            }
            let mut offer = Offer {
                socket,
                took_all: false,
            };
            match self.connection.write_tls(&mut offer) {
                Ok(0) => return Err(self.fail(TlsFailure::Io(ErrorKind::WriteZero))),
                Ok(length) => {
                    taken += length;
                    if !offer.took_all {
                        return Ok(self.write_state(taken));
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(self.write_state(taken)),
                    ErrorKind::Interrupted => {}
                    _ => return Err(self.fail(TlsFailure::from_io(&error))),
                },
            }
        }
    }

    fn write_state(&self, taken: usize) -> WriteState {
        WriteState {
            wants_writable: self.connection.wants_write(),
            taken,
            encrypted: self.encrypted,
        }
    }

    /// Says that nothing more will be sent (RFC 7858 section 3.4); the next [`Self::write`] sends it. What
    /// is in `frames` from now on stays there.
    pub fn close_notify(&mut self) {
        self.closing = true;
        self.connection.send_close_notify();
    }

    /// Returns whether the handshake is going on.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Returns whether the handshake is done, and resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Returns whether records wait to be written: after a read, or because the socket was full.
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Returns the handshake's outcome; `None` while it continues.
    pub fn facts(&self) -> Option<HandshakeFacts> {
        if self.is_handshaking() {
            return None;
        }
        let connection = &self.connection;
        let suite = connection.negotiated_cipher_suite()?.suite().as_str()?;
        let group = connection.negotiated_key_exchange_group();
        Some(HandshakeFacts {
            version: version_name(connection.protocol_version()?)?,
            cipher_suite: suite,
            key_exchange: group.map(|group| format!("{:?}", group.name())),
            alpn: connection
                .alpn_protocol()
                .map(|name| String::from_utf8_lossy(name).into_owned()),
            resumed: self.is_resumed(),
            certificates: connection.peer_certificates().unwrap_or_default().to_vec(),
        })
    }

    /// Decrypts what came, handing the plaintext over before rustls can have too much of it.
    fn feed(
        &mut self,
        mut received: &[u8],
        on_plaintext: &mut dyn FnMut(&[u8]),
    ) -> Result<(), TlsFailure> {
        while !received.is_empty() {
            let handshaking = self.is_handshaking();
            let sort = |error| TlsFailure::from_rustls(error, handshaking);
            // It takes 4 KiB at most, or what a longer record lacks; none after close_notify.
            let taken = self
                .connection
                .read_tls(&mut received)
                .map_err(|_| sort(rustls::Error::PeerSentOversizedRecord))?;
            let outcome = self.connection.process_new_packets();
            // What came before an error is genuine.
            drain(&mut self.connection, on_plaintext);
            if outcome.map_err(sort)?.peer_has_closed() {
                self.peer_closed = self.peer_closed.or(Some(Close::Notify));
            }
            if taken == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Moves as much of `frames` into records as rustls accepts.
    fn encrypt(&mut self, frames: &mut Vec<u8>) -> Result<(), TlsFailure> {
        if frames.is_empty() || self.is_handshaking() || self.closing {
            return Ok(());
        }
        let accepted = self
            .connection
            .writer()
            .write(frames)
            .map_err(|error| TlsFailure::from_io(&error));
        match accepted {
            Ok(accepted) => {
                frames.drain(..accepted);
                self.encrypted += accepted;
                Ok(())
            }
            Err(failure) => Err(self.fail(failure)),
        }
    }

    fn check(&self) -> Result<(), TlsFailure> {
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }

    fn fail(&mut self, failure: TlsFailure) -> TlsFailure {
        self.failure = Some(failure.clone());
        failure
    }
}

fn version_name(version: ProtocolVersion) -> Option<&'static str> {
    match version {
        ProtocolVersion::TLSv1_3 => Some("TLS 1.3"),
        ProtocolVersion::TLSv1_2 => Some("TLS 1.2"),
        // Never negotiated.
        _ => None,
    }
}

/// One read that a signal does not end: `None` where the socket has nothing.
fn read_once<S: Read>(socket: &mut S, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    if buffer.is_empty() {
        return Ok(None);
    }
    loop {
        match socket.read(buffer) {
            Ok(length) => return Ok(Some(length)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

fn drain(connection: &mut Connection, on_plaintext: &mut dyn FnMut(&[u8])) {
    let mut reader = connection.reader();
    // An error is "nothing there now", or the end of the stream, which the caller learns elsewhere.
    while let Ok(plaintext) = io::BufRead::fill_buf(&mut reader) {
        let length = plaintext.len();
        if length == 0 {
            return;
        }
        on_plaintext(plaintext);
        io::BufRead::consume(&mut reader, length);
    }
}

/// The socket, noting whether it took all that it was offered: less means that it is full.
struct Offer<'a, S> {
    socket: &'a mut S,
    took_all: bool,
}

impl<S: Write> Write for Offer<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.socket.write(bytes)?;
        self.took_all = taken == bytes.len();
        Ok(taken)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let taken = self.socket.write_vectored(slices)?;
        self.took_all = taken == slices.iter().map(|slice| slice.len()).sum::<usize>();
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}
