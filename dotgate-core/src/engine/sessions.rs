//! Passes reports of sessions to `upstreams`, and the results to clients.

use super::Engine;
use crate::failure::SessionEnd;
use crate::keys::{SessionKey, UpstreamId};
use crate::moment::Moment;
use crate::upstreams::Received;

impl Engine {
    /// The TCP connection of a session is there; TLS begins.
    pub fn session_connected(&mut self, now: Moment, key: SessionKey) {
        self.upstreams.session_connected(now, key);
    }

    /// The handshake that is about to be reported as done resumed an earlier session.
    pub fn session_resumed(&mut self, key: SessionKey) {
        self.upstreams.session_resumed(key);
    }

    /// A session's upstream is authenticated: from now on it carries queries.
    pub fn session_opened(&mut self, now: Moment, key: SessionKey) {
        self.upstreams.session_opened(now, key);
        self.settle(now);
    }

    /// Takes decrypted bytes of a session, cut anywhere.
    pub fn session_bytes(&mut self, now: Moment, key: SessionKey, bytes: &[u8]) {
        let mut input = bytes;
        while let Some(received) = self.upstreams.receive(now, key, &mut input) {
            if let Received::Response(completed) = received {
                self.answer_all(now, &completed);
            }
            self.settle(now);
        }
    }

    /// Takes a datagram of a session over UDP, which came on the socket of the query with this ID.
    pub fn session_datagram(&mut self, now: Moment, key: SessionKey, id: u16, message: &[u8]) {
        let received = self.upstreams.receive_datagram(now, key, id, message);
        if let Received::Response(completed) = received {
            self.answer_all(now, &completed);
        }
        self.settle(now);
    }

    /// The next query of a session over UDP that waits no more: its socket is to be closed.
    pub fn poll_released(&mut self, key: SessionKey) -> Option<u16> {
        self.upstreams.poll_released(key)
    }

    /// Whether the query with this ID waits for its response, on a session over UDP.
    pub fn session_awaits(&self, key: SessionKey, id: u16) -> bool {
        self.upstreams.session_awaits(key, id)
    }

    /// The frames that wait for a session's TLS, to be drained from the front. None once it is removed, and
    /// while it is not open: nothing leaves before the upstream is authenticated (RFC 8310 section 6.6).
    pub fn session_output(&mut self, key: SessionKey) -> Option<&mut Vec<u8>> {
        self.upstreams.session_output(key)
    }

    /// A session ended, or never came to be. The engine removes it.
    pub fn session_closed(&mut self, now: Moment, key: SessionKey, end: SessionEnd) {
        self.upstreams.session_closed(now, key, end);
        self.settle(now);
    }

    /// Closes all sessions in good order, as at the end of a stop.
    pub fn close_all_sessions(&mut self) {
        self.upstreams.close_all_sessions();
    }

    /// Opens a session to an upstream that has none, before a client asks: so the first of them need not wait for it, and
    /// an operator learns at the start of the program whether the upstream can be reached.
    pub fn open_first_session(&mut self, now: Moment, upstream: UpstreamId) {
        self.upstreams.open_first_session(now, upstream);
        self.settle(now);
    }

    /// Finds out whether an upstream answers, for a health check. Where something is in flight to it
    /// already, that will show it.
    pub fn probe(&mut self, now: Moment, upstream: UpstreamId) {
        self.upstreams.probe(now, upstream);
        self.settle(now);
    }
}
