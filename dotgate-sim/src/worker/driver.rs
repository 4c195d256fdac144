//! Carries out what the engine wants, in the simulated network.

use std::collections::BTreeMap;

use dotgate_core::{
    Action, ClientMemory, ConnectFault, Driver, Engine, Event, KernelBuffers, Link, Moment,
    SessionEnd, SessionKey, Settings, StreamKey, limits,
};

use crate::client::CLIENT_WINDOW;
use crate::connection::{Connection, WINDOW};
use crate::event::{Hello, Segment};
use crate::message;
use crate::network::Network;
use crate::record::Path;
use crate::script::Opening;

/// Actions in one turn beyond which the engine is thought to run in circles.
const ACTIONS: usize = 100_000;

/// What clients below their share may cost beyond the limit within a turn, which answers what upstreams sent.
const MEMORY_BEYOND: usize = 2 * 1024 * 1024;

/// A worker at the end of a turn, and the network.
pub(super) struct SimulatedDriver<'w> {
    pub(super) engine: &'w mut Engine,
    pub(super) number: usize,
    pub(super) settings: &'w Settings,
    pub(super) memory: &'w ClientMemory,
    pub(super) connections: &'w mut BTreeMap<SessionKey, usize>,
    pub(super) streams: &'w mut BTreeMap<StreamKey, usize>,
    /// How many were carried out in this turn.
    pub(super) actions: usize,
    /// Records of queries so far.
    pub(super) recorded: &'w mut u64,
    pub(super) net: &'w mut Network,
}

impl Driver for SimulatedDriver<'_> {
    fn engine(&mut self) -> &mut Engine {
        self.engine
    }

    fn act(&mut self, now: Moment, action: Action) {
        if self.actions == 0 {
            self.check_memory();
        }
        self.actions += 1;
        assert!(
            self.actions <= ACTIONS,
            "w{}: a turn has more than {ACTIONS} actions",
            self.number
        );
        match action {
            Action::OpenSession {
                session,
                upstream,
                link,
                alpn,
                key_exchange,
                try_number,
            } => {
                let upstream = upstream.index();
                let address = self.net.upstreams[upstream].address(try_number);
                let hello = Hello { alpn, key_exchange };
                self.open_session(session, (upstream, address), (link, hello));
            }
            Action::FlushSession(session) => self.flush_session(session),
            Action::CloseSession(session) => {
                if let Some(connection) = self.connections.remove(&session) {
                    let number = self.number;
                    self.net
                        .record
                        .say(now, || format!("w{number} closes c{connection}"));
                    self.net.note_closed(connection);
                    self.net.send_up(connection, Segment::Fin);
                }
            }
            Action::FlushStream(stream) => self.flush_stream(stream),
            Action::ResumeStream(stream) => {
                if let Some(&stream) = self.streams.get(&stream) {
                    self.net.streams[stream].reads_again = true;
                    self.net.woken.push(self.number);
                }
            }
            Action::MeasureStreams => {
                for (key, stream) in &*self.streams {
                    let state = &self.net.streams[*stream];
                    let measured = KernelBuffers {
                        bytes: state.unread,
                        is_sending: state.unread > 0,
                        acknowledged: state.acknowledged,
                    };
                    self.engine
                        .clients_mut()
                        .stream_measured(now, *key, measured);
                }
                self.engine.free_client_memory(now);
            }
            Action::CloseStream(stream, _) => {
                if let Some(stream) = self.streams.remove(&stream) {
                    self.net.stream_close(stream);
                }
            }
        }
    }

    fn send_datagrams(&mut self, _now: Moment) {
        self.check_memory();
        self.net.inboxes[self.number].in_flight = self.engine.load().queries;
        self.send();
    }

    fn send_flight_messages(&mut self) {
        while let Some((to, message)) = self.engine.poll_flight_message() {
            self.net.send_flight_message(to.index(), message);
        }
    }

    fn take_records(&mut self, _now: Moment) {
        *self.recorded += self.engine.clients().records().len() as u64;
        self.engine.clients_mut().clear_records();
    }

    fn log(&mut self, now: Moment, event: Event) {
        let number = self.number;
        self.net
            .record
            .say(now, || format!("w{number} says {event:?}"));
        self.net.record.events.push((now, number, event));
    }
}

impl SimulatedDriver<'_> {
    fn open_session(
        &mut self,
        session: SessionKey,
        (upstream, address): (usize, usize),
        (link, hello): (Link, Hello),
    ) {
        let (now, number) = (self.net.now, self.number);
        let known = &mut self.net.record.upstreams[upstream];
        known.started += 1;
        known.troubled_since.get_or_insert(now);
        let fault = match self.net.upstreams[upstream].script.opening {
            _ if !self.net.has_descriptors => Some(ConnectFault::NoDescriptor),
            Opening::FailsAtOnce(fault) => Some(fault),
            Opening::Accepts
            | Opening::Fails(_)
            | Opening::AcceptsAndSendsNothing
            | Opening::DropsLargeHellos
            | Opening::Vanishes => None,
        };
        if let Some(fault) = fault {
            self.net
                .record
                .say(now, || format!("w{number} cannot connect to u{upstream}"));
            let known = &mut self.net.record.upstreams[upstream];
            known.is_refusing = fault == ConnectFault::Refused;
            let end = SessionEnd::Connect(fault);
            return self.engine.session_closed(now, session, end);
        }
        let connection = self.net.connections.len();
        self.net.record.say(now, || {
            format!("w{number} opens c{connection} to u{upstream}")
        });
        let mut opened = Connection::new(number, upstream, link, now);
        opened.address = address;
        self.net.connections.push(opened);
        self.connections.insert(session, connection);
        let to_upstream = self
            .connections
            .values()
            .filter(|connection| self.net.connections[**connection].upstream == upstream);
        if to_upstream.count() > limits::SESSIONS_AT_MOST {
            let text = format!("w{number} has too many sessions to u{upstream}");
            self.net.record.complain(now, text);
        }
        if link != Link::Datagrams {
            let pause = std::time::Duration::from_secs(1);
            self.net.connect(connection, hello, pause);
        }
    }

    pub(super) fn flush_session(&mut self, session: SessionKey) {
        let Some(&connection) = self.connections.get(&session) else {
            return;
        };
        if self.net.connections[connection].link == Link::Datagrams {
            return self.flush_datagrams(session, connection);
        }
        let state = &mut self.net.connections[connection];
        let Some(output) = self.engine.sessions_mut().output(session) else {
            return;
        };
        if !state.is_open {
            let text = format!("c{connection} has output before it is open");
            return self.net.record.complain(self.net.now, text);
        }
        let room = WINDOW.saturating_sub(state.unread).min(output.len());
        state.is_full = room < output.len();
        let bytes: Vec<u8> = output.drain(..room).collect();
        if !bytes.is_empty() {
            self.net.send_up(connection, Segment::Bytes(bytes));
        }
    }

    /// Each query has a socket of its own, which is closed when it waits no more.
    fn flush_datagrams(&mut self, session: SessionKey, connection: usize) {
        while let Some(id) = self.engine.sessions_mut().poll_released(session) {
            self.net.close_socket(connection, id);
        }
        let output = self
            .engine
            .sessions_mut()
            .output(session)
            .map(std::mem::take);
        let output = output.unwrap_or_default();
        let mut rest = &output[..];
        while let Some((message, after)) = message::split_frame(rest) {
            rest = after;
            let id = message
                .first_chunk()
                .map_or(0, |id| u16::from_be_bytes(*id));
            if self.engine.sessions_mut().awaits(session, id) {
                self.net.send_datagram(connection, id, message);
            }
        }
    }

    pub(super) fn flush_stream(&mut self, key: StreamKey) {
        let Some(&stream) = self.streams.get(&key) else {
            return;
        };
        let Some(output) = self.engine.clients_mut().stream_output(key) else {
            return;
        };
        let state = &mut self.net.streams[stream];
        if state.arrived.contains(&Segment::Reset) {
            // A write to a connection that was reset fails.
            return self.end_stream(key, stream);
        }
        let room = CLIENT_WINDOW.saturating_sub(state.unread).min(output.len());
        state.is_full = room < output.len();
        let bytes: Vec<u8> = output.drain(..room).collect();
        if !bytes.is_empty() {
            self.net.stream_write(stream, bytes);
        }
        self.engine.stream_wrote(self.net.now, key, room, 0);
    }

    pub(super) fn send(&mut self) {
        for datagram in self.engine.clients().datagrams() {
            let path = Path::Udp {
                worker: self.number,
                peer: datagram.path.peer,
            };
            if datagram.bytes.len() > usize::from(self.settings.udp_response_max) {
                let text = format!("a datagram of {} bytes", datagram.bytes.len());
                self.net.record.complain(self.net.now, text);
            }
            self.net
                .record
                .on_response(self.net.now, path, datagram.bytes, false);
        }
        self.engine.clients_mut().clear_datagrams();
    }

    /// A client's connection was reset.
    pub(super) fn end_stream(&mut self, key: StreamKey, stream: usize) {
        self.engine.clients_mut().stream_closed(key);
        self.streams.remove(&key);
        self.net.record.abandon(Path::Tcp(stream));
        self.net.streams[stream].is_over = true;
    }

    /// Checks that clients cost no more than they may, also before anything is written to them.
    fn check_memory(&mut self) {
        let (used, max) = (self.memory.used(), self.memory.max());
        if used > max + MEMORY_BEYOND {
            let text = format!("w{}: clients cost {used} bytes of {max}", self.number);
            self.net.record.complain(self.net.now, text);
        }
    }
}
