//! Harmful questions of a random world, and upstreams that give few answers per connection or serve one query at a time.
//!
//! A harmful question makes an upstream end, stall or flood the connection that carries it, or go without an answer;
//! the upstream is sound for all others. It stays harmful throughout the world, whatever else happens.

use std::time::Duration;

use crate::random::{Random, Span};
use crate::script::{AnswerBound, Invalid, Place, Reaction, Rule, Script, Segments};

use super::load::Act;

/// Names of harmful questions begin with this and a number.
const NAME: &str = "harm";

/// Whether the world of this seed has harmful questions: three of eight, some with a cache and some without. The
/// choices of the others are as they were before there were any.
pub(super) fn is_in(seed: u64) -> bool {
    matches!(seed % 8, 2 | 6 | 7)
}

/// The name of a harmful question.
pub(super) fn name(number: usize) -> String {
    format!("{NAME}{number}.example")
}

/// Makes a few names harmful at some or all upstreams, each of which does the same or another thing. Returns how many.
pub(super) fn spread(random: &mut Random, scripts: &mut [Script]) -> usize {
    let count = random.pick([0, 1, 1, 1, 2, 4]);
    for number in 0..count {
        let mut reaction = harm(random);
        let is_everywhere = random.happens(500);
        let is_same = random.happens(700);
        let per_mille = random.pick([1_000, 1_000, 1_000, 500]);
        let only = random.index(scripts.len());
        for (upstream, script) in scripts.iter_mut().enumerate() {
            if !is_everywhere && upstream != only && random.happens(700) {
                continue;
            }
            if !is_same {
                reaction = harm(random);
            }
            let rule = Rule::of(&name(number), reaction);
            script.rules.insert(0, Rule { per_mille, ..rule });
        }
    }
    count
}

/// What a harmful question makes an upstream do.
fn harm(random: &mut Random) -> Reaction {
    let place = match random.below(4) {
        0 | 1 => Place::Before,
        2 => Place::Within(random.between(1, 999) as u16),
        _ => Place::After,
    };
    match random.below(10) {
        0..=2 => Reaction::Close(place),
        3 | 4 => Reaction::Reset(place),
        5 | 6 => Reaction::Stall,
        7 => Reaction::Never,
        8 => Reaction::Invalid(wrong_ids(random), None),
        _ => late_error(random),
    }
}

/// What a faulty upstream of such a world does beyond what those of other worlds do.
pub(super) fn bad_reaction(random: &mut Random) -> Reaction {
    match random.below(3) {
        0 => Reaction::Stall,
        1 => Reaction::Invalid(
            wrong_ids(random),
            random.pick([None, Some(Duration::ZERO), Some(Duration::from_secs(1))]),
        ),
        _ => late_error(random),
    }
}

fn wrong_ids(random: &mut Random) -> Invalid {
    Invalid::WrongIds(random.pick([300, 2_000, 5_000]))
}

fn late_error(random: &mut Random) -> Reaction {
    Reaction::Error {
        rcode: random.pick([2, 2, 5]),
        ede: None,
        has_question: true,
        after: Duration::from_millis(random.between(500, 4_000)),
    }
}

/// Some upstreams end a connection behind a number of answers, or serve one query of a connection at a time; they are
/// sound nevertheless.
pub(super) fn give_traits(random: &mut Random, script: &mut Script, lag: Span) {
    if random.happens(300) {
        script.answer_bound = Some(AnswerBound {
            answers: random.pick([1, 2, 5, 10, 100]),
            // A worker must come to read the last answer before the reset makes its system forget it.
            by_reset: random.happens(400) && lag.most < Duration::from_millis(1),
        });
    }
    script.is_serial = random.happens(200);
    fit_to_traits(script);
}

/// One that serves one query at a time answers fast, or it could not serve the busiest worlds. One that resets
/// connections behind their last answer sends this answer whole and in time.
fn fit_to_traits(script: &mut Script) {
    if script.is_serial {
        script.answer_time = Span::millis(0, 2);
    }
    if script.answer_bound.is_some_and(|bound| bound.by_reset) {
        script.segments = Segments::Whole;
        script.latency = Span::exactly(script.latency.most);
    }
}

/// The script of an upstream that is cured: it is sound, and has the harmful questions and traits of before.
pub(super) fn retain(before: &Script, sound: Script) -> Script {
    let by_name = before.rules.iter().filter(|rule| !rule.name.is_empty());
    let mut script = Script {
        rules: by_name.cloned().chain(sound.rules).collect(),
        data: before.data,
        answer_bound: before.answer_bound,
        is_serial: before.is_serial,
        ..sound
    };
    fit_to_traits(&mut script);
    script
}

/// When clients ask harmful questions: now and then, and again and again for a while.
pub(super) fn acts(
    random: &mut Random,
    span: Duration,
    workers: usize,
    harms: usize,
) -> Vec<(Duration, Act)> {
    let mut acts = Vec::new();
    if harms == 0 {
        return acts;
    }
    let micros = span.as_micros() as u64;
    for _ in 0..random.between(1, 6) {
        let at = Duration::from_micros(random.below(micros));
        let (worker, number) = (random.index(workers), random.index(harms));
        acts.push((at, Act::AskHarmful { worker, number }));
    }
    if random.happens(500) {
        let from = random.below(micros);
        let step = random.pick([2_000, 10_000, 100_000, 700_000]);
        let number = random.index(harms);
        for place in 0..random.between(10, 200) {
            let at = Duration::from_micros(from + place * step);
            let worker = random.index(workers);
            acts.push((at, Act::AskHarmful { worker, number }));
        }
    }
    acts.retain(|(at, _)| *at < span);
    acts
}
