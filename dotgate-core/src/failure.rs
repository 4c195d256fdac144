//! Why a question could not be answered: the upstream's faults and what a client learns of them.
//!
//! Serves the path: `session`, `pool` and `verdict` make failures, `exchange` keeps the most informative
//! one, `respond` turns it into an RCODE and an Extended DNS Error (RFC 8914 section 4). A response code
//! from an upstream is data and becomes [`Failure::Answered`], never an error of dotgate.

use dotgate_wire::{ede, rcode};

use crate::alert::Alert;

/// Why a TCP connection to an upstream could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectFault {
    /// The upstream's name has no address yet.
    NoAddress,
    /// This process has no file descriptor left: our fault, not the upstream's.
    NoDescriptor,
    /// The system refused in a way without a variant of its own.
    Other,
    /// No process listens there.
    Refused,
    /// No answer from the network within the handshake's limit.
    TimedOut,
    /// There is no route.
    Unreachable,
}

impl ConnectFault {
    /// All variants, for tables and tests.
    pub const ALL: [ConnectFault; 6] = [
        ConnectFault::NoAddress,
        ConnectFault::NoDescriptor,
        ConnectFault::Other,
        ConnectFault::Refused,
        ConnectFault::TimedOut,
        ConnectFault::Unreachable,
    ];

    /// What happened, in a few lower-case words.
    pub const fn text(self) -> &'static str {
        match self {
            ConnectFault::NoAddress => "connect: the name has no address yet",
            ConnectFault::NoDescriptor => "connect: no file descriptor left",
            ConnectFault::Other => "connect: failed",
            ConnectFault::Refused => "connect: refused",
            ConnectFault::TimedOut => "connect: timed out",
            ConnectFault::Unreachable => "connect: unreachable",
        }
    }
}

/// Why a TLS handshake with an upstream failed, or its stream broke.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsFault {
    /// The peer ended the handshake with an alert.
    Alert(Alert),
    /// The peer does not support the application protocol `dot`; retried without ALPN.
    AlpnRejected,
    /// The certificate is unusable in a way without a variant of its own.
    CertificateBad,
    /// The certificate has expired.
    CertificateExpired,
    /// The certificate is for another name or address.
    CertificateName,
    /// The certificate's time has not come.
    CertificateNotYetValid,
    /// The certificate was revoked.
    CertificateRevoked,
    /// The system's clock is earlier than the build of this program, so no certificate can be judged.
    ClockWrong,
    /// The peer closed the connection in the handshake.
    Closed,
    /// No certificate authority that is trusted here signed it.
    IssuerUnknown,
    /// None of the configured pins is the certificate's.
    PinMismatch,
    /// The peer broke the TLS protocol.
    Protocol,
    /// The handshake took longer than [`crate::limits::HANDSHAKE_WAIT`].
    TimedOut,
}

impl TlsFault {
    /// All variants, for tables and tests; of the alerts, the one without a name.
    pub const ALL: [TlsFault; 13] = [
        TlsFault::Alert(Alert::Other),
        TlsFault::AlpnRejected,
        TlsFault::CertificateBad,
        TlsFault::CertificateExpired,
        TlsFault::CertificateName,
        TlsFault::CertificateNotYetValid,
        TlsFault::CertificateRevoked,
        TlsFault::ClockWrong,
        TlsFault::Closed,
        TlsFault::IssuerUnknown,
        TlsFault::PinMismatch,
        TlsFault::Protocol,
        TlsFault::TimedOut,
    ];

    /// What happened, in a few lower-case words.
    pub const fn text(self) -> &'static str {
        match self {
            TlsFault::Alert(alert) => alert.text(),
            TlsFault::AlpnRejected => "tls: application protocol dot refused",
            TlsFault::CertificateBad => "tls: certificate unusable",
            TlsFault::CertificateExpired => "tls: certificate expired",
            TlsFault::CertificateName => "tls: certificate for another name",
            TlsFault::CertificateNotYetValid => "tls: certificate not yet valid",
            TlsFault::CertificateRevoked => "tls: certificate revoked",
            TlsFault::ClockWrong => "tls: this system's clock is wrong",
            TlsFault::Closed => "tls: closed in the handshake",
            TlsFault::IssuerUnknown => "tls: certificate authority unknown",
            TlsFault::PinMismatch => "tls: no pin matches",
            TlsFault::Protocol => "tls: protocol error",
            TlsFault::TimedOut => "tls: handshake timed out",
        }
    }

    /// Whether the upstream could not be authenticated: waiting a few seconds does not cure that.
    pub const fn is_lasting(self) -> bool {
        match self {
            TlsFault::CertificateBad
            | TlsFault::CertificateExpired
            | TlsFault::CertificateName
            | TlsFault::CertificateNotYetValid
            | TlsFault::CertificateRevoked
            | TlsFault::ClockWrong
            | TlsFault::IssuerUnknown
            | TlsFault::PinMismatch => true,
            TlsFault::Alert(_)
            | TlsFault::AlpnRejected
            | TlsFault::Closed
            | TlsFault::Protocol
            | TlsFault::TimedOut => false,
        }
    }

    /// Whether a middlebox that takes no large ClientHello may have caused it: it drops the message, or ends the
    /// connection.
    pub const fn may_be_size(self) -> bool {
        match self {
            TlsFault::Alert(_) | TlsFault::Closed | TlsFault::TimedOut => true,
            TlsFault::AlpnRejected
            | TlsFault::CertificateBad
            | TlsFault::CertificateExpired
            | TlsFault::CertificateName
            | TlsFault::CertificateNotYetValid
            | TlsFault::CertificateRevoked
            | TlsFault::ClockWrong
            | TlsFault::IssuerUnknown
            | TlsFault::PinMismatch
            | TlsFault::Protocol => false,
        }
    }
}

/// A rule of the protocol that an upstream broke.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misbehaviour {
    /// A response with the ID of a query, for another question.
    WrongQuestion,
    /// Not a well-formed response.
    Malformed,
    /// Truncated, though the transport has no such limit.
    Truncated,
    /// Too many messages that answer nothing we asked.
    Flood,
}

impl Misbehaviour {
    /// What happened, in a few lower-case words.
    pub const fn text(self) -> &'static str {
        match self {
            Misbehaviour::WrongQuestion => "upstream: response to another question",
            Misbehaviour::Malformed => "upstream: malformed response",
            Misbehaviour::Truncated => "upstream: truncated response over tls",
            Misbehaviour::Flood => "upstream: flood of invalid responses",
        }
    }
}

/// How a session ended, as its driver saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionEnd {
    /// The peer closed it, with or without a `close_notify`.
    Closed,
    /// The connection could not be opened.
    Connect(ConnectFault),
    /// The connection was reset, or the network failed under it.
    Reset,
    /// TLS failed, in the handshake or later.
    Tls(TlsFault),
}

/// Why a question has no answer (yet).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// An upstream answered with this RCODE (12 bits) and, perhaps, this EDE.
    Answered {
        /// The upstream's RCODE.
        rcode: u16,
        /// The upstream's INFO-CODE.
        ede: Option<u16>,
    },
    /// The session ended before the response came.
    Closed,
    /// No connection could be opened.
    Connect(ConnectFault),
    /// The upstream ends each session on which it is asked this.
    Harmful,
    /// A bug in dotgate.
    Internal,
    /// The upstream sends dotgate's own queries back to it.
    Loop,
    /// The upstream broke the protocol.
    Misbehaved(Misbehaviour),
    /// No session to any upstream was open yet.
    NotReady,
    /// A limit of this forwarder was reached.
    Overload,
    /// The upstream did not answer in time.
    NoResponse,
    /// TLS failed.
    Tls(TlsFault),
}

impl Failure {
    /// Whether it is cached for a while (RFC 9520 section 2): it says something about the question or its
    /// upstreams, not about this program.
    pub(crate) const fn is_cacheable(self) -> bool {
        match self {
            Failure::Answered { .. }
            | Failure::Closed
            | Failure::Connect(_)
            | Failure::Harmful
            | Failure::Loop
            | Failure::Misbehaved(_)
            | Failure::NotReady
            | Failure::NoResponse
            | Failure::Tls(_) => true,
            Failure::Internal | Failure::Overload => false,
        }
    }

    /// Whether an RCODE says that a question could not be resolved (RFC 9520 section 2).
    pub(crate) const fn is_failure(code: u16) -> bool {
        matches!(code, rcode::SERVFAIL | rcode::REFUSED)
    }

    /// The RCODE a client gets. FORMERR and NOTIMP of an upstream are no verdict on the client's query.
    pub const fn rcode(self) -> u16 {
        match self {
            Failure::Answered {
                rcode: rcode::REFUSED,
                ..
            } => rcode::REFUSED,
            Failure::Answered { .. }
            | Failure::Closed
            | Failure::Connect(_)
            | Failure::Harmful
            | Failure::Internal
            | Failure::Loop
            | Failure::Misbehaved(_)
            | Failure::NotReady
            | Failure::Overload
            | Failure::NoResponse
            | Failure::Tls(_) => rcode::SERVFAIL,
        }
    }

    /// The INFO-CODE of the EDE a client gets (RFC 8914 section 4).
    pub const fn ede(self) -> u16 {
        match self {
            Failure::Answered {
                ede: Some(code), ..
            } => code,
            Failure::Answered { ede: None, .. } | Failure::Internal => ede::OTHER,
            Failure::Connect(ConnectFault::NoAddress) | Failure::NotReady => ede::NOT_READY,
            Failure::Connect(_) | Failure::Loop | Failure::Tls(_) => ede::NO_REACHABLE_AUTHORITY,
            Failure::Closed
            | Failure::Harmful
            | Failure::Misbehaved(_)
            | Failure::Overload
            | Failure::NoResponse => ede::NETWORK_ERROR,
        }
    }

    /// The EXTRA-TEXT of that EDE: the stage, then what happened.
    pub const fn text(self) -> &'static str {
        match self {
            Failure::Answered {
                rcode: rcode::SERVFAIL,
                ..
            } => "upstream: answered SERVFAIL",
            Failure::Answered {
                rcode: rcode::REFUSED,
                ..
            } => "upstream: answered REFUSED",
            Failure::Answered {
                rcode: rcode::FORMERR,
                ..
            } => "upstream: answered FORMERR",
            Failure::Answered {
                rcode: rcode::NOTIMP,
                ..
            } => "upstream: answered NOTIMP",
            Failure::Answered { .. } => "upstream: answered with an error",
            Failure::Closed => "upstream: connection lost",
            Failure::Connect(fault) => fault.text(),
            Failure::Harmful => "upstream: ends the connection whenever it is asked this",
            Failure::Internal => "dotgate: internal error",
            Failure::Loop => "upstream: sends queries back to dotgate (loop)",
            Failure::Misbehaved(fault) => fault.text(),
            Failure::NotReady => "connect: no session to any upstream",
            Failure::Overload => "dotgate: too many queries in flight",
            Failure::NoResponse => "upstream: no response",
            Failure::Tls(fault) => fault.text(),
        }
    }

    /// How informative a failure is for an operator: the highest of several is shown.
    pub(crate) const fn weight(self) -> u8 {
        match self {
            Failure::NotReady => 0,
            Failure::NoResponse => 1,
            Failure::Closed => 2,
            Failure::Connect(_) => 3,
            Failure::Misbehaved(_) => 4,
            Failure::Tls(_) => 5,
            Failure::Overload => 6,
            Failure::Answered { .. } => 7,
            Failure::Loop => 8,
            Failure::Harmful => 9,
            Failure::Internal => 10,
        }
    }
}

impl From<SessionEnd> for Failure {
    fn from(end: SessionEnd) -> Failure {
        match end {
            SessionEnd::Closed | SessionEnd::Reset => Failure::Closed,
            SessionEnd::Connect(fault) => Failure::Connect(fault),
            SessionEnd::Tls(fault) => Failure::Tls(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_code_and_text() {
        let answered = |rcode, ede| Failure::Answered { rcode, ede };
        let rows = [
            (
                answered(rcode::SERVFAIL, None),
                rcode::SERVFAIL,
                0,
                "upstream: answered SERVFAIL",
            ),
            (
                answered(rcode::REFUSED, Some(18)),
                rcode::REFUSED,
                18,
                "upstream: answered REFUSED",
            ),
            (
                answered(rcode::FORMERR, None),
                rcode::SERVFAIL,
                0,
                "upstream: answered FORMERR",
            ),
            (
                answered(rcode::NOTIMP, None),
                rcode::SERVFAIL,
                0,
                "upstream: answered NOTIMP",
            ),
            (
                answered(rcode::BADVERS, None),
                rcode::SERVFAIL,
                0,
                "upstream: answered with an error",
            ),
            (
                Failure::Closed,
                rcode::SERVFAIL,
                23,
                "upstream: connection lost",
            ),
            (
                Failure::Connect(ConnectFault::NoAddress),
                rcode::SERVFAIL,
                14,
                "connect: the name has no address yet",
            ),
            (
                Failure::Connect(ConnectFault::Refused),
                rcode::SERVFAIL,
                22,
                "connect: refused",
            ),
            (
                Failure::Internal,
                rcode::SERVFAIL,
                0,
                "dotgate: internal error",
            ),
            (
                Failure::Loop,
                rcode::SERVFAIL,
                22,
                "upstream: sends queries back to dotgate (loop)",
            ),
            (
                Failure::Misbehaved(Misbehaviour::Malformed),
                rcode::SERVFAIL,
                23,
                "upstream: malformed response",
            ),
            (
                Failure::NotReady,
                rcode::SERVFAIL,
                14,
                "connect: no session to any upstream",
            ),
            (
                Failure::Overload,
                rcode::SERVFAIL,
                23,
                "dotgate: too many queries in flight",
            ),
            (
                Failure::NoResponse,
                rcode::SERVFAIL,
                23,
                "upstream: no response",
            ),
            (
                Failure::Tls(TlsFault::CertificateExpired),
                rcode::SERVFAIL,
                22,
                "tls: certificate expired",
            ),
        ];
        for (failure, rcode, ede, text) in rows {
            assert_eq!(
                (failure.rcode(), failure.ede(), failure.text()),
                (rcode, ede, text)
            );
        }
    }

    #[test]
    fn every_stage_opens_its_faults_text() {
        for fault in ConnectFault::ALL {
            assert!(fault.text().starts_with("connect: "), "{fault:?}");
        }
        for fault in TlsFault::ALL {
            assert!(fault.text().starts_with("tls: "), "{fault:?}");
        }
    }
}
