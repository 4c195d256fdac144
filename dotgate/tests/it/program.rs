//! The program from start to end: what it refuses to start with, and what it owes to clients when it is stopped.
//!
//! The built binary is run with variables, sockets in its way, and signals; asserted are exit statuses, what it
//! says on standard error, and that every query sent before the end has its answer.

use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Output};
use std::time::Duration;

use dotgate_testbed::certificates::TestAuthority;

use crate::world::message::assert_all_right;
use crate::world::program::{Program, authority_file, command, set_up};
use crate::world::upstream::{Form, Step, Upstream};

const MS: Duration = Duration::from_millis(1);

/// Runs it to its end, which must come by itself.
fn run(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command(variables).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// Runs it with everything right but `variables`.
pub(crate) fn run_with(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let file = authority_file(&TestAuthority::new().unwrap());
    let mut command: Command = command(&[]);
    set_up(&mut command, &file, "192.0.2.1", variables);
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn without_the_required_variables_it_names_all_four_and_ends_with_status_2() {
    let (status, said) = run(&[]);
    assert_eq!(status, Some(2));
    for name in ["HOST", "PORT", "DNS_HOST", "DNS_PORT"] {
        assert!(
            said.lines()
                .any(|line| line.split(' ').any(|word| word == name)),
            "{name}: {said}"
        );
    }
}

#[test]
fn an_upstream_that_is_its_own_listener_ends_it_with_status_2() {
    let (status, said) = run_with(&[("PORT", "5300"), ("DNS_HOST", "127.0.0.1@5300#me.test")]);
    assert_eq!(status, Some(2));
    assert!(said.contains("127.0.0.1@5300"), "{said}");
    let (status, said) = run_with(&[
        ("HOST", "0.0.0.0"),
        ("PORT", "5300"),
        ("DNS_HOST", "127.3.2.1#me.test"),
        ("DNS_PORT", "5300"),
    ]);
    assert_eq!(status, Some(2), "{said}");
}

#[test]
fn a_port_that_is_taken_is_named_and_ends_it_with_status_1() {
    let taken = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    assert_taken(taken.local_addr().unwrap().port());
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    assert_taken(taken.local_addr().unwrap().port());
}

fn assert_taken(port: u16) {
    let (status, said) = run_with(&[("PORT", &port.to_string())]);
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains(&format!("listen on 127.0.0.1:{port}")),
        "{said}"
    );
    assert!(said.contains("Another process uses this port"), "{said}");
}

#[test]
fn a_second_copy_is_refused() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let first = Program::serve(&authority, &upstream.written(), &[]);
    assert_taken(first.address().port());
    first.udp().ask("after.test").assert_right();
}

#[test]
fn sigterm_under_load_answers_everything_and_ends_with_status_0() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    upstream.script(|script| {
        script.all = vec![Step::Wait(100 * MS), Step::Send(Form::Right)];
        script.on_beginning("held", &[Step::Hold]);
    });
    let mut program = Program::serve(&authority, &upstream.written(), &[]);
    let mut stream = program.tcp();
    stream.send_together((0..20).map(|number| format!("held-{number}.test")));
    let load = program.load(2 * MS);
    load.go_on_for(200);
    // It has sent nothing, so it is not accepted yet.
    let mut silent = program.tcp();
    program.signal("TERM");
    program.wait_for_line("stopping");
    // Clients have not heard of it yet: they go on, and new ones come.
    load.go_on_for(200);
    program.tcp().ask("late.test").assert_right();
    silent.ask("silent.test").assert_right();
    upstream.release_all();
    assert_all_right(&stream.receive_all(), 20);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
    assert_eq!(program.wait().code(), Some(0));
    let stopped = program.wait_for_line("stopped");
    assert!(
        stopped.contains("finished=true") && stopped.contains("failed=0"),
        "{stopped}"
    );
}

#[test]
fn sigterm_with_a_short_drain_time_still_answers_what_is_in_flight() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    upstream.script(|script| script.all = vec![Step::Hold]);
    let at_once = [("DOTGATE_SERVER_DRAIN_MAX", "0s")];
    let mut program = Program::serve(&authority, &upstream.written(), &at_once);
    let (mut datagrams, mut stream) = (program.udp(), program.tcp());
    datagrams.send_all((0..20).map(|number| format!("udp-{number}.test")));
    stream.send_together((0..20).map(|number| format!("tcp-{number}.test")));
    upstream.wait_for_queries(40);
    program.signal("INT");
    program.wait_for_line("stopping");
    upstream.release_all();
    assert_all_right(&datagrams.receive_all(), 20);
    assert_all_right(&stream.receive_all(), 20);
    stream.wait_for_close();
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn sigterm_with_an_unresponsive_upstream_answers_servfail_and_ends_with_status_0() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    upstream.script(|script| script.all = vec![Step::Hold]);
    let variables = [
        ("DOTGATE_SERVER_DRAIN_MAX", "0s"),
        ("DOTGATE_QUERY_DEADLINE", "1s"),
    ];
    let mut program = Program::serve(&authority, &upstream.written(), &variables);
    let mut client = program.udp();
    client.send_all((0..20).map(|number| format!("udp-{number}.test")));
    upstream.wait_for_queries(20);
    program.signal("TERM");
    for response in client.receive_all() {
        response.assert_failed(23);
    }
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    upstream.script(|script| script.all = vec![Step::Hold]);
    let patient = [
        ("DOTGATE_QUERY_DEADLINE", "30s"),
        ("DOTGATE_SERVER_DRAIN_MAX", "300s"),
    ];
    let mut program = Program::serve(&authority, &upstream.written(), &patient);
    let load = program.load(20 * MS);
    upstream.wait_for_queries(10);
    program.signal("TERM");
    program.wait_for_line("stopping");
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(1));
    let stopped = program.wait_for_line("stopped");
    assert!(stopped.contains("finished=false"), "{stopped}");
    load.abandon();
}

#[test]
fn started_without_a_network_it_serves_and_answers_when_there_is_one() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start_deaf(&authority);
    let soon = [("DOTGATE_QUERY_DEADLINE", "500ms")];
    let program = Program::serve(&authority, &upstream.written(), &soon);
    let mut client = program.udp();
    client.ask("before.test").assert_failed(22);
    assert_eq!(
        program
            .wait_for_line("upstream is down")
            .matches("connect: refused")
            .count(),
        1
    );
    upstream.listen();
    client.ask("after.test").assert_right();
    program.wait_for_line("upstream answers again");
}
