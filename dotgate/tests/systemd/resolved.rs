//! systemd-resolved in strict mode, with the settings of `docs/listeners.md`: it asks dotgate over TLS, or nobody.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use domain::base::iana::Rcode;
use dotgate_testbed::certificates::Leaf;

use crate::machine::{ADMIN, Machine};
use crate::page::text;
use crate::world::client::Client;
use crate::world::dot::NAME;
use crate::world::http::get;
use crate::world::message::{QueryType, Response, query};
use crate::world::wait::until;

/// Where systemd-resolved serves stub resolvers.
const STUB: ([u8; 4], u16) = ([127, 0, 0, 53], 53);

/// The settings that the page has for systemd-resolved, with this server.
fn settings(server: &str) -> String {
    let page = text("listeners.md");
    let (_, behind) = page.split_once("**systemd-resolved**").unwrap();
    let (_, block) = behind.split_once("```ini\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    assert!(block.contains("192.0.2.1#dns.example.net"), "{block}");
    // Names of one label and the local network are not of this test.
    let others = "LLMNR=no\nMulticastDNS=no\n";
    format!(
        "{}{others}",
        block.replace("192.0.2.1#dns.example.net", server)
    )
}

/// Without a link that is up, systemd-resolved asks nobody.
fn add_link() {
    for command in [
        "link add near type veth peer name far",
        "address add 192.0.2.2/24 dev near",
        "link set near up",
        "link set far up",
    ] {
        let status = Command::new("ip").args(command.split(' ')).status();
        assert!(status.unwrap().success(), "{command}");
    }
}

/// Starts it with this server; a client of its stub.
fn start(machine: &Machine, server: &str) -> Client {
    machine.write("/etc/systemd/resolved.conf.d/test.conf", &settings(server));
    machine.run("systemctl restart systemd-resolved");
    Client::udp(SocketAddr::from(STUB))
}

fn metric(series: &str) -> f64 {
    let page = get(ADMIN, "/metrics").body;
    let value = page
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

/// Handshakes that clients did not complete, with an alert or without.
fn broken_off() -> f64 {
    let of = |result| {
        metric(&format!(
            "dotgate_client_handshakes_total{{result=\"{result}\"}}"
        ))
    };
    of("alert") + of("closed")
}

#[test]
fn systemd_resolved_asks_over_tls_where_the_name_is_right_and_fails_where_it_is_not() {
    let Some(machine) = Machine::boot(
        "resolved::systemd_resolved_asks_over_tls_where_the_name_is_right_and_fails_where_it_is_not",
    ) else {
        return;
    };
    add_link();
    machine.install();
    let own = machine.issue(&Leaf::for_name(NAME));
    machine.write("/etc/dotgate/dns.pem", &own.pem);
    machine.write("/etc/dotgate/dns.key", &own.key_pem);
    let certificate =
        "certificate_file = \"/etc/dotgate/dns.pem\"\nkey_file = \"/etc/dotgate/dns.key\"\n";
    let all = machine.settings("[dot]\nlisten = [\"127.0.0.1:853\"]\n");
    machine.configure(&all.replace("port = 53\n", &format!("port = 53\n{certificate}")));
    machine.start();
    machine.run("mkdir -p /usr/lib/ssl; cp /etc/dotgate/ca.pem /usr/lib/ssl/cert.pem; systemctl unmask systemd-resolved");

    let mut stub = start(&machine, &format!("127.0.0.1:853#{NAME}"));
    for number in 0..3 {
        stub.ask(&format!("right{number}.test")).assert_right();
    }
    let asked = "dotgate_queries_total{transport=\"dot\",type=\"A\",outcome=\"answered\"}";
    assert_eq!(metric(asked), 3.0);

    start(&machine, "127.0.0.1:853#other.test");
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let message = query(7, "wrong.test", QueryType::Address);
    socket.send_to(&message, SocketAddr::from(STUB)).unwrap();
    // It tries again and again, longer than a client waits.
    until("handshakes that the other side breaks off", || {
        broken_off() >= 1.0
    });
    assert_eq!(metric(asked), 3.0, "nothing was asked");
    socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 1_232];
    if let Ok(length) = socket.recv(&mut buffer) {
        assert_eq!(Response::read(&buffer[..length]).rcode, Rcode::SERVFAIL);
    }
}
