//! The engine above real TLS, in memory and simulated time: handshakes that stall or fail, alerts, new keys,
//! refused resumption, ends without close_notify. Exact replay is not possible here, for TLS draws keys of its own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use dotgate_core::{
    Access, Action, ConnectFault, Count, Counters, Driver, Engine, Event, Moment, ReturnPath,
    SessionEnd, SessionKey, Settings, Shared, UpstreamId, UpstreamSettings, WorkerId, carry_out,
    drive,
};
use dotgate_message::{Compose as _, RA, RD, framed, query, response, split_frame};
use dotgate_testbed::certificates::Validity;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// One upstream: the client's side of its TLS, and its server's.
struct Peer {
    tls: UpstreamTls,
    server: Arc<ServerConfig>,
    is_unresponsive: bool,
}

struct World {
    engine: Engine,
    now: Moment,
    peers: Vec<Peer>,
    sessions: HashMap<SessionKey, (usize, Pair)>,
    /// Whether each session that opened was resumed.
    resumed: Vec<bool>,
    /// Bytes of plaintext that each upstream's servers received.
    arrived: Vec<usize>,
    rcodes: Vec<u8>,
    texts: Vec<String>,
}

fn peer(authority: &TestAuthority, leaf: &Leaf) -> Peer {
    Peer {
        tls: upstream(&strict(name(NAME)), authority),
        server: server(&authority.issue(leaf).unwrap()),
        is_unresponsive: false,
    }
}

fn good_peers(count: usize) -> Vec<Peer> {
    let authority = TestAuthority::new().unwrap();
    let leaf = Leaf::for_name(NAME);
    (0..count).map(|_| peer(&authority, &leaf)).collect()
}

fn settings(upstreams: u8) -> Settings {
    Settings {
        access: Access::of(["192.0.2.0/24".parse().unwrap()]),
        queries_max: 1_000,
        streams_max: 10,
        streams_per_client_max: 10,
        ..Settings::for_upstreams(
            (0..upstreams)
                .map(|number| UpstreamSettings::new(UpstreamId(number), &format!("up{number}")))
                .collect(),
        )
    }
}

impl World {
    fn new(peers: Vec<Peer>) -> World {
        let counters = Arc::new(Counters::new());
        let settings = Arc::new(settings(peers.len() as u8));
        World {
            engine: Engine::new(WorkerId(0), settings, Shared::alone(), counters, [3; 32]),
            now: Moment::from_nanos(1_000_000_000_000),
            arrived: vec![0; peers.len()],
            peers,
            sessions: HashMap::new(),
            resumed: Vec::new(),
            rcodes: Vec::new(),
            texts: Vec::new(),
        }
    }

    fn ask(&mut self, id: u8) {
        let ip: IpAddr = [192, 0, 2, 1].into();
        let path = ReturnPath {
            socket: 0,
            peer: (ip, 5_000).into(),
            local_ip: None,
            interface: 0,
        };
        let name = format!("{}.example", char::from(b'a' + id));
        let query = query(u16::from(id), &name).with_edns();
        self.engine.on_datagram(self.now, path, &query);
        self.carry_out();
    }

    /// Lets time pass, stopping at every deadline; what upstreams say comes at once.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.engine.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            drive(self, self.now);
            self.carry_out();
        }
        self.now = end;
    }

    /// Carries out what the engine wants, until upstreams have said all that they say to it.
    fn carry_out(&mut self) {
        loop {
            carry_out(self, self.now);
            if !self.talk() {
                return;
            }
        }
    }

    /// One exchange of bytes on every session. True if anything was said.
    fn talk(&mut self) -> bool {
        let mut has_talked = false;
        for key in self.sessions.keys().copied().collect::<Vec<_>>() {
            let (upstream, mut pair) = self.sessions.remove(&key).unwrap();
            let before = pair.socket.sent.len();
            let outcome = self.talk_on(key, upstream, &mut pair);
            has_talked |= pair.socket.sent.len() > before;
            match outcome {
                Ok(None) => drop(self.sessions.insert(key, (upstream, pair))),
                Ok(Some(end)) => {
                    has_talked = true;
                    self.engine.session_closed(self.now, key, end);
                }
                Err(failure) => {
                    has_talked = true;
                    let end = SessionEnd::Tls(failure.fault());
                    self.engine.session_closed(self.now, key, end);
                }
            }
        }
        has_talked
    }

    fn talk_on(
        &mut self,
        key: SessionKey,
        upstream: usize,
        pair: &mut Pair,
    ) -> Result<Option<SessionEnd>, TlsFailure> {
        let mut nothing = Vec::new();
        let frames = self
            .engine
            .sessions_mut()
            .output(key)
            .unwrap_or(&mut nothing);
        pair.client.write(&mut pair.socket, frames)?;
        if self.peers[upstream].is_unresponsive {
            return Ok(None);
        }
        pair.serve();
        self.arrived[upstream] += pair.arrived.len();
        answer(pair);
        while !pair.socket.inbound.is_empty() {
            let done = pair.handshakes_done;
            pair.read()?;
            if pair.handshakes_done > done {
                self.resumed.push(pair.facts().resumed);
                self.engine.session_opened(self.now, key);
            }
            let received = std::mem::take(&mut pair.received);
            self.engine.session_bytes(self.now, key, &received);
        }
        if pair.socket.ended {
            return Ok(pair.read()?.peer_closed.map(|_| SessionEnd::Closed));
        }
        Ok(None)
    }

    fn only_session(&mut self) -> &mut Pair {
        assert_eq!(self.sessions.len(), 1);
        &mut self.sessions.values_mut().next().unwrap().1
    }

    fn count(&self, count: Count) -> u64 {
        self.engine.counters().get(count)
    }
}

impl Driver for World {
    fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    fn act(&mut self, now: Moment, action: Action) {
        match action {
            Action::OpenSession {
                session,
                upstream: UpstreamId(upstream),
                alpn,
                ..
            } => {
                let peer = &self.peers[usize::from(upstream)];
                let pair = Pair::new(
                    peer.tls.connect(alpn, KeyExchange::Hybrid).unwrap(),
                    &peer.server,
                );
                self.sessions.insert(session, (upstream.into(), pair));
                self.engine.sessions_mut().on_connected(now, session);
            }
            Action::CloseSession(session) => drop(self.sessions.remove(&session)),
            // What waits is written in `talk`.
            Action::FlushSession(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }

    fn send_datagrams(&mut self, _now: Moment) {
        for datagram in self.engine.clients().datagrams() {
            self.rcodes.push(datagram.bytes[3] & 15);
            self.texts
                .push(String::from_utf8_lossy(datagram.bytes).into_owned());
        }
        self.engine.clients_mut().clear_datagrams();
    }

    fn send_flight_messages(&mut self) {
        assert!(self.engine.poll_flight_message().is_none());
    }

    fn log(&mut self, _now: Moment, _event: Event) {}
}

/// The server answers every whole query it has: NOERROR, with the question alone.
fn answer(pair: &mut Pair) {
    let mut responses = Vec::new();
    let arrived = std::mem::take(&mut pair.arrived);
    let mut rest = &arrived[..];
    while let Some((query, after)) = split_frame(rest) {
        rest = after;
        responses.extend(framed(&response(query, RD | RA, [&[], &[], &[]])));
    }
    pair.arrived = rest.to_vec();
    pair.server.writer().write_all(&responses).unwrap();
    while pair.server.wants_write() {
        pair.server.write_tls(&mut pair.socket.inbound).unwrap();
    }
}

/// A world with one session open, on which one query was answered.
fn opened(peers: Vec<Peer>) -> World {
    let mut world = World::new(peers);
    world.ask(0);
    assert_eq!(world.rcodes, [0]);
    world.rcodes.clear();
    world
}

#[test]
fn a_handshake_that_stalls_keeps_nobody_waiting_longer_than_a_quarter_second() {
    let mut peers = good_peers(2);
    peers[0].is_unresponsive = true;
    let mut world = World::new(peers);
    world.ask(1);
    world.pass(249 * MS);
    assert!(world.rcodes.is_empty());
    world.pass(MS);
    assert_eq!(world.rcodes, [0]);
    world.ask(2);
    assert_eq!(world.rcodes, [0, 0], "at once");
    assert_eq!(world.arrived[0], 0);
}

#[test]
fn an_alert_amid_a_session_costs_its_queries_one_more_attempt() {
    let mut world = opened(good_peers(1));
    world.peers[0].is_unresponsive = true;
    for id in 1..=20 {
        world.ask(id);
    }
    world.peers[0].is_unresponsive = false;
    let pair = world.only_session();
    // A record that cannot be read makes the server send a fatal alert.
    pair.socket.outbound = [&[23, 3, 3, 0, 32][..], &[7; 32]].concat();
    world.carry_out();
    assert_eq!(world.rcodes, [0; 20]);
    assert_eq!(world.count(Count::SessionsLost), 1);
    assert_eq!(world.count(Count::Attempts), 1 + 40);
}

#[test]
fn a_record_that_was_changed_on_the_way_costs_its_queries_one_more_attempt() {
    let mut world = opened(good_peers(1));
    world.peers[0].is_unresponsive = true;
    world.ask(1);
    world.peers[0].is_unresponsive = false;
    let pair = world.only_session();
    pair.socket
        .inbound
        .extend([23, 3, 3, 0, 32].iter().chain(&[7; 32]));
    world.carry_out();
    assert_eq!(world.rcodes, [0]);
    assert_eq!(world.count(Count::SessionsLost), 1);
}

#[test]
fn an_expired_certificate_gets_no_byte_of_a_query_and_the_client_the_reason() {
    let authority = TestAuthority::new().unwrap();
    let mut leaf = Leaf::for_name(NAME);
    leaf.validity = Validity::Past;
    let mut world = World::new(vec![peer(&authority, &leaf)]);
    world.ask(1);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.rcodes, [2]);
    assert!(world.texts[0].contains("tls: certificate expired (up0)"));
    assert_eq!(world.arrived, [0]);
}

#[test]
fn where_resumption_is_refused_the_session_is_opened_in_full() {
    let authority = TestAuthority::new().unwrap();
    let leaf = Leaf::for_name(NAME);
    let mut world = opened(vec![peer(&authority, &leaf)]);
    for id in 1..=2 {
        world.only_session().socket.ended = true;
        if id == 2 {
            // The upstream was restarted, and cannot decrypt its earlier tickets.
            world.peers[0].server = server(&authority.issue(&leaf).unwrap());
        }
        world.carry_out();
        world.ask(id);
    }
    assert_eq!(world.rcodes, [0, 0]);
    assert_eq!(world.resumed, [false, true, false]);
}

#[test]
fn new_keys_amid_a_session_disturb_nothing() {
    let mut world = opened(good_peers(1));
    for id in 1..=3 {
        world.only_session().server.refresh_traffic_keys().unwrap();
        world.ask(id);
    }
    assert_eq!(world.rcodes, [0; 3]);
    assert_eq!(world.count(Count::SessionsStarted), 1);
}

#[test]
fn an_end_without_close_notify_is_a_close_like_any_other() {
    let mut world = opened(good_peers(1));
    world.peers[0].is_unresponsive = true;
    world.ask(1);
    world.peers[0].is_unresponsive = false;
    let pair = world.only_session();
    // The query is lost on the way, then the connection ends.
    pair.socket.outbound.clear();
    pair.socket.ended = true;
    world.carry_out();
    assert_eq!(world.rcodes, [0]);
    let refused = SessionEnd::Connect(ConnectFault::Refused);
    let session = *world.sessions.keys().next().unwrap();
    world.engine.session_closed(world.now, session, refused);
    assert_eq!(world.count(Count::SessionsLost), 1, "idle this time");
}
