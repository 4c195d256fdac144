//! Stub resolvers that others wrote, and that verify the certificate: dig over TLS and HTTPS, and Stubby in strict mode. kdig and
//! curl are with the listeners that they ask, systemd-resolved with the tests of systemd. Android's is imitated.

use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

use domain::base::iana::Rcode;
use dotgate_testbed::certificates::TestAuthority;

use crate::world::World;
use crate::world::client::Client;
use crate::world::dot::{Files, NAME, Offer};
use crate::world::message::{QueryType, Response, address_of, query};
use crate::world::peer::{are_installed, find};
use crate::world::server::Server;
use crate::world::wait::until;

/// A forwarder that serves DNS over TLS and HTTPS.
struct Listeners {
    world: World,
    authority: TestAuthority,
    files: Files,
}

impl Listeners {
    fn new() -> Listeners {
        let authority = TestAuthority::new().unwrap();
        let files = Files::new(&authority);
        std::fs::write(files.path("ca.pem"), authority.pem()).unwrap();
        let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
        let world = World::with(
            1,
            &[
                ("DOTGATE_DOT_LISTEN", "127.0.0.1:0"),
                ("DOTGATE_DOH_LISTEN", "127.0.0.1:0"),
                ("DOTGATE_SERVER_CERTIFICATE_FILE", &certificate),
                ("DOTGATE_SERVER_KEY_FILE", &key),
            ],
        );
        Listeners {
            world,
            authority,
            files,
        }
    }

    fn answered(&self, transport: &str) -> Option<f64> {
        let labels = format!("transport=\"{transport}\",type=\"A\",outcome=\"answered\"");
        let series = format!("dotgate_queries_total{{{labels}}}");
        self.world.metric(&series)
    }
}

/// What dig says, asked for the address of a name.
fn dig(address: SocketAddr, ca: &str, server: &str, (transport, name): (&str, &str)) -> String {
    let mut command = Command::new(find("dig").unwrap());
    command.arg(format!("@{}", address.ip()));
    command.args(["-p", &address.port().to_string()]);
    command.args(["+tries=1", "+time=5", "+short", transport]);
    command.arg(format!("+tls-ca={ca}"));
    command.arg(format!("+tls-hostname={server}"));
    let output = command.arg(name).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}

#[test]
fn dig_verifies_the_certificate_over_tls_and_https() {
    if !are_installed(&[], &["dig"]) {
        return;
    }
    let listeners = Listeners::new();
    let ca = listeners.files.text("ca.pem");
    let world = &listeners.world;
    for (address, transport, label) in [
        (world.dot_address(), "+tls", "dot"),
        (world.doh_address(), "+https", "https"),
    ] {
        let asked = (transport, &*format!("{label}.test"));
        let right = format!("{}\n", address_of(asked.1));
        assert_eq!(dig(address, &ca, NAME, asked), right);
        assert_eq!(listeners.answered(label), Some(1.0));
        let said = dig(address, &ca, "other.test", asked);
        assert!(said.contains("TLS peer certificate verification"), "{said}");
        assert_eq!(listeners.answered(label), Some(1.0));
    }
}

/// Stubby, which asks this server alone.
struct Stubby {
    child: Child,
    address: SocketAddr,
}

impl Stubby {
    fn start(files: &Files, server: SocketAddr) -> Stubby {
        // Stubby chooses no port by itself.
        let address = Server::free_address();
        let mut text = String::new();
        let lines = [
            "resolution_type: GETDNS_RESOLUTION_STUB",
            "dns_transport_list: [GETDNS_TRANSPORT_TLS]",
            "tls_authentication: GETDNS_AUTHENTICATION_REQUIRED",
            "tls_query_padding_blocksize: 128",
            "idle_timeout: 10000",
        ];
        for line in lines {
            writeln!(text, "{line}").unwrap();
        }
        writeln!(text, "tls_ca_file: \"{}\"", files.text("ca.pem")).unwrap();
        let own = format!("{}@{}", address.ip(), address.port());
        writeln!(text, "listen_addresses: [{own}]").unwrap();
        writeln!(text, "upstream_recursive_servers:").unwrap();
        writeln!(text, "  - address_data: {}", server.ip()).unwrap();
        writeln!(text, "    tls_port: {}", server.port()).unwrap();
        writeln!(text, "    tls_auth_name: \"{NAME}\"").unwrap();
        let file = files.path("stubby.yml");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(find("stubby").unwrap());
        command.arg("-C").arg(&file);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        Stubby { child, address }
    }
}

impl Drop for Stubby {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn stubby_asks_over_one_connection_in_strict_mode() {
    if !are_installed(&[], &["stubby"]) {
        return;
    }
    let listeners = Listeners::new();
    let stubby = Stubby::start(&listeners.files, listeners.world.dot_address());
    // It reads no sooner than it has started.
    until("Stubby to listen", || {
        UdpSocket::bind(stubby.address).is_err()
    });
    let mut client = Client::udp(stubby.address);
    for number in 0..5 {
        client.ask(&format!("stubby{number}.test")).assert_right();
    }
    assert_eq!(listeners.answered("dot"), Some(5.0));
    let handshakes = "dotgate_client_handshakes_total{result=\"full\"}";
    assert_eq!(listeners.world.metric(handshakes), Some(1.0));
}

/// What Android asks to find out whether a resolver of the network has DNS over TLS: an AAAA record, without EDNS.
fn probe_of_android(id: u16) -> Vec<u8> {
    const AAAA: [u8; 2] = [0, 28];
    let name = format!("{id:08x}-dnsotls-ds.metric.gstatic.com");
    let mut message = query(id, &name, QueryType::AddressWithoutEdns);
    let at = message.len() - 4;
    message[at..at + 2].copy_from_slice(&AAAA);
    message
}

#[test]
fn private_dns_of_android_is_answered_with_any_certificate_when_automatic_and_by_its_name_when_strict()
 {
    let listeners = Listeners::new();
    let (world, stranger) = (&listeners.world, TestAuthority::new().unwrap());
    // Automatic: it knows the address alone, and whether the certificate is good for it is of no interest.
    let automatic = Offer::new(&stranger).opportunistic();
    let address = world.dot_address();
    let mut phone = automatic.connect(address, "127.0.0.1").unwrap();
    phone.send(&probe_of_android(0x4711));
    let response = Response::read(&phone.receive().unwrap());
    assert_eq!((response.id, response.rcode), (0x4711, Rcode::NOERROR));
    phone.ask("automatic.test").assert_right();

    // With a hostname, the name is all that counts: without a certificate for it nothing is asked.
    let strict = Offer::new(&world.authority);
    assert!(strict.connect(address, NAME).is_err(), "another authority");
    let strict = Offer::new(&listeners.authority);
    assert!(strict.connect(address, "other.test").is_err());
    let mut phone = strict.connect(address, NAME).unwrap();
    phone.send(&probe_of_android(0x4712));
    assert_eq!(Response::read(&phone.receive().unwrap()).id, 0x4712);
    phone.ask("strict.test").assert_right();
    // It goes on where it was, also over the next connection.
    assert!(strict.connect(address, NAME).unwrap().is_resumed());
    assert_eq!(listeners.answered("dot"), Some(2.0));
}
