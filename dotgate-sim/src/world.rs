//! A world from a seed: topology, faults over time, and load; run to its end and judged by the model.
//!
//! A world has one to four upstreams and one to three workers; half of the worlds have a cache. Upstreams fail in
//! every way a script can name, for a while; clients send valid and invalid queries over UDP and TCP. Some worlds
//! have harmful questions, and upstreams that give few answers per connection or serve one query at a time. With a
//! route, a third of all worlds have plain upstreams, and two thirds have reloads that take the route away and give
//! it back. At its end all upstreams are sound again, every worker must answer once more, and when the clients have
//! left nothing may be left of them.

mod faults;
mod harm;
mod load;

use std::collections::BTreeSet;
use std::time::Duration;

use dotgate_core::{CacheSettings, Moment, Strategy};

use crate::model::{LEARNING, Memory, Model, Room};
use crate::random::{Random, Span};
use crate::record::BEGINNING;
use crate::script::Data;
use crate::simulator::{Plan, Simulator, settings};

use faults::{Fault, cure, make_unhealthy, sound_script};
use load::{Act, Clients};

/// How a world ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// Rules that were broken.
    pub violations: Vec<String>,
    /// Its log, if one was kept.
    pub log: Vec<String>,
    /// Queries that clients sent.
    pub queries: usize,
    /// Questions that upstreams were asked.
    pub attempts: usize,
    /// Queries that were answered with a failure.
    pub failures: usize,
}

/// Something the world does at a time of its own.
#[derive(Clone, Debug)]
enum Event {
    Load(Act),
    Fault(usize, Fault),
    Cure(usize),
    Stall(usize, Duration),
    /// The system is suspended for so long; connections to upstreams may not outlive it.
    Suspend {
        span: Duration,
        is_cut: bool,
    },
    /// A reload takes the route away, or gives it back.
    Route {
        is_there: bool,
    },
    /// The system has descriptors for connections to upstreams, or none.
    Descriptors {
        are_left: bool,
    },
}

/// Steps beyond which a world is thought not to end.
const STEPS: u64 = 5_000_000;

struct World {
    sim: Simulator,
    model: Model,
    random: Random,
    clients: Clients,
    timeline: Vec<(Moment, Event)>,
    /// The end of the load.
    end: Moment,
    /// Upstreams that something has befallen.
    unhealthy: BTreeSet<usize>,
    has_descriptors: bool,
}

/// Runs the world of this seed to its end.
pub fn run(seed: u64, with_log: bool) -> Outcome {
    play(seed, World::new(seed, with_log, false))
}

/// The same with its upstreams behind a route; see [`Plan::is_routed`].
pub fn run_routed(seed: u64, with_log: bool) -> Outcome {
    play(seed, World::new(seed, with_log, true))
}

fn play(seed: u64, mut world: World) -> Outcome {
    world.live();
    world.recover();
    world.die();
    let record = world.sim.record();
    Outcome {
        seed,
        violations: record.violations.clone(),
        log: record.log().to_vec(),
        queries: record.queries.len(),
        attempts: record.attempts.len(),
        failures: record
            .responses
            .iter()
            .filter(|response| response.seen.rcode == 2)
            .count(),
    }
}

impl World {
    fn new(seed: u64, with_log: bool, is_routed: bool) -> World {
        let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let upstreams = random.between(1, 4) as usize;
        let workers = random.pick([1, 1, 2, 3]);
        let mut plan = Plan::new(seed, Vec::new());
        plan.with_log = with_log;
        plan.is_routed = is_routed;
        plan.is_plain = is_routed && seed % 3 == 1;
        plan.workers = workers;
        plan.upstreams = (0..upstreams).map(|_| sound_script(&mut random)).collect();
        plan.lag = Span {
            least: Duration::ZERO,
            most: random.pick([0, 20, 200, 2_000]).micros(),
        };
        plan.settings = settings(upstreams);
        // What the others choose stays as it is.
        if seed % 7 == 2 {
            let strategies = [Strategy::Fastest, Strategy::RoundRobin, Strategy::Shard];
            plan.settings.groups[0].strategy = strategies[(seed / 7 % 3) as usize];
        }
        // Sessions are replaced while upstreams fail in every way.
        plan.settings.session_age_max = seed
            .is_multiple_of(5)
            .then(|| Duration::from_millis(500 + seed % 7 * 300));
        if seed % 5 == 3 || seed.is_multiple_of(15) {
            plan.settings.hedge_percent = [1, 3, 20, 50][(seed / 5 % 4) as usize];
        }
        plan.settings.streams_max = 40;
        plan.settings.streams_per_client_max = 12;
        plan.settings.stream_queries_max = random.pick([4, 20, 100]);
        if random.happens(60) {
            plan.settings.queries_max = random.between(3, 30) as usize;
        }
        if random.happens(60) {
            plan.settings.queries_per_client_max = random.between(2, 20) as usize;
        }
        let room = Room {
            queries: plan
                .settings
                .queries_max
                .min(plan.settings.queries_per_client_max),
            places: plan.settings.queries_max,
            stream_queries: plan.settings.stream_queries_max,
        };
        // Half of all worlds have a cache; the choices of the others are as they were without.
        let has_cache = seed.is_multiple_of(2);
        if has_cache {
            give_cache(&mut random, &mut plan);
        }
        let has_harm = harm::is_in(seed);
        let mut harms = 0;
        if has_harm {
            harms = harm::spread(&mut random, &mut plan.upstreams);
            for script in &mut plan.upstreams {
                harm::give_traits(&mut random, script, plan.lag);
            }
        }
        let memory = Memory::new(&plan.settings, plan.cache_bytes);
        let deadline = plan.settings.query_deadline;
        let span = Duration::from_millis(random.pick([3_000, 8_000, 20_000, 40_000]));
        let end = BEGINNING + span;
        let mut timeline = Vec::new();
        // Half of the worlds with harm have no further fault, so that all upstreams are sound.
        let victims = match has_harm && random.happens(500) {
            true => Vec::new(),
            false => faults::victims(&mut random, upstreams),
        };
        for upstream in victims {
            for (from, till, fault) in faults::episodes(&mut random, span, has_harm) {
                timeline.push((BEGINNING + from, Event::Fault(upstream, fault)));
                timeline.push((BEGINNING + till, Event::Cure(upstream)));
            }
        }
        for (after, act) in load::acts(&mut random, span, workers) {
            timeline.push((BEGINNING + after, Event::Load(act)));
        }
        for (after, act) in harm::acts(&mut random, span, workers, harms) {
            timeline.push((BEGINNING + after, Event::Load(act)));
        }
        if random.happens(150) {
            let stall = Duration::from_millis(random.between(1, 700));
            let at = BEGINNING + random.time(Span::exactly(span)) / 2;
            timeline.push((at, Event::Stall(random.index(workers), stall)));
        }
        if random.happens(40) {
            let from = BEGINNING + random.time(Span::exactly(span)) / 3;
            let till = from + Duration::from_millis(random.pick([100, 1_000, 6_000]));
            timeline.push((from, Event::Descriptors { are_left: false }));
            timeline.push((till, Event::Descriptors { are_left: true }));
        }
        if random.happens(50) {
            let at = BEGINNING + span / random.between(1, 4) as u32;
            let span = Duration::from_millis(random.pick([900, 4_500, 20_000, 3_600_000]));
            let is_cut = random.happens(500);
            timeline.push((at, Event::Suspend { span, is_cut }));
        }
        if is_routed && !seed.is_multiple_of(3) {
            give_reloads(&mut random, span, &mut timeline);
        }
        timeline.sort_by_key(|(at, _)| *at);
        World {
            sim: Simulator::new(plan),
            model: Model::new(upstreams, deadline, room, memory),
            random,
            clients: Clients::new(has_cache),
            timeline,
            end,
            unhealthy: BTreeSet::new(),
            has_descriptors: true,
        }
    }

    /// Lets time pass until `end`, with every response judged as it is made.
    fn pass_until(&mut self, end: Moment) {
        let mut steps = 0;
        while self.sim.step(end) {
            self.model.observe(&mut self.sim);
            steps += 1;
            if steps > STEPS {
                let now = self.sim.now();
                self.sim
                    .record_mut()
                    .complain(now, "time stands still".to_owned());
                return;
            }
        }
    }

    fn live(&mut self) {
        for (at, event) in std::mem::take(&mut self.timeline) {
            self.pass_until(at);
            match event {
                Event::Load(act) => {
                    self.clients
                        .play(act, &mut self.sim, &mut self.model, &mut self.random);
                }
                Event::Fault(upstream, fault) => {
                    self.model.note_unhealthy(upstream);
                    self.unhealthy.insert(upstream);
                    make_unhealthy(&mut self.sim, &mut self.random, upstream, fault);
                }
                Event::Cure(upstream) => self.cure(upstream),
                Event::Stall(worker, span) => self.sim.stall(worker, span),
                Event::Suspend { span, is_cut } => self.suspend(span, is_cut),
                Event::Route { is_there } => self.sim.set_route(is_there),
                Event::Descriptors { are_left } => self.set_descriptors(are_left),
            }
        }
        self.pass_until(self.end);
    }

    fn suspend(&mut self, span: Duration, is_cut: bool) {
        for worker in 0..self.sim.workers() {
            self.sim.stall(worker, span);
        }
        for upstream in 0..self.sim.upstreams() {
            if is_cut {
                self.sim.swallow(upstream);
            }
            // Queries in flight may have expired, and connections may be dead.
            self.model.note_unhealthy(upstream);
            if self.has_descriptors && !self.unhealthy.contains(&upstream) {
                self.model.is_sound_from(self.sim.now() + span, upstream);
            }
        }
    }

    /// Without descriptors no upstream can be connected to, as if all were unhealthy.
    fn set_descriptors(&mut self, are_left: bool) {
        self.sim.set_descriptors(are_left);
        self.has_descriptors = are_left;
        for upstream in 0..self.sim.upstreams() {
            match are_left && !self.unhealthy.contains(&upstream) {
                true => self.model.is_sound_from(self.sim.now(), upstream),
                false => self.model.note_unhealthy(upstream),
            }
        }
    }

    fn cure(&mut self, upstream: usize) {
        cure(&mut self.sim, &mut self.random, upstream);
        self.unhealthy.remove(&upstream);
        if !self.has_descriptors {
            return;
        }
        // What was lost on the way is sent again within a second.
        let within_a_second = self.sim.now() + Duration::from_secs(1);
        self.model
            .is_sound_from(self.awake().max(within_a_second), upstream);
    }

    /// When all workers are at their work.
    fn awake(&self) -> Moment {
        let awake = (0..self.sim.workers()).map(|worker| self.sim.busy_until(worker));
        awake.fold(self.sim.now(), Moment::max)
    }

    /// Afterwards every worker answers as if nothing had been.
    fn recover(&mut self) {
        self.set_descriptors(true);
        for upstream in 0..self.sim.upstreams() {
            self.cure(upstream);
        }
        self.pass_until(self.awake() + LEARNING + Duration::from_secs(2));
        let mut asked = Vec::new();
        for worker in 0..self.sim.workers() {
            asked.push(self.clients.ask_at_last(&mut self.sim, worker));
        }
        self.pass_until(self.sim.now() + Duration::from_secs(5));
        for number in asked {
            let record = self.sim.record();
            let query = &record.queries[number];
            let is_answered = query
                .response
                .is_some_and(|place| record.responses[place].seen.rcode == 0);
            if !is_answered {
                let (now, text) = (
                    self.sim.now(),
                    format!("w{} is unhealthy for ever", query.worker),
                );
                self.sim.record_mut().complain(now, text);
            }
        }
    }

    fn die(&mut self) {
        self.clients.leave(&mut self.sim);
        self.pass_until(self.sim.now() + Duration::from_secs(100));
        self.model.finish(&mut self.sim);
    }
}

/// Reloads that take the route away for a while, most of them while queries are in flight.
fn give_reloads(random: &mut Random, span: Duration, timeline: &mut Vec<(Moment, Event)>) {
    let mut at = BEGINNING;
    for _ in 0..random.between(1, 4) {
        let from = at + random.time(Span::exactly(span / 4));
        at = from + random.time(Span::millis(1, 2_000));
        timeline.push((from, Event::Route { is_there: false }));
        timeline.push((at, Event::Route { is_there: true }));
    }
}

/// A cache, small or ample, with settings from one end of their ranges or the other.
fn give_cache(random: &mut Random, plan: &mut Plan) {
    plan.cache_bytes = random.pick([4_096, 65_536, 4 << 20]);
    let secs = Duration::from_secs;
    plan.settings.cache = CacheSettings {
        ttl_min: random.pick([0, 0, 0, 2]),
        ttl_max: random.pick([5, 86_400, 86_400]),
        negative_ttl_max: random.pick([0, 3, 3_600]),
        failure_ttl_max: random.pick([0, 1, 5, 5]),
        stale_max: random.pick([secs(0), secs(10), secs(86_400), secs(86_400)]),
        stale_after: Duration::from_millis(random.pick([200, 1_800, 1_800, 4_000])),
        prefetch: random.happens(700),
        nxdomain_all_types: false,
        rotates_addresses: false,
        except: Vec::new(),
    };
    let every = secs(random.pick([1, 4, 15]));
    for script in &mut plan.upstreams {
        script.data = Data::Changing(every);
    }
}

/// Milliseconds and microseconds where a number is a time.
trait Micros {
    fn micros(self) -> Duration;
}

impl Micros for u64 {
    fn micros(self) -> Duration {
        Duration::from_micros(self)
    }
}
