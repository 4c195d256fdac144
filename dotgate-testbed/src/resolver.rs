//! The embedded resolver: DNS over TLS on loopback with a small zone of its own.
//!
//! It takes the place of an upstream. One thread accepts and one serves each connection; queries may be
//! pipelined, and a slow answer does not hold up those behind it (RFC 7766 sections 6.2.1.1 and 7). It
//! never asks anybody else.
//!
//! Limits: 64 connections, closed after 30 s without a query; a client that takes nothing for 5 s is let
//! go.

mod connection;
#[cfg(test)]
mod tests;
mod zone;

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use thiserror::Error;

use self::connection::Connection;
use super::certificates::{CertificateError, Leaf, ServerCertificate, TestAuthority};

/// Connections served at once; further ones are closed as they come.
const MAX_CONNECTIONS: usize = 64;

/// How the embedded resolver is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverConfig {
    /// Its authentication domain name; its certificate carries the loopback address as well.
    pub name: String,
    /// The application protocols it accepts; empty: it does not look at them. A client that offers only
    /// others is refused (RFC 7301 section 3.2).
    pub alpn: Vec<Vec<u8>>,
    /// What it takes to answer for `slow.example.test`.
    pub slow: Duration,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        Self {
            name: "resolver.demo.test".to_owned(),
            alpn: vec![b"dot".to_vec()],
            slow: Duration::from_millis(200),
        }
    }
}

/// Why the embedded resolver cannot start.
#[derive(Debug, Error)]
pub enum ResolverError {
    /// The name is no name, or there is no randomness.
    #[error("no certificate can be made: {0}")]
    Certificate(#[from] CertificateError),
    /// rustls refused the set-up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The socket or the thread cannot be had.
    #[error("no socket or thread on loopback: {0}")]
    Io(#[from] io::Error),
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    queries: AtomicU64,
}

/// The embedded resolver; it stops when it is dropped.
#[derive(Debug)]
pub struct Resolver {
    address: SocketAddr,
    name: String,
    authority: TestAuthority,
    certificate: ServerCertificate,
    counters: Arc<Counters>,
    stopping: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Resolver {
    /// Starts a resolver on 127.0.0.1 and a port of the system's choice, with new certificates.
    ///
    /// # Errors
    /// [`ResolverError`] by cause.
    pub fn start(config: &ResolverConfig) -> Result<Self, ResolverError> {
        let authority = TestAuthority::new()?;
        let certificate = authority.issue(&Leaf {
            addresses: vec![Ipv4Addr::LOCALHOST.into()],
            ..Leaf::for_name(&config.name)
        })?;
        let mut tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificate.chain.clone(), certificate.key.clone_key())?;
        tls.alpn_protocols = config.alpn.clone();

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let counters = Arc::new(Counters::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let acceptor = Acceptor {
            listener,
            tls: Arc::new(tls),
            slow: config.slow,
            counters: Arc::clone(&counters),
            stopping: Arc::clone(&stopping),
            open: Vec::new(),
        };
        let acceptor = thread::Builder::new()
            .name("demo-accept".to_owned())
            .spawn(|| acceptor.run())?;
        Ok(Self {
            address,
            name: config.name.clone(),
            authority,
            certificate,
            counters,
            stopping,
            acceptor: Some(acceptor),
        })
    }

    /// Returns where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its authentication domain name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the certificate of the authority that issued its certificate.
    pub const fn authority(&self) -> &CertificateDer<'static> {
        self.authority.certificate()
    }

    /// Returns the same in PEM form.
    pub fn authority_pem(&self) -> &str {
        self.authority.pem()
    }

    /// Returns its own certificate and key, to pin it or to look at it.
    pub const fn certificate(&self) -> &ServerCertificate {
        &self.certificate
    }

    /// Returns how many connections it has accepted so far.
    pub fn connections(&self) -> u64 {
        self.counters.connections.load(Ordering::Relaxed)
    }

    /// Returns how many queries it has received so far.
    pub fn queries(&self) -> u64 {
        self.counters.queries.load(Ordering::Relaxed)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // A connection of our own ends the wait for one.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(acceptor) = self.acceptor.take()
            && woken
        {
            // A panic over there has been reported by its own thread.
            drop(acceptor.join());
        }
    }
}

/// The accepting thread and all it owns.
struct Acceptor {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    slow: Duration,
    counters: Arc<Counters>,
    stopping: Arc<AtomicBool>,
    open: Vec<(TcpStream, JoinHandle<()>)>,
}

impl Acceptor {
    fn run(mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.stopping.load(Ordering::Acquire) {
                break;
            }
            self.open.retain(|(_, thread)| !thread.is_finished());
            if self.open.len() < MAX_CONNECTIONS {
                // A connection that cannot be served is closed, as one beyond the bound is.
                drop(self.serve(stream));
            }
        }
        for (stream, thread) in self.open {
            // An error means that the connection is closed already.
            drop(stream.shutdown(Shutdown::Both));
            drop(thread.join());
        }
    }

    fn serve(&mut self, stream: TcpStream) -> Result<(), ResolverError> {
        let ours = stream.try_clone()?;
        let connection = Connection::new(
            stream,
            Arc::clone(&self.tls),
            self.slow,
            Arc::clone(&self.counters),
        )?;
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        let thread = thread::Builder::new()
            .name("demo-serve".to_owned())
            .spawn(|| {
                // What ends a connection is the client's affair; the resolver has no log.
                drop(connection.run());
            })?;
        self.open.push((ours, thread));
        Ok(())
    }
}
