//! A worker: drives the real engine by the same calls, in the same order, as the program's worker does.
//!
//! One turn: read what upstreams sent; read streams and datagrams; let time pass; then carry out what the
//! engine wants, then send datagrams. After every turn the engine's promises are checked.

mod driver;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use dotgate_core::labels::{ClientTransport, Outcome, Rcode, RecordType};
use dotgate_core::{
    ClientMemory, ConnectFault, Count, Counters, Engine, Link, Moment, ReturnPath, SessionEnd,
    SessionKey, Settings, Shared, StreamKey, WorkerId, drive,
};

use self::driver::SimulatedDriver;
use crate::connection::Connection;
use crate::event::{Arrival, Segment};
use crate::message;
use crate::network::Network;
use crate::record::Path;

/// Datagrams read at once, as in the program.
const BATCH: usize = 32;

/// One worker and its engine.
pub(crate) struct Worker {
    number: usize,
    pub(crate) engine: Engine,
    /// When it takes its next turn because something arrived.
    pub(crate) wakes_at: Option<Moment>,
    /// Until when it is stalled.
    pub(crate) busy_until: Moment,
    settings: Arc<Settings>,
    connections: BTreeMap<SessionKey, usize>,
    streams: BTreeMap<StreamKey, usize>,
    memory: Arc<ClientMemory>,
    /// Records of queries so far.
    recorded: u64,
    /// Probes up to the last turn. Those that a reload makes are written in the next one.
    probes: u64,
}

impl Worker {
    pub(crate) fn new(
        number: usize,
        settings: Arc<Settings>,
        shared: Shared,
        seed: [u8; 32],
        now: Moment,
    ) -> Worker {
        let memory = Arc::clone(&shared.memory);
        let mut engine = Engine::new(
            WorkerId(u8::try_from(number).unwrap_or(u8::MAX)),
            Arc::clone(&settings),
            shared,
            Arc::new(Counters::new()),
            seed,
        );
        engine.clients_mut().set_recording(true);
        Worker {
            number,
            engine,
            wakes_at: None,
            busy_until: now,
            settings,
            connections: BTreeMap::new(),
            streams: BTreeMap::new(),
            memory,
            recorded: 0,
            probes: 0,
        }
    }

    /// Uses other settings from now on.
    pub(crate) fn reconfigure(&mut self, now: Moment, settings: &Arc<Settings>) {
        self.settings = Arc::clone(settings);
        self.engine.reconfigure(now, Arc::clone(settings));
    }

    pub(crate) fn turn(&mut self, net: &mut Network) {
        let now = net.now;
        let asked_before = net.record.attempts.len();
        self.wakes_at = None;
        for message in std::mem::take(&mut net.inboxes[self.number].messages) {
            self.engine.on_flight_message(now, message);
        }
        for (key, connection) in self.connections.clone() {
            self.serve_session(net, key, connection);
        }
        self.accept(net);
        for (key, stream) in self.streams.clone() {
            self.serve_stream(net, key, stream);
        }
        self.receive(net);
        drive(&mut self.driver(net), now);
        let probes = self.probes();
        let before = std::mem::replace(&mut self.probes, probes);
        net.record
            .note_probes(asked_before, (probes - before) as usize);
        self.check(net);
    }

    /// The engine, and everything that carries out what it wants.
    fn driver<'w>(&'w mut self, net: &'w mut Network) -> SimulatedDriver<'w> {
        SimulatedDriver {
            engine: &mut self.engine,
            number: self.number,
            settings: &self.settings,
            memory: &self.memory,
            connections: &mut self.connections,
            streams: &mut self.streams,
            actions: 0,
            recorded: &mut self.recorded,
            net,
        }
    }

    fn probes(&self) -> u64 {
        self.engine.counters().get(Count::Probes)
    }

    fn serve_session(&mut self, net: &mut Network, key: SessionKey, connection: usize) {
        let now = net.now;
        loop {
            let Some(arrival) = net.connections[connection].arrived.pop_front() else {
                return;
            };
            let number = self.number;
            net.record.say(now, || {
                let what = match &arrival {
                    Arrival::Bytes(bytes) => format!("{} bytes", bytes.len()),
                    other => format!("{other:?}"),
                };
                format!("w{number} c{connection}: {what}")
            });
            match arrival {
                Arrival::Connected => self.engine.sessions_mut().on_connected(now, key),
                Arrival::Opened => {
                    net.connections[connection].is_open = true;
                    let Connection {
                        upstream, address, ..
                    } = net.connections[connection];
                    net.record.upstreams[upstream].opened += 1;
                    net.upstreams[upstream].latest_address = address;
                    self.engine.session_opened(now, key);
                }
                Arrival::Bytes(mut bytes) => {
                    // One read finds everything that has arrived.
                    while let Some(Arrival::Bytes(more)) =
                        net.connections[connection].arrived.front_mut()
                    {
                        if bytes.len() + more.len() > 16 * 1024 {
                            break;
                        }
                        bytes.append(more);
                        net.connections[connection].arrived.pop_front();
                    }
                    net.note_delivered(connection, &bytes);
                    self.engine.session_bytes(now, key, &bytes);
                }
                Arrival::Datagram(id, message) => {
                    if net.connections[connection].sockets.contains(&id) {
                        net.note_delivered(connection, &message::framed(&message));
                        self.engine.session_datagram(now, key, id, &message);
                    }
                }
                Arrival::Failed(end) => return self.end_session(net, key, connection, end),
                Arrival::End(Segment::Reset) => {
                    return self.end_session(net, key, connection, SessionEnd::Reset);
                }
                Arrival::End(_) => {
                    return self.end_session(net, key, connection, SessionEnd::Closed);
                }
                Arrival::Room => {
                    self.driver(net).flush_session(key);
                }
            }
        }
    }

    fn end_session(
        &mut self,
        net: &mut Network,
        key: SessionKey,
        connection: usize,
        end: SessionEnd,
    ) {
        let now = net.now;
        let state = &net.connections[connection];
        if !state.is_open || state.link == Link::Datagrams {
            net.record.upstreams[state.upstream].is_lasting =
                matches!(end, SessionEnd::Tls(fault) if fault.is_lasting());
            net.record.upstreams[state.upstream].is_refusing =
                end == SessionEnd::Connect(ConnectFault::Refused);
        }
        self.connections.remove(&key);
        net.note_closed(connection);
        self.engine.session_closed(now, key, end);
    }

    fn accept(&mut self, net: &mut Network) {
        while let Some(stream) = net.inboxes[self.number].streams.pop_front() {
            let (peer, kind) = (net.streams[stream].peer, net.streams[stream].kind);
            if self.streams.len() >= self.settings.streams_max {
                // Whoever has more connections than this client may lose one to it, also with queries in flight.
                for stream in self.streams.values() {
                    net.streams[*stream].is_proper = false;
                }
            }
            match self
                .engine
                .clients_mut()
                .stream_opened(net.now, (peer, kind).into())
            {
                Some(key) => {
                    net.streams[stream].key = Some(key);
                    self.streams.insert(key, stream);
                }
                None => {
                    net.streams[stream].is_proper = false;
                    net.stream_close(stream);
                }
            }
        }
    }

    fn serve_stream(&mut self, net: &mut Network, key: StreamKey, stream: usize) {
        let now = net.now;
        if std::mem::take(&mut net.streams[stream].has_room) {
            self.driver(net).flush_stream(key);
        }
        net.streams[stream].reads_again = false;
        loop {
            if !self.engine.clients().stream_reads(key) {
                return;
            }
            match net.streams[stream].arrived.pop_front() {
                None => return,
                Some(Segment::Bytes(mut bytes)) => {
                    while let Some(Segment::Bytes(more)) = net.streams[stream].arrived.front_mut() {
                        bytes.append(more);
                        net.streams[stream].arrived.pop_front();
                    }
                    self.note_fed(net, stream, bytes.len());
                    self.engine.stream_bytes(now, key, &bytes);
                }
                Some(Segment::Datagram(..)) => {}
                Some(Segment::TlsFinished) => {
                    self.engine.clients_mut().stream_secured(now, key, false)
                }
                Some(Segment::Fin) => return self.engine.clients_mut().stream_ended(key),
                Some(Segment::Reset) => {
                    return self.driver(net).end_stream(key, stream);
                }
            }
        }
    }

    /// Notes which queries the engine has with these bytes.
    fn note_fed(&mut self, net: &mut Network, stream: usize, length: usize) {
        let in_flight = self.in_flight(net);
        let state = &mut net.streams[stream];
        state.fed += length;
        while let Some(&(end, query)) = state.queries.front()
            && end <= state.fed
        {
            state.queries.pop_front();
            net.record.give(net.now, query, in_flight);
        }
    }

    /// Queries in flight in all workers: what one address may have is counted over all.
    fn in_flight(&self, net: &Network) -> usize {
        let others = net.inboxes.iter().enumerate();
        let others = others.filter(|(number, _)| *number != self.number);
        let others: usize = others.map(|(_, inbox)| inbox.in_flight).sum();
        self.engine.load().queries + others
    }

    fn receive(&mut self, net: &mut Network) {
        let mut count = 0;
        while let Some(number) = net.inboxes[self.number].datagrams.pop_front() {
            let Path::Udp { peer, .. } = net.record.queries[number].path else {
                continue;
            };
            let path = ReturnPath {
                socket: 0,
                peer,
                local_ip: None,
                interface: 0,
            };
            net.record.give(net.now, number, self.in_flight(net));
            let message = net.record.queries[number].message.clone();
            self.engine.on_datagram(net.now, path, &message);
            count += 1;
            if count % BATCH == 0 && self.engine.clients().datagram_count() >= BATCH {
                self.driver(net).send();
            }
        }
    }

    /// Checks what the engine promises of itself.
    fn check(&mut self, net: &mut Network) {
        let engine = &self.engine;
        let settings = &self.settings;
        let counters = engine.counters();
        let responses = Rcode::ALL.iter();
        let responses: u64 = responses.map(|it| counters.clients().responses(*it)).sum();
        let recorded = self.recorded + counters.get(Count::QueryRecordsDropped);
        let unanswered = recorded.saturating_sub(responses);
        // Above a rate a query may be recorded and get no response.
        let is_unrecorded = recorded < responses || unanswered > queries_shed(counters);
        let broken = [
            (is_unrecorded, "records of queries"),
            (engine.load().queries > settings.queries_max, "queries"),
            (
                engine.load().questions > engine.load().queries + engine.load().refreshes,
                "questions",
            ),
            (engine.load().streams > settings.streams_max, "streams"),
            (
                engine.load().sessions != self.connections.len(),
                "sessions without a connection",
            ),
            (
                engine.load().streams != self.streams.len(),
                "streams without a connection",
            ),
        ];
        for (_, what) in broken.iter().filter(|(is_broken, _)| *is_broken) {
            let text = format!("w{}: the number of {what} is wrong", self.number);
            net.record.complain(net.now, text);
        }
        let mut of_peer: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for stream in self.streams.values() {
            *of_peer.entry(net.streams[*stream].peer).or_default() += 1;
        }
        if of_peer
            .values()
            .any(|count| *count > settings.streams_per_client_max)
        {
            net.record
                .complain(net.now, "a client has too many streams".to_owned());
        }
    }

    /// Begins no more sleep while something can be read.
    pub(crate) fn has_more_to_read(&self, net: &Network) -> bool {
        self.streams
            .values()
            .any(|stream| net.streams[*stream].reads_again)
    }
}

/// Queries over UDP that were shed without being read.
fn queries_shed(counters: &Counters) -> u64 {
    let all = RecordType::ALL.iter();
    let shed = |qtype: &RecordType| {
        let clients = counters.clients();
        clients.queries(ClientTransport::Udp, *qtype, Outcome::Shed)
    };
    all.map(shed).sum()
}
