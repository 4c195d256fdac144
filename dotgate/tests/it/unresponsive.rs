//! Upstreams that fall silent: no query is lost while another session or another upstream answers.
//!
//! Connections, names and whole upstreams stop answering while clients go on asking; counted are answers,
//! sessions that became suspect, and where the attempts went. The clocks are those of `dotgate_core::limits`.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use dotgate_core::Count;
use socket2::{Domain, Socket, Type};

use crate::world::World;
use crate::world::message::assert_all_right;
use crate::world::upstream::{AUTHENTICATION_NAME, Form, Opening, Step, Upstream};

const MS: Duration = Duration::from_millis(1);

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("name-{number}.test"))
}

#[test]
fn a_connection_that_swallows_everything_is_replaced_and_its_queries_are_answered() {
    let world = World::new(1);
    let mut client = world.warm_up();
    let upstream = &world.upstreams[0];
    upstream.freeze_all();
    client.send_all(names(20));
    assert_all_right(&client.receive_all(), 20);
    assert_eq!(
        world.counts([Count::Attempts, Count::AttemptsRetry]),
        [41, 20]
    );
    assert_eq!(world.count(Count::SessionsUnresponsive), 1);
    assert!(
        upstream.connections() <= 1 + 7 + 1,
        "seven groups and a try"
    );
    world.wait_for(Count::SessionsLost, 1);
}

#[test]
fn a_lone_query_on_a_connection_that_swallows_everything_is_answered_too() {
    let world = World::new(1);
    let mut client = world.warm_up();
    world.upstreams[0].freeze_all();
    client.ask("lone.test").assert_right();
    assert_eq!(
        world.counts([Count::Attempts, Count::AttemptsRetry]),
        [3, 1]
    );
    assert!(world.upstreams[0].connections() <= 1 + 1 + 1);
}

#[test]
fn a_name_that_one_upstream_does_not_answer_is_asked_at_the_next_and_disturbs_no_other() {
    let world = World::with(2, &[("DOTGATE_QUERY_DEADLINE", "3s")]);
    let mut client = world.warm_up();
    let [first, second] = &world.upstreams[..] else {
        unreachable!()
    };
    first.script(|script| script.on_beginning("stalled", &[Step::Hold]));
    second.script(|script| script.on("stalled-twice.test", &[Step::Hold]));
    let load = world.load(20 * MS);
    client.send("stalled.test");
    client.send("stalled-twice.test");
    let answered = client.receive();
    assert_eq!(answered.name, "stalled.test");
    answered.assert_right();
    client.receive().assert_failed(23);
    let load = load.finish();
    assert_all_right(&load, load.len());
    assert_eq!(
        world.counts([Count::AttemptsHedge, Count::AttemptsRetry]),
        [2, 0]
    );
    assert_eq!(
        (
            first.queries_for("stalled.test"),
            second.queries_for("stalled.test")
        ),
        (1, 1)
    );
    assert_eq!(
        (second.queries(), first.connections(), second.connections()),
        (2, 1, 1)
    );
    assert_eq!(world.count(Count::SessionsUnresponsive), 0);
    first.release_all();
    world.wait_for(Count::ResponsesLate, 2);
    assert_eq!(
        world.count(Count::ResponsesInvalid),
        0,
        "what comes late is known"
    );
}

#[test]
fn a_slow_name_holds_up_none_behind_it() {
    let world = World::new(1);
    let mut client = world.warm_up();
    let slow = [Step::Wait(800 * MS), Step::Send(Form::Right)];
    world.upstreams[0].script(|script| script.on("slow.test", &slow));
    client.send("slow.test");
    world.upstreams[0].wait_for_queries(2);
    client.send_all(names(20));
    let responses = client.receive_all();
    assert_all_right(&responses, 21);
    assert_eq!(responses[20].name, "slow.test");
    assert_eq!(world.count(Count::Attempts), 22);
    assert_eq!(world.upstreams[0].connections(), 1);
}

/// The first query for `broken.test` spoils the stream; it and those behind it are hedged.
fn a_spoiled_stream_is_replaced(how: &[Step]) {
    let world = World::new(1);
    let mut client = world.warm_up();
    let upstream = &world.upstreams[0];
    upstream.script(|script| script.once("broken.test", how));
    client.send("broken.test");
    upstream.wait_for_queries(2);
    client.send_all(names(20));
    assert_all_right(&client.receive_all(), 21);
    assert_eq!(
        world.counts([Count::Attempts, Count::AttemptsRetry]),
        [43, 21]
    );
    assert_eq!(
        world.counts([Count::SessionsUnresponsive, Count::Failed]),
        [1, 0]
    );
    assert!(
        upstream.connections() <= 1 + 7 + 1,
        "seven groups and a try"
    );
    world.wait_for(Count::SessionsLost, 1);
}

#[test]
fn a_response_that_drips_is_overtaken_on_a_second_session() {
    a_spoiled_stream_is_replaced(&[Step::Drip(100 * MS)]);
}

#[test]
fn a_length_with_nothing_behind_it_is_overtaken_on_a_second_session() {
    a_spoiled_stream_is_replaced(&[Step::Send(Form::LengthAlone)]);
}

#[test]
fn an_upstream_that_only_shakes_hands_loses_none_of_250_queries() {
    let world = World::new(2);
    world.upstreams[0].script(|script| script.all = vec![Step::Hold]);
    let load = world.load(4 * MS);
    load.go_on_for(250);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
    let [frozen, healthy] = [0, 1].map(|number| world.upstreams[number].queries());
    // What came in the quarter second until the session was suspect, and probes since.
    assert!(
        frozen < 150,
        "{frozen} of {} queries went to the frozen one",
        responses.len()
    );
    assert!(healthy >= responses.len());
}

#[test]
fn an_upstream_that_freezes_under_load_loses_none_of_250_queries() {
    let world = World::new(2);
    world.warm_up();
    let load = world.load(4 * MS);
    load.go_on_for(50);
    // As after a loss of the network: open connections swallow everything, and new ones fail.
    world.upstreams[0].script(|script| script.opening = Opening::Ignore);
    world.upstreams[0].freeze_all();
    load.go_on_for(250);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
    assert_eq!(world.count(Count::Failed), 0);
}

#[test]
fn an_upstream_that_never_shakes_hands_gets_no_query_and_loses_none() {
    let world = World::new(2);
    world.upstreams[0].script(|script| script.opening = Opening::Ignore);
    let load = world.load(4 * MS);
    load.go_on_for(250);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
    assert_eq!(world.upstreams[0].queries(), 0);
    assert_eq!(world.count(Count::Attempts), responses.len() as u64);
}

/// An address at which packets vanish: its one place for a connection is taken, and the kernel drops every SYN.
struct Blackhole {
    address: SocketAddr,
    _listener: Socket,
    _taking_the_place: Vec<TcpStream>,
}

impl Blackhole {
    /// How it is written in `DNS_HOST`.
    fn written(&self) -> String {
        let address = self.address;
        format!("{}@{}#{AUTHENTICATION_NAME}", address.ip(), address.port())
    }

    fn new() -> Blackhole {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any_port = SocketAddr::from((Ipv4Addr::new(127, 78, 0, 1), 0));
        listener.bind(&any_port.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut taking_the_place = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, 200 * MS) {
            taking_the_place.push(stream);
        }
        Blackhole {
            address,
            _listener: listener,
            _taking_the_place: taking_the_place,
        }
    }
}

#[test]
fn an_upstream_whose_packets_vanish_costs_the_next_one_no_second_attempt() {
    let blackhole = Blackhole::new();
    let authority = dotgate_testbed::certificates::TestAuthority::new().unwrap();
    let healthy = Upstream::start(&authority);
    let hosts = format!("{},{}", blackhole.written(), healthy.written());
    let world = World::of(authority, vec![healthy], &[("DNS_HOST", &hosts)]);
    let load = world.load(4 * MS);
    load.go_on_for(250);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
    assert_eq!(world.count(Count::Attempts), responses.len() as u64);
    assert_eq!(world.upstreams[0].queries(), responses.len());
}

#[test]
fn behind_an_upstream_whose_packets_vanish_alone_clients_get_servfail_not_ready() {
    let blackhole = Blackhole::new();
    let authority = dotgate_testbed::certificates::TestAuthority::new().unwrap();
    let hosts = blackhole.written();
    let variables = [
        ("DNS_HOST", hosts.as_str()),
        ("DOTGATE_QUERY_DEADLINE", "1s"),
    ];
    let world = World::of(authority, Vec::new(), &variables);
    for mut client in [world.udp(), world.tcp()] {
        client.send_all(names(20));
        for response in client.receive_all() {
            response.assert_failed(14);
        }
    }
    assert_eq!(world.count(Count::Attempts), 0);
}
