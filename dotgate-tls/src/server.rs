//! TLS towards clients: the certificates that are shown to them, and what else their handshakes depend on.
//!
//! Serves listeners whose clients speak TLS. Made from files at the start and at each reload; connections keep what they
//! began with. TLS 1.2 and 1.3 alone, early data never (RFC 8446 section 8), no session is kept here: clients resume by
//! tickets. A client that offers application protocols must offer ours (RFC 7301 section 3.2, RFC 9325 section 3.8).

mod tickets;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dotgate_config::{AuthoritySources, CertificateFiles, ServerTlsFiles};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use thiserror::Error;

pub use self::tickets::{KEY_BYTES, TicketSecret};
use self::tickets::{SECRET_BYTES_MIN, Tickets};
use super::certificate::{CertificateFacts, sha256};
use super::channel::TlsChannel;
use super::failure::TlsFailure;
use super::identity::{KeyPair, KeyPairError};
use super::roots::{Roots, RootsError};

/// The application protocol of DNS over QUIC (RFC 9250 section 4.1.1).
const QUIC_PROTOCOL: &[u8] = b"doq";

/// What clients speak over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientProtocol {
    /// DNS (RFC 7858).
    Dot,
    /// HTTP/2 or HTTP/1.1 (RFC 8484).
    Https,
}

impl ClientProtocol {
    /// The names of the application protocols (IANA), the one that is preferred first.
    fn names(self) -> Vec<Vec<u8>> {
        match self {
            Self::Dot => vec![b"dot".to_vec()],
            Self::Https => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// Why clients cannot be served with TLS.
#[derive(Debug, Error)]
pub enum ServerTlsError {
    /// A certificate or its key cannot be used.
    #[error(transparent)]
    KeyPair(#[from] KeyPairError),
    /// What a file has is no certificate.
    #[error("the certificate in {path} cannot be parsed", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
    /// The authorities of clients cannot be used.
    #[error(transparent)]
    ClientAuthorities(#[from] RootsError),
    /// The secret of tickets cannot be read.
    #[error("{path} cannot be read: {problem}", path = path.display())]
    TicketKey {
        /// The file.
        path: PathBuf,
        /// The system's words.
        problem: std::io::Error,
    },
    /// The secret of tickets is too short.
    #[error(
        "{path} has {length} bytes, and the secret of tickets needs {SECRET_BYTES_MIN} or more\n  \
         `openssl rand -out {path} 64` makes one.", path = path.display()
    )]
    TicketKeyShort {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        length: usize,
    },
    /// rustls does not take the set-up.
    #[error("TLS for clients cannot be set up: {0}")]
    Setup(String),
}

/// A certificate that clients are shown.
#[derive(Debug, Clone)]
pub struct ServedCertificate {
    /// Where it was read.
    pub path: PathBuf,
    /// What it says of itself.
    pub facts: CertificateFacts,
}

/// TLS for clients, with the same certificates whatever they speak.
#[derive(Debug, Clone)]
pub struct ServerTls {
    dot: Arc<ServerConfig>,
    https: Arc<ServerConfig>,
    quic: Arc<ServerConfig>,
    secret: TicketSecret,
    certificates: Arc<[ServedCertificate]>,
}

impl ServerTls {
    /// Reads the files. Tickets depend on `secret` unless one of the files has another.
    ///
    /// # Errors
    /// [`ServerTlsError`]: a file cannot be used, or a key is not that of its certificate.
    pub fn load(files: &ServerTlsFiles, secret: &TicketSecret) -> Result<Self, ServerTlsError> {
        Self::with_time(files, secret, Arc::new(DefaultTimeProvider))
    }

    /// As [`Self::load`], with tickets judged by another clock.
    pub(super) fn with_time(
        files: &ServerTlsFiles,
        secret: &TicketSecret,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Self, ServerTlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let entries = files
            .certificates
            .iter()
            .map(|it| Entry::load(it, &provider));
        let entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;
        let certificates = entries.iter().map(|entry| entry.certificate.clone());
        let certificates: Arc<[ServedCertificate]> = certificates.collect();
        let secret = match &files.ticket_key {
            Some(path) => read_secret(path)?,
            None => secret.clone(),
        };
        let roots = files.client_authorities.as_deref().map(client_roots);
        let setup = Setup {
            provider,
            time,
            roots: roots.transpose()?,
            resolver: Arc::new(Resolver(entries)),
            secret: &secret,
        };
        let tls = setup.config(&[&TLS13, &TLS12])?;
        let speaking = |tls: &ServerConfig, names: Vec<Vec<u8>>| {
            let mut config = tls.clone();
            config.alpn_protocols = names;
            Arc::new(config)
        };
        Ok(Self {
            dot: speaking(&tls, ClientProtocol::Dot.names()),
            https: speaking(&tls, ClientProtocol::Https.names()),
            // QUIC has no other version (RFC 9001 section 4.2).
            quic: speaking(&setup.config(&[&TLS13])?, vec![QUIC_PROTOCOL.to_vec()]),
            secret,
            certificates,
        })
    }

    /// What clients over QUIC get, with the same certificates.
    pub fn quic(&self) -> &Arc<ServerConfig> {
        &self.quic
    }

    /// A key for this purpose, which all processes with the same secret of tickets have.
    pub fn key_for(&self, purpose: &'static str) -> Option<[u8; KEY_BYTES]> {
        self.secret.key_for(purpose)
    }

    /// Begins the TLS of a client's connection.
    ///
    /// # Errors
    /// [`TlsFailure::Protocol`] where rustls cannot start.
    pub fn accept(&self, protocol: ClientProtocol) -> Result<TlsChannel, TlsFailure> {
        let config = match protocol {
            ClientProtocol::Dot => &self.dot,
            ClientProtocol::Https => &self.https,
        };
        ServerConnection::new(Arc::clone(config))
            .map(TlsChannel::of_client)
            .map_err(|error| TlsFailure::from_rustls(error, true))
    }

    /// The certificates, in the order of the settings.
    pub fn certificates(&self) -> &Arc<[ServedCertificate]> {
        &self.certificates
    }
}

/// What all configurations for clients have in common.
struct Setup<'s> {
    provider: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
    /// Who signs the certificates of clients, if they need some.
    roots: Option<Roots>,
    resolver: Arc<Resolver>,
    secret: &'s TicketSecret,
}

impl Setup<'_> {
    fn config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<ServerConfig, ServerTlsError> {
        let (provider, time) = (&self.provider, &self.time);
        let problem = |it: &dyn std::fmt::Display| ServerTlsError::Setup(it.to_string());
        let builder = ServerConfig::builder_with_details(Arc::clone(provider), Arc::clone(time))
            .with_protocol_versions(versions)
            .map_err(|it| problem(&it))?;
        let (builder, scope) = match &self.roots {
            None => (builder.with_no_client_auth(), Vec::new()),
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(
                    Arc::clone(roots.store()),
                    Arc::clone(provider),
                );
                let verifier = verifier.build().map_err(|it| problem(&it))?;
                (builder.with_client_cert_verifier(verifier), scope_of(roots))
            }
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&self.resolver) as _);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let tickets = Tickets::new(self.secret.clone(), scope, Arc::clone(time));
        config.ticketer = Arc::new(tickets);
        Ok(config)
    }
}

fn client_roots(path: &Path) -> Result<Roots, RootsError> {
    Roots::load(&AuthoritySources {
        ca_file: Some(path.to_owned()),
        ..AuthoritySources::default()
    })
}

/// A client that was authenticated by other authorities resumes nothing.
fn scope_of(roots: &Roots) -> Vec<u8> {
    let mut subjects = Vec::new();
    for anchor in &roots.store().roots {
        subjects.extend_from_slice(&sha256(&anchor.subject_public_key_info));
    }
    sha256(&subjects).to_vec()
}

fn read_secret(path: &Path) -> Result<TicketSecret, ServerTlsError> {
    let content = std::fs::read(path).map_err(|problem| ServerTlsError::TicketKey {
        path: path.to_owned(),
        problem,
    })?;
    TicketSecret::of(&content).ok_or_else(|| ServerTlsError::TicketKeyShort {
        path: path.to_owned(),
        length: content.len(),
    })
}

/// A certificate with its key.
#[derive(Debug)]
struct Entry {
    key: Arc<CertifiedKey>,
    certificate: ServedCertificate,
}

impl Entry {
    fn load(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Self, ServerTlsError> {
        let key = KeyPair::load(files)?.certified(files, provider)?;
        let path = files.certificate.clone();
        let facts = key.end_entity_cert().ok();
        let facts = facts.and_then(|own| CertificateFacts::read(own).ok());
        let facts = facts.ok_or_else(|| ServerTlsError::Unreadable { path: path.clone() })?;
        Ok(Self {
            key: Arc::new(key),
            certificate: ServedCertificate { path, facts },
        })
    }

    /// Whether it is for this name, which is in lower case.
    fn is_for(&self, name: &str) -> bool {
        let names = &self.certificate.facts.names;
        names
            .iter()
            .any(|own| covers(&own.to_ascii_lowercase(), name))
    }
}

/// Whether a name of a certificate is that name, or has a wildcard in place of its first label (RFC 9525 section 6.3).
fn covers(own: &str, name: &str) -> bool {
    let behind_first = |text: &str| text.split_once('.').map(|(_, behind)| behind.to_owned());
    own == name || own.starts_with("*.") && behind_first(own) == behind_first(name)
}

/// Chooses the certificate: the first one for the name that the client asks for whose key it can verify, else the first
/// one that it can verify.
#[derive(Debug)]
struct Resolver(Vec<Entry>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let offered = hello.signature_schemes();
        let can_verify = |entry: &&Entry| entry.key.key.choose_scheme(offered).is_some();
        let is_for = |entry: &&Entry| name.as_ref().is_some_and(|name| entry.is_for(name));
        let named = self
            .0
            .iter()
            .find(|entry| is_for(entry) && can_verify(entry));
        let chosen = named.or_else(|| self.0.iter().find(can_verify))?;
        Some(Arc::clone(&chosen.key))
    }
}
