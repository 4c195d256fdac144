//! The check of an upstream's certificate: chain, name and pins.
//!
//! It stands inside the handshake of a *session*. rustls calls it in full handshakes alone and resumes a
//! session only under the same verifier, so a pin checked here holds for resumed sessions as well; other
//! roots or pins need another verifier. It never accepts a handshake whose signature the certificate's
//! key did not make, not even in the opportunistic profile. RFC 8310 sections 5, 6.4, 8.1.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use thiserror::Error;

use super::certificate::{is_self_issued, pin_of};

/// Reasons to refuse a certificate that rustls has no word for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    #[error("the certificate is its own issuer and is not trusted")]
    SelfSigned,
    #[error("the certificate's key is not pinned")]
    PinMismatch { presented: [u8; 32] },
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// What is checked of a certificate.
#[derive(Debug)]
pub(super) enum Check {
    /// A path to a trust anchor, the validity, the name, then the pins if there are any.
    Chain {
        verifier: Arc<WebPkiServerVerifier>,
        pins: Vec<[u8; 32]>,
    },
    /// One of the pins, of the end-entity certificate: the key that the handshake proves.
    Pin { pins: Vec<[u8; 32]> },
    /// Nothing (RFC 8310 section 5, opportunistic).
    Nothing,
}

/// The verifier of one upstream.
#[derive(Debug)]
pub(super) struct Verifier {
    check: Check,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) const fn new(check: Check, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { check, algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.check {
            Check::Chain { verifier, pins } => {
                verifier
                    .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                    .map_err(|error| name_issuer(error, end_entity))?;
                if !pins.is_empty() {
                    check_pin(end_entity, pins)?;
                }
            }
            Check::Pin { pins } => check_pin(end_entity, pins)?,
            Check::Nothing => {}
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn check_pin(end_entity: &CertificateDer<'_>, pins: &[[u8; 32]]) -> Result<(), Error> {
    let presented = pin_of(end_entity).map_err(|_| Error::from(CertificateError::BadEncoding))?;
    if pins.contains(&presented) {
        Ok(())
    } else {
        Err(Refusal::PinMismatch { presented }.into())
    }
}

/// Names the two mistakes about issuers. A self-signed certificate is of an unknown issuer or, with the CA
/// flag that `openssl req -x509` sets, a CA in a server's place. One signed by an authority with a trusted
/// one's name and another key (made anew, or forged) shows as a bad signature.
fn name_issuer(error: Error, end_entity: &CertificateDer<'_>) -> Error {
    match error {
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::Other(_),
        ) if is_self_issued(end_entity) => Refusal::SelfSigned.into(),
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            CertificateError::UnknownIssuer.into()
        }
        other => other,
    }
}
