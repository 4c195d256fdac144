//! What happened, counted: one block per engine, written by its worker alone, read by anyone.
//!
//! An increment is a load and a store of the owner, not a locked addition; readers see each counter whole and add
//! up those of all workers. Plain counts are a [`Count`], of which some are sums over labels; what has labels is in [`ClientCounters`],
//! [`UpstreamCounters`] and, of all workers together, [`GroupCounters`]. All labels are closed sets, so the block has one size.

mod cells;
mod clients;
mod groups;
pub mod labels;
mod upstreams;

pub use self::cells::{BUCKETS_MICROS, Distribution};
pub use self::clients::{ClientCounters, WAITED};
pub use self::groups::GroupCounters;
pub use self::upstreams::UpstreamCounters;

use std::time::Duration;

use self::cells::Cells;
use self::labels::Outcome;
use crate::keys::UpstreamId;
use crate::limits;
use crate::moment::Moment;

macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+) => {
        /// Something that is counted.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Count { $($(#[doc = $doc])+ $name,)+ }

        impl Count {
            /// All counts, in the order of the path of a query.
            pub const ALL: &'static [Count] = &[$(Count::$name,)+];

            /// The name for logs and metrics.
            pub const fn label(self) -> &'static str {
                match self { $(Count::$name => $label,)+ }
            }

            /// What is counted, in a sentence.
            pub fn about(self) -> &'static str {
                match self { $(Count::$name => concat!($($doc),+).trim_start(),)+ }
            }
        }
    };
}

counts! {
    /// Datagrams received.
    Datagrams = "datagrams",
    /// Client TCP connections accepted.
    StreamsAccepted = "streams_accepted",
    /// Client TCP connections rejected at a limit.
    StreamsRefused = "streams_refused",
    /// Client TCP connections closed because of a framing error or an incomplete message.
    StreamsCutOff = "streams_cut_off",
    /// Client messages that get no response: too short, or responses themselves.
    QueriesIgnored = "queries_ignored",
    /// Queries rejected with FORMERR, NOTIMP or BADVERS.
    QueriesMalformed = "queries_malformed",
    /// Queries refused by policy: their type, class, signature or RD.
    QueriesRefused = "queries_refused",
    /// Queries refused because the client is not in the access list.
    ClientsRefused = "clients_refused",
    /// Queries shed because too many were in flight.
    QueriesShed = "queries_shed",
    /// Queries answered from a locally served zone.
    QueriesLocal = "queries_local",
    /// Queries that the cache could not answer.
    CacheMisses = "cache_misses",
    /// Refreshes of cached responses before they expire.
    Prefetches = "prefetches",
    /// Queries forwarded to an upstream.
    QueriesForwarded = "queries_forwarded",
    /// Queries that joined a question already in flight in the same worker.
    QueriesMerged = "queries_merged",
    /// Retransmitted queries: the same query, with the same ID, address and port, was already waiting.
    QueriesRepeated = "queries_repeated",
    /// Questions already in flight in another worker.
    QueriesFollowing = "queries_following",
    /// Queries sent to upstreams, first and further attempts.
    Attempts = "attempts",
    /// Second attempts made while the first was still running.
    AttemptsHedge = "attempts_hedge",
    /// Attempts made after another one had failed.
    AttemptsRetry = "attempts_retry",
    /// Probes: queries sent to check whether an upstream or a session still responds.
    Probes = "probes",
    /// Connection attempts to upstreams.
    SessionsStarted = "sessions_started",
    /// Sessions opened: connection and handshake succeeded.
    SessionsOpened = "sessions_opened",
    /// Sessions opened with TLS session resumption.
    HandshakesResumed = "handshakes_resumed",
    /// Handshakes retried with a classical key exchange after a hybrid one failed or got no response.
    HandshakesFellBack = "handshakes_fell_back",
    /// Sessions that could not be opened.
    SessionsFailed = "sessions_failed",
    /// Open sessions that ended with queries unanswered.
    SessionsLost = "sessions_lost",
    /// Open sessions that ended while idle.
    SessionsEndedIdle = "sessions_ended_idle",
    /// Sessions that became unresponsive.
    SessionsUnresponsive = "sessions_unresponsive",
    /// Isolation sessions started for queries whose session had failed.
    SessionsIsolating = "sessions_isolating",
    /// Questions quarantined because they make upstreams close the session.
    QuestionsQuarantined = "questions_quarantined",
    /// Upstream responses to queries in flight.
    Responses = "responses",
    /// Valid upstream responses that arrived after the query had timed out or been answered.
    ResponsesLate = "responses_late",
    /// Invalid upstream messages: unknown ID, wrong question, or malformed.
    ResponsesInvalid = "responses_invalid",
    /// Upstream responses with answer records outside the question's CNAME chain.
    ResponsesOffChain = "responses_off_chain",
    /// Queries answered with an upstream's response.
    Answered = "answered",
    /// Queries that waited for an upstream and were answered from the cache.
    AnsweredFromCache = "answered_from_cache",
    /// Queries answered with a locally generated error.
    Failed = "failed",
    /// Responses discarded because the client had disconnected.
    ClientsGone = "clients_gone",
    /// Worker panics that were caught.
    Panics = "panics",
    /// UDP responses that could not be sent.
    DatagramsUnsent = "datagrams_unsent",
    /// UDP responses truncated because the path MTU was too small.
    DatagramsTruncated = "datagrams_truncated",
    /// Times the process ran out of file descriptors.
    DescriptorsExhausted = "descriptors_exhausted",
    /// Inter-worker messages dropped because the queue was full.
    MailboxMessagesDropped = "mailbox_messages_dropped",
    /// Events dropped because the log queue was full.
    EventsDropped = "events_dropped",
    /// Records of queries dropped because the query log and the other views of queries could not keep up.
    QueryRecordsDropped = "query_records_dropped",
    /// Copies of messages dropped because the dnstap reader could not keep up.
    DnstapMessagesDropped = "dnstap_messages_dropped",
}

/// The counts that are those of one outcome of queries: they are counted there, by labels.
const OF_OUTCOMES: [(Count, Outcome); 8] = [
    (Count::QueriesIgnored, Outcome::Ignored),
    (Count::QueriesMalformed, Outcome::Malformed),
    (Count::QueriesRefused, Outcome::Refused),
    (Count::QueriesShed, Outcome::Shed),
    (Count::QueriesLocal, Outcome::Local),
    (Count::QueriesRepeated, Outcome::Repeated),
    (Count::Answered, Outcome::Answered),
    (Count::Failed, Outcome::Failed),
];

impl Count {
    fn outcome(self) -> Option<Outcome> {
        let mut pairs = OF_OUTCOMES.into_iter();
        pairs.find_map(|(count, outcome)| (count == self).then_some(outcome))
    }
}

/// One engine's counters.
#[repr(align(128))]
#[derive(Debug)]
pub struct Counters {
    counts: Cells<{ Count::ALL.len() }>,
    clients: ClientCounters,
    upstreams: [UpstreamCounters; limits::UPSTREAM_IDS],
    gauges: Cells<{ Gauge::ALL.len() }>,
}

/// Something that is as it is at the end of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gauge {
    /// Queries that wait for an answer.
    QueriesInFlight,
    /// Questions that wait for an answer: several queries may ask the same.
    QuestionsInFlight,
    /// Client connections.
    Streams,
    /// When the oldest unanswered query came, in nanoseconds; 0 for none.
    OldestQuery,
}

impl Gauge {
    /// All of them.
    pub const ALL: [Gauge; 4] = [
        Gauge::QueriesInFlight,
        Gauge::QuestionsInFlight,
        Gauge::Streams,
        Gauge::OldestQuery,
    ];
}

impl Counters {
    /// All counters at zero.
    pub fn new() -> Counters {
        Counters {
            counts: Cells::new(),
            clients: ClientCounters::new(),
            upstreams: std::array::from_fn(|_| UpstreamCounters::new()),
            gauges: Cells::new(),
        }
    }

    /// Adds one; only the worker that owns the block may do so.
    pub fn add(&self, count: Count) {
        self.add_many(count, 1);
    }

    /// Adds `times`; only the worker that owns the block may do so.
    pub fn add_many(&self, count: Count, times: u64) {
        debug_assert!(count.outcome().is_none(), "{count:?} is counted by labels");
        self.counts.add(count as usize, times);
    }

    /// The present value.
    pub fn get(&self, count: Count) -> u64 {
        match count.outcome() {
            Some(outcome) => self.clients.outcome(outcome),
            None => self.counts.at(count as usize),
        }
    }

    /// What is counted of clients.
    pub fn clients(&self) -> &ClientCounters {
        &self.clients
    }

    /// What is counted of an upstream, by its ID. None beyond [`limits::UPSTREAM_IDS`].
    pub fn upstream(&self, upstream: UpstreamId) -> Option<&UpstreamCounters> {
        self.upstreams.get(upstream.index())
    }

    /// The value at the end of the last turn.
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.gauges.at(gauge as usize)
    }

    /// How long the oldest unanswered query has waited at `now`; zero if none waits.
    pub fn oldest_query_age(&self, now: Moment) -> Duration {
        match self.gauge(Gauge::OldestQuery) {
            0 => Duration::ZERO,
            since => now.since(Moment::from_nanos(since)),
        }
    }

    pub(crate) fn set(&self, gauge: Gauge, value: u64) {
        self.gauges.set(gauge as usize, value);
    }
}

impl Default for Counters {
    fn default() -> Counters {
        Counters::new()
    }
}
