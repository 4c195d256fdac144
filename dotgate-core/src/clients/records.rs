//! Records of single queries, for the log and all other views of queries.
//!
//! While nobody reads them none is made: a query costs the test of a flag.

use std::net::IpAddr;
use std::time::Duration;

use dotgate_wire::Question;

use super::Clients;
use crate::counters::Count;
use crate::counters::labels::ClientTransport;
use crate::exchange::Client;
use crate::limits;
use crate::outbox::ReturnPath;
use crate::record::{Ended, QueryRecord};
use crate::tap::{MessageKind, MessagePeer, Tap};

impl Clients {
    /// Where messages of clients are copied.
    pub(crate) fn tap(&mut self) -> &mut Tap {
        &mut self.tap
    }

    /// Whether messages are copied. The driver then calls `tap_datagram` and `tap_datagrams`.
    pub fn is_tapping(&self) -> bool {
        self.tap.is_on()
    }

    /// Copies a datagram that came from a client.
    pub fn tap_datagram(&mut self, path: &ReturnPath, message: &[u8]) {
        self.tap
            .add(MessageKind::ClientQuery, peer_of(path), message);
    }

    /// Copies the responses to be sent by UDP.
    pub fn tap_datagrams(&mut self) {
        for datagram in self.outbox.iter() {
            let peer = peer_of(&datagram.path);
            self.tap
                .add(MessageKind::ClientResponse, peer, datagram.bytes);
        }
    }

    /// Copies a message on a client's connection.
    pub(crate) fn tap_message(&mut self, client: Client, peer: IpAddr, message: &[u8]) {
        let peer = MessagePeer::Client(peer, None, client.transport());
        self.tap.add(MessageKind::ClientQuery, peer, message);
    }

    /// Makes a record of each query that ends from now on, or no more.
    pub fn set_recording(&mut self, is_on: bool) {
        self.is_recording = is_on;
    }

    /// The records of queries that ended in this turn. Discard them with `clear_records`.
    pub fn records(&self) -> &[QueryRecord] {
        self.records.get(..self.recorded).unwrap_or_default()
    }

    /// Discards the records that were read, and reuses their space.
    pub fn clear_records(&mut self) {
        self.recorded = 0;
    }

    /// A query was answered in the turn in which it came. The closure is called only if records are made.
    #[inline(always)]
    pub(super) fn record(
        &mut self,
        (client, peer, id): (Client, IpAddr, u16),
        question: &[u8],
        ended: impl FnOnce() -> Ended,
    ) {
        if self.is_recording && !dotgate_wire::planted!("queries-are-not-recorded") {
            self.add_record((client, peer, id), question, Duration::ZERO, &ended());
        }
    }

    /// A query ended that had waited so long.
    pub(super) fn record_waiter(
        &mut self,
        (client, peer, id): (Client, IpAddr, u16),
        question: &Question,
        took: Duration,
        ended: Ended,
    ) {
        if self.is_recording {
            self.add_record((client, peer, id), question.as_bytes(), took, &ended);
        }
    }

    #[inline(never)]
    fn add_record(
        &mut self,
        (client, peer, id): (Client, IpAddr, u16),
        question: &[u8],
        took: Duration,
        ended: &Ended,
    ) {
        if self.recorded == self.records.len() {
            // Only a turn in which thousands of waiting queries end makes so many.
            if self.recorded >= limits::RECORDS_PER_TURN {
                return self.tally.count(Count::QueryRecordsDropped);
            }
            self.records.push(QueryRecord::EMPTY);
        }
        // In its place: a record is large.
        if let Some(record) = self.records.get_mut(self.recorded) {
            self.recorded += 1;
            record.client = Some(peer);
            // That of a balancer says nothing of the client.
            let own = client.peer().filter(|it| it.ip() == peer);
            record.port = own.map(|peer| peer.port());
            record.transport = client.transport();
            record.id = id;
            record.took = took;
            record.ended = *ended;
            record.set_question(question);
        }
    }
}

fn peer_of(path: &ReturnPath) -> MessagePeer {
    let peer = path.peer;
    MessagePeer::Client(peer.ip(), Some(peer.port()), ClientTransport::Udp)
}
