//! From the steps of a scenario to what was seen: the simulator with one seed, from the first line to the last.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dotgate_core::{GroupSettings, Moment, RouteId, RouteTable, Settings, UpstreamSettings};

use crate::message::{self, QueryForm, ResponseForm, wire_name};
use crate::random::Span;
use crate::script::{Data, Opening, Segments};
use crate::simulator::{Plan, Simulator, id_of};

use super::clients::{GUESSED, address};
use super::description::{Role, Scenario, StepLine};
use super::portal::LOOK;
use super::state::{CookieJar, Finding, Mark, OfNetwork, Run};
use super::step::{Ask, By, Check, CookieForm, Deed, ReplyForm, Step};
use super::words::Names;

/// After this long, no state of clients that have left may remain.
const AFTERWARDS: Duration = Duration::from_secs(120);

/// How long a worker may take until it reads what has arrived.
const LAG: Span = Span {
    least: Duration::ZERO,
    most: Duration::from_micros(100),
};

/// How a scenario went with one seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Failed checks, each with its line. Empty if all checks pass.
    pub failures: Vec<String>,
    /// The log in simulated time, if one was kept.
    pub log: Vec<String>,
    pub(super) findings: Vec<Finding>,
}

impl Outcome {
    /// One that came to nothing, as after a panic of the engine.
    pub fn failed(seed: u64, failure: String) -> Outcome {
        Outcome {
            seed,
            failures: vec![failure],
            log: Vec::new(),
            findings: Vec::new(),
        }
    }
}

/// Runs a scenario with one seed.
pub fn run(scenario: &Scenario, seed: u64, with_log: bool) -> Outcome {
    play(Run::new(scenario, seed, with_log, false))
}

/// The same with its upstreams behind a route; see [`Plan::is_routed`].
pub fn run_routed(scenario: &Scenario, seed: u64, with_log: bool) -> Outcome {
    play(Run::new(scenario, seed, with_log, true))
}

fn play(mut run: Run<'_>) -> Outcome {
    let (scenario, seed) = (run.scenario, run.seed);
    for StepLine { line, text, step } in &scenario.steps {
        let now = run.sim.now();
        run.sim
            .record_mut()
            .say(now, || format!("line {line}: {text}"));
        run.step(*line, step);
    }
    run.finish();
    Outcome {
        seed,
        failures: run.failures,
        log: run.sim.record().log().to_vec(),
        findings: run.findings,
    }
}

impl<'s> Run<'s> {
    fn new(scenario: &'s Scenario, seed: u64, with_log: bool, is_routed: bool) -> Run<'s> {
        let mut plan = Plan::new(seed, Vec::new());
        plan.settings = scenario.settings.clone();
        let mut of_network = OfNetwork::new();
        for upstream in &scenario.upstreams {
            let mut script = upstream.script.clone();
            if upstream.is_cut_by_seed && seed.is_multiple_of(2) {
                script.segments = Segments::Few;
            }
            plan.upstreams.push(script);
            let id = id_of(plan.upstreams.len() - 1);
            let settings = match upstream.is_plain {
                true => UpstreamSettings::plain(id, &upstream.name),
                false => UpstreamSettings::new(id, &upstream.name),
            };
            let operator = upstream.operator.as_ref().unwrap_or(&upstream.name);
            let settings = UpstreamSettings {
                weight: upstream.weight,
                operator: operator.as_str().into(),
                ..settings
            };
            settings
                .handshakes
                .set_addresses(upstream.script.addresses.len());
            match &upstream.role {
                Role::Default => plan.settings.groups[0].upstreams.push(settings),
                Role::Route(suffix) => add_to_route(&mut plan.settings, suffix, settings),
                Role::Portal => of_network.push(settings),
            }
        }
        plan.is_routed = is_routed;
        plan.workers = scenario.workers;
        plan.cache_bytes = scenario.cache_bytes;
        plan.lag = LAG;
        plan.with_log = with_log;
        let sim = Simulator::new(plan);
        let mark = Mark::new(&sim, String::new());
        Run {
            scenario,
            seed,
            sim,
            mark,
            streams: BTreeMap::new(),
            cookies: CookieJar::default(),
            failures: Vec::new(),
            findings: Vec::new(),
            timeline: VecDeque::new(),
            of_network,
            portal: None,
            portals: 0,
            asked: 0,
            asked_of: BTreeMap::new(),
        }
    }

    fn step(&mut self, line: usize, step: &Step) {
        match step {
            Step::Query(ask) => {
                for _ in 0..ask.count {
                    self.ask(ask);
                }
            }
            Step::Load { ask, every } => self.arrange(ask, *every),
            Step::TimePasses(span) => {
                let span = self.sim.random().time(*span);
                self.pass(span);
            }
            Step::Suspend(span) => {
                for worker in 0..self.sim.workers() {
                    self.sim.stall(worker, *span);
                }
                self.pass(*span);
            }
            Step::Stall(worker, span) => self.sim.stall(*worker, *span),
            Step::Start => {
                for upstream in 0..self.sim.upstreams() {
                    self.sim.open_first_session(0, upstream);
                }
            }
            Step::Reload(form) => self.sim.reconfigure(|settings| form.apply(settings)),
            Step::Portal(Some(form)) => self.open_portal(form),
            Step::Portal(None) => self.close_portal(),
            Step::CountAnew(words) => self.mark = Mark::new(&self.sim, words.clone()),
            Step::Upstream(upstream, deed) => self.apply(*upstream, deed),
            Step::Reply(upstream, names, form) => {
                if !self.reply(*upstream, names, *form) {
                    self.fail(line, format!("the upstream holds no query for {names}"));
                }
            }
            Step::Client(name, deed) => self.client(name, *deed),
            Step::Check(check) => self.check(line, check),
        }
    }

    fn check(&mut self, line: usize, check: &Check) {
        if let Err(text) = self.find(check) {
            self.fail(line, text);
        }
    }

    pub(super) fn fail(&mut self, line: usize, text: String) {
        let text = format!("line {line}: {text}");
        let now = self.sim.now();
        self.sim.record_mut().say(now, || format!("FAILS: {text}"));
        self.failures.push(text);
    }

    /// Lets time pass, while loads continue.
    fn pass(&mut self, span: Duration) {
        let end = self.sim.now() + span;
        while let Some((at, ask)) = self.timeline.pop_front() {
            if at > end {
                self.timeline.push_front((at, ask));
                break;
            }
            self.pass_with_portal(at);
            self.ask(&ask);
        }
        self.pass_with_portal(end);
    }

    /// Lets time pass, while an open portal window is looked at.
    fn pass_with_portal(&mut self, end: Moment) {
        while self.portal.is_some() && self.sim.now() < end {
            let next = (self.sim.now() + LOOK).min(end);
            self.sim.pass(next.since(self.sim.now()));
            self.look_at_portal();
        }
        self.sim.pass(end.since(self.sim.now()));
    }

    fn arrange(&mut self, ask: &Ask, every: Duration) {
        let phase = self.sim.random().time(Span {
            least: Duration::ZERO,
            most: every,
        });
        let mut at = self.sim.now() + phase;
        for _ in 0..ask.count {
            self.timeline.push_back((at, ask.clone()));
            at = at + every;
        }
        self.timeline.make_contiguous().sort_by_key(|(at, _)| *at);
    }

    fn ask(&mut self, ask: &Ask) {
        let number = self.asked;
        self.asked += 1;
        let serial = self.asked_of.entry(ask.names.to_string()).or_default();
        let name = ask.names.nth(*serial);
        *serial += 1;
        let form = QueryForm {
            qtype: ask.qtype,
            edns: Some(1_232),
            dnssec_ok: ask.dnssec_ok,
            checking_disabled: ask.checking_disabled,
            opcode: ask.opcode,
            ..QueryForm::default()
        };
        let query = message::query(number as u16, &name, &form);
        let query = match ask.cookie {
            CookieForm::None => query,
            CookieForm::Own => message::with_cookie(query, &self.own_cookie()),
            CookieForm::Guessed => message::with_cookie(query, &GUESSED),
        };
        let worker = match ask.worker {
            Some(worker) => worker,
            None => number % self.sim.workers(),
        };
        let peer = |host: usize, port: usize| {
            SocketAddr::new(address(host), 1_024 + (port % 60_000) as u16)
        };
        let query = match &ask.by {
            By::Udp => self.sim.ask(worker, peer(0, number), query),
            By::ManyAddresses => {
                // The first address is that of the one client.
                let (host, port) = (1 + number % 249, number / 249);
                self.sim.ask(worker, peer(host, port), query)
            }
            By::Client(name) => {
                let Some(stream) = self.connection_of(name, number) else {
                    return;
                };
                self.sim.ask_on(stream, query, Segments::Whole)
            }
        };
        for _ in 0..ask.repeats {
            self.sim.ask_again(query);
        }
    }

    fn apply(&mut self, upstream: usize, deed: &Deed) {
        let mut script = self.sim.script(upstream).clone();
        match deed {
            Deed::Opening(opening) => script.opening = *opening,
            Deed::OpensIn(span) => {
                (script.opening, script.handshake_time) = (Opening::Accepts, *span);
            }
            Deed::Rule(rule) => script.rules.insert(0, rule.clone()),
            Deed::AnswersAll => script.rules.clear(),
            Deed::State(state) => return self.sim.set_state(upstream, *state),
            Deed::Ends(end) => return self.sim.end_connections(upstream, *end),
            Deed::Dies(death) => return self.sim.kill(upstream, *death),
            Deed::Swallows => return self.sim.swallow(upstream),
            Deed::ClosesIdleAfter(span) => script.idle_close = Some(*span),
            Deed::EndsAfterAnswers(bound) => script.answer_bound = Some(*bound),
            Deed::HasNewData => {
                script.data = match script.data {
                    Data::Lasting(version) => Data::Lasting(version + 1),
                    changing @ Data::Changing(_) => changing,
                };
            }
        }
        self.sim.direct(upstream, script);
    }

    fn reply(&mut self, upstream: usize, names: &Names, form: ReplyForm) -> bool {
        let mut has_replied = false;
        loop {
            let mut withheld = self.sim.withheld(upstream).iter();
            let is_meant = |(_, query): &(usize, Vec<u8>)| names.are_of(message::question(query));
            let Some(place) = withheld.position(is_meant) else {
                return has_replied;
            };
            has_replied = true;
            match form {
                ReplyForm::Rcode(rcode) => {
                    let form = ResponseForm {
                        rcode,
                        ..ResponseForm::RIGHT
                    };
                    self.sim.release(upstream, place, &form);
                }
                ReplyForm::LengthAlone => {
                    let (connection, _) = self.sim.withheld(upstream)[place];
                    self.sim.say_on(connection, vec![0, 60]);
                    return true;
                }
            }
        }
    }

    /// Lets everything end, and looks whether anything is left or was wrong.
    fn finish(&mut self) {
        while let Some((at, _)) = self.timeline.back() {
            self.pass(at.since(self.sim.now()));
        }
        self.pass(AFTERWARDS);
        let mut wrong = self.check_answers();
        for worker in 0..self.sim.workers() {
            let load = self.sim.load(worker);
            let sessions = load.sessions - self.sim.datagram_sessions(worker);
            let left = [load.queries, load.questions, sessions, load.streams];
            if left != [0; 4] || load.next_deadline.is_some() {
                wrong.push(format!("afterwards something is left: {load:?}"));
            }
        }
        wrong.extend(self.sim.record().violations.iter().cloned());
        self.failures.extend(wrong);
    }
}

/// Adds an upstream to the group of a route.
fn add_to_route(settings: &mut Settings, suffix: &str, upstream: UpstreamSettings) {
    let mut groups = settings.groups.iter_mut();
    if let Some(group) = groups.find(|group| *group.label == *suffix) {
        return group.upstreams.push(upstream);
    }
    let place = settings.groups.len();
    let route = RouteId(u16::try_from(place).unwrap_or(u16::MAX));
    settings
        .groups
        .push(GroupSettings::new(route, suffix, vec![upstream]));
    let routes = settings.groups.iter().enumerate().skip(1);
    let routes = routes.map(|(place, group)| (wire_name(&group.label).into(), place));
    settings.routes = Arc::new(RouteTable::new(routes));
}
