//! Every bound and wait of the core that an operator does not set, with its unit and reason.
//!
//! What happens at a bound is decided where it is used, counted in [`crate::Count`], and tested.

use std::time::Duration;

/// Upstreams of one group at most.
pub const GROUP_UPSTREAMS: usize = 16;

/// Groups of upstreams at most, that of the default route included.
pub const GROUPS: usize = 64;

/// Upstreams of all groups at most.
pub const UPSTREAMS: usize = 64;

/// Slots of upstreams: room for as many as are configured and as many whose last sessions end. Sets of upstreams
/// are bit masks of this width.
pub const UPSTREAM_IDS: usize = 2 * UPSTREAMS;

/// The longest portal window. An operator can open another one after it.
pub const PORTAL_MAX: Duration = Duration::from_secs(30 * 60);

/// The longest time that routes of programs hold without being set again.
pub const ROUTES_LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Attempts per query, fall-backs included. One, one after its session died, one hedge.
pub const ATTEMPTS: u8 = 3;

/// Sessions per upstream and worker: a full one, a suspect one and their replacements.
pub const SESSIONS_PER_UPSTREAM: usize = 4;

/// Queries in flight on a session beyond which another one is opened.
pub const SESSION_BUSY: u32 = 1_000;

/// Message IDs in use on a session beyond which it takes no query: a free random ID is then
/// still found within two draws on average.
pub const SESSION_QUERIES: u32 = 32_768;

/// Retired message IDs after which a session is replaced.
pub const SESSION_RETIRED_IDS: u32 = 4_096;

/// Bytes of frames waiting for a peer that does not read, beyond which a session takes no query.
pub const SESSION_UNSENT_BYTES: usize = 256 * 1024;

/// Invalid messages on a session without a valid response between that close it.
pub const SESSION_INVALID_MESSAGES: u32 = 100;

/// A client's connection that has reached its number of queries or its age still takes queries for this long, if it is
/// never without one.
pub const STREAM_LEAVING: Duration = Duration::from_secs(2);

/// A probe is sent on a session when no response arrived for this long after the second unanswered query,
/// at least.
pub const NO_RESPONSE: Duration = Duration::from_millis(150);

/// The same for a query that is alone on its session: one slow name is no sign of a dead session.
pub const NO_RESPONSE_ALONE: Duration = Duration::from_millis(400);

/// A session is unresponsive when the probe is not answered within this time, at least.
pub const PROBE_WAIT: Duration = Duration::from_millis(125);

/// These waits in smoothed round trips, where these are longer.
pub const WAIT_ROUND_TRIPS: u32 = 4;

/// A session that stays unresponsive this long is closed.
pub const UNRESPONSIVE_FOR: Duration = Duration::from_millis(1_500);

/// Queries go to another upstream when a handshake takes longer than this.
pub const OPENING_SLOW_AFTER: Duration = Duration::from_millis(250);

/// Parts into which the suspects of a failed session are split: of 1,000 a harmful one is alone after four rounds.
pub const ISOLATION_SPLIT: usize = 8;

/// Isolation sessions of a worker at once, over all upstreams: two failed groups split, side by side.
pub const ISOLATION_SESSIONS: usize = 16;

/// Attempts for suspects that may be made in one go; every forwarded query earns [`ISOLATION_EARNED`] more.
pub const ISOLATION_CREDIT: u32 = 10_000;

/// See [`ISOLATION_CREDIT`]. On average an incident costs fewer than two further attempts per query.
pub const ISOLATION_EARNED: u32 = 2;

/// Sessions on which a question was alone when the upstream ended them, after which it counts as harmful.
pub const HARMFUL_STRIKES: u8 = 2;

/// A harmful question is asked in quarantine for this long after it last proved harmful.
pub const QUARANTINE_FOR: Duration = Duration::from_secs(60);

/// A question in quarantine is asked at most this often, all workers together.
pub const QUARANTINE_EVERY: Duration = Duration::from_secs(1);

/// Questions in quarantine at most; beyond that, the one that expires first is removed.
pub const QUARANTINED: usize = 1_024;

/// Sessions in a row that an upstream ended without a single response, after which it is down. More than
/// [`HARMFUL_STRIKES`] questions at once make, so that these alone do not take it down.
pub const BARREN_SESSIONS: u32 = 5;

/// Sessions to one upstream and worker that all clients share: also where it closes each after few answers, and with
/// those that take no more queries and only wait for their last responses.
pub const SESSIONS_SHARED: usize = 16;

/// Sessions to one upstream and worker in all, isolation included.
pub const SESSIONS_AT_MOST: usize = SESSIONS_SHARED + ISOLATION_SESSIONS;

/// The most answers per session that are learned as an upstream's bound.
pub const ANSWERS_MAX: u32 = 10_000;

/// A learned limit of responses per session expires after this time.
pub const ANSWERS_MAX_FOR: Duration = Duration::from_secs(300);

/// A query unanswered this long on a session that answers others is hedged.
pub const HEDGE_AFTER: Duration = Duration::from_millis(1_500);

/// With hedging, no query is late earlier than this: below, what delays a response is chance.
pub const LATE_AT_LEAST: Duration = Duration::from_millis(5);

/// A response that takes so many times as long as usual is slow.
pub const SLOW_TIMES: u32 = 4;

/// Responses between two computations of how late is late.
pub const LATENESS_EVERY: u16 = 16;

/// Responses after which those before them count half.
pub const LATENESS_RESPONSES: u16 = 1_000;

/// Copies of late queries that may be saved up, in each worker.
pub const HEDGE_CREDIT: u32 = 10;

/// First attempts to one upstream that are watched for being late, in each worker: about those of a second.
pub const HEDGES_WATCHED: usize = 16_384;

/// Late queries that wait for a session to be copied on, in each worker: more than [`HEDGE_CREDIT`] pays for.
pub const HEDGES_WAITING: usize = 16;

/// Domains that are known to be slow at every upstream, in each worker.
pub const SLOW_DOMAINS: usize = 256;

/// For how long names of such a domain get no copies.
pub const SLOW_DOMAIN_FOR: Duration = Duration::from_secs(60);

/// A query over UDP that is unanswered this long is sent once more, from another port; at least, and no later than
/// [`HEDGE_AFTER`].
pub const DATAGRAM_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Queries over UDP in flight to one upstream: each has a socket of its own.
pub const DATAGRAM_QUERIES: u32 = 4_096;

/// Datagrams on the socket of one query that do not answer it, after which it is asked over TCP: somebody guesses.
pub const DATAGRAM_INVALID: u32 = 10;

/// An upstream that answers no probe over UDP for this long, with three sent, cannot be reached.
pub const DATAGRAM_OPENING_WAIT: Duration = Duration::from_secs(1);

/// A loop is reported at most once in this time, by each worker.
pub const LOOP_REPORT_EVERY: Duration = Duration::from_secs(60);

/// A handshake older than this gets a second one.
pub const HANDSHAKE_HEDGE_AFTER: Duration = Duration::from_millis(750);

/// A handshake older than this is given up: slow paths work, dead ones end.
pub const HANDSHAKE_WAIT: Duration = Duration::from_secs(5);

/// An idle session is closed after this long until its peer's own limit is known.
/// Public resolvers were seen to close after 8 to 11 s.
pub const SESSION_IDLE: Duration = Duration::from_secs(8);

/// The shortest idle timeout that is learned from a peer, so that a restart of the peer has no lasting effect.
pub const SESSION_IDLE_SHORTEST: Duration = Duration::from_secs(1);

/// The longest idle timeout taken from a peer's keepalive option (RFC 7828).
pub const SESSION_IDLE_LONGEST: Duration = Duration::from_secs(60);

/// Up to one of so many parts of a session's maximum age is taken off at random, so that sessions do not end together.
pub const SESSION_AGE_SPREAD: u32 = 8;

/// If a session that is too old could not be replaced, that is tried again after this time.
pub const REPLACE_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Errors in a row to questions that another upstream then answered, which take an upstream down. Those below one
/// registrable domain count once.
pub const AVOIDABLE_ERRORS: usize = 10;

/// An upstream that answered no client for this long is charged with questions that another one answered.
pub const NO_ANSWER_FOR: Duration = Duration::from_secs(4);

/// Pause between two client queries that an upstream gets as trials while it is down for its errors.
pub const TRIAL_EVERY: Duration = Duration::from_secs(1);

/// Pause between two tries of an upstream that is not healthy, all workers together.
pub const TRY_EVERY: Duration = Duration::from_millis(250);

/// The same while its host refuses connections, until [`REFUSAL_FRESH`]: its DNS server is probably being restarted, and a try costs
/// each side one packet.
pub const TRY_EVERY_REFUSED: Duration = Duration::from_millis(50);

/// The same once the outage is older than [`OUTAGE_FRESH`]; up to a third is added at random. A query that
/// waits for [`OUTAGE_WAIT`] sees one of these tries, with 200 ms left for its handshake.
pub const TRY_EVERY_LATER: Duration = Duration::from_millis(600);

/// How often an engine whose queries wait checks whether another worker found an upstream healthy.
pub const RECOVERY_REVIEW: Duration = Duration::from_millis(50);

/// An outage this young may be a restart: queries wait for its end until their deadline.
pub const OUTAGE_FRESH: Duration = Duration::from_secs(10);

/// The same for an upstream whose host refuses connections: the host runs, and its DNS server is back within two seconds
/// or is not being restarted. One try and its handshake come on top. Long enough that such a restart loses no query.
pub const REFUSAL_FRESH: Duration = Duration::from_secs(3);

/// In an older outage, or one that waiting does not cure, a query waits this long for a session.
pub const OUTAGE_WAIT: Duration = Duration::from_secs(1);

/// An upstream is nearly as fast as the fastest one if it takes at most this part longer, and [`NEARLY_AS_FAST`].
pub const NEARLY_AS_FAST_PART: u32 = 4;

/// See [`NEARLY_AS_FAST_PART`]: below a millisecond, differences are chance.
pub const NEARLY_AS_FAST: Duration = Duration::from_millis(1);

/// Of one response that takes longer than so many usual ones, only as much counts.
pub const RESPONSE_TIME_OUTLIER: u64 = 8;

/// Response times so long ago count little.
pub const RESPONSE_TIME_FOR: Duration = Duration::from_secs(4);

/// One of so many questions at most is copied to an upstream whose response time was measured long ago.
pub const EXPLORE_EVERY: u32 = 64;

/// The same for an upstream whose response time is not known at all.
pub const EXPLORE_UNKNOWN_EVERY: u32 = 4;

/// Response times are measured again after this time.
pub const EXPLORE_AFTER: Duration = Duration::from_secs(1);

/// Upstreams that are not healthy are tried only while a query came within this time.
pub const TRAFFIC_WITHIN: Duration = Duration::from_secs(2);

/// How often a response is noted as evidence that an upstream answers.
pub const EVIDENCE_EVERY: Duration = Duration::from_millis(100);

/// Minimum time between two probes of an upstream on request.
pub const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Pause after the system had no file descriptor left, before one is asked for again.
pub const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(250);

/// An upstream that refused EDNS is asked without it for this long (RFC 6891 section 6.2.2).
pub const WITHOUT_EDNS_FOR: Duration = Duration::from_secs(300);

/// A hybrid key exchange that did not get through is not offered again for this long: networks change seldom, and each
/// try costs the clients of one moment up to [`HANDSHAKE_HEDGE_AFTER`].
pub const CLASSICAL_FOR: Duration = Duration::from_hours(24);

/// Waiters whose exchange used up its attempts get a new budget at most this often.
pub const RENEW_AFTER: Duration = Duration::from_millis(1_500);

/// Bytes waiting for a client that does not read, beyond which nothing more is read from it and further responses
/// wait as one shared copy of each answer.
pub const STREAM_UNSENT_BYTES: usize = 128 * 1024;

/// What a client's connection costs at least, in bytes: about 4 KiB in the kernel (socket, inode, file, poll entry)
/// and less than 1 KiB here.
pub const STREAM_BYTES: usize = 4 * 1024;

/// What TLS costs on top for a client's connection, in bytes, once the handshake is done: state, keys and buffers of
/// rustls.
pub const TLS_STREAM_BYTES: usize = 12 * 1024;

/// The TLS handshake of a client must be complete this long after the connection was accepted.
pub const STREAM_HANDSHAKE: Duration = Duration::from_secs(5);

/// TLS handshakes of clients in progress in one worker; the one that began first gives way to another one.
pub const STREAM_HANDSHAKES: usize = 256;

/// Of these, handshakes of one client address.
pub const STREAM_HANDSHAKES_PER_CLIENT: usize = STREAM_HANDSHAKES / 4;

/// TLS handshakes of clients in progress from which on new clients over QUIC must show first that their addresses are their own
/// (RFC 9000 section 8.1.2). Forged ones can take no more places than these.
pub const STREAM_HANDSHAKES_UNVALIDATED: usize = STREAM_HANDSHAKES / 4;

/// The same of one client address.
pub const STREAM_HANDSHAKES_UNVALIDATED_PER_CLIENT: usize = STREAM_HANDSHAKES_PER_CLIENT / 4;

/// The most that the kernel buffers of what a client has not acknowledged, in bytes as the kernel counts them: the
/// send buffer that the driver asks for.
pub const STREAM_KERNEL_BYTES: usize = 64 * 1024;

/// What a query in flight costs, in bytes: the waiter, its question with the attempts for it, and its part of queues
/// and tables, which may have twice the room they need.
pub const QUERY_BYTES: usize = 1_600;

/// One of so many parts of the memory for clients is what one client may have when half of it is in use.
pub const CLIENT_MEMORY_SHARES: usize = 8;

/// Sockets that a worker makes ahead for each plain upstream: as many queries are sent in one turn without making one.
pub const PLAIN_SOCKETS_AHEAD: usize = 16;

/// Failures and recoveries of an upstream that are recorded for operators, in about 16 KiB.
pub const INCIDENTS: usize = 200;

/// How often memory is looked at while more than half of it is in use.
pub const RELIEF_EVERY: Duration = Duration::from_millis(100);

/// The pause after memory was looked at, for which clients that reach the limit again wait.
pub const RELIEF_PAUSE: Duration = Duration::from_millis(50);

/// One of so many parts of the memory for clients is what they may cost beyond it before the pause is cut short.
pub const RELIEF_BEYOND: usize = 32;

/// A client that takes no byte of what waits for it this long is cut off.
pub const STREAM_STALLED: Duration = Duration::from_secs(10);

/// A client's message must be complete this long after its first byte.
pub const STREAM_MESSAGE_WAIT: Duration = Duration::from_secs(10);

/// A client's idle connection may be closed for a new one after this long.
pub const STREAM_SHED_IDLE: Duration = Duration::from_secs(1);

/// A client's connection on which it has read nothing for this long is closed if its address costs more memory than
/// its share and memory is scarce.
pub const STREAM_SHED_STALLED: Duration = Duration::from_secs(1);

/// Clients, those with most connections first, among whose connections one is looked for that gives way to a new one.
pub const STREAM_SHED_CLIENTS: usize = 64;

/// Frames of length zero or without a header after which a client's connection is closed.
pub const STREAM_EMPTY_FRAMES: u32 = 2;

/// Messages answered with FORMERR, NOTIMP or BADVERS after which a client's connection is closed: a client that probes
/// needs two or three.
pub const STREAM_REJECTED: u32 = 5;

/// Connections with malformed messages after which an address may open no more than [`PACED_STREAMS`] in
/// [`PACED_STREAMS_PER`]: so many that one broken program does not slow down others behind the same address.
pub const MALFORMED_STREAMS: u32 = 5;

/// Such connections count until there was none for this long.
pub const MALFORMED_FOR: Duration = Duration::from_secs(10);

/// Maximum number of such addresses.
pub const MALFORMED_CLIENTS: usize = 1_024;

/// Connections that an address with malformed messages may open in [`PACED_STREAMS_PER`].
pub const PACED_STREAMS: u32 = 5;

/// The time in which [`PACED_STREAMS`] may be opened.
pub const PACED_STREAMS_PER: Duration = Duration::from_secs(1);

/// Continuing events, such as queries rejected at a limit, are logged this often.
pub const LOG_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The TTL of stale answers, in seconds (RFC 8767 section 4).
pub const STALE_TTL: u32 = 30;

/// Maximum number of clients that wait for one question; more are rejected.
pub const WAITERS_PER_QUESTION: usize = 5_000;

/// A query that has waited this long may be shed for another one at the limit of queries in flight.
pub const GIVE_WAY_AFTER: Duration = Duration::from_millis(200);

/// A response over UDP to a query that waited longer is sent without records: a client of today asks again after two
/// seconds at most, and delaying responses to release them at once has no effect (DNSBomb, CVE-2024-33655).
pub const UDP_WAIT_MAX: Duration = Duration::from_millis(1_900);

/// Responses over UDP to queries that waited longer than this are paced.
pub const RELEASE_PACED_AFTER: Duration = Duration::from_millis(100);

/// Bytes of such responses that leave for one client address whole in one [`RELEASE_WINDOW`]; others have no records.
pub const RELEASE_BYTES: u32 = 12 * 1024;

/// The time in which [`RELEASE_BYTES`] may leave.
pub const RELEASE_WINDOW: Duration = Duration::from_millis(10);

/// Clients that wait for an exchange beyond which they are looked up by a table and no longer one by one.
pub const WAITERS_IN_LINE: usize = 8;

/// Questions that are asked for the cache alone, for no client, at once.
pub const REFRESHES: usize = 1_000;

/// Queries of clients that earn one prefetch: at most a tenth is asked beyond what clients ask.
pub const PREFETCH_COST: u32 = 10;

/// The most that is earned and not spent.
pub const PREFETCH_CREDIT: u32 = 1_000;

/// Maximum capacity of an empty reusable buffer, in bytes; a larger one is freed.
pub const BUFFER_IDLE_BYTES: usize = 16 * 1024;

/// Bytes of a cached answer, with its metadata such as the positions of its TTLs; a longer one is not cached.
pub const CACHE_ENTRY_BYTES: usize = 65_535;

/// How long the path MTU to a client is stored: as long as Linux stores one.
pub const PATH_LIMIT_FOR: Duration = Duration::from_mins(10);

/// Maximum number of such clients.
pub const PATH_LIMITS: usize = 1_024;

/// Bytes of an Extended DNS Error's text in a saved answer: one passed on, with the upstream's label before it,
/// is shorter.
pub const SAVED_EDE_BYTES: usize = 1_024;

/// Shards of the cache at most: with four workers, two want the same one seldom.
pub const CACHE_SHARDS: usize = 64;

/// A shard has this many bytes at least, so that the largest entry leaves room for others.
pub const CACHE_SHARD_BYTES: usize = 256 * 1024;

/// Buckets that are gone through under one lock, about 20 us, where all entries are looked at.
pub const CACHE_SCAN_BUCKETS: usize = 24;

/// Names of block and allow lists together: with names of 22 characters they take about 72 MB.
pub const LISTED_NAMES: usize = 2_000_000;

/// After a failed refresh the next one waits this long (RFC 8767 section 5: 30 s).
pub const FAILURE_RECHECK: Duration = Duration::from_secs(30);

/// Hits after which an entry is refreshed before it expires.
pub const PREFETCH_HITS: u32 = 2;

/// The shortest TTL of an entry that is refreshed before it expires.
pub const PREFETCH_TTL: Duration = Duration::from_secs(10);

/// It is refreshed in this last fraction of its TTL.
pub const PREFETCH_LAST_PART: u32 = 10;

/// The same entry is not refreshed again for this long.
pub const PREFETCH_AGAIN: Duration = Duration::from_secs(5);

/// Bytes of messages that one turn may copy, for dnstap and the like.
pub const TAPPED_BYTES: usize = 1 << 20;

/// Records of queries that one turn may make, for the query log and the like.
pub const RECORDS_PER_TURN: usize = 4_096;
