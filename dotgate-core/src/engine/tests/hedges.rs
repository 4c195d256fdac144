//! Copies of queries whose first attempt is late.

use super::lab::{ForwardedQuery, Lab, MS, SECOND, id, settings};
use crate::counters::labels::{AttemptKind, Hedging, Strategy};
use crate::limits;
use crate::settings::Settings;

const PERCENT: u8 = 20;

/// A response is later than this if all others took 10 ms, and less than twice this.
const LATE: u32 = 20;

fn hedging(upstreams: usize) -> Settings {
    Settings {
        hedge_percent: PERCENT,
        ..settings(upstreams)
    }
}

/// With a session to the first upstream, which has answered many queries in 10 ms each.
fn measured(settings: Settings) -> Lab {
    let mut lab = Lab::with(settings).warmed_up();
    for number in 0..100 {
        lab.ask(&format!("measured{number}.example"));
        lab.pass(10 * MS);
        lab.answer_all();
    }
    lab.responses.clear();
    lab
}

fn counted(lab: &Lab, upstream: usize) -> [u64; 5] {
    let counters = lab.engine.counters().upstream(id(upstream)).unwrap();
    let all = Hedging::ALL.iter().map(|what| counters.hedging(*what));
    all.collect::<Vec<_>>().try_into().unwrap()
}

/// Asks a name and waits until it is late. Returns the first attempt and the copy, for which a session is opened if need be.
fn ask_late(lab: &mut Lab, name: &str) -> [ForwardedQuery; 2] {
    lab.ask(name);
    lab.pass(2 * LATE * MS);
    lab.open_all();
    let copied = [lab.next_forwarded(), lab.next_forwarded()];
    assert!(lab.forwarded.is_empty());
    copied
}

#[test]
fn a_late_query_goes_to_another_upstream_and_its_client_has_the_first_response() {
    let mut lab = measured(hedging(2));
    lab.ask("a.example");
    lab.pass((LATE - 1) * MS);
    assert_eq!(lab.forwarded.len(), 1);
    lab.pass(LATE * MS);
    lab.open(1);
    let [first, copy] = [lab.next_forwarded(), lab.next_forwarded()];
    assert_eq!((first.upstream, copy.upstream), (0, 1));
    lab.answer(&copy);
    assert_eq!(lab.rcodes(), [0]);
    assert_eq!(counted(&lab, 0), [1, 1, 0, 0, 0]);
    // The late response does no harm, and the next copy has a session.
    lab.answer(&first);
    assert_eq!(lab.rcodes(), [0]);
    let [first, copy] = ask_late(&mut lab, "b.example");
    lab.answer(&first);
    lab.answer(&copy);
    assert_eq!(lab.rcodes(), [0, 0]);
    assert_eq!(counted(&lab, 0), [2, 1, 1, 0, 0]);
    assert_eq!(counted(&lab, 1), [0; 5]);
    lab.pass(2 * SECOND);
    lab.expect_idle();
}

#[test]
fn an_error_for_the_copy_does_not_end_the_wait_for_the_first() {
    let mut lab = measured(hedging(2));
    let [first, copy] = ask_late(&mut lab, "a.example");
    lab.answer_with_rcode(&copy, 2);
    assert!(lab.responses.is_empty());
    lab.answer(&first);
    assert_eq!(lab.rcodes(), [0]);
    assert_eq!(counted(&lab, 0), [1, 0, 1, 0, 0]);
}

#[test]
fn with_one_upstream_the_copy_has_a_session_of_its_own() {
    let mut lab = measured(hedging(1));
    let [first, copy] = ask_late(&mut lab, "a.example");
    assert_eq!((first.upstream, copy.upstream), (0, 0));
    assert_ne!(first.session, copy.session);
    lab.answer(&copy);
    assert_eq!(lab.rcodes(), [0]);
}

#[test]
fn with_shard_the_copy_stays_with_the_operator() {
    let mut settings = hedging(3);
    let group = &mut settings.groups[0];
    group.strategy = Strategy::Shard;
    for (place, operator) in ["one", "two", "one"].into_iter().enumerate() {
        group.upstreams[place].operator = operator.into();
    }
    let mut lab = Lab::with(settings);
    let operator = |upstream: usize| upstream % 2;
    let mut copied = [0; 2];
    for number in 0..400 {
        lab.ask(&format!("d{number}.example"));
        lab.open_all();
        let is_late = number >= 100 && number % 20 == 19;
        if is_late {
            lab.pass(2 * LATE * MS);
            lab.open_all();
        } else {
            lab.pass(10 * MS);
        }
        let asked = std::mem::take(&mut lab.forwarded);
        let first = asked[0].upstream;
        for query in asked {
            assert_eq!(operator(query.upstream), operator(first), "d{number}");
            lab.answer(&query);
        }
        copied[operator(first)] += u64::from(is_late);
    }
    assert!(copied.iter().all(|copies| *copies > 3), "{copied:?}");
    let sent = |upstream| counted(&lab, upstream)[0];
    assert_eq!(sent(1), copied[1], "on another session");
    assert_eq!(sent(0) + sent(2), copied[0], "to the other upstream");
}

#[test]
fn copies_end_with_the_budget() {
    let mut lab = measured(hedging(2));
    for number in 0..100 {
        lab.ask(&format!("late{number}.example"));
    }
    lab.pass(2 * LATE * MS);
    lab.open_all();
    // Of what 200 queries earned, so much was saved up.
    let counters = lab.engine.counters();
    let attempts = |upstream| {
        let counters = counters.upstream(id(upstream)).unwrap();
        counters.attempts(AttemptKind::Hedge)
    };
    let most = u64::from(limits::HEDGE_CREDIT);
    assert_eq!(attempts(0) + attempts(1), most);
    let [sent, won, lost, no_budget, slow] = counted(&lab, 0);
    assert_eq!((sent, won, lost, slow), (most, 0, 0, 0));
    assert!(no_budget > 0, "{no_budget}");
}

#[test]
fn names_that_are_slow_at_both_upstreams_are_not_copied_again() {
    let mut lab = measured(hedging(2));
    let [first, copy] = ask_late(&mut lab, "one.slow.example");
    lab.pass(300 * MS);
    lab.answer(&first);
    lab.answer(&copy);
    lab.ask("two.slow.example");
    lab.pass(2 * LATE * MS);
    lab.swallow_probes();
    assert_eq!(lab.forwarded.len(), 1);
    assert_eq!(counted(&lab, 0), [1, 0, 1, 0, 1]);
    lab.answer_all();
    lab.pass(limits::SLOW_DOMAIN_FOR);
    lab.ask("fast.example");
    lab.open_all();
    lab.answer_all();
    ask_late(&mut lab, "three.slow.example");
}

#[test]
fn without_a_budget_nothing_is_copied() {
    let mut lab = measured(hedging(2));
    let without = settings(2);
    lab.reconfigure(Settings {
        hedge_percent: 0,
        groups: lab.settings.groups.clone(),
        ..without
    });
    lab.ask("a.example");
    lab.pass(10 * LATE * MS);
    assert_eq!(lab.forwarded.len(), 1);
    assert_eq!(counted(&lab, 0), [0; 5]);
}
