//! Names with a route are asked at the upstreams of their group alone, whatever fails and whatever is reloaded.

use std::sync::Arc;

use dotgate_message::{Compose as _, query, wire_name};
use dotgate_wire::rcode;

use super::cache::cache_settings;
use super::lab::{Lab, MS, SECOND, settings};
use crate::counters::Count;
use crate::counters::labels::Outcome;
use crate::failure::{ConnectFault, SessionEnd, TlsFault};
use crate::limits;
use crate::routes::{RouteId, RouteTable};
use crate::settings::{GroupSettings, Settings};

const REFUSED: SessionEnd = SessionEnd::Connect(ConnectFault::Refused);

/// Upstream 0 is the default group's and upstream 1 that of `corp.example`, `home.arpa` and 10.0.0.0/8.
fn with_route() -> Settings {
    let mut settings = settings(2);
    let private = settings.groups[0].upstreams.pop().unwrap();
    settings.groups.push(GroupSettings::new(
        RouteId(1),
        "corp.example",
        vec![private],
    ));
    settings.routes = routes(&["corp.example", "home.arpa", "10.in-addr.arpa"]);
    settings
}

fn routes(suffixes: &[&str]) -> Arc<RouteTable> {
    let suffixes = suffixes.iter();
    Arc::new(RouteTable::new(
        suffixes.map(|name| (wire_name(name).into(), 1)),
    ))
}

/// The same without the route, as after a reload that removes it. Its upstream may be the default group's too.
fn without_route(lab: &Lab, is_shared: bool) -> Settings {
    let mut settings = lab.settings.clone();
    settings.generation += 1;
    let private = settings.groups.pop().unwrap();
    if is_shared {
        settings.groups[0].upstreams.extend(private.upstreams);
    }
    settings.routes = Arc::default();
    settings
}

fn upstreams_queried(lab: &Lab) -> Vec<usize> {
    let clients = lab
        .forwarded
        .iter()
        .filter(|forwarded| forwarded.message[12] != 0);
    clients.map(|forwarded| forwarded.upstream).collect()
}

fn holds(message: &[u8], text: &str) -> bool {
    message
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[test]
fn each_name_is_asked_at_the_upstream_of_its_route() {
    let mut lab = Lab::with(with_route());
    for name in [
        "www.corp.example",
        "WWW.Corp.Example",
        "nas.home.arpa",
        "1.0.0.10.in-addr.arpa",
    ] {
        lab.ask(name);
    }
    lab.open(1);
    assert_eq!(upstreams_queried(&lab), [1; 3], "two of them ask the same");
    lab.answer_all();
    for name in ["example", "mycorp.example", "www.example.org"] {
        lab.ask(name);
    }
    lab.open(0);
    assert_eq!(upstreams_queried(&lab), [0; 3]);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0; 7]);
    let counted = |group: usize| {
        lab.settings.groups[group]
            .counters
            .queries(Outcome::Answered)
    };
    assert_eq!((counted(0), counted(1)), (3, 4));
}

#[test]
fn a_name_of_special_use_is_answered_here_unless_its_own_route_says_otherwise() {
    let mut routed = with_route();
    routed.routes = routes(&["arpa", "local", "resolver.arpa"]);
    let mut lab = Lab::with(routed);
    // The route for all of arpa is shorter than the names that RFC 6303 has answered here.
    for name in [
        "1.0.0.10.in-addr.arpa",
        "nas.home.arpa",
        "x.resolver.arpa",
        "x.onion",
    ] {
        lab.ask(name);
    }
    assert_eq!(lab.count(Count::QueriesLocal), 4);
    lab.ask("printer.local");
    lab.ask("1.2.0.8.in-addr.arpa");
    lab.open(1);
    assert_eq!(upstreams_queried(&lab), [1; 2]);
}

#[test]
fn a_group_that_is_down_fails_its_names_and_no_others() {
    let mut lab = Lab::with(with_route());
    lab.send(&query(1, "www.corp.example").with_edns());
    lab.ask("www.example.org");
    lab.open(0);
    lab.answer_all();
    lab.fail_open(1, REFUSED);
    lab.pass(2 * SECOND);
    while let Some(position) = lab.openings.iter().position(|it| it.upstream == 1) {
        let upstream = lab.openings[position].upstream;
        lab.fail_open(upstream, REFUSED);
        lab.pass(limits::TRY_EVERY);
    }
    lab.pass(4 * SECOND);
    assert_eq!(lab.rcodes(), [0, 2]);
    let failed = lab.responses.last().unwrap();
    assert!(holds(failed, "connect: refused (up1, group corp.example)"));
    assert_eq!(upstreams_queried(&lab), [0_usize; 0]);
    assert_eq!(lab.settings.groups[1].counters.queries(Outcome::Failed), 1);
    // Nobody waits for the private server any more, so it is left alone whatever others ask.
    lab.pass(2 * limits::TRAFFIC_WITHIN);
    lab.openings.clear();
    for n in 0..20 {
        lab.ask(&format!("n{n}.example.org"));
        lab.pass(limits::TRY_EVERY);
    }
    assert!(lab.openings.iter().all(|opening| opening.upstream == 0));
}

#[test]
fn a_certificate_that_is_wrong_fails_its_group_at_once_while_the_other_one_waits() {
    let mut lab = Lab::with(with_route());
    lab.ask("www.corp.example");
    lab.ask("www.example.org");
    lab.fail_open(1, SessionEnd::Tls(TlsFault::IssuerUnknown));
    assert_eq!(
        lab.rcodes(),
        [2],
        "the other group's opening is no hope for it"
    );
    lab.open(0);
    assert_eq!(upstreams_queried(&lab), [0]);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [2, 0]);
}

#[test]
fn errors_of_a_group_are_not_asked_about_elsewhere() {
    let mut lab = Lab::with(with_route());
    lab.ask("www.corp.example");
    lab.open(1);
    let forwarded = lab.next_forwarded();
    lab.answer_with_rcode(&forwarded, rcode::SERVFAIL as u8);
    lab.pass(5 * SECOND);
    assert_eq!(lab.rcodes(), [2]);
    assert!(lab.forwarded.is_empty() && lab.openings.is_empty());
}

#[test]
fn what_a_failed_session_carried_is_isolated_within_each_group() {
    let mut both = with_route();
    // The private upstream serves all names too, and the public one none of the private names.
    let private = both.groups[1].upstreams[0].clone();
    both.groups[0].upstreams.insert(0, private);
    let mut lab = Lab::with(both);
    for n in 0..6 {
        lab.ask(&format!("n{n}.corp.example"));
        lab.ask(&format!("n{n}.example.org"));
    }
    let session = lab.open(1);
    assert_eq!(upstreams_queried(&lab), [1; 12], "they share the session");
    lab.close(session);
    for _ in 0..40 {
        lab.open_all();
        let private = |forwarded: &&super::lab::ForwardedQuery| holds(&forwarded.message, "corp");
        assert!(
            lab.forwarded
                .iter()
                .filter(private)
                .all(|forwarded| forwarded.upstream == 1)
        );
        lab.answer_all();
        lab.pass(MS);
    }
    assert_eq!(lab.rcodes(), [0; 12]);
    lab.expect_idle();
}

#[test]
fn a_query_in_flight_stays_with_its_group_when_a_reload_removes_its_route() {
    for is_shared in [false, true] {
        let mut lab = Lab::with(with_route());
        lab.send(&query(1, "lost.corp.example").with_edns());
        lab.ask("answered.corp.example");
        let session = lab.open(1);
        lab.reconfigure(without_route(&lab, is_shared));
        let answered = lab.forwarded.pop().unwrap();
        lab.answer(&answered);
        assert_eq!(lab.rcodes(), [0]);
        lab.close(session);
        for _ in 0..50 {
            while let Some(opening) = lab.openings.first() {
                lab.fail_open(opening.upstream, REFUSED);
            }
            lab.pass(100 * MS);
            assert!(!upstreams_queried(&lab).contains(&0), "it left its group");
        }
        assert_eq!(lab.rcodes(), [0, 2]);
        assert!(holds(lab.responses.last().unwrap(), "group corp.example"));
        // Later queries go to the default group.
        lab.ask("lost.corp.example");
        lab.openings.retain(|opening| opening.upstream == 0);
        assert_eq!(lab.openings.len(), 1, "another question, not the same one");
        assert_eq!(lab.engine.load().queries, 1);
    }
}

#[test]
fn a_query_that_waits_for_a_group_fails_when_a_reload_removes_it() {
    let mut lab = Lab::with(with_route());
    lab.ask("www.corp.example");
    lab.reconfigure(without_route(&lab, false));
    assert_eq!(lab.rcodes(), [2]);
    lab.expect_idle();
}

#[test]
fn groups_never_see_each_others_cached_answers() {
    let mut with_cache = with_route();
    with_cache.cache = cache_settings();
    let mut lab = Lab::with_cache(with_cache.clone(), 1);
    lab.ask("www.corp.example");
    lab.open(1);
    lab.answer_all();
    lab.ask("www.corp.example");
    assert_eq!(lab.rcodes(), [0, 0], "from the cache");
    lab.reconfigure(without_route(&lab, false));
    lab.ask("www.corp.example");
    assert_eq!(
        lab.responses.len(),
        2,
        "what the group said is out of reach"
    );
    lab.open(0);
    lab.answer_all();
    assert_eq!(lab.responses.len(), 3);
    // The same suffix in a group that means something else.
    with_cache.generation = 2;
    with_cache.groups[1].route = RouteId(2);
    lab.reconfigure(with_cache);
    lab.ask("www.corp.example");
    assert_eq!(lab.responses.len(), 3);
}

#[test]
fn a_stale_answer_is_given_when_its_group_is_down() {
    let mut with_cache = with_route();
    with_cache.cache = cache_settings();
    let mut lab = Lab::with_cache(with_cache, 1);
    lab.ask("www.corp.example");
    lab.open(1);
    lab.answer_all();
    lab.pass(301 * SECOND);
    lab.ask("www.corp.example");
    lab.fail_open(1, REFUSED);
    lab.pass(4 * SECOND);
    assert_eq!(lab.rcodes(), [0, 0]);
    lab.ask("again.corp.example");
    assert!(lab.openings.iter().all(|opening| opening.upstream == 1));
    assert_eq!(lab.settings.groups[1].counters.queries(Outcome::Stale), 1);
}
