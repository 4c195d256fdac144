//! Faults of upstreams in a random world, and what a sound one is like.

use std::time::Duration;

use dotgate_core::{ConnectFault, SessionEnd, TlsFault};

use crate::random::{Random, Span};
use crate::script::{Data, Invalid, Opening, Place, Reaction, Rule, Script, Segments};
use crate::simulator::Simulator;
use crate::upstream::{Death, State};

use super::harm;

/// A fault of an upstream until it is repaired.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// It reacts like this to so many of a thousand queries.
    Reacts(u64, Reaction),
    /// Those who connect meet this; present connections continue.
    Opens(Opening),
    /// The same, after it has died.
    Rises(Death, Opening),
    /// It dies.
    Dies(Death),
    /// Present connections become half-open.
    Swallows,
    /// Its process is stopped.
    Freezes,
    /// Packets are dropped.
    IsCutOff,
    /// It thinks so long.
    AnswersSlowly(Span),
    /// Handshakes take so long.
    OpensSlowly(Span),
}

/// The upstreams with faults: most often one, so that others are sound throughout.
pub(super) fn victims(random: &mut Random, upstreams: usize) -> Vec<usize> {
    let all: Vec<usize> = (0..upstreams).collect();
    match random.below(10) {
        0 => Vec::new(),
        1 | 2 => all,
        3 | 4 => all.into_iter().filter(|_| random.happens(500)).collect(),
        // The first one is the one that is asked.
        5..=7 => vec![0],
        _ => vec![random.index(upstreams)],
    }
}

/// A fault of one upstream, with its start and end.
pub(super) fn episodes(
    random: &mut Random,
    span: Duration,
    has_harm: bool,
) -> Vec<(Duration, Duration, Fault)> {
    let millis = span.as_millis() as u64;
    let mut episodes = Vec::new();
    let mut from = match random.happens(200) {
        true => 0,
        false => random.below(millis / 2),
    };
    for _ in 0..random.between(1, 4) {
        let longest = random.pick([200, 3_000, millis]);
        let till = from + random.between(20, longest);
        let fault = fault(random, has_harm);
        episodes.push((
            Duration::from_millis(from),
            Duration::from_millis(till),
            fault,
        ));
        from = till + random.between(1, millis / 3);
        if from > millis {
            break;
        }
    }
    episodes
}

fn fault(random: &mut Random, has_harm: bool) -> Fault {
    if has_harm && random.happens(200) {
        return Fault::Reacts(random.pick([60, 300, 1_000]), harm::bad_reaction(random));
    }
    match random.below(16) {
        0..=6 => Fault::Reacts(random.pick([60, 300, 1_000]), bad_reaction(random)),
        7 => Fault::Opens(bad_opening(random)),
        8 => Fault::Rises(death(random), bad_opening(random)),
        9 | 10 => Fault::Dies(death(random)),
        11 => Fault::Swallows,
        12 => Fault::Freezes,
        13 => Fault::IsCutOff,
        14 => Fault::AnswersSlowly(random.pick([
            Span::millis(100, 600),
            Span::millis(500, 2_000),
            Span::millis(1_000, 6_000),
        ])),
        _ => Fault::OpensSlowly(random.pick([
            Span::millis(200, 900),
            Span::millis(700, 2_000),
            Span::millis(2_000, 6_000),
        ])),
    }
}

fn death(random: &mut Random) -> Death {
    random.pick([Death::Fin, Death::Reset, Death::Unnoticed])
}

fn bad_opening(random: &mut Random) -> Opening {
    match random.below(8) {
        0 | 1 => Opening::Fails(SessionEnd::Connect(connect_fault(random))),
        2..=4 => Opening::Fails(SessionEnd::Tls(random.pick(TlsFault::ALL))),
        5 => random.pick([
            Opening::Fails(SessionEnd::Closed),
            Opening::Fails(SessionEnd::Reset),
        ]),
        6 => Opening::FailsAtOnce(connect_fault(random)),
        _ => random.pick([Opening::AcceptsAndSendsNothing, Opening::Vanishes]),
    }
}

/// A system without descriptors has none for any upstream, so that is no fault of one.
fn connect_fault(random: &mut Random) -> ConnectFault {
    random.pick([
        ConnectFault::NoAddress,
        ConnectFault::Other,
        ConnectFault::Refused,
        ConnectFault::TimedOut,
        ConnectFault::Unreachable,
    ])
}

fn bad_reaction(random: &mut Random) -> Reaction {
    let later = Duration::from_millis(random.between(1, 2_500));
    let place = match random.below(3) {
        0 => Place::Before,
        1 => Place::Within(random.between(1, 999) as u16),
        _ => Place::After,
    };
    match random.below(16) {
        0 => Reaction::AnswerAfter(later * 2),
        1 => Reaction::Drip(
            random
                .pick([Span::millis(30, 30), Span::millis(1, 90)])
                .most,
        ),
        2 => Reaction::Twice(later),
        3 | 4 => Reaction::Never,
        5..=7 => Reaction::Error {
            rcode: random.pick([1, 2, 2, 2, 4, 5, 9]),
            ede: random.pick([None, None, Some(22), Some(23), Some(6), Some(15)]),
            has_question: random.happens(800),
            after: Duration::ZERO,
        },
        8 => Reaction::KnowsNoEdns,
        9 => random.pick([Reaction::Truncated, Reaction::TruncatedOverUdp]),
        10..=12 => {
            let invalid = random.pick([
                Invalid::WrongIds(1),
                Invalid::WrongQuestion,
                Invalid::QueryBack,
                Invalid::Garbage(0),
                Invalid::Garbage(7),
                Invalid::Garbage(400),
                Invalid::Half,
                Invalid::Flood(30),
                Invalid::Flood(120),
            ]);
            Reaction::Invalid(
                invalid,
                random.pick([None, Some(Duration::ZERO), Some(later)]),
            )
        }
        13 | 14 => Reaction::Close(place),
        _ => Reaction::Reset(place),
    }
}

/// The script of an upstream with which nothing is wrong. It may be some way off, close idle connections, and
/// say what RFC 7828 lets it say.
pub(super) fn sound_script(random: &mut Random) -> Script {
    let most = random.pick([1, 5, 20]);
    let mut rules = Vec::new();
    if random.happens(200) {
        let tenths = random.pick([0, 1, 20, 300, u16::MAX]);
        rules.push(Rule::sometimes(100, Reaction::AnswerWithKeepalive(tenths)));
    }
    if random.happens(100) {
        rules.push(Rule::sometimes(300, Reaction::AnswerWithoutOpt));
    }
    let idle_close = random.happens(300).then(|| {
        let millis = random.pick([150, 1_000, 3_000, 7_900]);
        Duration::from_millis(millis)
    });
    Script {
        opening: Opening::Accepts,
        addresses: Vec::new(),
        connect_time: Span::millis(0, most),
        handshake_time: Span::millis(0, most * 2),
        latency: Span {
            least: Duration::from_micros(50),
            most: Duration::from_millis(most),
        },
        answer_time: random.pick([
            Span::exactly(Duration::ZERO),
            Span::millis(0, 10),
            Span::millis(0, 60),
        ]),
        segments: random.pick([
            Segments::Whole,
            Segments::Whole,
            Segments::Few,
            Segments::Bytes,
        ]),
        rules,
        otherwise: Reaction::Answer,
        idle_close,
        answer_bound: None,
        is_serial: false,
        data: Data::Lasting(0),
    }
}

pub(super) fn make_unhealthy(
    sim: &mut Simulator,
    random: &mut Random,
    upstream: usize,
    fault: Fault,
) {
    let mut script = sim.script(upstream).clone();
    match fault {
        Fault::Reacts(per_mille, reaction) => {
            script.rules.insert(0, Rule::sometimes(per_mille, reaction));
        }
        Fault::Opens(opening) => script.opening = opening,
        Fault::Rises(death, opening) => {
            sim.kill(upstream, death);
            script.opening = opening;
        }
        Fault::Dies(death) => return sim.kill(upstream, death),
        Fault::Swallows => return sim.swallow(upstream),
        Fault::Freezes => return sim.set_state(upstream, State::Frozen),
        Fault::IsCutOff => return sim.set_state(upstream, State::CutOff),
        Fault::AnswersSlowly(span) => script.answer_time = span,
        Fault::OpensSlowly(span) => {
            let connects_slowly = random.happens(500);
            match connects_slowly {
                true => script.connect_time = span,
                false => script.handshake_time = span,
            }
        }
    }
    sim.direct(upstream, script);
}

pub(super) fn cure(sim: &mut Simulator, random: &mut Random, upstream: usize) {
    let script = harm::retain(sim.script(upstream), sound_script(random));
    sim.direct(upstream, script);
    sim.set_state(upstream, State::Running);
}
