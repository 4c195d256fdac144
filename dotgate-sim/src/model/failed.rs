//! Which failures have a reason: no sound upstream, attempts that nobody could know to be futile, or no room.

use std::time::Duration;

use dotgate_core::{Count, Moment, limits};

use crate::message;
use crate::record::{Attempt, BEGINNING, ClientQuery, ClientResponse};
use crate::simulator::Simulator;

use super::cached::variant;
use super::{Model, is_harmful_somewhere};

impl Model {
    /// A failure needs a reason.
    pub(super) fn judge_failure(
        &self,
        sim: &Simulator,
        query: &ClientQuery,
        response: &ClientResponse,
    ) -> Result<(), String> {
        let record = sim.record();
        let seen = &response.seen;
        let given = query.given.unwrap_or(BEGINNING);
        let elapsed = response.at.since(given);
        let question = message::folded(&seen.question);
        // Another worker may have asked for this one.
        let follows = sim.count(query.worker, Count::QueriesFollowing) > 0;
        let all = self.past.attempts(record, &question);
        let attempts: Vec<&Attempt> = all
            .filter(|attempt| attempt.question == question && !attempt.is_probe)
            .filter(|attempt| attempt.variant == variant(query))
            .filter(|attempt| follows || attempt.worker == query.worker)
            .collect();
        // What its exchange knew when it began to wait for it counts, however old it is, but is no excuse for a loss.
        let began = self.exchange_began(sim, query, given, follows);
        let is_recent = |attempt: &&Attempt| attempt.at + self.deadline >= given;
        let is_known = |attempt: &&Attempt| is_recent(attempt) || attempt.at >= began;
        let (mut known, mut recent) = (attempts.clone(), attempts);
        known.retain(is_known);
        recent.retain(is_recent);
        let answers = || known.iter().filter_map(|attempt| attempt.answered);
        if answers().any(|answered| answered.stands()) {
            return Ok(());
        }
        // A harmful question that is asked again and again is one for as long as someone waits, with what was noted first.
        let is_harmful = is_harmful_somewhere(sim, &question);
        if seen.rcode == 5 && !is_harmful && !answers().any(|answered| answered.rcode == 5) {
            return Err("nobody refused it".to_owned());
        }
        if self.was_full(sim, query, elapsed) {
            return Ok(());
        }
        if was_harmful(sim, &question, variant(query), response.at) {
            return Ok(());
        }
        self.judge_loss(sim, &question, &recent, given)?;
        if elapsed < self.deadline {
            judge_timeouts(sim, &known)
                .map_err(|text| format!("given up after {elapsed:?}: {text}"))?;
        }
        Ok(())
    }

    /// When the first of an unbroken chain of queries came that ends with this one: each came while another one of the same
    /// waited. They are one exchange.
    fn exchange_began(
        &self,
        sim: &Simulator,
        query: &ClientQuery,
        given: Moment,
        follows: bool,
    ) -> Moment {
        let record = sim.record();
        let question = message::folded(message::question(&query.message));
        let same = self.past.queries(record, &question).filter(|other| {
            (follows || other.worker == query.worker)
                && variant(other) == variant(query)
                && message::folded(message::question(&other.message)) == question
        });
        let mut waits: Vec<(Moment, Option<Moment>)> = same
            .filter_map(|other| {
                let till = other.response.map(|place| record.responses[place].at);
                Some((other.given?, till))
            })
            .collect();
        waits.sort_unstable();
        waits.iter().rev().fold(given, |began, (from, till)| {
            match *from < began && till.is_none_or(|till| till >= began) {
                true => *from,
                false => began,
            }
        })
    }

    /// Whether the query may have been turned away for want of room.
    pub(super) fn was_full(&self, sim: &Simulator, query: &ClientQuery, elapsed: Duration) -> bool {
        let all = sim.record().queries.iter();
        let together = all.filter(|other| other.given == query.given);
        let is_at_once = elapsed.is_zero() || self.has_queued(query);
        let was_turned_away =
            is_at_once && query.in_flight_before + together.count() > self.room.queries;
        was_turned_away || self.has_given_way(sim, query, elapsed)
    }

    /// Whether the query may have given way to one that came when it was answered and found every place taken.
    fn has_given_way(&self, sim: &Simulator, query: &ClientQuery, elapsed: Duration) -> bool {
        let Some(given) = query.given.filter(|_| elapsed >= limits::GIVE_WAY_AFTER) else {
            return false;
        };
        let ended = given + elapsed;
        let all = sim.record().queries.iter();
        let newcomers: Vec<&ClientQuery> = all
            .filter(|other| other.given == Some(ended) && other.worker == query.worker)
            .collect();
        let found = newcomers.iter().map(|other| other.in_flight_before).max();
        found.is_some_and(|found| found + newcomers.len() > self.room.places)
    }

    /// A failure with a sound upstream needs attempts that were futile.
    fn judge_loss(
        &self,
        sim: &Simulator,
        question: &[u8],
        attempts: &[&Attempt],
        given: Moment,
    ) -> Result<(), String> {
        let was_sound = |upstream| self.was_sound_for(sim, question, upstream, given);
        let sound = (0..sim.upstreams()).find(|upstream| was_sound(*upstream));
        let Some(sound) = sound else {
            return Ok(());
        };
        let is_fruitful = |attempt: &Attempt| {
            // That a sound upstream ended the connection, for another question or behind its last answer, excuses nothing.
            attempt.is_good() || (was_sound(attempt.upstream) && !sim.is_cut(attempt.connection))
        };
        let futile = attempts.iter().filter(|a| !is_fruitful(a)).count();
        if futile >= 3 || (futile == 2 && self.count_unhealthy(sim, question, given) >= 2) {
            return Ok(());
        }
        Err(format!("u{sound} was sound, {futile} attempts were futile"))
    }
}

/// Whether the question may be in quarantine: it was alone on connections that ended, as often as it takes, and so of
/// late that it has not left. Each of them renews its time.
fn was_harmful(sim: &Simulator, question: &[u8], variant: (bool, bool), at: Moment) -> bool {
    let all = &sim.record().attempts;
    let is_alone = |attempt: &Attempt| {
        let mut same = all
            .iter()
            .filter(|other| other.connection == attempt.connection);
        same.all(|other| other.is_probe || std::ptr::eq(other, attempt))
    };
    let of_it = all.iter().filter(|attempt| {
        attempt.question == question && attempt.variant == variant && is_alone(attempt)
    });
    let mut lost: Vec<Moment> = of_it.filter_map(|attempt| attempt.lost).collect();
    lost.retain(|lost| *lost <= at);
    lost.sort_unstable();
    let mut later = at;
    let renewed = lost.iter().rev().take_while(|lost| {
        let is_in_time = later.since(**lost) <= limits::QUARANTINE_FOR;
        later = **lost;
        is_in_time
    });
    renewed.count() >= usize::from(limits::HARMFUL_STRIKES)
}

/// A failure before its deadline needs a reason.
fn judge_timeouts(sim: &Simulator, attempts: &[&Attempt]) -> Result<(), String> {
    let all = sim.record().attempts.iter();
    let seen = all.filter(|attempt| !attempt.is_probe).count();
    // An attempt whose session ends in the turn that made it is never seen.
    let made: u64 = (0..sim.workers())
        .map(|worker| sim.count(worker, Count::Attempts))
        .sum();
    let some_are_unseen = made > seen as u64;
    if attempts.len() >= usize::from(limits::ATTEMPTS) || some_are_unseen {
        return Ok(());
    }
    let is_hopeless = |upstream: &usize| {
        let known = &sim.record().upstreams[*upstream];
        let fresh = match known.is_refusing {
            true => limits::REFUSAL_FRESH,
            false => limits::OUTAGE_FRESH,
        };
        let is_old = known
            .troubled_since
            .is_some_and(|since| sim.now().since(since) >= fresh);
        let of_it = |attempt: &&&Attempt| attempt.upstream == *upstream;
        let has_erred = attempts.iter().filter(of_it).any(|a| a.has_erred());
        // A reload that gives the route back configures its upstreams as new ones: what they showed before does not count.
        let back = sim.rerouted_last();
        let has_responded = |since| {
            let of_it = sim.record().attempts.iter();
            let mut of_it = of_it.filter(|attempt| attempt.upstream == *upstream);
            of_it.any(|attempt| attempt.answered.is_some_and(|it| it.at >= since))
        };
        let was_never_reached =
            known.responses == 0 || back.is_some_and(|back| !has_responded(back));
        is_old || has_erred || known.is_lasting || was_never_reached
    };
    match (0..sim.upstreams()).find(|upstream| !is_hopeless(upstream)) {
        Some(upstream) => Err(format!("u{upstream} may be well again")),
        None => Ok(()),
    }
}
