//! The start: what the log and `/readyz` say of upstreams before a client asks, and what a start without any does.

use std::process::{Command, Output};

use dotgate_testbed::certificates::TestAuthority;

use crate::world::http::get;
use crate::world::program::{Program, authority_file, command, set_up};
use crate::world::upstream::{Certificate, Credentials, Upstream};
use crate::world::wait::until;

/// An upstream that is well, one with an expired certificate, and one that refuses connections.
fn three(authority: &TestAuthority) -> [Upstream; 3] {
    let expired = Upstream::start(authority);
    expired.show(&Credentials::with(Certificate::Expired), authority);
    [
        Upstream::start(authority),
        expired,
        Upstream::start_deaf(authority),
    ]
}

fn written(upstreams: &[Upstream]) -> String {
    let each: Vec<String> = upstreams.iter().map(Upstream::written).collect();
    each.join(",")
}

fn ready(program: &Program) -> (u16, String) {
    let response = get(program.admin(), "/readyz");
    (response.status, response.body)
}

#[test]
fn one_line_for_each_upstream_says_that_it_is_reachable_or_why_not_before_a_client_asks() {
    let authority = TestAuthority::new().unwrap();
    let upstreams = three(&authority);
    let program = Program::serve(&authority, &written(&upstreams), &[]);
    let mut lines = Vec::new();
    until("three lines", || {
        let new = program.new_lines().into_iter();
        lines.extend(new.filter(|line| line.contains("upstream=")));
        lines.len() >= 3
    });
    let of = |upstream: &Upstream| {
        let label = upstream.written();
        let line = lines.iter().find(|line| line.contains(&label));
        line.unwrap_or_else(|| panic!("{label}: {lines:#?}"))
    };
    let well = of(&upstreams[0]);
    for words in [
        "upstream reachable",
        "tls=\"1.3\"",
        "key_exchange=",
        "time_ms=",
        "certificate_days=",
    ] {
        assert!(well.contains(words), "{words}: {well}");
    }
    for (upstream, reason) in [
        (&upstreams[1], "tls: certificate expired"),
        (&upstreams[2], "connect: refused"),
    ] {
        let line = of(upstream);
        assert!(line.contains("upstream is down"), "{line}");
        assert!(line.contains(reason) && line.contains("hint="), "{line}");
    }
    for upstream in &upstreams {
        assert_eq!(upstream.queries(), 0);
    }
    assert_eq!(ready(&program).0, 200);
}

#[test]
fn without_any_upstream_it_serves_anyway_unless_it_is_to_wait() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start_deaf(&authority);
    let anyway = Program::serve(&authority, &upstream.written(), &[]);
    assert_eq!(ready(&anyway).0, 200);
    let wait = [("DOTGATE_SERVER_START", "wait")];
    let waiting = Program::serve(&authority, &upstream.written(), &wait);
    let (status, body) = ready(&waiting);
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("DOTGATE_SERVER_START=wait"), "{body}");
    waiting.udp().ask("early.test").assert_failed(22);
    upstream.listen();
    until("ready", || ready(&waiting).0 == 200);
    waiting.udp().ask("later.test").assert_right();
    upstream.kill();
    waiting.wait_for_line("upstream reachable");
    assert_eq!(ready(&waiting).0, 200, "an outage later is no reason");
}

/// Runs it to its end, which must come by itself.
fn run(authority: &TestAuthority, hosts: &str, start: &str) -> (Option<i32>, String) {
    let file = authority_file(authority);
    let mut command: Command = command(&[]);
    set_up(
        &mut command,
        &file,
        hosts,
        &[("DOTGATE_SERVER_START", start)],
    );
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_start_that_is_to_fail_without_an_upstream_ends_with_status_1_and_each_reason() {
    let authority = TestAuthority::new().unwrap();
    let [_, expired, deaf] = three(&authority);
    let (status, said) = run(&authority, &written(&[expired, deaf]), "fail");
    assert_eq!(status, Some(1), "{said}");
    let last = said
        .lines()
        .find(|line| line.contains("no upstream is reachable; not serving"));
    let last = last.unwrap_or_else(|| panic!("{said}"));
    for reason in ["tls: certificate expired", "connect: refused", "hint="] {
        assert!(last.contains(reason), "{last}");
    }
    assert!(!said.contains("serving DNS"), "{said}");
}

#[test]
fn a_start_that_is_to_fail_serves_with_one_upstream_of_three() {
    let authority = TestAuthority::new().unwrap();
    let upstreams = three(&authority);
    let fail = [("DOTGATE_SERVER_START", "fail")];
    let program = Program::serve(&authority, &written(&upstreams), &fail);
    program.udp().ask("name.test").assert_right();
    assert_eq!(ready(&program).0, 200);
}
