//! The rows of the table of metrics, by where their numbers come from.

use dotgate_core::Count;
use dotgate_core::labels::{
    AttemptKind, ClientHandshake, ClientTransport, CookieResult, Dns64, Ending, Filtering,
    Handshake, Hedging, HttpStatus, Limit, Outcome, ProxyResult, QuicPacket, Rcode, Reason,
    RecordType, Stage, Strategy, StreamEnd, Winner,
};

use super::table::{Kind, Label, Metric, Source, Values, row};

const TRANSPORT: Label = closed("transport", ClientTransport::VALUES);
const TYPE: Label = closed("type", RecordType::VALUES);
const OUTCOME: Label = closed("outcome", Outcome::VALUES);
const RCODE: Label = closed("rcode", Rcode::VALUES);
const REASON: Label = closed("reason", Reason::VALUES);
const FILTERING: Label = closed("reason", Filtering::VALUES);
const DNS64: Label = closed("result", Dns64::VALUES);
const LIMIT: Label = closed("limit", Limit::VALUES);
const STREAM_END: Label = closed("reason", StreamEnd::VALUES);
const CLIENT_HANDSHAKE: Label = closed("result", ClientHandshake::VALUES);
const HTTP_STATUS: Label = closed("status", HttpStatus::VALUES);
const QUIC_PACKET: Label = closed("result", QuicPacket::VALUES);
const COOKIE_RESULT: Label = closed("result", CookieResult::VALUES);
const PROXY_RESULT: Label = closed("result", ProxyResult::VALUES);
const STAGE: Label = closed("stage", Stage::VALUES);
const ATTEMPT: Label = closed("kind", AttemptKind::VALUES);
const HANDSHAKE: Label = closed("kind", Handshake::VALUES);
const STRATEGY: Label = closed("strategy", Strategy::VALUES);
const WINNER: Label = closed("winner", Winner::VALUES);
const HEDGING: Label = closed("result", Hedging::VALUES);
const ENDING: Label = closed("reason", Ending::VALUES);
const STATE: Label = closed(
    "state",
    &[
        ("healthy", " It responds, or has not been queried yet."),
        (
            "suspect",
            " A session to it is unresponsive, and no response has arrived since.",
        ),
        (
            "down",
            " It cannot be reached, cannot be authenticated, or does not respond.",
        ),
    ],
);
const LOOKUP: Label = closed(
    "result",
    &[
        ("found", " Addresses were found."),
        (
            "failed",
            " No address was found, or no resolver responded; previous addresses stay in use.",
        ),
    ],
);
const RELOAD: Label = closed(
    "result",
    &[
        ("ok", " The new configuration is active."),
        (
            "rejected",
            " The new configuration was rejected; the current one stays active.",
        ),
    ],
);
const OWNERS: Label = closed(
    "state",
    &[
        ("active", " Their names are sent to their upstreams."),
        ("expired", " Queries for their names fail."),
    ],
);
const SANDBOX: Label = closed(
    "part",
    &[
        ("files", " Files that are not needed cannot be opened."),
        (
            "tcp_ports",
            " Other TCP ports cannot be connected to or bound.",
        ),
        ("signals", " Signals to other processes are denied."),
        (
            "system_calls",
            " System calls that a forwarder does not need are denied.",
        ),
        ("no_new_privileges", " Programs cannot gain privileges."),
    ],
);
const GROUP: Label = Label {
    name: "group",
    values: Values::Groups,
};
const UPSTREAM: Label = Label {
    name: "upstream",
    values: Values::Upstreams,
};
const WAITED_OUTCOME: Label = Label {
    name: "outcome",
    values: Values::Waited,
};

const fn closed(name: &'static str, values: &'static [(&'static str, &'static str)]) -> Label {
    Label {
        name,
        values: Values::Closed(values),
    }
}

const fn text(name: &'static str) -> Label {
    Label {
        name,
        values: Values::Text,
    }
}

macro_rules! families {
    (
        $(#[doc = $about:literal])+ $set:ident via $source:ident:
        $($family:ident = $kind:ident $name:literal [$($label:expr),*] $help:literal, $tells:literal;)+
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $set { $(#[doc = $help] $family,)+ }

        impl $set {
            /// All of them, in the order of the page.
            pub const ALL: &'static [$set] = &[$($set::$family,)+];

            pub(super) fn metric(self) -> Metric {
                let source = Source::$source(self);
                match self {
                    $($set::$family => {
                        const LABELS: &[Label] = &[$($label),*];
                        row(source, $name.to_owned(), Kind::$kind, LABELS, $help, $tells)
                    })+
                }
            }
        }
    };
}

families! {
    /// Metrics about clients, added up over the workers.
    OfClients via Clients:
    Queries = Counter "dotgate_queries" [TRANSPORT, TYPE, OUTCOME]
        "Client messages by outcome.",
        "Query load, and the share of queries that failed, were shed or were refused. Each message is counted once, when its outcome is known.";
    Responses = Counter "dotgate_responses" [RCODE]
        "Responses to clients by RCODE.",
        "The results that clients see. If SERVFAIL is more than occasional, check dotgate_failures_total.";
    QueryDuration = Histogram "dotgate_query_duration_seconds" [TRANSPORT, WAITED_OUTCOME]
        "Time from query to response, for queries that waited for an upstream.",
        "How long clients wait. Responses sent immediately (cached, local, refused) are not measured and appear only in dotgate_queries_total.";
    Failures = Counter "dotgate_failures" [REASON]
        "Queries answered with a locally generated error, by primary cause.",
        "Why clients get SERVFAIL. The Extended DNS Error in the response has the same reason.";
    Filtered = Counter "dotgate_filtered" [FILTERING]
        "Queries and responses that were filtered: blocked names, aliases of blocked names, private addresses.",
        "Effect of lists and rebinding protection. A sudden rise after a change of a list may be an error in it.";
    Dns64 = Counter "dotgate_dns64" [DNS64]
        "Responses that DNS64 synthesized, by result.",
        "Use of the NAT64. Only no_address: upstreams return no A records either.";
    LimitsHit = Counter "dotgate_limits_hit" [LIMIT]
        "Times a limit was reached and something was rejected or delayed.",
        "A limit is too low for the load, or a client sends too much.";
    QueriesInFlight = Gauge "dotgate_queries_in_flight" []
        "Queries waiting for a response.",
        "Grows when upstreams are slow. At DOTGATE_QUERY_IN_FLIGHT_MAX per worker, queries are shed.";
    QuestionsInFlight = Gauge "dotgate_questions_in_flight" []
        "Distinct questions waiting for a response. Several queries can wait for the same question.",
        "Far below the queries in flight: many clients ask the same question.";
    OldestQuery = Gauge "dotgate_oldest_query_age_seconds" []
        "Age of the oldest unanswered query, or 0 if none is waiting.",
        "Close to the query deadline: some queries get no response from any upstream.";
    Streams = Gauge "dotgate_streams_open" []
        "Open client TCP connections.",
        "Close to DOTGATE_TCP_CONNECTIONS_MAX: new connections will soon be rejected.";
    StreamsClosed = Counter "dotgate_streams_closed" [STREAM_END]
        "Client TCP and TLS connections closed by dotgate, by reason.",
        "unread, incomplete_query, framing and malformed: faulty clients. displaced and memory: the limits are reached.";
    ClientHandshakes = Counter "dotgate_client_handshakes" [CLIENT_HANDSHAKE]
        "TLS handshakes of clients, by result.",
        "Many failures of one kind: alert, when clients do not trust the certificate; timeout, displaced and closed, in a flood of connections.";
    HttpRequests = Counter "dotgate_client_http_requests" [HTTP_STATUS]
        "Requests of clients over HTTPS, by the status of the response.",
        "Other than 200: programs that are not DNS clients, or clients with another path or too many queries at once.";
    QuicPackets = Counter "dotgate_client_quic_packets" [QUIC_PACKET]
        "Datagrams at the listeners of DNS over QUIC, by result.",
        "Many retry, refused or dropped: a flood of handshakes. Many ignored or answered: packets that are not QUIC, \
         or clients whose connections have ended.";
    ProxyHeaders = Counter "dotgate_proxy_headers" [PROXY_RESULT]
        "PROXY headers of the balancers in DOTGATE_SERVER_PROXY_PROTOCOL_FROM, by result.",
        "missing: a balancer does not send the header, and its clients are refused. malformed: it sends another version.";
    Cookies = Counter "dotgate_client_cookies" [COOKIE_RESULT]
        "Queries with a DNS cookie of a valid length, by result.",
        "invalid above some percent of valid: instances behind one address without a common DOTGATE_SERVER_COOKIE_SECRET_FILE, or forged sources.";
    ClientMemory = Gauge "dotgate_client_memory_bytes" []
        "Memory used for clients: TCP connections including data buffered in dotgate and in the kernel, and queries in flight.",
        "Above half of dotgate_client_memory_max_bytes, each client is limited to its share. At the limit, connections are closed.";
    ClientMemoryMax = Gauge "dotgate_client_memory_max_bytes" []
        "Limit of the memory used for clients.",
        "DOTGATE_SERVER_CLIENT_MEMORY, or the value that `auto` derived from the cgroup's limit.";
}

families! {
    /// Metrics about one group of upstreams.
    OfGroup via Groups:
    Up = Gauge "dotgate_group_up" [GROUP]
        "1 if an upstream of a group is not down, else 0.",
        "0: names of this route get cached responses, stale responses or SERVFAIL; they are never sent to another \
         group.";
    StrategyInfo = Gauge "dotgate_group_strategy" [GROUP, STRATEGY]
        "1 for the strategy of a group.",
        "Compare with the share of each upstream in dotgate_upstream_attempts_total{kind=\"first\"}.";
    Queries = Counter "dotgate_group_queries" [GROUP, WAITED_OUTCOME]
        "Queries that waited for an upstream of a group, by outcome.",
        "Which route fails: the share of `failed`. The other groups are not affected.";
}

families! {
    /// Metrics about one upstream, added up over the workers.
    OfUpstream via Upstreams:
    StageDuration = Histogram "dotgate_stage_duration_seconds" [STAGE, UPSTREAM]
        "Duration of each successful stage of getting a response from an upstream.",
        "Where the time is spent. If total is far above upstream, connections are slow, not the upstream itself.";
    Attempts = Counter "dotgate_upstream_attempts" [UPSTREAM, ATTEMPT]
        "Queries sent to an upstream.",
        "Load on the upstreams. Kinds other than first are extra traffic.";
    Races = Counter "dotgate_upstream_races" [UPSTREAM, WINNER]
        "Responses received while two attempts for one question were running, by the attempt that was answered.",
        "Whether second attempts help: `hedge` wins where the first attempt was stuck.";
    Hedges = Counter "dotgate_upstream_hedges" [UPSTREAM, HEDGING]
        "Late queries of an upstream, by result of hedging: copies sent, their results, and why none was sent.",
        "Which upstream is late, and whether copies help: `won` of `sent`. Many `no_budget`: it is often late, or \
         slow.";
    UpstreamResponses = Counter "dotgate_upstream_responses" [UPSTREAM, RCODE]
        "Valid responses from an upstream.",
        "An upstream that returns SERVFAIL or REFUSED more often than the others.";
    UpstreamErrors = Counter "dotgate_upstream_errors" [UPSTREAM, REASON]
        "Errors of an upstream: connecting, sessions and messages.",
        "Which upstream fails, and how. Certificate and pin errors need an operator.";
    UpstreamUp = Gauge "dotgate_upstream_up" [UPSTREAM]
        "1 if an upstream is not down, else 0.",
        "0 for all upstreams: only cached and stale responses can be served.";
    UpstreamState = Gauge "dotgate_upstream_state" [UPSTREAM, STATE]
        "1 for the current state of an upstream, 0 for the other states.",
        "Packet loss makes an upstream suspect for a moment. ARCHITECTURE.md lists what makes an upstream down.";
    RoundTrip = Gauge "dotgate_upstream_round_trip_seconds" [UPSTREAM]
        "Smoothed time from a query to its response. Absent before the first response.",
        "Current latency of an upstream.";
    CertificateBegins = Gauge "dotgate_upstream_certificate_not_before_timestamp_seconds" [UPSTREAM]
        "Start of the validity of an upstream's certificate, in seconds since 1970. Absent before the first full handshake.",
        "With the expiry time: the lifetime of the certificate, and its remaining share.";
    CertificateEnds = Gauge "dotgate_upstream_certificate_not_after_timestamp_seconds" [UPSTREAM]
        "Expiry time of an upstream's certificate, in seconds since 1970. Absent before the first full handshake.",
        "Days left: (dotgate_upstream_certificate_not_after_timestamp_seconds - time()) / 86400.";
    PinMismatch = Gauge "dotgate_upstream_pin_mismatch" [UPSTREAM]
        "Whether the last full handshake showed none of the keys in `pin-report`. Absent for upstreams without it.",
        "1: the provider has rotated its key, or someone else has a valid certificate for its name. Queries are still \
         sent.";
    KeyExchangeReduced = Gauge "dotgate_upstream_key_exchange_reduced" [UPSTREAM]
        "1 while handshakes offer only a classical key exchange because hybrid ones failed, else 0.",
        "1: a middlebox on the path drops large ClientHellos. Recorded sessions are not protected against a future \
         quantum computer.";
    Lookups = Counter "dotgate_upstream_lookups" [UPSTREAM, LOOKUP]
        "Lookups of the addresses of an upstream that is given by name, or of the endpoint that `ddr:` discovers.",
        "`failed` grows: the resolvers in DOTGATE_BOOTSTRAP_ADDRESSES or of `ddr:` do not respond, or return no \
         address.";
    IdleTimeout = Gauge "dotgate_upstream_idle_timeout_seconds" [UPSTREAM]
        "Time after which an idle session to an upstream is closed: 8, or the learned timeout of the upstream.",
        "Less than 8: learned. With few queries, a low value means a handshake for nearly every query.";
    UpstreamInFlight = Gauge "dotgate_upstream_questions_in_flight" [UPSTREAM]
        "Queries that an upstream has not answered yet.",
        "Grows if an upstream stalls.";
    SessionsOpen = Gauge "dotgate_sessions_open" [UPSTREAM]
        "Open sessions to an upstream, in all workers.",
        "Normally one per busy worker. More under load, or while a session is suspect.";
    SessionsOpened = Counter "dotgate_sessions_opened" [UPSTREAM]
        "Sessions opened.",
        "Many per minute: the upstream closes sessions early, or the network interrupts them.";
    SessionReuses = Counter "dotgate_session_reuses" [UPSTREAM]
        "Queries sent on a session that had already carried one.",
        "Normally close to the number of attempts: handshakes are rare.";
    SessionsClosed = Counter "dotgate_sessions_closed" [UPSTREAM, ENDING]
        "Open sessions that were closed, by reason.",
        "Reasons other than idle, idle_peer, age and stopped cost queries another attempt.";
    HandshakeDuration = Histogram "dotgate_handshake_duration_seconds" [UPSTREAM, HANDSHAKE]
        "Duration of successful TLS handshakes, full and resumed.",
        "Full handshakes are expensive for both sides. Many of them are a handshake storm.";
}

families! {
    /// Metrics about the cache, which all workers share.
    OfCache via Cache:
    Entries = Gauge "dotgate_cache_entries" []
        "Cached responses and cached failures.",
        "Number of entries in the cache.";
    Bytes = Gauge "dotgate_cache_bytes" []
        "Memory used by the cache entries and their index.",
        "At dotgate_cache_max_bytes, entries are evicted before they expire.";
    BytesMax = Gauge "dotgate_cache_max_bytes" []
        "Configured size of the cache.",
        "DOTGATE_CACHE_SIZE.";
    Evictions = Counter "dotgate_cache_evictions" []
        "Entries evicted before they expired.",
        "High with a low hit rate: a larger DOTGATE_CACHE_SIZE would reduce upstream queries.";
}

families! {
    /// Metrics about the program and its process.
    OfProcess via Process:
    CertificateEnds = Gauge "dotgate_server_certificate_not_after_timestamp_seconds" []
        "Expiry time of the certificate for clients that expires first, in seconds since 1970. Absent without such a certificate.",
        "Days left: (dotgate_server_certificate_not_after_timestamp_seconds - time()) / 86400.";
    UdpDrops = Counter "dotgate_udp_receive_drops" []
        "Datagrams dropped by the kernel because a receive buffer was full.",
        "Queries lost before dotgate could read them. Raise net.core.rmem_max and DOTGATE_SERVER_UDP_RECEIVE_BUFFER, or the number of workers.";
    LogDrops = Counter "dotgate_log_lines_dropped" []
        "Log lines dropped because standard error did not accept them.",
        "The reader of the log is stuck or too slow. dotgate never waits for it.";
    ConfigReloads = Counter "dotgate_config_reloads" [RELOAD]
        "Configuration reloads, by result.",
        "rejected: the new configuration has an error. The log has the reason.";
    ConfigReloadOk = Gauge "dotgate_config_last_reload_success" []
        "1 if the last configuration read is active, else 0.",
        "0: the active configuration is not that of the file, and a restart would fail. The log and /api/v1/status \
         have the reason.";
    ConfigReloadTime = Gauge "dotgate_config_last_reload_timestamp_seconds" []
        "Time of the last configuration load, in seconds since 1970.",
        "Whether a change has been read. Set at startup.";
    AddressesAwaited = Gauge "dotgate_listen_addresses_awaited" []
        "Addresses in HOST that this host does not currently have.",
        "Above 0: queries to these addresses get no response. The log and /api/v1/status list them.";
    Sandbox = Gauge "dotgate_sandbox" [SANDBOX]
        "1 if a part of the sandbox is enforced, else 0.",
        "0 after an upgrade of the kernel or of the container runtime: the process could do more than it needs. The log has the reason.";
    Dnstap = Gauge "dotgate_dnstap_connected" []
        "1 if the reader in DOTGATE_DNSTAP is connected, else 0. Absent without one.",
        "0: messages are not copied. The log has the reason; clients are not affected.";
    QueryLogLost = Counter "dotgate_query_log_lost" []
        "Lines of the query log that could not be written.",
        "The disk is full, or the reader of standard output has ended. The log has the reason.";
    QueryReaders = Gauge "dotgate_query_readers" []
        "Readers that see queries as they end: on the page, with dotgate tail, or at /api/v1/queries.",
        "Above 0 unexpectedly: someone else has the admin token.";
    QueryReadersLost = Counter "dotgate_query_readers_lost" []
        "Queries that a reader did not see because it was too slow.",
        "A reader is too slow. Queries are not affected. Use a filter.";
    PortalOpen = Gauge "dotgate_portal_open" []
        "1 while a portal window is open, else 0.",
        "1: names are resolved by the resolver of the network, not encrypted. An operator has opened it; the log says for which names and how long.";
    PortalQueries = Counter "dotgate_portal_queries" []
        "Queries that waited for the resolver of a network, not encrypted, in all portal windows.",
        "Queries in plain text. Grows only while a portal window is open.";
    VolatileRoutes = Gauge "dotgate_volatile_route_owners" [OWNERS]
        "Programs that have set routes, by state of the routes.",
        "expired: a program did not renew its routes, and queries for their names fail.";
    LocalNames = Gauge "dotgate_local_names" []
        "Names with local data, reverse names included.",
        "Whether the records and the hosts file were read as expected.";
    LocalBytes = Gauge "dotgate_local_bytes" []
        "Memory used by local data.",
        "While a reload is under way, it is needed twice.";
    ListedNames = Gauge "dotgate_listed_names" []
        "Names on the block and allow lists.",
        "A sudden fall: a list was published or downloaded incompletely.";
    ListedBytes = Gauge "dotgate_listed_bytes" []
        "Memory used by the block and allow lists.",
        "During a reload, twice this memory is needed, and memory for the files.";
    Workers = Gauge "dotgate_workers" []
        "Worker threads.",
        "Multiply limits that apply per worker by this number.";
    Build = Info "dotgate_build_info" [text("version"), text("commit"), text("rustc")]
        "Version of the program and its build.",
        "Which version runs where. `commit` is empty if it was not given to the build.";
    Cpu = Counter "process_cpu_seconds" []
        "CPU time of all threads, user and system.",
        "If it grows by the number of workers per second, the CPU is saturated.";
    Resident = Gauge "process_resident_memory_bytes" []
        "Resident memory.",
        "Bounded by the settings. Unlimited growth is a bug.";
    Virtual = Gauge "process_virtual_memory_bytes" []
        "Virtual memory.",
        "Of little meaning on its own.";
    OpenFds = Gauge "process_open_fds" []
        "Open file descriptors.",
        "Close to process_max_fds: connections have to wait.";
    MaxFds = Gauge "process_max_fds" []
        "Limit of open file descriptors.",
        "Raised to the hard limit at startup.";
    Threads = Gauge "process_threads" []
        "Threads.",
        "The workers, the control thread and the log writer.";
    Started = Gauge "process_start_time_seconds" []
        "Start time of the process, in seconds since 1970.",
        "A change is a restart.";
}

/// The metric of a plain count; none for those whose numbers stand, with labels, in a family.
pub(super) fn alone(count: Count) -> Option<Metric> {
    let tells = match count {
        Count::QueriesIgnored
        | Count::QueriesMalformed
        | Count::QueriesRefused
        | Count::ClientsRefused
        | Count::QueriesShed
        | Count::QueriesLocal
        | Count::QueriesRepeated
        | Count::Answered
        | Count::AnsweredFromCache
        | Count::Failed => return None, // Queries
        Count::Attempts | Count::AttemptsHedge | Count::AttemptsRetry | Count::Probes => {
            return None; // Attempts
        }
        Count::SessionsLost | Count::SessionsEndedIdle => return None, // SessionsClosed
        Count::SessionsFailed | Count::ResponsesInvalid => return None, // UpstreamErrors
        Count::StreamsRefused | Count::DescriptorsExhausted => return None, // LimitsHit
        // HandshakeDuration, UpstreamResponses
        Count::SessionsOpened | Count::HandshakesResumed | Count::Responses => return None,
        Count::Datagrams => "UDP load, including datagrams that are no queries.",
        Count::StreamsAccepted => "TCP load. Truncated UDP responses make clients retry over TCP.",
        Count::StreamsCutOff => {
            "Clients that stall, do not read, or do not speak DNS. dotgate_streams_closed_total has the reasons."
        }
        Count::QueriesForwarded => {
            "With dotgate_upstream_attempts_total: upstream queries per forwarded query."
        }
        Count::QueriesMerged => "Queries that caused no upstream traffic.",
        Count::CacheMisses => {
            "Compare with dotgate_queries_total{outcome=\"cached\"} for the hit rate."
        }
        Count::Prefetches => "Upstream load caused by refreshing popular responses.",
        Count::QueriesFollowing => "How often workers share one upstream query.",
        Count::MailboxMessagesDropped => "A worker is too busy to take the messages of others.",
        Count::SessionsStarted => {
            "Far above dotgate_sessions_opened_total: an upstream cannot be reached."
        }
        Count::HandshakesFellBack => "A middlebox may drop large ClientHellos.",
        Count::SessionsUnresponsive => "Upstreams, or the path to them, stall at times.",
        Count::SessionsIsolating => "Sessions fail with queries in flight, which are retried.",
        Count::QuestionsQuarantined => {
            "A query makes an upstream close the connection. Other queries are not affected."
        }
        Count::ResponsesLate => "An upstream responds after its queries have timed out.",
        Count::ResponsesOffChain => {
            "An upstream adds unrelated records. They are not used for other questions."
        }
        Count::ClientsGone => "TCP clients disconnect before they get their responses.",
        Count::Panics => "A bug. Please report it with the log.",
        Count::DatagramsUnsent => {
            "Responses lost locally: full socket buffers, or no route to the client."
        }
        Count::DatagramsTruncated => {
            "Clients behind links whose MTU is too small for `DOTGATE_SERVER_UDP_RESPONSE_MAX`. They retry over TCP."
        }
        Count::EventsDropped => "Events occur faster than they can be logged.",
        Count::QueryRecordsDropped => "The query log is incomplete: its writer is too slow.",
        Count::DnstapMessagesDropped => "The copies are incomplete: the dnstap reader is too slow.",
    };
    Some(row(
        Source::Count(count),
        format!("dotgate_{}", count.label()),
        Kind::Counter,
        &[],
        count.about(),
        tells,
    ))
}
