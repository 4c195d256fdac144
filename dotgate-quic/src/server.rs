//! All connections of one UDP socket: datagrams in and out, connections by the engine's keys.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use dotgate_core::{Moment, StreamKey, WorkerId};
use quinn_proto::{
    ConnectionEvent, ConnectionHandle, DatagramEvent, Endpoint, EndpointEvent, Incoming, Transmit,
};
use slotmap::SecondaryMap;

use crate::clock::QuicClock;
use crate::connection::{CloseCode, Connection, HandshakeFault, QuicEnd};
use crate::ids::IdKeys;
use crate::limits;
use crate::setup::QuicSetup;
use crate::timers::Timers;

/// A datagram as the socket had it.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedPacket<'b> {
    /// The client.
    pub peer: SocketAddr,
    /// The address of this host that it was sent to, where the socket has several.
    pub local: Option<IpAddr>,
    /// The payload.
    pub bytes: &'b [u8],
}

/// A datagram for a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutgoingPacket<'b> {
    /// The client.
    pub peer: SocketAddr,
    /// The address of this host that it is sent from, where the socket has several.
    pub local: Option<IpAddr>,
    /// The payload.
    pub bytes: &'b [u8],
}

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PacketFate {
    /// It is of a connection.
    Connection,
    /// It begins a connection, which waits for the driver.
    Attempt,
    /// It would begin a connection, whose client was asked to show that the address is its own.
    Retry,
    /// It is of no connection, of another version of QUIC, or has a forged token: the sender gets an answer that says so.
    Answered,
    /// It is no QUIC, or comes from another address than that of its connection.
    Ignored,
    /// Too many attempts or handshakes wait.
    Dropped,
}

/// A connection that a client would begin.
pub struct Attempt {
    incoming: Incoming,
    peer: SocketAddr,
    local: Option<IpAddr>,
}

impl Attempt {
    /// The client.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address of this host that it asks, where the socket has several.
    pub fn local(&self) -> Option<IpAddr> {
        self.local
    }

    /// Whether the client has shown that the address is its own.
    pub fn is_validated(&self) -> bool {
        self.incoming.remote_address_validated()
    }
}

struct Packet {
    peer: SocketAddr,
    local: Option<IpAddr>,
    range: Range<usize>,
}

/// The connections of one UDP socket.
pub struct QuicServer {
    endpoint: Endpoint,
    ids: IdKeys,
    clock: QuicClock,
    connections: SecondaryMap<StreamKey, Connection>,
    /// The keys of the connections, by QUIC's numbers for them.
    keys: Vec<Option<StreamKey>>,
    attempts: VecDeque<Attempt>,
    /// Datagrams of connections whose handshakes are in progress.
    handshakes: VecDeque<(StreamKey, ConnectionEvent)>,
    timers: Timers,
    /// Connections that the driver is to look at, each once.
    changed: VecDeque<StreamKey>,
    /// Connections that may have packets to send.
    unsent: Vec<StreamKey>,
    output: Vec<u8>,
    packets: Vec<Packet>,
    scratch: Vec<u8>,
}

impl QuicServer {
    /// Serves one socket.
    pub fn new(setup: &QuicSetup) -> QuicServer {
        let may_find_longer_paths = false;
        QuicServer {
            endpoint: Endpoint::new(
                Arc::clone(&setup.endpoint),
                Some(Arc::clone(&setup.server)),
                may_find_longer_paths,
                None,
            ),
            ids: setup.ids,
            clock: QuicClock::new(),
            connections: SecondaryMap::new(),
            keys: Vec::new(),
            attempts: VecDeque::new(),
            handshakes: VecDeque::new(),
            timers: Timers::default(),
            changed: VecDeque::new(),
            unsent: Vec::new(),
            output: Vec::new(),
            packets: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Connections that are begun from now on get this.
    pub fn set_setup(&mut self, setup: &QuicSetup) {
        let server = Arc::clone(&setup.server);
        self.endpoint.set_server_config(Some(server));
    }

    /// The worker whose connection a datagram names, which may be another one. None if it names no connection of this process, or
    /// is one of a handshake, whose client has had no reason to change its port.
    pub fn owner(&self, packet: &[u8]) -> Option<WorkerId> {
        self.ids.owner(packet)
    }

    /// Takes a datagram. `must_validate` says whether a client has to show first that an address is its own.
    pub fn on_packet(
        &mut self,
        now: Moment,
        packet: ReceivedPacket<'_>,
        must_validate: impl FnOnce(IpAddr) -> bool,
    ) -> PacketFate {
        let ReceivedPacket { peer, local, bytes } = packet;
        // No answer could be sent to port 0.
        if peer.port() == 0 {
            return PacketFate::Ignored;
        }
        self.scratch.clear();
        let instant = self.clock.instant(now);
        let data = BytesMut::from(bytes);
        let event = self
            .endpoint
            .handle(instant, peer, local, None, data, &mut self.scratch);
        match event {
            None => PacketFate::Ignored,
            Some(DatagramEvent::Response(transmit)) => {
                self.send_scratch(&transmit);
                PacketFate::Answered
            }
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                self.on_connection_event(now, handle, peer.ip(), event)
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.on_attempt(incoming, must_validate)
            }
        }
    }

    fn on_connection_event(
        &mut self,
        now: Moment,
        handle: ConnectionHandle,
        peer: IpAddr,
        event: ConnectionEvent,
    ) -> PacketFate {
        let Some(&Some(key)) = self.keys.get(handle.0) else {
            return PacketFate::Ignored;
        };
        let Some(connection) = self.connections.get_mut(key) else {
            return PacketFate::Ignored;
        };
        // Another port is what a NAT gives; another address is another client to the limits.
        if connection.peer != peer && !dotgate_wire::planted!("quic-clients-move-at-will") {
            return PacketFate::Ignored;
        }
        if connection.is_handshaking() {
            let is_full = self.handshakes.len() >= limits::HANDSHAKE_DATAGRAMS;
            let has_share = connection.waiting < limits::HANDSHAKE_DATAGRAMS_OF_ONE
                || dotgate_wire::planted!("quic-handshakes-have-no-share");
            if is_full || !has_share {
                return PacketFate::Dropped;
            }
            connection.waiting += 1;
            self.handshakes.push_back((key, event));
            return PacketFate::Connection;
        }
        connection.on_event(event);
        self.after(now, key);
        PacketFate::Connection
    }

    fn on_attempt(
        &mut self,
        incoming: Incoming,
        must_validate: impl FnOnce(IpAddr) -> bool,
    ) -> PacketFate {
        let attempt = Attempt {
            peer: incoming.remote_address(),
            local: incoming.local_ip(),
            incoming,
        };
        let is_validated =
            attempt.is_validated() || dotgate_wire::planted!("quic-addresses-are-believed");
        if !is_validated
            && (self.attempts.len() >= limits::ATTEMPTS_UNVALIDATED
                || must_validate(attempt.peer.ip()))
        {
            self.validate(attempt);
            return PacketFate::Retry;
        }
        if self.attempts.len() >= limits::ATTEMPTS {
            self.endpoint.ignore(attempt.incoming);
            return PacketFate::Dropped;
        }
        self.attempts.push_back(attempt);
        PacketFate::Attempt
    }

    /// The next connection that a client would begin, to be passed to `accept`, `refuse` or `validate`.
    pub fn next_attempt(&mut self) -> Option<Attempt> {
        self.attempts.pop_front()
    }

    /// Begins a connection, with its first step of the handshake.
    ///
    /// # Errors
    /// [`HandshakeFault`]: it failed at once, and the client hears of it.
    pub fn accept(
        &mut self,
        now: Moment,
        attempt: Attempt,
        key: StreamKey,
    ) -> Result<(), HandshakeFault> {
        self.scratch.clear();
        let instant = self.clock.instant(now);
        let accepted = self
            .endpoint
            .accept(attempt.incoming, instant, &mut self.scratch, None);
        match accepted {
            Ok((handle, quic)) => {
                let connection = Connection::new(quic, handle, attempt.peer.ip());
                self.connections.insert(key, connection);
                if self.keys.len() <= handle.0 {
                    self.keys.resize(handle.0 + 1, None);
                }
                if let Some(slot) = self.keys.get_mut(handle.0) {
                    *slot = Some(key);
                }
                self.after(now, key);
                Ok(())
            }
            Err(error) => {
                if let Some(transmit) = error.response {
                    self.send_scratch(&transmit);
                }
                Err(HandshakeFault::of(&error.cause))
            }
        }
    }

    /// Begins no connection, and tells the client so.
    pub fn refuse(&mut self, attempt: Attempt) {
        self.scratch.clear();
        let transmit = self.endpoint.refuse(attempt.incoming, &mut self.scratch);
        self.send_scratch(&transmit);
    }

    /// Asks a client to show that the address is its own; one that has is refused. Nothing is left of it here.
    pub fn validate(&mut self, attempt: Attempt) {
        if !attempt.incoming.may_retry() {
            return self.refuse(attempt);
        }
        self.scratch.clear();
        // It fails only where the client has been asked before.
        if let Ok(transmit) = self.endpoint.retry(attempt.incoming, &mut self.scratch) {
            self.send_scratch(&transmit);
        }
    }

    /// Continues up to `count` handshakes.
    pub fn continue_handshakes(&mut self, now: Moment, count: usize) {
        for _ in 0..count {
            let Some((key, event)) = self.handshakes.pop_front() else {
                return;
            };
            if let Some(connection) = self.connections.get_mut(key) {
                connection.waiting -= 1;
                connection.on_event(event);
                self.after(now, key);
            }
        }
    }

    /// Whether something waits for the driver.
    pub fn wants_turn(&self) -> bool {
        !self.attempts.is_empty() || !self.handshakes.is_empty() || !self.changed.is_empty()
    }

    /// When [`QuicServer::on_timeout`] is to be called.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.timers.next()
    }

    /// Lets time pass.
    pub fn on_timeout(&mut self, now: Moment) {
        while let Some(key) = self.timers.pop_due(now) {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.timer = None;
                connection.on_timeout(now, self.clock);
                self.after(now, key);
            }
        }
    }

    /// A connection about which there may be something new: queries, responses that were acknowledged, its end.
    pub fn next_changed(&mut self) -> Option<StreamKey> {
        loop {
            let key = self.changed.pop_front()?;
            if let Some(connection) = self.connections.get_mut(key) {
                connection.is_changed = false;
                return Some(key);
            }
        }
    }

    /// Whether the handshake of a connection is complete.
    pub fn is_established(&self, key: StreamKey) -> bool {
        let connection = self.connections.get(key);
        connection.is_some_and(|connection| connection.is_established)
    }

    /// The next query of a connection, with an ID that no other query of the connection has.
    pub fn next_query(&mut self, now: Moment, key: StreamKey) -> Option<Vec<u8>> {
        let connection = self.connections.get_mut(key)?;
        let query = connection.transactions.next_query();
        connection.read_on(now, self.clock);
        query
    }

    /// Takes a response of the engine to one of the queries.
    pub fn respond(&mut self, key: StreamKey, message: &[u8]) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.respond(message);
            self.list(key);
        }
    }

    /// Bytes of responses that the client has not acknowledged.
    pub fn unsent(&self, key: StreamKey) -> usize {
        let connection = self.connections.get(key);
        connection.map_or(0, |connection| connection.transactions.unsent())
    }

    /// Bytes of responses that the client has acknowledged since the last call.
    pub fn take_acknowledged(&mut self, key: StreamKey) -> usize {
        let connection = self.connections.get_mut(key);
        connection.map_or(0, |connection| connection.transactions.take_acknowledged())
    }

    /// What a connection costs, in bytes, without what is unsent.
    pub fn bytes(&self, key: StreamKey) -> usize {
        let connection = self.connections.get(key);
        connection.map_or(0, |it| limits::CONNECTION_BYTES + it.transactions.bytes())
    }

    /// Why a connection is over. The driver gets this once, and the connection is forgotten here once its last packets are written.
    pub fn take_end(&mut self, key: StreamKey) -> Option<QuicEnd> {
        let connection = self.connections.get_mut(key)?;
        let end = connection.end?;
        let was_over = std::mem::replace(&mut connection.is_over, true);
        self.list(key);
        (!was_over).then_some(end)
    }

    /// Ends a connection once its client has a response to each of its queries, and has acknowledged them if it can still be heard.
    pub fn shut_down(&mut self, now: Moment, key: StreamKey, is_heard: bool) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.shut_down(now, is_heard);
            self.after(now, key);
        }
    }

    /// Closes a connection after what was passed to `respond`, and forgets it.
    pub fn close(&mut self, now: Moment, key: StreamKey, code: CloseCode) {
        self.write_packets(now, key);
        if let Some(connection) = self.connections.get_mut(key) {
            connection.close(now, self.clock, code);
            connection.is_over = true;
            self.list(key);
        }
    }

    /// Has a connection looked at again by the driver.
    pub fn touch(&mut self, key: StreamKey) {
        if let Some(connection) = self.connections.get_mut(key)
            && !std::mem::replace(&mut connection.is_changed, true)
        {
            self.changed.push_back(key);
        }
    }

    /// The keys of all connections.
    pub fn keys(&self) -> Vec<StreamKey> {
        self.connections.keys().collect()
    }

    /// Writes all packets that may be sent now, for [`QuicServer::packets`].
    pub fn flush(&mut self, now: Moment) {
        for key in std::mem::take(&mut self.unsent) {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.is_listed = false;
                connection.end_if_answered(now);
            }
            self.write_packets(now, key);
            self.finish_turn(now, key);
        }
    }

    /// The datagrams to send.
    pub fn packets(&self) -> impl Iterator<Item = OutgoingPacket<'_>> {
        self.packets.iter().map(|packet| OutgoingPacket {
            peer: packet.peer,
            local: packet.local,
            bytes: self.output.get(packet.range.clone()).unwrap_or_default(),
        })
    }

    /// Forgets the datagrams, which were sent or cannot be.
    pub fn clear_packets(&mut self) {
        self.packets.clear();
        self.output.clear();
    }

    /// After an event or a timeout of a connection.
    fn after(&mut self, now: Moment, key: StreamKey) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.take_events(now, self.clock);
        self.touch(key);
        self.list(key);
    }

    fn list(&mut self, key: StreamKey) {
        if let Some(connection) = self.connections.get_mut(key)
            && !std::mem::replace(&mut connection.is_listed, true)
        {
            self.unsent.push(key);
        }
    }

    fn write_packets(&mut self, now: Moment, key: StreamKey) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        while let Some(event) = connection.poll_endpoint_event() {
            // That it is drained is said when it is removed, once.
            if event.is_drained() {
                continue;
            }
            if let Some(event) = self.endpoint.handle_event(connection.handle, event) {
                connection.on_event(event);
            }
        }
        let instant = self.clock.instant(now);
        loop {
            self.scratch.clear();
            let Some(transmit) = connection.poll_transmit(instant, &mut self.scratch) else {
                return;
            };
            push(
                &mut self.output,
                &mut self.packets,
                &self.scratch,
                &transmit,
            );
        }
    }

    /// After the packets of a connection: removes it if it is over, else sets its timer.
    fn finish_turn(&mut self, now: Moment, key: StreamKey) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if connection.end == Some(QuicEnd::Closed) && !connection.is_closed() {
            // The client has all its responses.
            connection.close(now, self.clock, CloseCode::NoError);
            self.write_packets(now, key);
        }
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if connection.may_be_forgotten() {
            return self.forget(key);
        }
        let is_to_be_reported = connection.end.is_some() && !connection.is_over;
        let due = connection.next_deadline(self.clock);
        if let Some(due) = due
            && connection.timer.is_none_or(|timer| due < timer)
        {
            // Never in this moment again, so that every turn moves on.
            let due = due.max(now + Duration::from_millis(1));
            self.timers.set(key, &mut connection.timer, Some(due));
        }
        if is_to_be_reported {
            self.touch(key);
        }
    }

    fn forget(&mut self, key: StreamKey) {
        if let Some(mut connection) = self.connections.remove(key) {
            self.timers.set(key, &mut connection.timer, None);
            let handle = connection.handle;
            if let Some(slot) = self.keys.get_mut(handle.0) {
                *slot = None;
            }
            self.endpoint.handle_event(handle, EndpointEvent::drained());
        }
    }

    fn send_scratch(&mut self, transmit: &Transmit) {
        push(&mut self.output, &mut self.packets, &self.scratch, transmit);
    }
}

fn push(output: &mut Vec<u8>, packets: &mut Vec<Packet>, bytes: &[u8], transmit: &Transmit) {
    let start = output.len();
    output.extend_from_slice(bytes.get(..transmit.size).unwrap_or(bytes));
    packets.push(Packet {
        peer: transmit.destination,
        local: transmit.src_ip,
        range: start..output.len(),
    });
}
