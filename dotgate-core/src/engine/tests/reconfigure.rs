use dotgate_message::{framed, query};

use super::lab::{Lab, MS, SECOND, settings};
use crate::counters::Count;
use crate::failure::{ConnectFault, SessionEnd};
use crate::keys::UpstreamId;
use crate::limits;
use crate::outbox::Event;
use crate::settings::{GroupSettings, Settings, UpstreamSettings};

/// The settings of a lab with these upstreams in their stead.
fn with_upstreams(lab: &Lab, upstreams: &[&UpstreamSettings]) -> Settings {
    Settings {
        generation: lab.settings.generation + 1,
        groups: vec![GroupSettings::of_default_route(
            upstreams.iter().map(|it| (*it).clone()).collect(),
        )],
        ..lab.settings.clone()
    }
}

#[test]
fn what_is_in_flight_to_an_upstream_that_is_taken_out_is_answered_by_it() {
    let mut lab = Lab::opened(1);
    for n in 0..20 {
        lab.ask(&format!("n{n}.example"));
    }
    let old = lab.forwarded[0].session;
    let new = UpstreamSettings::new(UpstreamId(1), "new");
    lab.reconfigure(with_upstreams(&lab, &[&new]));
    assert!(lab.closed.is_empty(), "its queries are not answered yet");
    lab.ask("later.example");
    lab.open(1);
    let later = lab.forwarded.pop().unwrap();
    assert_eq!(later.upstream, 1);
    lab.answer(&later);
    lab.answer_all();
    lab.pass(MS);
    assert_eq!(lab.rcodes(), [0; 21]);
    assert_eq!(
        lab.count(Count::Attempts),
        1 + 21,
        "nothing forwarded twice"
    );
    assert_eq!(lab.closed, [old]);
    lab.expect_idle();
}

#[test]
fn a_session_that_is_left_ends_with_the_deadline_of_what_it_never_answered() {
    let mut lab = Lab::opened(2);
    lab.ask("mute.example");
    lab.ask("a.example");
    let old = lab.forwarded[0].session;
    let same = lab.settings.groups[0].upstreams[1].clone();
    lab.reconfigure(with_upstreams(&lab, &[&same]));
    let answered = lab.forwarded.remove(1);
    lab.answer(&answered);
    lab.pass(limits::HEDGE_AFTER);
    lab.open(1);
    let hedge = lab.forwarded.pop().unwrap();
    assert_eq!(
        hedge.upstream, 1,
        "forwarded hedge where it may be forwarded"
    );
    lab.answer(&hedge);
    lab.pass(MS);
    assert_eq!(lab.rcodes(), [0, 0]);
    assert_eq!(lab.closed, [old]);
}

#[test]
fn an_idle_session_to_an_upstream_that_is_taken_out_is_closed_at_once() {
    let mut lab = Lab::opened(1);
    let session = lab.session_of_last_answer();
    lab.reconfigure(with_upstreams(
        &lab,
        &[&UpstreamSettings::new(UpstreamId(1), "new")],
    ));
    assert_eq!(lab.closed, [session]);
    assert_eq!(lab.count(Count::SessionsLost), 0);
}

#[test]
fn an_upstream_that_stays_keeps_its_session_whatever_is_added_around_it() {
    let mut lab = Lab::opened(1);
    let session = lab.session_of_last_answer();
    let same = lab.settings.groups[0].upstreams[0].clone();
    let (first, last) = (
        UpstreamSettings::new(UpstreamId(4), "first"),
        UpstreamSettings::new(UpstreamId(2), "last"),
    );
    lab.reconfigure(with_upstreams(&lab, &[&same, &last]));
    lab.ask("a.example");
    assert_eq!(lab.next_forwarded().session, session);
    lab.reconfigure(with_upstreams(&lab, &[&first, &same, &last]));
    lab.ask("b.example");
    lab.open(4);
    assert_eq!(lab.next_forwarded().upstream, 4, "the order is the new one");
    lab.reconfigure(with_upstreams(&lab, &[&same]));
    lab.ask("c.example");
    assert_eq!(lab.forwarded.pop().unwrap().session, session);
    assert_eq!(lab.count(Count::SessionsOpened), 2);
}

#[test]
fn an_upstream_that_stays_has_its_former_health_and_a_new_one_is_healthy() {
    let mut lab = Lab::new(1);
    lab.ask("a.example");
    let refused = SessionEnd::Connect(ConnectFault::Refused);
    lab.fail_open(0, refused);
    assert!(matches!(
        lab.events[..],
        [Event::UpstreamDown {
            upstream: UpstreamId(0),
            ..
        }]
    ));
    let same = lab.settings.groups[0].upstreams[0].clone();
    let new = UpstreamSettings::new(UpstreamId(1), "new");
    lab.reconfigure(with_upstreams(&lab, &[&same, &new]));
    lab.open(1);
    assert_eq!(
        lab.next_forwarded().upstream,
        1,
        "the query that waits goes to it"
    );
    assert!(lab.openings.is_empty(), "the other one is still down");
}

#[test]
fn queries_that_wait_for_a_session_to_an_upstream_that_is_taken_out_go_to_the_others() {
    let mut lab = Lab::new(1);
    for n in 0..5 {
        lab.ask(&format!("n{n}.example"));
    }
    let opening = lab.openings[0].session;
    lab.reconfigure(with_upstreams(
        &lab,
        &[&UpstreamSettings::new(UpstreamId(1), "new")],
    ));
    assert_eq!(lab.closed, [opening]);
    lab.open(1);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0; 5]);
}

#[test]
fn an_id_that_another_upstream_needs_is_left_at_once_and_what_was_asked_there_is_asked_again() {
    let mut lab = Lab::opened(1);
    for n in 0..5 {
        lab.ask(&format!("n{n}.example"));
    }
    let old = lab.forwarded[0].session;
    let attempts = lab.count(Count::Attempts);
    for _ in 0..limits::ATTEMPTS {
        let new = UpstreamSettings::new(UpstreamId(0), "another of the same ID");
        lab.reconfigure(with_upstreams(&lab, &[&new]));
        lab.open(0);
    }
    assert_eq!(lab.closed[0], old);
    lab.answer_all();
    assert_eq!(
        lab.rcodes(),
        [0; 5],
        "attempts that were taken back cost none"
    );
    assert_eq!(lab.count(Count::Attempts), attempts + 15);
    assert!(lab.events.is_empty(), "{:?}", lab.events);
    lab.expect_idle();
}

#[test]
fn a_shorter_deadline_applies_to_later_queries_of_the_same_exchange() {
    let mut lab = Lab::opened(1);
    lab.send(&query(1, "a.example"));
    lab.send(&query(2, "b.example"));
    let shorter = Settings {
        query_deadline: SECOND,
        ..lab.settings.clone()
    };
    lab.reconfigure(shorter);
    lab.send(&query(3, "a.example"));
    lab.send(&query(4, "c.example"));
    lab.send(&query(5, "a.example"));
    lab.pass(SECOND - MS);
    assert!(lab.responses.is_empty());
    lab.pass(MS);
    let ids = |lab: &Lab| -> Vec<u8> { lab.responses.iter().map(|it| it[1]).collect() };
    assert_eq!(ids(&lab), [3, 4, 5]);
    lab.pass(3 * SECOND - MS);
    assert_eq!(lab.responses.len(), 3);
    lab.pass(MS);
    assert_eq!(ids(&lab), [3, 4, 5, 1, 2]);
    lab.expect_idle();
}

#[test]
fn an_access_list_change_applies_at_once_and_connected_clients_stay() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    let closed_to_them = Settings {
        access: crate::admit::Access::of(["198.51.100.0/24".parse().unwrap()]),
        ..lab.settings.clone()
    };
    let before = lab.settings.clone();
    lab.reconfigure(closed_to_them);
    lab.ask("a.example");
    assert_eq!(lab.rcodes(), [5]);
    lab.reconfigure(before);
    assert!(lab.closed_streams.is_empty());
    lab.stream_send(stream, &framed(&query(7, "b.example")));
    lab.answer_all();
    assert_eq!(lab.stream_messages().len(), 1);
}

#[test]
fn a_shorter_idle_time_holds_for_those_who_are_connected() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    lab.pass(4 * SECOND);
    lab.reconfigure(Settings {
        stream_idle: 5 * SECOND,
        ..lab.settings.clone()
    });
    assert!(lab.closed_streams.is_empty());
    lab.pass(SECOND);
    assert_eq!(lab.closed_streams, [stream]);
}

#[test]
fn a_cached_failure_is_void_after_a_reconfiguration_and_an_answer_is_not() {
    let mut before = settings(1);
    before.cache.failure_ttl_max = 30;
    before.cache.ttl_max = 300;
    before.cache.negative_ttl_max = 300;
    let mut lab = Lab::with_cache(before, 1);
    lab.ask("good.example");
    lab.open(0);
    lab.answer_all();
    lab.ask("bad.example");
    let forwarded = lab.next_forwarded();
    lab.answer_with_rcode(&forwarded, 2);
    lab.ask("bad.example");
    assert_eq!(lab.rcodes(), [0, 2, 2]);
    assert!(lab.forwarded.is_empty(), "the failure is cached");
    lab.reconfigure(with_upstreams(
        &lab,
        &[&UpstreamSettings::new(UpstreamId(1), "new")],
    ));
    lab.ask("bad.example");
    lab.open(1);
    lab.answer_all();
    lab.ask("good.example");
    assert_eq!(lab.rcodes(), [0, 2, 2, 0, 0]);
    assert!(lab.forwarded.is_empty(), "the answer is cached");
}

#[test]
fn a_client_waits_for_a_stale_answer_as_long_as_is_set_now() {
    let mut before = settings(1);
    before.cache.ttl_max = 300;
    before.cache.negative_ttl_max = 300;
    before.cache.stale_max = 3_600 * SECOND;
    before.cache.stale_after = 2 * SECOND;
    let mut lab = Lab::with_cache(before, 1);
    lab.ask("a.example");
    lab.open(0);
    lab.answer_all();
    lab.pass(400 * SECOND);
    lab.responses.clear();
    lab.ask("a.example");
    lab.pass(200 * MS);
    let mut after = lab.settings.clone();
    after.cache.stale_after = SECOND;
    lab.reconfigure(after);
    lab.pass(799 * MS);
    assert!(lab.responses.is_empty());
    lab.pass(MS);
    assert_eq!(lab.rcodes(), [0]);
}
