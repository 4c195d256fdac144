//! Which upstream is asked first, in each strategy.

use super::lab::{Lab, MS, SECOND, id, settings};
use crate::counters::labels::{AttemptKind, Strategy};
use crate::limits;
use crate::settings::Settings;

fn with_strategy(upstreams: usize, strategy: Strategy) -> Settings {
    let mut settings = settings(upstreams);
    settings.groups[0].strategy = strategy;
    settings
}

fn open_session(lab: &mut Lab, upstream: usize) {
    lab.engine.open_first_session(lab.now, id(upstream));
    lab.settle();
    lab.open(upstream);
}

/// With sessions to all upstreams.
fn opened(upstreams: usize, strategy: Strategy) -> Lab {
    let mut lab = Lab::with(with_strategy(upstreams, strategy));
    for upstream in 0..upstreams {
        open_session(&mut lab, upstream);
    }
    lab
}

/// Asks, and has each upstream that is asked answer after its time in milliseconds. Returns which was asked first.
fn ask(lab: &mut Lab, name: &str, times: [u32; 3]) -> usize {
    let firsts = |lab: &Lab| [0, 1, 2].map(|upstream| sent(lab, upstream, AttemptKind::First));
    let before = firsts(lab);
    lab.ask(name);
    let first = firsts(lab)
        .iter()
        .zip(before)
        .position(|(now, before)| *now > before);
    let mut asked = std::mem::take(&mut lab.forwarded);
    asked.sort_by_key(|query| times[query.upstream]);
    let mut passed = 0;
    for query in asked {
        let time = times[query.upstream];
        lab.pass(MS * (time - passed));
        passed = time;
        lab.answer(&query);
    }
    first.unwrap()
}

fn sent(lab: &Lab, upstream: usize, kind: AttemptKind) -> u64 {
    let counters = lab.engine.counters().upstream(id(upstream)).unwrap();
    counters.attempts(kind)
}

fn explored(lab: &Lab, upstream: usize) -> u64 {
    sent(lab, upstream, AttemptKind::Exploration)
}

#[test]
fn in_turns_a_question_does_not_wait_for_a_session() {
    let mut lab = Lab::with(with_strategy(3, Strategy::RoundRobin));
    open_session(&mut lab, 1);
    lab.ask("a.example");
    assert_eq!(
        lab.next_forwarded().upstream,
        1,
        "the only one with a session"
    );
    let opening: Vec<usize> = lab.openings.iter().map(|it| it.upstream).collect();
    assert_eq!(opening, [0], "it was its turn");
}

#[test]
fn where_names_are_sharded_a_question_waits_for_its_own_operator() {
    let mut all = opened(3, Strategy::Shard);
    let own = ask(&mut all, "www.shop.example", [1; 3]);
    assert_eq!(ask(&mut all, "img.shop.example", [1; 3]), own);
    let mut lab = Lab::with(with_strategy(3, Strategy::Shard));
    open_session(&mut lab, (own + 1) % 3);
    lab.ask("www.shop.example");
    assert!(lab.forwarded.is_empty());
    lab.open(own);
    assert_eq!(lab.next_forwarded().upstream, own);
}

#[test]
fn the_fastest_is_asked_and_the_others_are_measured_by_copies() {
    let mut lab = opened(3, Strategy::Fastest);
    let times = [40, 10, 90];
    for number in 0..3 * limits::EXPLORE_UNKNOWN_EVERY {
        ask(&mut lab, &format!("first{number}.example"), times);
    }
    for number in 0..3 * limits::EXPLORE_EVERY {
        let asked = ask(&mut lab, &format!("then{number}.example"), times);
        assert_eq!(asked, 1, "question {number}");
    }
    let copies = [0, 1, 2].map(|upstream| explored(&lab, upstream));
    assert!(copies.iter().all(|count| *count >= 1), "{copies:?}");
    assert!((4..=6).contains(&copies.iter().sum::<u64>()), "{copies:?}");
}

#[test]
fn those_nearly_as_fast_share_the_questions() {
    let mut lab = opened(3, Strategy::Fastest);
    let mut asked = [0; 3];
    for number in 0..300 {
        let name = format!("n{number}.example");
        asked[ask(&mut lab, &name, [11, 10, 90])] += 1;
    }
    assert!(asked[0] > 80 && asked[1] > 80, "{asked:?}");
    assert!(asked[2] < 5, "{asked:?}");
}

#[test]
fn a_copy_is_no_evidence_against_the_upstream_that_leaves_it_unanswered() {
    let mut lab = opened(2, Strategy::Fastest);
    for number in 0..limits::EXPLORE_UNKNOWN_EVERY {
        lab.ask(&format!("n{number}.example"));
        for query in std::mem::take(&mut lab.forwarded) {
            if query.upstream == 0 {
                lab.answer(&query);
            }
        }
    }
    assert_eq!(explored(&lab, 1), 1);
    // The session is tested by a probe, as with any question that is not answered.
    lab.pass(limits::NO_RESPONSE_ALONE);
    let probe = lab.next_forwarded();
    assert_eq!(probe.upstream, 1);
    lab.answer(&probe);
    lab.pass(5 * SECOND);
    assert!(lab.events.is_empty(), "{:?}", lab.events);
    assert_eq!(lab.engine.load().questions, 0);
}
