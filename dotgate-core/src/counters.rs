//! What happened, counted: one block per engine, written by its worker alone, read by anyone.
//!
//! An increment is a load and a store of the owner, not a locked addition; readers see each counter whole and add
//! up those of all workers. Plain counts are a [`Count`]; what has labels is in [`ClientCounters`] and
//! [`UpstreamCounters`]. All labels are closed sets, so the block has one size.

mod cells;
mod clients;
pub mod labels;
mod upstreams;

pub use self::cells::{BUCKETS_MICROS, Distribution};
pub use self::clients::{ClientCounters, WAITED};
pub use self::upstreams::UpstreamCounters;

use std::time::Duration;

use self::cells::Cells;
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
    /// Client connections accepted.
    StreamsAccepted = "streams_accepted",
    /// Client connections turned away at a limit.
    StreamsRefused = "streams_refused",
    /// Client connections closed for breaking the framing or idling half-way through a message.
    StreamsCutOff = "streams_cut_off",
    /// Messages of clients that are not worth a response: too short, or a response themselves.
    QueriesIgnored = "queries_ignored",
    /// Queries rejected with FORMERR, NOTIMP or BADVERS.
    QueriesMalformed = "queries_malformed",
    /// Queries refused by policy: their type, class, signature or RD.
    QueriesRefused = "queries_refused",
    /// Queries of clients outside the access list.
    ClientsRefused = "clients_refused",
    /// Queries turned away because too many were in flight.
    QueriesShed = "queries_shed",
    /// Queries answered from a locally served zone.
    QueriesLocal = "queries_local",
    /// Queries for which the cache had nothing.
    CacheMisses = "cache_misses",
    /// Questions asked again before their answers in the cache expire.
    Prefetches = "prefetches",
    /// Queries taken to be answered by an upstream.
    QueriesForwarded = "queries_forwarded",
    /// Queries that joined a question already in flight.
    QueriesMerged = "queries_merged",
    /// Queries that waited already, with the same ID from the same address and port, when they came again.
    QueriesRepeated = "queries_repeated",
    /// Questions that another worker is asking already.
    QueriesFollowing = "queries_following",
    /// Questions sent on a session, first attempts and further ones.
    Attempts = "attempts",
    /// Of these, attempts made beside one that was still running.
    AttemptsBeside = "attempts_beside",
    /// Of these, attempts made after another one had failed.
    AttemptsAgain = "attempts_again",
    /// Questions of our own, for no client: whether an upstream, or a session, still answers.
    Probes = "probes",
    /// Sessions whose opening was begun.
    SessionsStarted = "sessions_started",
    /// Sessions that became open.
    SessionsOpened = "sessions_opened",
    /// Of these, sessions that resumed an earlier one.
    HandshakesResumed = "handshakes_resumed",
    /// Handshakes tried again with a classical key exchange, because a hybrid one failed or got no response.
    HandshakesFellBack = "handshakes_fell_back",
    /// Sessions that could not be opened.
    SessionsFailed = "sessions_failed",
    /// Open sessions that ended with questions unanswered.
    SessionsLost = "sessions_lost",
    /// Open sessions that ended idle.
    SessionsEndedIdle = "sessions_ended_idle",
    /// Sessions that became unresponsive.
    SessionsUnresponsive = "sessions_unresponsive",
    /// Sessions begun for suspects: queries whose session had failed.
    SessionsIsolating = "sessions_isolating",
    /// Times a question was proved to make upstreams end the session.
    QuestionsQuarantined = "questions_quarantined",
    /// Responses that answered a question in flight.
    Responses = "responses",
    /// Right responses to questions that were given up or answered elsewhere before.
    ResponsesLate = "responses_late",
    /// Messages of upstreams that answer nothing we asked: unknown ID, other question, malformed.
    ResponsesInvalid = "responses_invalid",
    /// Responses with answer records outside the question's chain.
    ResponsesStray = "responses_stray",
    /// Clients answered with an upstream's response.
    Answered = "answered",
    /// Clients that waited for an upstream and were answered from the cache.
    AnsweredKept = "answered_kept",
    /// Clients answered with a failure.
    Failed = "failed",
    /// Responses that no longer had a client.
    ClientsGone = "clients_gone",
    /// Panics of a worker that were caught.
    Panics = "panics",
    /// Datagrams the system did not take.
    DatagramsUnsent = "datagrams_unsent",
    /// Responses by UDP that the system refused and that were made shorter.
    DatagramsShortened = "datagrams_shortened",
    /// Times no file descriptor was left.
    DescriptorsExhausted = "descriptors_exhausted",
    /// Letters between workers that found the mailbox full.
    LettersDropped = "letters_dropped",
    /// Events that could not be handed to the log.
    EventsDropped = "events_dropped",
}

/// One engine's counters.
#[repr(align(128))]
#[derive(Debug)]
pub struct Counters {
    counts: Cells<{ Count::ALL.len() }>,
    clients: ClientCounters,
    upstreams: [UpstreamCounters; limits::UPSTREAM_SLOTS],
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
        self.counts.add(count as usize, times);
    }

    /// The present value.
    pub fn get(&self, count: Count) -> u64 {
        self.counts.at(count as usize)
    }

    /// What is counted of clients.
    pub fn clients(&self) -> &ClientCounters {
        &self.clients
    }

    /// What is counted of an upstream, by its slot. None beyond [`limits::UPSTREAM_SLOTS`].
    pub fn upstream(&self, upstream: usize) -> Option<&UpstreamCounters> {
        self.upstreams.get(upstream)
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
