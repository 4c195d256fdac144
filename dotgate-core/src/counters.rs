//! What happened, counted: one block per engine, written by its worker alone, read by anyone.
//!
//! An increment is a load and a store of the owner, not a locked addition; readers see each counter whole.

use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Queries taken to be answered by an upstream.
    QueriesForwarded = "queries_forwarded",
    /// Of these, those that joined a question already in flight.
    QueriesMerged = "queries_merged",
    /// Questions sent on a session, first attempts and further ones.
    Attempts = "attempts",
    /// Of these, attempts made beside one that was still running.
    AttemptsBeside = "attempts_beside",
    /// Of these, attempts made after another one had failed.
    AttemptsAgain = "attempts_again",
    /// Questions asked again of an upstream that is not well, for no client.
    Probes = "probes",
    /// Sessions whose opening was begun.
    SessionsStarted = "sessions_started",
    /// Sessions that became open.
    SessionsOpened = "sessions_opened",
    /// Of these, sessions that resumed an earlier one.
    HandshakesResumed = "handshakes_resumed",
    /// Sessions that could not be opened.
    SessionsFailed = "sessions_failed",
    /// Open sessions that ended with questions unanswered.
    SessionsLost = "sessions_lost",
    /// Open sessions that ended idle.
    SessionsEndedIdle = "sessions_ended_idle",
    /// Sessions that became suspect.
    SessionsSuspect = "sessions_suspect",
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
    /// Clients answered with a failure.
    Failed = "failed",
    /// Responses that no longer had a client.
    ClientsGone = "clients_gone",
    /// Panics of a worker that were caught.
    Panics = "panics",
    /// Datagrams the system did not take.
    DatagramsUnsent = "datagrams_unsent",
    /// Times no file descriptor was left.
    DescriptorsExhausted = "descriptors_exhausted",
    /// Events that could not be handed to the log.
    EventsDropped = "events_dropped",
}

/// One engine's counters.
#[repr(align(128))]
#[derive(Debug)]
pub struct Counters([AtomicU64; Count::ALL.len()]);

impl Counters {
    /// All counters at zero.
    pub fn new() -> Counters {
        Counters(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Adds one; only the worker that owns the block may do so.
    pub fn add(&self, count: Count) {
        self.add_many(count, 1);
    }

    /// Adds `times`; only the worker that owns the block may do so.
    pub fn add_many(&self, count: Count, times: u64) {
        if let Some(cell) = self.0.get(count as usize) {
            cell.store(
                cell.load(Ordering::Relaxed).wrapping_add(times),
                Ordering::Relaxed,
            );
        }
    }

    /// The present value.
    pub fn get(&self, count: Count) -> u64 {
        self.0
            .get(count as usize)
            .map_or(0, |cell| cell.load(Ordering::Relaxed))
    }
}

impl Default for Counters {
    fn default() -> Counters {
        Counters::new()
    }
}
