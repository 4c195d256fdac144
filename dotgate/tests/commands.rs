//! The commands as a person meets them: the built program is run, and what it prints and its exit status are looked
//! at. Upstreams are the embedded resolver and scripted servers on loopback.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails, outside its own function too"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name, Ttl};
use domain::rdata::A;
use dotgate::commands::query::{QueryParameters, Transport, ask};
use dotgate_testbed::certificates::{Leaf, ServerCertificate, TestAuthority, Validity};
use dotgate_testbed::resolver::{Resolver, ResolverConfig};
use dotgate_tls::{pin_of, pin_text};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, Socket, Type};
use tempfile::NamedTempFile;

fn dotgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dotgate"));
    command.args(arguments).env_clear();
    command
}

#[track_caller]
fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// The lines of a text that begin with `start`, without it.
fn lines_after<'t>(text: &'t str, start: &str) -> Vec<&'t str> {
    text.lines()
        .filter_map(|line| line.strip_prefix(start))
        .collect()
}

#[test]
fn init_writes_a_file_that_is_accepted_and_never_overwrites_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dotgate.toml");
    let path = path.to_str().unwrap();
    let init = |more: &[&str]| {
        let arguments = [&["init", "--config", path], more].concat();
        dotgate(&arguments).output().unwrap()
    };
    let printed = init(&["--print"]);
    let written = init(&[]);
    assert_eq!(written.status.code(), Some(0));
    let said = text(&written.stdout);
    assert!(said.starts_with(&format!("written: {path}\n")), "{said}");
    assert!(said.contains("\nnext:\n  dotgate check"), "{said}");
    let settings = std::fs::read(path).unwrap();
    assert_eq!(text(&settings), text(&printed.stdout));
    let check = dotgate(&["check", "--config", path]).output().unwrap();
    assert!(text(&check.stdout).contains("configuration OK"));

    std::fs::write(path, "# mine\n").unwrap();
    let refused = init(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("It is left as it is"));
    assert_eq!(std::fs::read(path).unwrap(), b"# mine\n");

    let nowhere = dotgate(&["init", "--config", "/nowhere/dotgate.toml"]);
    let refused = { nowhere }.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("dotgate init --config FILE"));
}

/// Functions of OpenWrt, as far as the init script needs them: they read one section, and print what procd gets.
const OPENWRT: &str = r#"
uci() { sed -n "s/^\t\(list\|option\) $1 '\(.*\)'$/\2/p" "$CONFIG"; }
config_load() { :; }
config_get() { eval "$1=\$(uci $3)"; eval "[ -n \"\$$1\" ] || $1=\$4"; }
config_get_bool() { config_get "$@"; }
config_list_foreach() { for item in $(uci "$2"); do "$3" "$item"; done; }
logger() { echo "$*" >&2; }
procd_open_instance() { :; }
procd_close_instance() { :; }
procd_set_param() { echo "$*"; }
procd_send_signal() { echo "signal $3"; }
procd_running() { true; }
"#;

#[test]
fn the_init_script_of_openwrt_makes_settings_that_are_accepted() {
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/openwrt/files");
    let read = |name: &str| std::fs::read_to_string(format!("{files}/{name}")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (written, config) = (place("etc/dotgate.toml"), place("config"));
    let script = read("dotgate.init")
        .replace("/usr/sbin/dotgate", env!("CARGO_BIN_EXE_dotgate"))
        .replace("/var/etc/dotgate.toml", &written);
    let run = |uci: &str, function: &str| {
        std::fs::write(&config, uci).unwrap();
        let script = format!("{OPENWRT}\n{script}\n{function}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).env("CONFIG", &config);
        // What tells tests that none may be skipped is not a setting.
        shell.env_remove("DOTGATE_TEST_NO_SKIP");
        shell.output().unwrap()
    };
    let shipped = read("dotgate.config");
    let started = run(&shipped, "start_service");
    assert_eq!(text(&started.stdout), "", "it is off until it is enabled");

    let enabled = shipped.replace("enabled '0'", "enabled '1'");
    let started = run(&enabled, "start_service");
    let said = text(&started.stdout);
    assert_eq!(text(&started.stderr), "");
    assert!(said.contains(&format!("--config {written}\n")), "{said}");
    let check = dotgate(&["check", "--json", "--changed", "--config", &written]);
    let document: serde_json::Value = { check }
        .output()
        .map(|output| serde_json::from_slice(&output.stdout).unwrap())
        .unwrap();
    assert_eq!(document["problems"], serde_json::json!([]));
    assert_eq!(document["listen"], serde_json::json!(["127.0.0.1:5300"]));
    assert_eq!(document["upstreams"].as_array().unwrap().len(), 2);

    let quoted = enabled.replace("'1.1.1.1#", "''1.1.1.1#");
    let reloaded = run(&quoted, "reload_service");
    assert_eq!(text(&reloaded.stdout), "signal HUP\n");
    assert!(text(&reloaded.stderr).contains("left out, because it has a quote"));
    let wrong = run(&enabled.replace("'5300'", "'dns'"), "start_service");
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        text(&wrong.stderr).contains("port"),
        "{}",
        text(&wrong.stderr)
    );
}

/// A program that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn demo_once_answers_three_questions_and_exits_0() {
    let Output {
        status,
        stdout,
        stderr,
    } = dotgate(&["demo", "--once"]).output().unwrap();
    let shown = text(&stdout);
    assert_eq!((status.code(), text(&stderr)), (Some(0), ""), "{shown}");
    let records = [
        "example.test.\t60\tIN\tA\t192.0.2.1",
        "alias.example.test.\t60\tIN\tCNAME\texample.test.",
        "example.test.\t60\tIN\tA\t192.0.2.1",
    ];
    let is_record = |line: &&str| line.contains("\t60\tIN\t");
    let found: Vec<&str> = shown.lines().filter(is_record).collect();
    assert_eq!(found, records, "{shown}");
    let statuses: Vec<&str> = lines_after(shown, ";; ->>HEADER<<- opcode: QUERY, status: ")
        .into_iter()
        .filter_map(|rest| rest.split(',').next())
        .collect();
    assert_eq!(statuses, ["NOERROR", "NOERROR", "NXDOMAIN"], "{shown}");
    let transports: Vec<&str> = lines_after(shown, ";; SERVER: 127.0.0.1#")
        .into_iter()
        .filter_map(|rest| rest.split(' ').nth(1))
        .collect();
    assert_eq!(transports, ["(UDP)", "(TCP)", "(UDP)"], "{shown}");
}

#[test]
fn demo_serves_until_a_signal_even_where_its_port_is_taken() {
    let taken = UdpSocket::bind("127.0.0.1:5300");
    let mut child = Running(dotgate(&["demo"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.rsplit(' ').next().unwrap();
    let address: SocketAddr = address.parse().unwrap();
    assert!(taken.is_err() || address.port() != 5300);
    let last = lines.find(|line| line.as_ref().unwrap().contains("slow.example.test"));
    assert!(last.is_some(), "the hints come when it serves");

    let asked = QueryParameters {
        name: Name::from_str("slow.example.test").unwrap(),
        record_type: Rtype::A,
        transport: Transport::Udp,
    };
    let response = ask(address, &asked, Duration::from_secs(10)).unwrap();
    assert_eq!(response.message.header().rcode(), Rcode::NOERROR);
    assert_eq!(response.message.header_counts().ancount(), 1);

    terminate(&child.0);
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_leaves_ends_the_demo_without_a_message() {
    let mut command = dotgate(&["demo"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running(command.spawn().unwrap());
    drop(child.0.stdout.take());
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    let mut complaints = String::new();
    let mut stderr = child.0.stderr.take().unwrap();
    stderr.read_to_string(&mut complaints).unwrap();
    assert_eq!(complaints, "");
}

/// Sends SIGTERM, for which the standard library has no call.
#[track_caller]
fn terminate(child: &Child) {
    let kill = format!("kill -TERM {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
}

/// `dotgate query` with all it needs; only its arguments are missing.
struct Asking {
    command: Command,
    _authority: NamedTempFile,
}

impl Asking {
    /// With this list of upstreams, and this authority trusted.
    fn of(upstreams: &str, authority_pem: &str) -> Asking {
        let mut authority = NamedTempFile::new().unwrap();
        authority.write_all(authority_pem.as_bytes()).unwrap();
        let mut command = dotgate(&["query"]);
        command
            .env("HOST", "127.0.0.1")
            .env("PORT", "53")
            .env("DNS_HOST", upstreams)
            .env("DNS_PORT", "853")
            .env("DOTGATE_QUERY_DEADLINE", "2s")
            .env("DOTGATE_TLS_CA_FILE", authority.path());
        Asking {
            command,
            _authority: authority,
        }
    }

    fn of_resolver(resolver: &Resolver) -> Asking {
        Asking::of(&upstream(resolver), resolver.authority_pem())
    }

    /// Runs it, and returns its exit status and what it printed: to standard output, to standard error.
    fn run(&mut self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command.args(arguments).output().unwrap();
        (
            output.status.code(),
            text(&output.stdout).to_owned(),
            text(&output.stderr).to_owned(),
        )
    }
}

/// The embedded resolver as an upstream in one line.
fn upstream(resolver: &Resolver) -> String {
    let address = resolver.address();
    format!("{}@{}#{}", address.ip(), address.port(), resolver.name())
}

/// The value of a line of the report, of the first upstream that has it.
#[track_caller]
fn value<'t>(shown: &'t str, title: &str) -> &'t str {
    let lines = lines_after(shown, &format!("  {title:<14}"));
    lines.first().copied().unwrap_or_else(|| {
        panic!("no line for {title} in:\n{shown}");
    })
}

#[track_caller]
fn assert_is_time(text: &str) {
    let number = text.strip_suffix(" ms").unwrap_or_default();
    assert!(
        number.parse::<f64>().is_ok_and(|millis| millis < 20_000.0),
        "{text}"
    );
}

#[test]
fn query_shows_every_step_of_the_way_and_the_answer() {
    let resolver = Resolver::start(&ResolverConfig::default()).unwrap();
    let (status, shown, complaints) = Asking::of_resolver(&resolver).run(&["eXample.test", "TXT"]);
    assert_eq!((status, complaints.as_str()), (Some(0), ""), "{shown}");
    let header = format!("upstream {}\n", upstream(&resolver));
    assert!(shown.starts_with(&header), "{shown}");
    assert_eq!(value(&shown, "address"), resolver.address().to_string());
    assert_is_time(value(&shown, "connect"));
    let (took, negotiated) = value(&shown, "tls").split_once(", ").unwrap();
    assert_is_time(took);
    assert_eq!(
        negotiated,
        "TLS 1.3, TLS13_AES_256_GCM_SHA384, X25519MLKEM768"
    );
    assert_eq!(value(&shown, "alpn"), "dot");
    assert_eq!(
        value(&shown, "certificate"),
        "resolver.demo.test, 127.0.0.1"
    );
    assert_eq!(value(&shown, "issuer"), "CN=dotgate demo authority");
    let days = value(&shown, "valid").strip_suffix(" days left").unwrap();
    assert!(
        (30_000..40_000).contains(&days.parse::<u32>().unwrap()),
        "{days}"
    );
    let pin = pin_of(&resolver.certificate().chain[0]).unwrap();
    assert_eq!(value(&shown, "pin"), format!(";pin={}", pin_text(&pin)));
    let (rcode, took) = value(&shown, "response").split_once(" in ").unwrap();
    assert_eq!(rcode, "NOERROR");
    assert_is_time(took);
    let order = "not seen, 4 questions asked at once, 4 answered";
    assert_eq!(value(&shown, "out of order"), order);
    assert_eq!(value(&shown, "keepalive"), "not offered");
    assert_is_time(
        value(&shown, "resumption")
            .strip_prefix("yes, in ")
            .unwrap(),
    );
    let way = format!(
        ";; queried {} on a session (resumed)\n",
        upstream(&resolver)
    );
    assert!(shown.contains(&way), "{shown}");
    let answer = "eXample.test.\t60\tIN\tTXT\t\"answered by dotgate's embedded resolver\"\n";
    assert!(shown.contains(answer), "{shown}");
    assert_eq!((resolver.connections(), resolver.queries()), (3, 5));
}

#[test]
fn query_sees_an_answer_overtake_a_slow_one() {
    let resolver = Resolver::start(&ResolverConfig::default()).unwrap();
    let (status, shown, _) = Asking::of_resolver(&resolver).run(&["slow.example.test"]);
    assert_eq!(status, Some(0), "{shown}");
    let order = "seen, 4 questions asked at once, 4 answered";
    assert_eq!(value(&shown, "out of order"), order);
}

#[test]
fn query_goes_on_without_alpn_where_it_is_refused() {
    let resolver = Resolver::start(&ResolverConfig {
        alpn: vec![b"h2".to_vec()],
        ..ResolverConfig::default()
    })
    .unwrap();
    let (status, shown, _) = Asking::of_resolver(&resolver).run(&["example.test"]);
    assert_eq!(status, Some(0), "{shown}");
    assert_eq!(value(&shown, "alpn"), "dot refused, so not offered");
    assert_is_time(
        value(&shown, "resumption")
            .strip_prefix("yes, in ")
            .unwrap(),
    );
}

#[test]
fn query_leaves_an_upstream_that_is_closed_for_the_next() {
    let (_held, closed) = closed_tcp();
    let resolver = Resolver::start(&ResolverConfig::default()).unwrap();
    let list = format!("127.0.0.1@{},{}", closed.port(), upstream(&resolver));
    let (status, shown, complaints) =
        Asking::of(&list, resolver.authority_pem()).run(&["nothing.example.test"]);
    assert_eq!((status, complaints.as_str()), (Some(0), ""), "{shown}");
    let refused = "connect: Connection refused";
    assert!(value(&shown, "failed").starts_with(refused), "{shown}");
    let way = format!(";; no session to 127.0.0.1@{}: connect to ", closed.port());
    assert!(shown.contains(&way), "{shown}");
    assert!(shown.contains("status: NXDOMAIN"), "{shown}");
}

#[test]
fn query_without_an_answer_exits_1_with_stage_and_reason() {
    let authority = TestAuthority::new().unwrap();
    let (_held, closed) = closed_tcp();
    let list = format!("127.0.0.1@{}", closed.port());
    let (status, shown, complaints) = Asking::of(&list, authority.pem()).run(&["example.test"]);
    assert_eq!(status, Some(1), "{shown}");
    let expected =
        format!("dotgate query: no answer from any upstream (connect: refused ({list}))\n");
    assert_eq!(complaints, expected);
    let ede = format!("; EDE: 22 (No Reachable Authority): connect: refused ({list})\n");
    assert!(shown.contains(&ede), "{shown}");
}

#[test]
fn query_shows_an_expired_certificate_and_sends_it_no_query() {
    let authority = TestAuthority::new().unwrap();
    let leaf = Leaf {
        validity: Validity::Past,
        ..Leaf::for_name("dns.test")
    };
    let certificate = authority.issue(&leaf).unwrap();
    let server = Server::start(&certificate);
    let list = format!("127.0.0.1@{}#dns.test", server.address.port());
    let (status, shown, _) = Asking::of(&list, authority.pem()).run(&["example.test"]);
    assert_eq!(status, Some(1), "{shown}");
    let failed = value(&shown, "failed");
    assert!(failed.starts_with("tls: certificate expired "), "{failed}");
    assert!(shown.contains("  What it shows, NOT TRUSTED"), "{shown}");
    assert_eq!(value(&shown, "certificate"), "dns.test");
    assert!(value(&shown, "valid").starts_with("ended "), "{shown}");
    let pin = pin_of(&certificate.chain[0]).unwrap();
    assert_eq!(value(&shown, "pin"), format!(";pin={}", pin_text(&pin)));
    let ede = "; EDE: 22 (No Reachable Authority): tls: certificate expired";
    assert!(shown.contains(ede), "{shown}");
    assert_eq!(
        server.finished.load(Ordering::SeqCst),
        1,
        "handshakes that were taken"
    );
    assert_eq!(server.bytes.load(Ordering::SeqCst), 0, "bytes of queries");
}

#[test]
fn query_finds_an_upstream_by_its_name() {
    let resolver = Resolver::start(&ResolverConfig::default()).unwrap();
    let bootstrap = plain_resolver();
    let list = format!("{}@{}", resolver.name(), resolver.address().port());
    let mut asking = Asking::of(&list, resolver.authority_pem());
    let servers = format!("127.0.0.1@{}", bootstrap.port());
    asking.command.env("DOTGATE_BOOTSTRAP_ADDRESSES", servers);
    let (status, shown, _) = asking.run(&["example.test"]);
    assert_eq!(status, Some(0), "{shown}");
    assert_eq!(value(&shown, "address"), resolver.address().to_string());

    let (_held, nobody) = closed_udp();
    let mut asking = Asking::of(&list, resolver.authority_pem());
    let servers = format!("127.0.0.1@{}", nobody.port());
    asking.command.env("DOTGATE_BOOTSTRAP_ADDRESSES", servers);
    let (status, shown, _) = asking.run(&["example.test"]);
    assert_eq!(status, Some(1), "{shown}");
    let failed = format!("bootstrap: {nobody}: connection refused");
    assert_eq!(value(&shown, "failed"), failed);
    let ede = "; EDE: 14 (Not Ready): connect: the name has no address yet";
    assert!(shown.contains(ede), "{shown}");
}

#[test]
fn query_sends_nothing_about_a_name_that_is_answered_here() {
    let resolver = Resolver::start(&ResolverConfig::default()).unwrap();
    let (status, shown, _) = Asking::of_resolver(&resolver).run(&["printer.local"]);
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.starts_with("dotgate answers this itself"), "{shown}");
    assert!(shown.contains("status: NXDOMAIN"), "{shown}");
    assert_eq!((resolver.connections(), resolver.queries()), (0, 0));
}

#[test]
fn query_needs_the_configuration_that_serving_needs() {
    let output = dotgate(&["query", "example.test"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    let complaints = text(&output.stderr);
    for variable in ["HOST", "PORT", "DNS_HOST", "DNS_PORT"] {
        let missing = format!("\n{variable} is not set\n");
        assert!(complaints.contains(&missing), "{complaints}");
    }
}

/// A port that refuses connections while the socket exists: it is bound and does not listen.
fn closed_tcp() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A port that refuses datagrams while the socket exists: it accepts them only from itself.
fn closed_udp() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    socket.connect(address).unwrap();
    (socket, address)
}

/// A resolver of plain DNS that says 127.0.0.1 of every name.
fn plain_resolver() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let query = Message::from_octets(&buffer[..length]).unwrap();
            let builder = MessageBuilder::new_vec();
            let mut answer = builder.start_answer(&query, Rcode::NOERROR).unwrap();
            let question = query.sole_question().unwrap();
            if question.qtype() == Rtype::A {
                let record = (
                    question.qname(),
                    Ttl::from_secs(60),
                    A::new(Ipv4Addr::LOCALHOST),
                );
                answer.push(record).unwrap();
            }
            socket.send_to(&answer.finish(), from).unwrap();
        }
    });
    address
}

/// A TLS server that says nothing: it counts handshakes that were taken, and bytes that came after them.
struct Server {
    address: SocketAddr,
    finished: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
}

impl Server {
    fn start(certificate: &ServerCertificate) -> Server {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificate.chain.clone(), certificate.key.clone_key())
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            finished: Arc::default(),
            bytes: Arc::default(),
        };
        let (finished, bytes) = (Arc::clone(&server.finished), Arc::clone(&server.bytes));
        thread::spawn(move || {
            while let Ok((mut socket, _)) = listener.accept() {
                let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                while tls.is_handshaking()
                    && tls.complete_io(&mut socket).is_ok_and(|io| io != (0, 0))
                {}
                if tls.is_handshaking() {
                    continue;
                }
                finished.fetch_add(1, Ordering::SeqCst);
                let mut received = Vec::new();
                // However it ends: what came counts.
                drop(StreamOwned::new(tls, socket).read_to_end(&mut received));
                bytes.fetch_add(received.len(), Ordering::SeqCst);
            }
        });
        server
    }
}
