//! Where to listen, and how.

use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::encrypted::{self, DohConfig, DoqConfig, DotConfig};
use crate::address::ScopedSocketAddress;
use crate::identity::ServerTlsFiles;
use crate::kinds::{Amount, ByteCount, UserSpec};
use crate::reader::Reader;
use crate::settings as table;
use crate::words::{SandboxPolicy, StartPolicy};

/// Where to listen, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The UDP and TCP addresses, 1 to 64, all different. Port 0 is the kernel's choice.
    pub listen: Vec<ScopedSocketAddress>,
    /// DNS over TLS for clients.
    pub dot: DotConfig,
    /// DNS over HTTPS for clients.
    pub doh: DohConfig,
    /// DNS over QUIC.
    pub doq: DoqConfig,
    /// What clients that speak TLS are shown; there if any do.
    pub tls: Option<ServerTlsFiles>,
    /// Balancers that name their clients in PROXY headers.
    pub proxies: Vec<IpNet>,
    /// The number of workers.
    pub workers: NonZeroUsize,
    /// The receive buffer to ask for, for each UDP socket.
    pub udp_receive_buffer: ByteCount,
    /// The longest response over UDP, in bytes, 512 to 1400.
    pub udp_response_max: u16,
    /// The memory that clients may cost, all workers together.
    pub client_memory: Amount<ByteCount>,
    /// Where a new process takes the listening sockets over from the running one, if at all.
    pub take_over_socket: Option<PathBuf>,
    /// The secrets of cookies that instances share; none if the process has one of its own.
    pub cookie_secret_file: Option<PathBuf>,
    /// How long clients are still served after a signal to stop.
    pub drain_max: Duration,
    /// What to do at the start while no upstream is reachable.
    pub start: StartPolicy,
    /// The user to run as once everything is bound, if it is another one.
    pub user: Option<UserSpec>,
    /// Whether the process gives up what it does not need.
    pub sandbox: SandboxPolicy,
}

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
    let cookie_secret_file = reader.optional(&table::SERVER_COOKIE_SECRET_FILE);
    let drain_max = reader.value(&table::SERVER_DRAIN_MAX);
    let start = reader.value(&table::SERVER_START);
    let user = reader.optional(&table::SERVER_USER);
    let sandbox = reader.value(&table::SERVER_SANDBOX);
    let proxies = reader.optional(&table::SERVER_PROXY_PROTOCOL_FROM);
    let encrypted = encrypted::read(reader, listen.as_deref().unwrap_or_default());
    let (dot, doh, doq, tls) = encrypted?;
    Some(ServerConfig {
        listen: listen?,
        dot,
        doh,
        doq,
        tls,
        proxies: proxies.unwrap_or_default(),
        workers: worker_count(workers?),
        udp_receive_buffer: udp_receive_buffer?,
        udp_response_max: udp_response_max?,
        client_memory: client_memory?,
        take_over_socket,
        cookie_secret_file,
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
