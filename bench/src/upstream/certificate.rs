//! The upstream's certificate, valid for this run alone, or kept for the next.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use dotgate_testbed::certificates::{Leaf, TestAuthority};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Error;
use crate::error::Action;

/// The name the certificate is for.
pub const AUTHENTICATION_NAME: &str = "dot.test";

/// ALPN of DNS over TLS (RFC 7858 errata and the IANA registry); a client may also offer none.
const ALPN: &[u8] = b"dot";

/// What the upstream shows, and its key.
type Credentials = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Returns the TLS settings of the certificate kept in `kept`, or of one that [`issue`] makes.
pub(super) fn server_config(ca_file: &Path, saved: Option<&Path>) -> Result<ServerConfig, Error> {
    let (chain, key) = match saved.filter(|file| file.exists()) {
        Some(file) => read(file)?,
        None => issue(ca_file, saved)?,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn read(file: &Path) -> Result<Credentials, Error> {
    let certificate = CertificateDer::from_pem_file(file).map_err(io::Error::other);
    let key = PrivateKeyDer::from_pem_file(file).map_err(io::Error::other);
    let what = "read the certificate that was kept";
    Ok((vec![certificate.to(what)?], key.to(what)?))
}

/// Makes an authority and a certificate, writes the former to `ca_file`, and the latter with its
/// key to `kept`.
fn issue(ca_file: &Path, saved: Option<&Path>) -> Result<Credentials, Error> {
    let authority = TestAuthority::new()?;
    fs::write(ca_file, authority.pem()).to("write the authority's certificate")?;
    let certificate = authority.issue(&Leaf {
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        ..Leaf::for_name(AUTHENTICATION_NAME)
    })?;
    if let Some(file) = saved {
        let text = certificate.pem + &certificate.key_pem;
        fs::write(file, text).to("keep the certificate")?;
    }
    Ok((certificate.chain, certificate.key))
}
