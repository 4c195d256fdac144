//! The rows of the table of metrics, by where their numbers come from.

use dotgate_core::Count;
use dotgate_core::labels::{
    AttemptKind, ClientTransport, Ending, Handshake, Limit, Outcome, Rcode, Reason, RecordType,
    Stage, StreamEnd, Winner,
};

use super::table::{Kind, Label, Metric, Source, Values, row};

const TRANSPORT: Label = closed("transport", ClientTransport::VALUES);
const TYPE: Label = closed("type", RecordType::VALUES);
const OUTCOME: Label = closed("outcome", Outcome::VALUES);
const RCODE: Label = closed("rcode", Rcode::VALUES);
const REASON: Label = closed("reason", Reason::VALUES);
const LIMIT: Label = closed("limit", Limit::VALUES);
const STREAM_END: Label = closed("reason", StreamEnd::VALUES);
const STAGE: Label = closed("stage", Stage::VALUES);
const ATTEMPT: Label = closed("kind", AttemptKind::VALUES);
const HANDSHAKE: Label = closed("kind", Handshake::VALUES);
const WINNER: Label = closed("winner", Winner::VALUES);
const ENDING: Label = closed("reason", Ending::VALUES);
const STATE: Label = closed(
    "state",
    &[
        ("well", " It answers, or nobody has asked yet."),
        (
            "suspect",
            " A session to it fell silent and no response has come since.",
        ),
        (
            "down",
            " It cannot be reached, fails to authenticate, or stays silent.",
        ),
    ],
);
const RELOAD: Label = closed(
    "result",
    &[
        ("ok", " It is in force."),
        ("refused", " The one before goes on."),
    ],
);
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
        "Messages of clients by what became of them.",
        "Load, and the share that fails, is shed or is refused. Each message is counted once, when its outcome is known.";
    Responses = Counter "dotgate_responses" [RCODE]
        "Responses to clients by RCODE.",
        "What clients see. SERVFAIL beyond a trickle is worth a look at dotgate_failures_total.";
    QueryDuration = Histogram "dotgate_query_duration_seconds" [TRANSPORT, WAITED_OUTCOME]
        "Time from a client's query to its response, of queries that waited.",
        "How long clients wait. An answer made within the turn its query came in (cached, local, refused) has no time worth measuring and is in dotgate_queries_total alone.";
    Failures = Counter "dotgate_failures" [REASON]
        "Queries that got an error of ours, by the most telling reason.",
        "Why clients get SERVFAIL; the same reason is in the Extended DNS Error they get.";
    LimitsHit = Counter "dotgate_limits_hit" [LIMIT]
        "Times something was turned away or put off at a limit.",
        "A limit is too low for the load, or a client misbehaves.";
    QueriesInFlight = Gauge "dotgate_queries_in_flight" []
        "Queries that wait for an answer.",
        "Grows when upstreams are slow; at DOTGATE_QUERY_IN_FLIGHT_MAX per worker queries are shed.";
    QuestionsInFlight = Gauge "dotgate_questions_in_flight" []
        "Questions that wait for an answer; several queries may ask the same.",
        "Far fewer than queries in flight: many clients ask the same.";
    OldestQuery = Gauge "dotgate_oldest_query_age_seconds" []
        "How long the oldest unanswered query has waited; 0 if none waits.",
        "Near the query deadline: some queries find no upstream.";
    Streams = Gauge "dotgate_streams_open" []
        "Clients' TCP connections that are open.",
        "Near DOTGATE_TCP_CONNECTIONS_MAX: clients are turned away soon.";
    StreamsClosed = Counter "dotgate_streams_closed" [STREAM_END]
        "Clients' TCP connections that dotgate closed, by reason.",
        "unread, half_message, framing and malformed: clients that misbehave; displaced and memory: more than there is room for.";
    ClientMemory = Gauge "dotgate_client_memory_bytes" []
        "Memory that clients take: TCP connections with what waits in dotgate and in the kernel, and queries in flight.",
        "From half of dotgate_client_memory_max_bytes on no client gets more than its share; at the limit connections are closed.";
    ClientMemoryMax = Gauge "dotgate_client_memory_max_bytes" []
        "Memory that clients may take.",
        "DOTGATE_SERVER_CLIENT_MEMORY, or what auto made of the cgroup's limit.";
}

families! {
    /// Metrics about one upstream, added up over the workers.
    OfUpstream via Upstreams:
    StageDuration = Histogram "dotgate_stage_duration_seconds" [STAGE, UPSTREAM]
        "Time of each stage that succeeded on the way to an upstream's answer.",
        "Where time goes: total far above upstream means connections, not the resolver, are slow.";
    Attempts = Counter "dotgate_upstream_attempts" [UPSTREAM, ATTEMPT]
        "Questions sent to an upstream.",
        "What queries cost the upstreams: kinds other than first are extra traffic.";
    Races = Counter "dotgate_upstream_races" [UPSTREAM, WINNER]
        "Answers delivered while another attempt for the same question was running, by the upstream that answered.",
        "Whether asking beside pays: beside wins where the first attempt was stuck.";
    UpstreamResponses = Counter "dotgate_upstream_responses" [UPSTREAM, RCODE]
        "Right responses of an upstream.",
        "An upstream that answers SERVFAIL or REFUSED more than the others do.";
    UpstreamErrors = Counter "dotgate_upstream_errors" [UPSTREAM, REASON]
        "What went wrong with an upstream: openings, sessions, messages.",
        "Which upstream fails, and how; certificates and pins never pass by themselves.";
    UpstreamUp = Gauge "dotgate_upstream_up" [UPSTREAM]
        "1 unless an upstream is down.",
        "0 for all upstreams: nothing but stale answers can be given.";
    UpstreamState = Gauge "dotgate_upstream_state" [UPSTREAM, STATE]
        "1 for the state an upstream is in, 0 for the others.",
        "Suspect comes and goes with lost packets; down is shown after the causes that ARCHITECTURE.md lists.";
    RoundTrip = Gauge "dotgate_upstream_round_trip_seconds" [UPSTREAM]
        "Smoothed time from a question to its response; absent before the first.",
        "How far away an upstream is now.";
    CertificateEnds = Gauge "dotgate_upstream_certificate_not_after_timestamp_seconds" [UPSTREAM]
        "Last second of an upstream's certificate, since 1970; absent before the first full handshake.",
        "Days left: (dotgate_upstream_certificate_not_after_timestamp_seconds - time()) / 86400.";
    UpstreamInFlight = Gauge "dotgate_upstream_questions_in_flight" [UPSTREAM]
        "Questions an upstream has not answered yet.",
        "Grows where an upstream stalls.";
    SessionsOpen = Gauge "dotgate_sessions_open" [UPSTREAM]
        "Sessions that are open, all workers together.",
        "Normally one per worker that has queries; more under load or while one is suspect.";
    SessionsOpened = Counter "dotgate_sessions_opened" [UPSTREAM]
        "Sessions that became open.",
        "Many per minute: the upstream closes early, or the network breaks connections.";
    SessionReuses = Counter "dotgate_session_reuses" [UPSTREAM]
        "Questions sent on a session that had carried one before.",
        "Close to the number of attempts: handshakes are rare, as they should be.";
    SessionsClosed = Counter "dotgate_sessions_closed" [UPSTREAM, ENDING]
        "Open sessions that ended, by reason.",
        "Any reason but idle, idle_peer and stopped cost queries another attempt.";
    HandshakeDuration = Histogram "dotgate_handshake_duration_seconds" [UPSTREAM, HANDSHAKE]
        "Time of TLS handshakes that succeeded, full and resumed.",
        "Full handshakes cost an upstream and us the most; many of them are a storm.";
}

families! {
    /// Metrics about the cache, which all workers share.
    OfCache via Cache:
    Entries = Gauge "dotgate_cache_entries" []
        "Answers and failures that are kept.",
        "How many names clients ask for again and again.";
    Bytes = Gauge "dotgate_cache_bytes" []
        "Memory that entries take, with their share of the tables.",
        "At dotgate_cache_max_bytes entries are evicted before their time.";
    BytesMax = Gauge "dotgate_cache_max_bytes" []
        "Memory that the cache may take.",
        "DOTGATE_CACHE_SIZE.";
    Evictions = Counter "dotgate_cache_evictions" []
        "Entries that had to go while they could still be served.",
        "Many, and few queries answered from the cache: a larger DOTGATE_CACHE_SIZE would save questions.";
}

families! {
    /// Metrics about the program and its process.
    OfProcess via Process:
    UdpDrops = Counter "dotgate_udp_receive_drops" []
        "Datagrams the kernel dropped because a receive buffer of ours was full.",
        "Queries lost before dotgate saw them: raise net.core.rmem_max and DOTGATE_SERVER_UDP_RECEIVE_BUFFER, or the number of workers.";
    LogDrops = Counter "dotgate_log_lines_dropped" []
        "Lines of the log that were dropped because standard error did not take them.",
        "What reads the log is stuck or too slow; nothing waits for it.";
    ConfigReloads = Counter "dotgate_config_reloads" [RELOAD]
        "Times the configuration was read anew while serving, by what came of it.",
        "A change of the file that has not become one here: the log says what is wrong with it.";
    ConfigReloadOk = Gauge "dotgate_config_last_reload_success" []
        "1 if the configuration that was read last is in force, else 0.",
        "0: the file is not what is served; a restart would fail. The log and /api/v1/status say why.";
    ConfigReloadTime = Gauge "dotgate_config_last_reload_timestamp_seconds" []
        "When the configuration was last read, since 1970.",
        "Whether a change has arrived; that of the start counts.";
    AddressesAwaited = Gauge "dotgate_listen_addresses_awaited" []
        "Addresses of HOST that this host does not have now.",
        "Above 0: clients that ask there get no response; the log and /api/v1/status name them.";
    Workers = Gauge "dotgate_workers" []
        "Worker threads.",
        "What limits per worker are to be multiplied by.";
    Build = Info "dotgate_build_info" [text("version"), text("commit"), text("rustc")]
        "What this program was built from.",
        "Which version runs where; commit is empty unless the build was told.";
    Cpu = Counter "process_cpu_seconds" []
        "Processor time of all threads, for us and in the kernel.",
        "Close to the number of workers per second: no more queries can be served.";
    Resident = Gauge "process_resident_memory_bytes" []
        "Memory that is not swapped out.",
        "Bounded by the settings; growth without end is a bug.";
    Virtual = Gauge "process_virtual_memory_bytes" []
        "Address space.",
        "Of little meaning by itself.";
    OpenFds = Gauge "process_open_fds" []
        "Open file descriptors.",
        "Near process_max_fds: connections wait.";
    MaxFds = Gauge "process_max_fds" []
        "File descriptors that may be open.",
        "Raised to the hard limit at the start.";
    Threads = Gauge "process_threads" []
        "Threads.",
        "The workers, the control thread and the log's.";
    Started = Gauge "process_start_time_seconds" []
        "When the process started, since 1970.",
        "Restarts.";
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
        | Count::AnsweredKept
        | Count::Failed => return None, // Queries
        Count::Attempts | Count::AttemptsBeside | Count::AttemptsAgain | Count::Probes => {
            return None; // Attempts
        }
        Count::SessionsLost | Count::SessionsEndedIdle => return None, // SessionsClosed
        Count::SessionsFailed | Count::ResponsesInvalid => return None, // UpstreamErrors
        Count::StreamsRefused | Count::DescriptorsExhausted => return None, // LimitsHit
        // HandshakeDuration, UpstreamResponses
        Count::SessionsOpened | Count::HandshakesResumed | Count::Responses => return None,
        Count::Datagrams => "Load over UDP before anything is looked at.",
        Count::StreamsAccepted => "Load over TCP; responses cut for UDP bring clients here.",
        Count::StreamsCutOff => {
            "Clients that stall, do not read, or speak something else than DNS: dotgate_streams_closed_total says why."
        }
        Count::QueriesForwarded => {
            "With dotgate_upstream_attempts_total: how many questions a forwarded query costs."
        }
        Count::QueriesMerged => "Queries that cost no upstream anything.",
        Count::CacheMisses => {
            "Against dotgate_queries_total{outcome=\"cached\"}: how much the cache saves."
        }
        Count::Prefetches => "What keeping popular answers fresh costs the upstreams.",
        Count::QueriesFollowing => "Questions that another worker was asking already.",
        Count::LettersDropped => "A worker too busy to hear of the others' answers.",
        Count::SessionsStarted => {
            "Far more than dotgate_sessions_opened_total: an upstream cannot be reached."
        }
        Count::HandshakesFellBack => "A middlebox may drop large ClientHellos.",
        Count::SessionsUnresponsive => "Upstreams or the path to them freeze now and then.",
        Count::SessionsIsolating => {
            "Sessions fail with queries in flight; each query is asked again apart from the others."
        }
        Count::QuestionsQuarantined => {
            "Somebody asks what makes an upstream end the connection; nobody else is affected."
        }
        Count::ResponsesLate => "An upstream slower than clients have patience.",
        Count::ResponsesStray => {
            "An upstream that adds what was not asked for; nothing is made of it."
        }
        Count::ClientsGone => "TCP clients that leave before their answer.",
        Count::Panics => "Bugs. Please report them with the log.",
        Count::DatagramsUnsent => {
            "Responses lost here: full socket buffers, or clients without a route."
        }
        Count::DatagramsShortened => {
            "Clients behind links that carry less than `DOTGATE_SERVER_UDP_RESPONSE_MAX`; they ask again over TCP."
        }
        Count::EventsDropped => "The log is slower than what there is to log.",
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
