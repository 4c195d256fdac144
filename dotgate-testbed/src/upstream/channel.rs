//! TLS and framing above a socket that does not block.

use std::io::{self, BufRead as _, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use dotgate_wire::split_frame;
use mio::net::TcpStream;
use rustls::{HandshakeKind, ServerConfig, ServerConnection};
use socket2::SockRef;

use super::{Shared, UpstreamError};

/// An application data record (RFC 8446 section 5.2) that no key decrypts.
const STRAY_RECORD: [u8; 37] = {
    let mut record = [0x5a; 37];
    (record[0], record[1], record[2]) = (23, 3, 3);
    (record[3], record[4]) = (0, 32);
    record
};

/// A client's connection. Its errors mean that it is over.
pub(super) struct Channel {
    socket: TcpStream,
    tls: ServerConnection,
    /// Whether the handshake is in the record.
    is_counted: bool,
    has_received: bool,
    plaintext: Vec<u8>,
    /// Since when the client has read nothing, if there is something to send.
    blocked_since: Option<Duration>,
}

impl Channel {
    pub(super) fn new(socket: TcpStream, config: Arc<ServerConfig>) -> Result<Self, UpstreamError> {
        socket.set_nodelay(true)?;
        let mut tls = ServerConnection::new(config)?;
        // While the client does not read, nothing is read from it: so its own queries bound what is to be sent.
        tls.set_buffer_limit(None);
        Ok(Self {
            socket,
            tls,
            is_counted: false,
            has_received: false,
            plaintext: Vec::new(),
            blocked_since: None,
        })
    }

    pub(super) const fn blocked_since(&self) -> Option<Duration> {
        self.blocked_since
    }

    /// Reads all that has arrived, unless the client does not read itself.
    pub(super) fn read(&mut self, shared: &Shared, recorded_max: usize) -> io::Result<()> {
        if self.blocked_since.is_some() {
            return Ok(());
        }
        let mut buffer = vec![0; 65_536];
        while let Some(length) = self.read_some(&mut buffer)? {
            if !std::mem::replace(&mut self.has_received, true) {
                let first_bytes = &mut shared.record().first_bytes;
                if first_bytes.len() < recorded_max {
                    first_bytes.push(buffer[0]);
                }
            }
            let outcome = self.decrypt(&buffer[..length]);
            if outcome.is_err() {
                shared.record().failed_handshakes += u64::from(!self.is_counted);
                // An alert that does not fit is not waited for.
                drop(self.tls.write_tls(&mut self.socket));
                return outcome;
            }
            if !self.tls.is_handshaking() && !std::mem::replace(&mut self.is_counted, true) {
                let mut record = shared.record();
                match self.tls.handshake_kind() {
                    Some(HandshakeKind::Resumed) => record.resumed_handshakes += 1,
                    _ => record.full_handshakes += 1,
                }
            }
        }
        Ok(())
    }

    /// Reads and ignores all that has arrived.
    pub(super) fn discard(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 65_536];
        while self.read_some(&mut buffer)?.is_some() {}
        Ok(())
    }

    /// Reads once. None if nothing has arrived.
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => return Ok(Some(length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn decrypt(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() && self.tls.read_tls(&mut bytes)? > 0 {
            let outcome = self.tls.process_new_packets();
            let mut reader = self.tls.reader();
            while let Ok(plaintext) = reader.fill_buf() {
                let length = plaintext.len();
                if length == 0 {
                    break;
                }
                self.plaintext.extend_from_slice(plaintext);
                reader.consume(length);
            }
            outcome.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
        Ok(())
    }

    /// Takes the whole messages that were received.
    pub(super) fn take_messages(&mut self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut rest = &self.plaintext[..];
        while let Some((message, behind)) = split_frame(rest) {
            messages.push(message.to_vec());
            rest = behind;
        }
        self.plaintext = rest.to_vec();
        messages
    }

    /// Queues plaintext.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tls.writer().write_all(bytes)
    }

    /// Writes as much as the socket takes.
    pub(super) fn write(&mut self, now: Duration) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => self.blocked_since = None,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked_since.get_or_insert(now);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.blocked_since = None;
        Ok(())
    }

    /// Queues close_notify.
    pub(super) fn send_close_notify(&mut self) {
        self.tls.send_close_notify();
    }

    /// Queues a fatal alert: TLS sends `bad_record_mac` when it receives a record that it cannot decrypt.
    pub(super) fn send_alert(&mut self) {
        drop(self.decrypt(&STRAY_RECORD));
    }

    /// Writes a record that the client cannot decrypt.
    pub(super) fn write_stray_record(&mut self) -> io::Result<()> {
        self.socket.write_all(&STRAY_RECORD)
    }

    /// Sends FIN.
    pub(super) fn shut_down(&mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    /// Has the socket send RST when it is closed.
    pub(super) fn reset(&mut self) -> io::Result<()> {
        SockRef::from(&self.socket).set_linger(Some(Duration::ZERO))
    }
}

/// A message behind its length.
pub(super) fn framed(message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes(), message].concat())
}
