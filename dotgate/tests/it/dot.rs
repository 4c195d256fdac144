//! Clients over TLS, with sockets: handshakes, certificates, resumption, padding, and the end of a connection.
//!
//! Clients are rustls' own and kdig; the forwarder runs in this process, or as the built binary where files change or it
//! is replaced. Counted are answers, handshakes and what a client is shown.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use dotgate_message::framed;
use dotgate_testbed::certificates::{Leaf, Purpose, ServerCertificate, TestAuthority, Validity};
use rustls::version::{TLS12, TLS13};

use crate::program::run_with;
use crate::world::World;
use crate::world::dot::{Dot, Files, NAME, Offer};
use crate::world::house::House;
use crate::world::http::metric;
use crate::world::message::{QueryType, Response, query};
use crate::world::peer::{are_installed, find, is_installed_or_skipped};
use crate::world::program::Program;
use crate::world::upstream::{Form, Step};
use crate::world::wait::{BOUND, until};

const MS: Duration = Duration::from_millis(1);

/// A forwarder with a listener for TLS.
pub(crate) struct Listener {
    pub(crate) world: World,
    pub(crate) authority: TestAuthority,
    files: Files,
}

impl Listener {
    fn new() -> Listener {
        Listener::with(&[])
    }

    pub(crate) fn with(variables: &[(&str, &str)]) -> Listener {
        let authority = TestAuthority::new().unwrap();
        let files = Files::new(&authority);
        let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
        let own = [
            ("DOTGATE_DOT_LISTEN", "127.0.0.1:0"),
            ("DOTGATE_SERVER_CERTIFICATE_FILE", &certificate),
            ("DOTGATE_SERVER_KEY_FILE", &key),
        ];
        let set = |name: &str| variables.iter().any(|(written, _)| *written == name);
        let own = own.into_iter().filter(|(name, _)| !set(name));
        let all: Vec<_> = own.chain(variables.iter().copied()).collect();
        let world = World::with(1, &all);
        Listener {
            world,
            authority,
            files,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.world.dot_address()
    }

    fn connect(&self, offer: &Offer) -> Dot {
        offer.connect(self.address(), NAME).unwrap()
    }

    pub(crate) fn handshakes(&self, result: &str) -> Option<f64> {
        let series = format!("dotgate_client_handshakes_total{{result=\"{result}\"}}");
        self.world.metric(&series)
    }
}

#[test]
fn queries_over_tls_are_answered_as_their_responses_come_and_counted_apart() {
    let listener = Listener::new();
    let world = &listener.world;
    let slow = [Step::Wait(200 * MS), Step::Send(Form::Right)];
    world.upstreams[0].script(|script| {
        script.on("slow.test", &slow);
    });
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let mut client = listener.connect(&Offer::of(&listener.authority, versions));
        client.send_for("slow.test");
        client.send_for("fast.test");
        let [first, second] = [(); 2].map(|()| Response::read(&client.receive().unwrap()));
        assert_eq!(
            first.name,
            if first.id == 2 {
                "fast.test"
            } else {
                "slow.test"
            }
        );
        first.assert_right();
        second.assert_right();
    }
    assert_eq!(listener.handshakes("full"), Some(2.0));
    let of = |transport: &str| {
        let labels = format!("transport=\"{transport}\",type=\"A\",outcome=\"answered\"");
        world.metric(&format!("dotgate_queries_total{{{labels}}}"))
    };
    assert!(of("dot") >= Some(2.0), "{:?}", of("dot"));
    assert_eq!(of("tcp"), Some(0.0));
}

#[test]
fn a_client_offers_dot_or_no_application_protocol() {
    let listener = Listener::new();
    let offer = || Offer::new(&listener.authority);
    assert_eq!(listener.connect(&offer()).protocol(), None);
    let named = listener.connect(&offer().with_protocols(&["h2", "dot"]));
    assert_eq!(named.protocol(), Some(&b"dot"[..]));
    let others = offer().with_protocols(&["h2", "http/1.1"]);
    let refused = others.connect(listener.address(), NAME).err().unwrap();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    // Counted when the worker closes the connection, which may be after the client has heard of it.
    until("the refusal to be counted", || {
        listener.handshakes("alpn") == Some(1.0)
    });
}

#[test]
fn sessions_are_resumed_by_tickets_in_both_versions() {
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let listener = Listener::new();
        let offer = Offer::of(&listener.authority, versions);
        for number in 0..3 {
            let mut client = listener.connect(&offer);
            assert_eq!(client.is_resumed(), number > 0);
            // Tickets of TLS 1.3 come behind the handshake.
            client.ask(&format!("n{number}.test")).assert_right();
        }
        assert_eq!(listener.handshakes("full"), Some(1.0));
        assert_eq!(listener.handshakes("resumed"), Some(2.0));
    }
}

#[test]
fn early_data_is_never_offered() {
    let listener = Listener::new();
    let offer = Offer::of(&listener.authority, &[&TLS13]);
    listener.connect(&offer).ask("a.test").assert_right();
    let again = listener.connect(&offer);
    assert!(again.is_resumed() && !again.may_send_early);
}

#[test]
fn a_response_is_padded_if_its_query_was() {
    let listener = Listener::new();
    let mut client = listener.connect(&Offer::new(&listener.authority));
    let plain = query(1, "a.test", QueryType::Address);
    let mut padded = query(2, "b.test", QueryType::Address);
    let options = padded.len() - 2;
    padded[options..].copy_from_slice(&[0, 14]);
    padded.extend([0, 12, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (message, is_padded) in [(plain, false), (padded, true)] {
        client.send(&message);
        let response = client.receive().unwrap();
        Response::read(&response).assert_right();
        assert_eq!(
            response.len().is_multiple_of(468),
            is_padded,
            "{}",
            response.len()
        );
    }
}

#[test]
fn what_is_not_tls_gets_no_answer_and_no_upstream_is_asked() {
    let listener = Listener::new();
    let asked = framed(&query(1, "clear.test", QueryType::Address));
    let request = b"GET /dns-query HTTP/1.1\r\nHost: dns\r\n\r\n".to_vec();
    for bytes in [asked, request, vec![0; 100]] {
        let mut stream = TcpStream::connect(listener.address()).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut said = Vec::new();
        // A reset may follow the alert.
        drop(stream.read_to_end(&mut said));
        assert!(
            said.len() <= 7 && said.first().is_none_or(|it| *it == 21),
            "{said:?}"
        );
    }
    listener
        .world
        .wait_for_metric("dotgate_client_handshakes_total{result=\"not_tls\"}", 3.0);
    assert_eq!(listener.world.upstreams[0].queries(), 0);
}

#[test]
fn the_certificate_is_that_of_the_name_asked_for_else_the_first() {
    let authority = TestAuthority::new().unwrap();
    let files = Files::new(&authority);
    let mut leaf = Leaf::for_name("*.other.test");
    leaf.addresses.push([127, 0, 0, 1].into());
    let other = authority.issue(&leaf).unwrap();
    files.write("other", &other);
    let both = |end: &str| {
        format!(
            "{},{}",
            files.text(&format!("dns{end}")),
            files.text(&format!("other{end}"))
        )
    };
    let listener = Listener::with(&[
        ("DOTGATE_SERVER_CERTIFICATE_FILE", &both(".pem")),
        ("DOTGATE_SERVER_KEY_FILE", &both(".key")),
    ]);
    let offer = Offer::new(&authority);
    let shown = |name: &str| {
        offer
            .connect(listener.address(), name)
            .map(|client| client.shown())
    };
    let other = other.chain[0].to_vec();
    assert_ne!(shown(NAME).unwrap(), other);
    assert_eq!(shown("dns.other.test").unwrap(), other);
    assert_eq!(shown("DNS.Other.test").unwrap(), other);
    for name in ["other.test", "a.b.other.test", "unknown.test"] {
        // It gets the first one, which is for another name.
        let refused = shown(name).unwrap_err();
        assert!(refused.contains("not valid for name"), "{name}: {refused}");
    }
    listener
        .world
        .wait_for_metric("dotgate_client_handshakes_total{result=\"alert\"}", 3.0);
}

#[test]
fn clients_must_show_a_certificate_where_that_is_set() {
    let of_clients = TestAuthority::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.pem");
    std::fs::write(&file, of_clients.pem()).unwrap();
    let listener = Listener::with(&[("DOTGATE_SERVER_CLIENT_CA_FILE", file.to_str().unwrap())]);
    let issue = |authority: &TestAuthority, purpose| {
        let mut leaf = Leaf::for_name("client.test");
        leaf.purpose = purpose;
        authority.issue(&leaf).unwrap()
    };
    let offer = |own: &ServerCertificate| Offer::new(&listener.authority).with_certificate(own);
    let mut known = listener.connect(&offer(&issue(&of_clients, Purpose::Client)));
    known.ask("a.test").assert_right();
    let strangers = [
        Offer::new(&listener.authority),
        offer(&issue(&listener.authority, Purpose::Client)),
        offer(&issue(&of_clients, Purpose::Server)),
    ];
    for offer in strangers {
        // With TLS 1.3 a client learns of the refusal when it reads.
        let Ok(mut client) = offer.connect(listener.address(), NAME) else {
            continue;
        };
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.ask("b.test")));
        assert!(asked.is_err());
    }
    listener.world.wait_for_metric(
        "dotgate_client_handshakes_total{result=\"certificate\"}",
        3.0,
    );
    assert_eq!(listener.world.upstreams[0].queries(), 1);
}

#[test]
fn an_idle_connection_ends_with_close_notify() {
    let listener = Listener::with(&[("DOTGATE_DOT_IDLE", "1s")]);
    let mut client = listener.connect(&Offer::new(&listener.authority));
    client.ask("a.test").assert_right();
    assert_eq!(client.receive(), None);
}

#[test]
fn a_large_response_for_a_client_that_reads_late_arrives_whole() {
    let listener = Listener::new();
    listener.world.upstreams[0].script(|script| script.all = vec![Step::Send(Form::Long)]);
    let mut client = listener.connect(&Offer::new(&listener.authority));
    for number in 0..20 {
        client.send(&query(number, "long.test", QueryType::Text));
    }
    for _ in 0..20 {
        assert!(client.receive().unwrap().len() > 50_000);
    }
}

fn with_key(file: &str) -> (&str, &str) {
    ("DOTGATE_SERVER_KEY_FILE", file)
}

/// The program with a listener for TLS.
fn serve(house: &House, files: &Files, more: &[(&str, &str)]) -> Program {
    let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
    let own = [
        ("DOTGATE_DOT_LISTEN", "127.0.0.1:0"),
        ("DOTGATE_SERVER_CERTIFICATE_FILE", &*certificate),
        ("DOTGATE_SERVER_KEY_FILE", &*key),
        ("DOTGATE_SERVER_WORKERS", "2"),
    ];
    let all: Vec<_> = own.iter().chain(more).copied().collect();
    house.serve("0", &all)
}

#[test]
fn a_renewed_certificate_is_shown_to_new_clients_and_connections_stay() {
    let house = House::new();
    let files = Files::new(&house.authority);
    let program = serve(&house, &files, &[]);
    let offer = Offer::new(&house.authority);
    let mut old = offer.connect(program.dot_address(), NAME).unwrap();
    old.ask("before.test").assert_right();
    let renewed = house.authority.issue(&Leaf::for_name(NAME)).unwrap();
    files.write("dns", &renewed);
    program.wait_for_line("configuration reloaded");
    let fresh = Offer::new(&house.authority);
    let new = fresh.connect(program.dot_address(), NAME).unwrap();
    assert_eq!(new.shown(), renewed.chain[0].to_vec());
    assert_ne!(old.shown(), new.shown());
    old.ask("after.test").assert_right();
    // A key that is not that of the certificate changes nothing.
    let another = house.authority.issue(&Leaf::for_name(NAME)).unwrap();
    std::fs::write(files.path("dns.key"), another.key_pem).unwrap();
    program.wait_for_line("reload rejected");
    let same = fresh.connect(program.dot_address(), NAME).unwrap();
    assert_eq!(same.shown(), renewed.chain[0].to_vec());
    old.ask("still.test").assert_right();
}

#[test]
fn a_process_that_takes_over_serves_the_listener_and_resumes_with_the_same_secret() {
    let house = House::new();
    let files = Files::new(&house.authority);
    std::fs::write(files.path("tickets"), [7; 48]).unwrap();
    let secret = files.text("tickets");
    let shared = [("DOTGATE_SERVER_TICKET_KEY_FILE", &*secret)];
    let old = serve(&house, &files, &shared);
    let listen = old.dot_address().to_string();
    let offer = Offer::new(&house.authority);
    let mut before = offer.connect(old.dot_address(), NAME).unwrap();
    before.ask("before.test").assert_right();
    let port = old.address().port().to_string();
    let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
    let next = house.serve(
        &port,
        &[
            ("DOTGATE_DOT_LISTEN", &listen),
            ("DOTGATE_SERVER_CERTIFICATE_FILE", &certificate),
            ("DOTGATE_SERVER_KEY_FILE", &key),
            ("DOTGATE_SERVER_TICKET_KEY_FILE", &secret),
        ],
    );
    assert_eq!(next.dot_address().to_string(), listen);
    old.wait_for_line("another process serves");
    // The old process still has its connection.
    before.ask("meanwhile.test").assert_right();
    let mut after = offer.connect(next.dot_address(), NAME).unwrap();
    assert!(after.is_resumed());
    after.ask("after.test").assert_right();
}

#[test]
fn what_cannot_be_served_ends_it_with_status_2_and_the_reason() {
    let authority = TestAuthority::new().unwrap();
    let files = Files::new(&authority);
    files.write("other", &authority.issue(&Leaf::for_name(NAME)).unwrap());
    std::fs::write(files.path("short"), [7; 8]).unwrap();
    let (certificate, key, other) = (
        files.text("dns.pem"),
        files.text("dns.key"),
        files.text("other.key"),
    );
    let short = files.text("short");
    let listen = ("DOTGATE_DOT_LISTEN", "127.0.0.1:0");
    let certificate = ("DOTGATE_SERVER_CERTIFICATE_FILE", &*certificate);
    for (variables, reason) in [
        (&[listen][..], "encrypted listeners need a certificate"),
        (&[listen, certificate, with_key(&other)], "cannot be used"),
        (&[listen, certificate], "cannot be read"),
        (
            &[
                listen,
                certificate,
                with_key(&key),
                ("DOTGATE_SERVER_TICKET_KEY_FILE", &short),
            ],
            "needs 32 or more",
        ),
        (
            &[
                ("DOTGATE_DOT_LISTEN", "127.0.0.1:5300"),
                ("PORT", "5300"),
                certificate,
                with_key(&key),
            ],
            "is already a listener without TLS",
        ),
    ] {
        let (status, said) = run_with(variables);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(reason), "{reason}: {said}");
    }
}

#[test]
fn an_expired_certificate_is_reported_and_served() {
    let house = House::new();
    let files = Files::new(&house.authority);
    let mut leaf = Leaf::for_name(NAME);
    leaf.validity = Validity::Past;
    files.write("dns", &house.authority.issue(&leaf).unwrap());
    let program = serve(&house, &files, &[]);
    let said = program.lines_of_the_start().join("\n");
    assert!(said.contains("has expired"), "{said}");
    program.udp().ask("a.test").assert_right();
    let value_of = |series| metric(program.admin(), series);
    let ends = value_of("dotgate_server_certificate_not_after_timestamp_seconds");
    let started = value_of("process_start_time_seconds");
    assert!(ends > 0.0 && ends < started, "{ends}");
}

#[test]
fn kdig_asks_over_tls() {
    if !are_installed(&[], &["kdig"]) {
        return;
    }
    let listener = Listener::new();
    let ca = listener.files.path("ca.pem");
    std::fs::write(&ca, listener.authority.pem()).unwrap();
    let address = listener.address();
    let mut command = Command::new(find("kdig").unwrap());
    command.arg(format!("@{}", address.ip()));
    command.args([
        "-p",
        &address.port().to_string(),
        "+timeout=5",
        "+retry=0",
        "+padding",
    ]);
    command.arg(format!("+tls-ca={}", ca.display()));
    command.arg(format!("+tls-hostname={NAME}"));
    let output = command.args(["a.test", "A"]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(
        said.contains("status: NOERROR") && said.contains("PADDING"),
        "{said}"
    );
    assert!(said.contains("TLS session"), "{said}");
}

#[test]
fn malformed_and_hostile_tls_is_refused_and_other_clients_are_served() {
    // It is there where the TLS library of the cases is.
    const INSTALLED: &str = "tlsdb.py";
    if !is_installed_or_skipped(INSTALLED) {
        return;
    }
    let listener = Listener::new();
    let own = find(INSTALLED).unwrap().with_file_name("python3");
    let python = if own.exists() { own } else { "python3".into() };
    let mut command = Command::new(python);
    command.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/tls_cases.py"
    ));
    let address = listener.address();
    command.args([address.ip().to_string(), address.port().to_string()]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert_eq!(listener.world.upstreams[0].queries(), 0);
}

#[test]
fn an_idle_client_costs_less_than_30_kib() {
    const CLIENTS: usize = 300;
    let house = House::new();
    let files = Files::new(&house.authority);
    let program = serve(&house, &files, &[("DOTGATE_SERVER_WORKERS", "1")]);
    let offer = Offer::new(&house.authority);
    let crowd = || -> Vec<Dot> {
        let connect = |_| {
            let mut client = offer.connect(program.dot_address(), NAME).unwrap();
            client.ask("a.test").assert_right();
            client
        };
        (0..CLIENTS).map(connect).collect()
    };
    let each = program.memory_of_each(crowd);
    assert!(each < 30.0 * 1024.0, "{each} bytes");
}
