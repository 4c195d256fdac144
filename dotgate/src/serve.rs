//! Serving: binds, starts the workers, hands over to the control thread.
//!
//! Everything that can be wrong at the start is found here, before the first query is taken: roots, listeners,
//! a second copy of the program. A network that is not there is no error: upstreams are tried when asked for.

mod awaited;
mod bind;
mod error;
mod groups;
mod memory;
mod portal;
mod reconfigure;
mod settings;
mod slots;
mod upstream_log;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};

use dotgate_config::{Config, Endpoint, Listener, UpstreamConfig};
use dotgate_tls::{Roots, ServerTls, TicketSecret};

use crate::log::message::say;
use dotgate_core::{
    Cache, ClientMemory, CookieSecrets, Counters, Flights, Quotas, Rates, Shared, UpstreamId,
    WallClock, WorkerId,
};
use dotgate_net::UdpPath;
use tokio::sync::mpsc;

pub use self::bind::BindError;
use self::bind::{Awaited, Binding, Listeners};
pub use self::error::StartError;
pub use self::reconfigure::Prepared;
pub(crate) use self::settings::{cache_settings, settings};
use self::slots::Slots;
use self::upstream_log::UpstreamLog;
use crate::access::HostAccess;
use crate::clock::{now, wall_clock_seconds};
use crate::cookies::{Cookies, read_secrets};
use crate::designation::with_designation;
use crate::learned;
use crate::local::Local;
use crate::running::{self, PreparedWorker, Running, RunningWorker};
use crate::sandbox::SandboxError;
use crate::take_over::{Inherited, ToHandOver};
use crate::upstreams::{Groups, Upstreams};
use crate::views::{self, Views};
use crate::worker::{
    MAILBOX_MESSAGES, Mailbox, Message, Worker, WorkerCommand, WorkerEvent, WorkerSetup,
};

/// Reports that may wait for the control thread.
const REPORTS: usize = 1_024;

/// A running forwarder.
#[derive(Debug)]
pub struct Forwarder {
    running: Arc<Running>,
    views: Views,
    receive_buffer_bytes: usize,
    /// The sockets for a process that replaces this one; none if the settings name no place for that.
    handed_over: Option<ToHandOver>,
    binding: Binding,
    awaited: Vec<Awaited>,
    /// How many files this process may open.
    descriptors: u64,
    slots: Slots,
    tickets: TicketSecret,
    cookies: Cookies,
    reports: mpsc::Receiver<(WorkerId, WorkerEvent)>,
    last_packet: Arc<AtomicU64>,
    upstream_log: UpstreamLog,
}

impl Forwarder {
    /// Starts to serve.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(config: &Config, roots: &Roots) -> Result<Forwarder, StartError> {
        let certificates = verify_server_tls(config)?;
        let certificates = certificates.as_ref().map(|tls| &tls.certificates()[..]);
        let certificates = certificates.unwrap_or_default();
        let local = with_designation(config.local(), config.server(), certificates);
        let local = Local::load(&local)?;
        Forwarder::take_over(config, roots, &local, &mut Inherited::default(), |_| Ok(()))
    }

    /// Starts to serve with the sockets of the process before this one, of which those that the settings do not
    /// name are left in `inherited`. Calls `give_up` with what is bound, before the first worker starts.
    ///
    /// # Errors
    /// As [`Forwarder::start`].
    pub fn take_over(
        config: &Config,
        roots: &Roots,
        local: &Local,
        inherited: &mut Inherited,
        give_up: impl FnOnce(&[(Listener, SocketAddr)]) -> Result<(), SandboxError>,
    ) -> Result<Forwarder, StartError> {
        let (udp_path, descriptors) = (find_udp_path()?, raise_descriptor_limit());
        let (tickets, tls) = own_tls(config)?;
        let (cookies, secrets) = own_cookies(config, inherited)?;
        let listeners = bind(config, inherited)?;
        let receive_buffer_bytes = listeners.receive_buffer_bytes();
        let handed_over = to_hand_over(config, &listeners).map_err(StartError::Worker)?;
        give_up(&listeners.addresses)?;
        let ((upstreams, groups), slots) = assign_first(config, roots)?;
        let access = HostAccess::find(config.access()).map_err(StartError::Networks)?;
        let settings = settings(config, &groups, local, &access, descriptors);
        let settings = Arc::new(settings.with_cookies(secrets));
        let (shared, last_packet) = (share(config)?, Arc::new(AtomicU64::new(0)));
        let (reports_in, reports) = mpsc::channel(REPORTS);
        let prepared = views::Prepared::new(config)?;
        let (mut rings, mut made) = (views::Rings::default(), Vec::new());
        for (id, sockets) in (0..).map(WorkerId).zip(listeners.per_worker) {
            let (commands_in, commands) = channel();
            let (messages_in, messages) = sync_channel(MAILBOX_MESSAGES);
            let (records, copies) = rings.add_worker();
            let parts = WorkerSetup {
                id,
                settings: Arc::clone(&settings),
                shared: shared.clone(),
                upstreams: Arc::clone(&upstreams),
                counters: Arc::new(Counters::new()),
                pulse: Arc::default(),
                udp: sockets.udp.into_iter().map(Arc::new).collect(),
                streams: sockets.streams,
                quic: sockets.quic.into_iter().map(Arc::new).collect(),
                tls: tls.clone(),
                udp_path,
                commands,
                messages,
                records,
                copies,
                reports: reports_in.clone(),
                last_packet: Arc::clone(&last_packet),
            };
            made.push(prepare(parts, commands_in, messages_in)?);
        }
        let workers = running::spawn_all(made).map_err(StartError::Worker)?;
        let running = Running::new(listeners.addresses, (upstreams, groups), shared, workers);
        let running = Arc::new(running.with_local(local, access).with_tls(tls.as_ref()));
        let views = Views::start(rings, prepared, Arc::clone(&running));
        let forwarder = Forwarder {
            running,
            views: views.map_err(StartError::Worker)?,
            receive_buffer_bytes,
            handed_over,
            binding: Binding::new(config.server()),
            awaited: listeners.awaited,
            descriptors,
            slots,
            tickets,
            cookies,
            reports,
            last_packet,
            upstream_log: UpstreamLog::default(),
        };
        forwarder.publish_awaited();
        forwarder.log_awaited();
        Ok(forwarder)
    }

    /// What the admin endpoint reads.
    pub fn running(&self) -> &Arc<Running> {
        &self.running
    }

    /// The addresses in service over UDP and TCP, in the order of the settings; port 0 has become the port the system
    /// chose.
    pub fn addresses(&self) -> Arc<[SocketAddr]> {
        self.running.addresses(Listener::Plain)
    }

    /// The same of DNS over TLS.
    pub fn dot_addresses(&self) -> Arc<[SocketAddr]> {
        self.running.addresses(Listener::Dot)
    }

    /// The same of DNS over HTTPS.
    pub fn doh_addresses(&self) -> Arc<[SocketAddr]> {
        self.running.addresses(Listener::Doh)
    }

    /// The same of DNS over QUIC.
    pub fn doq_addresses(&self) -> Arc<[SocketAddr]> {
        self.running.addresses(Listener::Doq)
    }

    /// The receive buffer of each UDP socket as the system granted it, in bytes.
    pub fn receive_buffer_bytes(&self) -> usize {
        self.receive_buffer_bytes
    }

    /// The sockets to hand over to a process that replaces this one; none if the settings name no place for that.
    pub fn to_hand_over(&self) -> Option<&ToHandOver> {
        self.handed_over.as_ref()
    }

    /// The secrets of cookies, of which the next process accepts the one that makes them.
    pub fn cookies(&self) -> &Cookies {
        &self.cookies
    }

    /// The upstreams, in the order of the settings.
    pub fn upstreams(&self) -> Upstreams {
        self.running.upstreams()
    }

    /// How logs call the upstream with this ID, or the one that had it last.
    pub fn label(&self, id: UpstreamId) -> &str {
        self.slots.label(id)
    }

    /// What all workers counted, added up.
    pub fn count(&self, count: dotgate_core::Count) -> u64 {
        self.running.count(count)
    }

    /// How many workers there are.
    pub fn worker_count(&self) -> usize {
        self.running.workers().len()
    }

    /// The next report of a worker. None when all have ended.
    pub async fn next_report(&mut self) -> Option<(WorkerId, WorkerEvent)> {
        self.reports.recv().await
    }

    /// A report that is there already, if any.
    pub fn try_next_report(&mut self) -> Option<(WorkerId, WorkerEvent)> {
        self.reports.try_recv().ok()
    }

    /// When the last packet came since draining began, in nanoseconds of the boot-time clock; 0 for never.
    pub fn last_packet(&self) -> u64 {
        self.last_packet.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Begins to drain: clients are served still, and readiness checks fail.
    pub fn drain(&self) {
        self.running.begin_drain();
        self.command(WorkerCommand::Drain);
    }

    /// Gives all workers an order. A worker that has ended needs none.
    pub fn command(&self, command: WorkerCommand) {
        for worker in self.running.workers() {
            worker.command(command.clone());
        }
    }

    /// Whether all workers have ended.
    pub fn has_ended(&self) -> bool {
        self.running.workers().iter().all(RunningWorker::has_ended)
    }
}

impl Drop for Forwarder {
    /// Workers end with the one who could order them to.
    fn drop(&mut self) {
        self.command(WorkerCommand::Finish);
    }
}

/// Makes the upstreams that a process starts with, and takes what an earlier one learned of them.
fn assign_first(
    config: &Config,
    roots: &Roots,
) -> Result<((Upstreams, Groups), Slots), StartError> {
    let assigned = Slots::default().assign_all(&[], &[], config, roots)?;
    let ((upstreams, _), _) = &assigned;
    if let Some(path) = &config.sessions().state_file {
        learned::restore(path, upstreams);
    }
    Ok(assigned)
}

/// Makes a worker, with the ways by which others reach it.
fn prepare(
    parts: WorkerSetup,
    commands: Sender<WorkerCommand>,
    messages: SyncSender<Message>,
) -> Result<PreparedWorker, StartError> {
    let (counters, pulse) = (Arc::clone(&parts.counters), Arc::clone(&parts.pulse));
    let udp = parts.udp.iter().chain(&parts.quic);
    let udp = udp.map(Arc::downgrade).collect();
    let (worker, waker) = Worker::new(parts).map_err(StartError::Worker)?;
    Ok(PreparedWorker {
        worker,
        commands,
        mailbox: Mailbox {
            messages,
            waker,
            packets: Arc::default(),
        },
        pulse,
        counters,
        udp,
    })
}

/// What every system lets a process open.
pub(crate) const DESCRIPTORS_AT_LEAST: u64 = 256;

/// Makes sure that the upstreams of a configuration can be used, without a socket.
///
/// # Errors
/// [`StartError::Tls`] and [`StartError::Loop`].
pub fn verify_upstreams(config: &Config, roots: &Roots) -> Result<(), StartError> {
    Slots::default().assign(&[], config.upstreams(), roots)?;
    let listen = config.server().listeners();
    let listen = listen.filter_map(|(_, address)| address.resolve().ok());
    refuse_loop(config, &listen.collect::<Vec<SocketAddr>>())
}

/// Makes sure that clients can be served with TLS, if any are to be, and returns what they are shown.
///
/// # Errors
/// [`StartError::ServerTls`].
pub fn verify_server_tls(config: &Config) -> Result<Option<ServerTls>, StartError> {
    server_tls(config, &ticket_secret()?)
}

/// The secret of tickets, and what clients that speak TLS are shown.
fn own_tls(config: &Config) -> Result<(TicketSecret, Option<ServerTls>), StartError> {
    let tickets = ticket_secret()?;
    let tls = server_tls(config, &tickets)?;
    Ok((tickets, tls))
}

/// The secrets of cookies, those of the process before this one among them.
fn own_cookies(
    config: &Config,
    inherited: &mut Inherited,
) -> Result<(Cookies, CookieSecrets), StartError> {
    let cookies = Cookies::new(inherited.take_cookie_secret()).map_err(StartError::Worker)?;
    let secrets = cookies.secrets(config.server().cookie_secret_file.as_deref())?;
    cookies.set_active(&secrets);
    Ok((cookies, secrets))
}

/// Makes sure that cookies can be made.
///
/// # Errors
/// [`StartError::Cookies`].
pub fn verify_cookies(config: &Config) -> Result<(), StartError> {
    let file = config.server().cookie_secret_file.as_deref();
    file.map(read_secrets).transpose()?;
    Ok(())
}

fn server_tls(config: &Config, tickets: &TicketSecret) -> Result<Option<ServerTls>, StartError> {
    let files = config.server().tls.as_ref();
    let loaded = files.map(|files| ServerTls::load(files, tickets));
    Ok(loaded.transpose()?)
}

fn ticket_secret() -> Result<TicketSecret, StartError> {
    let no_randomness = || StartError::Worker(io::Error::other("no randomness"));
    TicketSecret::random().ok_or_else(no_randomness)
}

/// The configuration has refused what can be seen in it; which addresses a wildcard stands for is known to the
/// system alone: only an address of this host can be bound.
fn refuse_loop(config: &Config, listen: &[SocketAddr]) -> Result<(), StartError> {
    refuse_loop_of(config.upstreams(), listen)
}

fn refuse_loop_of(upstreams: &[UpstreamConfig], listen: &[SocketAddr]) -> Result<(), StartError> {
    let is_of_this_host = |ip| UdpSocket::bind((ip, 0)).is_ok();
    for upstream in upstreams {
        if let Endpoint::Address(address) = &upstream.endpoint
            && let Ok(address) = address.resolve()
            && is_own_listener(address, listen, is_of_this_host)
        {
            return Err(StartError::Loop {
                label: upstream.label.clone(),
            });
        }
    }
    Ok(())
}

fn is_own_listener(
    upstream: SocketAddr,
    listen: &[SocketAddr],
    is_of_this_host: impl Fn(IpAddr) -> bool,
) -> bool {
    listen.iter().any(|listener| {
        let is_wildcard =
            listener.ip().is_unspecified() && listener.is_ipv4() == upstream.is_ipv4();
        listener.port() == upstream.port()
            && (listener.ip() == upstream.ip() || is_wildcard && is_of_this_host(upstream.ip()))
    })
}

/// How many files this process may open.
fn raise_descriptor_limit() -> u64 {
    // Not fatal: the current limit is then the one we were given.
    dotgate_net::raise_descriptor_limit().unwrap_or(DESCRIPTORS_AT_LEAST)
}

fn bind(config: &Config, inherited: &mut Inherited) -> Result<Listeners, StartError> {
    let listeners = Listeners::bind(config.server(), inherited)?;
    let bound = listeners.addresses.iter().map(|(_, address)| *address);
    refuse_loop(config, &bound.collect::<Vec<SocketAddr>>())?;
    Ok(listeners)
}

/// Which way datagrams go; logged where it is the slower one.
fn find_udp_path() -> Result<UdpPath, StartError> {
    let found = UdpPath::find().map_err(StartError::NoUdp)?;
    if let Some(reason) = found.refused {
        say!(UDP_NOT_BATCHED, reason = %reason);
    }
    Ok(found.path)
}

/// The sockets for a process that replaces this one, if the settings name a place for that.
fn to_hand_over(config: &Config, listeners: &Listeners) -> io::Result<Option<ToHandOver>> {
    let is_replaceable = config.server().take_over_socket.is_some();
    let sockets = is_replaceable.then(|| listeners.second_descriptors());
    Ok(sockets.transpose()?.map(ToHandOver::new))
}

/// What all workers share of the path of a query.
fn share(config: &Config) -> Result<Shared, StartError> {
    let mut keys = [0; 48];
    getrandom::fill(&mut keys).map_err(|error| StartError::Worker(io::Error::other(error)))?;
    let word = |number: usize| {
        let bytes = keys.get(8 * number..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    };
    let (cache_keys, quota_keys) = ((word(0), word(1)), (word(2), word(3)));
    let rate_keys = (word(4), word(5));
    let size = config.cache().size.0 as usize;
    let workers = config.server().workers.get();
    let wall_clock = Arc::new(WallClock::default());
    wall_clock.set(now(), wall_clock_seconds());
    Ok(Shared {
        wall_clock,
        cache: Arc::new(Cache::new(size, cache_keys)),
        flights: Arc::new(Flights::new(workers)),
        memory: Arc::new(ClientMemory::new(workers)),
        quotas: Arc::new(Quotas::new(quota_keys)),
        rates: Arc::new(Rates::new(rate_keys)),
        ..Shared::alone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_behind_a_wildcard_listener_is_found_to_be_ourselves() {
        let own: IpAddr = "192.0.2.7".parse().unwrap();
        let is_own = |upstream: &str, listener: &str| {
            let listen = [listener.parse().unwrap()];
            is_own_listener(upstream.parse().unwrap(), &listen, |ip| ip == own)
        };
        assert!(is_own("192.0.2.7:853", "0.0.0.0:853"));
        assert!(is_own("192.0.2.8:853", "192.0.2.8:853"));
        assert!(!is_own("192.0.2.8:853", "0.0.0.0:853"), "another host");
        assert!(!is_own("192.0.2.7:853", "0.0.0.0:5300"), "another port");
        assert!(!is_own("192.0.2.7:853", "[::]:853"), "another family");
    }
}
