/// Requests of one HTTP/2 connection that may be open at once.
pub const STREAMS: u32 = 100;

/// Queries of one connection that the engine may have, those included whose requests were cancelled.
pub const QUERIES: usize = 128;

/// Bytes of queries of one connection that wait for the engine.
pub const QUEUED_BYTES: usize = 128 * 1024;

/// Requests that a client may cancel beyond those that it let finish.
pub const CANCELLED: usize = 100;

/// Bytes of the header fields of one request; a DNS message in a URL is in them.
pub const HEADER_BYTES: usize = 16 * 1024;

/// Header fields of one request over HTTP/1.1.
pub const HEADER_FIELDS: usize = 64;

/// Bytes of a DNS message.
pub const MESSAGE_BYTES: usize = 65_535;

/// Bytes of request bodies that a client may send on one HTTP/2 connection before they are read.
pub const WINDOW_BYTES: u32 = 128 * 1024;

/// Bytes of HTTP that may wait to be sent before no more is made.
pub const OUTPUT_BYTES: usize = 64 * 1024;

/// Bytes that a client may send without a query among them, in addition to as many as the responses have. The largest request
/// has less.
pub const OVERHEAD_BYTES: usize = 128 * 1024;

/// Cancelled requests that HTTP/2 itself bears before it ends the connection: those that were never looked at, and those
/// that broke the protocol.
pub const RESETS: usize = 20;

/// What a connection costs without any request, in bytes: the buffers and header tables of HTTP/2.
pub const CONNECTION_BYTES: usize = 24 * 1024;

/// Times that one connection is driven in a row. More follows in the next turn.
pub(crate) const ROUNDS: usize = 32;
