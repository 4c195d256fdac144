//! What an upstream shows in a handshake.

use std::net::IpAddr;
use std::sync::Arc;

use dotgate_testbed::certificates::{Leaf, TestAuthority, Validity};
use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::AUTHENTICATION_NAME;

/// What is wrong with a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Certificate {
    Right,
    /// Right, except where the clock was never set.
    Recent,
    Expired,
    NotYetValid,
    /// For an address and no name.
    ForAddress(IpAddr),
    OtherName,
    UnknownAuthority,
}

/// Certificate, application protocols, tickets.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) certificate: Certificate,
    pub(crate) alpn: Vec<&'static str>,
    pub(crate) gives_tickets: bool,
    /// Whether clients must show a certificate of the same authority.
    pub(crate) demands_certificate: bool,
}

impl Default for Credentials {
    fn default() -> Credentials {
        Credentials {
            certificate: Certificate::Right,
            alpn: vec!["dot"],
            gives_tickets: true,
            demands_certificate: false,
        }
    }
}

impl Credentials {
    /// A certificate with a fault.
    pub(crate) fn with(certificate: Certificate) -> Credentials {
        Credentials {
            certificate,
            ..Credentials::default()
        }
    }

    pub(super) fn server_config(&self, authority: &TestAuthority) -> Arc<ServerConfig> {
        let name = match self.certificate {
            Certificate::OtherName => "other.test",
            _ => AUTHENTICATION_NAME,
        };
        let validity = match self.certificate {
            Certificate::Recent => Validity::Recent,
            Certificate::Expired => Validity::Past,
            Certificate::NotYetValid => Validity::Future,
            _ => Validity::Current,
        };
        let leaf = Leaf {
            validity,
            ..Leaf::for_name(name)
        };
        let leaf = match self.certificate {
            Certificate::ForAddress(address) => Leaf {
                names: Vec::new(),
                addresses: vec![address],
                ..leaf
            },
            _ => leaf,
        };
        let shown = match self.certificate {
            Certificate::UnknownAuthority => TestAuthority::new().unwrap().issue(&leaf),
            _ => authority.issue(&leaf),
        };
        let shown = shown.unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if self.demands_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(shown.chain, shown.key).unwrap();
        config.alpn_protocols = self
            .alpn
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        if !self.gives_tickets {
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        Arc::new(config)
    }
}
