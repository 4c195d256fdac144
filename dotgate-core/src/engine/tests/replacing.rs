//! Sessions that are replaced before they end.

use std::time::Duration;

use super::lab::{Lab, MS, SECOND, settings};
use crate::counters::Count;
use crate::failure::{ConnectFault, SessionEnd};
use crate::health::HealthState;
use crate::keys::SessionKey;
use crate::limits;

const AGE: Duration = Duration::from_secs(60);

const REFUSED: SessionEnd = SessionEnd::Connect(ConnectFault::Refused);

/// With a session that is in use, has reached its maximum age, and is to be replaced.
fn aged(upstreams: usize) -> (Lab, SessionKey) {
    let mut settings = settings(upstreams);
    settings.session_age_max = Some(AGE);
    let mut lab = Lab::with(settings).warmed_up();
    let old = lab.session_of_last_answer();
    let end = lab.now + AGE;
    while lab.openings.is_empty() && lab.now < end {
        lab.ask("busy.example");
        lab.answer_all();
        lab.pass(SECOND);
    }
    assert_eq!(lab.openings.len(), 1);
    (lab, old)
}

fn state(lab: &Lab, upstream: usize) -> HealthState {
    let upstream = &lab.settings.groups[0].upstreams[upstream];
    upstream.health.state()
}

#[test]
fn queries_go_to_the_old_session_until_the_new_one_is_open_and_then_it_drains() {
    let (mut lab, old) = aged(1);
    lab.ask("a.example");
    let last = lab.next_forwarded();
    assert_eq!(last.session, old, "none waits");
    let new = lab.open(0);
    lab.ask("b.example");
    assert_eq!(lab.next_forwarded().session, new);
    assert!(!lab.closed.contains(&old), "something is in flight");
    lab.answer(&last);
    lab.pass(Duration::ZERO);
    assert_eq!(lab.closed, [old]);
    assert!(lab.rcodes().iter().all(|rcode| *rcode == 0));
    assert_eq!(lab.count(Count::SessionsLost), 0);
}

#[test]
fn an_idle_session_is_not_replaced() {
    let mut settings = settings(1);
    settings.session_age_max = Some(5 * SECOND);
    let mut lab = Lab::with(settings).warmed_up();
    lab.pass(5 * SECOND);
    assert_eq!(lab.closed, [lab.session_of_last_answer()]);
    assert!(lab.openings.is_empty());
}

#[test]
fn a_failed_replacement_is_tried_again_later_and_is_no_evidence_while_the_old_session_lives() {
    let (mut lab, old) = aged(2);
    lab.fail_open(0, REFUSED);
    assert_eq!(state(&lab, 0), HealthState::Healthy);
    lab.ask("a.example");
    assert_eq!(lab.forwarded[0].session, old);
    let mut waited = Duration::ZERO;
    while lab.openings.is_empty() {
        lab.answer_all();
        lab.ask("b.example");
        lab.pass(100 * MS);
        waited += 100 * MS;
    }
    // The first try took no part of it.
    assert!(
        waited.abs_diff(limits::REPLACE_AGAIN_AFTER) <= SECOND,
        "{waited:?}"
    );
}

#[test]
fn a_failed_replacement_is_evidence_when_the_old_session_ends_right_after_it() {
    let (mut lab, old) = aged(2);
    lab.fail_open(0, REFUSED);
    lab.ask("a.example");
    lab.close(old);
    assert_eq!(state(&lab, 0), HealthState::Down);
    assert_eq!(lab.openings[0].upstream, 1, "and nobody waits for it");
}

#[test]
fn a_failed_replacement_long_ago_proves_nothing() {
    let (mut lab, old) = aged(2);
    lab.fail_open(0, REFUSED);
    lab.pass(limits::TRY_EVERY);
    lab.ask("a.example");
    lab.close(old);
    assert_eq!(state(&lab, 0), HealthState::Healthy);
}

#[test]
fn nobody_waits_for_a_replacement_that_takes_long_when_the_old_session_has_ended() {
    let (mut lab, old) = aged(1);
    lab.pass(limits::HANDSHAKE_HEDGE_AFTER);
    lab.close(old);
    lab.ask("a.example");
    assert_eq!(lab.openings.len(), 2);
}

/// With a session that has been idle for its limit, where questions come every ten seconds.
fn idle() -> (Lab, SessionKey) {
    let mut lab = Lab::opened(1);
    lab.pass(limits::SESSION_IDLE);
    assert!(lab.openings.is_empty(), "no pause is known");
    lab.pass(2 * SECOND);
    lab.ask("a.example");
    let session = lab.open(0);
    lab.answer_all();
    lab.pass(limits::SESSION_IDLE);
    assert_eq!(lab.openings.len(), 1);
    (lab, session)
}

#[test]
fn an_idle_session_is_open_until_the_next_one_is_where_a_question_is_expected() {
    let (mut lab, old) = idle();
    assert!(!lab.closed.contains(&old));
    let new = lab.open(0);
    lab.pass(Duration::ZERO);
    assert!(lab.closed.contains(&old));
    lab.pass(2 * SECOND);
    lab.ask("b.example");
    assert_eq!(lab.next_forwarded().session, new);
}

#[test]
fn a_session_that_was_opened_ahead_for_nothing_is_not_replaced() {
    let (mut lab, _) = idle();
    let new = lab.open(0);
    lab.pass(limits::SESSION_IDLE);
    assert!(lab.closed.contains(&new) && lab.openings.is_empty());
}

#[test]
fn an_idle_session_does_not_wait_for_long_for_the_next_one() {
    let (mut lab, old) = idle();
    lab.pass(limits::HANDSHAKE_HEDGE_AFTER);
    assert!(lab.closed.contains(&old));
    lab.ask("b.example");
    assert_eq!(
        lab.openings.len(),
        2,
        "nobody waits for one that takes long"
    );
}

#[test]
fn what_one_worker_learns_of_the_idle_timeout_holds_for_all() {
    let mut lab = Lab::opened(1);
    let mut second = Lab::sharing_with(&lab);
    lab.pass(4 * SECOND);
    lab.close(lab.session_of_last_answer());
    second.ask("a.example");
    let session = second.open(0);
    second.answer_all();
    second.pass(3_600 * MS);
    assert_eq!(second.closed, [session]);
}
