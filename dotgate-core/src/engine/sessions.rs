//! Reports of sessions that may complete or end questions: `upstreams` takes them, clients get the results.

use super::Engine;
use crate::failure::SessionEnd;
use crate::keys::{SessionKey, UpstreamId};
use crate::moment::Moment;
use crate::upstreams::Received;

impl Engine {
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
        self.upstreams.forwarder().open_first_session(now, upstream);
        self.settle(now);
    }

    /// The addresses or routes of this host changed, or it was suspended: sessions may be half-open, and upstreams
    /// that are down may be reachable.
    pub fn on_network_change(&mut self, now: Moment) {
        self.upstreams.forwarder().on_network_change(now);
        self.settle(now);
    }

    /// Finds out whether an upstream answers, for a health check. Where something is in flight to it
    /// already, that will show it.
    pub fn probe(&mut self, now: Moment, upstream: UpstreamId) {
        self.upstreams.forwarder().probe(now, upstream);
        self.settle(now);
    }
}
