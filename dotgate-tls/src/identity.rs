//! The certificate by which this program authenticates itself to an upstream that asks for one (RFC 8446 section 4.3.2).
//!
//! Read where the TLS of an upstream is made: at the start, by `dotgate check`, and at a reload. The key must be that of the
//! certificate; whether the upstream accepts it is for the handshake.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dotgate_config::ClientFiles;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use thiserror::Error;

/// Why there is no client certificate to use.
#[derive(Debug, Error)]
pub enum ClientIdentityError {
    /// A file cannot be read, or is not in PEM form.
    #[error("{path} cannot be read: {problem}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What reading it met.
        problem: pem::Error,
    },
    /// A file has no certificate.
    #[error("{path} has no certificate in PEM form", path = path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key cannot be used, or is not that of the certificate.
    #[error("the key in {path} cannot be used: {problem}", path = path.display())]
    Key {
        /// The file of the key.
        path: PathBuf,
        /// What is wrong with it.
        problem: rustls::Error,
    },
}

/// A certificate, those above it, and its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientIdentity {
    /// Reads it. Without a file for the key, the key is in that of the certificate.
    pub(super) fn load(files: &ClientFiles) -> Result<Self, ClientIdentityError> {
        let path = &files.certificate;
        let chain = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|problem| unreadable(path, problem))?;
        if chain.is_empty() {
            let path = path.clone();
            return Err(ClientIdentityError::NoCertificate { path });
        }
        let path = files.key.as_ref().unwrap_or(path);
        let key = PrivateKeyDer::from_pem_file(path).map_err(|it| unreadable(path, it))?;
        Ok(Self { chain, key })
    }

    /// What answers the upstream's request for a certificate.
    pub(super) fn resolver(
        &self,
        files: &ClientFiles,
        provider: &CryptoProvider,
    ) -> Result<Arc<SingleCertAndKey>, ClientIdentityError> {
        let (chain, key) = (self.chain.clone(), self.key.clone_key());
        let certified = CertifiedKey::from_der(chain, key, provider);
        let resolver = certified.map(SingleCertAndKey::from).map(Arc::new);
        resolver.map_err(|problem| {
            let path = files.key.as_ref().unwrap_or(&files.certificate).clone();
            ClientIdentityError::Key { path, problem }
        })
    }
}

fn unreadable(path: &Path, problem: pem::Error) -> ClientIdentityError {
    let path = path.to_owned();
    ClientIdentityError::Unreadable { path, problem }
}
