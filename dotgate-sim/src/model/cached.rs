//! Where an answer may come from: an upstream that was just asked, or the cache, fresh or stale.
//!
//! Every answer to a client must be the one that some attempt brought, for the same question, CD and DO; how old
//! that attempt is decides what may be served. The rules are those of RFC 2308, 8767 and 9520, and of the settings.

use std::collections::BTreeMap;
use std::time::Duration;

use dotgate_core::{HealthState, Moment, Settings, limits};

use crate::message::{self, Seen};
use crate::record::{Answered, Attempt, ClientQuery, ClientResponse, Path, Record};
use crate::simulator::Simulator;

use super::{Model, is_harmful_somewhere};

/// Longer than a worker that is not stalled takes to read a flight message.
const SLACK: Duration = Duration::from_millis(5);

/// INFO-CODE of a cached failure (RFC 9520).
const CACHED_ERROR: u16 = 13;

/// What a cache may keep, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    is_on: bool,
    ttl_min: u32,
    ttl_max: u32,
    negative_ttl_max: u32,
    failure_max: Duration,
    stale_max: Duration,
    stale_after: Duration,
    shares_nxdomain: bool,
}

/// How an answer was come by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// It came while the query waited.
    Upstream,
    /// From the cache.
    Cache,
}

/// Attempts and queries by name, in the order of time.
#[derive(Debug, Default)]
pub(super) struct Past {
    names: BTreeMap<Vec<u8>, Named>,
    attempts: usize,
    queries: usize,
}

#[derive(Debug, Default)]
struct Named {
    attempts: Vec<usize>,
    queries: Vec<usize>,
}

impl Memory {
    /// That of engines with these settings, and a cache of this size.
    pub fn new(settings: &Settings, cache_bytes: usize) -> Memory {
        let cache = &settings.cache;
        Memory {
            is_on: cache_bytes > 0,
            ttl_min: cache.ttl_min,
            ttl_max: cache.ttl_max,
            negative_ttl_max: cache.negative_ttl_max,
            failure_max: Duration::from_secs(cache.failure_ttl_max.into()),
            stale_max: cache.stale_max,
            stale_after: cache.stale_after,
            shares_nxdomain: cache.nxdomain_all_types,
        }
    }

    /// For how long a failure may be served again.
    pub(super) fn failure_max(&self) -> Duration {
        match self.is_on {
            true => self.failure_max,
            false => Duration::ZERO,
        }
    }

    /// The TTL with which an answer is cached, in seconds. None if it is not.
    fn cache_ttl(&self, answered: &Answered) -> Option<u32> {
        let ttl = answered.ttl.filter(|ttl| *ttl > 0 && self.is_on)?;
        let most = match answered.data {
            Some(_) => self.ttl_max,
            None => self.negative_ttl_max,
        };
        Some(ttl.max(self.ttl_min).min(most))
    }
}

impl Past {
    /// Takes in what has happened since the last call.
    pub(super) fn learn(&mut self, record: &Record) {
        for (number, attempt) in record.attempts.iter().enumerate().skip(self.attempts) {
            let named = self.names.entry(message::name(&attempt.question));
            named.or_default().attempts.push(number);
        }
        for (number, query) in record.queries.iter().enumerate().skip(self.queries) {
            let named = self
                .names
                .entry(message::name(message::question(&query.message)));
            named.or_default().queries.push(number);
        }
        (self.attempts, self.queries) = (record.attempts.len(), record.queries.len());
    }

    /// All attempts at any type of a question's name.
    pub(super) fn attempts<'r>(
        &self,
        record: &'r Record,
        question: &[u8],
    ) -> impl Iterator<Item = &'r Attempt> {
        let named = self.names.get(&message::name(question));
        let numbers = named.map_or(&[][..], |named| &named.attempts).to_vec();
        numbers.into_iter().map(|number| &record.attempts[number])
    }

    /// Queries for any type of a question's name.
    pub(super) fn queries<'r>(
        &self,
        record: &'r Record,
        question: &[u8],
    ) -> impl Iterator<Item = &'r ClientQuery> {
        let named = self.names.get(&message::name(question));
        let numbers = named.map_or(&[][..], |named| &named.queries).to_vec();
        numbers.into_iter().map(|number| &record.queries[number])
    }
}

/// The CD and DO bits of a query.
pub(super) fn variant(query: &ClientQuery) -> (bool, bool) {
    message::read(&query.message).map_or((false, false), |seen| seen.variant)
}

impl Model {
    /// Finds the attempt that explains an answer.
    pub(super) fn judge_source(
        &self,
        sim: &Simulator,
        query: &ClientQuery,
        response: &ClientResponse,
    ) -> Result<(), String> {
        let record = sim.record();
        let seen = &response.seen;
        let question = message::folded(&seen.question);
        let variant = variant(query);
        let data = seen.data.first().and_then(|data| data.first_chunk());
        // With the route its group changes: what another group said since is no reason.
        let given = query.given.unwrap_or(response.at);
        let newest = self.newest_delivered(sim, query, &question);
        let newest = newest.filter(|_| !sim.has_rerouted(given, response.at));
        let mut why = "no upstream has said so".to_owned();
        for attempt in self.past.attempts(record, &question) {
            // Where EDNS is given up nothing says DO: such an answer is for those who wait alone.
            let is_bare = !attempt.has_opt && attempt.variant != variant;
            let is_variant =
                attempt.variant == variant || (is_bare && attempt.variant.0 == variant.0);
            let Some(answered) = attempt.answered.filter(|_| is_variant) else {
                continue;
            };
            let is_shared = answered.rcode == 3 && self.memory.shares_nxdomain;
            let is_of_it = attempt.question == question || is_shared;
            let is_same = answered.rcode == seen.rcode
                && (seen.is_truncated || answered.data.map(u32::to_be_bytes).as_ref() == data);
            if !is_of_it || !is_same || answered.at > response.at {
                continue;
            }
            if !sim.was_in_group(attempt.upstream, query, response.at) {
                "another group has said so".clone_into(&mut why);
                continue;
            }
            if newest.is_some_and(|newest| answered.at < newest) {
                "an upstream has said otherwise since".clone_into(&mut why);
                continue;
            }
            match self.judge_age(sim, query, response, &answered) {
                Ok(Source::Cache) if is_bare => "its answer has no signatures".clone_into(&mut why),
                Ok(_) => return Ok(()),
                Err(text) => why = text,
            }
        }
        Err(why)
    }

    /// When an answer to this very question last reached a client, well before the query came.
    fn newest_delivered(
        &self,
        sim: &Simulator,
        query: &ClientQuery,
        question: &[u8],
    ) -> Option<Moment> {
        let (record, variant) = (sim.record(), variant(query));
        let given = query.given?;
        let is_delivered = |attempt: &&Attempt, at: Moment| {
            self.past.queries(record, question).any(|other| {
                let response = other.response.map(|place| &record.responses[place]);
                other.worker == attempt.worker
                    && self::variant(other) == variant
                    && response.is_some_and(|response| {
                        response.at == at && message::folded(&response.seen.question) == question
                    })
            })
        };
        let all = self.past.attempts(record, question);
        let of_it = all.filter(|attempt| {
            attempt.question == question
                && attempt.variant == variant
                && attempt.is_good()
                && sim.was_in_group(attempt.upstream, query, given)
        });
        let before = of_it.filter_map(|attempt| {
            let at = attempt.answered?.at;
            (at + SLACK < given && is_delivered(&attempt, at)).then_some(at)
        });
        before.max()
    }

    /// Whether an answer of this age may be served as it was.
    fn judge_age(
        &self,
        sim: &Simulator,
        query: &ClientQuery,
        response: &ClientResponse,
        answered: &Answered,
    ) -> Result<Source, String> {
        let given = query.given.unwrap_or(response.at);
        let was_stalled = sim.busy_until(query.worker) >= answered.at;
        let has_waited = given <= answered.at + SLACK || was_stalled;
        let raw = answered.ttl.map(|ttl| ttl.max(self.memory.ttl_min));
        if has_waited && response.seen.ttl <= raw {
            return Ok(Source::Upstream);
        }
        let Some(seconds) = self.memory.cache_ttl(answered) else {
            return Err("it may not be cached".to_owned());
        };
        let first = given.max(answered.at);
        let at = |served: Moment| {
            let (seen, age) = (&response.seen, served.since(answered.at));
            self.judge_served(seen, age, seconds)
        };
        let is_stale = match query.path {
            Path::Udp { .. } => at(response.at)?,
            // What waits for a client that does not read was written earlier.
            Path::Tcp(_) if self.has_queued(query) => at(first).or_else(|_| at(response.at))?,
            Path::Tcp(_) => at(first)?,
        };
        if is_stale {
            self.judge_stale(sim, query, response)?;
        }
        Ok(Source::Cache)
    }

    /// Whether an answer with a cached TTL of so many seconds may be served like this at that age. True if it is stale.
    fn judge_served(&self, seen: &Seen, age: Duration, seconds: u32) -> Result<bool, String> {
        let lifetime = Duration::from_secs(seconds.into());
        let left = u64::from(seconds).saturating_sub(age.as_secs());
        if age < lifetime && seen.ttl.is_none_or(|ttl| u64::from(ttl) <= left) {
            return Ok(false);
        }
        let ede = if seen.rcode == 3 { 19 } else { 3 };
        let is_reported = !seen.has_opt || seen.edes.contains(&ede);
        if seen.ttl != Some(limits::STALE_TTL) || !is_reported {
            let (ttl, edes) = (seen.ttl, &seen.edes);
            return Err(format!(
                "of {age:?} with a cached TTL of {seconds} s is served with TTL {ttl:?} and EDE {edes:?}"
            ));
        }
        if age < lifetime || age > lifetime + self.memory.stale_max {
            return Err(format!(
                "is stale at {age:?} with a cached TTL of {seconds} s"
            ));
        }
        Ok(true)
    }

    /// Stale answers are for those who have waited, or could not be helped.
    fn judge_stale(
        &self,
        sim: &Simulator,
        query: &ClientQuery,
        response: &ClientResponse,
    ) -> Result<(), String> {
        let given = query.given.unwrap_or(response.at);
        let mut all = 0..sim.upstreams();
        let is_any_sound = all.clone().any(|upstream| self.was_sound(upstream, given));
        let are_all_down = all.all(|upstream| sim.health(upstream) == HealthState::Down);
        let elapsed = response.at.since(given);
        let has_waited = elapsed >= self.memory.stale_after || self.was_full(sim, query, elapsed);
        if !is_any_sound || are_all_down || has_waited {
            return Ok(());
        }
        let question = message::folded(&response.seen.question);
        let mut attempts = self.past.attempts(sim.record(), &question);
        let refresh_failed = attempts.any(|attempt| {
            attempt.question == question
                && attempt.variant == variant(query)
                && !attempt.is_good()
                && attempt.at + self.deadline + limits::FAILURE_RECHECK >= given
        });
        match refresh_failed || self.found_nobody_to_ask(sim, query, given) {
            true => Ok(()),
            false => Err("is stale though an upstream was sound".to_owned()),
        }
    }

    /// Whether a refresh may have failed without an attempt before the query came: another query for the same, so short before
    /// that the failure recheck timer has not run out, got no answer or a stale one while no upstream was sound.
    fn found_nobody_to_ask(&self, sim: &Simulator, query: &ClientQuery, given: Moment) -> bool {
        let record = sim.record();
        let question = message::folded(message::question(&query.message));
        let was_any_sound = |at| (0..sim.upstreams()).any(|upstream| self.was_sound(upstream, at));
        let mut others = self.past.queries(record, &question);
        others.any(|other| {
            let is_same = variant(other) == variant(query)
                && message::folded(message::question(&other.message)) == question;
            let response = other.response.map(|place| &record.responses[place].seen);
            let is_unhelped =
                response.is_some_and(|seen| seen.rcode == 2 || seen.ttl == Some(limits::STALE_TTL));
            let is_recent = |asked: Moment| {
                asked < given && asked + self.deadline + limits::FAILURE_RECHECK >= given
            };
            let asked = other.given.filter(|asked| is_recent(*asked));
            is_same && is_unhelped && asked.is_some_and(|asked| !was_any_sound(asked))
        })
    }

    /// Whether a failure may be one that was served before, and is served again.
    pub(super) fn is_cached_failure(
        &self,
        sim: &Simulator,
        query: &ClientQuery,
        response: &ClientResponse,
    ) -> bool {
        let record = sim.record();
        let seen = &response.seen;
        let given = query.given.unwrap_or(response.at);
        let is_reported = !seen.has_opt || seen.edes.contains(&CACHED_ERROR);
        let read_by = match self.has_queued(query) {
            true => response.at,
            false => given,
        };
        let may_be = self.memory.is_on && is_reported && response.at == read_by;
        let asked = message::folded(&seen.question);
        let mut same = self.past.queries(record, &seen.question).filter(|other| {
            variant(other) == variant(query)
                && message::folded(message::question(&other.message)) == asked
        });
        may_be
            && same.any(|other| {
                let response = other.response.map(|place| &record.responses[place]);
                response.is_some_and(|earlier| {
                    earlier.seen.rcode == seen.rcode
                        && earlier.at <= read_by
                        && earlier.at + self.memory.failure_max() >= given
                })
            })
    }

    /// Identical questions are out once, whichever workers they came to.
    pub(super) fn check_flights(&self, sim: &Simulator, broken: &mut Vec<String>) {
        let record = sim.record();
        for (number, later) in record.attempts.iter().enumerate() {
            if later.is_probe || sim.workers() == 1 {
                continue;
            }
            let all = self.past.attempts(record, &later.question);
            let is_same = |one: &&Attempt| {
                one.question == later.question && one.variant == later.variant && !one.is_probe
            };
            let same: Vec<&Attempt> = all.filter(is_same).collect();
            // A question that nobody waits for is a probe's, or the cache's.
            if !self.waits_at(record, later, later.at, Duration::ZERO) {
                continue;
            }
            let waits_long = self.has_waited_long(record, later, later.at);
            // An answer ends the other attempts of its worker, also where the client that waited has left.
            let is_over = |one: &Attempt| {
                let mut others = same.iter().filter(|other| other.worker == one.worker);
                others.any(|other| {
                    let is_in_time = |it: Answered| (one.at..=later.at).contains(&it.at);
                    other.is_good() && other.answered.is_some_and(is_in_time)
                })
            };
            let is_double = same.iter().any(|one| {
                one.worker != later.worker
                    && sim.are_in_one_group(one.upstream, later.upstream)
                    && one.at <= later.at
                    && !std::ptr::eq(*one, &raw const record.attempts[number])
                    && one.runs_at(later.at)
                    && !is_over(one)
                    && self.waits_at(record, one, later.at, later.at.since(one.at))
                    // A worker that has waited for another one long enough asks for itself.
                    && !self.waits_at(record, one, one.at, self.deadline / 2)
            });
            // Of a harmful question no answer comes in time: those who wait for another worker ask for themselves, time and
            // again, while others begin to wait.
            if is_double && !waits_long && !is_harmful_somewhere(sim, &later.question) {
                let (what, at) = (
                    message::shown(&later.question),
                    crate::record::shown(later.at),
                );
                broken.push(format!("{what} is out twice at {at}, by two workers"));
            }
        }
    }

    /// Whether a query of the worker that made this attempt has waited for so long then.
    fn waits_at(&self, record: &Record, attempt: &Attempt, now: Moment, span: Duration) -> bool {
        let mut waits = self.waits_of(record, attempt);
        waits.any(|(given, till)| given + span <= now && till.is_none_or(|till| till > now))
    }

    /// Whether the question has waited for long then in the worker that made this attempt: since the first query for it,
    /// which may have given way since.
    fn has_waited_long(&self, record: &Record, attempt: &Attempt, now: Moment) -> bool {
        let waits: Vec<_> = self.waits_of(record, attempt).collect();
        let waits_at = |at: Moment| {
            let waits = waits.iter();
            waits.filter(move |(given, till)| *given <= at && till.is_none_or(|till| till > at))
        };
        let began = |at: Moment| waits_at(at).map(|(given, _)| *given).min();
        let first = began(now).and_then(began);
        first.is_some_and(|first| first + self.deadline / 2 <= now)
    }

    /// From when till when each query for an attempt's question waited in its worker.
    fn waits_of<'r>(
        &self,
        record: &'r Record,
        attempt: &'r Attempt,
    ) -> impl Iterator<Item = (Moment, Option<Moment>)> {
        let all = self.past.queries(record, &attempt.question);
        let same = all.filter(|query| {
            query.worker == attempt.worker
                && variant(query) == attempt.variant
                && message::folded(message::question(&query.message)) == attempt.question
        });
        same.filter_map(|query| {
            let response = query.response.map(|place| record.responses[place].at);
            Some((query.given?, response))
        })
    }
}
