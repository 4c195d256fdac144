//! What should come out of a world: for every response whether it may be, and at the end whether all is there.
//!
//! The model knows what the world did to its upstreams and clients, never what an engine thinks.
//! *Sound* is an upstream that takes connections within a quarter second, answers every question right in less,
//! and has done so since [`LEARNING`] before the query: earlier faults must have expired by then.
//! A *harmful* question is one for which the world has a rule of its own at an upstream. That upstream is not sound for
//! it, so it may fail; it stays sound for all others.
//!
//! 1. A response is right: its question is the query's, byte for byte; its data is what an upstream answered to
//!    it, lately or as long ago as a cache may retain it, served with the TTL and the EDE of its age (`cached`).
//! 2. It comes by the query's deadline, or in the first turn after it if the worker was stalled.
//! 3. It is no failure if some upstream was sound, unless attempts that the engine could not know to be futile
//!    used the budget up: two at once that nobody answers, or three in all.
//! 4. With all upstreams but one sound it comes within [`SWIFT`].
//! 5. A failure before the deadline has a reason: three attempts, errors of every upstream, or upstreams that
//!    have been unhealthy for ten seconds or cannot be authenticated.
//! 6. No question is asked more often than its queries' budgets allow, nor thrice at once, nor by two workers
//!    while the first of them still waits.
//! 7. At the end nothing is left.
//! 8. An answer comes from the group that its name belonged to when the query was read. A question reaches the default group
//!    only if a client asked it while it had no route (`bystander`). A query whose route a reload takes away may fail.

mod cached;
mod failed;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dotgate_core::{Count, Moment, limits};

use crate::message::{self, Seen};
use crate::record::{Answered, Attempt, BEGINNING, ClientQuery, ClientResponse, Path, shown};
use crate::simulator::Simulator;

pub use cached::Memory;
use cached::Past;

/// The time after which an upstream counts as healthy again: a handshake that hangs, the pause
/// between two tries, and what a new try takes.
pub const LEARNING: Duration = Duration::from_secs(7);

/// The longest wait while only one upstream is not sound.
pub const SWIFT: Duration = Duration::from_secs(2);

/// What should become of a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// An upstream's answer.
    Forwarded,
    /// This RCODE, at once.
    AtOnce(u8),
    /// No response at all.
    NoResponse,
}

/// How much an engine takes, according to its settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Queries in flight that no limit turns away.
    pub queries: usize,
    /// Queries in flight in a worker.
    pub places: usize,
    /// Queries in flight on a connection; more wait unread.
    pub stream_queries: usize,
}

/// What should come out.
#[derive(Debug)]
pub struct Model {
    deadline: Duration,
    room: Room,
    expected: BTreeMap<usize, Expected>,
    sound_since: Vec<Option<Moment>>,
    memory: Memory,
    past: Past,
    judged: usize,
}

impl Model {
    /// A model of a world whose upstreams are all sound.
    pub fn new(upstreams: usize, deadline: Duration, room: Room, memory: Memory) -> Model {
        Model {
            deadline,
            room,
            expected: BTreeMap::new(),
            sound_since: vec![Some(BEGINNING); upstreams],
            memory,
            past: Past::default(),
            judged: 0,
        }
    }

    /// Says what should become of a query that is not to be forwarded.
    pub fn expect(&mut self, query: usize, expected: Expected) {
        self.expected.insert(query, expected);
    }

    /// Says that an upstream is sound from now on.
    pub fn is_sound_from(&mut self, now: Moment, upstream: usize) {
        self.sound_since[upstream].get_or_insert(now);
    }

    /// Says that an upstream is not sound any more.
    pub fn note_unhealthy(&mut self, upstream: usize) {
        self.sound_since[upstream] = None;
    }

    /// Judges the responses made since the last call.
    pub fn observe(&mut self, sim: &mut Simulator) {
        self.past.learn(sim.record());
        while self.judged < sim.record().responses.len() {
            if let Err(text) = self.judge(sim, self.judged) {
                let now = sim.now();
                sim.record_mut().complain(now, text);
            }
            self.judged += 1;
        }
    }

    fn judge(&self, sim: &Simulator, number: usize) -> Result<(), String> {
        let record = sim.record();
        let response = &record.responses[number];
        let query = &record.queries[response.query];
        let seen = &response.seen;
        let Some(given) = query.given else {
            return Err("a response before its query".to_owned());
        };
        let what = || format!("{} (query {})", message::shown(&seen.question), seen.id);
        let elapsed = response.at.since(given);
        let has_queued = self.has_queued(query);
        // Without its route its group is not asked any more, and no other one may be.
        let is_rerouted = sim.has_rerouted(given, response.at);
        let was_stalled = sim.busy_until(query.worker) >= response.at || has_queued || is_rerouted;
        if elapsed > self.deadline && !was_stalled {
            return Err(format!("{} is late: {elapsed:?}", what()));
        }
        if query.is_sent_back {
            return match seen.rcode {
                2 => Ok(()),
                rcode => Err(format!("{} came back and has RCODE {rcode}", what())),
            };
        }
        let expected = self.expected_of(response.query);
        match expected {
            Expected::NoResponse => return Err(format!("{} deserves no response", what())),
            Expected::AtOnce(rcode) if rcode != seen.rcode => {
                return Err(format!("{} should have RCODE {rcode}", what()));
            }
            Expected::AtOnce(_) => return Ok(()),
            Expected::Forwarded => {}
        }
        match seen.rcode {
            0 | 3 => {
                let source = match is_cut_for_its_wait(query, response) {
                    true => Ok(()),
                    false => self.judge_source(sim, query, response),
                };
                check_cut(query, response)
                    .and(source)
                    .map_err(|text| format!("{}: {text}", what()))?;
                let asked = message::folded(&seen.question);
                let made = self.past.attempts(record, &asked);
                let made: Vec<&Attempt> =
                    made.filter(|attempt| attempt.question == asked).collect();
                let has_budget = made.len() < usize::from(limits::ATTEMPTS);
                // A connection that a sound upstream ended under it for a harmful question counts as one more ill
                // upstream: to be swift is promised with one trouble at a time.
                let is_taken_along = made.iter().any(|attempt| {
                    attempt.lost.is_some() && self.was_sound(attempt.upstream, given)
                });
                let unhealthy =
                    self.count_unhealthy(sim, &asked, given) + usize::from(is_taken_along);
                if unhealthy <= 1
                    && has_budget
                    && sim.upstreams() > 1
                    && elapsed > SWIFT
                    && !was_stalled
                {
                    return Err(format!("{} took {elapsed:?}", what()));
                }
                Ok(())
            }
            // No response can be sent while the system is suspended.
            2 if elapsed > self.deadline => Ok(()),
            2 | 5 if is_rerouted => Ok(()),
            2 | 5 if self.is_cached_failure(sim, query, response) => Ok(()),
            2 | 5 => self
                .judge_failure(sim, query, response)
                .map_err(|text| format!("{} failed: {text}", what())),
            rcode if was_answered_with(sim, seen) => {
                // RFC 1035 leaves what other codes mean to the client.
                debug_assert!(rcode > 5);
                Ok(())
            }
            rcode => Err(format!("{} has RCODE {rcode}", what())),
        }
    }

    /// Says whether all that should have come out has, and nothing is left.
    pub fn finish(&mut self, sim: &mut Simulator) {
        self.observe(sim);
        let mut broken = Vec::new();
        self.check_queries(sim, &mut broken);
        check_attempts(sim, &mut broken);
        self.check_flights(sim, &mut broken);
        check_idle(sim, &mut broken);
        let now = sim.now();
        for text in broken {
            sim.record_mut().complain(now, text);
        }
    }

    fn check_queries(&self, sim: &Simulator, broken: &mut Vec<String>) {
        for (number, query) in sim.record().queries.iter().enumerate() {
            let gets_no_response = self.expected_of(number) == Expected::NoResponse;
            let is_lost = query.response.is_none() && !query.is_abandoned && !gets_no_response;
            let is_unread = query.given.is_none() && matches!(query.path, Path::Tcp(_));
            if is_lost && !is_unread {
                let question = message::shown(message::question(&query.message));
                let sent = shown(query.sent);
                broken.push(format!("{question}, sent at {sent}, has no response"));
            }
        }
    }

    fn expected_of(&self, query: usize) -> Expected {
        self.expected
            .get(&query)
            .copied()
            .unwrap_or(Expected::Forwarded)
    }

    /// Whether the query waited for its connection's turn: it was read later than it came.
    fn has_queued(&self, query: &ClientQuery) -> bool {
        query.ahead >= self.room.stream_queries
    }

    fn was_sound(&self, upstream: usize, given: Moment) -> bool {
        self.sound_since[upstream]
            .is_some_and(|since| since == BEGINNING || given.since(since) >= LEARNING)
    }

    /// Whether it was sound, and the question is not harmful at it. Where it is, it may fail: it proves nothing
    /// against the upstream, which stays sound for all other questions.
    fn was_sound_for(
        &self,
        sim: &Simulator,
        question: &[u8],
        upstream: usize,
        given: Moment,
    ) -> bool {
        self.was_sound(upstream, given) && !is_harmful_at(sim, upstream, question)
    }

    /// Upstreams that were not sound for this question.
    fn count_unhealthy(&self, sim: &Simulator, question: &[u8], given: Moment) -> usize {
        let all = 0..self.sound_since.len();
        all.filter(|upstream| !self.was_sound_for(sim, question, *upstream, given))
            .count()
    }
}

/// Whether some upstream does.
fn is_harmful_somewhere(sim: &Simulator, question: &[u8]) -> bool {
    (0..sim.upstreams()).any(|upstream| is_harmful_at(sim, upstream, question))
}

/// Whether an upstream does something of its own at questions of this name. The names last as long as the world.
fn is_harmful_at(sim: &Simulator, upstream: usize, question: &[u8]) -> bool {
    let name = message::shown(question);
    let mut rules = sim.script(upstream).rules.iter();
    rules.any(|rule| !rule.name.is_empty() && name.starts_with(&rule.name))
}

/// Whether some upstream gave this RCODE, which is neither an answer nor an error that others may not make.
fn was_answered_with(sim: &Simulator, seen: &Seen) -> bool {
    let question = message::folded(&seen.question);
    let mut attempts = sim.record().attempts.iter();
    attempts.any(|attempt| {
        attempt.question == question
            && seen.rcode > 5
            && attempt
                .answered
                .is_some_and(|answered| answered.rcode == seen.rcode)
    })
}

/// Whether a response over UDP has no records and came after a wait, so that it is no answer but a sign to ask by TCP.
fn is_cut_for_its_wait(query: &ClientQuery, response: &ClientResponse) -> bool {
    let waited = query
        .given
        .map_or(Duration::ZERO, |given| response.at.since(given));
    let is_udp = matches!(query.path, Path::Udp { .. });
    is_udp && response.seen.is_truncated && waited > limits::RELEASE_PACED_AFTER
}

/// Whether a response may be cut as it is.
fn check_cut(query: &ClientQuery, response: &ClientResponse) -> Result<(), String> {
    let seen = &response.seen;
    let huge = message::huge_size(&seen.question);
    // A message as large as TCP allows has no room for an OPT of ours.
    let may_be = match query.path {
        // What waited leaves whole for a while, and a few at a time.
        Path::Udp { .. } => huge.is_some() || is_cut_for_its_wait(query, response),
        Path::Tcp(_) => huge.is_some_and(|size| size > 65_500),
    };
    match seen.is_truncated && !may_be {
        true => Err(format!("truncated at {} bytes", seen.length)),
        false => Ok(()),
    }
}

/// Attempts for one query: its own, and those that end because another query's session failed. Of 4,096 suspects one is
/// alone after four splits; then come its strikes.
const ATTEMPTS_MAX: usize = limits::ATTEMPTS as usize + 4 + limits::HARMFUL_STRIKES as usize;

/// Tries of an upstream that is down, from a query to its deadline: four seconds, four in each; while connections are refused,
/// twenty in each of the first three.
const PROBES_MAX: usize = 64;

fn check_attempts(sim: &Simulator, broken: &mut Vec<String>) {
    let record = sim.record();
    let mut asked: BTreeMap<(usize, Vec<u8>), usize> = BTreeMap::new();
    for query in &record.queries {
        let question = message::folded(message::question(&query.message));
        *asked.entry((query.worker, question)).or_default() += 1;
    }
    let mut made: BTreeMap<(usize, &[u8]), Vec<&Attempt>> = BTreeMap::new();
    for attempt in record.attempts.iter().filter(|attempt| !attempt.is_probe) {
        made.entry((attempt.worker, &attempt.question))
            .or_default()
            .push(attempt);
    }
    for ((worker, question), attempts) in made {
        let what = message::shown(question);
        let queries = asked
            .get(&(worker, question.to_vec()))
            .copied()
            .unwrap_or(0);
        // What is asked on a connection with junk before it may be any question.
        // While a plain upstream is down, one that waits is asked along with each probe, in case only names of its zone are
        // answered there; what is refused counts for nothing.
        let is_over_udp = attempts.iter().any(|it| sim.is_over_udp(it.connection));
        let most = ATTEMPTS_MAX + if is_over_udp { PROBES_MAX } else { 0 };
        if queries > 0 && attempts.len() > queries * most {
            broken.push(format!(
                "{what}: {} attempts for {queries} queries",
                attempts.len()
            ));
        }
        for (number, attempt) in attempts.iter().enumerate() {
            let before = &attempts[..number];
            let running = before.iter().filter(|other| other.runs_at(attempt.at));
            // With two running, a suspect's older attempt is given up for the next, which is not seen here: once where its
            // group is split, once where it is asked at another upstream.
            // That of a harmful question is given up so more than once.
            let may_be = queries > 1 || is_harmful_somewhere(sim, question);
            if !may_be && running.count() >= 4 {
                broken.push(format!("{what}: five attempts at once"));
            }
        }
    }
}

fn check_idle(sim: &Simulator, broken: &mut Vec<String>) {
    for worker in 0..sim.workers() {
        let load = sim.load(worker);
        let left = [
            (load.queries, "queries"),
            (load.questions, "questions"),
            (load.sessions - sim.datagram_sessions(worker), "sessions"),
            (load.streams, "streams"),
        ];
        for (count, what) in left.iter().filter(|(count, _)| *count > 0) {
            broken.push(format!("w{worker} has {count} {what} left"));
        }
        if let Some(deadline) = load.next_deadline {
            broken.push(format!("w{worker} waits for {}", shown(deadline)));
        }
        let count = |count| sim.count(worker, count);
        let ended = count(Count::Answered) + count(Count::AnsweredFromCache) + count(Count::Failed);
        if count(Count::QueriesForwarded) != ended {
            broken.push(format!("w{worker} counts {ended} responses to its queries"));
        }
        let record = sim.record();
        let seen = record
            .attempts
            .iter()
            .filter(|attempt| attempt.worker == worker && !attempt.is_probe);
        let (seen, counted) = (seen.count() as u64, count(Count::Attempts));
        if seen > counted {
            broken.push(format!("w{worker} counts {counted} of {seen} attempts"));
        }
    }
    let numbers: BTreeSet<usize> = sim.record().responses.iter().map(|r| r.query).collect();
    if numbers.len() != sim.record().responses.len() {
        broken.push("a query has two responses".to_owned());
    }
}

impl Attempt {
    /// Whether it brought an answer.
    pub fn is_good(&self) -> bool {
        self.answered
            .is_some_and(|answered| !answered.is_truncated && matches!(answered.rcode, 0 | 3))
    }

    /// Whether it brought an error.
    pub fn has_erred(&self) -> bool {
        self.answered.is_some() && !self.is_good()
    }

    /// Whether it had no outcome yet then.
    fn runs_at(&self, now: Moment) -> bool {
        let outcome = self.answered.map(|answered| answered.at).or(self.lost);
        outcome.is_none_or(|at| at > now)
    }
}

impl Answered {
    /// Whether the error stands although another upstream may know better: bogus data, or a policy.
    pub fn stands(&self) -> bool {
        matches!(self.rcode, 2 | 5) && matches!(self.ede, Some(6..=12 | 15..=18))
    }
}
