//! One engine and the driver's side of it: who waits for what, which sessions and streams there are.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use dotgate_core::{
    Action, Count, Counters, Driver, Engine, Event, KernelBuffers, Moment, ReturnPath, SessionEnd,
    SessionKey, Settings, Shared, StreamKey, StreamKind, UpstreamId, WorkerId, carry_out, drive,
    limits,
};
use dotgate_wire::{Received, UpstreamResponse, parse_query};

use super::message;

/// Actions of one turn beyond which the engine is thought to run in circles.
const ACTIONS: usize = 50_000;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Client {
    Datagram(SocketAddr),
    Stream(StreamKey),
}

/// A query that the engine took and owes a response.
#[derive(Debug)]
struct Pending {
    question: Vec<u8>,
    /// Whether it is a query, not something to be rejected.
    is_query: bool,
    due: Moment,
}

/// A client's connection.
#[derive(Default, Debug)]
pub(crate) struct Stream {
    /// What the client has sent and the engine was not given.
    pub(crate) unfed: Vec<u8>,
    /// What the engine was given and is no complete message.
    partial: Vec<u8>,
    /// Complete messages that the engine was given and has not taken.
    messages: VecDeque<Vec<u8>>,
    pub(crate) is_read: bool,
    pub(crate) has_ended: bool,
    /// Whether the client takes no byte.
    pub(crate) is_blocked: bool,
    /// Whether it may be closed although somebody waits: it does not read, or sent no message.
    is_excused: bool,
    /// Bytes of the engine's output that were looked at.
    seen: usize,
    written: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Connecting,
    Handshaking,
    Open,
}

/// The upstream's end of a session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) upstream: UpstreamId,
    pub(crate) phase: Phase,
    /// Whether the upstream takes no byte.
    pub(crate) is_blocked: bool,
    /// What the upstream has sent and the engine was not given.
    pub(crate) undelivered: Vec<u8>,
    /// Queries by their message ID, until they are answered.
    pub(crate) asked: BTreeMap<u16, Vec<u8>>,
    /// The last query that was answered.
    pub(crate) answered: Option<Vec<u8>>,
    received: Vec<u8>,
}

pub(crate) struct Worker {
    pub(crate) engine: Engine,
    pub(crate) sessions: BTreeMap<SessionKey, Session>,
    pub(crate) streams: BTreeMap<StreamKey, Stream>,
    /// Keys that the engine has forgotten, or was asked to forget.
    pub(crate) old_sessions: Vec<SessionKey>,
    pub(crate) old_streams: Vec<StreamKey>,
    /// How every opening fails, at once, if it does.
    pub(crate) fails_at_once: Option<SessionEnd>,
    /// Whether responses hold what no upstream meant: then data is not compared.
    pub(crate) is_garbled: bool,
    /// NOERROR responses that clients got.
    pub(crate) good: u64,
    pending: BTreeMap<(Client, u16), Vec<Pending>>,
    /// How many these are.
    waiting: usize,
    /// Queries whose client has left.
    abandoned: usize,
    settings: Arc<Settings>,
    /// Whether an upstream took another one's ID: attempts were taken back then, and counts were reset.
    has_taken_ids: bool,
    answer: UpstreamResponse,
    /// Actions of the turn that is being carried out.
    actions: usize,
}

impl Worker {
    pub(crate) fn new(
        worker: WorkerId,
        settings: &Arc<Settings>,
        shared: &Shared,
        seed: [u8; 32],
    ) -> Worker {
        let counters = Arc::new(Counters::new());
        Worker {
            engine: Engine::new(worker, Arc::clone(settings), shared.clone(), counters, seed),
            sessions: BTreeMap::new(),
            streams: BTreeMap::new(),
            old_sessions: Vec::new(),
            old_streams: Vec::new(),
            fails_at_once: None,
            is_garbled: false,
            good: 0,
            pending: BTreeMap::new(),
            waiting: 0,
            abandoned: 0,
            settings: Arc::clone(settings),
            has_taken_ids: false,
            answer: UpstreamResponse::new(),
            actions: 0,
        }
    }

    pub(crate) fn reconfigure(&mut self, now: Moment, settings: &Arc<Settings>, takes_ids: bool) {
        self.has_taken_ids |= takes_ids;
        self.settings = Arc::clone(settings);
        self.engine.reconfigure(now, Arc::clone(settings));
        self.pump(now);
        self.on_timeout(now);
    }

    pub(crate) fn count(&self, count: Count) -> u64 {
        self.engine.counters().get(count)
    }

    pub(crate) fn datagram(&mut self, now: Moment, peer: SocketAddr, message: &[u8]) {
        if peer.port() != 0 {
            self.expect(now, Client::Datagram(peer), message);
        }
        let path = ReturnPath {
            socket: 0,
            peer,
            local_ip: None,
            interface: 0,
        };
        self.engine.on_datagram(now, path, message);
    }

    /// Remembers that a message deserves a response, if it does.
    fn expect(&mut self, now: Moment, client: Client, message: &[u8]) {
        let (id, question, is_query) = match parse_query(message) {
            Received::Ignore(_) => return,
            Received::Reject(reject) => (reject.id, reject.question, false),
            Received::Query(query) => (query.id, query.question, true),
        };
        self.waiting += 1;
        self.pending.entry((client, id)).or_default().push(Pending {
            question: question.to_vec(),
            is_query,
            due: now + self.settings.query_deadline,
        });
    }

    pub(crate) fn open_stream(&mut self, now: Moment, peer: IpAddr) -> Option<StreamKey> {
        if self.streams.len() >= self.settings.streams_max {
            // Whoever has more connections than this client may lose one to it, also with queries in flight.
            for stream in self.streams.values_mut() {
                stream.is_excused = true;
            }
        }
        let key = self
            .engine
            .clients_mut()
            .stream_opened(now, (peer, StreamKind::Tcp).into())?;
        let stream = Stream {
            is_read: true,
            ..Stream::default()
        };
        assert!(self.streams.insert(key, stream).is_none());
        assert!(!self.old_streams.contains(&key), "{key:?} lives twice");
        Some(key)
    }

    /// Gives the engine bytes of a client, if it reads them.
    pub(crate) fn feed(&mut self, now: Moment, key: StreamKey, length: usize) {
        let Some(stream) = self.streams.get_mut(&key).filter(|stream| stream.is_read) else {
            return;
        };
        let bytes: Vec<u8> = stream
            .unfed
            .drain(..length.min(stream.unfed.len()))
            .collect();
        stream.partial.extend(&bytes);
        let messages = message::take_frames(&mut stream.partial);
        stream.messages.extend(messages);
        let before = self.taken();
        let reads_on = self.engine.stream_bytes(now, key, &bytes);
        self.take(now, key, before);
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.is_read = reads_on;
            assert!(!reads_on || stream.messages.is_empty(), "messages are left");
        }
    }

    /// Messages of clients that the engine has looked at.
    fn taken(&self) -> u64 {
        [
            Count::QueriesIgnored,
            Count::QueriesMalformed,
            Count::QueriesRefused,
            Count::ClientsRefused,
            Count::QueriesShed,
            Count::QueriesLocal,
            Count::QueriesForwarded,
        ]
        .into_iter()
        .map(|count| self.count(count))
        .sum()
    }

    /// Moves on by what the engine has taken of a client's messages since `before`.
    fn take(&mut self, now: Moment, key: StreamKey, before: u64) {
        for _ in before..self.taken() {
            let Some(stream) = self.streams.get_mut(&key) else {
                return;
            };
            let message = stream.messages.pop_front();
            let message = message.expect("the engine takes no more messages than were sent");
            if matches!(parse_query(&message), Received::Ignore(_)) {
                stream.is_excused = true;
            }
            self.expect(now, Client::Stream(key), &message);
        }
    }

    pub(crate) fn end_stream(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.has_ended = true;
            stream.unfed.clear();
        }
        self.engine.clients_mut().stream_ended(key);
    }

    /// The client has closed its side of a connection.
    pub(crate) fn lose_stream(&mut self, key: StreamKey) {
        self.forget_stream(key);
        self.engine.clients_mut().stream_closed(key);
    }

    /// As at the end of a stop: nobody is waited for.
    pub(crate) fn close_all_streams(&mut self) {
        for stream in self.streams.values_mut() {
            stream.is_excused = true;
        }
        self.engine.clients_mut().close_all_streams();
    }

    fn forget_stream(&mut self, key: StreamKey) {
        if self.streams.remove(&key).is_some() {
            self.old_streams.push(key);
        }
        let client = Client::Stream(key);
        let range = (client, 0)..=(client, u16::MAX);
        let left: usize = self
            .pending
            .range(range)
            .map(|(_, queries)| queries.len())
            .sum();
        self.abandoned += left;
        self.waiting -= left;
        self.pending.retain(|(of, _), _| *of != client);
    }

    /// The upstream has ended a session.
    pub(crate) fn close_session(&mut self, now: Moment, key: SessionKey, end: SessionEnd) {
        if self.sessions.remove(&key).is_some() {
            self.old_sessions.push(key);
        }
        self.engine.session_closed(now, key, end);
    }

    /// Gives the engine bytes that an upstream has sent.
    pub(crate) fn deliver(&mut self, now: Moment, key: SessionKey, length: usize) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if session.phase == Phase::Open {
            let length = length.min(session.undelivered.len());
            let bytes: Vec<u8> = session.undelivered.drain(..length).collect();
            self.engine.session_bytes(now, key, &bytes);
        }
    }

    /// Notes that an upstream may have answered with this message, whatever it is.
    pub(crate) fn note_garbled(&mut self, key: SessionKey, message: &[u8]) {
        self.is_garbled = true;
        if let Some(session) = self.sessions.get_mut(&key)
            && self.answer.load(message).is_ok()
            && let Some(id) = message::id(message)
        {
            session.asked.remove(&id);
        }
    }

    /// Does all that is due, and what the engine wants then.
    pub(crate) fn on_timeout(&mut self, now: Moment) {
        drive(self, now);
        self.check();
        for ((client, id), waiting) in &self.pending {
            for pending in waiting {
                let due = pending.due;
                assert!(
                    due > now,
                    "{id:04x} of {client:?} has no response by {due:?}"
                );
            }
        }
    }

    /// Does what the engine wants, and checks what it says.
    pub(crate) fn pump(&mut self, now: Moment) {
        carry_out(self, now);
        self.check();
    }

    fn waits(&self, key: StreamKey) -> bool {
        let client = Client::Stream(key);
        let mut waiting = self.pending.range((client, 0)..=(client, u16::MAX));
        waiting.any(|(_, waiting)| !waiting.is_empty())
    }

    fn open_session(&mut self, now: Moment, key: SessionKey, upstream: UpstreamId) {
        let mut configured = self.settings.upstreams();
        assert!(configured.any(|it| it.id == upstream));
        assert!(!self.old_sessions.contains(&key), "{key:?} lives twice");
        if self.engine.sessions_mut().output(key).is_some() {
            panic!("{key:?} has output before it is open");
        }
        if let Some(end) = self.fails_at_once {
            self.old_sessions.push(key);
            return self.engine.session_closed(now, key, end);
        }
        let session = Session {
            upstream,
            phase: Phase::Connecting,
            is_blocked: false,
            undelivered: Vec::new(),
            asked: BTreeMap::new(),
            answered: None,
            received: Vec::new(),
        };
        assert!(self.sessions.insert(key, session).is_none());
        let of_upstream = |session: &&Session| session.upstream == upstream;
        let count = self.sessions.values().filter(of_upstream).count();
        assert!(count <= limits::SESSIONS_AT_MOST, "{count} sessions");
    }

    /// Lets the upstream read what the engine has for it.
    pub(crate) fn flush_session(&mut self, key: SessionKey) {
        let output = self.engine.sessions_mut().output(key);
        let Some(session) = self.sessions.get_mut(&key) else {
            assert!(output.is_none(), "{key:?} is forgotten");
            assert!(self.old_sessions.contains(&key), "{key:?} is unknown");
            return;
        };
        let Some(output) = output else {
            return;
        };
        assert_eq!(session.phase, Phase::Open, "{key:?} is not authenticated");
        if session.is_blocked {
            return;
        }
        session.received.append(output);
        for query in message::take_frames(&mut session.received) {
            assert!(
                matches!(parse_query(&query), Received::Query(_)),
                "{query:x?}"
            );
            let id = message::id(&query).expect("a query with an ID");
            let before = session.asked.insert(id, query);
            assert!(before.is_none(), "{id:04x} is in use already");
        }
        assert!(session.received.is_empty(), "half a message");
    }

    fn flush_stream(&mut self, now: Moment, key: StreamKey) {
        self.read_stream(key);
        let Some(stream) = self.streams.get_mut(&key) else {
            assert!(self.engine.clients_mut().stream_output(key).is_none());
            assert!(self.old_streams.contains(&key), "{key:?} is unknown");
            return;
        };
        let Some(output) = self.engine.clients_mut().stream_output(key) else {
            panic!("{key:?} is forgotten and not closed");
        };
        let mut taken = 0;
        if !stream.is_blocked {
            taken = output.len();
            output.clear();
            stream.seen = 0;
        }
        let before = self.taken();
        self.engine.stream_wrote(now, key, taken, 0);
        self.take(now, key, before);
    }

    /// Lets a client read again that did not.
    pub(crate) fn unblock_stream(&mut self, now: Moment, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.is_blocked = false;
            self.flush_stream(now, key);
        }
    }

    /// Looks at what the engine has written for a client.
    fn read_stream(&mut self, key: StreamKey) {
        let (Some(stream), Some(output)) = (
            self.streams.get_mut(&key),
            self.engine.clients_mut().stream_output(key),
        ) else {
            return;
        };
        stream.written.extend(&output[stream.seen..]);
        stream.seen = output.len();
        for response in message::take_frames(&mut stream.written) {
            self.on_response(Client::Stream(key), &response);
        }
    }

    fn on_response(&mut self, client: Client, bytes: &[u8]) {
        assert!(bytes.len() >= 12 && bytes[2] & 0x80 != 0, "{bytes:x?}");
        let id = message::id(bytes).expect("a response with an ID");
        let question = message::question(bytes);
        let waiting = self.pending.entry((client, id)).or_default();
        let place = waiting
            .iter()
            .position(|pending| pending.question == question);
        let place = place.unwrap_or_else(|| panic!("{client:?} waits not for {bytes:x?}"));
        let is_query = waiting.remove(place).is_query;
        self.waiting -= 1;
        if waiting.is_empty() {
            self.pending.remove(&(client, id));
        }
        if message::rcode(bytes) == 0 && is_query && !self.is_garbled {
            let is_cut = message::is_truncated(bytes) && message::data(bytes).is_none();
            let is_right = message::data(bytes) == Some(message::right_data(question));
            assert!(is_right || is_cut, "another question's data: {bytes:x?}");
            self.good += 1;
        }
    }

    /// What holds at all times.
    fn check(&self) {
        let (engine, settings) = (&self.engine, &self.settings);
        let in_flight = engine.load().queries;
        let waiting = self.waiting;
        assert!(in_flight <= settings.queries_max);
        assert!(engine.load().questions <= in_flight);
        assert!(engine.load().streams <= settings.streams_max);
        assert_eq!(engine.load().streams, self.streams.len());
        assert_eq!(engine.load().sessions, self.sessions.len());
        assert!(
            (waiting..=waiting + self.abandoned).contains(&in_flight),
            "{in_flight} in flight, {waiting} wait, {} left",
            self.abandoned
        );
        let forwarded = self.count(Count::QueriesForwarded);
        let ended = [Count::Answered, Count::AnsweredFromCache, Count::Failed];
        let ended: u64 = ended.into_iter().map(|count| self.count(count)).sum();
        assert_eq!(forwarded, ended + in_flight as u64, "responses per query");
        let attempts = self.count(Count::Attempts);
        let most = u64::from(limits::ATTEMPTS + 4 + limits::HARMFUL_STRIKES);
        assert!(self.has_taken_ids || attempts <= forwarded * most);
        for key in self.streams.keys() {
            let reads = self.streams[key].is_read && !self.streams[key].has_ended;
            assert_eq!(engine.clients().stream_reads(*key), reads, "{key:?}");
        }
    }

    /// What holds once nothing has happened for long.
    pub(crate) fn check_idle(&self) {
        let engine = &self.engine;
        super::counted::check(engine.counters(), self.has_taken_ids);
        assert_eq!(engine.next_deadline(), None);
        assert_eq!(engine.load().queries, 0);
        assert_eq!(engine.load().questions, 0);
        assert_eq!(engine.load().sessions, 0);
        assert_eq!(engine.load().streams, 0);
        assert_eq!(self.pending.len(), 0);
    }
}

impl Driver for Worker {
    fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    fn act(&mut self, now: Moment, action: Action) {
        self.actions += 1;
        assert!(
            self.actions <= ACTIONS,
            "a turn has more than {ACTIONS} actions"
        );
        match action {
            Action::OpenSession {
                session, upstream, ..
            } => self.open_session(now, session, upstream),
            Action::FlushSession(key) => self.flush_session(key),
            Action::CloseSession(key) => {
                assert!(self.sessions.remove(&key).is_some(), "{key:?} is unknown");
                self.old_sessions.push(key);
            }
            Action::FlushStream(key) => self.flush_stream(now, key),
            Action::ResumeStream(key) => {
                let stream = self.streams.get_mut(&key).expect("a stream that is known");
                stream.is_read = true;
            }
            Action::MeasureStreams => {
                for key in self.streams.keys() {
                    self.engine
                        .clients_mut()
                        .stream_measured(now, *key, KernelBuffers::default());
                }
                self.engine.free_client_memory(now);
            }
            Action::CloseStream(key, _) => {
                let stream = self.streams.get(&key).expect("a stream that is known");
                let is_excused =
                    stream.is_excused || stream.is_blocked || !stream.partial.is_empty();
                assert!(
                    is_excused || !self.waits(key),
                    "{key:?} is closed but waits"
                );
                self.forget_stream(key);
            }
        }
    }

    fn send_datagrams(&mut self, _now: Moment) {
        self.actions = 0;
        let datagrams = self.engine.clients().datagrams();
        let datagrams: Vec<(SocketAddr, Vec<u8>)> = datagrams
            .map(|datagram| (datagram.path.peer, datagram.bytes.to_vec()))
            .collect();
        self.engine.clients_mut().clear_datagrams();
        for (peer, bytes) in datagrams {
            assert!(bytes.len() <= usize::from(self.settings.udp_response_max));
            self.on_response(Client::Datagram(peer), &bytes);
        }
    }

    fn send_flight_messages(&mut self) {
        let message = self.engine.poll_flight_message();
        assert!(message.is_none(), "these workers share no flights");
    }

    fn log(&mut self, _now: Moment, _event: Event) {}
}
