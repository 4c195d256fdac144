//! One connection to the upstream: TLS, length-prefixed messages (RFC 1035 section 4.2.2), answers.

use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};

use super::delay::Service;
use crate::Error;
use crate::message;

/// Whether a connection goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Open,
    Closed,
}

pub(super) struct Connection {
    stream: TcpStream,
    tls: ServerConnection,
    /// Decrypted bytes that do not make a whole message yet.
    incoming: Vec<u8>,
    /// Answers of the current read.
    outgoing: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, config: Arc<ServerConfig>) -> Result<Self, Error> {
        let mut tls = ServerConnection::new(config)?;
        // A client that sends and does not read would be a bug to see, not one to defend against.
        tls.set_buffer_limit(None);
        Ok(Connection {
            stream,
            tls,
            incoming: Vec::new(),
            outgoing: Vec::new(),
        })
    }

    /// Reads and answers all there is. Any failure, a client's protocol error included, ends the
    /// connection: the client counts what it lost.
    pub(super) fn serve(
        &mut self,
        is_closing: bool,
        buffer: &mut [u8],
        service: &mut Service,
    ) -> State {
        match self.read_all(is_closing, buffer, service) {
            Ok(state) => state,
            Err(_) => State::Closed,
        }
    }

    fn read_all(
        &mut self,
        is_closing: bool,
        buffer: &mut [u8],
        service: &mut Service,
    ) -> io::Result<State> {
        self.write_all()?;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(State::Closed),
                Ok(length) => {
                    self.decrypt(&buffer[..length])?;
                    self.answer_all(service)?;
                    self.write_all()?;
                    // What arrives after a short read raises a new event, the end included.
                    if length < buffer.len() && !is_closing {
                        return Ok(State::Open);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(State::Open),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn decrypt(&mut self, mut records: &[u8]) -> io::Result<()> {
        while !records.is_empty() {
            self.tls.read_tls(&mut records)?;
            self.tls.process_new_packets().map_err(io::Error::other)?;
            let mut reader = self.tls.reader();
            loop {
                let length = match reader.fill_buf() {
                    Ok(bytes) => {
                        self.incoming.extend_from_slice(bytes);
                        bytes.len()
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                };
                if length == 0 {
                    break;
                }
                reader.consume(length);
            }
        }
        Ok(())
    }

    fn answer_all(&mut self, service: &mut Service) -> io::Result<()> {
        let mut at = 0;
        while let Some(&[high, low]) = self.incoming.get(at..at + 2) {
            let start = at + 2;
            let end = start + usize::from(u16::from_be_bytes([high, low]));
            let Some(query) = self.incoming.get(start..end) else {
                break;
            };
            let length_at = self.outgoing.len();
            self.outgoing.extend_from_slice(&[0, 0]);
            if !message::answer(query, &mut self.outgoing) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let length = (self.outgoing.len() - length_at - 2) as u16;
            self.outgoing[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
            if service.delays(query, &self.outgoing[length_at..]) {
                self.outgoing.truncate(length_at);
            }
            at = end;
        }
        self.incoming.drain(..at);
        if !self.outgoing.is_empty() {
            self.tls.writer().write_all(&self.outgoing)?;
            self.outgoing.clear();
        }
        Ok(())
    }

    /// Sends responses that were delayed. A connection that fails is found to have when it is read.
    pub(super) fn send(&mut self, responses: &[u8]) {
        drop(
            self.tls
                .writer()
                .write_all(responses)
                .and_then(|()| self.write_all()),
        );
    }

    fn write_all(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
