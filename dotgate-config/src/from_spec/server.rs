//! Where to listen, and how.

use std::num::{NonZeroU16, NonZeroUsize};

use super::ServerConfig;
use super::encrypted;
use crate::address::ScopedSocketAddress;
use crate::kinds::Amount;
use crate::reader::Reader;
use crate::settings as table;

/// The most workers that `auto` makes: more are seldom of use, and each has sessions of its own.
const WORKERS_AUTO_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

pub(super) fn read_listeners(reader: &mut Reader<'_>) -> Option<Vec<ScopedSocketAddress>> {
    let hosts = reader.value(&table::SERVER_HOST);
    let port = reader.value(&table::SERVER_PORT)?;
    let listen = hosts?.into_iter().map(|host| host.with_port(port));
    Some(listen.collect())
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<ServerConfig> {
    let listen = read_listeners(reader);
    let workers = reader.value(&table::SERVER_WORKERS);
    let udp_receive_buffer = reader.value(&table::SERVER_UDP_RECEIVE_BUFFER);
    let udp_response_max = reader.value(&table::SERVER_UDP_RESPONSE_MAX);
    let client_memory = reader.value(&table::SERVER_CLIENT_MEMORY);
    let take_over_socket = reader.optional(&table::SERVER_TAKE_OVER_SOCKET);
    let drain_max = reader.value(&table::SERVER_DRAIN_MAX);
    let start = reader.value(&table::SERVER_START);
    let user = reader.optional(&table::SERVER_USER);
    let sandbox = reader.value(&table::SERVER_SANDBOX);
    let encrypted = encrypted::read(reader, listen.as_deref().unwrap_or_default());
    let (dot, tls) = encrypted?;
    Some(ServerConfig {
        listen: listen?,
        dot,
        tls,
        workers: worker_count(workers?),
        udp_receive_buffer: udp_receive_buffer?,
        udp_response_max: udp_response_max?,
        client_memory: client_memory?,
        take_over_socket,
        drain_max: drain_max?,
        start: start?,
        user,
        sandbox: sandbox?,
    })
}

/// Returns how many workers there are to be.
fn worker_count(wanted: Amount<NonZeroU16>) -> NonZeroUsize {
    match wanted {
        Amount::Exactly(count) => count.into(),
        Amount::Auto => {
            let available = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
            available.min(WORKERS_AUTO_MAX)
        }
    }
}
