//! A client over QUIC as datagrams in and out, for tests of DNS over QUIC (RFC 9250). The test determines what it sends on its
//! streams, right or wrong.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Dir, Endpoint,
    EndpointConfig, Event, ReadError, StreamEvent, StreamId, TransportConfig, VarInt,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use thiserror::Error;

/// Why a client cannot start.
#[derive(Debug, Error)]
pub enum QuicClientError {
    /// TLS does not accept the configuration.
    #[error("TLS of a QUIC client: {0}")]
    Tls(String),
    /// QUIC does not accept it.
    #[error("QUIC client: {0}")]
    Quic(String),
}

/// The configuration of a client's connections, with its tickets.
#[derive(Clone, Debug)]
pub struct QuicClientSetup(ClientConfig);

impl QuicClientSetup {
    /// Trusts an authority and offers application protocols. `identity` is a certificate with its key, in PEM form.
    ///
    /// # Errors
    /// [`QuicClientError::Tls`] if the authority or the identity cannot be used.
    pub fn new(
        authority: &str,
        protocols: &[&[u8]],
        identity: Option<(&str, &str)>,
    ) -> Result<Self, QuicClientError> {
        let tls = |error: &dyn std::fmt::Display| QuicClientError::Tls(error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            let certificate = certificate.map_err(|error| tls(&error))?;
            roots.add(certificate).map_err(|error| tls(&error))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| tls(&error))?
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
                let chain = chain.collect::<Result<Vec<_>, _>>();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
                let (chain, key) = (chain.map_err(|it| tls(&it))?, key.map_err(|it| tls(&it))?);
                let with = builder.with_client_auth_cert(chain, key);
                with.map_err(|error| tls(&error))?
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let crypto = QuicClientConfig::try_from(Arc::new(config));
        let crypto = crypto.map_err(|error| tls(&error))?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        let mut transport = TransportConfig::default();
        transport.mtu_discovery_config(None);
        config.transport_config(Arc::new(transport));
        Ok(Self(config))
    }
}

/// What a client has received on a stream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QuicStream {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether they are all.
    pub has_ended: bool,
    /// The error code with which the server has reset it.
    pub reset: Option<u64>,
}

/// One connection of a client.
pub struct QuicClient {
    endpoint: Endpoint,
    handle: ConnectionHandle,
    connection: Connection,
    is_connected: bool,
    lost: Option<ConnectionError>,
    streams: HashMap<u64, QuicStream>,
}

impl QuicClient {
    /// Starts a connection to the server of this name.
    ///
    /// # Errors
    /// [`QuicClientError::Quic`] if the name is invalid.
    pub fn connect(
        setup: &QuicClientSetup,
        now: Instant,
        server: SocketAddr,
        name: &str,
    ) -> Result<Self, QuicClientError> {
        let config = Arc::new(EndpointConfig::default());
        let mut endpoint = Endpoint::new(config, None, false, None);
        let (handle, connection) = endpoint
            .connect(now, setup.0.clone(), server, name)
            .map_err(|error| QuicClientError::Quic(error.to_string()))?;
        Ok(Self {
            endpoint,
            handle,
            connection,
            is_connected: false,
            lost: None,
            streams: HashMap::new(),
        })
    }

    /// Takes a datagram of the server.
    pub fn on_packet(&mut self, now: Instant, server: SocketAddr, bytes: &[u8]) {
        let mut response = Vec::new();
        let data = BytesMut::from(bytes);
        let event = self
            .endpoint
            .handle(now, server, None, None, data, &mut response);
        if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
            self.connection.handle_event(event);
        }
        self.take_events();
    }

    /// Lets time pass.
    pub fn on_timeout(&mut self, now: Instant) {
        self.connection.handle_timeout(now);
        self.take_events();
    }

    /// When time is to pass.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    /// The datagrams to send now.
    pub fn packets(&mut self, now: Instant) -> Vec<Vec<u8>> {
        while let Some(event) = self.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.connection.handle_event(event);
            }
        }
        let mut packets = Vec::new();
        loop {
            let mut packet = Vec::new();
            let transmit = self.connection.poll_transmit(now, 1, &mut packet);
            if transmit.is_none() {
                return packets;
            }
            packets.push(packet);
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected => self.is_connected = true,
                Event::ConnectionLost { reason } => {
                    // A stateless reset may follow a proper end.
                    self.lost.get_or_insert(reason);
                }
                Event::Stream(StreamEvent::Readable { id }) => self.read(id),
                Event::Stream(_)
                | Event::HandshakeDataReady
                | Event::DatagramReceived
                | Event::DatagramsUnblocked => {}
            }
        }
    }

    fn read(&mut self, id: StreamId) {
        let stream = self.streams.entry(id.into()).or_default();
        let mut received = self.connection.recv_stream(id);
        let Ok(mut chunks) = received.read(true) else {
            return;
        };
        loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    stream.bytes.extend_from_slice(&chunk.bytes);
                    continue;
                }
                Ok(None) => stream.has_ended = true,
                Err(ReadError::Reset(code)) => stream.reset = Some(code.into()),
                Err(ReadError::Blocked) => {}
            }
            break;
        }
    }

    /// Whether the handshake is complete.
    pub fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// How the connection ended, if it has.
    pub fn lost(&self) -> Option<&ConnectionError> {
        self.lost.as_ref()
    }

    /// The number with which the server has closed the connection.
    pub fn close_code(&self) -> Option<u64> {
        match &self.lost {
            Some(ConnectionError::ApplicationClosed(close)) => Some(close.error_code.into()),
            _ => None,
        }
    }

    /// The TLS alert with which the server has refused the connection.
    pub fn alert(&self) -> Option<u8> {
        match &self.lost {
            Some(ConnectionError::ConnectionClosed(close)) => {
                let code = u64::from(close.error_code).checked_sub(0x100)?;
                u8::try_from(code).ok()
            }
            _ => None,
        }
    }

    /// Opens a stream, in both directions or in one. None: the server allows no more now.
    pub fn open(&mut self, is_bidirectional: bool) -> Option<StreamId> {
        let dir = if is_bidirectional { Dir::Bi } else { Dir::Uni };
        self.connection.streams().open(dir)
    }

    /// Sends bytes on a stream, and returns how many could be sent.
    pub fn write(&mut self, id: StreamId, bytes: &[u8]) -> usize {
        let mut stream = self.connection.send_stream(id);
        stream.write(bytes).unwrap_or_default()
    }

    /// Ends a stream.
    pub fn finish(&mut self, id: StreamId) {
        drop(self.connection.send_stream(id).finish());
    }

    /// Breaks off a stream.
    pub fn reset(&mut self, id: StreamId, code: u32) {
        drop(
            self.connection
                .send_stream(id)
                .reset(VarInt::from_u32(code)),
        );
    }

    /// Asks the server to stop sending on a stream.
    pub fn stop(&mut self, id: StreamId, code: u32) {
        drop(self.connection.recv_stream(id).stop(VarInt::from_u32(code)));
    }

    /// Sends a query as RFC 9250 requires: on a stream of its own, behind its length.
    pub fn ask(&mut self, message: &[u8]) -> Option<StreamId> {
        let id = self.open(true)?;
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        self.write(id, &length.to_be_bytes());
        self.write(id, message);
        self.finish(id);
        Some(id)
    }

    /// What was received on a stream.
    pub fn received(&self, id: StreamId) -> QuicStream {
        self.streams.get(&id.into()).cloned().unwrap_or_default()
    }

    /// The response on a stream, once it is complete.
    pub fn response(&self, id: StreamId) -> Option<Vec<u8>> {
        let stream = self.streams.get(&id.into())?;
        let message = stream.bytes.get(2..)?;
        stream.has_ended.then(|| message.to_vec())
    }

    /// Forgets what was received on these streams.
    pub fn forget(&mut self, streams: &[StreamId]) {
        for id in streams {
            self.streams.remove(&u64::from(*id));
        }
    }

    /// Closes the connection with this number.
    pub fn close(&mut self, now: Instant, code: u32) {
        self.connection
            .close(now, VarInt::from_u32(code), Bytes::new());
    }
}
