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

mod attempts;
mod clients;

pub use self::attempts::{AttemptKind, Hedging, Strategy, Winner};
pub use self::clients::CookieResult;

labels! {
    /// How a client's query came.
    ClientTransport:
    /// UDP.
    Udp = "udp",
    /// TCP.
    Tcp = "tcp",
    /// DNS over TLS.
    Dot = "dot",
    /// DNS over HTTPS.
    Https = "https",
    /// DNS over QUIC.
    Doq = "doq",
}

labels! {
    /// The type of a query: types of interest, and all others as one.
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
    /// Any type (RFC 8482).
    Any = "ANY",
    /// Any other type, or an unreadable message.
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
    /// The outcome of a client's message. Each has one outcome, counted when it is known.
    Outcome:
    /// Answered with an upstream's response.
    Answered = "answered",
    /// Answered from the cache.
    Cached = "cached",
    /// Answered from the cache with an expired response (RFC 8767).
    Stale = "stale",
    /// Answered from the cache with a failure (RFC 9520).
    CachedFailure = "cached_failure",
    /// Answered locally: local data, or a special-use name.
    Local = "local",
    /// Blocked by a list.
    Blocked = "blocked",
    /// Waited for an upstream and got a locally generated error.
    Failed = "failed",
    /// Refused because of its type, class, signature or RD flag, or because it is dotgate's own (loop).
    Refused = "refused",
    /// Refused, or not answered, because the client is not in the access list.
    Prohibited = "prohibited",
    /// Rejected with FORMERR, NOTIMP or BADVERS.
    Malformed = "malformed",
    /// Shed because too many queries were in flight, or because its client is above its rate.
    Shed = "shed",
    /// A retransmission; the response to the first one answers both.
    Repeated = "repeated",
    /// Not answered: too short, a response itself, or from port 0.
    Ignored = "ignored",
}

labels! {
    /// Why a client did not get what an upstream says.
    Filtering:
    /// Queries for a name on a block list.
    BlockList = "block_list",
    /// Queries that an RPZ rule redirected to another name.
    Redirect = "redirect",
    /// Responses in which an alias leads to a blocked name.
    Alias = "alias",
    /// Responses of a public group with a private address.
    Rebinding = "rebinding",
}

labels! {
    /// What DNS64 did for a question.
    Dns64:
    /// AAAA records were made of A records.
    Synthesized = "synthesized",
    /// There was no A record either, or none that can be mapped.
    NoAddress = "no_address",
    /// A reverse name of the prefix was answered with a CNAME record.
    Reverse = "reverse",
}

labels! {
    /// The RCODE of a response.
    Rcode:
    /// No error.
    NoError = "NOERROR",
    /// Format error.
    FormErr = "FORMERR",
    /// Server failure.
    ServFail = "SERVFAIL",
    /// The name does not exist.
    NxDomain = "NXDOMAIN",
    /// Not implemented.
    NotImp = "NOTIMP",
    /// Refused by policy.
    Refused = "REFUSED",
    /// Unsupported EDNS version.
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
    /// TCP connection setup.
    Connect = "connect",
    /// TLS handshake, after the TCP connection.
    Tls = "tls",
    /// From sending the query to its response.
    Upstream = "upstream",
    /// From the client's query to its response.
    Total = "total",
}

labels! {
    /// Whether a handshake could build on an earlier session.
    Handshake:
    /// Full handshake, with certificate verification.
    Full = "full",
    /// Resumption of an earlier session.
    Resumed = "resumed",
}

labels! {
    /// Why a session that was open ended.
    Ending:
    /// Idle timeout, or requested by the upstream (RFC 7828).
    Idle = "idle",
    /// Closed by the upstream with no query in flight.
    IdlePeer = "idle_peer",
    /// Maximum age reached.
    Age = "age",
    /// Closed by the upstream with queries in flight.
    Closed = "closed",
    /// Connection reset, or a network error.
    Reset = "reset",
    /// TLS error.
    Tls = "tls",
    /// Unresponsive.
    Unresponsive = "unresponsive",
    /// Too many invalid messages.
    Flood = "flood",
    /// Isolation session whose queries were all answered.
    Isolated = "isolated",
    /// Shutdown, or the upstream is no longer configured.
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
    /// Idle timeout, which is shorter when most connections are in use.
    Idle = "idle",
    /// Incomplete query.
    IncompleteQuery = "incomplete_query",
    /// The client did not read its responses in time.
    Unread = "unread",
    /// Framing error: a frame shorter than a header, or a response.
    Framing = "framing",
    /// A truncated message, or several malformed ones.
    Malformed = "malformed",
    /// The client is no longer allowed, and gets no response.
    Prohibited = "prohibited",
    /// A balancer sent no valid PROXY header, or none in time.
    ProxyHeader = "proxy_header",
    /// The TLS handshake was not completed in time.
    Handshake = "handshake",
    /// The client broke TLS after the handshake.
    Tls = "tls",
    /// The client broke HTTP.
    Http = "http",
    /// The client broke QUIC, or the rules of DNS over QUIC.
    Quic = "quic",
    /// The client flooded its connection with HTTP/2 frames without queries, or cancelled most of its requests.
    Flood = "flood",
    /// Closed to make room for another client when all connections were in use.
    Displaced = "displaced",
    /// Memory limit reached; this client used the most.
    Memory = "memory",
    /// Maximum number of queries or maximum age reached.
    Retired = "retired",
    /// The client closed its side and has all responses.
    Finished = "finished",
    /// Shutdown.
    Stopped = "stopped",
}

labels! {
    /// The status with which a client's request over HTTP was answered.
    HttpStatus:
    /// A DNS message.
    Ok = "200",
    /// The request has no DNS query, or two different client addresses of a proxy.
    BadRequest = "400",
    /// Another path than `/dns-query`.
    NotFound = "404",
    /// Neither GET nor POST.
    MethodNotAllowed = "405",
    /// Longer than a DNS message can be.
    ContentTooLarge = "413",
    /// Another media type than `application/dns-message`.
    UnsupportedMediaType = "415",
    /// Too many queries of the connection wait for a response.
    Unavailable = "503",
}

labels! {
    /// What became of a datagram that came to a listener of DNS over QUIC.
    QuicPacket:
    /// A packet of a connection.
    Connection = "connection",
    /// A packet that started a connection.
    Attempt = "attempt",
    /// A new connection that was answered with Retry, to validate the client's address.
    Retry = "retry",
    /// A new connection that was refused at a limit.
    Refused = "refused",
    /// An unknown connection, another version of QUIC, or an invalid token; the client got an error.
    Answered = "answered",
    /// Not QUIC, or from another address than that of its connection.
    Ignored = "ignored",
    /// Too many attempts or handshakes were waiting.
    Dropped = "dropped",
}

labels! {
    /// What became of the TLS handshake of a client's connection.
    ClientHandshake:
    /// It was completed.
    Full = "full",
    /// It was completed by resuming an earlier connection.
    Resumed = "resumed",
    /// The client closed the connection.
    Closed = "closed",
    /// It took too long.
    Timeout = "timeout",
    /// Closed to make room for another handshake when too many were in progress, or at shutdown.
    Displaced = "displaced",
    /// The client did not send TLS.
    NotTls = "not_tls",
    /// No TLS version, cipher suite or key exchange in common.
    NothingInCommon = "nothing_in_common",
    /// The client offered only application protocols (ALPN) that are not supported.
    Alpn = "alpn",
    /// The client sent an alert, for instance because it does not trust the certificate.
    Alert = "alert",
    /// The client's certificate is missing or not valid.
    Certificate = "certificate",
    /// The client broke the protocol.
    Protocol = "protocol",
}

labels! {
    /// What a listed balancer sent in place of a PROXY header.
    ProxyResult:
    /// A header that names a client.
    Client = "client",
    /// A header without a client: a query of the balancer itself, or of a client without an IP address.
    Local = "local",
    /// No header.
    Missing = "missing",
    /// An invalid header.
    Malformed = "malformed",
}

labels! {
    /// A limit at which something was rejected or deferred.
    Limit:
    /// Queries in flight, all clients.
    Queries = "queries",
    /// Queries in flight from one client address.
    QueriesPerClient = "queries_per_client",
    /// Client TCP connections, all clients.
    Streams = "streams",
    /// Client TCP connections from one address.
    StreamsPerClient = "streams_per_client",
    /// New TCP connections of an address that sent malformed messages on several.
    StreamsMalformed = "streams_malformed",
    /// TLS handshakes in progress, all clients or one address.
    Handshakes = "handshakes",
    /// Queries of one address prefix in a second.
    QueryRate = "query_rate",
    /// Equal queries over UDP of one address prefix in a second.
    ResponseRate = "response_rate",
    /// New connections of one address prefix in a second.
    ConnectionRate = "connection_rate",
    /// TLS handshakes of one address prefix in a second.
    HandshakeRate = "handshake_rate",
    /// Client prefixes in the table of rates: a prefix was evicted.
    RateTable = "rate_table",
    /// Memory used for clients: connections, incomplete queries and unread responses.
    ClientMemory = "client_memory",
    /// UDP responses sent without records (TC), because they were late or too many became ready for one address.
    UdpRelease = "udp_release",
    /// File descriptors of the process.
    Descriptors = "descriptors",
}

labels! {
    /// What went wrong, at an upstream or for a query: a stage, then what happened there.
    Reason:
    /// No session to any upstream was open.
    NotReady = "not_ready",
    /// The upstream's name has no address yet.
    ConnectNoAddress = "connect_no_address",
    /// No file descriptor was left.
    ConnectNoDescriptor = "connect_no_descriptor",
    /// Connection refused.
    ConnectRefused = "connect_refused",
    /// Connection timed out.
    ConnectTimedOut = "connect_timed_out",
    /// No route to the upstream.
    ConnectUnreachable = "connect_unreachable",
    /// Any other error of the system.
    ConnectOther = "connect_other",
    /// The upstream sent another alert.
    TlsAlert = "tls_alert",
    /// The upstream received an unexpected message.
    TlsAlertUnexpectedMessage = "tls_alert_unexpected_message",
    /// The upstream accepts none of the offered parameters.
    TlsAlertHandshakeFailure = "tls_alert_handshake_failure",
    /// The upstream rejected a client certificate, although none is sent.
    TlsAlertBadCertificate = "tls_alert_bad_certificate",
    /// The upstream found a value out of range.
    TlsAlertIllegalParameter = "tls_alert_illegal_parameter",
    /// The upstream does not serve this client.
    TlsAlertAccessDenied = "tls_alert_access_denied",
    /// The upstream could not read a message.
    TlsAlertDecodeError = "tls_alert_decode_error",
    /// The upstream could not verify a message.
    TlsAlertDecryptError = "tls_alert_decrypt_error",
    /// The upstream supports neither TLS 1.2 nor TLS 1.3.
    TlsAlertProtocolVersion = "tls_alert_protocol_version",
    /// The upstream demands stronger ciphers.
    TlsAlertInsufficientSecurity = "tls_alert_insufficient_security",
    /// Internal error of the upstream.
    TlsAlertInternalError = "tls_alert_internal_error",
    /// The upstream does not serve the authentication name.
    TlsAlertUnrecognizedName = "tls_alert_unrecognized_name",
    /// The upstream demands a client certificate.
    TlsAlertCertificateRequired = "tls_alert_certificate_required",
    /// The upstream rejected ALPN `dot`.
    TlsAlpnRejected = "tls_alpn_rejected",
    /// The certificate is invalid in another way.
    TlsCertificateBad = "tls_certificate_bad",
    /// The certificate has expired.
    TlsCertificateExpired = "tls_certificate_expired",
    /// The certificate is for a different name or address.
    TlsCertificateName = "tls_certificate_name",
    /// The certificate is not valid yet.
    TlsCertificateNotYetValid = "tls_certificate_not_yet_valid",
    /// The certificate has been revoked.
    TlsCertificateRevoked = "tls_certificate_revoked",
    /// The system clock is wrong.
    TlsClockWrong = "tls_clock_wrong",
    /// The connection was closed during the handshake.
    TlsClosed = "tls_closed",
    /// The certificate is not signed by a trusted authority.
    TlsIssuerUnknown = "tls_issuer_unknown",
    /// The public key matches none of the configured pins.
    TlsPinMismatch = "tls_pin_mismatch",
    /// TLS protocol error.
    TlsProtocol = "tls_protocol",
    /// The handshake timed out.
    TlsTimedOut = "tls_timed_out",
    /// The upstream returned an error.
    UpstreamError = "upstream_error",
    /// The session ended before the response arrived.
    UpstreamClosed = "upstream_closed",
    /// No response in time.
    UpstreamTimeout = "upstream_timeout",
    /// The ID matched, but the question did not.
    UpstreamWrongQuestion = "upstream_wrong_question",
    /// A message with an unknown ID.
    UpstreamUnknownId = "upstream_unknown_id",
    /// A response with another name case from a plain upstream that preserves it: it may be forged.
    UpstreamWrongCase = "upstream_wrong_case",
    /// A plain upstream does not preserve the name case, which then does not protect against forged responses.
    UpstreamCaseNotKept = "upstream_case_not_kept",
    /// Not a well-formed response.
    UpstreamMalformed = "upstream_malformed",
    /// A truncated response over TLS.
    UpstreamTruncated = "upstream_truncated",
    /// Too many invalid messages.
    UpstreamFlood = "upstream_flood",
    /// The upstream closed two sessions that carried only this query.
    UpstreamHarmful = "upstream_harmful_question",
    /// The upstream sends queries back to dotgate (loop).
    UpstreamLoop = "upstream_loop",
    /// A limit of dotgate was reached.
    Overload = "overload",
    /// A bug in dotgate.
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
            Failure::Loop => Reason::UpstreamLoop,
            Failure::Misbehaved(fault) => fault.into(),
            Failure::NotReady => Reason::NotReady,
            Failure::Overload => Reason::Overload,
            Failure::NoResponse => Reason::UpstreamTimeout,
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
            TlsFault::AlpnRejected => Reason::TlsAlpnRejected,
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
