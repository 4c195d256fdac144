use std::time::Duration;

/// Streams of one connection that a client may have open at once. Each carries one query.
pub const STREAMS: u32 = 100;

/// Queries of one connection that the engine may have, those included that were cancelled.
pub const QUERIES: usize = 128;

/// Bytes of queries of one connection, complete or not, beyond which nothing more is read. A client that sends pieces of so many
/// at once that none gets complete is cut off after [`QUERY_WAIT`].
pub const QUEUED_BYTES: usize = 128 * 1024;

/// Bytes that a client may send on one stream before they are read: the longest query with its length.
pub const STREAM_WINDOW_BYTES: u32 = 65_537;

/// The same for all streams of a connection.
pub const WINDOW_BYTES: u32 = 128 * 1024;

/// Bytes of responses of one connection that QUIC takes before the client has acknowledged some.
pub const SEND_WINDOW_BYTES: u64 = 64 * 1024;

/// Bytes of a handshake that may come out of order.
pub const CRYPTO_BYTES: usize = 32 * 1024;

/// Queries that a client may cancel beyond those that it let finish.
pub const CANCELLED: usize = 100;

/// A query must be complete this long after its stream was opened.
pub const QUERY_WAIT: Duration = Duration::from_secs(10);

/// Connection attempts of one socket that wait for the driver.
pub const ATTEMPTS: usize = 256;

/// Of these, attempts of clients whose addresses are not validated. Further ones get a Retry.
pub const ATTEMPTS_UNVALIDATED: usize = 32;

/// Bytes that a client may send in further packets before its attempt is accepted.
pub const ATTEMPT_BYTES: u64 = 4 * 1024;

/// Datagrams of handshakes in progress at one socket that wait for the driver.
pub const HANDSHAKE_DATAGRAMS: usize = 512;

/// Of these, datagrams of one handshake, so that one client leaves room for others. A handshake takes a handful.
pub const HANDSHAKE_DATAGRAMS_OF_ONE: usize = 32;

/// What a connection costs without any query, in bytes.
pub const CONNECTION_BYTES: usize = 16 * 1024;

/// After [`crate::QuicServer::shut_down`], a client has this long to acknowledge its last responses.
pub const LAST_WAIT: Duration = Duration::from_secs(1);

/// The time between two stateless resets, at least.
pub const RESET_INTERVAL: Duration = Duration::from_millis(5);
