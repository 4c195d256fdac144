//! Addresses with an interface, and addresses that come late.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream};
use std::process::Stdio;

use dotgate_net::interfaces;
use dotgate_testbed::certificates::TestAuthority;

use crate::namespaces::{FIRST, Network};
use crate::world::client::Client;
use crate::world::http;
use crate::world::program::{Program, authority_file, set_up};
use crate::world::upstream::Upstream;
use crate::world::wait::until;

/// A link-local address of the far side's interface with this name.
fn link_local(last: u16, interface: &str, port: u16) -> SocketAddr {
    let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last);
    let index = interfaces::index_of(interface).unwrap();
    SocketAddrV6::new(ip, port, 0, index).into()
}

#[test]
fn listeners_upstreams_and_the_admin_endpoint_may_be_link_local_by_the_name_of_their_interface() {
    let Some(network) = Network::enter(
        "addresses::listeners_upstreams_and_the_admin_endpoint_may_be_link_local_by_the_name_of_their_interface",
    ) else {
        return;
    };
    network.near("address add fe80::2/64 dev clients nodad");
    network.near("address add fe80::2/64 dev first nodad");
    network.far("address add fe80::1/64 dev clients nodad");
    network.far("address add fe80::1/64 dev first nodad");
    let authority = TestAuthority::new().unwrap();
    let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let upstream = Upstream::start_deaf_at(any, &authority);
    upstream.listen();
    let written = upstream.written().replace("[::]", "[fe80::1%first]");
    assert_ne!(written, upstream.written());
    let program = network.serve_at(
        &authority,
        &written,
        &[
            ("HOST", "10.77.0.2,fe80::2%clients"),
            ("DOTGATE_ADMIN_LISTEN", "10.77.0.2:0,[fe80::2%clients]:9153"),
        ],
    );
    let address = link_local(2, "clients", program.address().port());
    Client::udp(address).ask("over-udp.test").assert_right();
    Client::tcp(address).ask("over-tcp.test").assert_right();
    assert_eq!(upstream.queries(), 2);

    let admin = link_local(2, "clients", 9153);
    for host in ["[fe80::2%clients]:9153", "[fe80::2%25clients]", "[fe80::2]"] {
        let request =
            format!("GET /api/v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let response = http::ask(admin, &request);
        assert_eq!(response.status, 200, "{host}");
        let listen = response.json()["listen"][1].as_str().unwrap().to_owned();
        assert_eq!(listen, format!("[fe80::2%clients]:{}", address.port()));
    }
}

/// What `/readyz` says.
fn readiness(program: &Program) -> (u16, Vec<String>) {
    let response = http::get(program.admin(), "/readyz");
    let reasons = response.json()["reasons"].clone();
    (response.status, serde_json::from_value(reasons).unwrap())
}

fn assert_ready(program: &Program) {
    until("nothing to be awaited", || {
        readiness(program) == (200, vec![])
    });
}

#[test]
fn an_address_that_comes_late_is_served_then_and_the_others_meanwhile() {
    let Some(network) = Network::enter(
        "addresses::an_address_that_comes_late_is_served_then_and_the_others_meanwhile",
    ) else {
        return;
    };
    let authority = TestAuthority::new().unwrap();
    let upstream = network.upstream(FIRST, &authority);
    network.far("address add fe80::1/64 dev clients nodad");
    network.far("address add fd00:77::1/64 dev clients nodad");
    let program = network.serve_with(
        &authority,
        &[&upstream],
        &[
            ("HOST", "10.77.0.2,10.77.0.9,fd00:77::9,fe80::9%late"),
            ("DOTGATE_SERVER_WORKERS", "2"),
            (
                "DOTGATE_ADMIN_LISTEN",
                "10.77.0.2:0,10.77.0.9:9153,[fe80::9%late]:9153",
            ),
        ],
    );
    program.udp().ask("meanwhile.test").assert_right();
    program.tcp().ask("meanwhile-over-tcp.test").assert_right();
    let port = program.address().port();
    let expected = format!(
        "not on this host yet: 10.77.0.9:{port}, [fd00:77::9]:{port}, [fe80::9%late]:{port}"
    );
    assert_eq!(readiness(&program), (200, vec![expected]));

    network.near("link set clients down");
    network.near("link set clients name late");
    network.near("link set late up");
    network.near("address add 10.77.0.9/24 dev late");
    network.near("address add fd00:77::9/64 dev late");
    network.near("address add fe80::9/64 dev late");
    assert_ready(&program);
    for address in [
        SocketAddr::from(([10, 77, 0, 9], port)),
        SocketAddr::from(([0xfd00, 0x77, 0, 0, 0, 0, 0, 9], port)),
        link_local(9, "clients", port),
    ] {
        // Many ports, so that every worker's socket is tried.
        for number in 0..16 {
            Client::udp(address)
                .ask(&format!("udp-{number}.test"))
                .assert_right();
            Client::tcp(address)
                .ask(&format!("tcp-{number}.test"))
                .assert_right();
        }
    }
    for admin in [
        SocketAddr::from(([10, 77, 0, 9], 9153)),
        link_local(9, "clients", 9153),
    ] {
        until("the admin endpoint", || TcpStream::connect(admin).is_ok());
        let request = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        assert_eq!(http::ask(admin, request).status, 200);
    }
}

#[test]
fn with_no_listening_address_at_all_it_waits_for_one() {
    let Some(network) =
        Network::enter("addresses::with_no_listening_address_at_all_it_waits_for_one")
    else {
        return;
    };
    let authority = TestAuthority::new().unwrap();
    let upstream = network.upstream(FIRST, &authority);
    network.set("near", "net/ipv6/conf/all/disable_ipv6", "1");
    network.far("address add fd00:77::1/64 dev clients nodad");
    let variables = [
        ("HOST", "fd00:77::9,::1"),
        ("DOTGATE_ADMIN_LISTEN", "10.77.0.2:9153"),
    ];
    let program = network.serve_with(&authority, &[&upstream], &variables);
    let port = program.address().port();
    let expected = format!("not on this host yet: [fd00:77::9]:{port}, [::1]:{port}");
    assert_eq!(readiness(&program), (200, vec![expected]));
    network.set("near", "net/ipv6/conf/all/disable_ipv6", "0");
    network.near("address add fd00:77::9/64 dev clients nodad");
    assert_ready(&program);
    let address = SocketAddr::from(([0xfd00, 0x77, 0, 0, 0, 0, 0, 9], port));
    Client::udp(address).ask("here.test").assert_right();
}

#[test]
fn a_port_that_is_taken_is_an_error_also_at_an_address_that_is_not_there() {
    let Some(network) = Network::enter(
        "addresses::a_port_that_is_taken_is_an_error_also_at_an_address_that_is_not_there",
    ) else {
        return;
    };
    let authority = TestAuthority::new().unwrap();
    let upstream = network.upstream(FIRST, &authority);
    let variables = [("HOST", "10.77.0.2,10.77.0.9"), ("PORT", "5353")];
    let first = network.serve_with(&authority, &[&upstream], &variables);
    network.near("address delete 10.77.0.2/24 dev clients");
    let mut second = network.command();
    let authority = authority_file(&authority);
    set_up(&mut second, &authority, "192.0.2.1", &variables);
    let output = second.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        said.contains("listen on 10.77.0.2:5353: Address already in use"),
        "{said}"
    );
    drop(first);
}

#[test]
fn what_came_late_is_handed_over_too() {
    let Some(network) = Network::enter("addresses::what_came_late_is_handed_over_too") else {
        return;
    };
    let authority = TestAuthority::new().unwrap();
    let upstream = network.upstream(FIRST, &authority);
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("take-over.sock");
    network.far("address add fe80::1/64 dev clients nodad");
    let variables = [
        ("HOST", "10.77.0.2,fe80::9%late"),
        ("PORT", "5353"),
        ("DOTGATE_ADMIN_LISTEN", "10.77.0.2:9153,[fe80::9%late]:9153"),
        ("DOTGATE_SERVER_TAKE_OVER_SOCKET", socket.to_str().unwrap()),
    ];
    let mut first = network.serve_with(&authority, &[&upstream], &variables);
    network.near("link set clients down");
    network.near("link set clients name late");
    network.near("link set late up");
    network.near("address add fe80::9/64 dev late nodad");
    assert_ready(&first);
    let admin = link_local(9, "clients", 9153);
    until("the admin endpoint", || TcpStream::connect(admin).is_ok());
    let second = network.serve_with(&authority, &[&upstream], &variables);
    let late = link_local(9, "clients", 5353);
    for number in 0..32 {
        let mut client = Client::udp(late);
        client.ask(&format!("during-{number}.test")).assert_right();
    }
    assert!(first.wait().success());
    for number in 0..32 {
        let mut client = Client::udp(late);
        client.ask(&format!("after-{number}.test")).assert_right();
        let mut client = Client::tcp(late);
        client.ask(&format!("tcp-{number}.test")).assert_right();
    }
    assert_eq!(readiness(&second), (200, vec![]));
}

#[test]
fn a_route_to_another_address_of_the_host_behind_a_wildcard_listener_is_refused() {
    let Some(network) = Network::enter(
        "addresses::a_route_to_another_address_of_the_host_behind_a_wildcard_listener_is_refused",
    ) else {
        return;
    };
    network.near("address add fd00:78::2/64 dev first nodad");
    let authority = TestAuthority::new().unwrap();
    let upstream = network.upstream(FIRST, &authority);
    let run = |listen: &str, route: &str, arguments: &[&str]| {
        let file = authority_file(&authority);
        let routes = format!("lan=plain:{route}");
        let variables = [
            ("HOST", listen),
            ("PORT", "5300"),
            ("DOTGATE_ROUTES", &routes),
        ];
        let mut command = network.command();
        set_up(&mut command, &file, &upstream.written(), &variables);
        let output = command.args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    const LOOP: &str = "is an address of this host that dotgate itself listens on";
    for (listen, route) in [("0.0.0.0", "10.79.0.2@5300"), ("::", "fd00:78::2@5300")] {
        for arguments in [&[][..], &["check"]] {
            let (status, said) = run(listen, route, arguments);
            assert_eq!(status, Some(2), "{route}: {said}");
            assert!(said.contains(LOOP), "{said}");
        }
    }
    let (status, said) = run("0.0.0.0", "10.79.0.1@5300", &["check"]);
    assert_eq!(status, Some(0), "another host's address: {said}");

    let configuration = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    let unwatched = "[config]\nwatch = false\n";
    std::fs::write(configuration.path(), unwatched).unwrap();
    let variables = [
        ("HOST", "0.0.0.0"),
        (
            "DOTGATE_CONFIG_FILE",
            configuration.path().to_str().unwrap(),
        ),
    ];
    let program = network.serve_at(&authority, &upstream.written(), &variables);
    let port = program.address().port();
    let route = format!(
        "{unwatched}[[route]]\nsuffixes = [\"lan\"]\nupstreams = [\"plain:10.79.0.2@{port}\"]\n"
    );
    std::fs::write(configuration.path(), route).unwrap();
    program.signal("HUP");
    program.wait_for_line(LOOP);
    let listener = SocketAddr::from(([10, 77, 0, 2], port));
    Client::udp(listener).ask("nas.lan").assert_right();
    assert_eq!(upstream.queries_for("nas.lan"), 1);
}
