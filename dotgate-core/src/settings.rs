//! What an engine is told once, at its making. It never writes to it.

use std::time::Duration;

use crate::admit::AccessList;
use crate::route::LocalZones;

/// One upstream as the engine knows it; addresses and certificates are the driver's.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// The name in logs and in the text of failures, such as `9.9.9.9@853#dns.quad9.net`.
    pub label: Box<str>,
    /// Whether its sessions are authenticated. If not, AD is never passed on (RFC 8310 section 5).
    pub is_authenticated: bool,
}

/// The settings of one engine; every value comes from the program's configuration, which checks the ranges.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The upstreams in order of preference, 1 to [`crate::limits::UPSTREAMS`].
    pub upstreams: Vec<UpstreamSettings>,
    /// Who may ask.
    pub access: AccessList,
    /// Names that are answered here and never forwarded.
    pub local_zones: LocalZones,
    /// The largest UDP response, in octets (RFC 9715 section 3.2).
    pub udp_response_max: u16,
    /// The time from a query to its response, failures included.
    pub query_deadline: Duration,
    /// Queries in flight, all clients together.
    pub queries_max: usize,
    /// Queries in flight from one client address.
    pub queries_per_client_max: usize,
    /// Client connections.
    pub streams_max: usize,
    /// Client connections from one address.
    pub streams_per_client_max: usize,
    /// Queries in flight on one client connection; beyond it no more are read.
    pub stream_queries_max: usize,
    /// The time after the last complete message at which a client's connection is closed.
    pub stream_idle: Duration,
}
