//! A worker: drives the real engine by the same calls, in the same order, as the program's worker does.
//!
//! One turn: read what upstreams sent; read streams and datagrams; let time pass; then carry out what the
//! engine wants, then send datagrams. After every turn the engine's promises are checked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use dotgate_core::{
    Action, ClientMemory, ConnectFault, Count, Counters, Engine, KernelBuffers, Moment, ReturnPath,
    SessionEnd, SessionKey, Settings, Shared, StreamKey, limits,
};

use crate::connection::{Arrival, Connection, Segment, WINDOW};
use crate::network::Network;
use crate::record::Path;
use crate::script::Opening;

/// Datagrams read at once, as in the program.
const BATCH: usize = 32;

/// Actions in one turn beyond which the engine is thought to run in circles.
const ACTIONS: usize = 100_000;

/// One worker and its engine.
pub(crate) struct Worker {
    number: usize,
    pub(crate) engine: Engine,
    /// When it takes its next turn because something arrived.
    pub(crate) wakes_at: Option<Moment>,
    /// Until when it is kept from its work.
    pub(crate) busy_until: Moment,
    settings: Arc<Settings>,
    connections: BTreeMap<SessionKey, usize>,
    streams: BTreeMap<StreamKey, usize>,
    memory: Arc<ClientMemory>,
}

/// What clients below their share may cost beyond the limit within a turn, which answers what upstreams sent.
const MEMORY_BEYOND: usize = 2 * 1024 * 1024;

impl Worker {
    pub(crate) fn new(
        number: usize,
        settings: Arc<Settings>,
        shared: Shared,
        seed: [u8; 32],
        now: Moment,
    ) -> Worker {
        let memory = Arc::clone(&shared.memory);
        let engine = Engine::new(
            number,
            Arc::clone(&settings),
            shared,
            Arc::new(Counters::new()),
            seed,
        );
        Worker {
            number,
            engine,
            wakes_at: None,
            busy_until: now,
            settings,
            connections: BTreeMap::new(),
            streams: BTreeMap::new(),
            memory,
        }
    }

    pub(crate) fn turn(&mut self, net: &mut Network) {
        let now = net.now;
        let asked_before = net.record.attempts.len();
        let probes_before = self.probes();
        self.wakes_at = None;
        for letter in std::mem::take(&mut net.inboxes[self.number].letters) {
            self.engine.on_letter(now, letter);
        }
        for (key, connection) in self.connections.clone() {
            self.serve_session(net, key, connection);
        }
        self.accept(net);
        for (key, stream) in self.streams.clone() {
            self.serve_stream(net, key, stream);
        }
        self.receive(net);
        if self.engine.next_deadline().is_some_and(|due| due <= now) {
            self.engine.on_timeout(now);
            if self.engine.next_deadline().is_some_and(|due| due <= now) {
                let text = format!("w{}: after on_timeout the deadline is past", self.number);
                net.record.complain(now, text);
                // Else the simulation would not end.
                self.busy_until = now + std::time::Duration::from_millis(10);
            }
        }
        self.check_memory(net);
        self.carry_out(net);
        self.check_memory(net);
        net.inboxes[self.number].in_flight = self.engine.queries_in_flight();
        self.send(net);
        while let Some((to, letter)) = self.engine.poll_letter() {
            net.post(to, letter);
        }
        while let Some(event) = self.engine.poll_event() {
            let number = self.number;
            net.record.say(now, || format!("w{number} says {event:?}"));
            net.record.events.push((now, number, event));
        }
        let probes = self.probes() - probes_before;
        net.record.tell_probes(asked_before, probes as usize);
        self.check(net);
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
                    Arrival::Octets(octets) => format!("{} octets", octets.len()),
                    other => format!("{other:?}"),
                };
                format!("w{number} c{connection}: {what}")
            });
            match arrival {
                Arrival::Connected => self.engine.session_connected(now, key),
                Arrival::Opened => {
                    net.connections[connection].is_open = true;
                    net.record.upstreams[net.connections[connection].upstream].opened += 1;
                    self.engine.session_opened(now, key);
                }
                Arrival::Octets(mut octets) => {
                    // One read finds everything that has arrived.
                    while let Some(Arrival::Octets(more)) =
                        net.connections[connection].arrived.front_mut()
                    {
                        if octets.len() + more.len() > 16 * 1024 {
                            break;
                        }
                        octets.append(more);
                        net.connections[connection].arrived.pop_front();
                    }
                    net.note_delivered(connection, &octets);
                    self.engine.session_bytes(now, key, &octets);
                }
                Arrival::Failed(end) => return self.end_session(net, key, connection, end),
                Arrival::End(Segment::Reset) => {
                    return self.end_session(net, key, connection, SessionEnd::Reset);
                }
                Arrival::End(_) => {
                    return self.end_session(net, key, connection, SessionEnd::Closed);
                }
                Arrival::Room => self.flush_session(net, key),
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
        if !state.is_open {
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
            let peer = net.streams[stream].peer;
            if self.streams.len() >= self.settings.streams_max {
                // Whoever has more connections than this client may lose one to it, also with queries in flight.
                for held in self.streams.values() {
                    net.streams[*held].is_proper = false;
                }
            }
            match self.engine.stream_opened(net.now, peer) {
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
            self.flush_stream(net, key);
        }
        net.streams[stream].reads_again = false;
        loop {
            if !self.engine.stream_reads(key) {
                return;
            }
            match net.streams[stream].arrived.pop_front() {
                None => return,
                Some(Segment::Octets(mut octets)) => {
                    while let Some(Segment::Octets(more)) = net.streams[stream].arrived.front_mut()
                    {
                        octets.append(more);
                        net.streams[stream].arrived.pop_front();
                    }
                    self.note_fed(net, stream, octets.len());
                    self.engine.stream_bytes(now, key, &octets);
                }
                Some(Segment::Fin) => return self.engine.stream_ended(key),
                Some(Segment::Reset) => return self.end_stream(net, key, stream),
            }
        }
    }

    /// A client's connection was reset.
    fn end_stream(&mut self, net: &mut Network, key: StreamKey, stream: usize) {
        self.engine.stream_closed(key);
        self.streams.remove(&key);
        net.record.forsake(Path::Tcp(stream));
        net.streams[stream].is_over = true;
    }

    /// Notes which queries the engine has with these octets.
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
        self.engine.queries_in_flight() + others
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
            if count % BATCH == 0 && self.engine.datagram_count() >= BATCH {
                self.send(net);
            }
        }
    }

    fn carry_out(&mut self, net: &mut Network) {
        for _ in 0..ACTIONS {
            let Some(action) = self.engine.poll_action() else {
                return;
            };
            match action {
                Action::OpenSession {
                    session,
                    upstream,
                    alpn,
                    ..
                } => self.open_session(net, session, upstream, alpn),
                Action::FlushSession(session) => self.flush_session(net, session),
                Action::CloseSession(session) => {
                    if let Some(connection) = self.connections.remove(&session) {
                        let (now, number) = (net.now, self.number);
                        net.record
                            .say(now, || format!("w{number} closes c{connection}"));
                        net.note_closed(connection);
                        net.send_up(connection, Segment::Fin);
                    }
                }
                Action::FlushStream(stream) => self.flush_stream(net, stream),
                Action::ResumeStream(stream) => {
                    if let Some(&stream) = self.streams.get(&stream) {
                        net.streams[stream].reads_again = true;
                        net.woken.push(self.number);
                    }
                }
                Action::MeasureStreams => {
                    for (key, stream) in &self.streams {
                        let state = &net.streams[*stream];
                        let measured = KernelBuffers {
                            bytes: state.unread,
                            is_sending: state.unread > 0,
                            acknowledged: state.acknowledged,
                        };
                        self.engine.stream_measured(net.now, *key, measured);
                    }
                    self.engine.relieve(net.now);
                }
                Action::CloseStream(stream) => {
                    if let Some(stream) = self.streams.remove(&stream) {
                        net.stream_close(stream);
                    }
                }
            }
        }
        let text = format!("w{}: a turn has more than {ACTIONS} actions", self.number);
        net.record.complain(net.now, text);
    }

    fn open_session(
        &mut self,
        net: &mut Network,
        session: SessionKey,
        upstream: usize,
        alpn: bool,
    ) {
        let (now, number) = (net.now, self.number);
        let known = &mut net.record.upstreams[upstream];
        known.started += 1;
        known.troubled_since.get_or_insert(now);
        let fault = match net.upstreams[upstream].script.opening {
            _ if !net.has_descriptors => Some(ConnectFault::NoDescriptor),
            Opening::FailsAtOnce(fault) => Some(fault),
            Opening::Accepts
            | Opening::Fails(_)
            | Opening::AcceptsAndIsSilent
            | Opening::Vanishes => None,
        };
        if let Some(fault) = fault {
            net.record
                .say(now, || format!("w{number} cannot connect to u{upstream}"));
            let end = SessionEnd::Connect(fault);
            return self.engine.session_closed(now, session, end);
        }
        let connection = net.connections.len();
        net.record.say(now, || {
            format!("w{number} opens c{connection} to u{upstream}")
        });
        net.connections.push(Connection::new(number, upstream, now));
        self.connections.insert(session, connection);
        let held = self
            .connections
            .values()
            .filter(|held| net.connections[**held].upstream == upstream);
        if held.count() > limits::SESSIONS_AT_MOST {
            let text = format!("w{number} has too many sessions to u{upstream}");
            net.record.complain(now, text);
        }
        net.connect(connection, alpn, std::time::Duration::from_secs(1));
    }

    fn flush_session(&mut self, net: &mut Network, session: SessionKey) {
        let Some(&connection) = self.connections.get(&session) else {
            return;
        };
        let state = &mut net.connections[connection];
        let Some(output) = self.engine.session_output(session) else {
            return;
        };
        if !state.is_open {
            let text = format!("c{connection} has output before it is open");
            return net.record.complain(net.now, text);
        }
        let room = WINDOW.saturating_sub(state.unread).min(output.len());
        state.is_full = room < output.len();
        let octets: Vec<u8> = output.drain(..room).collect();
        if !octets.is_empty() {
            net.send_up(connection, Segment::Octets(octets));
        }
    }

    fn flush_stream(&mut self, net: &mut Network, key: StreamKey) {
        let Some(&stream) = self.streams.get(&key) else {
            return;
        };
        let Some(output) = self.engine.stream_output(key) else {
            return;
        };
        let state = &mut net.streams[stream];
        if state.arrived.contains(&Segment::Reset) {
            // A write to a connection that was reset fails.
            return self.end_stream(net, key, stream);
        }
        let room = super::client::CLIENT_WINDOW
            .saturating_sub(state.unread)
            .min(output.len());
        state.is_full = room < output.len();
        let octets: Vec<u8> = output.drain(..room).collect();
        if !octets.is_empty() {
            net.stream_write(stream, octets);
        }
        self.engine.stream_wrote(net.now, key, room);
    }

    fn send(&mut self, net: &mut Network) {
        for datagram in self.engine.datagrams() {
            let path = Path::Udp {
                worker: self.number,
                peer: datagram.path.peer,
            };
            if datagram.bytes.len() > usize::from(self.settings.udp_response_max) {
                let text = format!("a datagram of {} octets", datagram.bytes.len());
                net.record.complain(net.now, text);
            }
            net.record.on_response(net.now, path, datagram.bytes, false);
        }
        self.engine.clear_datagrams();
    }

    /// Checks that clients cost no more than they may, also before anything is written to them.
    fn check_memory(&self, net: &mut Network) {
        let (used, max) = (self.memory.used(), self.memory.max());
        if used > max + MEMORY_BEYOND {
            let text = format!("w{}: clients cost {used} bytes of {max}", self.number);
            net.record.complain(net.now, text);
        }
    }

    /// Checks what the engine promises of itself.
    fn check(&mut self, net: &mut Network) {
        let engine = &self.engine;
        let settings = &self.settings;
        let broken = [
            (engine.queries_in_flight() > settings.queries_max, "queries"),
            (
                engine.questions_in_flight()
                    > engine.queries_in_flight() + engine.refreshes_in_flight(),
                "questions",
            ),
            (engine.stream_count() > settings.streams_max, "streams"),
            (
                engine.session_count() != self.connections.len(),
                "sessions without a connection",
            ),
            (
                engine.stream_count() != self.streams.len(),
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
            .any(|held| *held > settings.streams_per_client_max)
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
