//! The embedded resolver: DNS over TLS on loopback with a small zone of its own.
//!
//! It is a scripted server whose right responses are those of the zone. Queries may be pipelined, and a slow response does not
//! delay those of other queries (RFC 7766 sections 6.2.1.1 and 7). It never queries another server.
//!
//! Limits: 64 connections, which are closed after 30 s without a query, or if the client reads nothing for 5 s.

#[cfg(test)]
mod tests;
mod zone;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::certificates::{Leaf, ServerCertificate, TestAuthority};
use crate::upstream::{Credentials, Form, Limits, Script, Step, Upstream, UpstreamError};

const LIMITS: Limits = Limits {
    connections: 64,
    idle: Some(Duration::from_secs(30)),
    unread: Some(Duration::from_secs(5)),
    delayed: 4096,
    recorded: 0,
};

/// The configuration of the embedded resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverConfig {
    /// Its authentication domain name. Its certificate is also valid for the loopback address.
    pub name: String,
    /// The application protocols that it accepts; see [`Credentials::alpn`].
    pub alpn: Vec<Vec<u8>>,
    /// The delay of the response for `slow.example.test`.
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

/// The embedded resolver; it stops when it is dropped.
#[derive(Debug)]
pub struct Resolver {
    upstream: Upstream,
    name: String,
    authority: TestAuthority,
    certificate: ServerCertificate,
}

impl Resolver {
    /// Starts a resolver on 127.0.0.1 and a port that the system selects, with new certificates.
    ///
    /// # Errors
    /// [`UpstreamError`] by cause.
    pub fn start(config: &ResolverConfig) -> Result<Self, UpstreamError> {
        let authority = TestAuthority::new()?;
        let certificate = authority.issue(&Leaf {
            addresses: vec![Ipv4Addr::LOCALHOST.into()],
            ..Leaf::for_name(&config.name)
        })?;
        let credentials = Credentials {
            alpn: config.alpn.clone(),
            ..Credentials::default()
        };
        let tls = credentials.server_config(certificate.clone(), &authority)?;
        let mut script = Script::new(tls, zone::answer);
        script.limits = LIMITS;
        script.on(
            "slow.example.test",
            &[Step::Wait(config.slow), Step::Send(Form::Right)],
        );
        Ok(Self {
            upstream: Upstream::start((Ipv4Addr::LOCALHOST, 0).into(), script)?,
            name: config.name.clone(),
            authority,
            certificate,
        })
    }

    /// Returns where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.upstream.address()
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

    /// Returns its own certificate and key, to pin or inspect it.
    pub const fn certificate(&self) -> &ServerCertificate {
        &self.certificate
    }

    /// Returns how many connections it has accepted so far.
    pub fn connections(&self) -> u64 {
        self.upstream.record().connections
    }

    /// Returns how many queries it has received so far.
    pub fn queries(&self) -> usize {
        self.upstream.record().received
    }
}
