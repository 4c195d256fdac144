//! Stale answers when many ask at once, when there is no room, and when an upstream has said something worse.

use std::time::Duration;

use dotgate_message::{Compose as _, query};

use super::cache::cache_settings;
use super::lab::{Lab, MS, SECOND, settings};
use crate::counters::Count;
use crate::limits;
use crate::settings::{CacheSettings, Settings};

/// A lab in which the answer for `a.example` is stale, and its upstream has a session again.
fn with_stale(settings: Settings) -> Lab {
    let mut lab = Lab::with_cache(settings, 1);
    lab.ask("a.example");
    lab.open(0);
    lab.answer_all();
    lab.pass(301 * SECOND);
    lab.ask("warm-up");
    lab.open(0);
    lab.answer_all();
    lab.responses.clear();
    lab
}

fn roomy(cache: CacheSettings) -> Settings {
    Settings {
        cache,
        queries_max: 10_000,
        queries_per_client_max: 10_000,
        ..settings(1)
    }
}

fn balance(lab: &Lab) -> (u64, u64) {
    let ended = [Count::Answered, Count::Failed, Count::AnsweredFromCache];
    let ended = ended.into_iter().map(|count| lab.count(count)).sum();
    (lab.count(Count::QueriesForwarded), ended)
}

#[test]
fn one_refresh_goes_on_for_all_who_were_given_the_same_stale_answer() {
    let mut lab = with_stale(roomy(cache_settings()));
    let clients = limits::REFRESHES + 100;
    for id in 0..clients {
        lab.send(&query(u16::try_from(id).unwrap(), "a.example"));
    }
    lab.pass(1_800 * MS);
    assert_eq!(lab.responses.len(), clients);
    assert_eq!(lab.engine.load().questions, 1, "it is refreshed");
    assert_eq!(lab.engine.exchanges.refreshes(), 1);
    lab.answer_all();
    lab.expect_idle();
    assert_eq!(balance(&lab).0, balance(&lab).1);
}

#[test]
fn without_a_client_timer_one_refresh_serves_all_clients_meanwhile() {
    let mut lab = with_stale(roomy(CacheSettings {
        stale_after: Duration::ZERO,
        ..cache_settings()
    }));
    let attempts = lab.count(Count::Attempts);
    for id in 0..=limits::REFRESHES {
        lab.send(&query(u16::try_from(id).unwrap(), "a.example"));
        lab.pass(MS);
    }
    assert_eq!(lab.responses.len(), limits::REFRESHES + 1);
    assert_eq!(lab.engine.exchanges.refreshes(), 1);
    // The first attempt is hedged, for want of a response.
    assert!(lab.count(Count::Attempts) - attempts <= 2);
    lab.pass(4 * SECOND);
    lab.expect_idle();
}

#[test]
fn who_would_be_turned_away_is_given_what_is_stale() {
    let mut lab = with_stale(Settings {
        queries_per_client_max: 1,
        ..roomy(cache_settings())
    });
    lab.ask("b.example");
    lab.ask("c.example");
    assert_eq!(lab.rcodes(), [2], "there is no room, and nothing is cached");
    lab.ask("a.example");
    assert_eq!(lab.rcodes(), [2, 0]);
    lab.answer_all();
    lab.ask("a.example");
    lab.answer_all();
    assert_eq!(lab.rcodes(), [2, 0, 0, 0]);
    lab.expect_idle();
}

/// A response with this RCODE and EDE.
fn error(query: &[u8], rcode: u8, ede: u8) -> Vec<u8> {
    let mut response = super::lab::answer(query, rcode);
    let length_at = response.len() - 1;
    response[length_at] = 6;
    response.extend_from_slice(&[0, 15, 0, 2, 0, ede]);
    response
}

#[test]
fn a_final_error_does_not_hide_stale_data_from_the_first_client() {
    let mut lab = with_stale(roomy(cache_settings()));
    lab.send(&query(1, "a.example").with_edns());
    let forwarded = lab.next_forwarded();
    lab.respond(forwarded.session, &error(&forwarded.message, 2, 6));
    lab.send(&query(1, "a.example").with_edns());
    assert_eq!(lab.rcodes(), [0, 0]);
    lab.expect_idle();
    assert_eq!(balance(&lab).0, balance(&lab).1);
}

#[test]
fn a_policy_error_removes_the_cached_answer_of_a_name() {
    let mut lab = with_stale(roomy(cache_settings()));
    lab.send(&query(1, "a.example").with_edns());
    let forwarded = lab.next_forwarded();
    lab.respond(forwarded.session, &error(&forwarded.message, 5, 15));
    lab.send(&query(1, "a.example").with_edns());
    assert_eq!(lab.rcodes(), [5, 5], "the second one from the cache");
    assert!(lab.forwarded.is_empty());
    lab.expect_idle();
}

#[test]
fn a_client_response_timer_beyond_the_deadline_is_not_set() {
    let mut lab = with_stale(roomy(CacheSettings {
        stale_after: 30 * SECOND,
        ..cache_settings()
    }));
    lab.ask("a.example");
    assert!(!lab.engine.exchanges.has_client_timers());
    lab.pass(4 * SECOND);
    assert_eq!(lab.rcodes(), [0], "the stale answer, at the deadline");
}
