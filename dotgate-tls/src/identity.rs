//! A certificate of this program's own with its key: shown to clients, or to an upstream that asks for one (RFC 8446
//! section 4.3.2).
//!
//! Read where TLS is made: at the start, by `dotgate check`, and at a reload. The key must be that of the certificate;
//! whether the peer accepts it is for the handshake.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dotgate_config::CertificateFiles;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use thiserror::Error;

/// Why there is no certificate to use.
#[derive(Debug, Error)]
pub enum KeyPairError {
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
pub(super) struct KeyPair {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl KeyPair {
    /// Reads it. Without a file for the key, the key is in that of the certificate.
    pub(super) fn load(files: &CertificateFiles) -> Result<Self, KeyPairError> {
        let path = &files.certificate;
        let chain = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|problem| unreadable(path, problem))?;
        if chain.is_empty() {
            let path = path.clone();
            return Err(KeyPairError::NoCertificate { path });
        }
        let path = files.key.as_ref().unwrap_or(path);
        let key = PrivateKeyDer::from_pem_file(path).map_err(|it| unreadable(path, it))?;
        Ok(Self { chain, key })
    }

    /// What answers the upstream's request for a certificate.
    pub(super) fn resolver(
        &self,
        files: &CertificateFiles,
        provider: &CryptoProvider,
    ) -> Result<Arc<SingleCertAndKey>, KeyPairError> {
        let certified = self.certified(files, provider);
        certified.map(SingleCertAndKey::from).map(Arc::new)
    }

    /// Both, once the key was found to be that of the certificate.
    pub(super) fn certified(
        &self,
        files: &CertificateFiles,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, KeyPairError> {
        let (chain, key) = (self.chain.clone(), self.key.clone_key());
        CertifiedKey::from_der(chain, key, provider).map_err(|problem| {
            let path = files.key.as_ref().unwrap_or(&files.certificate).clone();
            KeyPairError::Key { path, problem }
        })
    }
}

fn unreadable(path: &Path, problem: pem::Error) -> KeyPairError {
    let path = path.to_owned();
    KeyPairError::Unreadable { path, problem }
}
