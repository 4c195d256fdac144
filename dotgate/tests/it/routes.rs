//! Names with a route go to the upstreams of their group over TLS, and to no others, also when these fail and when a reload
//! changes the routes.

use std::fs;

use domain::base::iana::Rcode;
use dotgate_core::Count;
use dotgate_testbed::certificates::TestAuthority;

use crate::reload::{House, UNWATCHED, reload};
use crate::world::World;
use crate::world::client::Client;
use crate::world::program::command;
use crate::world::upstream::{Opening, Step, Upstream};

/// The first upstream is the public one, the second that of `corp.test`, `home.arpa` and 10.0.0.0/8.
fn world() -> World {
    let authority = TestAuthority::new().unwrap();
    let upstreams = [0, 1].map(|_| Upstream::start(&authority));
    let [public, private] = upstreams.each_ref().map(Upstream::written);
    let routes = format!("corp.test,10.0.0.0/8,home.arpa={private}");
    let variables = [("DNS_HOST", &*public), ("DOTGATE_ROUTES", &*routes)];
    World::of(authority, upstreams.into(), &variables)
}

#[test]
fn each_name_is_sent_to_the_upstream_of_its_route() {
    let world = world();
    let mut client = world.udp();
    for name in [
        "www.corp.test",
        "corp.test",
        "nas.home.arpa",
        "1.2.0.10.in-addr.arpa",
    ] {
        client.ask(name).assert_right();
        assert_eq!(world.upstreams[1].queries_for(name), 1, "{name}");
        assert_eq!(world.upstreams[0].queries_for(name), 0, "{name}");
    }
    for name in ["www.example.test", "mycorp.test", "corp.test.example"] {
        client.ask(name).assert_right();
        assert_eq!(world.upstreams[0].queries_for(name), 1, "{name}");
        assert_eq!(world.upstreams[1].queries_for(name), 0, "{name}");
    }
    let counted = |group: &str| {
        let series = "dotgate_group_queries_total";
        world.metric(&format!(
            "{series}{{group=\"{group}\",outcome=\"answered\"}}"
        ))
    };
    assert_eq!(counted("corp.test"), Some(4.0));
    assert_eq!(counted("default"), Some(3.0));
}

#[test]
fn a_private_name_fails_when_its_server_is_down_and_never_goes_elsewhere() {
    let world = world();
    let mut client = world.udp();
    client.ask("before.corp.test").assert_right();
    world.upstreams[1].script(|script| {
        script.all = vec![Step::Hold];
        script.opening = Opening::Close;
    });
    world.upstreams[1].freeze_all();
    for name in ["a.corp.test", "b.corp.test"] {
        let response = client.ask(name);
        assert_eq!(response.rcode, Rcode::SERVFAIL, "{name}");
        assert_eq!(world.upstreams[0].queries_for(name), 0, "it leaked");
    }
    client.ask("www.example.test").assert_right();
    assert_eq!(world.count(Count::Failed), 2);
    let failed = "dotgate_group_queries_total{group=\"corp.test\",outcome=\"failed\"}";
    assert_eq!(world.metric(failed), Some(2.0));
}

#[test]
fn the_status_shows_each_group_with_its_queries_and_failures_if_there_are_routes() {
    let house = House::new(2);
    let route = format!(
        "[[route]]\nsuffixes = [\"corp.test\"]\nupstreams = [{:?}]\n",
        house.upstreams[1].written()
    );
    house.write(&[0], &(route + UNWATCHED));
    let program = house.serve(&[]);
    let mut client = Client::udp(program.address());
    client.ask("www.example.test").assert_right();
    client.ask("a.corp.test").assert_right();
    house.upstreams[1].kill();
    assert_eq!(client.ask("b.corp.test").rcode, Rcode::SERVFAIL);
    let (code, status) = program.run(&["status"]);
    assert_eq!(code, Some(0), "{status}");
    let lines = status.lines().map(|line| line.split_whitespace().collect());
    let lines: Vec<Vec<&str>> = lines.collect();
    assert!(
        lines.contains(&vec!["default", "up", "ordered", "1", "0"]),
        "{status}"
    );
    let down = vec!["corp.test", "down", "ordered", "2", "1"];
    assert!(lines.contains(&down), "{status}");
}

#[test]
fn a_reload_that_moves_a_suffix_makes_what_was_cached_for_it_unreachable() {
    let house = House::new(3);
    let route = |number: usize| {
        let upstream = house.upstreams[number].written();
        format!("[[route]]\nsuffixes = [\"corp.test\"]\nupstreams = [{upstream:?}]\n{UNWATCHED}")
    };
    house.write(&[0], &route(1));
    let program = house.serve(&[]);
    let mut client = Client::udp(program.address());
    let mut ask = |expected: [usize; 3]| {
        client.ask("www.corp.test").assert_right();
        let asked = [0, 1, 2].map(|number| house.upstreams[number].queries_for("www.corp.test"));
        assert_eq!(asked, expected);
    };
    ask([0, 1, 0]);
    ask([0, 1, 0]);
    house.write(&[0], &route(2));
    reload(&program);
    ask([0, 1, 1]);
    house.write(&[0], UNWATCHED);
    reload(&program);
    ask([1, 1, 1]);
    house.write(&[0], &route(1));
    reload(&program);
    ask([1, 2, 1]);
    // A route that is wrong changes nothing.
    let wrong = route(2) + "[[route]]\nsuffixes = [\"corp.test\"]\nupstreams = [\"10.0.0.1\"]\n";
    fs::write(house.path("conf"), house.text(&[0], &wrong)).unwrap();
    program.signal("HUP");
    program.wait_for_line("the suffix corp.test has two routes");
    ask([1, 2, 1]);
}

#[test]
fn the_query_command_says_which_rule_decides_and_sends_a_name_to_its_group_alone() {
    let house = House::new(2);
    let route = format!(
        "[[route]]\nsuffixes = [\"corp.test\", \"10.0.0.0/8\"]\nupstreams = [{:?}]\n",
        house.upstreams[1].written()
    );
    house.write(&[0], &route);
    let query = |arguments: &[&str]| {
        let mut command = command(&[("DOTGATE_CONFIG_FILE", house.path("conf").to_str().unwrap())]);
        let output = command.arg("query").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for (arguments, line, asked) in [
        (
            ["www.corp.test", "A"],
            "route corp.test: group corp.test\n",
            1,
        ),
        (["-x", "10.1.2.3"], "route 10.0.0.0/8: group corp.test\n", 1),
        (["www.example.test", "A"], "route .: group default\n", 0),
    ] {
        let said = query(&arguments);
        assert!(said.contains(line), "{said}");
        let (own, other) = (house.upstreams[asked].written(), 1 - asked);
        assert!(said.contains(&format!("\nupstream {own}\n")), "{said}");
        assert!(!said.contains(&house.upstreams[other].written()), "{said}");
    }
    assert_eq!(house.upstreams[0].queries_for("www.corp.test"), 0);
    assert_eq!(house.upstreams[0].queries_for("3.2.1.10.in-addr.arpa"), 0);
    assert_eq!(house.upstreams[1].queries_for("www.example.test"), 0);
    assert!(house.upstreams[1].queries_for("www.corp.test") > 0);
    let special = query(&["nas.home.arpa"]);
    assert!(
        special.contains("special-use name: home.arpa (RFC 8375)\n"),
        "{special}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&query(&["www.corp.test", "--json"])).unwrap();
    assert_eq!(json["route"]["suffix"], "corp.test");
    assert_eq!(json["route"]["group"], "corp.test");
    assert_eq!(json["special_use"], serde_json::Value::Null);
    assert_eq!(json["upstreams"].as_array().unwrap().len(), 1);
}

#[test]
fn a_route_to_its_own_listener_is_refused_at_the_start_and_by_check_and_a_reload_with_it_changes_nothing()
 {
    let house = House::new(1);
    let write = |address: &str| {
        let route = format!("[[route]]\nsuffixes = [\"lan\"]\nupstreams = [{address:?}]\n");
        house.write(&[0], &(route + UNWATCHED));
    };
    for (listen, address, expected) in [
        ("127.0.0.1", "127.0.0.1@5300", Some(2)),
        ("::1", "[::1]@5300", Some(2)),
        ("0.0.0.0", "127.3.2.1@5300", Some(2)),
        ("127.0.0.1", "127.3.2.1@5300", Some(0)),
    ] {
        write(&format!("plain:{address}"));
        let run = |arguments: &[&str]| {
            let mut command = command(&[("HOST", listen), ("PORT", "5300")]);
            command.arg("--config").arg(house.path("conf"));
            let output = command.args(arguments).output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            (output.status.code(), String::from_utf8(said).unwrap())
        };
        let (status, said) = run(&["check"]);
        assert_eq!(status, expected, "{said}");
        if expected == Some(2) {
            let reason = said.lines().find(|line| line.contains(address)).unwrap();
            let (status, said) = run(&[]);
            assert_eq!(status, Some(2), "{said}");
            assert!(said.contains(reason), "{reason}: {said}");
        }
    }
    house.write(&[0], UNWATCHED);
    let program = house.serve(&[]);
    write(&format!("plain:127.0.0.1@{}", program.address().port()));
    program.signal("HUP");
    program.wait_for_line("is an address of this host that dotgate itself listens on");
    program.udp().ask("nas.lan").assert_right();
    assert_eq!(house.upstreams[0].queries_for("nas.lan"), 1);
}
