//! Why the TLS of a connection failed, precisely enough for an operator to act on.
//!
//! This is the end of a *session*: every error of rustls and of the socket becomes one of these. It
//! decides nothing about what happens next; the core does.

use std::fmt;
use std::io;

use dotgate_core::labels::ClientHandshake;
use dotgate_core::{Alert, TlsFault};
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::certificate::pin_text;
use super::verifier::Refusal;

/// 2026-01-01T00:00:00Z in seconds since 1970: no clock that is right shows an earlier time to this program.
pub(super) const EARLIEST_CREDIBLE_TIME: u64 = 1_767_225_600;

/// One day in seconds.
const DAY: u64 = 86_400;

/// Why a TLS session failed.
#[derive(Debug, Clone, PartialEq)]
pub enum TlsFailure {
    /// The certificate, or one above it, ended this many whole days ago.
    CertificateExpired {
        /// Whole days since its end; `None` where it is not known.
        days: Option<u64>,
    },
    /// The certificate, or one above it, starts in this many whole days.
    CertificateNotYetValid {
        /// Whole days until its start; `None` where it is not known.
        days: Option<u64>,
    },
    /// The certificate is not valid yet, and the system's clock shows a time before 2026: the clock is at
    /// fault (a router before its first time synchronisation), not the certificate.
    ClockLooksWrong,
    /// The certificate does not carry the wanted name or address.
    CertificateForAnotherName {
        /// The names and addresses that it does carry.
        presented: Vec<String>,
    },
    /// The certificate names itself as its issuer and is no trust anchor.
    SelfSigned,
    /// No trust anchor leads to the certificate.
    UnknownIssuer,
    /// The certificate's key is none of the pinned ones.
    PinMismatch {
        /// SHA-256 of the subject public key info that the upstream showed.
        presented: [u8; 32],
    },
    /// The certificate's key did not sign the handshake: the certificate is a copy.
    KeyNotProven,
    /// The certificate cannot be parsed.
    CertificateUnreadable,
    /// The certificate was refused for another reason.
    CertificateRejected(CertificateError),
    /// The upstream showed no certificate.
    NoCertificate,
    /// The upstream answered with the alert no_application_protocol (RFC 7301 section 3.2).
    AlpnRejected,
    /// The upstream sent another fatal alert.
    Alert(AlertDescription),
    /// The upstream has no protocol version, cipher suite or extension in common with dotgate.
    NothingInCommon(rustls::PeerIncompatible),
    /// What answered does not speak TLS.
    NotTls,
    /// The upstream broke the protocol, or rustls could not continue.
    Protocol(Error),
    /// The upstream closed the connection before the handshake was done.
    ClosedInHandshake,
    /// The connection was reset.
    Reset,
    /// The socket failed in another way.
    Io(io::ErrorKind),
}

impl TlsFailure {
    /// Sorts an error of rustls; `handshaking` tells whether the handshake was still going on.
    pub(super) fn from_rustls(error: Error, handshaking: bool) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::from_certificate(error),
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::AlertReceived(AlertDescription::NoApplicationProtocol) => Self::AlpnRejected,
            Error::AlertReceived(alert) => Self::Alert(alert),
            Error::NoApplicationProtocol => Self::AlpnRejected,
            Error::PeerIncompatible(reason) => Self::NothingInCommon(reason),
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) if handshaking => Self::NotTls,
            // Not a closed set of ours: rustls may add errors.
            other => Self::Protocol(other),
        }
    }

    /// Sorts an error of the socket.
    pub fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Reset,
            other => Self::Io(other),
        }
    }

    fn from_certificate(error: CertificateError) -> Self {
        match error {
            CertificateError::Expired => Self::CertificateExpired { days: None },
            CertificateError::ExpiredContext { time, not_after } => Self::CertificateExpired {
                days: Some(time.as_secs().saturating_sub(not_after.as_secs()) / DAY),
            },
            CertificateError::NotValidYet => Self::CertificateNotYetValid { days: None },
            CertificateError::NotValidYetContext { time, .. }
                if time.as_secs() < EARLIEST_CREDIBLE_TIME =>
            {
                Self::ClockLooksWrong
            }
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::CertificateNotYetValid {
                    days: Some(not_before.as_secs().saturating_sub(time.as_secs()) / DAY),
                }
            }
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::NotValidForName => Self::CertificateForAnotherName {
                presented: Vec::new(),
            },
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::CertificateForAnotherName {
                    presented: presented.iter().map(|name| bare_name(name)).collect(),
                }
            }
            // Of the chain's signatures the verifier says "unknown issuer".
            CertificateError::BadSignature => Self::KeyNotProven,
            CertificateError::BadEncoding => Self::CertificateUnreadable,
            CertificateError::Other(ref other) => match other.0.downcast_ref() {
                Some(Refusal::SelfSigned) => Self::SelfSigned,
                Some(Refusal::PinMismatch { presented }) => Self::PinMismatch {
                    presented: *presented,
                },
                None => Self::CertificateRejected(error),
            },
            other => Self::CertificateRejected(other),
        }
    }

    /// Returns whether the upstream refused the application protocol, so that a connection without ALPN
    /// may be tried.
    pub const fn is_alpn_rejected(&self) -> bool {
        matches!(self, Self::AlpnRejected)
    }

    /// Returns the failure's name in metrics and log fields: one of a closed set, in snake case.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::CertificateExpired { .. } => "certificate_expired",
            Self::CertificateNotYetValid { .. } => "certificate_not_yet_valid",
            Self::ClockLooksWrong => "clock_looks_wrong",
            Self::CertificateForAnotherName { .. } => "certificate_for_another_name",
            Self::SelfSigned => "self_signed",
            Self::UnknownIssuer => "unknown_issuer",
            Self::PinMismatch { .. } => "pin_mismatch",
            Self::KeyNotProven => "key_not_proven",
            Self::CertificateUnreadable => "certificate_unreadable",
            Self::CertificateRejected(_) => "certificate_rejected",
            Self::NoCertificate => "no_certificate",
            Self::AlpnRejected => "alpn_rejected",
            Self::Alert(_) => "alert",
            Self::NothingInCommon(_) => "nothing_in_common",
            Self::NotTls => "not_tls",
            Self::Protocol(_) => "protocol_error",
            Self::ClosedInHandshake => "closed_in_handshake",
            Self::Reset => "reset",
            Self::Io(_) => "io_error",
        }
    }

    /// Returns what the engine needs of it.
    pub fn fault(&self) -> TlsFault {
        match self {
            Self::CertificateExpired { .. } => TlsFault::CertificateExpired,
            Self::CertificateNotYetValid { .. } => TlsFault::CertificateNotYetValid,
            Self::ClockLooksWrong => TlsFault::ClockWrong,
            Self::CertificateForAnotherName { .. } => TlsFault::CertificateName,
            Self::SelfSigned | Self::UnknownIssuer => TlsFault::IssuerUnknown,
            Self::PinMismatch { .. } => TlsFault::PinMismatch,
            Self::KeyNotProven
            | Self::CertificateUnreadable
            | Self::CertificateRejected(_)
            | Self::NoCertificate => TlsFault::CertificateBad,
            Self::AlpnRejected => TlsFault::AlpnRejected,
            Self::Alert(alert) => TlsFault::Alert(Alert::of((*alert).into())),
            Self::NothingInCommon(_) | Self::NotTls | Self::Protocol(_) => TlsFault::Protocol,
            Self::ClosedInHandshake | Self::Reset | Self::Io(_) => TlsFault::Closed,
        }
    }

    /// Returns what it was for a client's handshake.
    pub fn outcome_for_client(&self) -> ClientHandshake {
        match self {
            Self::CertificateExpired { .. }
            | Self::CertificateNotYetValid { .. }
            | Self::ClockLooksWrong
            | Self::CertificateForAnotherName { .. }
            | Self::SelfSigned
            | Self::UnknownIssuer
            | Self::PinMismatch { .. }
            | Self::KeyNotProven
            | Self::CertificateUnreadable
            | Self::CertificateRejected(_)
            | Self::NoCertificate => ClientHandshake::Certificate,
            Self::AlpnRejected => ClientHandshake::Alpn,
            Self::Alert(_) => ClientHandshake::Alert,
            Self::NothingInCommon(_) => ClientHandshake::NothingInCommon,
            Self::NotTls => ClientHandshake::NotTls,
            Self::Protocol(_) => ClientHandshake::Protocol,
            Self::ClosedInHandshake | Self::Reset | Self::Io(_) => ClientHandshake::Closed,
        }
    }

    /// Returns the failure in words for a person, in one line without a final full stop.
    pub fn text(&self) -> String {
        self.to_string()
    }
}

/// A name as people write it: the TLS library prints `DnsName("dns.example")` and `IpAddress(192.0.2.1)`.
fn bare_name(reported: &str) -> String {
    let inner = reported
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(reported).trim_matches('"').to_owned()
}

impl std::error::Error for TlsFailure {}

impl fmt::Display for TlsFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CertificateExpired { days: None } => out.write_str("certificate expired"),
            Self::CertificateExpired { days: Some(days) } => {
                write!(out, "certificate expired {days} days ago")
            }
            Self::CertificateNotYetValid { days: None } => {
                out.write_str("certificate not yet valid")
            }
            Self::CertificateNotYetValid { days: Some(days) } => {
                write!(out, "certificate not yet valid: it starts in {days} days")
            }
            Self::ClockLooksWrong => out.write_str(
                "clock looks wrong: the system's time is before 2026, \
                 so no certificate is valid yet",
            ),
            Self::CertificateForAnotherName { presented } if presented.is_empty() => {
                out.write_str("certificate is for another name: it has no usable name")
            }
            Self::CertificateForAnotherName { presented } => {
                write!(
                    out,
                    "certificate is for another name: it is for {}",
                    presented.join(", ")
                )
            }
            Self::SelfSigned => {
                out.write_str("unknown issuer: the certificate is self-signed and not trusted")
            }
            Self::UnknownIssuer => out
                .write_str("unknown issuer: the certificate was not issued by a trusted authority"),
            Self::PinMismatch { presented } => {
                write!(
                    out,
                    "pin mismatch: the upstream's key is {}",
                    pin_text(presented)
                )
            }
            Self::KeyNotProven => {
                out.write_str("the upstream does not have the key of its certificate")
            }
            Self::CertificateUnreadable => out.write_str("certificate cannot be parsed"),
            Self::CertificateRejected(error) => write!(out, "certificate rejected: {error}"),
            Self::NoCertificate => out.write_str("the upstream sent no certificate"),
            Self::AlpnRejected => out.write_str(
                "no common protocol (ALPN): the upstream does not take the protocol name \"dot\"",
            ),
            Self::Alert(alert) => {
                write!(
                    out,
                    "the upstream sent the TLS alert {}",
                    alert_name(*alert)
                )
            }
            Self::NothingInCommon(reason) => {
                write!(out, "no TLS version or cipher suite in common: {reason:?}")
            }
            Self::NotTls => out.write_str("the server on this port does not speak TLS"),
            Self::Protocol(error) => write!(out, "TLS protocol error: {error}"),
            Self::ClosedInHandshake => {
                out.write_str("the upstream closed the connection during the handshake")
            }
            Self::Reset => out.write_str("the connection was reset"),
            Self::Io(kind) => write!(out, "socket error: {kind}"),
        }
    }
}

/// The alert's name as the RFCs write it, in snake case.
fn alert_name(alert: AlertDescription) -> String {
    if let AlertDescription::Unknown(code) = alert {
        return format!("number {code}");
    }
    let camel: Vec<char> = format!("{alert:?}").chars().collect();
    let mut name = String::with_capacity(camel.len() + 4);
    for (index, letter) in camel.iter().enumerate() {
        let after_lower = index > 0 && camel[index - 1].is_ascii_lowercase();
        let before_lower = camel.get(index + 1).is_some_and(char::is_ascii_lowercase);
        if index > 0 && letter.is_ascii_uppercase() && (after_lower || before_lower) {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_rfcs() {
        assert_eq!(
            alert_name(AlertDescription::HandshakeFailure),
            "handshake_failure"
        );
        assert_eq!(alert_name(AlertDescription::UnknownCA), "unknown_ca");
        assert_eq!(
            alert_name(AlertDescription::UnknownPSKIdentity),
            "unknown_psk_identity"
        );
        assert_eq!(alert_name(AlertDescription::Unknown(200)), "number 200");
    }

    #[test]
    fn bytes_that_are_no_record_are_distinguished_from_a_broken_session() {
        let error = || Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert_eq!(TlsFailure::from_rustls(error(), true), TlsFailure::NotTls);
        assert_eq!(
            TlsFailure::from_rustls(error(), false),
            TlsFailure::Protocol(error())
        );
    }

    #[test]
    fn a_broken_pipe_is_a_reset_and_other_kinds_keep_their_name() {
        let failure = |kind| TlsFailure::from_io(&io::Error::from(kind));
        assert_eq!(failure(io::ErrorKind::BrokenPipe), TlsFailure::Reset);
        let refused = failure(io::ErrorKind::ConnectionRefused);
        assert_eq!(refused, TlsFailure::Io(io::ErrorKind::ConnectionRefused));
        assert_eq!(refused.text(), "socket error: connection refused");
    }
}
