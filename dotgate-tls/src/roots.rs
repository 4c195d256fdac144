//! The trust anchors: from the operator's file, from the system, or built in.
//!
//! It is before the path of a query, read at start and at a reload. It never falls back silently:
//! what was named and cannot be used is an error (RFC 8310 section 5.1: strict stays strict).

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dotgate_config::AuthoritySources;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};
use thiserror::Error;

use super::certificate::sha256;

/// Why there are no trust anchors to use.
#[derive(Debug, Error)]
pub enum RootsError {
    /// The file with certificate authorities cannot be read.
    #[error("{path} cannot be read: {problem}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What reading it met.
        problem: pem::Error,
    },
    /// The file holds something that is no certificate authority.
    #[error("certificate {number} of {path} cannot be used: {problem}", path = path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Which certificate of it, from 1.
        number: usize,
        /// What is wrong with it.
        problem: rustls::Error,
    },
    /// The file holds no certificate.
    #[error("{path} has no certificate in PEM form", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// `SSL_CERT_FILE` or `SSL_CERT_DIR` is set and does not lead to a certificate.
    #[error("{variable} is {value}, which has no readable certificate")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// What it is set to.
        value: String,
    },
    /// Neither the system nor the program has a trust anchor.
    #[error("neither the system nor this program has a trusted certificate authority")]
    None,
}

/// Where trust anchors came from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    File(PathBuf),
    /// How many `SSL_CERT_FILE` and `SSL_CERT_DIR` gave, where they are set; a certificate in both counts for the
    /// file.
    Environment {
        file: Option<usize>,
        folders: Option<usize>,
    },
    System,
    BuiltIn,
    Given,
}

/// The trust anchors that certificates of upstreams must lead to.
#[derive(Debug, Clone)]
pub struct Roots {
    store: Arc<RootCertStore>,
    /// SHA-256 of each certificate: an upstream that shows one of them is trusted as it is.
    listed: Arc<HashSet<[u8; 32]>>,
    origin: Origin,
    unusable: usize,
}

impl Roots {
    /// Loads the trust anchors.
    ///
    /// `ca_file` (PEM) replaces all others. Without it they are those of the file together with those of the folders,
    /// as for OpenSSL; if there is neither, the system's; where the system has none, Mozilla's as built into the
    /// program.
    ///
    /// # Errors
    /// [`RootsError`]: a source is given and cannot be used, or there is no trust anchor at all.
    pub fn load(sources: &AuthoritySources) -> Result<Self, RootsError> {
        let is_set = sources.certificate_file.is_some() || !sources.certificate_folders.is_empty();
        match &sources.ca_file {
            Some(path) => Self::from_file(path),
            None if is_set => Self::from_environment(sources),
            None => Self::from_system(load_native_certs()),
        }
    }

    /// Trusts one authority alone: that of the embedded resolver.
    ///
    /// # Errors
    /// [`RootsError::None`] where the certificate cannot be a trust anchor.
    pub fn trusting(authority: &CertificateDer<'static>) -> Result<Self, RootsError> {
        Self::from_certificates(vec![authority.clone()], Origin::Given)
    }

    /// Returns how many certificates there are and where they came from, for the log.
    pub fn describe(&self) -> String {
        let count = self.store.len();
        let origin = match &self.origin {
            Origin::File(path) => counted(count, &path.display()),
            Origin::Environment {
                file: Some(file),
                folders: Some(folders),
            } => {
                let file = counted(*file, &"SSL_CERT_FILE");
                format!("{file}, {folders} from SSL_CERT_DIR")
            }
            Origin::Environment { file: Some(_), .. } => counted(count, &"SSL_CERT_FILE"),
            Origin::Environment { file: None, .. } => counted(count, &"SSL_CERT_DIR"),
            Origin::System => counted(count, &"the system"),
            Origin::BuiltIn => counted(count, &"those built in"),
            Origin::Given => counted(count, &"the embedded resolver"),
        };
        match self.unusable {
            0 => origin,
            unusable => format!("{origin}, {unusable} more cannot be used"),
        }
    }

    /// Whether exactly the same certificates lead to these and to others.
    pub fn trusts_the_same(&self, other: &Self) -> bool {
        let has_same_roots =
            Arc::ptr_eq(&self.store, &other.store) || self.store.roots == other.store.roots;
        has_same_roots && self.listed == other.listed
    }

    pub(super) const fn store(&self) -> &Arc<RootCertStore> {
        &self.store
    }

    pub(super) const fn listed(&self) -> &Arc<HashSet<[u8; 32]>> {
        &self.listed
    }

    fn from_file(path: &Path) -> Result<Self, RootsError> {
        let unreadable = |problem| RootsError::Unreadable {
            path: path.to_owned(),
            problem,
        };
        let mut store = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
        let mut listed = HashSet::new();
        for (index, certificate) in certificates.enumerate() {
            let certificate = certificate.map_err(unreadable)?;
            listed.insert(sha256(&certificate));
            store
                .add(certificate)
                .map_err(|problem| RootsError::Unusable {
                    path: path.to_owned(),
                    number: index + 1,
                    problem,
                })?;
        }
        if store.is_empty() {
            return Err(RootsError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            store: Arc::new(store),
            listed: Arc::new(listed),
            origin: Origin::File(path.to_owned()),
            unusable: 0,
        })
    }

    fn from_environment(sources: &AuthoritySources) -> Result<Self, RootsError> {
        let unusable = |variable, value| RootsError::Variable { variable, value };
        let mut store = RootCertStore::empty();
        let (mut listed, mut ignored) = (HashSet::new(), 0);
        let mut add = |certificates: Vec<CertificateDer<'static>>| {
            listed.extend(certificates.iter().map(|it| sha256(it)));
            let (added, more_ignored) = store.add_parsable_certificates(certificates);
            ignored += more_ignored;
            added
        };
        let mut of_file = Vec::new();
        let mut file = None;
        if let Some(path) = &sources.certificate_file {
            of_file = distinct(load_certs_from_paths(Some(path), None).certs);
            file = Some(add(of_file.clone()));
            if file == Some(0) {
                return Err(unusable("SSL_CERT_FILE", path.display().to_string()));
            }
        }
        let mut folders = None;
        if !sources.certificate_folders.is_empty() {
            let read = |folder| load_certs_from_paths(None, Some(folder)).certs;
            let of_folders = sources.certificate_folders.iter().map(PathBuf::as_path);
            let mut found = distinct(of_folders.flat_map(read).collect());
            found.retain(|certificate| !of_file.contains(certificate));
            folders = Some(add(found));
            if folders == Some(0) && file.is_none() {
                let named = sources.certificate_folders.iter();
                let named: Vec<String> = named.map(|it| it.display().to_string()).collect();
                return Err(unusable("SSL_CERT_DIR", named.join(":")));
            }
        }
        Ok(Self {
            store: Arc::new(store),
            listed: Arc::new(listed),
            origin: Origin::Environment { file, folders },
            unusable: ignored,
        })
    }

    fn from_system(found: CertificateResult) -> Result<Self, RootsError> {
        match Self::from_certificates(found.certs, Origin::System) {
            Err(RootsError::None) => Self::built_in(),
            outcome => outcome,
        }
    }

    pub(super) fn built_in() -> Result<Self, RootsError> {
        let store: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        if store.is_empty() {
            return Err(RootsError::None);
        }
        Ok(Self {
            store: Arc::new(store),
            listed: Arc::default(),
            origin: Origin::BuiltIn,
            unusable: 0,
        })
    }

    fn from_certificates(
        certificates: Vec<CertificateDer<'static>>,
        origin: Origin,
    ) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        let listed = certificates.iter().map(|it| sha256(it)).collect();
        let (_, unusable) = store.add_parsable_certificates(certificates);
        if store.is_empty() {
            return Err(RootsError::None);
        }
        Ok(Self {
            store: Arc::new(store),
            listed: Arc::new(listed),
            origin,
            unusable,
        })
    }
}

/// Sorts certificates, and drops those that are there already.
fn distinct(mut certificates: Vec<CertificateDer<'static>>) -> Vec<CertificateDer<'static>> {
    certificates.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
    certificates.dedup();
    certificates
}

/// How many certificates came from there.
fn counted(count: usize, origin: &dyn fmt::Display) -> String {
    match count {
        1 => format!("1 certificate from {origin}"),
        _ => format!("{count} certificates from {origin}"),
    }
}

#[cfg(test)]
mod tests;
