//! What client connections report, handed on to `clients`; their queries go the path of every query.

use std::net::IpAddr;
use std::sync::Arc;

use super::Engine;
use crate::admit::AccessList;
use crate::clients::{Handled, StreamHeader};
use crate::counters::labels::{ClientHandshake, HttpStatus, StreamEnd};
use crate::exchange::Client;
use crate::keys::StreamKey;
use crate::moment::Moment;
use crate::stream::{AcceptedStream, KernelBuffers, StreamKind};

impl Engine {
    /// Takes a new client connection. None: close it at once, for the client may not ask or a limit is reached. One of
    /// a kind with TLS begins with the handshake, which ends with `stream_secured` or `stream_failed`.
    pub fn stream_opened(
        &mut self,
        now: Moment,
        peer: IpAddr,
        kind: StreamKind,
    ) -> Option<StreamKey> {
        let local = None;
        self.stream_accepted(now, AcceptedStream { peer, local, kind })
    }

    /// The same where entries of the access list may hold at the address of this host that the client asks.
    pub fn stream_accepted(&mut self, now: Moment, accepted: AcceptedStream) -> Option<StreamKey> {
        self.clients.accept_stream(now, accepted)
    }

    /// Whether a balancer's PROXY header comes next on a connection, before TLS: the driver reads it, no byte more, and calls
    /// `stream_header`.
    pub fn stream_awaits_header(&self, key: StreamKey) -> bool {
        self.clients.awaits_header(key)
    }

    /// Takes the first bytes of such a connection, from its start.
    pub fn stream_header(&mut self, now: Moment, key: StreamKey, bytes: &[u8]) -> StreamHeader {
        self.clients.take_header(now, key, bytes)
    }

    /// The TLS handshake of a connection is complete. What the client sends is for `stream_bytes` from now on.
    pub fn stream_secured(&mut self, now: Moment, key: StreamKey, is_resumed: bool) {
        self.clients.secure_stream(now, key, is_resumed);
    }

    /// TLS has failed on a connection, which is gone. `outcome` says how if that was in the handshake.
    pub fn stream_failed(&mut self, key: StreamKey, outcome: ClientHandshake) {
        self.clients.fail_stream(key, outcome);
    }

    /// Takes bytes of a client, cut anywhere. False: read no more until `Action::ResumeStream`.
    pub fn stream_bytes(&mut self, now: Moment, key: StreamKey, bytes: &[u8]) -> bool {
        let mut input = bytes;
        while let Some((peer, kind, message)) = self.clients.next_message(key, &mut input) {
            self.take_message(now, key, (peer, kind), &message);
        }
        self.clients.end_read(now, key)
    }

    /// What a client speaks that came to a listener of `listener`: proxies have ended the TLS of their clients.
    pub fn stream_kind(&self, listener: StreamKind, peer: IpAddr) -> StreamKind {
        if listener == StreamKind::Doh && self.settings.http_proxies.allows(peer) {
            StreamKind::DohProxy
        } else {
            listener
        }
    }

    /// Proxies that end the TLS of clients over HTTPS.
    pub fn http_proxies(&self) -> &Arc<AccessList> {
        &self.settings.http_proxies
    }

    /// Takes a whole message, where the driver finds their boundaries. It is of `client` if a proxy names one. False: take no
    /// more until `Action::ResumeStream`; a message that is passed all the same is lost.
    pub fn stream_message(
        &mut self,
        now: Moment,
        key: StreamKey,
        client: Option<IpAddr>,
        message: &[u8],
    ) -> bool {
        let Some((peer, kind)) = self.clients.may_take(key) else {
            return false;
        };
        let client = client.filter(|_| kind.is_shared()).unwrap_or(peer);
        self.take_message(now, key, (client, kind), message);
        self.clients.end_read(now, key)
    }

    fn take_message(
        &mut self,
        now: Moment,
        key: StreamKey,
        (peer, kind): (IpAddr, StreamKind),
        message: &[u8],
    ) {
        let client = Client::Stream(key, kind);
        self.clients.tap_message(client, peer, message);
        if let Some(shed) = self.clients.shed_above_rate(now, client, peer, message) {
            return self.clients.on_handled(now, key, message, shed);
        }
        let handled = match self.clients.receive(client, peer, message) {
            Ok(request) => {
                self.on_query(now, &request);
                Handled::Answered
            }
            Err(handled) => handled,
        };
        self.clients.on_handled(now, key, message, handled);
    }

    /// Whether a client's connection is to be read from.
    pub fn stream_reads(&self, key: StreamKey) -> bool {
        self.clients.reads(key)
    }

    /// The client has sent its last byte. It still gets its responses.
    pub fn stream_ended(&mut self, key: StreamKey) {
        self.clients.end_stream(key);
    }

    /// The connection is gone. Its queries continue without it.
    pub fn stream_closed(&mut self, key: StreamKey) {
        self.clients.lose_stream(key);
    }

    /// The responses that wait for a client, to be drained from the front. None once it is removed.
    pub fn stream_output(&mut self, key: StreamKey) -> Option<&mut Vec<u8>> {
        self.clients.output(key)
    }

    /// Records a write, of which the system took `taken` bytes. With TLS, up to `encrypted` bytes have left the output
    /// and wait with the driver for the system to take them.
    pub fn stream_wrote(&mut self, now: Moment, key: StreamKey, taken: usize, encrypted: usize) {
        self.clients.wrote(now, key, taken, encrypted);
        if !cfg!(planted = "paused-stream-is-never-resumed") {
            self.resume_stream(now, key);
        }
        self.clients.close_if_finished(key);
    }

    /// Records what the driver holds for a connection in addition to what was encrypted, in bytes.
    pub fn stream_held(&mut self, key: StreamKey, bytes: usize) {
        self.clients.on_held(key, bytes);
    }

    /// The client has broken the protocol that the driver speaks with it: the connection is closed. `end` says how.
    pub fn stream_cut_off(&mut self, key: StreamKey, end: StreamEnd) {
        self.clients.cut_off(key, end);
    }

    /// Counts requests of clients over HTTP that were answered so.
    pub fn count_http(&self, status: HttpStatus, count: u64) {
        self.counters().clients().add_http(status, count);
    }

    /// Records what the kernel buffers for a client's connection.
    pub fn stream_measured(&mut self, now: Moment, key: StreamKey, measured: KernelBuffers) {
        self.clients.on_measured(now, key, measured);
    }

    /// Closes connections if clients cost more memory than they may, and lets those continue that waited for memory. To
    /// be called after `Action::MeasureStreams`.
    pub fn free_client_memory(&mut self, now: Moment) {
        for key in self.clients.free_client_memory(now) {
            self.clients.write_waiting(key);
            self.resume_stream(now, key);
            self.clients.wait_again(key);
        }
        self.clients.plan_relief(now);
    }

    /// Closes all client connections, as at the end of a stop.
    pub fn close_all_streams(&mut self) {
        self.clients.close_all_streams();
    }

    /// Reads on what was kept when the stream was paused, and lets the driver read on after that.
    fn resume_stream(&mut self, now: Moment, key: StreamKey) {
        if self.clients.unpause(key) && self.stream_bytes(now, key, &[]) {
            self.clients.resume(key);
        }
    }
}
