//! The layer above a TCP connection, to an upstream or of a client: TLS, or none.

use std::io::{ErrorKind, Read, Write};

use dotgate_tls::{Close, HandshakeFacts, Progress, TlsChannel, TlsFailure, WriteState};

/// Encrypts, or does not.
pub(super) enum Channel {
    /// DNS over TLS.
    Tls(Box<TlsChannel>),
    /// DNS over TCP.
    Plain,
}

impl Channel {
    /// Reads once, and hands what came to `take`.
    pub(super) fn read(
        &mut self,
        socket: &mut (impl Read + Write),
        buffer: &mut [u8],
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<Progress, TlsFailure> {
        match self {
            Channel::Tls(tls) => tls.read(socket, buffer, take),
            Channel::Plain => read_plain(socket, buffer, take),
        }
    }

    /// Takes bytes from the front of `frames` and writes what the socket takes.
    pub(super) fn write(
        &mut self,
        socket: &mut impl Write,
        frames: &mut Vec<u8>,
    ) -> Result<WriteState, TlsFailure> {
        match self {
            Channel::Tls(tls) => tls.write(socket, frames),
            Channel::Plain => write_plain(socket, frames),
        }
    }

    /// Whether something waits to be written that a read brought about.
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Channel::Tls(tls) => tls.wants_write(),
            Channel::Plain => false,
        }
    }

    /// Says that nothing more will be sent.
    pub(super) fn close_notify(&mut self) {
        match self {
            Channel::Tls(tls) => tls.close_notify(),
            Channel::Plain => {}
        }
    }

    /// Whether nothing may be asked before a handshake is complete.
    pub(super) fn is_handshaking(&self) -> bool {
        match self {
            Channel::Tls(tls) => tls.is_handshaking(),
            Channel::Plain => false,
        }
    }

    /// Whether the handshake resumed an earlier session.
    pub(super) fn is_resumed(&self) -> bool {
        match self {
            Channel::Tls(tls) => tls.is_resumed(),
            Channel::Plain => false,
        }
    }

    /// The outcome of the handshake.
    pub(super) fn facts(&self) -> Option<HandshakeFacts> {
        match self {
            Channel::Tls(tls) => tls.facts(),
            Channel::Plain => None,
        }
    }
}

fn read_plain(
    socket: &mut impl Read,
    buffer: &mut [u8],
    take: &mut dyn FnMut(&[u8]),
) -> Result<Progress, TlsFailure> {
    let mut progress = Progress::default();
    match socket.read(buffer) {
        Ok(0) => progress.peer_closed = Some(Close::Fin),
        Ok(length) => {
            progress.maybe_more = length == buffer.len();
            take(buffer.get(..length).unwrap_or_default());
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => progress.would_block = true,
        Err(error) if error.kind() == ErrorKind::Interrupted => progress.maybe_more = true,
        Err(error) => return Err(TlsFailure::from_io(&error)),
    }
    Ok(progress)
}

fn write_plain(socket: &mut impl Write, frames: &mut Vec<u8>) -> Result<WriteState, TlsFailure> {
    let mut taken = 0;
    while let Some(rest) = frames.get(taken..).filter(|rest| !rest.is_empty()) {
        match socket.write(rest) {
            Ok(0) => return Err(TlsFailure::Io(ErrorKind::WriteZero)),
            Ok(written) => taken += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(TlsFailure::from_io(&error)),
        }
    }
    frames.drain(..taken);
    Ok(WriteState {
        wants_writable: !frames.is_empty(),
        taken,
        encrypted: 0,
    })
}
