//! What is remembered of failures (RFC 9520).

use super::*;

#[test]
fn a_failure_is_cached_for_a_second_and_twice_as_long_with_each_in_a_row_up_to_the_setting() {
    let mut lab = Lab::new(1 << 20);
    for hold in [1, 2, 4, 8, 16, 30, 30] {
        lab.fail(WWW, A);
        lab.fail(WWW, A);
        lab.now = lab.now + (Duration::from_secs(hold) - Duration::from_nanos(1));
        assert_eq!(lab.look(WWW, A), Found::Failed, "{hold} s");
        assert_eq!(lab.out, b"failure");
        lab.now = lab.now + Duration::from_nanos(1);
        assert_eq!(lab.look(WWW, A), Found::Miss, "{hold} s");
    }
    lab.pass(30);
    lab.fail(WWW, A);
    lab.pass(1);
    assert_eq!(lab.look(WWW, A), Found::Miss, "the row had ended");
}

#[test]
fn an_answer_ends_the_row() {
    let mut lab = Lab::new(1 << 20);
    lab.fail(WWW, A);
    lab.pass(1);
    lab.put(WWW, A, 1, b"answer");
    assert_eq!(lab.look(WWW, A), fresh(0));
    lab.terms.stale_max = Duration::ZERO;
    lab.pass(1);
    assert_eq!(lab.look(WWW, A), Found::Miss);
    lab.fail(WWW, A);
    assert_eq!(lab.look(WWW, A), Found::Failed);
    lab.pass(1);
    assert_eq!(lab.look(WWW, A), Found::Miss);
}

#[test]
fn a_recovery_voids_failures() {
    let mut lab = Lab::new(1 << 20);
    lab.fail(WWW, A);
    lab.pass(1);
    lab.fail(WWW, A);
    lab.terms.generation += 1;
    assert_eq!(lab.look(WWW, A), Found::Miss);
    lab.fail(WWW, A);
    assert_eq!(lab.look(WWW, A), Found::Failed);
    lab.pass(1);
    assert_eq!(lab.look(WWW, A), Found::Miss, "the first of a new row");
}

#[test]
fn a_failure_never_replaces_data_that_can_be_served() {
    let mut lab = Lab::new(1 << 20);
    lab.put(WWW, A, 10, b"answer");
    lab.look(WWW, A);
    lab.fail(WWW, A);
    assert_eq!(lab.look(WWW, A), fresh(0));
    assert_eq!(lab.out, b"answer");
    lab.put_as(MAIL, A, Scope::AllTypes, 10, b"nxdomain");
    lab.fail(MAIL, TXT);
    assert_eq!(lab.look(MAIL, TXT), fresh(0));
    assert_eq!(lab.out, b"nxdomain");
}

#[test]
fn a_failure_does_not_hide_what_is_learnt_after_it() {
    let mut lab = Lab::new(1 << 20);
    lab.fail(WWW, TXT);
    lab.put_as(WWW, A, Scope::AllTypes, 10, b"nxdomain");
    assert_eq!(lab.look(WWW, TXT), fresh(0));
    assert_eq!(lab.out, b"nxdomain");
}

#[test]
fn failures_are_not_cached_where_the_setting_is_zero() {
    let mut lab = Lab::new(1 << 20);
    let question = question(WWW, A);
    let key = lab.cache.key(&question, RouteId::DEFAULT, false, false);
    lab.cache
        .insert_failure(lab.now, &key, &question, 1, 0, b"failure");
    assert_eq!(lab.look(WWW, A), Found::Miss);
}
