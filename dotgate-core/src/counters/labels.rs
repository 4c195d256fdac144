//! The closed sets of labels that counters carry. None holds a query's name or a client's address.

use dotgate_wire::{rcode, rtype};

use crate::alert::Alert;
use crate::failure::{ConnectFault, Failure, Misbehaviour, SessionEnd, TlsFault};

macro_rules! labels {
    ($(#[doc = $doc:literal])+ $set:ident: $($(#[doc = $about:literal])+ $name:ident = $label:literal,)+) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $set { $($(#[doc = $about])+ $name,)+ }

        impl $set {
            /// The whole set, each at its own place.
            pub const ALL: &'static [$set] = &[$($set::$name,)+];

            /// How many there are.
            pub const COUNT: usize = $set::ALL.len();

            /// The words in metrics and what each stands for, in the same order.
            pub const VALUES: &'static [(&'static str, &'static str)] =
                &[$(($label, concat!($($about),+)),)+];

            /// The word in metrics.
            pub const fn label(self) -> &'static str {
                match self { $($set::$name => $label,)+ }
            }
        }
    };
}

labels! {
    /// How a client's query came.
    ClientTransport:
    /// In a datagram.
    Udp = "udp",
    /// On a stream.
    Tcp = "tcp",
}

labels! {
    /// What a query asked for: the types that tell something apart, and all others as one.
    RecordType:
    /// IPv4 address.
    A = "A",
    /// IPv6 address.
    Aaaa = "AAAA",
    /// Service binding for HTTPS.
    Https = "HTTPS",
    /// Service binding.
    Svcb = "SVCB",
    /// Pointer to a name.
    Ptr = "PTR",
    /// Mail exchange.
    Mx = "MX",
    /// Text.
    Txt = "TXT",
    /// Name server.
    Ns = "NS",
    /// Start of authority.
    Soa = "SOA",
    /// Service.
    Srv = "SRV",
    /// Canonical name.
    Cname = "CNAME",
    /// Delegation signer.
    Ds = "DS",
    /// Zone key.
    Dnskey = "DNSKEY",
    /// Certification authority authorization.
    Caa = "CAA",
    /// Naming authority pointer.
    Naptr = "NAPTR",
    /// All types a server cares to give.
    Any = "ANY",
    /// Any other type, or a message whose type could not be read.
    Other = "other",
}

impl RecordType {
    /// The label of a type by its number.
    pub const fn of(number: u16) -> RecordType {
        match number {
            rtype::A => RecordType::A,
            rtype::AAAA => RecordType::Aaaa,
            rtype::HTTPS => RecordType::Https,
            rtype::SVCB => RecordType::Svcb,
            rtype::PTR => RecordType::Ptr,
            rtype::MX => RecordType::Mx,
            rtype::TXT => RecordType::Txt,
            rtype::NS => RecordType::Ns,
            rtype::SOA => RecordType::Soa,
            rtype::SRV => RecordType::Srv,
            rtype::CNAME => RecordType::Cname,
            rtype::DS => RecordType::Ds,
            rtype::DNSKEY => RecordType::Dnskey,
            rtype::CAA => RecordType::Caa,
            rtype::NAPTR => RecordType::Naptr,
            rtype::ANY => RecordType::Any,
            _ => RecordType::Other,
        }
    }
}

labels! {
    /// What became of a client's message. Each has one outcome, counted when it is known.
    Outcome:
    /// Answered with an upstream's response.
    Answered = "answered",
    /// Answered from the cache, fresh.
    Cached = "cached",
    /// Answered from the cache, past its time to live.
    Stale = "stale",
    /// Told of a failure that was kept.
    CachedFailure = "cached_failure",
    /// Answered for a name that is served here.
    Local = "local",
    /// Waited for an upstream and got an error of ours.
    Failed = "failed",
    /// Refused for what it asks: its type, class, signature or RD.
    Refused = "refused",
    /// Refused because the client is outside the access list.
    Prohibited = "prohibited",
    /// Rejected with FORMERR, NOTIMP or BADVERS.
    Malformed = "malformed",
    /// Turned away because too many were in flight.
    Shed = "shed",
    /// The same query waited already; its response answers both.
    Repeated = "repeated",
    /// Not worth a response: too short, a response itself, or from port 0.
    Ignored = "ignored",
}

labels! {
    /// The RCODE of a response.
    Rcode:
    /// No error.
    NoError = "NOERROR",
    /// The query could not be understood.
    FormErr = "FORMERR",
    /// The server failed.
    ServFail = "SERVFAIL",
    /// The name does not exist.
    NxDomain = "NXDOMAIN",
    /// The kind of query is not implemented.
    NotImp = "NOTIMP",
    /// The server does not want to answer.
    Refused = "REFUSED",
    /// The EDNS version is not known.
    BadVers = "BADVERS",
    /// Any other.
    Other = "other",
}

impl Rcode {
    /// The label of an RCODE of 12 bits.
    pub const fn of(code: u16) -> Rcode {
        match code {
            rcode::NOERROR => Rcode::NoError,
            rcode::FORMERR => Rcode::FormErr,
            rcode::SERVFAIL => Rcode::ServFail,
            rcode::NXDOMAIN => Rcode::NxDomain,
            rcode::NOTIMP => Rcode::NotImp,
            rcode::REFUSED => Rcode::Refused,
            rcode::BADVERS => Rcode::BadVers,
            _ => Rcode::Other,
        }
    }
}

labels! {
    /// A stretch of the way to an upstream's answer.
    Stage:
    /// Opening the TCP connection.
    Connect = "connect",
    /// The TLS handshake, once the connection stands.
    Tls = "tls",
    /// From a question being sent to its response.
    Upstream = "upstream",
    /// From a client's query to its response.
    Total = "total",
}

labels! {
    /// Why a question is sent to an upstream.
    AttemptKind:
    /// For the first time.
    First = "first",
    /// After another attempt had failed.
    Again = "again",
    /// Beside an attempt that still runs.
    Beside = "beside",
    /// On an isolation session, after the session of the attempt before had failed.
    Isolation = "isolation",
    /// For no client, to see whether the upstream answers.
    Probe = "probe",
}

labels! {
    /// Which of two attempts that ran at once was answered first.
    Winner:
    /// The one that was made first.
    First = "first",
    /// The one that was made beside it.
    Beside = "beside",
}

labels! {
    /// Whether a handshake could build on an earlier session.
    Handshake:
    /// A full one, with the certificate.
    Full = "full",
    /// One that resumed an earlier session.
    Resumed = "resumed",
}

labels! {
    /// Why a session that was open ended.
    Ending:
    /// It was idle for its limit, or the upstream had asked to be left (RFC 7828).
    Idle = "idle",
    /// The upstream closed it with nothing in flight.
    IdlePeer = "idle_peer",
    /// The upstream closed it with queries in flight.
    Closed = "closed",
    /// The connection was reset, or the network failed under it.
    Reset = "reset",
    /// TLS failed.
    Tls = "tls",
    /// It fell silent and stayed so.
    Silent = "silent",
    /// Too many messages came that answered nothing.
    Flood = "flood",
    /// It had been opened for suspects, which were answered.
    Isolated = "isolated",
    /// The program ends, or the upstream is no longer configured.
    Stopped = "stopped",
}

impl Ending {
    /// How a session with queries in flight was lost.
    pub(crate) const fn of_lost(end: SessionEnd) -> Ending {
        match end {
            SessionEnd::Closed => Ending::Closed,
            SessionEnd::Connect(_) | SessionEnd::Reset => Ending::Reset,
            SessionEnd::Tls(_) => Ending::Tls,
        }
    }
}

labels! {
    /// Why a client's connection was closed by us.
    StreamEnd:
    /// No query came for the idle time, or sooner because most connections were taken.
    Idle = "idle",
    /// A query was not complete in time.
    HalfMessage = "half_message",
    /// The client read nothing of what waited for it in time.
    Unread = "unread",
    /// What it sent were no messages: frames without a header, or responses.
    Framing = "framing",
    /// A message ended before what its header counts, or several could not be understood.
    Malformed = "malformed",
    /// All connections were taken, and it made room for another client.
    Displaced = "displaced",
    /// Clients cost as much memory as they may, and its client cost most.
    Memory = "memory",
    /// The client had sent its last byte and has all responses.
    Finished = "finished",
    /// The program ends.
    Stopped = "stopped",
}

labels! {
    /// A limit of ours at which something was turned away or put off.
    Limit:
    /// Queries in flight, all clients together.
    Queries = "queries",
    /// Queries in flight from one client address.
    QueriesPerClient = "queries_per_client",
    /// Client connections.
    Streams = "streams",
    /// Client connections from one address.
    StreamsPerClient = "streams_per_client",
    /// Memory that clients cost: their connections, half-read queries and responses they have not read.
    ClientMemory = "client_memory",
    /// Responses over UDP that waited too long, or of which too many were ready for one client: they went without records.
    UdpRelease = "udp_release",
    /// File descriptors of the process.
    Descriptors = "descriptors",
}

labels! {
    /// What went wrong, at an upstream or for a query: a stage, then what happened there.
    Reason:
    /// No session to any upstream was open yet.
    NotReady = "not_ready",
    /// The upstream's name has no address yet.
    ConnectNoAddress = "connect_no_address",
    /// No file descriptor was left.
    ConnectNoDescriptor = "connect_no_descriptor",
    /// Nobody listens there.
    ConnectRefused = "connect_refused",
    /// The network gave no answer in time.
    ConnectTimedOut = "connect_timed_out",
    /// There is no route.
    ConnectUnreachable = "connect_unreachable",
    /// Refused by the system in another way.
    ConnectOther = "connect_other",
    /// The upstream sent an alert without a label of its own.
    TlsAlert = "tls_alert",
    /// The upstream did not expect a message of ours.
    TlsAlertUnexpectedMessage = "tls_alert_unexpected_message",
    /// Nothing that is offered suits the upstream.
    TlsAlertHandshakeFailure = "tls_alert_handshake_failure",
    /// The upstream refused a certificate of ours, though none is sent.
    TlsAlertBadCertificate = "tls_alert_bad_certificate",
    /// The upstream found a value out of range.
    TlsAlertIllegalParameter = "tls_alert_illegal_parameter",
    /// The upstream does not serve this client.
    TlsAlertAccessDenied = "tls_alert_access_denied",
    /// The upstream could not read a message.
    TlsAlertDecodeError = "tls_alert_decode_error",
    /// The upstream could not verify a message.
    TlsAlertDecryptError = "tls_alert_decrypt_error",
    /// The upstream knows neither TLS 1.2 nor 1.3.
    TlsAlertProtocolVersion = "tls_alert_protocol_version",
    /// The upstream demands stronger ciphers.
    TlsAlertInsufficientSecurity = "tls_alert_insufficient_security",
    /// The upstream failed by itself.
    TlsAlertInternalError = "tls_alert_internal_error",
    /// The upstream does not serve the authentication name.
    TlsAlertUnrecognizedName = "tls_alert_unrecognized_name",
    /// The upstream demands a client certificate.
    TlsAlertCertificateRequired = "tls_alert_certificate_required",
    /// The upstream knows no application protocol `dot`.
    TlsAlpnRefused = "tls_alpn_refused",
    /// The certificate is unusable in another way.
    TlsCertificateBad = "tls_certificate_bad",
    /// The certificate's time is over.
    TlsCertificateExpired = "tls_certificate_expired",
    /// The certificate is for another name or address.
    TlsCertificateName = "tls_certificate_name",
    /// The certificate's time has not come.
    TlsCertificateNotYetValid = "tls_certificate_not_yet_valid",
    /// The certificate was revoked.
    TlsCertificateRevoked = "tls_certificate_revoked",
    /// This system's clock cannot be right.
    TlsClockWrong = "tls_clock_wrong",
    /// The connection was closed in the handshake.
    TlsClosed = "tls_closed",
    /// No certificate authority that is trusted here signed it.
    TlsIssuerUnknown = "tls_issuer_unknown",
    /// No configured pin is the certificate's.
    TlsPinMismatch = "tls_pin_mismatch",
    /// The upstream broke the TLS protocol.
    TlsProtocol = "tls_protocol",
    /// The handshake took too long.
    TlsTimedOut = "tls_timed_out",
    /// An upstream answered with an error.
    UpstreamError = "upstream_error",
    /// The session ended before the response came.
    UpstreamClosed = "upstream_closed",
    /// No response came in time.
    UpstreamSilent = "upstream_silent",
    /// A response to another question under the ID of ours.
    UpstreamWrongQuestion = "upstream_wrong_question",
    /// A message with an ID that is not in use.
    UpstreamUnknownId = "upstream_unknown_id",
    /// Not a well-formed response.
    UpstreamMalformed = "upstream_malformed",
    /// A truncated response, though the transport has no such limit.
    UpstreamTruncated = "upstream_truncated",
    /// Too many messages that answer nothing.
    UpstreamFlood = "upstream_flood",
    /// A question was alone on two sessions that the upstream then ended.
    UpstreamHarmful = "upstream_harmful_question",
    /// A limit of this forwarder was reached.
    Overload = "overload",
    /// A bug of ours.
    Internal = "internal",
}

impl From<Failure> for Reason {
    fn from(failure: Failure) -> Reason {
        match failure {
            Failure::Answered { .. } => Reason::UpstreamError,
            Failure::Closed => Reason::UpstreamClosed,
            Failure::Connect(fault) => fault.into(),
            Failure::Harmful => Reason::UpstreamHarmful,
            Failure::Internal => Reason::Internal,
            Failure::Misbehaved(fault) => fault.into(),
            Failure::NotReady => Reason::NotReady,
            Failure::Overload => Reason::Overload,
            Failure::Silent => Reason::UpstreamSilent,
            Failure::Tls(fault) => fault.into(),
        }
    }
}

impl From<ConnectFault> for Reason {
    fn from(fault: ConnectFault) -> Reason {
        match fault {
            ConnectFault::NoAddress => Reason::ConnectNoAddress,
            ConnectFault::NoDescriptor => Reason::ConnectNoDescriptor,
            ConnectFault::Other => Reason::ConnectOther,
            ConnectFault::Refused => Reason::ConnectRefused,
            ConnectFault::TimedOut => Reason::ConnectTimedOut,
            ConnectFault::Unreachable => Reason::ConnectUnreachable,
        }
    }
}

impl From<Alert> for Reason {
    fn from(alert: Alert) -> Reason {
        match alert {
            Alert::UnexpectedMessage => Reason::TlsAlertUnexpectedMessage,
            Alert::HandshakeFailure => Reason::TlsAlertHandshakeFailure,
            Alert::BadCertificate => Reason::TlsAlertBadCertificate,
            Alert::IllegalParameter => Reason::TlsAlertIllegalParameter,
            Alert::AccessDenied => Reason::TlsAlertAccessDenied,
            Alert::DecodeError => Reason::TlsAlertDecodeError,
            Alert::DecryptError => Reason::TlsAlertDecryptError,
            Alert::ProtocolVersion => Reason::TlsAlertProtocolVersion,
            Alert::InsufficientSecurity => Reason::TlsAlertInsufficientSecurity,
            Alert::InternalError => Reason::TlsAlertInternalError,
            Alert::UnrecognizedName => Reason::TlsAlertUnrecognizedName,
            Alert::CertificateRequired => Reason::TlsAlertCertificateRequired,
            Alert::Other => Reason::TlsAlert,
        }
    }
}

impl From<TlsFault> for Reason {
    fn from(fault: TlsFault) -> Reason {
        match fault {
            TlsFault::Alert(alert) => alert.into(),
            TlsFault::AlpnRefused => Reason::TlsAlpnRefused,
            TlsFault::CertificateBad => Reason::TlsCertificateBad,
            TlsFault::CertificateExpired => Reason::TlsCertificateExpired,
            TlsFault::CertificateName => Reason::TlsCertificateName,
            TlsFault::CertificateNotYetValid => Reason::TlsCertificateNotYetValid,
            TlsFault::CertificateRevoked => Reason::TlsCertificateRevoked,
            TlsFault::ClockWrong => Reason::TlsClockWrong,
            TlsFault::Closed => Reason::TlsClosed,
            TlsFault::IssuerUnknown => Reason::TlsIssuerUnknown,
            TlsFault::PinMismatch => Reason::TlsPinMismatch,
            TlsFault::Protocol => Reason::TlsProtocol,
            TlsFault::TimedOut => Reason::TlsTimedOut,
        }
    }
}

impl From<Misbehaviour> for Reason {
    fn from(fault: Misbehaviour) -> Reason {
        match fault {
            Misbehaviour::WrongQuestion => Reason::UpstreamWrongQuestion,
            Misbehaviour::Malformed => Reason::UpstreamMalformed,
            Misbehaviour::Truncated => Reason::UpstreamTruncated,
            Misbehaviour::Flood => Reason::UpstreamFlood,
        }
    }
}
