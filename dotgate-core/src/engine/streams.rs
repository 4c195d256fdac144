//! What connections of clients bring: queries, which go the path of every query, and room for more of them.

use std::net::IpAddr;

use super::Engine;
use crate::clients::Handled;
use crate::exchange::Client;
use crate::keys::StreamKey;
use crate::moment::Moment;
use crate::stream::StreamKind;

impl Engine {
    /// Takes bytes of a client, cut anywhere. False: read no more until `Action::ResumeStream`.
    pub fn stream_bytes(&mut self, now: Moment, key: StreamKey, bytes: &[u8]) -> bool {
        let mut input = bytes;
        while let Some((peer, kind, message)) = self.clients.next_message(key, &mut input) {
            self.take_message(now, key, (peer, kind), &message);
        }
        self.clients.end_read(now, key)
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
        let shed = self.clients.shed_above_rate(now, client, peer, message);
        let received = match shed {
            Some(shed) => Err(shed),
            None => self.clients.receive(now, client, peer, message),
        };
        let handled = match received {
            // QUIC has timeouts of its own (RFC 9250 section 5.5.2).
            Ok(query)
                if kind == StreamKind::Doq
                    && query.edns.is_some_and(|edns| edns.asks_keepalive) =>
            {
                Handled::Forbidden
            }
            Ok(query) => {
                let request = self.clients.request(client, peer, query);
                self.on_query(now, &request);
                Handled::Answered
            }
            Err(handled) => handled,
        };
        self.clients.on_handled(now, key, message, handled);
        self.clients.count_query(now, key);
    }

    /// Records a write, of which the system took `taken` bytes. With TLS, up to `encrypted` bytes have left the output
    /// and wait with the driver for the system to take them.
    pub fn stream_wrote(&mut self, now: Moment, key: StreamKey, taken: usize, encrypted: usize) {
        self.clients.wrote(now, key, taken, encrypted);
        if !dotgate_wire::planted!("paused-stream-is-never-resumed") {
            self.resume_stream(now, key);
        }
        self.clients.close_if_finished(key);
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

    /// Reads on what was kept when the stream was paused, and lets the driver read on after that.
    fn resume_stream(&mut self, now: Moment, key: StreamKey) {
        if self.clients.unpause(key) && self.stream_bytes(now, key, &[]) {
            self.clients.resume(key);
        }
    }
}
