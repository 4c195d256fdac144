//! A program that has nothing to do sleeps, whatever its connections have been through.
//!
//! After a burst, with a client half-closed or not reading, with an upstream that never shakes hands, the built
//! program answers a hundred queries in a second; counted are its processor ticks meanwhile.

use dotgate_message::framed;
use dotgate_testbed::certificates::TestAuthority;

use crate::world::client::Client;
use crate::world::message::QueryType;
use crate::world::program::Program;
use crate::world::upstream::{Form, Opening, Step, Upstream};

fn world(upstreams: usize) -> (Vec<Upstream>, Program) {
    let authority = TestAuthority::new().unwrap();
    let upstreams: Vec<Upstream> = (0..upstreams)
        .map(|_| Upstream::start(&authority))
        .collect();
    let hosts: Vec<String> = upstreams.iter().map(Upstream::written).collect();
    let one_worker = [("DOTGATE_SERVER_WORKERS", "1"), ("DOTGATE_TCP_IDLE", "60s")];
    let program = Program::serve(&authority, &hosts.join(","), &one_worker);
    (upstreams, program)
}

#[test]
fn after_a_burst_of_long_answers_it_sleeps() {
    let (upstreams, program) = world(1);
    let mut client = program.tcp();
    client.ask("warm-up.test").assert_right();
    let held_and_long = [Step::Hold, Step::Send(Form::Long)];
    upstreams[0].script(|script| script.on_beginning("long", &held_and_long));
    for number in 0..30 {
        client.send_for(&format!("long-{number}.test"), QueryType::TextWithoutEdns);
    }
    upstreams[0].wait_for_queries(31);
    upstreams[0].release_all();
    for response in client.receive_all() {
        assert!(response.length > 65_000);
    }
    program.assert_sleeps();
}

#[test]
fn with_clients_half_closed_half_way_and_not_reading_it_sleeps() {
    let (upstreams, program) = world(1);
    upstreams[0].script(|script| {
        script.on_beginning("held", &[Step::Hold]);
        script.on_beginning("unread", &[Step::Send(Form::Kilobyte)]);
    });
    let mut half_closed = program.tcp();
    half_closed.send("held.test");
    half_closed.send_end();
    let mut half_way = program.tcp();
    half_way.send_bytes(&[0, 40, 1]).unwrap();
    let mut deaf = Client::tcp_with_little_room(program.address());
    deaf.stop_waiting_for_room();
    for number in 0..5_000 {
        let name = format!("unread-{number}.test");
        let query = deaf.next_query(&name, QueryType::Text);
        if deaf.send_bytes(&framed(&query)).is_err() {
            break;
        }
    }
    program.assert_sleeps();
}

#[test]
fn with_an_upstream_that_never_shakes_hands_it_sleeps() {
    let (upstreams, program) = world(2);
    upstreams[0].script(|script| script.opening = Opening::Ignore);
    program.assert_sleeps();
}

#[test]
fn with_an_upstream_that_closes_every_connection_it_sleeps() {
    let (upstreams, program) = world(2);
    upstreams[0].script(|script| script.opening = Opening::Close);
    program.assert_sleeps();
}

#[test]
fn with_an_upstream_that_stopped_reading_it_sleeps() {
    let (upstreams, program) = world(2);
    program.udp().ask("warm-up.test").assert_right();
    upstreams[0].freeze_all();
    program.assert_sleeps();
}
