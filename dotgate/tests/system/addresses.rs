//! Addresses with an interface.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use dotgate::demo::certificates::TestAuthority;
use dotgate_net::interfaces;

use crate::namespaces::Network;
use crate::world::client::Client;
use crate::world::http;
use crate::world::upstream::Upstream;

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
