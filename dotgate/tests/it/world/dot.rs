//! A client over TLS: blocking, with what it offers chosen by the test.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use dotgate_message::framed;
use dotgate_testbed::certificates::{Leaf, ServerCertificate, TestAuthority};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use rustls::{SupportedProtocolVersion, crypto::aws_lc_rs};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::message::{QueryType, Response, query};
use super::wait::BOUND;

pub(crate) const NAME: &str = "dns.example.test";

/// The files of a listener with TLS.
pub(crate) struct Files(TempDir);

impl Files {
    /// With a certificate for [`NAME`] and its key.
    pub(crate) fn new(authority: &TestAuthority) -> Files {
        let files = Files(TempDir::new().unwrap());
        let mut leaf = Leaf::for_name(NAME);
        // kdig takes no certificate without a subject.
        leaf.common_name = Some("dns".to_owned());
        files.write("dns", &authority.issue(&leaf).unwrap());
        files
    }

    /// Writes a certificate and its key under a name.
    pub(crate) fn write(&self, name: &str, certificate: &ServerCertificate) {
        std::fs::write(self.path(&format!("{name}.key")), &certificate.key_pem).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), &certificate.pem).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

/// What a client offers.
pub(crate) struct Offer {
    config: ClientConfig,
}

impl Offer {
    /// Trusts this authority, and offers everything but an application protocol.
    pub(crate) fn new(authority: &TestAuthority) -> Offer {
        Offer::of(authority, &[&TLS13, &TLS12])
    }

    /// The same of these versions.
    pub(crate) fn of(
        authority: &TestAuthority,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Offer {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(4);
        config.enable_early_data = true;
        Offer { config }
    }

    /// The same with these application protocols.
    pub(crate) fn with_protocols(mut self, names: &[&str]) -> Offer {
        let names = names.iter().map(|name| name.as_bytes().to_vec());
        self.config.alpn_protocols = names.collect();
        self
    }

    /// The same with a certificate of the client's own.
    pub(crate) fn with_certificate(mut self, own: &ServerCertificate) -> Offer {
        let (chain, key) = (own.chain.clone(), own.key.clone_key());
        let provider = Arc::clone(self.config.crypto_provider());
        let certified = rustls::sign::CertifiedKey::from_der(chain, key, &provider).unwrap();
        let resolver = rustls::sign::SingleCertAndKey::from(certified);
        self.config.client_auth_cert_resolver = Arc::new(resolver);
        self
    }

    /// The same without a look at whose certificate it is, as clients in opportunistic mode do.
    pub(crate) fn opportunistic(mut self) -> Offer {
        let anybody = Anybody(Arc::clone(self.config.crypto_provider()));
        let mut config = self.config.dangerous();
        config.set_certificate_verifier(Arc::new(anybody));
        self
    }

    /// Connects, and completes the handshake or fails with rustls' words.
    pub(crate) fn connect(&self, forwarder: SocketAddr, name: &str) -> Result<Dot, String> {
        self.complete(TcpStream::connect(forwarder).unwrap(), name)
    }

    /// The same as a client at the address `own`.
    pub(crate) fn connect_from(
        &self,
        own: Ipv4Addr,
        forwarder: SocketAddr,
        name: &str,
    ) -> Result<Dot, String> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((own, 0)).into()).unwrap();
        socket.connect(&forwarder.into()).unwrap();
        self.complete(socket.into(), name)
    }

    fn complete(&self, stream: TcpStream, name: &str) -> Result<Dot, String> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(self.config.clone()), name).unwrap();
        let may_send_early = client.early_data().is_some();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        let mut tls = StreamOwned::new(client, stream);
        let completed = tls.conn.complete_io(&mut tls.sock);
        completed.map_err(|error| error.to_string())?;
        Ok(Dot {
            tls,
            may_send_early,
            received: Vec::new(),
            next_id: 1,
        })
    }
}

/// Takes the certificate of anybody who has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.0.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// A client with its connection.
pub(crate) struct Dot {
    tls: StreamOwned<ClientConnection, TcpStream>,
    /// Whether the ticket that it had allowed data in front of the handshake.
    pub(crate) may_send_early: bool,
    received: Vec<u8>,
    next_id: u16,
}

impl Dot {
    pub(crate) fn is_resumed(&self) -> bool {
        self.tls.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.tls.conn.alpn_protocol()
    }

    /// The certificate that it was shown.
    pub(crate) fn shown(&self) -> Vec<u8> {
        self.tls.conn.peer_certificates().unwrap()[0].to_vec()
    }

    pub(crate) fn send(&mut self, message: &[u8]) {
        self.tls.write_all(&framed(message)).unwrap();
    }

    /// Says that it sends no more.
    pub(crate) fn send_end(&mut self) {
        self.tls.conn.send_close_notify();
        self.tls.flush().unwrap();
    }

    /// Asks for a name's address.
    pub(crate) fn send_for(&mut self, name: &str) {
        let message = query(self.next_id, name, QueryType::Address);
        self.next_id += 1;
        self.send(&message);
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.tls.write_all(bytes)
    }

    /// Some bytes; none if the server has said that there are no more.
    pub(crate) fn receive_bytes(&mut self) -> std::io::Result<Vec<u8>> {
        let mut buffer = [0; 16 * 1_024];
        let length = self.tls.read(&mut buffer)?;
        Ok(buffer[..length].to_vec())
    }

    /// The next message; none if the server has said that there is no more.
    pub(crate) fn receive(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some((message, rest)) = dotgate_wire::split_frame(&self.received) {
                let (message, rest) = (message.to_vec(), rest.to_vec());
                self.received = rest;
                return Some(message);
            }
            let mut buffer = [0; 4_096];
            match self.tls.read(&mut buffer) {
                Ok(0) => return None,
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    panic!("no close_notify")
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn ask(&mut self, name: &str) -> Response {
        self.send_for(name);
        Response::read(&self.receive().expect("a response"))
    }
}
