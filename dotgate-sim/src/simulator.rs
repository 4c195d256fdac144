//! The simulator: workers, the network around them, and a clock that jumps from one event to the next.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dotgate_core::labels::Limit;
use dotgate_core::{
    Access, Cache, CacheSettings, ClientMemory, Count, Flights, GroupSettings, HealthState,
    Incident, Link, Moment, Quotas, RouteId, RouteTable, SessionEnd, Settings, Shared, Strategy,
    StreamKind, UpstreamId, UpstreamSettings,
};
use ipnet::IpNet;

use crate::bystander::{Bystander, ROUTED};
use crate::client::CLIENT_LATENCY;
use crate::event::{Event, Segment};
use crate::message::{self, ResponseForm};
use crate::network::Network;
use crate::random::{Random, Span};
use crate::record::{BEGINNING, ClientQuery, Path, Record};
use crate::script::{Script, Segments};
use crate::upstream::{Death, State, Upstream};
use crate::worker::Worker;

/// What a simulation is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// The settings of every engine; as many upstreams as there are scripts.
    pub settings: Settings,
    /// The upstreams, in the order of the settings.
    pub upstreams: Vec<Script>,
    /// Whether the upstreams are those of a route, which has all names that clients ask, and the default group has another
    /// upstream: a good one, which must not be asked one of these names.
    pub is_routed: bool,
    /// Whether the upstreams are queried without TLS.
    pub is_plain: bool,
    /// How many workers, each with an engine of its own; they share the upstreams' health.
    pub workers: usize,
    /// The size of the cache that they share, in bytes.
    pub cache_bytes: usize,
    /// How long after something arrived a worker takes its turn.
    pub lag: Span,
    /// Whether to keep a log.
    pub with_log: bool,
}

impl Plan {
    /// One worker that reacts at once, with these upstreams and ordinary settings.
    pub fn new(seed: u64, upstreams: Vec<Script>) -> Plan {
        Plan {
            seed,
            settings: settings(upstreams.len()),
            upstreams,
            is_routed: false,
            is_plain: false,
            workers: 1,
            cache_bytes: 0,
            lag: Span::exactly(Duration::ZERO),
            with_log: true,
        }
    }
}

/// What engines call the upstream with this number; of a number that is too large, one that no upstream has.
pub(crate) fn id_of(upstream: usize) -> UpstreamId {
    UpstreamId(u8::try_from(upstream).unwrap_or(u8::MAX))
}

/// The program's own settings, for clients in 192.0.2.0/24 and 2001:db8::/32.
pub fn settings(upstreams: usize) -> Settings {
    let prefixes = [
        IpNet::new_assert(IpAddr::from([192, 0, 2, 0]), 24),
        IpNet::new_assert(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0]), 32),
    ];
    Settings {
        access: Access::of(prefixes),
        queries_per_client_max: 5_000,
        ..Settings::for_upstreams(
            (0..upstreams)
                .map(|number| UpstreamSettings::new(id_of(number), &format!("u{number}")))
                .collect(),
        )
    }
}

/// Makes the upstreams those of a route for [`ROUTED`], and gives the default group one of its own.
fn give_route(settings: &mut Settings) {
    let private = std::mem::take(&mut settings.groups[0].upstreams);
    let public = UpstreamSettings::new(id_of(private.len()), "public");
    settings.groups[0].upstreams.push(public);
    let mut group = GroupSettings::new(RouteId(1), "private", private);
    // What a scenario shows of public answers and of strategies holds behind a route, too.
    group.is_public = true;
    group.strategy = std::mem::replace(&mut settings.groups[0].strategy, Strategy::Ordered);
    settings.groups.push(group);
    settings.routes = Arc::new(RouteTable::new([(ROUTED.into(), 1)]));
}

/// The program's own settings of the cache.
pub fn cache_settings() -> CacheSettings {
    CacheSettings {
        ttl_min: 0,
        ttl_max: 86_400,
        negative_ttl_max: 3_600,
        failure_ttl_max: 5,
        stale_max: Duration::from_secs(86_400),
        stale_after: Duration::from_millis(1_800),
        prefetch: true,
        nxdomain_all_types: false,
        rotates_addresses: true,
        except: Vec::new(),
    }
}

/// A running simulation.
pub struct Simulator {
    net: Network,
    workers: Vec<Worker>,
    /// Those of the plan.
    upstreams: usize,
    settings: Arc<Settings>,
    /// The group of the route, while that is removed.
    private: Option<GroupSettings>,
    lag: Span,
}

impl Simulator {
    /// Begins at [`BEGINNING`], with nothing open.
    pub fn new(plan: Plan) -> Simulator {
        let mut random = Random::new(plan.seed);
        let shared = Shared {
            cache: Arc::new(Cache::new(plan.cache_bytes, (plan.seed, 0))),
            flights: Arc::new(Flights::new(plan.workers)),
            memory: Arc::new(ClientMemory::new(plan.workers)),
            quotas: Arc::new(Quotas::new((3, 4))),
            ..Shared::alone()
        };
        let (mut settings, mut scripts) = (plan.settings, plan.upstreams);
        let upstreams = scripts.len();
        if plan.is_plain {
            for upstream in &mut settings.groups[0].upstreams {
                *upstream = UpstreamSettings::plain(upstream.id, &upstream.label);
            }
        }
        if plan.is_routed {
            give_route(&mut settings);
            scripts.push(Script::good());
        }
        let settings = Arc::new(settings);
        let workers = (0..plan.workers)
            .map(|number| {
                Worker::new(
                    number,
                    Arc::clone(&settings),
                    shared.clone(),
                    random.seed(),
                    BEGINNING,
                )
            })
            .collect();
        let record = Record::new(scripts.len(), plan.with_log);
        let bystander = plan.is_routed.then(|| Bystander::new(upstreams));
        let all = scripts.into_iter().map(Upstream::new).collect();
        let mut net = Network::new(BEGINNING, random, all, plan.workers, record);
        net.bystander = bystander;
        Simulator {
            net,
            workers,
            upstreams,
            settings,
            private: None,
            lag: plan.lag,
        }
    }

    /// The present time.
    pub fn now(&self) -> Moment {
        self.net.now
    }

    /// What has happened so far.
    pub fn record(&self) -> &Record {
        &self.net.record
    }

    /// The same, to add to its log and its violations.
    pub fn record_mut(&mut self) -> &mut Record {
        &mut self.net.record
    }

    /// The simulation's source of chance.
    pub fn random(&mut self) -> &mut Random {
        &mut self.net.random
    }

    /// When something will happen next.
    pub fn next(&self) -> Option<Moment> {
        let due = self.workers.iter().map(|worker| self.turn_of(worker));
        due.chain([self.net.next_event()]).flatten().min()
    }

    fn turn_of(&self, worker: &Worker) -> Option<Moment> {
        let deadline = worker.engine.next_deadline();
        let next = [deadline, worker.wakes_at].into_iter().flatten().min();
        next.map(|due| due.max(worker.busy_until).max(self.net.now))
    }

    /// Lets the next thing happen, if it does before or at `end`. False if nothing does.
    pub fn step(&mut self, end: Moment) -> bool {
        let Some(next) = self.next().filter(|next| *next <= end) else {
            self.net.now = self.net.now.max(end);
            return false;
        };
        self.net.now = self.net.now.max(next);
        if self.net.next_event().is_some_and(|event| event <= next) {
            self.net.step();
        } else {
            let due = |worker: &Worker| self.turn_of(worker).is_some_and(|turn| turn <= next);
            if let Some(number) = (0..self.workers.len()).find(|n| due(&self.workers[*n])) {
                self.workers[number].turn(&mut self.net);
                if self.workers[number].has_more_to_read(&self.net) {
                    self.net.woken.push(number);
                }
            }
        }
        for number in std::mem::take(&mut self.net.woken) {
            let wakes_at = self.net.now + self.net.random.time(self.lag);
            let worker = &mut self.workers[number];
            worker.wakes_at = Some(
                worker
                    .wakes_at
                    .map_or(wakes_at, |earlier| earlier.min(wakes_at)),
            );
        }
        true
    }

    /// Lets time pass.
    pub fn pass(&mut self, span: Duration) {
        let end = self.net.now + span;
        while self.step(end) {}
    }

    /// A client sends a query by UDP. Returns its number in [`Record::queries`].
    pub fn ask(&mut self, worker: usize, peer: SocketAddr, query: Vec<u8>) -> usize {
        let number = self.net.record.queries.len();
        let path = Path::Udp { worker, peer };
        self.net.record.add_query(self.net.now, path, worker, query);
        let latency = self.net.random.time(CLIENT_LATENCY);
        self.net.arrange_in(latency, Event::Datagram(number));
        number
    }

    /// A client sends the same query again, by UDP from the same port.
    pub fn ask_again(&mut self, query: usize) {
        let latency = self.net.random.time(CLIENT_LATENCY);
        self.net.arrange_in(latency, Event::Datagram(query));
    }

    /// A client connects. Returns the number of its connection.
    pub fn open_stream(&mut self, worker: usize, peer: IpAddr, kind: StreamKind) -> usize {
        self.net.open_stream(worker, peer, kind)
    }

    /// A client completes its TLS handshake.
    pub fn secure_stream(&mut self, stream: usize) {
        self.net.stream_secure(stream);
    }

    /// A client sends a query by TCP. Returns its number in [`Record::queries`].
    pub fn ask_on(&mut self, stream: usize, query: Vec<u8>, segments: Segments) -> usize {
        self.net.stream_ask(stream, query, segments)
    }

    /// A client sends bytes that are no whole message: its connection may be cut off for it.
    pub fn send_on(&mut self, stream: usize, bytes: Vec<u8>) {
        let state = &mut self.net.streams[stream];
        (state.is_proper, state.is_mangled) = (false, true);
        self.net.stream_send(stream, bytes, Segments::Whole);
    }

    /// A client has sent its last byte and still reads.
    pub fn end_stream(&mut self, stream: usize) {
        self.net.stream_end(stream, Segment::Fin);
    }

    /// A client goes away at once.
    pub fn reset_stream(&mut self, stream: usize) {
        self.net.stream_end(stream, Segment::Reset);
    }

    /// A client reads from now on, or no more.
    pub fn read_on(&mut self, stream: usize, reads: bool) {
        self.net.stream_reads(stream, reads);
    }

    /// Whether a client's connection was closed by its worker or reset.
    pub fn is_over(&self, stream: usize) -> bool {
        self.net.streams[stream].is_over
    }

    /// A client connects again if it has heard that its connection was closed. Returns the number of the new one.
    pub fn reconnect(&mut self, stream: usize) -> Option<usize> {
        let state = &self.net.streams[stream];
        if !state.has_heard_of_end {
            return None;
        }
        let (worker, peer, kind) = (state.worker, state.peer, state.kind);
        let next = self.net.open_stream(worker, peer, kind);
        if kind == StreamKind::Dot {
            self.net.stream_secure(next);
        }
        Some(next)
    }

    /// Gives an upstream another script.
    pub fn direct(&mut self, upstream: usize, script: Script) {
        let now = self.net.now;
        self.net
            .record
            .say(now, || format!("u{upstream} from now on: {script:?}"));
        self.net.upstreams[upstream].script = script;
    }

    /// The script of an upstream.
    pub fn script(&self, upstream: usize) -> &Script {
        &self.net.upstreams[upstream].script
    }

    /// Freezes an upstream, cuts it off, or lets it run again.
    pub fn set_state(&mut self, upstream: usize, state: State) {
        self.net.set_state(upstream, state);
    }

    /// Ends an upstream and its connections. A new script lets it rise again.
    pub fn kill(&mut self, upstream: usize, death: Death) {
        self.net.kill(upstream, death);
    }

    /// Ends the present connections of an upstream, as its system or its TLS does. New ones are accepted.
    pub fn end_connections(&mut self, upstream: usize, end: SessionEnd) {
        self.net.end_connections(upstream, end);
    }

    /// Makes the present connections to an upstream half-open: they swallow everything; new ones work.
    pub fn swallow(&mut self, upstream: usize) {
        self.net.swallow(upstream);
    }

    /// Questions that an upstream keeps (`Reaction::Hold`): the connection and the query.
    pub fn withheld(&self, upstream: usize) -> &[(usize, Vec<u8>)] {
        &self.net.upstreams[upstream].withheld
    }

    /// Lets an upstream answer a question it keeps. False if there is none in that place.
    pub fn release(&mut self, upstream: usize, place: usize, form: &ResponseForm) -> bool {
        let withheld = &mut self.net.upstreams[upstream].withheld;
        if place >= withheld.len() {
            return false;
        }
        let (connection, query) = withheld.remove(place);
        self.say_on(
            connection,
            message::framed(&message::response(&query, form)),
        );
        if self.net.connections[connection].is_busy {
            self.net
                .arrange_in(Duration::ZERO, Event::Finished(connection));
        }
        true
    }

    /// Lets the upstream's side of a connection send bytes, framed or not.
    pub fn say_on(&mut self, connection: usize, bytes: Vec<u8>) {
        self.net.speak(connection, Segment::Bytes(bytes));
    }

    /// Whether the system has descriptors left for connections to upstreams.
    pub fn set_descriptors(&mut self, are_left: bool) {
        self.net.has_descriptors = are_left;
    }

    /// A reload takes the route away, so that its names belong to the default group, or gives it back.
    pub fn set_route(&mut self, is_there: bool) {
        let now = self.net.now;
        self.net.record.say(now, || match is_there {
            true => "the route is back".to_owned(),
            false => "the route is removed".to_owned(),
        });
        if let Some(bystander) = &mut self.net.bystander {
            bystander.set_route(now, is_there);
        }
        let mut settings = Settings::clone(&self.settings);
        settings.generation += 1;
        match is_there {
            true => {
                settings.groups.extend(self.private.take());
                settings.routes = Arc::new(RouteTable::new([(ROUTED.into(), 1)]));
            }
            false => {
                self.private = settings.groups.pop();
                settings.routes = Arc::default();
            }
        }
        self.settings = Arc::new(settings);
        for worker in 0..self.workers.len() {
            self.workers[worker].reconfigure(now, &self.settings);
            self.net.woken.push(worker);
        }
    }

    /// Whether a reload took the route away or gave it back in this time.
    pub(crate) fn has_rerouted(&self, from: Moment, till: Moment) -> bool {
        let bystander = self.net.bystander.as_ref();
        bystander.is_some_and(|bystander| bystander.changed_between(from, till))
    }

    /// When a reload last gave the route back.
    pub(crate) fn rerouted_last(&self) -> Option<Moment> {
        self.net.bystander.as_ref()?.back_last()
    }

    /// Whether an upstream was in the group of the names that clients ask, when this query was read.
    pub(crate) fn was_in_group(&self, upstream: usize, query: &ClientQuery, at: Moment) -> bool {
        let Some(bystander) = &self.net.bystander else {
            return true;
        };
        let given = query.given.unwrap_or(at);
        // On a connection a query may have been read later than it came.
        let is_either = matches!(query.path, Path::Tcp(_)) && bystander.changed_between(given, at);
        is_either || bystander.is(upstream) == bystander.was_unrouted(given)
    }

    /// Whether two upstreams are in one group.
    pub(crate) fn are_in_one_group(&self, one: usize, other: usize) -> bool {
        let bystander = self.net.bystander.as_ref();
        bystander.is_none_or(|it| it.is(one) == it.is(other))
    }

    /// Whether a connection stands for the sockets of queries over UDP.
    pub(crate) fn is_over_udp(&self, connection: usize) -> bool {
        self.net.connections[connection].link == Link::Datagrams
    }

    /// Sessions over UDP of a worker, which have no end of their own.
    pub(crate) fn datagram_sessions(&self, worker: usize) -> usize {
        let connections = self.net.connections.iter();
        let sessions = connections
            .filter(|it| it.worker == worker && it.link == Link::Datagrams && !it.is_closed);
        sessions.count()
    }

    /// Keeps a worker from its work for so long, as a suspended system would.
    pub fn stall(&mut self, worker: usize, span: Duration) {
        let now = self.net.now;
        self.net
            .record
            .say(now, || format!("w{worker} stalls for {span:?}"));
        let busy_until = &mut self.workers[worker].busy_until;
        *busy_until = (*busy_until).max(now + span);
    }

    /// Has a worker open a session before a client asks, as the program does at its start.
    pub fn open_first_session(&mut self, worker: usize, upstream: usize) {
        let now = self.net.now;
        self.workers[worker]
            .engine
            .open_first_session(now, id_of(upstream));
        self.net.woken.push(worker);
    }

    /// All workers use other settings from now on.
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut Settings)) {
        change(Arc::make_mut(&mut self.settings));
        let now = self.net.now;
        for (number, worker) in self.workers.iter_mut().enumerate() {
            worker.reconfigure(now, &self.settings);
            self.net.woken.push(number);
        }
    }

    /// The settings of all workers.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// When a worker was or will be free again after its last stall.
    pub fn busy_until(&self, worker: usize) -> Moment {
        self.workers[worker].busy_until
    }

    /// How many upstreams there are.
    pub fn upstreams(&self) -> usize {
        self.upstreams
    }

    /// A worker's counter.
    pub fn count(&self, worker: usize, count: Count) -> u64 {
        self.workers[worker].engine.counters().get(count)
    }

    /// How often a worker's clients reached a limit.
    pub fn limit_hits(&self, worker: usize, limit: Limit) -> u64 {
        let counters = self.workers[worker].engine.counters();
        counters.clients().limits(limit)
    }

    /// What a worker's engine holds.
    pub fn load(&self, worker: usize) -> Load {
        let engine = &self.workers[worker].engine;
        Load {
            queries: engine.load().queries,
            questions: engine.load().questions,
            sessions: engine.load().sessions,
            streams: engine.load().streams,
            next_deadline: engine.next_deadline(),
        }
    }

    /// What the workers think of an upstream.
    pub fn health(&self, upstream: usize) -> HealthState {
        let mut all = self.settings.upstreams();
        let found = all.find(|it| it.id.index() == upstream);
        found.map_or(HealthState::Healthy, |it| it.health.state())
    }

    /// What the workers have recorded of an upstream.
    pub fn incidents(&self, upstream: usize) -> Vec<Incident> {
        let mut all = self.settings.upstreams();
        let found = all.find(|it| it.id.index() == upstream);
        found.map_or_else(Vec::new, |it| it.health.recorder().read())
    }

    /// Whether a connection lives, as far as its upstream and the network are concerned.
    pub fn is_sound(&self, connection: usize) -> bool {
        let state = &self.net.connections[connection];
        !(state.is_swallowed || state.is_forgotten || state.is_ended || state.is_stalled)
    }

    /// Whether it was lost on the way or with its upstream, rather than ended by a live one.
    pub fn is_cut(&self, connection: usize) -> bool {
        let state = &self.net.connections[connection];
        state.is_swallowed || state.is_forgotten
    }
}

/// What an engine holds at some moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// Queries in flight.
    pub queries: usize,
    /// Questions in flight.
    pub questions: usize,
    /// Sessions in any phase.
    pub sessions: usize,
    /// Client connections.
    pub streams: usize,
    /// When it wants to be called next.
    pub next_deadline: Option<Moment>,
}
