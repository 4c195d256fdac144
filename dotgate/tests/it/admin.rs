//! The admin endpoint of the built program: what it says of upstreams and of itself, and what it bears.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use dotgate_testbed::certificates::TestAuthority;
use serde_json::Value;

use crate::world::http::{ask, connect, get, receive};
use crate::world::message::assert_all_right;
use crate::world::program::{Program, authority_file, command, set_up};
use crate::world::upstream::{Credentials, Opening, Step, Upstream};
use crate::world::wait::{now, until};

fn hosts(upstreams: &[Upstream]) -> String {
    let hosts: Vec<String> = upstreams.iter().map(Upstream::written).collect();
    hosts.join(",")
}

fn serve_one() -> (Upstream, Program) {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let program = Program::serve(&authority, &upstream.written(), &[]);
    (upstream, program)
}

#[test]
fn healthz_shows_which_upstream_answers_and_what_is_wrong_with_the_others() {
    let authority = TestAuthority::new().unwrap();
    let upstreams: Vec<Upstream> = (0..4).map(|_| Upstream::start(&authority)).collect();
    upstreams[0].script(|script| script.opening = Opening::Ignore);
    upstreams[1].script(|script| script.all = vec![Step::Hold]);
    upstreams[2].show(&Credentials::default(), &TestAuthority::new().unwrap());
    let program = Program::serve(&authority, &hosts(&upstreams), &[]);
    let mut health = get(program.admin(), "/healthz");
    until("what is wrong with the silent one is known", || {
        health = get(program.admin(), "/healthz");
        health.json()["upstreams"][1]["last_error"] == "upstream: no response"
    });
    assert_eq!(health.status, 200, "{health:?}");
    let lines = health.body.lines().count();
    assert_eq!(lines, 6, "one line each: {health:?}");
    let health = health.json();
    let reported = |place: usize, key: &str| health["upstreams"][place][key].clone();
    let answers: Vec<Value> = (0..4).map(|place| reported(place, "answers")).collect();
    assert_eq!(answers, [false, false, false, true], "{health}");
    assert_eq!(
        reported(2, "last_error"),
        "tls: certificate authority unknown"
    );
    assert_eq!(reported(2, "state"), "down");
    assert_eq!(reported(3, "state"), "healthy");
    assert_eq!(reported(3, "sessions"), 1);
    assert!(reported(3, "certificate_days_left").as_i64().is_some());
    assert!(reported(3, "round_trip_ms").as_f64().is_some());
    let (status, said) = program.run(&["healthcheck", "--upstreams"]);
    assert_eq!(status, Some(0));
    assert!(said.starts_with("1 of 4 upstreams answer; not "), "{said}");
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn healthz_fails_when_no_upstream_answers_and_readyz_says_degraded_until_one_does() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start_deaf(&authority);
    let program = Program::serve(&authority, &upstream.written(), &[]);
    let health = get(program.admin(), "/healthz");
    assert_eq!(
        (health.status, &health.json()["status"]),
        (503, &"failing".into())
    );
    let ready = get(program.admin(), "/readyz");
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (200, &"degraded".into())
    );
    assert!(ready.body.contains("connect: refused"), "{ready:?}");
    let (status, said) = program.run(&["healthcheck", "--upstreams"]);
    assert_eq!(status, Some(1), "{said}");
    let (status, said) = program.run(&["healthcheck"]);
    assert_eq!(status, Some(0));
    let admin = program.admin().to_string();
    let output = command(&[("DOTGATE_ADMIN_LISTEN", &admin)])
        .arg("healthcheck")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "with no other setting");
    assert!(
        said.starts_with("degraded: no upstream is healthy: "),
        "{said}"
    );
    upstream.listen();
    until("a probe that is answered", || {
        get(program.admin(), "/healthz").status == 200
    });
    assert_eq!(get(program.admin(), "/readyz").json()["status"], "ready");
}

#[test]
fn however_often_healthz_is_asked_an_upstream_is_probed_at_most_once_a_second() {
    let authority = TestAuthority::new().unwrap();
    let upstreams = [Upstream::start(&authority), Upstream::start(&authority)];
    upstreams[0].show(&Credentials::default(), &TestAuthority::new().unwrap());
    let program = Program::serve(&authority, &hosts(&upstreams), &[]);
    let start = now();
    for _ in 0..200 {
        assert_eq!(get(program.admin(), "/healthz").status, 200);
    }
    let most = 2 + (now() - start).as_secs();
    let (refused, asked) = (upstreams[0].connections(), upstreams[1].queries() as u64);
    assert!((1..=most).contains(&refused), "{refused} connections");
    assert!((1..=most).contains(&asked), "{asked} questions");
}

#[test]
fn live_traffic_is_evidence_enough_and_healthz_asks_nothing() {
    let (upstream, program) = serve_one();
    program.udp().ask("a.test").assert_right();
    let health = get(program.admin(), "/healthz");
    assert_eq!((health.status, upstream.queries()), (200, 1), "{health:?}");
}

#[test]
fn livez_is_ok_while_all_workers_sleep_and_readyz_fails_as_soon_as_the_end_is_ordered() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    upstream.script(|script| script.on_beginning("held", &[Step::Hold]));
    let mut program = Program::serve(&authority, &upstream.written(), &[]);
    assert_eq!(get(program.admin(), "/livez").status, 200);
    let ready = get(program.admin(), "/readyz");
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (200, &"ready".into())
    );
    let mut client = program.udp();
    client.send("held.test");
    upstream.wait_for_queries(1);
    program.signal("TERM");
    program.wait_for_line("stopping");
    let ready = get(program.admin(), "/readyz");
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (503, &"not ready".into())
    );
    assert_eq!(get(program.admin(), "/livez").status, 200);
    let (status, said) = program.run(&["healthcheck"]);
    assert_eq!(status, Some(1));
    assert!(said.starts_with("not ready: stopping"), "{said}");
    program.udp().ask("still.test").assert_right();
    upstream.release_all();
    assert_all_right(&client.receive_all(), 1);
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn other_paths_methods_and_hosts_are_refused_in_plain_words() {
    let named = [("DOTGATE_ADMIN_HOST_NAMES", "dotgate.test")];
    let authority = TestAuthority::new().unwrap();
    let program = Program::serve(&authority, "192.0.2.1", &named);
    let say = |request: &str| ask(program.admin(), request);
    let of_host = |host: &str| {
        say(&format!(
            "GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ))
    };
    for host in ["localhost", "127.0.0.1:1", "[::1]", "dotgate.test:80"] {
        assert_eq!(of_host(host).status, 200, "{host}");
    }
    let foreign = of_host("rebind.example");
    assert_eq!(foreign.status, 403);
    assert!(
        foreign.body.contains("DOTGATE_ADMIN_HOST_NAMES"),
        "{foreign:?}"
    );
    let absolute =
        "GET http://rebind.example/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(say(absolute).status, 403);
    let nameless = say("GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(nameless.status, 400);
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/nothing", 404)] {
        let by_probe = say(&format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert_eq!(by_probe.status, status, "{path} by HTTP/1.0 without Host");
    }
    let by_probe = say("HEAD /livez HTTP/1.0\r\nUser-Agent: probe\r\n\r\n");
    assert_eq!((by_probe.status, by_probe.body.as_str()), (200, ""));
    let foreign = say("GET /livez HTTP/1.0\r\nHost: rebind.example\r\n\r\n");
    assert_eq!(foreign.status, 403);
    for path in [
        "//",
        "/livez/",
        "/favicon.ico",
        "/../etc/passwd",
        "/api/v1/",
    ] {
        let nothing = get(program.admin(), path);
        assert_eq!(
            (nothing.status, nothing.body.lines().count()),
            (404, 1),
            "{path}"
        );
    }
    let put = say("PUT /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(put.status, 405);
    assert!(put.head.contains("allow: GET, HEAD"), "{put:?}");
    let head = say("HEAD /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.head.contains("cache-control: no-store"), "{head:?}");
    assert!(!head.head.contains("access-control"), "{head:?}");
}

#[test]
fn what_is_too_long_or_too_slow_is_cut_off() {
    let (_upstream, program) = serve_one();
    let mut slow = connect(program.admin());
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: local")
        .unwrap();
    let mut idle = connect(program.admin());
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let long = format!(
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}",
        "x".repeat(20_000)
    );
    let refused = ask(program.admin(), &long);
    assert_eq!(refused.status, 431, "{refused:?}");
    let many = format!(
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        "X: x\r\n".repeat(200)
    );
    assert_eq!(ask(program.admin(), &many).status, 431);
    let garbage = ask(program.admin(), "\x16\x03\x01 hello\r\n\r\n");
    assert_eq!(garbage.status, 400);
    // Both are ended by the server: their clients wait for that alone.
    let mut said = Vec::new();
    slow.read_to_end(&mut said).unwrap();
    assert!(!said.starts_with(b"HTTP/1.1 200"));
    assert_eq!(receive(&mut idle).status, 200);
}

#[test]
fn those_who_hold_connections_open_keep_nobody_out() {
    let (_upstream, program) = serve_one();
    let mut connections: Vec<TcpStream> = (0..200).map(|_| connect(program.admin())).collect();
    assert_eq!(get(program.admin(), "/livez").status, 200);
    let mut nothing = Vec::new();
    connections[0].read_to_end(&mut nothing).unwrap();
    assert_eq!(nothing, b"", "the oldest was closed");
    let newest = connections.last_mut().unwrap();
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    newest.write_all(request).unwrap();
    assert_eq!(receive(newest).status, 200, "the newest was not");
}

#[test]
fn queries_are_served_while_the_endpoint_is_flooded() {
    let (_upstream, program) = serve_one();
    let admin = program.admin();
    let load = program.load(Duration::from_millis(2));
    std::thread::scope(|scope| {
        for path in ["/livez", "/readyz", "/healthz", "/nothing"] {
            scope.spawn(move || {
                for _ in 0..300 {
                    get(admin, path);
                }
            });
        }
    });
    load.go_on_for(100);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
}

#[test]
fn a_second_instance_on_the_same_admin_port_is_refused_and_names_the_setting_to_change() {
    let (_upstream, program) = serve_one();
    let file = authority_file(&TestAuthority::new().unwrap());
    let mut second: Command = command(&[]);
    let admin = program.admin().to_string();
    set_up(
        &mut second,
        &file,
        "192.0.2.1",
        &[("DOTGATE_ADMIN_LISTEN", &admin)],
    );
    let output = second.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains(&format!("admin endpoint on {admin}")),
        "{said}"
    );
    assert!(
        said.contains("Set DOTGATE_ADMIN_LISTEN to another ADDR:PORT"),
        "{said}"
    );
}

#[test]
fn switched_off_there_is_no_endpoint_and_the_healthcheck_says_so() {
    let file = authority_file(&TestAuthority::new().unwrap());
    let mut check: Command = command(&[]);
    set_up(
        &mut check,
        &file,
        "192.0.2.1",
        &[("DOTGATE_ADMIN_LISTEN", "off")],
    );
    let output = check.arg("healthcheck").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("DOTGATE_ADMIN_LISTEN is off"), "{said}");
}
