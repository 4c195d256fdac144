//! `dotgate query` as a person meets it who has no configuration: the built program is run, and what it prints and its
//! exit status are looked at. Upstreams are the embedded resolver; servers are the demo.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails, outside its own function too"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};

use dotgate_testbed::resolver::{Resolver, ResolverConfig};
use dotgate_tls::{pin_of, pin_text};
use serde_json::Value;
use tempfile::NamedTempFile;

/// Runs `dotgate query` with these variables alone.
fn query(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dotgate"));
    let command = command.env_clear().envs(variables.iter().copied());
    let output = command.arg("query").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The embedded resolver, and the file with its authority.
struct World {
    resolver: Resolver,
    authority: NamedTempFile,
}

impl World {
    fn new() -> World {
        let resolver = Resolver::start(&ResolverConfig::default()).unwrap();
        let mut authority = NamedTempFile::new().unwrap();
        authority
            .write_all(resolver.authority_pem().as_bytes())
            .unwrap();
        World {
            resolver,
            authority,
        }
    }

    /// The resolver in one line, as its certificate has it.
    fn upstream(&self) -> String {
        let (address, name) = (self.resolver.address(), self.resolver.name());
        format!("{}@{}#{name}", address.ip(), address.port())
    }

    /// Asks it without any setting but that of its authority.
    fn query(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let upstream = self.upstream();
        let mut all = vec!["--upstream", &upstream];
        all.extend_from_slice(arguments);
        let authority = self.authority.path().to_str().unwrap();
        query(&all, &[("DOTGATE_TLS_CA_FILE", authority)])
    }
}

#[test]
fn an_upstream_is_tried_without_any_configuration() {
    let world = World::new();
    let (status, shown, complaints) = world.query(&["example.test"]);
    assert_eq!((status, complaints.as_str()), (Some(0), ""), "{shown}");
    let upstream = world.upstream();
    let last = shown.lines().last().unwrap();
    let expected = format!(";; the upstream {upstream} answered NOERROR, 1 record");
    assert_eq!(last, expected);
    let server = format!(";; SERVER: {upstream} (DNS over TLS)\n");
    assert!(shown.contains(&server), "{shown}");
}

#[test]
fn an_upstream_is_tried_by_its_pin_alone_and_refused_by_another() {
    let world = World::new();
    let address = world.resolver.address();
    let pin = pin_text(&pin_of(&world.resolver.certificate().chain[0]).unwrap());
    let upstream = format!("{}@{};pin={pin}", address.ip(), address.port());
    let (status, shown, _) = query(&["example.test", "--upstream", &upstream, "--short"], &[]);
    assert_eq!((status, shown.as_str()), (Some(0), "192.0.2.1\n"));

    let other = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let upstream = format!("{}@{};pin={other}", address.ip(), address.port());
    let (status, shown, complaints) = query(&["example.test", "--upstream", &upstream], &[]);
    assert_eq!(status, Some(1));
    let expected = format!("  pin           ;pin={pin}\n");
    assert!(shown.contains(&expected), "{shown}");
    let expected = "dotgate query: no answer from any upstream (tls: no pin matches";
    assert!(complaints.starts_with(expected), "{complaints}");
}

#[test]
fn a_wrong_upstream_says_what_is_wrong_with_it() {
    for (upstream, expected) in [
        ("192.0.2.1#", "\n--upstream 192.0.2.1#: "),
        (
            "dns.example",
            "--upstream: the upstream dns.example is a name",
        ),
    ] {
        let (status, shown, complaints) = query(&["a.test", "--upstream", upstream], &[]);
        assert_eq!((status, shown.as_str()), (Some(2), ""));
        assert!(complaints.contains(expected), "{complaints}");
    }
}

#[test]
fn json_is_one_object_with_every_step() {
    let world = World::new();
    let (status, shown, complaints) = world.query(&["bücher.example.test", "--json"]);
    assert_eq!((status, complaints.as_str()), (Some(0), ""), "{shown}");
    let document: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(document["schema"], 1);
    assert_eq!(document["name"], "xn--bcher-kva.example.test.");
    assert_eq!(document["typed"], "bücher.example.test");
    assert_eq!(document["record_type"], "A");
    assert_eq!(document["outcome"], "answered");
    assert_eq!(document["response"]["rcode"], "NXDOMAIN");
    assert_eq!(document["response"]["server"], world.upstream());
    let upstream = &document["upstreams"][0];
    assert_eq!(upstream["authenticated"], true);
    assert_eq!(upstream["tls"]["version"], "TLS 1.3");
    assert_eq!(upstream["response_rcode"], "NXDOMAIN");
    let pin = pin_text(&pin_of(&world.resolver.certificate().chain[0]).unwrap());
    assert_eq!(upstream["tls"]["certificate"]["pin"], pin);
    assert_eq!(upstream["failure"], Value::Null);
}

#[test]
fn a_name_with_other_letters_is_asked_as_its_a_label_and_an_address_by_its_reverse_name() {
    let world = World::new();
    let (_, shown, _) = world.query(&["bücher.example.test"]);
    let first = ";; bücher.example.test is sent as xn--bcher-kva.example.test\n";
    assert!(shown.starts_with(first), "{shown}");
    let (_, shown, _) = world.query(&["-x", "198.51.100.1"]);
    assert!(
        shown.contains(";1.100.51.198.in-addr.arpa.\t\tIN\tPTR\n"),
        "{shown}"
    );
}

#[test]
fn a_running_server_is_asked_as_its_clients_ask() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_dotgate"));
    let mut demo = demo
        .arg("demo")
        .env_clear()
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let demo = Ending(demo);
    let (_, address) = first.rsplit_once(' ').unwrap();
    let option = format!("--via-server={address}");
    let (status, shown, complaints) = query(&["example.test", &option], &[]);
    assert_eq!((status, complaints.as_str()), (Some(0), ""), "{shown}");
    let last = format!(";; the server {address} answered NOERROR, 1 record\n");
    assert!(shown.ends_with(&last), "{shown}");
    let (ip, port) = address.rsplit_once(':').unwrap();
    let here = [("HOST", ip), ("PORT", port)];
    let (status, shown, _) = query(&["example.test", "--via-server", "--short"], &here);
    assert_eq!((status, shown.as_str()), (Some(0), "192.0.2.1\n"));
    drop(demo);

    let (status, _, complaints) = query(&["example.test", "--via-server"], &[("HOST", ip)]);
    assert_eq!(status, Some(2));
    assert!(complaints.contains("\nPORT is not set\n"), "{complaints}");
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    closed.connect(address).unwrap();
    let option = format!("--via-server={address}");
    let (status, _, complaints) = query(&["example.test", &option], &[]);
    assert_eq!(status, Some(1));
    let expected = format!("dotgate query: no response from the server {address}: ");
    assert!(complaints.starts_with(&expected), "{complaints}");
}

/// A program that ends with its test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
