//! The system runs out of something: file descriptors, or a reader for the log.
//!
//! The built program is run with few open files, and with a standard error that nobody reads; counted are answers,
//! pauses in accepting, and the processor's ticks while nothing can be accepted.

use std::io::Write as _;

use dotgate_testbed::certificates::TestAuthority;

use crate::world::address::own_address;
use crate::world::client::Client;
use crate::world::message::assert_all_right;
use crate::world::program::{Program, authority_file, command, set_up, signal, wait};
use crate::world::upstream::{End, Form, Step, Upstream};
use crate::world::wait::until;

/// What tells of one pause in accepting.
const PAUSED: &str = "no file descriptor left";

/// One worker with so many open files, whose own limits let TCP clients take all of them and keep them.
fn serve_without_limits_on_clients(open_files: u32) -> (Upstream, Program) {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let variables = [
        ("DOTGATE_SERVER_WORKERS", "1"),
        ("DOTGATE_TCP_CONNECTIONS_MAX", "1000"),
        ("DOTGATE_TCP_CONNECTIONS_PER_CLIENT_MAX", "1000"),
        ("DOTGATE_TCP_IDLE", "300s"),
    ];
    let hosts = upstream.written();
    let program = Program::serve_with_open_files(open_files, &authority, &hosts, &variables);
    (upstream, program)
}

#[test]
fn without_a_descriptor_left_it_goes_on_answering_does_not_spin_and_recovers() {
    const OPEN_FILES: u32 = 48;
    let (_upstream, program) = serve_without_limits_on_clients(OPEN_FILES);
    let mut client = program.udp();
    client.ask("before.test").assert_right();
    let streams: Vec<Client> = (0..2 * OPEN_FILES).map(|_| program.tcp()).collect();
    program.wait_for_line(PAUSED);
    program.assert_sleeps();
    // Four times a second it looks whether there is one again.
    let lines = program.new_lines();
    let pauses = lines.iter().filter(|line| line.contains(PAUSED)).count();
    assert!(pauses <= 8, "{pauses} pauses in about a second");
    drop(streams);
    program.tcp().ask("after.test").assert_right();
}

#[test]
fn with_its_own_limits_clients_leave_it_descriptors_for_upstreams() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let program = Program::serve_with_open_files(128, &authority, &upstream.written(), &[]);
    let mut client = program.udp();
    let _streams: Vec<Client> = (0..300).map(|_| program.tcp()).collect();
    // Those that send nothing are accepted after a while.
    let mut said = program.lines_until("limit reached");
    for number in 0..10 {
        upstream.end_all(End::Reset);
        client.ask(&format!("name-{number}.test")).assert_right();
    }
    said.extend(program.new_lines());
    assert!(
        !said.iter().any(|line| line.contains("descriptor")),
        "{said:#?}"
    );
}

#[test]
fn clients_that_take_every_descriptor_leave_those_that_sessions_need() {
    const OPEN_FILES: u32 = 64;
    let (upstream, program) = serve_without_limits_on_clients(OPEN_FILES);
    let mut client = program.udp();
    let _streams: Vec<Client> = (0..2 * OPEN_FILES).map(|_| program.tcp()).collect();
    program.wait_for_line(PAUSED);
    for number in 0..10 {
        upstream.end_all(End::Reset);
        client.ask(&format!("name-{number}.test")).assert_right();
    }
    assert!(
        upstream.connections() >= 2,
        "sessions were opened meanwhile"
    );
}

#[test]
fn with_a_log_that_nobody_reads_it_answers_everything_and_ends_with_status_0() {
    /// What a pipe holds (`pipe(7)`), but for a page.
    const NEARLY_FULL: usize = 60 * 1_024;
    /// More sessions than lines that wait to be written, each of which is logged at this level.
    const SESSIONS: usize = 2_000;
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    upstream.script(|script| script.all = vec![Step::Send(Form::Right), Step::End(End::Fin)]);
    let file = authority_file(&authority);
    let (unread, mut pipe) = std::io::pipe().unwrap();
    pipe.write_all(&vec![b'\n'; NEARLY_FULL]).unwrap();
    // Nothing that is logged can be read, so the port is chosen here, on an address that nobody else uses.
    let listener = std::net::TcpListener::bind((own_address(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let variables = [
        ("HOST", host.as_str()),
        ("PORT", port.as_str()),
        ("LOG_LEVEL", "debug"),
        ("DOTGATE_SERVER_WORKERS", "1"),
    ];
    let mut command = command(&[]);
    set_up(&mut command, &file, &upstream.written(), &variables);
    let mut child = command.stderr(pipe).spawn().unwrap();
    until("the listener", || {
        std::net::TcpStream::connect(address).is_ok()
    });
    let mut client = Client::udp(address);
    let mut responses = Vec::new();
    for number in 0..SESSIONS {
        responses.push(client.ask(&format!("name-{number}.test")));
    }
    assert_all_right(&responses, SESSIONS);
    assert_eq!(upstream.connections(), SESSIONS as u64);
    signal(&child, "TERM");
    assert_eq!(wait(&mut child).code(), Some(0));
    drop(unread);
}
