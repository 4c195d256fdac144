//! What a certificate says of itself, for `dotgate query`, and the pin of its key.
//!
//! It is not on the path of a query and authenticates nothing: the verifier does that, and asks this
//! module only for pins. RFC 5280 (certificates), RFC 7858 section 4.2 (pins).

use std::net::IpAddr;

use data_encoding::BASE64;
use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::{CertificateDer, UnixTime};
use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate whose encoding is not that of RFC 5280.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the certificate cannot be parsed")]
pub struct CertificateUnreadable;

/// What a person wants to know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The distinguished name of its subject.
    pub subject: String,
    /// The distinguished name of its issuer.
    pub issuer: String,
    /// The names and addresses that it is for (subject alternative names), in its order.
    pub names: Vec<String>,
    /// Its first second, in seconds since 1970.
    pub not_before: i64,
    /// Its last second, in seconds since 1970.
    pub not_after: i64,
    /// SHA-256 of its subject public key info (RFC 7858 section 4.2).
    pub pin: [u8; 32],
}

impl CertificateFacts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`CertificateUnreadable`] where the DER is not a certificate or has something behind it.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, CertificateUnreadable> {
        let parsed = parse(certificate)?;
        let names = match parsed.subject_alternative_name() {
            Ok(Some(extension)) => extension
                .value
                .general_names
                .iter()
                .filter_map(name_text)
                .collect(),
            Ok(None) => Vec::new(),
            Err(_) => return Err(CertificateUnreadable),
        };
        Ok(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names,
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            pin: sha256(parsed.public_key().raw),
        })
    }

    /// Returns the whole days from `now` to the certificate's end; negative once it has ended.
    pub fn days_left(&self, now: UnixTime) -> i64 {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.not_after.saturating_sub(now).div_euclid(86_400)
    }

    /// Returns the pin as it is written in the configuration: `sha256/` and Base64.
    pub fn pin_text(&self) -> String {
        pin_text(&self.pin)
    }
}

/// Returns SHA-256 of the certificate's subject public key info (RFC 7858 section 4.2).
///
/// # Errors
/// [`CertificateUnreadable`] where the DER is not a certificate or has something behind it.
pub fn pin_of(certificate: &CertificateDer<'_>) -> Result<[u8; 32], CertificateUnreadable> {
    Ok(sha256(parse(certificate)?.public_key().raw))
}

/// Returns a pin as it is written in the configuration: `sha256/` and Base64.
pub fn pin_text(pin: &[u8; 32]) -> String {
    format!("sha256/{}", BASE64.encode(pin))
}

/// Returns whether the certificate names itself as its issuer.
pub(super) fn is_self_issued(certificate: &CertificateDer<'_>) -> bool {
    parse(certificate).is_ok_and(|parsed| parsed.subject().as_raw() == parsed.issuer().as_raw())
}

pub(super) fn parse<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, CertificateUnreadable> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) | Err(_) => Err(CertificateUnreadable),
    }
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address_text(bytes),
        // Of the other kinds none can name a DNS server.
        _ => None,
    }
}

fn address_text(bytes: &[u8]) -> Option<String> {
    let address: Option<IpAddr> = match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    };
    address.map(|address| address.to_string())
}

/// SHA-256 by the provider that the handshakes use: one cryptographic library in the program.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = match TLS13_AES_128_GCM_SHA256 {
        SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
    };
    let mut digest = [0; 32];
    for (byte, computed) in digest.iter_mut().zip(hash.hash(bytes).as_ref()) {
        *byte = *computed;
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256() {
        let expected = "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert_eq!(pin_text(&sha256(b"abc")), expected);
    }

    #[test]
    fn bytes_that_are_no_certificate_are_refused() {
        let garbage = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
        assert_eq!(pin_of(&garbage), Err(CertificateUnreadable));
        assert_eq!(CertificateFacts::read(&garbage), Err(CertificateUnreadable));
        assert!(!is_self_issued(&garbage));
    }
}
