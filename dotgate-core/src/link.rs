//! How an upstream is asked, and what carries a session to it.

/// How an upstream is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Transport {
    /// By DNS over TLS (RFC 7858).
    #[default]
    Dot,
    /// In the clear: by UDP, and by TCP where a response over UDP is truncated (RFC 7766).
    Plain,
}

/// What carries a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// A TLS connection.
    Tls,
    /// A TCP connection, for responses that UDP does not carry.
    Tcp,
    /// UDP sockets, one for each query: connected, with a random port, never used for a second query.
    Datagrams,
}
