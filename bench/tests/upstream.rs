//! The upstream serves a TLS client that knows its authority, and nobody else.

#![expect(
    clippy::unwrap_used,
    reason = "clippy exempts #[test] functions, not their parts"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use dotgate_bench::message::{self, Name, Response, Verdict};
use dotgate_bench::upstream::{AUTHENTICATION_NAME, Upstream};
use dotgate_message::framed;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const NAME: Name = Name {
    seed: 1,
    socket: 2,
    number: 3,
};

fn answered(id: u16, name: Name) -> Response {
    Response {
        id,
        name,
        verdict: Verdict::Answered,
    }
}

/// Starts an upstream; its thread ends with the test's process.
fn start(ca_file: &Path) -> SocketAddr {
    let upstream = Upstream::bind((Ipv4Addr::LOCALHOST, 0).into(), ca_file, None).unwrap();
    let address = upstream.local_addr().unwrap();
    thread::spawn(move || upstream.run());
    address
}

fn connect(
    address: SocketAddr,
    ca_file: &Path,
    name: &str,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca_file).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(tls, TcpStream::connect(address).unwrap())
}

fn read_message(stream: &mut impl Read) -> Vec<u8> {
    message::read_framed(stream).unwrap()
}

#[test]
fn a_thousand_queries_in_one_write_are_answered_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let address = start(&ca_file);
    for name in [AUTHENTICATION_NAME, "127.0.0.1"] {
        let mut stream = connect(address, &ca_file, name);
        let name = |id: u16| Name {
            seed: 9,
            socket: 1,
            number: u64::from(id),
        };
        let queries: Vec<u8> = (0..1000)
            .flat_map(|id| framed(&message::query(id, name(id))))
            .collect();
        stream.write_all(&queries).unwrap();
        for id in 0..1000 {
            let response = read_message(&mut stream);
            assert_eq!(message::response(&response), Some(answered(id, name(id))));
        }
    }
}

#[test]
fn a_query_that_comes_byte_by_byte_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let mut stream = connect(start(&ca_file), &ca_file, AUTHENTICATION_NAME);

    for byte in framed(&message::query(3, NAME)) {
        stream.write_all(&[byte]).unwrap();
    }
    let response = read_message(&mut stream);
    assert_eq!(message::response(&response), Some(answered(3, NAME)));
}

#[test]
fn the_upstream_reports_over_udp_how_many_queries_of_a_load_it_answered() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let address = start(&ca_file);
    let mut stream = connect(address, &ca_file, AUTHENTICATION_NAME);
    // The second is none of a load: its name has one letter less.
    let mut other = message::query(4, NAME).to_vec();
    other[12] = 23;
    other.remove(13);
    for query in [
        &message::query(3, NAME)[..],
        &other,
        &message::query(5, NAME),
    ] {
        stream.write_all(&framed(query)).unwrap();
        read_message(&mut stream);
    }
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.send_to(b"how many?", address).unwrap();
    let mut count = [0; 20];
    let length = socket.recv(&mut count).unwrap();
    assert_eq!(count[..length], *b"2");
}

#[test]
fn what_is_no_query_ends_the_connection_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let address = start(&ca_file);
    let mut good = connect(address, &ca_file, AUTHENTICATION_NAME);
    let mut bad = connect(address, &ca_file, AUTHENTICATION_NAME);
    bad.write_all(&framed(b"no query")).unwrap();
    assert!(bad.read_exact(&mut [0]).is_err());

    good.write_all(&framed(&message::query(3, NAME))).unwrap();
    let response = read_message(&mut good);
    assert_eq!(message::response(&response), Some(answered(3, NAME)));
}

#[test]
fn a_client_that_expects_another_name_or_authority_refuses_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (ca_file, other_ca_file) = (
        folder.path().join("ca.pem"),
        folder.path().join("other.pem"),
    );
    let address = start(&ca_file);
    start(&other_ca_file);
    for (authority, name) in [
        (&ca_file, "other.test"),
        (&other_ca_file, AUTHENTICATION_NAME),
    ] {
        let mut stream = connect(address, authority, name);
        let error = stream
            .write_all(b"x")
            .and_then(|()| stream.flush())
            .unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}
