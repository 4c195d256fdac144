//! Networks that vanish without a word: links go down, packets are dropped, addresses and routes change.
//!
//! No FIN or RST is ever seen: what is open is cut off, and what is sent gets no answer. Counted are answers and
//! what reached the upstreams, while a client asks all the time and nothing is restarted. It asks so seldom that
//! what waited for its answer through an outage fits in its receive buffer at once.

use std::time::Duration;

use dotgate_testbed::certificates::TestAuthority;

use crate::namespaces::{FIRST, FIRST_IPV6, Network, SECOND};
use crate::world::http;
use crate::world::load::Load;
use crate::world::message::{QueryType, assert_all_right};
use crate::world::program::Program;
use crate::world::upstream::{Form, Step};
use crate::world::wait::until;

/// The client's pause between two questions.
const GAP: Duration = Duration::from_millis(10);

/// Where attempts and connections are counted, late queries are not copied: what is late depends on the machine.
const NO_COPIES: [(&str, &str); 1] = [("DOTGATE_DNS_HEDGE", "0%")];

/// A way to cut the first link, and to mend it.
struct Outage {
    cut: fn(&Network),
    mend: fn(&Network),
}

/// The cable is pulled at the other end.
const FAR_LINK: Outage = Outage {
    cut: |network| network.far("link set first down"),
    mend: |network| network.far("link set first up"),
};

/// Packets are dropped in both directions: what has no way back is not let in (RFC 3704 section 2.2).
const PACKETS: Outage = Outage {
    cut: |network| {
        network.set("far", "net/ipv4/conf/all/rp_filter", "1");
        network.far("route add blackhole 10.78.0.2/32");
    },
    mend: |network| network.far("route delete blackhole 10.78.0.2/32"),
};

/// The forwarder's own interface goes down, and its routes with it.
const NEAR_LINK: Outage = Outage {
    cut: |network| network.near("link set first down"),
    mend: |network| network.near("link set first up"),
};

/// A client that asks from when a session is open.
fn load(program: &Program) -> Load {
    program.udp().ask("warm-up.test").assert_right();
    let load = program.load(GAP);
    load.go_on_for(25);
    load
}

/// The preferred one of two upstreams is cut off and comes back; every query is answered.
fn one_of_two_is_cut_off(test: &str, Outage { cut, mend }: Outage) {
    let Some(network) = Network::enter(test) else {
        return;
    };
    let authority = TestAuthority::new().unwrap();
    let first = network.upstream(FIRST, &authority);
    let second = network.upstream(SECOND, &authority);
    let program = network.serve(&authority, &[&first, &second]);
    let load = load(&program);
    cut(&network);
    let before = first.queries();
    load.go_on_for(120);
    let meanwhile = first.queries() - before;
    assert!(meanwhile < 10, "{meanwhile} queries came through");
    assert!(second.queries() >= 100);
    mend(&network);
    first.wait_for_queries(before + 25);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
}

#[test]
fn the_link_of_one_of_two_upstreams_goes_down_and_no_query_is_lost() {
    let test = "network::the_link_of_one_of_two_upstreams_goes_down_and_no_query_is_lost";
    one_of_two_is_cut_off(test, FAR_LINK);
}

#[test]
fn the_packets_of_one_of_two_upstreams_are_dropped_and_no_query_is_lost() {
    let test = "network::the_packets_of_one_of_two_upstreams_are_dropped_and_no_query_is_lost";
    one_of_two_is_cut_off(test, PACKETS);
}

#[test]
fn the_interface_towards_one_of_two_upstreams_goes_down_and_no_query_is_lost() {
    let test = "network::the_interface_towards_one_of_two_upstreams_goes_down_and_no_query_is_lost";
    one_of_two_is_cut_off(test, NEAR_LINK);
}

/// The only upstream is cut off for a second; queries wait for it.
fn the_only_one_is_cut_off(test: &str, Outage { cut, mend }: Outage) {
    let Some(network) = Network::enter(test) else {
        return;
    };
    let authority = TestAuthority::new().unwrap();
    let upstream = network.upstream(FIRST, &authority);
    let program = network.serve(&authority, &[&upstream]);
    let load = load(&program);
    cut(&network);
    let before = upstream.queries();
    load.go_on_for(100);
    let meanwhile = upstream.queries() - before;
    assert!(meanwhile < 10, "{meanwhile} queries came through");
    mend(&network);
    load.go_on_for(100);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
}

#[test]
fn the_link_of_the_only_upstream_is_down_for_a_second_and_no_query_is_lost() {
    let test = "network::the_link_of_the_only_upstream_is_down_for_a_second_and_no_query_is_lost";
    the_only_one_is_cut_off(test, FAR_LINK);
}

#[test]
fn the_packets_of_the_only_upstream_are_dropped_for_a_second_and_no_query_is_lost() {
    let test =
        "network::the_packets_of_the_only_upstream_are_dropped_for_a_second_and_no_query_is_lost";
    the_only_one_is_cut_off(test, PACKETS);
}

#[test]
fn the_forwarders_interface_is_down_for_a_second_and_no_query_is_lost() {
    let test = "network::the_forwarders_interface_is_down_for_a_second_and_no_query_is_lost";
    the_only_one_is_cut_off(test, NEAR_LINK);
}

#[test]
fn the_forwarder_gets_another_address_and_no_query_is_lost() {
    let test = "network::the_forwarder_gets_another_address_and_no_query_is_lost";
    let Some(network) = Network::enter(test) else {
        return;
    };
    let authority = TestAuthority::new().unwrap();
    let upstream = network.upstream(FIRST, &authority);
    let program = network.serve_with(&authority, &[&upstream], &NO_COPIES);
    let load = load(&program);
    network.near("address delete 10.78.0.2/24 dev first");
    network.near("address add 10.78.0.3/24 dev first");
    load.go_on_for(100);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
    // The first is of the old address, from which nothing comes any more; then one for each group of its queries, and
    // one for the queries that came meanwhile.
    assert!(upstream.connections() <= 1 + 8 + 1);
}

#[test]
fn without_a_network_route_clients_get_an_error_and_with_one_again_an_answer() {
    let test = "network::without_a_network_route_clients_get_an_error_and_with_one_again_an_answer";
    let Some(network) = Network::enter(test) else {
        return;
    };
    network.far("address add 10.90.0.1/32 dev lo");
    network.near("route add default via 10.78.0.1");
    let authority = TestAuthority::new().unwrap();
    let upstream = network.upstream([10, 90, 0, 1].into(), &authority);
    let program = network.serve_with(
        &authority,
        &[&upstream],
        &[("DOTGATE_QUERY_DEADLINE", "1500ms")],
    );
    let mut client = program.udp();
    client.ask("before.test").assert_right();
    network.near("route delete default");
    for number in 0..2 {
        let response = client.ask(&format!("without-{number}.test"));
        response.assert_failed(22);
        let (_, text) = response.ede.unwrap();
        assert!(text.starts_with("connect: unreachable"), "{text}");
    }
    network.near("route add default via 10.78.0.1");
    client.ask("after.test").assert_right();
    // A route through another link: the source address is another one.
    network.far("link set first down");
    network.near("route replace default via 10.79.0.1");
    client.ask("elsewhere.test").assert_right();
}

#[test]
fn an_upstream_over_ipv6_without_ipv6_costs_the_next_one_nothing() {
    let test = "network::an_upstream_over_ipv6_without_ipv6_costs_the_next_one_nothing";
    let Some(network) = Network::enter(test) else {
        return;
    };
    let authority = TestAuthority::new().unwrap();
    let absent = network.upstream(FIRST_IPV6, &authority);
    let present = network.upstream(SECOND, &authority);
    let program = network.serve(&authority, &[&absent, &present]);
    let load = load(&program);
    load.go_on_for(100);
    assert_eq!(absent.connections(), 0);
    // The host gets IPv6: what was listed is used, without a restart.
    network.near("address add fd00:78::2/64 dev first nodad");
    absent.wait_for_queries(25);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
}

#[test]
fn an_upstream_over_ipv6_is_used_where_there_is_nothing_else() {
    let test = "network::an_upstream_over_ipv6_is_used_where_there_is_nothing_else";
    let Some(network) = Network::enter(test) else {
        return;
    };
    network.near("address delete 10.78.0.2/24 dev first");
    network.near("address add fd00:78::2/64 dev first nodad");
    let authority = TestAuthority::new().unwrap();
    let absent = network.upstream(FIRST, &authority);
    let present = network.upstream(FIRST_IPV6, &authority);
    let program = network.serve_with(&authority, &[&absent, &present], &NO_COPIES);
    let load = load(&program);
    load.go_on_for(100);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
    assert_eq!(absent.connections(), 0);
    // Probes come besides, one more whenever the addresses are seen to change after the start.
    for response in &responses {
        assert_eq!(present.queries_for(&response.name), 1, "{}", response.name);
    }
}

#[test]
fn a_link_that_carries_little_is_no_reason_to_lose_a_query() {
    /// More than the link carries in a second.
    const BURST: usize = 500;
    let test = "network::a_link_that_carries_little_is_no_reason_to_lose_a_query";
    let Some(network) = Network::enter(test) else {
        return;
    };
    let authority = TestAuthority::new().unwrap();
    let upstream = network.upstream(FIRST, &authority);
    let program = network.serve(&authority, &[&upstream]);
    let mut client = program.tcp();
    client.ask("before.test").assert_right();
    network.shape("qdisc add dev first root tbf rate 512kbit burst 3000 latency 200ms");
    for round in 0..3 {
        client.send_together((0..BURST / 5).map(|number| format!("name-{round}-{number}.test")));
        let responses = client.receive_all();
        assert_all_right(&responses, BURST / 5);
    }
}

#[test]
fn a_response_that_is_too_long_for_the_clients_link_comes_truncated() {
    let test = "network::a_response_that_is_too_long_for_the_clients_link_comes_truncated";
    let Some(network) = Network::enter(test) else {
        return;
    };
    let authority = TestAuthority::new().unwrap();
    let upstream = network.upstream(FIRST, &authority);
    let long = [Step::Send(Form::Kilobyte)];
    upstream.script(|script| {
        script.on("long.test", &long);
        script.on("other.test", &long);
    });
    let program = network.serve(&authority, &[&upstream]);
    program.udp().ask("name.test").assert_right();
    network.near("link set clients mtu 900");
    // Fresh, from the cache, and again when the limit is known.
    for name in ["long.test", "long.test", "other.test", "long.test"] {
        let response = program.udp().ask_for(name, QueryType::Text);
        assert!(response.is_truncated && response.texts == 0, "{response:?}");
        program.udp().ask("name.test").assert_right();
    }
    assert_eq!(program.tcp().ask_for("long.test", QueryType::Text).texts, 4);
}

#[test]
fn a_path_with_an_mtu_of_1280_and_no_icmp_is_no_obstacle() {
    let test = "network::a_path_with_an_mtu_of_1280_and_no_icmp_is_no_obstacle";
    let Some(network) = Network::enter(test) else {
        return;
    };
    narrow_the_second_link(&network);
    let authority = TestAuthority::new().unwrap();
    let upstream = network.upstream([10, 91, 0, 2].into(), &authority);
    upstream.script(|script| script.on("long.test", &[Step::Send(Form::Long)]));
    let program = network.serve_with(&authority, &[&upstream], &NO_COPIES);
    // The handshake needs more than 1,280 bytes in both directions.
    program.udp().ask("name.test").assert_right();
    let long = program.tcp().ask_for("long.test", QueryType::Text);
    assert_eq!(long.length, 65_535);
    assert_eq!(upstream.connections(), 1);
}

/// Puts a router behind the second link whose other side, towards 10.91.0.2, carries 1,280 bytes.
///
/// What is longer vanishes: from the far side at the router's interface, from the near side with an ICMP message
/// that is never sent. Neither kernel looks for the path's MTU by itself.
fn narrow_the_second_link(network: &Network) {
    let path = network.name("path");
    network.far(&format!("link set second netns {path}"));
    network.path("link set second up");
    network.path("address add 10.79.0.1/24 dev second");
    network.far(&format!(
        "link add beyond type veth peer name beyond netns {path}"
    ));
    network.path("address add 10.91.0.1/24 dev beyond");
    network.far("address add 10.91.0.2/24 dev beyond");
    network.path("link set beyond mtu 1280 up");
    // Without offload packets are as long on the link as they would be on a wire.
    network.far("link set beyond up gso_max_segs 1");
    network.far("route add default via 10.91.0.1");
    network.near("route add default via 10.79.0.1");
    network.set("path", "net/ipv4/ip_forward", "1");
    network.path("rule add ipproto icmp blackhole");
    for side in ["near", "far"] {
        network.set(side, "net/ipv4/tcp_mtu_probing", "0");
    }
}

/// What the program has counted by this name.
fn count(program: &Program, name: &str) -> u64 {
    let status = http::get(program.admin(), "/api/v1/status").json();
    status["counts"][name].as_u64().unwrap()
}

#[test]
fn the_next_query_after_a_change_of_network_finds_a_new_session_and_is_asked_once() {
    let test =
        "network::the_next_query_after_a_change_of_network_finds_a_new_session_and_is_asked_once";
    let Some(network) = Network::enter(test) else {
        return;
    };
    let authority = TestAuthority::new().unwrap();
    let upstream = network.upstream(FIRST, &authority);
    let admin = [("DOTGATE_ADMIN_LISTEN", "10.77.0.2:0")];
    let program = network.serve_with(&authority, &[&upstream], &admin);
    for (change, (old, new)) in [("2", "3"), ("3", "4")].into_iter().enumerate() {
        let opened = change as u64 + 1;
        program.udp().ask("before.test").assert_right();
        until("a session", || count(&program, "sessions_opened") == opened);
        let before = count(&program, "attempts");
        // From now on, nothing that the old session sends arrives, and nobody says so.
        network.near(&format!("address delete 10.78.0.{old}/24 dev first"));
        network.near(&format!("address add 10.78.0.{new}/24 dev first"));
        // No query is asked meanwhile.
        until("a session of the new network", || {
            count(&program, "sessions_opened") == opened + 1
        });
        assert_eq!(count(&program, "attempts"), before);
        let name = format!("after-{change}.test");
        program.udp().ask(&name).assert_right();
        assert_eq!(count(&program, "attempts"), before + 1);
    }
    assert_eq!(count(&program, "attempts_retry"), 0);
    assert_eq!(count(&program, "failed"), 0);
}
