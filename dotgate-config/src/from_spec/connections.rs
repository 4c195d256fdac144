//! Connections of clients: how many, and how long each may be used.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::kinds::Amount;
use crate::reader::Reader;
use crate::settings as table;

/// The bounds of clients' TCP connections.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TcpConfig {
    /// The connections of all clients, in all workers; see `Config::connection_limits`.
    pub connections_max: Amount<u32>,
    /// The connections of one client address; see `Config::connection_limits`.
    pub connections_per_client_max: Amount<u32>,
    /// How long a connection stays open with nothing asked on it.
    pub idle: Duration,
    /// The queries in flight on one connection.
    pub in_flight_max: u32,
    /// The queries of one connection in all, if they are bounded.
    pub queries_max: Option<NonZeroU32>,
    /// The age at which a connection is closed, if any.
    pub max_age: Option<Duration>,
}

/// Reads all.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<TcpConfig> {
    let connections_max = reader.value(&table::TCP_CONNECTIONS_MAX);
    let connections_per_client_max = reader.value(&table::TCP_CONNECTIONS_PER_CLIENT_MAX);
    let idle = reader.value(&table::TCP_IDLE);
    let in_flight_max = reader.value(&table::TCP_IN_FLIGHT_MAX);
    let queries_max = reader.optional(&table::TCP_QUERIES_MAX);
    let max_age = reader.value(&table::TCP_MAX_AGE);
    Some(TcpConfig {
        connections_max: connections_max?,
        connections_per_client_max: connections_per_client_max?,
        idle: idle?,
        in_flight_max: in_flight_max?,
        queries_max,
        max_age: max_age?,
    })
}
