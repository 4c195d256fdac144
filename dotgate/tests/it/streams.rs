//! Clients over TCP: in any segmentation, in any order, half-closed, half-way, or not reading.
//!
//! Clients misuse their connections while others go on asking; counted are answers, connections cut off, and how
//! many queries of a client that does not read were taken. RFC 7766 sections 6.2 to 8, RFC 9210 section 4.

use std::time::Duration;

use dotgate_core::Count;
use dotgate_message::framed;

use crate::world::World;
use crate::world::client::Client;
use crate::world::message::{QueryType, assert_all_right};
use crate::world::upstream::{Form, Step};

const MS: Duration = Duration::from_millis(1);

#[test]
fn answers_of_one_connection_come_as_they_are_ready() {
    let world = World::new(1);
    world.upstreams[0].script(|script| script.on("slow.test", &[Step::Hold]));
    let mut client = world.tcp();
    client.send_together(["slow.test", "one.test", "two.test"].map(str::to_owned));
    let first: Vec<String> = (0..2).map(|_| client.receive().name).collect();
    assert_eq!(first, ["one.test", "two.test"]);
    world.upstreams[0].release_all();
    client.receive().assert_right();
}

#[test]
fn a_query_that_comes_byte_by_byte_is_answered() {
    let world = World::new(1);
    let mut client = world.tcp();
    for name in ["one.test", "two.test"] {
        let query = client.next_query(name, QueryType::AddressWithoutEdns);
        for byte in framed(&query) {
            client.send_bytes(&[byte]).unwrap();
        }
    }
    assert_all_right(&client.receive_all(), 2);
}

#[test]
fn a_client_that_has_sent_its_last_byte_still_gets_its_answers() {
    let world = World::new(1);
    world.upstreams[0].script(|script| script.all = vec![Step::Hold]);
    let mut client = world.tcp();
    client.send_together((0..20).map(|number| format!("name-{number}.test")));
    client.send_end();
    world.upstreams[0].wait_for_queries(20);
    world.upstreams[0].release_all();
    assert_all_right(&client.receive_all(), 20);
    client.wait_for_close();
}

#[test]
fn a_client_that_connects_long_before_its_first_query_is_accepted_and_answered() {
    let world = World::new(1);
    let mut client = world.tcp();
    world.wait_for(Count::StreamsAccepted, 1);
    client.ask("name.test").assert_right();
}

#[test]
fn a_client_that_goes_away_takes_nothing_with_it() {
    let world = World::new(1);
    world.upstreams[0].script(|script| script.on_beginning("left", &[Step::Hold]));
    let mut leaving = world.tcp();
    leaving.send_together((0..20).map(|number| format!("left-{number}.test")));
    world.upstreams[0].wait_for_queries(20);
    leaving.reset();
    let mut client = world.tcp();
    client.ask("name.test").assert_right();
    world.upstreams[0].release_all();
    world.wait_for(Count::Responses, 21);
    client.ask("another.test").assert_right();
    assert_eq!(world.count(Count::ClientsGone), 20);
    assert_eq!(world.count(Count::SessionsOpened), 1);
}

#[test]
fn a_client_that_only_drips_is_closed_when_its_idle_time_is_over() {
    let world = World::with(1, &[("DOTGATE_TCP_IDLE", "1s")]);
    let mut dripping = world.tcp();
    let query = dripping.next_query("never.test", QueryType::Address);
    let mut bytes = framed(&query).into_iter().cycle();
    // One byte at a time, never a whole message: its length says 65,535.
    dripping.send_bytes(&[0xff, 0xff]).unwrap();
    let mut others = world.tcp();
    while world.count(Count::StreamsCutOff) == 0 {
        drop(dripping.send_bytes(&[bytes.next().unwrap()]));
        others.ask("others.test").assert_right();
    }
    dripping.wait_for_close();
    assert_eq!(world.upstreams[0].queries_for("never.test"), 0);
}

#[test]
fn clients_half_way_through_a_query_or_not_reading_are_cut_off_and_disturb_no_other() {
    const HALF_WAY: u64 = 50;
    const PIPELINED: usize = 10_000;
    let world = World::with(1, &[("DOTGATE_TCP_IDLE", "60s")]);
    world.upstreams[0].script(|script| {
        script.on_beginning("unread", &[Step::Send(Form::Kilobyte)]);
    });
    let half_way = |_| {
        let mut client = world.tcp();
        let query = framed(&client.next_query("half.test", QueryType::Address));
        client.send_bytes(&query[..query.len() / 2]).unwrap();
        client
    };
    let mut half_way: Vec<Client> = (0..HALF_WAY).map(half_way).collect();
    let mut deaf = Client::tcp_with_little_room(world.address());
    deaf.stop_waiting_for_room();
    let mut queries = Vec::new();
    for number in 0..PIPELINED {
        let name = format!("unread-{number}.test");
        queries.extend(framed(&deaf.next_query(&name, QueryType::Text)));
    }
    // It fails once the forwarder reads no more, or succeeds into the kernel's buffers.
    drop(deaf.send_bytes(&queries));
    let load = world.load(20 * MS);
    let mut stream = world.tcp();
    let mut asked = 0;
    while world.count(Count::StreamsCutOff) < HALF_WAY + 1 {
        stream.ask(&format!("others-{asked}.test")).assert_right();
        asked += 1;
        load.go_on_for(5);
        assert!(asked < 300, "not cut off");
    }
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
    for client in &mut half_way {
        client.wait_for_close();
    }
    deaf.wait_for_close();
    let record = world.upstreams[0].record();
    let unread = record
        .queries
        .iter()
        .filter(|(_, it)| it.name.starts_with("unread"));
    let unread = unread.count();
    assert!(
        unread < PIPELINED / 2,
        "{unread} queries were taken from a client that does not read"
    );
}
