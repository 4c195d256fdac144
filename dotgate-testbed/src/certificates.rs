//! Certificates that are made at start: those of an authority of this process.
//!
//! They are for the scripted server. They are written to disk only by [`ServerCertificate::write`], and only clients that are given the authority trust it.
//! RFC 5280.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a certificate cannot be made.
pub use rcgen::Error as CertificateError;

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Validity {
    /// From 1970 to 2125, so that the demo works where the clock was never set.
    #[default]
    Current,
    /// From 2020 to 2125: not yet valid where the clock was never set.
    Recent,
    /// In the year 2001.
    Past,
    /// From 2120 to 2125.
    Future,
}

/// The owner of a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Purpose {
    /// A server.
    #[default]
    Server,
    /// A client.
    Client,
}

/// The contents of a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaf {
    /// The names among its subject alternative names.
    pub names: Vec<String>,
    /// The addresses among its subject alternative names.
    pub addresses: Vec<IpAddr>,
    /// The common name of its subject, which clients of DNS over TLS must ignore.
    pub common_name: Option<String>,
    /// When it is valid.
    pub validity: Validity,
    /// Its owner.
    pub purpose: Purpose,
}

impl Leaf {
    /// Describes a currently valid certificate for one name.
    pub fn for_name(name: &str) -> Self {
        Self {
            names: vec![name.to_owned()],
            ..Self::default()
        }
    }

    fn params(&self) -> Result<CertificateParams, CertificateError> {
        let addresses = self.addresses.iter().map(IpAddr::to_string);
        let alternative_names: Vec<String> = self.names.iter().cloned().chain(addresses).collect();
        let mut params = CertificateParams::new(alternative_names)?;
        let (first, last) = match self.validity {
            Validity::Current => (1970, 2125),
            Validity::Recent => (2020, 2125),
            Validity::Past => (2001, 2002),
            Validity::Future => (2120, 2125),
        };
        params.not_before = date_time_ymd(first, 1, 1);
        params.not_after = date_time_ymd(last, 1, 1);
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = &self.common_name {
            params
                .distinguished_name
                .push(DnType::CommonName, name.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match self.purpose {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        Ok(params)
    }
}

/// A server's certificate and key.
#[derive(Debug, PartialEq, Eq)]
pub struct ServerCertificate {
    /// The certificates that a server sends, its own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the first.
    pub key: PrivateKeyDer<'static>,
    /// The server's own certificate in PEM form.
    pub pem: String,
    /// Its key in PEM form.
    pub key_pem: String,
}

impl Clone for ServerCertificate {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
            pem: self.pem.clone(),
            key_pem: self.key_pem.clone(),
        }
    }
}

impl ServerCertificate {
    /// Writes `certificate.pem` and `key.pem` to a folder, and returns their paths.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<(PathBuf, PathBuf)> {
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        fs::write(&certificate, &self.pem)?;
        fs::write(&key, &self.key_pem)?;
        Ok((certificate, key))
    }

    /// Makes a self-signed certificate, like the default one of many servers.
    ///
    /// # Errors
    /// [`CertificateError`] if a name is invalid, or there is no randomness.
    pub fn self_signed(leaf: &Leaf) -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let mut params = leaf.params()?;
        params
            .distinguished_name
            .push(DnType::OrganizationName, "self-signed");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            chain: vec![certificate.der().clone()],
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        })
    }
}

/// A certificate authority for as long as the process lives.
#[derive(Debug)]
pub struct TestAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

impl TestAuthority {
    /// Makes an authority with a new key.
    ///
    /// # Errors
    /// [`CertificateError`] if there is no randomness.
    pub fn new() -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.not_before = date_time_ymd(1970, 1, 1);
        params.not_after = date_time_ymd(2125, 1, 1);
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "dotgate demo authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Signs a certificate for a server with a new key.
    ///
    /// # Errors
    /// [`CertificateError`] if a name is invalid, or there is no randomness.
    pub fn issue(&self, leaf: &Leaf) -> Result<ServerCertificate, CertificateError> {
        let key = KeyPair::generate()?;
        let certificate = leaf.params()?.signed_by(&key, &self.issuer)?;
        Ok(ServerCertificate {
            chain: vec![certificate.der().clone()],
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        })
    }

    /// Returns the authority's own certificate.
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Returns the authority's own certificate in PEM form, as in a CA file.
    pub fn pem(&self) -> &str {
        &self.pem
    }
}
