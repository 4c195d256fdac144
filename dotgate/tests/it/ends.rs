//! Sessions that end with queries in flight: every query is asked once more, in groups on new sessions, and answered.
//!
//! An upstream ends the connection on the very query that makes twenty in flight, in every way a connection can
//! end; counted are answers, attempts, connections and handshakes. RFC 7766 section 6.2.4, RFC 7828 section 3.2.2.

use dotgate_core::Count;

use crate::world::World;
use crate::world::client::Client;
use crate::world::message::assert_all_right;
use crate::world::upstream::{End, Form, Script, Step};

const IN_FLIGHT: usize = 20;

/// Groups of three at most, into which those in flight are split.
const GROUPS: u64 = 7;

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("name-{number}.test"))
}

fn twenty_in_flight_survive(end: End, client: fn(&World) -> Client) {
    let world = World::new(1);
    world.warm_up();
    let upstream = &world.upstreams[0];
    upstream.script(|script| {
        script.all = vec![Step::Hold];
        script.end_at = Some((1 + IN_FLIGHT, end));
    });
    let mut client = client(&world);
    client.send_all(names(IN_FLIGHT));
    assert_all_right(&client.receive_all(), IN_FLIGHT);
    let counted = world.counts([
        Count::Attempts,
        Count::AttemptsRetry,
        Count::AttemptsHedge,
        Count::SessionsStarted,
        Count::SessionsOpened,
        Count::SessionsLost,
        Count::Failed,
    ]);
    assert_eq!(counted, [41, 20, 0, 1 + GROUPS, 1 + GROUPS, 1, 0]);
    let record = upstream.record();
    let handshakes = record.full_handshakes + record.resumed_handshakes;
    assert_eq!(
        (record.queries.len(), record.connections, handshakes),
        (41, 1 + GROUPS, 1 + GROUPS)
    );
    assert_eq!(record.reused_ids, 0);
}

#[test]
fn a_fin_costs_each_query_in_flight_one_more_attempt() {
    twenty_in_flight_survive(End::Fin, World::udp);
    twenty_in_flight_survive(End::Fin, World::tcp);
}

#[test]
fn a_close_notify_costs_each_query_in_flight_one_more_attempt() {
    twenty_in_flight_survive(End::Notify, World::udp);
}

#[test]
fn a_reset_costs_each_query_in_flight_one_more_attempt() {
    twenty_in_flight_survive(End::Reset, World::udp);
    twenty_in_flight_survive(End::Reset, World::tcp);
}

#[test]
fn an_end_in_the_middle_of_a_response_costs_each_query_in_flight_one_more_attempt() {
    twenty_in_flight_survive(End::MidFrame, World::udp);
    twenty_in_flight_survive(End::MidFrame, World::tcp);
}

#[test]
fn a_fatal_alert_costs_each_query_in_flight_one_more_attempt() {
    twenty_in_flight_survive(End::Alert, World::udp);
}

#[test]
fn a_record_nobody_can_decrypt_costs_each_query_in_flight_one_more_attempt() {
    twenty_in_flight_survive(End::BadRecord, World::udp);
}

#[test]
fn with_a_second_upstream_the_queries_in_flight_go_there() {
    let world = World::new(2);
    world.warm_up();
    world.upstreams[0].script(|script| {
        script.all = vec![Step::Hold];
        script.end_at = Some((1 + IN_FLIGHT, End::Reset));
    });
    let mut client = world.udp();
    client.send_all(names(IN_FLIGHT));
    assert_all_right(&client.receive_all(), IN_FLIGHT);
    assert_eq!(world.upstreams[0].queries(), 1 + IN_FLIGHT);
    assert_eq!(world.upstreams[1].queries(), IN_FLIGHT);
    assert_eq!(world.counts([Count::AttemptsRetry, Count::Failed]), [20, 0]);
}

#[test]
fn after_keepalive_zero_the_session_drains_and_the_next_query_goes_to_a_new_one() {
    let world = World::new(1);
    let mut client = world.warm_up();
    let upstream = &world.upstreams[0];
    upstream.script(|script| {
        script.on_beginning("held", &[Step::Hold]);
        script.once("zero.test", &[Step::Send(Form::KeepaliveZero)]);
    });
    client.send_all((0..5).map(|number| format!("held-{number}.test")));
    upstream.wait_for_queries(6);
    client.ask("zero.test").assert_right();
    client.ask("after.test").assert_right();
    upstream.release_all();
    assert_all_right(&client.receive_all(), 5);
    upstream.wait_until("the drained session's end", |record| record.ended == 1);
    let record = upstream.record();
    let connections: Vec<u64> = record.queries.iter().map(|(number, _)| *number).collect();
    assert_eq!(connections, [1, 1, 1, 1, 1, 1, 1, 2]);
    assert_eq!(
        world.counts([Count::AttemptsRetry, Count::AttemptsHedge]),
        [0, 0]
    );
    assert_eq!(
        world.counts([Count::SessionsOpened, Count::SessionsLost]),
        [2, 0]
    );
}

/// Each query may meet the end of the session that answered the one before.
fn no_query_is_lost_in_the_race_with(end: End) {
    const QUERIES: u64 = 100;
    let world = World::new(1);
    let ending = |script: &mut Script| script.all = vec![Step::Send(Form::Right), Step::End(end)];
    world.upstreams[0].script(ending);
    let mut client = world.udp();
    for number in 0..QUERIES {
        client.ask(&format!("race-{number}.test")).assert_right();
    }
    let [attempts, again, hedge] =
        world.counts([Count::Attempts, Count::AttemptsRetry, Count::AttemptsHedge]);
    assert_eq!((attempts - again, hedge), (QUERIES, 0));
    assert_eq!(
        world.upstreams[0].connections(),
        QUERIES,
        "every answer had a session of its own"
    );
    assert_eq!(world.count(Count::Failed), 0);
}

#[test]
fn an_upstream_that_closes_after_every_response_loses_no_query() {
    no_query_is_lost_in_the_race_with(End::Fin);
    no_query_is_lost_in_the_race_with(End::Notify);
}

#[test]
fn an_upstream_that_resets_after_every_response_loses_no_query() {
    no_query_is_lost_in_the_race_with(End::Reset);
}
