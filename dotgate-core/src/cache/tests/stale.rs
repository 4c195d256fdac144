//! What is served past its life (RFC 8767).

use super::*;

fn stale(age: u32, ask: bool) -> Found {
    Found::Stale { age, ask }
}

#[test]
fn stale_data_is_served_up_to_its_bound_and_no_longer() {
    let mut lab = Lab::new(1 << 20);
    lab.put(WWW, A, 10, b"answer");
    lab.pass(10);
    assert_eq!(lab.look(WWW, A), stale(10, true));
    assert_eq!(lab.out, b"answer");
    lab.pass(999);
    assert_eq!(lab.look(WWW, A), stale(1_009, true));
    lab.pass(1);
    assert_eq!(lab.look(WWW, A), Found::Miss);
}

#[test]
fn a_failed_refresh_is_not_retried_for_thirty_seconds() {
    let mut lab = Lab::new(1 << 20);
    lab.put(WWW, A, 10, b"answer");
    lab.pass(10);
    lab.fail(WWW, A);
    assert_eq!(lab.look(WWW, A), stale(10, false));
    assert_eq!(lab.out, b"answer");
    lab.pass(29);
    assert_eq!(lab.look(WWW, A), stale(39, false));
    lab.pass(1);
    assert_eq!(lab.look(WWW, A), stale(40, true));
    lab.fail(WWW, A);
    assert_eq!(lab.look(WWW, A), stale(40, false));
    lab.terms.generation += 1;
    assert_eq!(
        lab.look(WWW, A),
        stale(40, true),
        "an upstream has recovered"
    );
}

#[test]
fn no_number_of_failed_refreshes_makes_data_outlive_its_bound() {
    let mut lab = Lab::new(1 << 20);
    lab.put(WWW, A, 10, b"answer");
    for _ in 0..1_009 {
        lab.pass(1);
        assert_ne!(lab.look(WWW, A), Found::Miss);
        lab.fail(WWW, A);
    }
    lab.pass(1);
    assert_eq!(lab.look(WWW, A), Found::Miss);
    lab.fail(WWW, A);
    assert_eq!(lab.look(WWW, A), Found::Failed);
}

#[test]
fn fresh_nxdomain_comes_before_stale_data_and_stale_data_never_after_it() {
    let mut lab = Lab::new(1 << 20);
    lab.put(WWW, AAAA, 10, b"answer");
    lab.pass(10);
    assert_eq!(lab.look(WWW, AAAA), stale(10, true));
    lab.put_as(WWW, A, Scope::AllTypes, 20, b"nxdomain");
    assert_eq!(lab.look(WWW, AAAA), fresh(0));
    assert_eq!(lab.out, b"nxdomain");
    lab.pass(20);
    assert_eq!(lab.look(WWW, AAAA), stale(20, true));
    assert_eq!(lab.out, b"nxdomain");
}

#[test]
fn a_failed_refresh_of_nxdomain_is_noted_with_it() {
    let mut lab = Lab::new(1 << 20);
    lab.put_as(WWW, A, Scope::AllTypes, 20, b"nxdomain");
    lab.pass(20);
    lab.fail(WWW, TXT);
    assert_eq!(lab.look(WWW, TXT), stale(20, false));
    assert_eq!(lab.cache.usage().entries, 1);
}

#[test]
fn a_new_answer_has_a_new_ttl() {
    let mut lab = Lab::new(1 << 20);
    lab.put(WWW, A, 10, b"old");
    lab.pass(10);
    lab.fail(WWW, A);
    lab.put(WWW, A, 10, b"new");
    assert_eq!(lab.look(WWW, A), fresh(0));
    assert_eq!(lab.out, b"new");
    lab.pass(10);
    assert_eq!(lab.look(WWW, A), stale(10, true));
}
