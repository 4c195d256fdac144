//! The state of the running process, for all that read it: the admin endpoint, metrics, the log, the service manager.
//!
//! Workers write their counters and the time of their last turn; the control thread writes the rest. Readers change nothing
//! on the path of a query.

mod handover;
mod history;
mod liveness;
mod orders;
mod portal;
mod query_readers;
mod readiness;
mod reloads;
mod routes;
mod worker;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use dotgate_config::{Effective, Listener};
use dotgate_core::labels::{ClientTransport, Outcome as QueryOutcome};
use dotgate_core::{Cache, ClientMemory, Count, Distribution, Moment, Shared, WAITED};
use dotgate_net::sandbox::Part;
use dotgate_tls::{ServedCertificate, ServerTls};

pub(crate) use self::handover::HandoverState;
pub(crate) use self::history::{Band, History, Period, Point, TICK as HISTORY_TICK};
pub(crate) use self::liveness::{Liveness, WorkerState};
pub(crate) use self::orders::{Incoming, NotDone, Ordered};
pub(crate) use self::portal::{OpenPortal, PortalRequest, PortalState};
pub(crate) use self::query_readers::{NoReader, QueryReader, QueryReaders, QueryStream};
pub(crate) use self::readiness::{Readiness, Reason, Verdict};
pub use self::reloads::{Outcome, Record, Reloads};
pub use self::routes::OwnedRoutes;
pub(crate) use self::routes::{RoutesRequest, RoutesState};
pub use self::worker::RunningWorker;
pub(crate) use self::worker::{PreparedWorker, spawn_all};
use crate::access::HostAccess;
use crate::clock::{now, wall_clock_seconds};
use crate::local::Local;
use crate::sandbox::Sandbox;
use crate::upstreams::{Groups, Upstreams};

/// The reader of dnstap.
#[derive(Debug, Default)]
pub(crate) struct DnstapState {
    /// Whether the settings have one.
    pub(crate) is_set: AtomicBool,
    /// Whether it is connected.
    pub(crate) is_connected: AtomicBool,
}

impl DnstapState {
    /// Whether it is connected; none if the settings have none.
    pub(crate) fn is_connected(&self) -> Option<bool> {
        let is_set = self.is_set.load(Relaxed);
        is_set.then(|| self.is_connected.load(Relaxed))
    }
}

/// The state of a running forwarder.
#[derive(Debug)]
pub struct Running {
    started: Moment,
    listeners: RwLock<Arc<[(Listener, SocketAddr)]>>,
    /// What clients that speak TLS are shown.
    certificates: RwLock<Arc<[ServedCertificate]>>,
    /// Listening addresses that this host does not have yet.
    awaited: RwLock<Arc<[String]>>,
    upstreams: RwLock<(Upstreams, Groups)>,
    /// Local data and lists.
    local: RwLock<Arc<Local>>,
    /// Who may ask.
    access: RwLock<Arc<HostAccess>>,
    shared: Shared,
    workers: Vec<RunningWorker>,
    is_draining: AtomicBool,
    awaits_upstream: AtomicBool,
    reloads: Record,
    snapshot: OnceLock<String>,
    sandbox: OnceLock<Sandbox>,
    history: History,
    settings: RwLock<Arc<[Effective]>>,
    dnstap: DnstapState,
    query_readers: Arc<QueryReaders>,
    /// Lines of the query log that could not be written.
    query_log_lost: AtomicU64,
    portal: PortalState,
    routes: RoutesState,
    handover: HandoverState,
}

impl Running {
    /// Takes the parts of a forwarder that starts now.
    pub fn new(
        listeners: Vec<(Listener, SocketAddr)>,
        upstreams: (Upstreams, Groups),
        shared: Shared,
        workers: Vec<RunningWorker>,
    ) -> Running {
        Running {
            started: now(),
            listeners: RwLock::new(listeners.into()),
            certificates: RwLock::new([].into()),
            awaited: RwLock::default(),
            upstreams: RwLock::new(upstreams),
            local: RwLock::default(),
            access: RwLock::default(),
            shared,
            workers,
            is_draining: AtomicBool::new(false),
            awaits_upstream: AtomicBool::new(false),
            reloads: Record::default(),
            snapshot: OnceLock::new(),
            sandbox: OnceLock::new(),
            history: History::default(),
            settings: RwLock::default(),
            dnstap: DnstapState::default(),
            query_readers: Arc::default(),
            query_log_lost: AtomicU64::new(0),
            portal: PortalState::default(),
            routes: RoutesState::default(),
            handover: HandoverState::default(),
        }
    }

    /// When it started.
    pub fn started(&self) -> Moment {
        self.started
    }

    /// What is listened on, in the order of the settings.
    pub fn listeners(&self) -> Arc<[(Listener, SocketAddr)]> {
        let listeners = self.listeners.read();
        Arc::clone(&listeners.unwrap_or_else(PoisonError::into_inner))
    }

    /// The addresses of one kind that are in service, in the order of the settings.
    pub fn addresses(&self, listener: Listener) -> Arc<[SocketAddr]> {
        let listeners = self.listeners();
        let meant = listeners.iter().filter(|(of, _)| *of == listener);
        meant.map(|(_, address)| *address).collect()
    }

    /// All addresses that are in service.
    pub fn all_addresses(&self) -> Arc<[SocketAddr]> {
        self.listeners()
            .iter()
            .map(|(_, address)| *address)
            .collect()
    }

    /// Adds an address that is in service now.
    pub(crate) fn add_listener(&self, listener: Listener, address: SocketAddr) {
        let listeners = self.listeners.write();
        let mut listeners = listeners.unwrap_or_else(PoisonError::into_inner);
        let all = listeners.iter().copied().chain([(listener, address)]);
        *listeners = all.collect();
    }

    /// What clients that speak TLS are shown, in the order of the settings.
    pub fn certificates(&self) -> Arc<[ServedCertificate]> {
        let certificates = self.certificates.read();
        Arc::clone(&certificates.unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes what clients that connect from now on are shown; none if it stays.
    pub(crate) fn set_tls(&self, tls: Option<&ServerTls>) {
        if let Some(tls) = tls {
            let certificates = self.certificates.write();
            *certificates.unwrap_or_else(PoisonError::into_inner) = Arc::clone(tls.certificates());
        }
    }

    /// The listening addresses that this host does not have yet, as they are written.
    pub fn awaited(&self) -> Arc<[String]> {
        let awaited = self.awaited.read();
        Arc::clone(&awaited.unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the listening addresses that this host does not have yet.
    pub(crate) fn set_awaited(&self, addresses: Vec<String>) {
        let awaited = self.awaited.write();
        *awaited.unwrap_or_else(PoisonError::into_inner) = addresses.into();
    }

    /// The upstreams of all groups, in the order of the settings.
    pub fn upstreams(&self) -> Upstreams {
        let guard = self.upstreams.read();
        Arc::clone(&guard.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// The groups of upstreams, that of the default route first.
    pub fn groups(&self) -> Groups {
        let guard = self.upstreams.read();
        Arc::clone(&guard.unwrap_or_else(PoisonError::into_inner).1)
    }

    /// Replaces the upstreams.
    pub(crate) fn set_upstreams(&self, upstreams: Upstreams, groups: Groups) {
        let guard = self.upstreams.write();
        *guard.unwrap_or_else(PoisonError::into_inner) = (upstreams, groups);
    }

    /// Reads the time of day again, by which cookies have their age.
    pub(crate) fn set_wall_clock(&self) {
        self.shared.wall_clock.set(now(), wall_clock_seconds());
    }

    /// The memory that clients take.
    pub fn client_memory(&self) -> &ClientMemory {
        &self.shared.memory
    }

    /// Local data and lists.
    pub fn local(&self) -> Arc<Local> {
        let guard = self.local.read();
        Arc::clone(&guard.unwrap_or_else(PoisonError::into_inner))
    }

    /// The same with these certificates for clients.
    #[must_use]
    pub(crate) fn with_tls(self, tls: Option<&ServerTls>) -> Running {
        self.set_tls(tls);
        self
    }

    /// The same with this local data and lists, and this access list.
    #[must_use]
    pub(crate) fn with_local(self, local: &Local, access: HostAccess) -> Running {
        self.set_local(local.clone());
        self.set_access(access);
        self
    }

    /// Uses other local data and lists.
    pub(crate) fn set_local(&self, local: Local) {
        let guard = self.local.write();
        *guard.unwrap_or_else(PoisonError::into_inner) = Arc::new(local);
    }

    /// Who may ask.
    pub fn access(&self) -> Arc<HostAccess> {
        let guard = self.access.read();
        Arc::clone(&guard.unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes who may ask from now on.
    pub(crate) fn set_access(&self, access: HostAccess) {
        let guard = self.access.write();
        *guard.unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
    }

    /// The cache.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.shared.cache
    }

    /// The file that carries the cache over a restart, if there is one.
    pub fn snapshot(&self) -> Option<&str> {
        self.snapshot.get().map(String::as_str)
    }

    /// Records the file that carries the cache over a restart; it stays the same while this process runs.
    pub(crate) fn note_snapshot(&self, file: String) {
        self.snapshot.get_or_init(|| file);
    }

    /// Whether a part of the sandbox is enforced.
    pub fn is_enforced(&self, part: Part) -> bool {
        self.sandbox.get().is_some_and(|it| it.holds(part))
    }

    /// Records what this process has given up; it stays the same while this process runs.
    pub(crate) fn note_sandbox(&self, sandbox: Sandbox) {
        self.sandbox.get_or_init(|| sandbox);
    }

    /// The workers.
    pub fn workers(&self) -> &[RunningWorker] {
        &self.workers
    }

    /// What all workers counted, added up.
    pub fn count(&self, count: Count) -> u64 {
        let counts = self
            .workers
            .iter()
            .map(|worker| worker.counters().get(count));
        counts.sum()
    }

    /// Messages of clients that ended so.
    pub(crate) fn outcome(&self, outcome: QueryOutcome) -> u64 {
        let counters = self.workers.iter().map(RunningWorker::counters);
        counters.map(|it| it.clients().outcome(outcome)).sum()
    }

    /// From query to response, of the queries that waited for upstreams.
    pub(crate) fn waited(&self) -> Distribution {
        let counters = self.workers.iter().map(RunningWorker::counters);
        counters.fold(Distribution::default(), |all, counters| {
            let pairs = ClientTransport::ALL
                .iter()
                .flat_map(|via| WAITED.map(|it| (*via, it)));
            let durations = pairs.filter_map(|(via, it)| counters.clients().durations(via, it));
            durations.fold(all, Distribution::with)
        })
    }

    /// What clients asked in the last day.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// The reader of dnstap.
    pub(crate) fn dnstap(&self) -> &DnstapState {
        &self.dnstap
    }

    /// Who looks at queries as they end.
    pub(crate) fn query_readers(&self) -> &Arc<QueryReaders> {
        &self.query_readers
    }

    /// Lines of the query log that could not be written.
    pub(crate) fn query_log_lost(&self) -> u64 {
        self.query_log_lost.load(Relaxed)
    }

    /// Counts lines of the query log that could not be written.
    pub(crate) fn lose_of_query_log(&self, lines: u64) {
        self.query_log_lost.fetch_add(lines, Relaxed);
    }

    /// The portal window.
    pub(crate) fn portal(&self) -> &PortalState {
        &self.portal
    }

    /// Routes that programs set.
    pub(crate) fn routes(&self) -> &RoutesState {
        &self.routes
    }

    /// Whether another process is taking over.
    pub(crate) fn handover(&self) -> &HandoverState {
        &self.handover
    }

    /// The settings, in the order of their table.
    pub(crate) fn settings(&self) -> Arc<[Effective]> {
        let settings = self.settings.read();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes the settings that hold from now on.
    pub(crate) fn set_settings(&self, settings: &[Effective]) {
        let settings_lock = self.settings.write();
        *settings_lock.unwrap_or_else(PoisonError::into_inner) = settings.into();
    }

    /// The results of reloads.
    pub fn reloads(&self) -> &Record {
        &self.reloads
    }

    /// Whether the end was ordered.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }

    /// Whether this instance is not ready before a session to an upstream was opened, and none was yet.
    pub fn awaits_upstream(&self) -> bool {
        self.awaits_upstream.load(Relaxed)
    }

    /// Sets whether it does.
    pub(crate) fn set_awaits_upstream(&self, awaits: bool) {
        self.awaits_upstream.store(awaits, Relaxed);
    }

    /// Records that the end was ordered.
    pub(crate) fn begin_drain(&self) {
        self.is_draining.store(true, Relaxed);
    }
}
