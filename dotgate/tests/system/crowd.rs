//! Ten thousand clients, each with a TCP connection on which nothing happens.
//!
//! Counted are the forwarder's descriptors, its resident memory divided by the connections, and the connections
//! that it closes once they have been idle for as long as the settings say. RFC 7766 section 6.1.

use std::fs;

use dotgate_testbed::certificates::TestAuthority;

use crate::world::client::Client;
use crate::world::program::Program;
use crate::world::upstream::Upstream;
use crate::world::wait::until;

/// Clients, where the system lets a process open so many connections.
const CROWD: usize = 10_000;

/// What test and forwarder open besides.
const OTHER_FILES: usize = 200;

/// Resident bytes that an idle connection may cost.
const PER_CONNECTION: usize = 30 * 1_024;

/// How many descriptors a process has.
fn descriptors(program: &Program) -> usize {
    let folder = format!("/proc/{}/fd", program.pid());
    fs::read_dir(folder).unwrap().count()
}

/// What a process has in memory, in bytes.
fn resident(program: &Program) -> usize {
    let path = format!("/proc/{}/status", program.pid());
    let status = fs::read_to_string(path).unwrap();
    let (_, behind) = status.split_once("VmRSS:").unwrap();
    let kilobytes = behind.split_whitespace().next().unwrap();
    kilobytes.parse::<usize>().unwrap() * 1_024
}

#[track_caller]
fn assert_small(program: &Program, before: usize, crowd: usize, when: &str) {
    let each = resident(program).saturating_sub(before) / crowd;
    println!("measured: {crowd} connections, {when}: {each} bytes each");
    assert!(each <= PER_CONNECTION, "{when}: {each} bytes each");
}

#[test]
fn ten_thousand_idle_clients_are_served_cost_little_and_are_closed() {
    let limit = dotgate_net::raise_descriptor_limit().unwrap();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let crowd = CROWD.min(limit - OTHER_FILES);
    if crowd < CROWD {
        println!("measured: {crowd} instead of {CROWD}: {limit} open files are allowed");
    }
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let variables = [
        ("DOTGATE_SERVER_WORKERS", "2"),
        ("DOTGATE_TCP_CONNECTIONS_MAX", "40000"),
        ("DOTGATE_TCP_CONNECTIONS_PER_CLIENT_MAX", "40000"),
        ("DOTGATE_SERVER_CLIENT_MEMORY", "512MiB"),
        ("DOTGATE_TCP_IDLE", "12s"),
    ];
    let program = Program::serve(&authority, &upstream.written(), &variables);
    program.udp().ask("before.test").assert_right();
    let (files_before, memory_before) = (descriptors(&program), resident(&program));

    let mut clients: Vec<Client> = (0..crowd).map(|_| program.tcp()).collect();
    until("all to be accepted", || {
        descriptors(&program) >= files_before + crowd
    });
    assert_small(&program, memory_before, crowd, "accepted");

    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&format!("name-{number}.test"));
    }
    for client in &mut clients {
        client.receive().assert_right();
    }
    assert!(descriptors(&program) >= files_before + crowd);
    assert_small(&program, memory_before, crowd, "after a query each");
    program.tcp().ask("one-more.test").assert_right();
    program.udp().ask("another.test").assert_right();

    for client in &mut clients {
        client.wait_for_close();
    }
    until("all to be closed", || descriptors(&program) <= files_before);
    program.tcp().ask("after.test").assert_right();
}
