//! The check of an upstream's certificate: chain, name and pins.
//!
//! It is inside the handshake of a *session*. rustls calls it in full handshakes alone and resumes a
//! session only under the same verifier, so a pin checked here holds for resumed sessions as well; other
//! roots or pins need another verifier. What it accepts ends in time: it narrows the window in which the
//! tickets of these sessions may be used. It never accepts a handshake whose signature the certificate's
//! key did not make, not even in the opportunistic profile. RFC 8310 sections 5, 6.4, 8.1.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use thiserror::Error;
use x509_parser::prelude::X509Certificate;

use super::certificate::{CertificateUnreadable, is_self_issued, parse, pin_of, sha256};
use super::failure::EARLIEST_CREDIBLE_TIME;
use super::pins::{Path, Pins};
use super::window::Window;

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
        /// SHA-256 of each certificate that is a trust anchor.
        listed: Arc<HashSet<[u8; 32]>>,
        pins: Pins,
        /// Whether a pin of the end-entity certificate is enough while there is no clock to check the rest by.
        pin_without_clock: bool,
    },
    /// One of the pins, of the end-entity certificate: the key that the handshake proves.
    Pin { pins: Pins },
    /// Nothing (RFC 8310 section 5, opportunistic).
    Nothing,
}

/// The verifier of one upstream.
#[derive(Debug)]
pub(super) struct Verifier {
    check: Arc<Check>,
    algorithms: WebPkiSupportedAlgorithms,
    window: Arc<Window>,
}

impl Verifier {
    pub(super) const fn new(
        check: Arc<Check>,
        algorithms: WebPkiSupportedAlgorithms,
        window: Arc<Window>,
    ) -> Self {
        Self {
            check,
            algorithms,
            window,
        }
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
        match &*self.check {
            Check::Chain {
                verifier,
                listed,
                pins,
                pin_without_clock,
            } => {
                let has_clock = is_credible(now) && !dotgate_wire::planted!("clock-is-never-right");
                if *pin_without_clock && !has_clock && pins.has(end_entity) {
                    // The window ends when the clock is set: what was accepted so is not resumed then.
                    self.window.narrow(now, EARLIEST_CREDIBLE_TIME - 1);
                    return Ok(ServerCertVerified::assertion());
                }
                let by_path = verifier.verify_server_cert(
                    end_entity,
                    intermediates,
                    server_name,
                    ocsp_response,
                    now,
                );
                match by_path {
                    Ok(_) => {}
                    Err(_) if listed.contains(&sha256(end_entity)) => {
                        check_listed(end_entity, server_name, now)?;
                    }
                    Err(error) => return Err(name_issuer(error, end_entity)),
                }
                let path = Path {
                    end_entity,
                    intermediates,
                    server_name,
                    now,
                };
                if !pins.is_empty() && !pins.match_path(&path) {
                    return Err(pin_mismatch(end_entity));
                }
                self.window
                    .narrow(now, end_of(end_entity, intermediates, now));
            }
            Check::Pin { pins } => {
                if !pins.has(end_entity) {
                    return Err(pin_mismatch(end_entity));
                }
                self.window.narrow(now, u64::MAX);
            }
            Check::Nothing => self.window.narrow(now, u64::MAX),
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

/// Whether `now` is a time at which this program exists: a clock that shows an earlier one was not set.
pub fn is_credible(now: UnixTime) -> bool {
    now.as_secs() >= EARLIEST_CREDIBLE_TIME
}

fn pin_mismatch(end_entity: &CertificateDer<'_>) -> Error {
    match pin_of(end_entity) {
        Ok(presented) => Refusal::PinMismatch { presented }.into(),
        Err(CertificateUnreadable) => CertificateError::BadEncoding.into(),
    }
}

/// Checks a certificate that is itself one of the trust anchors, as `openssl req -x509` makes them: the TLS library
/// never takes an authority's certificate (CA:TRUE) for a server's. It needs no path; its time, its purpose and the
/// name count as for any other.
fn check_listed(
    certificate: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), Error> {
    let parsed = parse(certificate).map_err(|_| Error::from(CertificateError::BadEncoding))?;
    let (first, last) = (
        seconds(parsed.validity().not_before.timestamp()),
        ends(&parsed),
    );
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    if now.as_secs() < first {
        let not_before = at(first);
        return Err(CertificateError::NotValidYetContext {
            time: now,
            not_before,
        }
        .into());
    }
    if now.as_secs() > last {
        let not_after = at(last);
        return Err(CertificateError::ExpiredContext {
            time: now,
            not_after,
        }
        .into());
    }
    let purposes = parsed.extended_key_usage();
    let purposes = purposes.map_err(|_| Error::from(CertificateError::BadEncoding))?;
    if purposes.is_some_and(|it| !it.value.server_auth && !it.value.any) {
        return Err(CertificateError::InvalidPurpose.into());
    }
    verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)
}

/// The last second in which the certificate can be on a valid path, in seconds since 1970: the first end of all that
/// was shown. What has ended already is on no path, whatever it was shown for.
fn end_of(end_entity: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: UnixTime) -> u64 {
    let ends_of = |certificate: &CertificateDer<'_>| parse(certificate).ok().as_ref().map(ends);
    let others = others.iter().filter_map(ends_of);
    let others = others.filter(|end| *end >= now.as_secs());
    others.chain(ends_of(end_entity)).min().unwrap_or(0)
}

fn ends(certificate: &X509Certificate<'_>) -> u64 {
    seconds(certificate.validity().not_after.timestamp())
}

/// No certificate is valid before 1970.
fn seconds(timestamp: i64) -> u64 {
    u64::try_from(timestamp).unwrap_or(0)
}

/// Names the two mistakes about issuers. A self-signed certificate is of an unknown issuer or, with the CA
/// flag that `openssl req -x509` sets, a CA in a server's place. One signed by an authority with a trusted
/// one's name and another key (generated again, or forged) shows as a bad signature.
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
