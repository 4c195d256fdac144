//! An upstream whose name has addresses of both families, of which packets to one get lost, as IPv6 behind a broken router.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Ttl};
use domain::rdata::{A, Aaaa};
use dotgate_testbed::certificates::TestAuthority;

use crate::namespaces::Network;
use crate::world::http;
use crate::world::program::Program;
use crate::world::upstream::{AUTHENTICATION_NAME, End, Upstream};
use crate::world::wait::until;

/// The addresses of the upstream's name. Both are on the first link.
const IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x78, 0, 0, 0, 0, 0, 1);
const IPV4: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 9);

/// A station that is not there: packets leave, and neither a response nor an error comes back.
const NOBODY: &str = "lladdr 02:00:00:00:de:ad dev first nud permanent";

/// A resolver on the far side, which knows both addresses for any name; it ends with the test's process.
fn resolver() -> SocketAddr {
    let socket = UdpSocket::bind(("10.77.0.1", 0)).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let query = Message::from_octets(&buffer[..length]).unwrap();
            let question = query.sole_question().unwrap();
            let answer = MessageBuilder::new_vec().start_answer(&query, Rcode::NOERROR);
            let (mut answer, name, ttl) = (answer.unwrap(), question.qname(), Ttl::from_secs(300));
            match question.qtype() {
                Rtype::A => answer.push((name, ttl, A::new(IPV4))).unwrap(),
                Rtype::AAAA => answer.push((name, ttl, Aaaa::new(IPV6))).unwrap(),
                _ => {}
            }
            socket.send_to(&answer.finish(), client).unwrap();
        }
    });
    address
}

/// What the program has counted by this name.
fn count(program: &Program, name: &str) -> u64 {
    let status = http::get(program.admin(), "/api/v1/status").json();
    status["counts"][name].as_u64().unwrap()
}

/// Ends the session that the program has, and waits until the program knows.
fn end_session(program: &Program, upstream: &Upstream) {
    let before = count(program, "sessions_ended_idle");
    upstream.end_all(End::Fin);
    until("the session's end", || {
        count(program, "sessions_ended_idle") == before + 1
    });
}

#[test]
fn when_packets_to_the_ipv6_address_get_lost_ipv4_is_tried_in_addition_and_remembered() {
    let Some(network) = Network::enter(
        "families::when_packets_to_the_ipv6_address_get_lost_ipv4_is_tried_in_addition_and_remembered",
    ) else {
        return;
    };
    network.near("address add fd00:78::2/64 dev first nodad");
    network.near(&format!("neighbour add {IPV4} {NOBODY}"));
    let authority = TestAuthority::new().unwrap();
    let upstream = network.upstream(Ipv6Addr::UNSPECIFIED.into(), &authority);
    let hosts = format!("{AUTHENTICATION_NAME}@{}", upstream.port());
    let bootstrap = resolver().to_string().replace(':', "@");
    let variables = [
        ("DOTGATE_BOOTSTRAP_ADDRESSES", bootstrap.as_str()),
        ("DOTGATE_ADMIN_LISTEN", "10.77.0.2:0"),
        ("DOTGATE_CACHE_SIZE", "0"),
    ];
    let program = network.serve_at(&authority, &hosts, &variables);
    until("the name to be found", || {
        program.udp().ask("ipv6.test").is_right()
    });
    end_session(&program, &upstream);

    network.near(&format!("neighbour replace {IPV6} {NOBODY}"));
    network.far(&format!("address add {IPV4}/24 dev first"));
    network.near(&format!("neighbour delete {IPV4} dev first"));
    let counts = || {
        let names = ["sessions_started", "sessions_opened", "sessions_failed"];
        names.map(|name| count(&program, name))
    };
    let [started, opened, failed] = counts();
    program.udp().ask("raced.test").assert_right();
    assert_eq!(
        counts(),
        [started + 2, opened + 1, failed],
        "IPv6, then IPv4 in addition"
    );
    end_session(&program, &upstream);
    program.udp().ask("remembered.test").assert_right();
    assert_eq!(
        counts(),
        [started + 3, opened + 2, failed],
        "IPv4 comes first"
    );
    let report = &http::get(program.admin(), "/healthz").json()["upstreams"][0];
    assert_eq!(report["state"], "healthy");
}
