//! The HTTP of a client's connection, between the layer above its socket and the engine (RFC 8484).
//!
//! HTTP is read whether or not the engine takes queries: what a client says about its windows has to be heard for the
//! responses to go. Queries that the engine does not take wait within the bounds of [`dotgate_http::limits`].

use std::io::Write;

use dotgate_core::labels::{HttpStatus, StreamEnd};
use dotgate_core::{Engine, Moment, StreamKey};
use dotgate_http::{HttpEnd, HttpServer, Status, Trust};
use dotgate_tls::{TlsFailure, WriteState};
use dotgate_wire::split_frame;

use super::channel::Channel;

/// Writes to one connection in a row. HTTP makes no more than `OUTPUT_BYTES` at once.
const WRITES: usize = 4;

/// The HTTP of one connection.
pub(super) struct Https {
    server: HttpServer,
    /// Whether it was not read from because too much waits to be sent.
    is_held_back: bool,
}

/// What became of a connection.
pub(super) enum HttpFate {
    /// It goes on.
    Open,
    /// The client has nothing more to ask.
    Ended,
    /// The client has broken HTTP, or abused it.
    CutOff(StreamEnd),
}

impl Https {
    /// Begins a connection. If it is of a proxy, `trust` says whose headers are believed.
    pub(super) fn new(trust: Option<Trust>) -> Https {
        Https {
            server: HttpServer::new(trust),
            is_held_back: false,
        }
    }

    /// Whether more of what the client sends can be taken now.
    pub(super) fn may_read(&mut self) -> bool {
        let may_read = self.server.wants_bytes();
        self.is_held_back = !may_read;
        may_read
    }

    /// Takes bytes of the client.
    pub(super) fn on_bytes(&mut self, bytes: &[u8]) {
        self.server.on_bytes(bytes);
    }

    /// The client has sent its last byte.
    pub(super) fn on_end(&mut self) {
        self.server.on_end();
    }

    /// Passes queries on to the engine, as many as it takes, and reports what else there is to be counted.
    pub(super) fn pass_queries(&mut self, key: StreamKey, engine: &mut Engine, now: Moment) {
        while engine.clients().stream_reads(key)
            && let Some(query) = self.server.next_query()
        {
            engine.stream_message(now, key, query.client, &query.message);
        }
        let counts = self.server.take_counts();
        for (status, count) in Status::ALL.into_iter().zip(counts) {
            if count > 0 {
                engine.clients().count_http(label(status), count);
            }
        }
        engine
            .clients_mut()
            .stream_buffered(key, self.server.bytes());
    }

    /// Takes the responses out of the output of the engine, where each is behind its length.
    pub(super) fn take_responses(&mut self, output: &mut Vec<u8>) {
        let mut left = output.as_slice();
        while let Some((message, rest)) = split_frame(left) {
            self.server.respond(message);
            left = rest;
        }
        output.clear();
    }

    /// Writes what the socket takes of what HTTP has to say.
    pub(super) fn write(
        &mut self,
        channel: &mut Channel,
        socket: &mut impl Write,
    ) -> Result<WriteState, TlsFailure> {
        let mut taken = 0;
        let mut writes = 0;
        loop {
            self.server.drive();
            let write = |output: &mut Vec<u8>| channel.write(socket, output);
            let mut state = self.server.with_output(write)?;
            taken += state.taken;
            writes += 1;
            if state.wants_writable || !self.server.wants_turn() || writes == WRITES {
                state.taken = taken;
                state.encrypted += self.server.unsent();
                return Ok(state);
            }
        }
    }

    /// Whether it is to be served once more, although the socket says nothing new.
    pub(super) fn wants_turn(&self) -> bool {
        self.server.wants_turn() || (self.is_held_back && self.server.wants_bytes())
    }

    /// Whether something waits to be written.
    pub(super) fn has_output(&mut self) -> bool {
        self.server.with_output(|output| !output.is_empty())
    }

    /// Lets the client finish what it has begun, and tells it to open another connection for more.
    pub(super) fn shut_down(&mut self) {
        self.server.shut_down();
    }

    /// Whether nothing more comes of it.
    pub(super) fn is_over(&self) -> bool {
        self.server.end().is_some()
    }

    /// What became of it.
    pub(super) fn fate(&self) -> HttpFate {
        match self.server.end() {
            None => HttpFate::Open,
            Some(HttpEnd::Closed) => HttpFate::Ended,
            Some(HttpEnd::Protocol) => HttpFate::CutOff(StreamEnd::Http),
            Some(HttpEnd::Flood) => HttpFate::CutOff(StreamEnd::Flood),
        }
    }
}

fn label(status: Status) -> HttpStatus {
    match status {
        Status::Ok => HttpStatus::Ok,
        Status::BadRequest => HttpStatus::BadRequest,
        Status::NotFound => HttpStatus::NotFound,
        Status::MethodNotAllowed => HttpStatus::MethodNotAllowed,
        Status::ContentTooLarge => HttpStatus::ContentTooLarge,
        Status::UnsupportedMediaType => HttpStatus::UnsupportedMediaType,
        Status::Unavailable => HttpStatus::Unavailable,
    }
}
