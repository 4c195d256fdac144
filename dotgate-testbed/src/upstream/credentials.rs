//! The certificate and the other parameters of a server's handshakes.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::UpstreamError;
use crate::certificates::{CertificateError, Leaf, ServerCertificate, TestAuthority, Validity};

/// What is wrong with a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Certificate {
    /// Nothing.
    Right,
    /// Nothing, but it is not yet valid for a clock that was never set.
    Recent,
    /// It has expired.
    Expired,
    /// It is not yet valid.
    NotYetValid,
    /// It is for an address, and for no name.
    ForAddress(IpAddr),
    /// It is for another name.
    OtherName,
    /// Its authority is unknown.
    UnknownAuthority,
}

/// Certificate, application protocols and tickets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// What is wrong with the certificate.
    pub certificate: Certificate,
    /// The application protocols. A client that offers only others is rejected (RFC 7301 section 3.2); if there are none,
    /// its offer is ignored.
    pub alpn: Vec<Vec<u8>>,
    /// Whether sessions can be resumed.
    pub gives_tickets: bool,
    /// Whether clients need a certificate of the same authority.
    pub demands_certificate: bool,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            certificate: Certificate::Right,
            alpn: vec![b"dot".to_vec()],
            gives_tickets: true,
            demands_certificate: false,
        }
    }
}

impl Credentials {
    /// A certificate with a fault.
    pub fn with(certificate: Certificate) -> Self {
        Self {
            certificate,
            ..Self::default()
        }
    }

    /// Issues the certificate of a server with this authentication domain name.
    ///
    /// # Errors
    /// [`CertificateError`] if the name is invalid, or there is no randomness.
    pub fn issue(
        &self,
        authority: &TestAuthority,
        name: &str,
    ) -> Result<ServerCertificate, CertificateError> {
        let right = Leaf::for_name(name);
        let of = |validity| Leaf {
            validity,
            ..right.clone()
        };
        match self.certificate {
            Certificate::Right => authority.issue(&right),
            Certificate::Recent => authority.issue(&of(Validity::Recent)),
            Certificate::Expired => authority.issue(&of(Validity::Past)),
            Certificate::NotYetValid => authority.issue(&of(Validity::Future)),
            Certificate::ForAddress(address) => authority.issue(&Leaf {
                addresses: vec![address],
                ..Leaf::default()
            }),
            Certificate::OtherName => authority.issue(&Leaf::for_name("other.test")),
            Certificate::UnknownAuthority => TestAuthority::new()?.issue(&right),
        }
    }

    /// Makes the TLS configuration of a server with this certificate. `authority` is that of the clients' certificates.
    ///
    /// # Errors
    /// [`UpstreamError::Tls`] if rustls does not accept the certificate.
    pub fn server_config(
        &self,
        certificate: ServerCertificate,
        authority: &TestAuthority,
    ) -> Result<Arc<ServerConfig>, UpstreamError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = if self.demands_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate().clone())?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = verifier.build();
            let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(certificate.chain, certificate.key)?;
        config.alpn_protocols.clone_from(&self.alpn);
        if !self.gives_tickets {
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        Ok(Arc::new(config))
    }
}
