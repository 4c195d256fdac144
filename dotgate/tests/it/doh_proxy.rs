//! Clients over HTTPS behind a proxy that ends TLS: HAProxy as it comes, which names them in `X-Forwarded-For`.
//!
//! Asserted is who gets answers, whatever a client writes into the headers itself, and what the forwarder counts and logs.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use data_encoding::BASE64URL_NOPAD;
use dotgate_testbed::certificates::TestAuthority;
use tempfile::TempDir;

use crate::world::World;
use crate::world::dot::{Files, NAME};
use crate::world::message::{QueryType, Response, query};
use crate::world::peer::{are_installed, find};
use crate::world::wait::{BOUND, until};

/// Where the proxy listens, and whence it connects: no other test has these addresses.
const FRONT: &str = "127.81.0.1";
const PROXY: &str = "127.81.0.2";

/// The client that may ask, and one that may not.
const FRIEND: &str = "127.81.0.10";
const STRANGER: &str = "127.81.0.11";

/// A running HAProxy; it is killed when this is dropped.
struct Proxy {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Proxy {
    /// Ends the TLS of clients for the forwarder; `server` has further words about it.
    fn start(forwarder: SocketAddr, server: &str) -> Proxy {
        let authority = TestAuthority::new().unwrap();
        let files = Files::new(&authority);
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        let both =
            ["dns.pem", "dns.key"].map(|name| std::fs::read_to_string(files.path(name)).unwrap());
        std::fs::write(at("both.pem"), both.concat()).unwrap();
        std::fs::write(at("ca.pem"), authority.pem()).unwrap();
        let address = TcpListener::bind((FRONT, 0)).unwrap().local_addr().unwrap();
        let text = format!(
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n  \
             option forwardfor\nfrontend https\n  bind {address} ssl crt {} alpn h2,http/1.1\n  \
             default_backend dns\nbackend dns\n  server one {forwarder} source {PROXY} {server}\n",
            at("both.pem").display()
        );
        std::fs::write(at("haproxy.cfg"), text).unwrap();
        let child = Command::new(find("haproxy").unwrap())
            .arg("-db")
            .arg("-f")
            .arg(at("haproxy.cfg"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("the proxy to listen", || {
            TcpStream::connect(address).is_ok()
        });
        Proxy {
            child,
            address,
            folder,
        }
    }

    /// Asks as a client with this address and these header fields.
    fn ask(&self, client: &str, name: &str, fields: &[&str]) -> (String, Vec<u8>) {
        let port = self.address.port();
        let asked = BASE64URL_NOPAD.encode(&query(0, name, QueryType::Address));
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--show-error",
            "--max-time",
            "30",
            "--interface",
            client,
        ]);
        command
            .arg("--cacert")
            .arg(self.folder.path().join("ca.pem"));
        command.args(["--resolve", &format!("{NAME}:{port}:{FRONT}")]);
        command.args(["--write-out", "%{stderr}%{http_code}"]);
        for field in fields {
            command.args(["--header", field]);
        }
        command.arg(format!("https://{NAME}:{port}/dns-query?dns={asked}"));
        let output = command.output().unwrap();
        (String::from_utf8(output.stderr).unwrap(), output.stdout)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn world(more: &[(&str, &str)]) -> World {
    let own = [
        ("DOTGATE_DOH_LISTEN", "127.0.0.1:0"),
        ("DOTGATE_DOH_PROXY_FROM", PROXY),
        ("DOTGATE_ACCESS_ALLOW", FRIEND),
    ];
    let all: Vec<_> = own.iter().chain(more).copied().collect();
    World::with(1, &all)
}

/// The RCODE of a response.
fn rcode(body: &[u8]) -> u8 {
    body[3] & 15
}

const REFUSED: u8 = 5;

#[test]
fn clients_behind_haproxy_are_judged_by_their_own_addresses() {
    if !are_installed(&[], &["haproxy", "curl"]) {
        return;
    }
    for (server, answer) in [("", "refused"), ("proto h2", "refused"), ("", "silence")] {
        let world = world(&[("DOTGATE_ACCESS_ANSWER", answer)]);
        let proxy = Proxy::start(world.doh_address(), server);
        let (status, body) = proxy.ask(FRIEND, "a.test", &[]);
        assert_eq!(status, "200");
        Response::read(&body).assert_right();
        // What a client writes itself stands in front of what the proxy sees.
        let forged = format!("X-Forwarded-For: {FRIEND}");
        for fields in [&[][..], &[&*forged], &["X-Forwarded-For: nobody"]] {
            let (status, body) = proxy.ask(STRANGER, "b.test", fields);
            assert_eq!((&*status, rcode(&body)), ("200", REFUSED), "{fields:?}");
        }
        // The proxy passes this one on as it is, and the two do not agree.
        let other = format!("Forwarded: for={FRIEND}");
        let (status, _) = proxy.ask(STRANGER, "b.test", &[&other]);
        assert_eq!(status, "400");
        // The connection of the proxy, over which strangers were refused, goes on.
        let (_, body) = proxy.ask(FRIEND, "c.test", &[]);
        Response::read(&body).assert_right();
        assert_eq!(world.upstreams[0].queries(), 2);
        let refused =
            "dotgate_queries_total{transport=\"https\",type=\"A\",outcome=\"prohibited\"}";
        assert_eq!(world.metric(refused), Some(3.0));
    }
}

#[test]
fn who_is_no_proxy_gets_nothing_without_tls() {
    let authority = TestAuthority::new().unwrap();
    let files = Files::new(&authority);
    let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
    let with_certificate = [
        ("DOTGATE_SERVER_CERTIFICATE_FILE", &*certificate),
        ("DOTGATE_SERVER_KEY_FILE", &*key),
    ];
    for variables in [&[][..], &with_certificate] {
        let world = world(variables);
        let mut stream = TcpStream::connect(world.doh_address()).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        let asked = BASE64URL_NOPAD.encode(&query(0, "a.test", QueryType::Address));
        let request = format!(
            "GET /dns-query?dns={asked} HTTP/1.1\r\nHost: dns\r\nX-Forwarded-For: {FRIEND}\r\n\r\n"
        );
        // The connection may be closed already.
        drop(stream.write_all(request.as_bytes()));
        let mut said = Vec::new();
        drop(stream.read_to_end(&mut said));
        // Nothing, or an alert of TLS.
        assert!(said.len() <= 7, "{said:?}");
        assert_eq!(world.upstreams[0].queries(), 0);
    }
}
