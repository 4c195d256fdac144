//! Many clients at once, on every address and both transports.
//!
//! Clients ask the same and different things through one or two workers; counted are answers, merged questions,
//! queries that reached the upstream, and sessions. RFC 2181 section 4.1, RFC 5452 section 5, RFC 7766 section 6.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use dotgate_core::Count;
use dotgate_testbed::certificates::TestAuthority;

use crate::world::World;
use crate::world::address::own_address;
use crate::world::client::Client;
use crate::world::message::assert_all_right;
use crate::world::program::Program;
use crate::world::upstream::{Form, Opening, Step, Upstream};

const MS: Duration = Duration::from_millis(1);

#[test]
fn identical_questions_are_sent_once_and_each_client_gets_its_own_name_case() {
    const CLIENTS: usize = 50;
    let world = World::new(1);
    world.upstreams[0].script(|script| script.all = vec![Step::Hold]);
    let name = |number: usize| {
        let letters = "same.question.test".chars().enumerate();
        let upper = |(at, letter): (usize, char)| match (number >> (at % 6)) & 1 {
            0 => letter,
            _ => letter.to_ascii_uppercase(),
        };
        letters.map(upper).collect::<String>()
    };
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| {
            if number % 2 == 0 {
                world.udp()
            } else {
                world.tcp()
            }
        })
        .collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&name(number));
    }
    world.wait_for(Count::QueriesForwarded, CLIENTS as u64);
    world.upstreams[0].wait_for_queries(1);
    world.upstreams[0].release_all();
    // A client takes no response whose question is not its own, letter by letter.
    let responses: Vec<_> = clients.iter_mut().map(Client::receive).collect();
    assert_all_right(&responses, CLIENTS);
    assert_eq!(world.upstreams[0].queries(), 1);
    assert_eq!(
        world.counts([Count::QueriesMerged, Count::Attempts]),
        [CLIENTS as u64 - 1, 1]
    );
}

#[test]
fn more_than_a_thousand_in_flight_are_spread_over_sessions_and_all_answered() {
    const QUERIES: usize = 2_500;
    let world = World::with(1, &[("DOTGATE_TCP_IN_FLIGHT_MAX", "10000")]);
    world.warm_up();
    let upstream = &world.upstreams[0];
    // As long as one in ten is answered, no session is taken for silent.
    upstream.script(|script| script.on_beginning("held", &[Step::Hold]));
    let mut client = world.tcp();
    for round in 0..QUERIES / 50 {
        client.send_together((0..49).map(|number| format!("held-{round}-{number}.test")));
        client.ask(&format!("answered-{round}.test"));
    }
    upstream.wait_until("queries", |record| record.queries.len() > QUERIES);
    upstream.release_all();
    let delayed = client.receive_all();
    assert_all_right(&delayed, delayed.len());
    assert!(world.count(Count::SessionsOpened) >= 2);
    assert_eq!(world.counts([Count::Failed, Count::SessionsLost]), [0, 0]);
    assert_eq!(upstream.record().reused_ids, 0);
}

#[test]
fn an_upstream_that_reads_slowly_gets_every_query_once() {
    const QUERIES: usize = 3_000;
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start_deaf(&authority);
    upstream.script(|script| script.has_little_room = true);
    upstream.listen();
    let world = World::of(
        authority,
        vec![upstream],
        &[("DOTGATE_TCP_IN_FLIGHT_MAX", "10000")],
    );
    let mut client = world.tcp();
    client.send_together((0..QUERIES).map(|number| format!("name-{number}.test")));
    assert_all_right(&client.receive_all(), QUERIES);
    let counts = [Count::Failed, Count::SessionsLost, Count::Probes];
    let [failed, lost, probes] = world.counts(counts);
    assert_eq!((failed, lost), (0, 0));
    // Where nothing came from it for a while, dotgate has asked a question of its own, and copied late ones within a budget.
    let copies = world.count(Count::AttemptsHedge);
    let most = QUERIES + (probes + copies) as usize;
    assert!(world.upstreams[0].queries() <= most);
}

#[test]
fn a_client_that_pipelines_beyond_its_limit_waits_and_gets_everything() {
    const QUERIES: usize = 5_000;
    let world = World::with(1, &[("DOTGATE_TCP_IN_FLIGHT_MAX", "100")]);
    let mut client = world.tcp();
    client.send_together((0..QUERIES).map(|number| format!("name-{number}.test")));
    assert_all_right(&client.receive_all(), QUERIES);
    assert_eq!(
        world.counts([Count::Attempts, Count::QueriesShed]),
        [QUERIES as u64, 0]
    );
}

#[test]
fn a_response_comes_from_the_address_that_was_asked() {
    let world = World::with(1, &[("HOST", "0.0.0.0")]);
    let port = world.address().port();
    for last in [1, 2, 3] {
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), port));
        // A connected socket takes nothing from another address.
        for mut client in [Client::udp(address), Client::tcp(address)] {
            client.ask(&format!("name-{last}.test")).assert_right();
        }
    }
}

#[test]
fn clients_over_ipv6_and_ipv4_are_answered_alike() {
    // The port is chosen for the first address: the second one must be nobody else's.
    let second = own_address();
    let world = World::with(1, &[("HOST", &format!("::1,{second}"))]);
    let port = world.address().port();
    for ip in [IpAddr::from(Ipv6Addr::LOCALHOST), second.into()] {
        let address = SocketAddr::from((ip, port));
        for mut client in [Client::udp(address), Client::tcp(address)] {
            client.ask("name.test").assert_right();
        }
    }
    assert_eq!(world.count(Count::SessionsOpened), 1);
}

#[test]
fn all_workers_together_try_an_upstream_that_is_down_four_times_a_second() {
    let variables = [
        ("DOTGATE_SERVER_WORKERS", "4"),
        ("DOTGATE_QUERY_DEADLINE", "500ms"),
    ];
    let world = World::with(1, &variables);
    world.upstreams[0].script(|script| script.opening = Opening::Close);
    let mut clients: Vec<Client> = (0..32).map(|_| world.udp()).collect();
    let mut rounds = 0;
    // Each round is half a second: the time after which a query has failed.
    while rounds < 4 {
        for client in &mut clients {
            client.send(&format!("round-{rounds}.test"));
        }
        for client in &mut clients {
            client.receive().assert_failed(22);
        }
        rounds += 1;
    }
    // One for each worker that found out by itself, and eight or nine in two seconds.
    let tries = world.upstreams[0].connections();
    assert!(
        (4..=16).contains(&tries),
        "{tries} connections in two seconds"
    );
}

#[test]
fn nothing_that_clients_do_is_logged_as_a_warning() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let mut program = Program::serve(
        &authority,
        &upstream.written(),
        &[("DOTGATE_SERVER_DRAIN_MAX", "0s")],
    );
    for bytes in [
        &[][..],
        &[0],
        &[0, 0],
        &[0; 12],
        &[0xff; 300],
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        for mut client in [program.udp(), program.tcp()] {
            client.send_bytes(bytes).unwrap();
            client.reset();
        }
    }
    program.udp().ask("name.test").assert_right();
    program.tcp().ask("name.test").assert_right();
    program.signal("HUP");
    program.wait_for_line("SIGHUP");
    program.udp().ask("still-there.test").assert_right();
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    let said = program.new_lines();
    assert!(
        !said
            .iter()
            .any(|line| line.contains("WARN") || line.contains("ERROR")),
        "{said:#?}"
    );
}

#[test]
fn slow_answers_of_two_workers_reach_their_own_clients() {
    let world = World::with(1, &[("DOTGATE_SERVER_WORKERS", "2")]);
    let late = [Step::Wait(20 * MS), Step::Send(Form::Right)];
    world.upstreams[0].script(|script| script.all = late.to_vec());
    let mut clients: Vec<Client> = (0..32)
        .map(|number| {
            if number % 4 == 0 {
                world.tcp()
            } else {
                world.udp()
            }
        })
        .collect();
    for round in 0..10 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send_all((0..10).map(|name| format!("name-{round}-{number}-{name}.test")));
        }
        for client in &mut clients {
            assert_all_right(&client.receive_all(), 10);
        }
    }
    let [attempts, again, hedge] =
        world.counts([Count::Attempts, Count::AttemptsRetry, Count::AttemptsHedge]);
    assert_eq!(attempts - again - hedge, 3_200);
    let record = world.upstreams[0].record();
    let of_worker = |number| {
        record
            .queries
            .iter()
            .filter(|(it, _)| *it == number)
            .count()
    };
    assert!(
        of_worker(1) > 0 && of_worker(2) > 0,
        "each worker has a session"
    );
}

#[test]
fn what_was_sent_before_the_end_is_answered() {
    for _ in 0..100 {
        let world = World::new(1);
        world.warm_up();
        let mut datagrams = world.udp();
        let mut stream = world.tcp();
        stream.ask("before.test").assert_right();
        datagrams.send_all((0..100).map(|number| format!("udp-{number}.test")));
        stream.send_together((0..100).map(|number| format!("tcp-{number}.test")));
        let mut not_accepted_yet = world.tcp();
        not_accepted_yet.send("queued.test");
        world.finish();
        not_accepted_yet.receive().assert_right();
        assert_all_right(&datagrams.receive_all(), 100);
        assert_all_right(&stream.receive_all(), 100);
        stream.wait_for_close();
    }
}
