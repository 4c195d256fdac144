//! Upstreams that die, come back, or are not there yet.
//!
//! Processes are killed and started as a client of theirs sees it: connections reset, ports refusing, ports that
//! listen again. Queries wait if the outage may be short, and fail with the reason otherwise.

use std::time::Duration;

use dotgate_core::Count;
use dotgate_testbed::certificates::TestAuthority;

use crate::world::World;
use crate::world::message::assert_all_right;
use crate::world::upstream::{Opening, Upstream};

const MS: Duration = Duration::from_millis(1);

#[test]
fn the_only_upstream_restarts_under_load_and_no_query_is_lost() {
    let world = World::new(1);
    world.warm_up();
    let load = world.load(4 * MS);
    load.go_on_for(50);
    world.upstreams[0].kill();
    // More than half a second of queries that wait for its return.
    load.go_on_for(150);
    world.upstreams[0].listen();
    load.go_on_for(100);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
    assert_eq!(world.count(Count::Failed), 0);
}

#[test]
fn an_upstream_that_restarts_again_and_again_loses_no_query() {
    let world = World::new(1);
    world.warm_up();
    let load = world.load(4 * MS);
    for _ in 0..8 {
        load.go_on_for(40);
        world.upstreams[0].kill();
        world.upstreams[0].listen();
    }
    load.go_on_for(40);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
}

#[test]
fn of_two_upstreams_one_is_killed_and_no_query_is_lost() {
    let world = World::new(2);
    world.warm_up();
    let load = world.load(4 * MS);
    load.go_on_for(50);
    world.upstreams[0].kill();
    load.go_on_for(250);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
    assert_eq!(world.count(Count::Failed), 0);
    assert!(world.upstreams[1].queries() >= 250);
}

#[test]
fn the_preferred_upstream_is_used_again_once_it_is_back() {
    let world = World::new(2);
    world.warm_up();
    let load = world.load(4 * MS);
    world.upstreams[0].kill();
    load.go_on_for(50);
    let before = world.upstreams[0].queries();
    world.upstreams[0].listen();
    world.upstreams[0].wait_for_queries(before + 50);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
}

#[test]
fn an_upstream_that_closes_every_connection_at_once_costs_no_query() {
    let world = World::new(2);
    world.upstreams[0].script(|script| script.opening = Opening::Close);
    let mut client = world.udp();
    for number in 0..50 {
        client.ask(&format!("name-{number}.test")).assert_right();
    }
    assert_eq!(world.counts([Count::Attempts, Count::Failed]), [50, 0]);
}

#[test]
fn without_a_network_at_the_start_clients_get_servfail_and_the_reason_until_there_is_one() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start_deaf(&authority);
    let world = World::of(
        authority,
        vec![upstream],
        &[("DOTGATE_QUERY_DEADLINE", "500ms")],
    );
    for mut client in [world.udp(), world.tcp()] {
        let response = client.ask("before.test");
        response.assert_failed(22);
        let (_, text) = response.ede.unwrap();
        assert!(text.starts_with("connect: refused"), "{text}");
    }
    // One that asks while the upstream is away and is answered when it comes.
    let mut client = world.udp();
    client.send("meanwhile.test");
    world.wait_for(Count::QueriesForwarded, 2);
    world.upstreams[0].listen();
    client.receive().assert_right();
    client.ask("after.test").assert_right();
    assert_eq!(
        world.counts([Count::Answered, Count::Failed]),
        [2, 1],
        "the second client got the reason of the first one's failure"
    );
}
