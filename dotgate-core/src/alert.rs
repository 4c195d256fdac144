//! The TLS alerts that upstreams end handshakes with (RFC 8446 section 6).

/// An alert of an upstream: those that matter to an operator, and all others as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alert {
    /// The upstream did not expect a message of dotgate.
    UnexpectedMessage,
    /// Nothing that is offered suits the upstream.
    HandshakeFailure,
    /// The upstream rejected a client certificate, although none is sent.
    BadCertificate,
    /// The upstream found a value out of range.
    IllegalParameter,
    /// The upstream does not serve this client.
    AccessDenied,
    /// The upstream could not read a message.
    DecodeError,
    /// The upstream could not verify a message.
    DecryptError,
    /// The upstream knows neither TLS 1.2 nor 1.3.
    ProtocolVersion,
    /// The upstream demands stronger ciphers.
    InsufficientSecurity,
    /// The upstream failed by itself.
    InternalError,
    /// The upstream does not serve the authentication name.
    UnrecognizedName,
    /// The upstream demands a client certificate.
    CertificateRequired,
    /// Any other.
    Other,
}

impl Alert {
    /// Those with a name of their own.
    pub const NAMED: [Alert; 12] = [
        Alert::UnexpectedMessage,
        Alert::HandshakeFailure,
        Alert::BadCertificate,
        Alert::IllegalParameter,
        Alert::AccessDenied,
        Alert::DecodeError,
        Alert::DecryptError,
        Alert::ProtocolVersion,
        Alert::InsufficientSecurity,
        Alert::InternalError,
        Alert::UnrecognizedName,
        Alert::CertificateRequired,
    ];

    /// The alert with this number.
    pub const fn of(code: u8) -> Alert {
        match code {
            10 => Alert::UnexpectedMessage,
            40 => Alert::HandshakeFailure,
            42 => Alert::BadCertificate,
            47 => Alert::IllegalParameter,
            49 => Alert::AccessDenied,
            50 => Alert::DecodeError,
            51 => Alert::DecryptError,
            70 => Alert::ProtocolVersion,
            71 => Alert::InsufficientSecurity,
            80 => Alert::InternalError,
            112 => Alert::UnrecognizedName,
            116 => Alert::CertificateRequired,
            _ => Alert::Other,
        }
    }

    /// What happened, in a few lower-case words.
    pub const fn text(self) -> &'static str {
        match self {
            Alert::UnexpectedMessage => "tls: the upstream sent the alert unexpected_message",
            Alert::HandshakeFailure => "tls: the upstream sent the alert handshake_failure",
            Alert::BadCertificate => "tls: the upstream sent the alert bad_certificate",
            Alert::IllegalParameter => "tls: the upstream sent the alert illegal_parameter",
            Alert::AccessDenied => "tls: the upstream sent the alert access_denied",
            Alert::DecodeError => "tls: the upstream sent the alert decode_error",
            Alert::DecryptError => "tls: the upstream sent the alert decrypt_error",
            Alert::ProtocolVersion => "tls: the upstream sent the alert protocol_version",
            Alert::InsufficientSecurity => "tls: the upstream sent the alert insufficient_security",
            Alert::InternalError => "tls: the upstream sent the alert internal_error",
            Alert::UnrecognizedName => "tls: the upstream sent the alert unrecognized_name",
            Alert::CertificateRequired => "tls: the upstream sent the alert certificate_required",
            Alert::Other => "tls: the upstream sent an alert",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_their_numbers_and_names() {
        assert_eq!(Alert::of(40), Alert::HandshakeFailure);
        assert_eq!(Alert::of(70), Alert::ProtocolVersion);
        assert_eq!(Alert::of(200), Alert::Other);
        let numbers = (0..=u8::MAX).map(Alert::of);
        let named: Vec<Alert> = numbers.filter(|it| *it != Alert::Other).collect();
        assert_eq!(named, Alert::NAMED);
        for alert in Alert::NAMED {
            assert!(
                alert
                    .text()
                    .starts_with("tls: the upstream sent the alert ")
            );
        }
    }
}
