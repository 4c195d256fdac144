//! What scrapers see: each metric moves when its cause happens, and both formats are served.

use std::net::UdpSocket;

use dotgate_testbed::certificates::TestAuthority;

use crate::world::World;
use crate::world::http::{Response, ask};
use crate::world::message::{QueryType, query};
use crate::world::program::Program;
use crate::world::upstream::{Credentials, End, Form, Step, Upstream};
use crate::world::wait::until;

#[test]
fn an_answer_counts_in_every_stage_and_a_resumed_handshake_is_distinguished_from_a_full_one() {
    let world = World::new(1);
    world.udp().ask("a.test").assert_right();
    world.tcp().ask("b.test").assert_right();
    world.wait_for_metric("dotgate_sessions_open{upstream=\"0\"}", 1.0);
    for (series, value) in [
        (
            "dotgate_queries_total{transport=\"udp\",type=\"A\",outcome=\"answered\"}",
            1.0,
        ),
        (
            "dotgate_queries_total{transport=\"tcp\",type=\"A\",outcome=\"answered\"}",
            1.0,
        ),
        ("dotgate_responses_total{rcode=\"NOERROR\"}", 2.0),
        (
            "dotgate_query_duration_seconds_count{transport=\"tcp\",outcome=\"answered\"}",
            1.0,
        ),
        (
            "dotgate_stage_duration_seconds_count{stage=\"connect\",upstream=\"0\"}",
            1.0,
        ),
        (
            "dotgate_stage_duration_seconds_count{stage=\"tls\",upstream=\"0\"}",
            1.0,
        ),
        (
            "dotgate_stage_duration_seconds_count{stage=\"upstream\",upstream=\"0\"}",
            2.0,
        ),
        (
            "dotgate_stage_duration_seconds_bucket{stage=\"total\",upstream=\"0\",le=\"+Inf\"}",
            2.0,
        ),
        (
            "dotgate_handshake_duration_seconds_count{upstream=\"0\",kind=\"full\"}",
            1.0,
        ),
        (
            "dotgate_upstream_attempts_total{upstream=\"0\",kind=\"first\"}",
            2.0,
        ),
        (
            "dotgate_upstream_responses_total{upstream=\"0\",rcode=\"NOERROR\"}",
            2.0,
        ),
        ("dotgate_session_reuses_total{upstream=\"0\"}", 1.0),
        ("dotgate_upstream_up{upstream=\"0\"}", 1.0),
        (
            "dotgate_upstream_state{upstream=\"0\",state=\"healthy\"}",
            1.0,
        ),
        ("dotgate_workers", 1.0),
    ] {
        assert_eq!(world.metric(series), Some(value), "{series}");
    }
    let ends = "dotgate_upstream_certificate_not_after_timestamp_seconds{upstream=\"0\"}";
    assert!(world.metric(ends) > Some(1.7e9));
    let begins = "dotgate_upstream_certificate_not_before_timestamp_seconds{upstream=\"0\"}";
    assert!(
        world
            .metric(begins)
            .is_some_and(|begins| Some(begins) < world.metric(ends))
    );
    world.upstreams[0].end_all(End::Notify);
    world.wait_for_metric(
        "dotgate_sessions_closed_total{upstream=\"0\",reason=\"idle_peer\"}",
        1.0,
    );
    world.udp().ask("c.test").assert_right();
    let resumed = "dotgate_handshake_duration_seconds_count{upstream=\"0\",kind=\"resumed\"}";
    assert_eq!(world.metric(resumed), Some(1.0));
    assert_eq!(
        world.metric("dotgate_sessions_opened_total{upstream=\"0\"}"),
        Some(2.0)
    );
}

#[test]
fn a_query_that_waits_is_seen_with_its_age_and_those_beyond_the_limit_as_shed() {
    let world = World::with(
        1,
        &[
            ("DOTGATE_QUERY_IN_FLIGHT_PER_CLIENT_MAX", "1"),
            ("DOTGATE_QUERY_EXEMPT", "192.0.2.0/24"),
        ],
    );
    world.upstreams[0].script(|script| script.on("held.test", &[Step::Hold]));
    let mut client = world.udp();
    client.send("held.test");
    world.wait_for_metric("dotgate_queries_in_flight", 1.0);
    until("an age", || {
        world.metric("dotgate_oldest_query_age_seconds") > Some(0.0)
    });
    assert_eq!(world.metric("dotgate_questions_in_flight"), Some(1.0));
    world.wait_for_metric("dotgate_upstream_questions_in_flight{upstream=\"0\"}", 1.0);
    let mut other = world.udp();
    other.ask("shed.test").assert_failed(23);
    for series in [
        "dotgate_queries_total{transport=\"udp\",type=\"A\",outcome=\"shed\"}",
        "dotgate_limits_hit_total{limit=\"queries_per_client\"}",
        "dotgate_responses_total{rcode=\"SERVFAIL\"}",
    ] {
        assert_eq!(world.metric(series), Some(1.0), "{series}");
    }
    world.upstreams[0].release_all();
    client.receive().assert_right();
    until("nothing in flight", || {
        world.metric("dotgate_queries_in_flight") == Some(0.0)
            && world.metric("dotgate_oldest_query_age_seconds") == Some(0.0)
    });
}

#[test]
fn an_answer_from_the_cache_is_distinguished_from_an_upstreams() {
    let world = World::new(1);
    for _ in 0..3 {
        world.udp().ask("a.test").assert_right();
    }
    for (series, value) in [
        (
            "dotgate_queries_total{transport=\"udp\",type=\"A\",outcome=\"answered\"}",
            1.0,
        ),
        (
            "dotgate_queries_total{transport=\"udp\",type=\"A\",outcome=\"cached\"}",
            2.0,
        ),
        (
            "dotgate_query_duration_seconds_count{transport=\"udp\",outcome=\"answered\"}",
            1.0,
        ),
        ("dotgate_cache_misses_total", 1.0),
        ("dotgate_cache_entries", 1.0),
        ("dotgate_cache_evictions_total", 0.0),
    ] {
        assert_eq!(world.metric(series), Some(value), "{series}");
    }
    assert!(world.metric("dotgate_cache_bytes") > Some(0.0));
    assert!(world.metric("dotgate_cache_bytes") < world.metric("dotgate_cache_max_bytes"));
}

#[test]
fn a_session_that_is_lost_costs_a_second_attempt() {
    let world = World::new(1);
    world.upstreams[0].script(|script| script.once("lost.test", &[Step::End(End::Reset)]));
    world.udp().ask("lost.test").assert_right();
    for series in [
        "dotgate_sessions_closed_total{upstream=\"0\",reason=\"reset\"}",
        "dotgate_upstream_errors_total{upstream=\"0\",reason=\"upstream_closed\"}",
        "dotgate_upstream_attempts_total{upstream=\"0\",kind=\"isolation\"}",
    ] {
        assert_eq!(world.metric(series), Some(1.0), "{series}");
    }
}

#[test]
fn a_frozen_upstream_loses_the_race_and_its_session() {
    let world = World::new(2);
    world.warm_up();
    world.upstreams[0].freeze_all();
    for name in ["a.test", "b.test"] {
        world.udp().ask(name).assert_right();
    }
    let sum = |kind: &str| {
        let of = |upstream: usize| {
            let series = format!("dotgate_upstream_{kind}_total{{upstream=\"{upstream}\"");
            world.metric(&format!(
                "{series},{}}}",
                if kind == "races" {
                    "winner=\"hedge\""
                } else {
                    "kind=\"isolation\""
                }
            ))
        };
        of(0).unwrap() + of(1).unwrap()
    };
    assert!(sum("races") >= 1.0);
    assert!(sum("attempts") >= 1.0);
    world.wait_for_metric(
        "dotgate_sessions_closed_total{upstream=\"0\",reason=\"unresponsive\"}",
        1.0,
    );
    world.wait_for_metric(
        "dotgate_upstream_errors_total{upstream=\"0\",reason=\"upstream_timeout\"}",
        1.0,
    );
    assert!(world.metric("dotgate_sessions_unresponsive_total") >= Some(1.0));
}

#[test]
fn an_upstream_that_cannot_be_authenticated_is_down_for_a_reason() {
    let world = World::new(1);
    world.upstreams[0].show(&Credentials::default(), &TestAuthority::new().unwrap());
    world.udp().ask("a.test").assert_failed(22);
    let errors = "dotgate_upstream_errors_total{upstream=\"0\",reason=\"tls_issuer_unknown\"}";
    assert!(world.metric(errors) >= Some(1.0));
    for (series, value) in [
        ("dotgate_failures_total{reason=\"tls_issuer_unknown\"}", 1.0),
        (
            "dotgate_queries_total{transport=\"udp\",type=\"A\",outcome=\"failed\"}",
            1.0,
        ),
        (
            "dotgate_query_duration_seconds_count{transport=\"udp\",outcome=\"failed\"}",
            1.0,
        ),
        ("dotgate_upstream_up{upstream=\"0\"}", 0.0),
        ("dotgate_upstream_state{upstream=\"0\",state=\"down\"}", 1.0),
        (
            "dotgate_stage_duration_seconds_count{stage=\"tls\",upstream=\"0\"}",
            0.0,
        ),
    ] {
        assert_eq!(world.metric(series), Some(value), "{series}");
    }
    let absent = "dotgate_upstream_certificate_not_after_timestamp_seconds{upstream=\"0\"}";
    assert_eq!(world.metric(absent), None);
}

#[test]
fn wrong_messages_and_errors_of_an_upstream_are_distinguished() {
    let world = World::new(2);
    world.upstreams[0].script(|script| {
        let wrong = [Form::WrongId, Form::WrongQuestion, Form::Garbage];
        let mut steps = wrong.map(Step::Send).to_vec();
        steps.push(Step::Send(Form::ServerFailure));
        script.all = steps;
    });
    world.udp().ask("a.test").assert_right();
    for reason in [
        "upstream_unknown_id",
        "upstream_wrong_question",
        "upstream_malformed",
        "upstream_error",
    ] {
        let series = format!("dotgate_upstream_errors_total{{upstream=\"0\",reason=\"{reason}\"}}");
        assert_eq!(world.metric(&series), Some(1.0), "{series}");
    }
    let servfail = "dotgate_upstream_responses_total{upstream=\"0\",rcode=\"SERVFAIL\"}";
    assert_eq!(world.metric(servfail), Some(1.0));
}

#[test]
fn clients_outside_the_access_list_and_messages_without_form_have_outcomes_of_their_own() {
    let world = World::with(1, &[("DOTGATE_ACCESS_ALLOW", "192.0.2.0/24")]);
    world.udp().ask("a.test");
    let refused = "dotgate_queries_total{transport=\"udp\",type=\"A\",outcome=\"prohibited\"}";
    assert_eq!(world.metric(refused), Some(1.0));
    assert_eq!(
        world.metric("dotgate_responses_total{rcode=\"REFUSED\"}"),
        Some(1.0)
    );
    world.udp().send_bytes(b"short").unwrap();
    let ignored = "dotgate_queries_total{transport=\"udp\",type=\"other\",outcome=\"ignored\"}";
    world.wait_for_metric(ignored, 1.0);
}

/// Asks the program for its metrics.
fn scrape(program: &Program, accept: &str) -> Response {
    let admin = program.admin();
    let head = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n");
    ask(admin, &format!("{head}Accept: {accept}\r\n\r\n"))
}

#[test]
fn metrics_are_served_as_openmetrics_or_as_text() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let program = Program::serve(&authority, &upstream.written(), &[]);
    program.udp().ask("a.test").assert_right();
    let open = scrape(
        &program,
        "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
    );
    assert_eq!(open.status, 200);
    assert!(
        open.head
            .contains("content-type: application/openmetrics-text; version=1.0.0;")
    );
    assert!(open.body.ends_with("# EOF\n"));
    let text = scrape(&program, "*/*");
    assert!(
        text.head
            .contains("content-type: text/plain; version=0.0.4;")
    );
    assert!(!text.body.contains("# EOF"));
    let label = upstream.written();
    let version = env!("CARGO_PKG_VERSION");
    for begin in [
        format!("dotgate_upstream_up{{upstream=\"{label}\"}} 1"),
        format!("dotgate_build_info{{version=\"{version}\",commit=\""),
    ] {
        assert!(text.body.contains(&begin), "{begin}: {}", text.body);
    }
    if cfg!(target_os = "linux") {
        for name in [
            "process_resident_memory_bytes ",
            "process_open_fds ",
            "dotgate_udp_receive_drops_total 0\n",
        ] {
            assert!(text.body.contains(name), "{name}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn datagrams_that_the_kernel_dropped_are_reported() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let little = [("DOTGATE_SERVER_UDP_RECEIVE_BUFFER", "64KiB")];
    let program = Program::serve(&authority, &upstream.written(), &little);
    program.signal("STOP");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let message = query(1, "a.test", QueryType::Address);
    for _ in 0..5_000 {
        client.send_to(&message, program.address()).unwrap();
    }
    program.signal("CONT");
    let text = scrape(&program, "*/*").body;
    let drops = text
        .lines()
        .find_map(|line| line.strip_prefix("dotgate_udp_receive_drops_total "));
    let drops: u64 = drops.unwrap().parse().unwrap();
    assert!((1..5_000).contains(&drops), "{drops}");
}
