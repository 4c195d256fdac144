//! An engine with its world played by hand: upstreams that open, answer and close on command.

use std::sync::Arc;
use std::time::Duration;

use dotgate_message::{Compose as _, RA, RD, framed, query, response};
use dotgate_wire::{Flags, message_id, split_frame};

use super::message::address;
use crate::admit::{Access, Quotas};
use crate::cache::Cache;
use crate::counters::{Count, Counters};
use crate::engine::{Driver, Engine, Shared, carry_out, drive};
use crate::failure::SessionEnd;
use crate::flights::{FlightMessage, Flights};
use crate::health::{Evidence, HealthState};
use crate::key_exchange::KeyExchange;
use crate::keys::{SessionKey, StreamKey, UpstreamId, WorkerId};
use crate::limits;
use crate::link::Link;
use crate::memory::ClientMemory;
use crate::moment::Moment;
use crate::outbox::{Action, Event, ReturnPath};
use crate::record::QueryRecord;
use crate::settings::{Settings, UpstreamSettings};
use crate::stream::{KernelBuffers, StreamKind};

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// After this time a session with one query is unresponsive.
pub(super) const UNRESPONSIVE_ALONE: Duration =
    limits::NO_RESPONSE_ALONE.saturating_add(limits::PROBE_WAIT);

/// The same with several queries.
pub(super) const UNRESPONSIVE: Duration = limits::NO_RESPONSE.saturating_add(limits::PROBE_WAIT);

/// A question that reached an upstream.
#[derive(Clone, Debug)]
pub(super) struct ForwardedQuery {
    pub(super) session: SessionKey,
    pub(super) upstream: usize,
    pub(super) id: u16,
    pub(super) message: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) session: SessionKey,
    pub(super) upstream: usize,
    pub(super) link: Link,
    pub(super) alpn: bool,
    pub(super) key_exchange: KeyExchange,
    pub(super) try_number: u32,
}

pub(super) struct Lab {
    pub(super) engine: Engine,
    pub(super) now: Moment,
    pub(super) openings: Vec<Opening>,
    pub(super) forwarded: Vec<ForwardedQuery>,
    pub(super) closed: Vec<SessionKey>,
    pub(super) responses: Vec<Vec<u8>>,
    pub(super) stream_bytes: Vec<u8>,
    /// Whether clients on streams take what is written to them.
    pub(super) client_reads: bool,
    pub(super) closed_streams: Vec<StreamKey>,
    pub(super) resumed: usize,
    /// Every connection there was, and how often they were measured.
    pub(super) streams: Vec<StreamKey>,
    pub(super) measured: usize,
    pub(super) events: Vec<Event>,
    pub(super) records: Vec<QueryRecord>,
    pub(super) messages: Vec<(WorkerId, FlightMessage)>,
    upstream_of: Vec<(SessionKey, usize)>,
    worker: WorkerId,
    pub(super) settings: Settings,
    pub(super) shared: Shared,
    last_answer: Option<SessionKey>,
    port: u16,
}

pub(super) fn settings(upstreams: usize) -> Settings {
    Settings {
        access: Access::of(["192.0.2.0/24".parse().unwrap()]),
        queries_max: 1_000,
        queries_per_client_max: 800,
        streams_max: 10,
        streams_per_client_max: 4,
        ..Settings::for_upstreams(
            (0..upstreams)
                .map(|n| UpstreamSettings::new(id(n), &format!("up{n}")))
                .collect(),
        )
    }
}

impl Lab {
    pub(super) fn new(upstreams: usize) -> Lab {
        Lab::with(settings(upstreams))
    }

    pub(super) fn with(settings: Settings) -> Lab {
        Lab::sharing(WorkerId(0), settings, Shared::alone())
    }

    /// With a cache, and sharing what it must with this many workers in all.
    pub(super) fn with_cache(settings: Settings, workers: usize) -> Lab {
        let shared = Shared {
            cache: Arc::new(Cache::new(1024 * 1024, (1, 2))),
            flights: Arc::new(Flights::new(workers)),
            memory: Arc::new(ClientMemory::new(workers)),
            quotas: Arc::new(Quotas::new((3, 4))),
            ..Shared::alone()
        };
        Lab::sharing(WorkerId(0), settings, shared)
    }

    /// The lab of another worker of the same process.
    pub(super) fn sharing_with(other: &Lab) -> Lab {
        let settings = other.settings.clone();
        let mut second = Lab::sharing(WorkerId(other.worker.0 + 1), settings, other.shared.clone());
        second.now = other.now;
        second
    }

    fn sharing(worker: WorkerId, settings: Settings, shared: Shared) -> Lab {
        let counters = Arc::new(Counters::new());
        Lab {
            engine: Engine::new(
                worker,
                Arc::new(settings.clone()),
                shared.clone(),
                counters,
                [7; 32],
            ),
            now: Moment::from_nanos(1_000_000_000_000),
            openings: Vec::new(),
            forwarded: Vec::new(),
            closed: Vec::new(),
            responses: Vec::new(),
            stream_bytes: Vec::new(),
            client_reads: true,
            closed_streams: Vec::new(),
            resumed: 0,
            streams: Vec::new(),
            measured: 0,
            events: Vec::new(),
            records: Vec::new(),
            messages: Vec::new(),
            upstream_of: Vec::new(),
            worker,
            settings,
            shared,
            last_answer: None,
            port: 1_024,
        }
    }

    /// What clients cost, in all workers.
    pub(super) fn memory(&self) -> Arc<ClientMemory> {
        Arc::clone(&self.shared.memory)
    }

    /// Switches to other settings.
    pub(super) fn reconfigure(&mut self, settings: Settings) {
        self.settings = settings.clone();
        self.engine.reconfigure(self.now, Arc::new(settings));
        self.settle();
        self.pass(Duration::ZERO);
    }

    /// With one session open to each upstream that has been asked for, in order.
    pub(super) fn opened(upstreams: usize) -> Lab {
        Lab::new(upstreams).warmed_up()
    }

    /// The same with a session to the first upstream, which has answered one query.
    pub(super) fn warmed_up(mut self) -> Lab {
        self.ask("warm-up");
        self.open(0);
        self.answer_all();
        self.responses.clear();
        self
    }

    /// One query by UDP for an A record of `name`, with ID 1.
    pub(super) fn ask(&mut self, name: &str) {
        self.send(&query(1, name));
    }

    pub(super) fn send(&mut self, message: &[u8]) {
        // Each from a port of its own, for the same ID from the same port would be the same query.
        self.port = if self.port < 60_000 {
            self.port + 1
        } else {
            1_024
        };
        self.send_from(&format!("192.0.2.1:{}", self.port), message);
    }

    pub(super) fn send_from(&mut self, peer: &str, message: &[u8]) {
        let path = ReturnPath {
            socket: 0,
            peer: peer.parse().unwrap(),
            local_ip: None,
            interface: 0,
        };
        self.engine.on_datagram(self.now, path, message);
        self.settle();
    }

    /// Takes what another worker sends to this one.
    pub(super) fn take_flight_messages(&mut self, other: &mut Lab) {
        for (_, message) in other.messages.extract_if(.., |(to, _)| *to == self.worker) {
            self.engine.on_flight_message(self.now, message);
        }
        self.settle();
    }

    /// Completes the oldest opening of this upstream.
    pub(super) fn open(&mut self, upstream: usize) -> SessionKey {
        let opening = self.take_opening(upstream);
        self.engine
            .sessions_mut()
            .on_connected(self.now, opening.session);
        self.engine.session_opened(self.now, opening.session);
        self.settle();
        opening.session
    }

    /// Completes all openings, and those that follow from them.
    pub(super) fn open_all(&mut self) {
        while let Some(opening) = self.openings.first() {
            self.open(opening.upstream);
        }
    }

    /// Forgets our own questions among those that reached an upstream, unanswered.
    pub(super) fn swallow_probes(&mut self) {
        self.forwarded
            .retain(|forwarded| forwarded.message[12] != 0);
    }

    /// The TCP connection of the oldest opening of this upstream stands; its handshake goes on.
    pub(super) fn connect_opening(&mut self, upstream: usize) {
        let opening = self.openings.iter().find(|it| it.upstream == upstream);
        let session = opening.unwrap_or_else(|| panic!("nothing opens to upstream {upstream}"));
        self.engine
            .sessions_mut()
            .on_connected(self.now, session.session);
        self.settle();
    }

    pub(super) fn fail_open(&mut self, upstream: usize, end: SessionEnd) {
        let opening = self.take_opening(upstream);
        self.engine.session_closed(self.now, opening.session, end);
        self.settle();
    }

    fn take_opening(&mut self, upstream: usize) -> Opening {
        let place = self
            .openings
            .iter()
            .position(|opening| opening.upstream == upstream);
        self.openings
            .remove(place.unwrap_or_else(|| panic!("nothing opens to upstream {upstream}")))
    }

    pub(super) fn close(&mut self, session: SessionKey) {
        self.forwarded
            .retain(|forwarded| forwarded.session != session);
        self.engine
            .session_closed(self.now, session, SessionEnd::Closed);
        self.settle();
    }

    /// Takes the oldest question that reached an upstream.
    pub(super) fn next_forwarded(&mut self) -> ForwardedQuery {
        assert!(!self.forwarded.is_empty(), "nothing was forwarded");
        self.forwarded.remove(0)
    }

    pub(super) fn answer(&mut self, forwarded: &ForwardedQuery) {
        self.respond(forwarded.session, &answer(&forwarded.message, 0));
    }

    /// What is known of an upstream.
    pub(super) fn evidence(&self, upstream: usize) -> &Evidence {
        self.settings.groups[0].upstreams[upstream]
            .health
            .evidence()
    }

    /// Has an upstream probed, as for a health check.
    pub(super) fn probe(&mut self, upstream: usize) {
        self.engine.probe(self.now, id(upstream));
        self.settle();
    }

    /// The state of an upstream.
    pub(super) fn state(&self, upstream: usize) -> HealthState {
        self.settings.groups[0].upstreams[upstream].health.state()
    }

    /// This host has other addresses or routes.
    pub(super) fn change_network(&mut self) {
        self.engine.on_network_change(self.now);
        self.settle();
    }

    /// The session on which an upstream last answered.
    pub(super) fn session_of_last_answer(&self) -> SessionKey {
        self.last_answer.unwrap()
    }

    pub(super) fn answer_with_rcode(&mut self, forwarded: &ForwardedQuery, rcode: u8) {
        self.respond(forwarded.session, &answer(&forwarded.message, rcode));
    }

    pub(super) fn answer_all(&mut self) {
        while !self.forwarded.is_empty() {
            let forwarded = self.next_forwarded();
            self.answer(&forwarded);
        }
    }

    /// A datagram comes on the socket of a question that was asked over UDP.
    pub(super) fn receive(&mut self, forwarded: &ForwardedQuery, message: &[u8]) {
        self.engine
            .session_datagram(self.now, forwarded.session, forwarded.id, message);
        self.settle();
    }

    /// Answers everything that was asked over UDP, and what follows from it.
    pub(super) fn answer_all_datagrams(&mut self) {
        while !self.forwarded.is_empty() {
            let forwarded = self.next_forwarded();
            self.receive(&forwarded, &answer(&forwarded.message, 0));
        }
    }

    pub(super) fn respond(&mut self, session: SessionKey, message: &[u8]) {
        self.last_answer = Some(session);
        self.engine
            .session_bytes(self.now, session, &framed(message));
        self.settle();
    }

    /// Opens a connection of the client 192.0.2.9.
    pub(super) fn connect(&mut self) -> StreamKey {
        self.connect_from("192.0.2.9").unwrap()
    }

    /// Opens a connection of another client, if there is room.
    pub(super) fn connect_from(&mut self, peer: &str) -> Option<StreamKey> {
        self.connect_by(StreamKind::Tcp, peer)
    }

    /// The same of this kind.
    pub(super) fn connect_by(&mut self, kind: StreamKind, peer: &str) -> Option<StreamKey> {
        let peer = peer.parse().unwrap();
        let stream = self
            .engine
            .clients_mut()
            .stream_opened(self.now, (peer, kind).into());
        self.streams.extend(stream);
        self.settle();
        stream
    }

    /// Sends bytes on a client's connection; tells whether it is read on.
    pub(super) fn stream_send(&mut self, stream: StreamKey, bytes: &[u8]) -> bool {
        let reads_on = self.engine.stream_bytes(self.now, stream, bytes);
        self.settle();
        reads_on
    }

    /// The messages written to clients' connections so far.
    pub(super) fn stream_messages(&self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut rest = &self.stream_bytes[..];
        while let Some((message, after)) = split_frame(rest) {
            messages.push(message.to_vec());
            rest = after;
        }
        assert!(rest.is_empty(), "half a frame was written");
        messages
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(deadline) = self
            .engine
            .next_deadline()
            .filter(|deadline| *deadline <= end)
        {
            self.now = self.now.max(deadline);
            drive(self, self.now);
        }
        self.now = end;
    }

    /// Carries out what the engine wants.
    pub(super) fn settle(&mut self) {
        carry_out(self, self.now);
    }

    fn flush(&mut self, session: SessionKey) {
        while let Some(id) = self.engine.sessions_mut().poll_released(session) {
            self.forwarded
                .retain(|it| (it.session, it.id) != (session, id));
        }
        let Some(output) = self.engine.sessions_mut().output(session) else {
            return;
        };
        let bytes = std::mem::take(output);
        let upstream = self
            .upstream_of
            .iter()
            .find(|(key, _)| *key == session)
            .unwrap()
            .1;
        let mut rest = &bytes[..];
        while let Some((message, after)) = split_frame(rest) {
            rest = after;
            let id = message_id(message).unwrap();
            self.forwarded.push(ForwardedQuery {
                session,
                upstream,
                id,
                message: message.to_vec(),
            });
        }
        assert!(rest.is_empty(), "half a frame was flushed");
    }

    pub(super) fn count(&self, count: Count) -> u64 {
        self.engine.counters().get(count)
    }

    /// The RCODEs of all responses by UDP so far.
    pub(super) fn rcodes(&self) -> Vec<u8> {
        self.responses
            .iter()
            .map(|response| rcode_of(response))
            .collect()
    }

    /// Asserts that nothing is left of any query.
    pub(super) fn expect_idle(&self) {
        assert_eq!(self.engine.load().queries, 0);
        assert_eq!(self.engine.load().questions, 0);
    }
}

impl Driver for Lab {
    fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    fn act(&mut self, _now: Moment, action: Action) {
        match action {
            Action::OpenSession {
                session,
                upstream,
                link: Link::Datagrams,
                ..
            } => self.upstream_of.push((session, upstream.index())),
            Action::OpenSession {
                session,
                upstream,
                link,
                alpn,
                key_exchange,
                try_number,
            } => {
                self.openings.push(Opening {
                    session,
                    upstream: upstream.index(),
                    link,
                    alpn,
                    key_exchange,
                    try_number,
                });
                self.upstream_of.push((session, upstream.index()));
            }
            Action::FlushSession(session) => self.flush(session),
            Action::CloseSession(session) => {
                self.openings.retain(|opening| opening.session != session);
                self.forwarded
                    .retain(|forwarded| forwarded.session != session);
                self.closed.push(session);
            }
            Action::FlushStream(stream) => {
                if let Some(output) = self.engine.clients_mut().stream_output(stream) {
                    let mut taken = 0;
                    if self.client_reads {
                        taken = output.len();
                        self.stream_bytes.append(output);
                    }
                    self.engine.stream_wrote(self.now, stream, taken, 0);
                }
            }
            Action::ResumeStream(_) => self.resumed += 1,
            Action::MeasureStreams => {
                for stream in &self.streams {
                    self.engine.clients_mut().stream_measured(
                        self.now,
                        *stream,
                        KernelBuffers::default(),
                    );
                }
                self.measured += 1;
                self.engine.free_client_memory(self.now);
            }
            Action::CloseStream(stream, _) => self.closed_streams.push(stream),
        }
    }

    fn send_datagrams(&mut self, _now: Moment) {
        let datagrams = self.engine.clients().datagrams();
        self.responses
            .extend(datagrams.map(|datagram| datagram.bytes.to_vec()));
        self.engine.clients_mut().clear_datagrams();
    }

    fn send_flight_messages(&mut self) {
        while let Some(message) = self.engine.poll_flight_message() {
            self.messages.push(message);
        }
    }

    fn take_records(&mut self, _now: Moment) {
        self.records
            .extend_from_slice(self.engine.clients().records());
        self.engine.clients_mut().clear_records();
    }

    fn log(&mut self, _now: Moment, event: Event) {
        self.events.push(event);
    }
}

/// The ID of the upstream with this number.
pub(super) fn id(upstream: usize) -> UpstreamId {
    UpstreamId(u8::try_from(upstream).unwrap())
}

pub(super) fn rcode_of(response: &[u8]) -> u8 {
    Flags(u16::from_be_bytes([response[2], response[3]])).rcode()
}

/// A response to a query: one A record if the RCODE is 0, and an empty OPT.
pub(super) fn answer(query: &[u8], rcode: u8) -> Vec<u8> {
    let answers = match rcode {
        0 => vec![address(5)],
        _ => Vec::new(),
    };
    let flags = RD | RA | u16::from(rcode);
    response(query, flags, [&answers, &[], &[]]).with_edns()
}
