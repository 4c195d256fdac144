//! The upstream's certificate, valid for this run alone, or kept for the next.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::Error;
use crate::error::Action;

/// The name the certificate is for.
pub const AUTHENTICATION_NAME: &str = "dot.test";

/// ALPN of DNS over TLS (RFC 7858 errata and the IANA registry); a client may also offer none.
const ALPN: &[u8] = b"dot";

/// What the upstream shows, and its key.
type Credentials = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// Returns the TLS settings of the certificate kept in `kept`, or of one that [`issue`] makes.
pub(super) fn server_config(ca_file: &Path, kept: Option<&Path>) -> Result<ServerConfig, Error> {
    let (certificate, key) = match kept.filter(|file| file.exists()) {
        Some(file) => read(file)?,
        None => issue(ca_file, kept)?,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn read(file: &Path) -> Result<Credentials, Error> {
    let certificate = CertificateDer::from_pem_file(file).map_err(io::Error::other);
    let key = PrivateKeyDer::from_pem_file(file).map_err(io::Error::other);
    let what = "read the certificate that was kept";
    Ok((certificate.to(what)?, key.to(what)?))
}

/// Makes an authority and a certificate, writes the former to `ca_file`, and the latter with its
/// key to `kept`.
fn issue(ca_file: &Path, kept: Option<&Path>) -> Result<Credentials, Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, "dotgate-bench");
    let authority_certificate = authority.self_signed(&authority_key)?;
    fs::write(ca_file, authority_certificate.pem()).to("write the authority's certificate")?;

    let key = KeyPair::generate()?;
    let names = vec![AUTHENTICATION_NAME.to_owned(), "127.0.0.1".to_owned()];
    let mut parameters = CertificateParams::new(names)?;
    parameters
        .distinguished_name
        .push(DnType::CommonName, AUTHENTICATION_NAME);
    let certificate = parameters.signed_by(&key, &Issuer::new(authority, authority_key))?;

    if let Some(file) = kept {
        let text = certificate.pem() + &key.serialize_pem();
        fs::write(file, text).to("keep the certificate")?;
    }
    let private_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok((certificate.der().clone(), private_key))
}
