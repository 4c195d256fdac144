//! How an upstream is authenticated, and by which authorities (RFC 8310).

use std::iter;
use std::net::IpAddr;
use std::path::PathBuf;

use rustls_pki_types::ServerName;

/// What an upstream's certificate has to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// An authentication domain name (RFC 8310 section 7.1), sent as SNI and looked for among the
    /// certificate's subject alternative names; the common name is never read (RFC 8310 section 8.1).
    Name(ServerName<'static>),
    /// The upstream's own address, looked for among the certificate's IP alternative names.
    Address(IpAddr),
    /// Nothing: a pin alone authenticates the upstream (RFC 7858 section 4.2).
    PinOnly,
}

/// How an upstream is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// What the certificate has to carry.
    pub identity: Identity,
    /// SHA-256 digests of subject public key infos, of which one must be that of the end-entity certificate, or with
    /// a name or an address that of an authority that issued its certificate: then the certificate must pass as well.
    /// Empty: no pins.
    pub pins: Vec<[u8; 32]>,
    /// The same, except that a mismatch is reported and nothing fails.
    pub report_pins: Vec<[u8; 32]>,
    /// What the upstream gets if it asks for a certificate.
    pub client: Option<CertificateFiles>,
    /// Whether a pin of the end-entity certificate is enough while the system's clock shows a time at which this program
    /// did not exist. It is never set but for the names that may be asked then.
    pub pin_without_clock: bool,
    /// `false` only where the operator wrote `insecure-opportunistic` (RFC 8310 section 5): any
    /// certificate passes, and the identity is used for SNI alone.
    pub strict: bool,
}

/// Where a certificate of this program is, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and those above it, in PEM form.
    pub certificate: PathBuf,
    /// The key, in PEM form. None: it is in the file of the certificate.
    pub key: Option<PathBuf>,
}

impl CertificateFiles {
    /// The files.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        iter::once(&self.certificate).chain(&self.key)
    }

    fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        iter::once(&mut self.certificate).chain(&mut self.key)
    }
}

/// What clients that speak TLS are shown, and what they have to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTlsFiles {
    /// The certificates with their keys, at least one. The first one is for clients that ask for no name.
    pub certificates: Vec<CertificateFiles>,
    /// The authorities of which every client must have a certificate; none if no client needs one.
    pub client_authorities: Option<PathBuf>,
    /// The secret that tickets depend on; none if the process has one of its own.
    pub ticket_key: Option<PathBuf>,
}

impl ServerTlsFiles {
    pub(crate) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let pairs = self.certificates.iter_mut();
        let others = self
            .client_authorities
            .iter_mut()
            .chain(&mut self.ticket_key);
        pairs.flat_map(CertificateFiles::paths_mut).chain(others)
    }
}

/// Where the operator has trust anchors read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthoritySources {
    /// The file of the only authorities to trust (`DOTGATE_TLS_CA_FILE`), in place of all others.
    pub ca_file: Option<PathBuf>,
    /// The file that holds the system's authorities (`SSL_CERT_FILE`).
    pub certificate_file: Option<PathBuf>,
    /// The folders that hold further ones (`SSL_CERT_DIR`).
    pub certificate_folders: Vec<PathBuf>,
}
