//! CoreDNS as in a cluster: in front of dotgate, which it forwards to, and behind dotgate, as the server of a route.
//!
//! Its `template` plugin has the names that the `kubernetes` plugin would have; `loop` and `cache` are on. `.ci/run` builds
//! CoreDNS; without it these tests are skipped. Counted are answers, and names that reach the public upstream.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use crate::world::client::Client;
use crate::world::house::House;
use crate::world::load::Load;
use crate::world::message::{address_of, assert_all_right};
use crate::world::peer::{are_installed, find, is_installed_or_skipped};
use crate::world::program::Program;
use crate::world::server::{Server, dig, written};

/// A name of the cluster, and its address.
const NAME: &str = "kubernetes.default.svc.cluster.local";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// Starts CoreDNS at this address. Names outside the cluster go to `forwarder`.
fn coredns(address: SocketAddr, forwarder: SocketAddr, options: &str) -> Server {
    let (ip, port) = (address.ip(), address.port());
    let name = NAME.replace('.', "[.]");
    let text = format!(
        ".:{port} {{\n bind {ip}\n errors\n loop\n cache 30\n\
         template IN A cluster.local {{\n match ^{name}[.]$\n\
         answer \"{{{{ .Name }}}} 30 IN A {ADDRESS}\"\n fallthrough\n}}\n\
         template ANY ANY cluster.local {{\n rcode NXDOMAIN\n}}\n\
         forward . {forwarder} {{\n {options}\n}}\n}}\n"
    );
    Server::start_at(address, NAME, |folder| {
        let file = folder.join("Corefile");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(find("coredns").unwrap());
        command.arg("-conf").arg(file);
        command
    })
}

/// dotgate with a route to CoreDNS, which forwards to it.
fn cluster(house: &House, options: &str) -> (Program, Server) {
    let address = Server::free_address();
    let program = serve(house, "0", address);
    let coredns = coredns(address, program.address(), options);
    (program, coredns)
}

fn serve(house: &House, port: &str, coredns: SocketAddr) -> Program {
    let routes = format!("cluster.local,10.96.0.0/12={}", written(coredns));
    let variables = [
        ("DOTGATE_ROUTES", &*routes),
        ("DOTGATE_QUERY_DEADLINE", "1800ms"),
        ("DOTGATE_SERVER_WORKERS", "2"),
    ];
    house.serve(port, &variables)
}

fn can_run() -> bool {
    is_installed_or_skipped("coredns") && are_installed(&[], &["kdig"])
}

#[test]
fn a_cluster_is_served_with_coredns_in_front_and_behind_and_a_loop_between_them_ends() {
    if !can_run() {
        return;
    }
    let house = House::new();
    let (program, mut coredns) = cluster(&house, "max_fails 0");
    let short = |server, name: &str| dig(server, &[name, "A", "+short"]);
    for server in [program.address(), coredns.address()] {
        assert_eq!(short(server, NAME), format!("{ADDRESS}\n"));
        let none = dig(server, &["none.cluster.local", "A"]);
        assert!(none.contains("status: NXDOMAIN"), "{none}");
        let public = format!("www-{}.example.test", server.port());
        let expected = format!("{}\n", address_of(&public));
        assert_eq!(short(server, &public), expected);
        assert_eq!(house.upstream.queries_for(&public), 1);
    }
    // CoreDNS does not know this name, and forwards it to dotgate, which has a route for it to CoreDNS.
    let reverse = "9.0.96.10.in-addr.arpa";
    for server in [program.address(), coredns.address()] {
        let failed = dig(server, &[reverse, "PTR"]);
        assert!(failed.contains("status: SERVFAIL"), "{failed}");
    }
    program.wait_for_line("loop: a query to an upstream came back as a query of a client");
    assert_eq!(short(program.address(), NAME), format!("{ADDRESS}\n"));
    for name in [NAME, "none.cluster.local", "cluster.local", reverse] {
        assert_eq!(house.upstream.queries_for(name), 0, "{name}");
    }
    assert!(coredns.is_running(), "its own check found no loop");
}

#[test]
fn replaced_and_reloaded_behind_coredns_that_gives_up_at_the_first_failure_it_loses_no_query() {
    if !can_run() {
        return;
    }
    let house = House::new();
    let (mut running, coredns) = cluster(&house, "max_fails 1\n health_check 100ms");
    let port = running.address().port().to_string();
    let gap = Duration::from_millis(3);
    let loads: Vec<Load> = (0..4)
        .map(|_| Load::start(Client::udp(coredns.address()), gap))
        .collect();
    let go_on = || loads.iter().for_each(|load| load.go_on_for(30));
    for _ in 0..3 {
        go_on();
        running.signal("HUP");
        running.wait_for_line("configuration reloaded");
        go_on();
        let next = serve(&house, &port, coredns.address());
        running.wait_for_line("another process serves");
        go_on();
        assert_eq!(running.wait().code(), Some(0));
        running = next;
    }
    for load in loads {
        let responses = load.finish();
        assert_all_right(&responses, responses.len());
    }
}
