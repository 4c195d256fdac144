//! The trust anchors: from the operator's file, from the system, or built in.
//!
//! It stands before the path of a query, read at start and at a reload. It never falls back in silence:
//! what was named and cannot be used is an error (RFC 8310 section 5.1: strict stays strict).

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};
use thiserror::Error;

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
    #[error("{path} holds no certificate in PEM form", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// `SSL_CERT_FILE` or `SSL_CERT_DIR` is set and does not lead to a certificate.
    #[error("{variable} is set to {value:?} and no certificate can be read from there")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// What it is set to.
        value: OsString,
    },
    /// Neither the system nor the program has a trust anchor.
    #[error("neither the system nor this program has a trusted certificate authority")]
    None,
}

/// Where trust anchors came from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    File(PathBuf),
    Environment,
    System,
    BuiltIn,
    Given,
}

/// What the environment says of certificates.
#[derive(Debug, Default)]
struct Environment {
    file: Option<OsString>,
    directories: Option<OsString>,
}

/// The trust anchors that certificates of upstreams must lead to.
#[derive(Debug, Clone)]
pub struct Roots {
    store: Arc<RootCertStore>,
    origin: Origin,
    unusable: usize,
}

impl Roots {
    /// Loads the trust anchors.
    ///
    /// `ca_file` (PEM) replaces all others. Without it the system's are used, or what `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` name; where the system has none, Mozilla's as built into the program.
    ///
    /// # Errors
    /// [`RootsError`]: `ca_file`, `SSL_CERT_FILE` or `SSL_CERT_DIR` is given and cannot be used, or there
    /// is no trust anchor at all.
    pub fn load(ca_file: Option<&Path>) -> Result<Self, RootsError> {
        let environment = Environment {
            file: env::var_os("SSL_CERT_FILE"),
            directories: env::var_os("SSL_CERT_DIR"),
        };
        match ca_file {
            Some(path) => Self::from_file(path),
            None if environment.file.is_some() || environment.directories.is_some() => {
                Self::from_environment(environment)
            }
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
        let noun = if count == 1 {
            "certificate"
        } else {
            "certificates"
        };
        let origin = match &self.origin {
            Origin::File(path) => path.display().to_string(),
            Origin::Environment => "SSL_CERT_FILE or SSL_CERT_DIR".to_owned(),
            Origin::System => "the system".to_owned(),
            Origin::BuiltIn => "those built in".to_owned(),
            Origin::Given => "the embedded resolver".to_owned(),
        };
        match self.unusable {
            0 => format!("{count} {noun} from {origin}"),
            unusable => format!("{count} {noun} from {origin}, {unusable} more cannot be used"),
        }
    }

    /// Whether exactly the same certificates lead to these and to others.
    pub(crate) fn trusts_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store) || self.store.roots == other.store.roots
    }

    pub(super) const fn store(&self) -> &Arc<RootCertStore> {
        &self.store
    }

    fn from_file(path: &Path) -> Result<Self, RootsError> {
        let unreadable = |problem| RootsError::Unreadable {
            path: path.to_owned(),
            problem,
        };
        let mut store = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
        for (index, certificate) in certificates.enumerate() {
            store
                .add(certificate.map_err(unreadable)?)
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
            origin: Origin::File(path.to_owned()),
            unusable: 0,
        })
    }

    fn from_environment(environment: Environment) -> Result<Self, RootsError> {
        let mut certificates = Vec::new();
        if let Some(value) = environment.file {
            let mut read = load_certs_from_paths(Some(Path::new(&value)), None).certs;
            if read.is_empty() {
                return Err(RootsError::Variable {
                    variable: "SSL_CERT_FILE",
                    value,
                });
            }
            certificates.append(&mut read);
        }
        if let Some(value) = environment.directories {
            let mut read = Vec::new();
            for directory in env::split_paths(&value).filter(|path| path.as_os_str() != "") {
                read.append(&mut load_certs_from_paths(None, Some(&directory)).certs);
            }
            if read.is_empty() && certificates.is_empty() {
                return Err(RootsError::Variable {
                    variable: "SSL_CERT_DIR",
                    value,
                });
            }
            certificates.append(&mut read);
        }
        certificates.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
        certificates.dedup();
        Self::from_certificates(certificates, Origin::Environment)
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
            origin: Origin::BuiltIn,
            unusable: 0,
        })
    }

    fn from_certificates(
        certificates: Vec<CertificateDer<'static>>,
        origin: Origin,
    ) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        let (_, unusable) = store.add_parsable_certificates(certificates);
        if store.is_empty() {
            return Err(RootsError::None);
        }
        Ok(Self {
            store: Arc::new(store),
            origin,
            unusable,
        })
    }
}

#[cfg(test)]
mod tests;
