//! The configuration of `docs/home.md`, as it is on the page: dotgate between the devices of a home, a router, which is
//! dnsmasq, and a public upstream, which must never receive a name of the home.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dotgate_testbed::certificates::TestAuthority;
use tempfile::NamedTempFile;

use crate::namespaces::{Network, SECOND};
use crate::world::client::Client;
use crate::world::load::Load;
use crate::world::message::assert_all_right;
use crate::world::peer::{are_installed, find};
use crate::world::program::{Program, authority_file};
use crate::world::server::{Server, dig};
use crate::world::upstream::Upstream;
use crate::world::wait::until;

/// The addresses of the page, with the port of its configuration.
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 168, 1, 2)), 53);
const SERVER_IPV6: SocketAddr = at_port_53(0xfd00, 2);
const ROUTER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1)), 53);

const fn at_port_53(first: u16, last: u16) -> SocketAddr {
    let ip = Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last);
    SocketAddr::new(IpAddr::V6(ip), 53)
}

/// The reverse names of fd00::10 and fd00::100.
const NAS_IPV6: &str = "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
const LAPTOP_IPV6: &str =
    "0.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";

/// What the router knows: `nas` from its settings, `laptop` from its leases.
const RECORDS: [(&str, &str, &str); 10] = [
    ("nas.lan", "A", "192.168.1.10"),
    ("nas.lan", "AAAA", "fd00::10"),
    ("nas.fritz.box", "A", "192.168.1.10"),
    ("nas.fritz.box", "AAAA", "fd00::10"),
    ("laptop.lan", "A", "192.168.1.100"),
    ("laptop.lan", "AAAA", "fd00::100"),
    ("10.1.168.192.in-addr.arpa", "PTR", "nas.lan."),
    (NAS_IPV6, "PTR", "nas.lan."),
    ("100.1.168.192.in-addr.arpa", "PTR", "laptop.lan."),
    (LAPTOP_IPV6, "PTR", "laptop.lan."),
];

/// Names that the router does not know, and the suffixes themselves.
const OTHERS: [&str; 6] = [
    "none.lan",
    "none.fritz.box",
    "lan",
    "fritz.box",
    "99.1.168.192.in-addr.arpa",
    "9.9.d.f.ip6.arpa",
];

const TYPES: [&str; 4] = ["A", "AAAA", "PTR", "HTTPS"];

#[test]
fn the_names_of_a_home_come_from_its_router_and_reach_no_public_upstream() {
    let test = "home::the_names_of_a_home_come_from_its_router_and_reach_no_public_upstream";
    if !are_installed(&[], &["dnsmasq", "kdig"]) {
        return;
    }
    let Some(network) = Network::enter(test) else {
        return;
    };
    network.far("address add 192.168.1.1/24 dev clients");
    network.far("address add fd00::1/64 dev clients nodad");
    network.near("address add 192.168.1.2/24 dev clients");
    network.near("address add fd00::2/64 dev clients nodad");
    let authority = TestAuthority::new().unwrap();
    let public = network.upstream(SECOND, &authority);
    let router = router();
    let (_program, _configuration) = serve(&network, &authority, &public);
    let devices = Load::start(Client::udp(SERVER), Duration::from_millis(10));

    assert_records(SERVER);
    assert_records(SERVER_IPV6);
    for name in OTHERS {
        ask_all_types(name);
    }
    for name in ["none.lan", "none.fritz.box", "99.1.168.192.in-addr.arpa"] {
        assert_eq!(status(name, "PTR"), "NXDOMAIN", "{name}");
    }
    for (name, _, _) in RECORDS.iter().filter(|(_, asked, _)| *asked == "A") {
        assert_eq!(status(name, "HTTPS"), "NOERROR", "{name}");
    }

    drop(router);
    devices.go_on_for(10);
    let names = RECORDS.map(|(name, ..)| name).into_iter().chain(OTHERS);
    std::thread::scope(|scope| {
        for name in names {
            scope.spawn(move || {
                for asked in TYPES {
                    let status = status(name, asked);
                    // The router refuses reverse names of other types than PTR; a refusal is cached for seconds.
                    let is_cached =
                        status == "REFUSED" && name.ends_with(".arpa") && asked != "PTR";
                    assert!(
                        status == "SERVFAIL" || is_cached,
                        "{name} {asked}: {status}"
                    );
                }
            });
        }
    });

    let _router = self::router();
    until("the router is asked again", || {
        ask(SERVER, "nas.lan", "A") == "192.168.1.10\n"
    });
    assert_records(SERVER);

    // The router is reachable over IPv6 alone.
    let responses = devices.finish();
    assert_all_right(&responses, responses.len());
    network.far("address delete 192.168.1.1/24 dev clients");
    assert_records(SERVER_IPV6);

    assert!(public.queries() > 0, "public names reach it");
    let leaked = public.record();
    let leaked = leaked.queries.iter().map(|(_, question)| &question.name);
    let leaked: Vec<_> = leaked.filter(|name| is_private(name)).collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}

/// A router with the records of `RECORDS`. It knows no other server.
fn router() -> Server {
    Server::start_at(ROUTER, "nas.lan", |folder| {
        let leases = folder.join("leases");
        let text = "0 02:00:00:00:01:64 192.168.1.100 laptop *\n\
                    duid 00:01:00:01:2b:00:00:00:02:00:00:00:00:01\n\
                    0 1 fd00::100 laptop 00:01:00:01:2b:00:00:00:02:00:00:00:01:64\n";
        std::fs::write(&leases, text).unwrap();
        let mut command = Command::new(find("dnsmasq").unwrap());
        command.args(["--keep-in-foreground", "--conf-file=/dev/null"]);
        command.args(["--pid-file=", "--no-resolv", "--no-hosts", "--user="]);
        command.args(["--domain=lan", "--local=/lan/", "--local=/fritz.box/"]);
        command.arg("--bogus-priv");
        command.arg("--host-record=nas.lan,nas.fritz.box,192.168.1.10,fd00::10");
        command.arg("--dhcp-range=192.168.1.100,192.168.1.150");
        command.arg("--dhcp-range=fd00::100,fd00::1ff,64");
        command.arg(format!("--dhcp-leasefile={}", leases.display()));
        command
    })
}

/// The program with the page's configuration, but for its public upstreams.
fn serve(
    network: &Network,
    authority: &TestAuthority,
    public: &Upstream,
) -> (Program, NamedTempFile) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/home.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```toml\n").skip(1);
    let blocks: Vec<&str> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    let configuration = NamedTempFile::with_suffix(".toml").unwrap();
    // The third block is an alternative to a part of the first.
    std::fs::write(configuration.path(), blocks[..2].concat()).unwrap();
    let file = authority_file(authority);
    let mut command = network.command();
    command.env("DOTGATE_CONFIG_FILE", configuration.path());
    command.env("DOTGATE_TLS_CA_FILE", file.path());
    command.env("DNS_HOST", public.written());
    (Program::serve_as_is(command, file), configuration)
}

#[track_caller]
fn assert_records(server: SocketAddr) {
    for (name, asked, expected) in RECORDS {
        let answer = ask(server, name, asked);
        assert_eq!(answer, format!("{expected}\n"), "{name} {asked}");
    }
}

fn ask_all_types(name: &str) {
    for asked in TYPES {
        let response = dig(SERVER, &[name, asked]);
        assert!(response.contains("status: "), "{name} {asked}: {response}");
    }
}

fn ask(server: SocketAddr, name: &str, asked: &str) -> String {
    dig(server, &[name, asked, "+short"])
}

/// The response code of a response.
fn status(name: &str, asked: &str) -> String {
    let response = dig(SERVER, &[name, asked]);
    let status = response.split("status: ").nth(1).unwrap_or(&response);
    status.split(';').next().unwrap_or_default().to_owned()
}

/// Whether a name is below a suffix of the home, or a reverse name: clients ask for no reverse name of others.
fn is_private(name: &str) -> bool {
    ["lan", "fritz.box", "arpa"].iter().any(|suffix| {
        let below = name.strip_suffix(suffix);
        below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
    })
}
