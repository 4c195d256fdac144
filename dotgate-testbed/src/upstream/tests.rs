//! The limits of a server, with clients on sockets. What scripts do is tested with dotgate as the client.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;

use dotgate_message::{framed, query};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::certificates::TestAuthority;

const NAME: &str = "upstream.test";
const BOUND: Duration = Duration::from_secs(30);

struct World {
    upstream: Upstream,
    authority: TestAuthority,
}

impl World {
    fn new(limits: Limits, all: &[Step]) -> World {
        let authority = TestAuthority::new().unwrap();
        let credentials = Credentials::default();
        let certificate = credentials.issue(&authority, NAME).unwrap();
        let tls = credentials.server_config(certificate, &authority).unwrap();
        let mut script = Script::new(tls, answer_with_address);
        script.limits = limits;
        script.all = all.to_vec();
        let upstream = Upstream::start((Ipv4Addr::LOCALHOST, 0).into(), script).unwrap();
        World {
            upstream,
            authority,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.upstream.address()).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream
    }

    fn connect_tls(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(NAME).unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(tls, self.connect())
    }
}

#[test]
fn a_connection_beyond_the_limit_is_closed_and_not_counted() {
    let limits = Limits {
        connections: 1,
        ..Limits::NONE
    };
    let world = World::new(limits, &[Step::Send(Form::Right)]);
    let mut first = world.connect_tls();
    first.write_all(&framed(&query(1, "a.test"))).unwrap();
    first.read_exact(&mut [0; 2]).unwrap();
    let ended = world.connect().read(&mut [0]);
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert_eq!(world.upstream.record().connections, 1);
}

#[test]
fn an_idle_connection_is_closed() {
    let limits = Limits {
        idle: Some(Duration::from_millis(1)),
        ..Limits::NONE
    };
    let world = World::new(limits, &[]);
    world.connect().read_to_end(&mut Vec::new()).unwrap();
    assert!(world.upstream.wait_until(BOUND, |record| record.ended == 1));
}

#[test]
fn a_connection_whose_client_does_not_read_is_closed() {
    let limits = Limits {
        unread: Some(Duration::from_millis(1)),
        ..Limits::NONE
    };
    let world = World::new(limits, &[Step::Send(Form::Long)]);
    let mut client = world.connect_tls();
    // The kernel has less room than for these responses of 65,535 bytes.
    let queries: Vec<u8> = (0..1_000)
        .flat_map(|id| framed(&query(id, "a.test")))
        .collect();
    // The connection may end before all are written.
    drop(client.write_all(&queries));
    assert!(world.upstream.wait_until(BOUND, |record| record.ended == 1));
}

#[test]
fn a_query_beyond_the_delayed_ones_is_answered_at_once_and_only_counted_beyond_the_recorded_ones() {
    let limits = Limits {
        delayed: 1,
        recorded: 1,
        ..Limits::NONE
    };
    let steps = [Step::Wait(2 * BOUND), Step::Send(Form::Right)];
    let world = World::new(limits, &steps);
    let mut client = world.connect_tls();
    for id in [1, 2] {
        client.write_all(&framed(&query(id, "a.test"))).unwrap();
    }
    let mut head = [0; 4];
    client.read_exact(&mut head).unwrap();
    assert_eq!(head[2..], [0, 2], "the message ID of the second one");
    let record = world.upstream.record();
    assert_eq!((record.received, record.queries.len()), (2, 1));
}
