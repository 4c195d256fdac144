//! The commands as a person meets them: the built program is run, and what it prints and its exit status are looked
//! at. Upstreams are the embedded resolver and scripted servers on loopback.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails, outside its own function too"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::str::FromStr as _;
use std::time::Duration;

use domain::base::Name;
use domain::base::iana::{Rcode, Rtype};
use dotgate::query::{Asked, Transport, ask};

fn dotgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dotgate"));
    command.args(arguments).env_clear();
    command
}

#[track_caller]
fn text(octets: &[u8]) -> &str {
    str::from_utf8(octets).unwrap()
}

/// The lines of a text that begin with `start`, without it.
fn lines_after<'t>(text: &'t str, start: &str) -> Vec<&'t str> {
    text.lines()
        .filter_map(|line| line.strip_prefix(start))
        .collect()
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
    let taken = std::net::UdpSocket::bind("127.0.0.1:5300");
    let mut child = Running(dotgate(&["demo"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.rsplit(' ').next().unwrap();
    let address: SocketAddr = address.parse().unwrap();
    assert!(taken.is_err() || address.port() != 5300);
    let last = lines.find(|line| line.as_ref().unwrap().contains("slow.example.test"));
    assert!(last.is_some(), "the hints come when it serves");

    let asked = Asked {
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
fn a_reader_that_leaves_ends_the_demo_in_silence() {
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
