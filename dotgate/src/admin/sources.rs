//! What the endpoints read of a running forwarder. Nothing here is written on the path of a query for their sake
//! but what the workers keep anyway.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use dotgate_core::{Cache, Count, Moment, Shared};

use super::now;
use crate::log;
use crate::metrics::{GroupReading, Process, Reading, UpstreamReading};
use crate::reload::Record;
use crate::serve::RunningWorker;
use crate::upstreams::{Groups, Upstreams};

/// The shared parts of a running forwarder, for all who tell about it.
#[derive(Debug)]
pub struct Sources {
    started: Moment,
    addresses: RwLock<Arc<[SocketAddr]>>,
    /// Listening addresses that this host does not have yet.
    awaited: RwLock<Arc<[String]>>,
    upstreams: RwLock<(Upstreams, Groups)>,
    shared: Shared,
    workers: Vec<RunningWorker>,
    is_draining: AtomicBool,
    awaits_upstream: AtomicBool,
    reloads: Record,
    snapshot: OnceLock<String>,
}

impl Sources {
    /// Takes the parts of a forwarder that starts now.
    pub fn new(
        addresses: Vec<SocketAddr>,
        upstreams: (Upstreams, Groups),
        shared: Shared,
        workers: Vec<RunningWorker>,
    ) -> Sources {
        Sources {
            started: now(),
            addresses: RwLock::new(addresses.into()),
            awaited: RwLock::default(),
            upstreams: RwLock::new(upstreams),
            shared,
            workers,
            is_draining: AtomicBool::new(false),
            awaits_upstream: AtomicBool::new(false),
            reloads: Record::default(),
            snapshot: OnceLock::new(),
        }
    }

    /// When it started.
    pub fn started(&self) -> Moment {
        self.started
    }

    /// The addresses in service, in the order of the settings.
    pub fn addresses(&self) -> Arc<[SocketAddr]> {
        let addresses = self.addresses.read();
        Arc::clone(&addresses.unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds an address that is in service now.
    pub(crate) fn add_address(&self, address: SocketAddr) {
        let addresses = self.addresses.write();
        let mut addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        *addresses = addresses.iter().copied().chain([address]).collect();
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
        let held = self.upstreams.read();
        Arc::clone(&held.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// The groups of upstreams, that of the default route first.
    pub fn groups(&self) -> Groups {
        let held = self.upstreams.read();
        Arc::clone(&held.unwrap_or_else(PoisonError::into_inner).1)
    }

    /// Goes over to other upstreams.
    pub(crate) fn set_upstreams(&self, upstreams: Upstreams, groups: Groups) {
        let held = self.upstreams.write();
        *held.unwrap_or_else(PoisonError::into_inner) = (upstreams, groups);
    }

    /// The answers kept.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.shared.cache
    }

    /// The file that carries the cache over a restart, if there is one.
    pub fn snapshot(&self) -> Option<&str> {
        self.snapshot.get().map(String::as_str)
    }

    /// Takes note of the file that carries the cache over a restart; it stays the same while this process runs.
    pub(crate) fn note_snapshot(&self, file: String) {
        self.snapshot.get_or_init(|| file);
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

    /// Everything that is measured, at this moment.
    pub fn reading(&self) -> Reading<'_> {
        let upstreams = self.upstreams();
        let upstreams = upstreams.iter().map(|upstream| UpstreamReading {
            slot: upstream.slot(),
            label: upstream.label().to_owned(),
            health: Arc::clone(upstream.health()),
            certificate: upstream.certificate_validity(),
        });
        let groups = self.groups();
        let groups = groups.iter().map(|group| GroupReading {
            label: group.label().to_owned(),
            is_up: group.is_up(),
            counters: Arc::clone(group.counters()),
        });
        let drops = self
            .workers
            .iter()
            .filter_map(RunningWorker::dropped_datagrams);
        Reading {
            now: now(),
            workers: self.workers.iter().map(RunningWorker::counters).collect(),
            upstreams: upstreams.collect(),
            groups: groups.collect(),
            cache: self.cache().usage(),
            addresses_awaited: self.awaited().len() as u64,
            client_memory: &self.shared.memory,
            udp_drops: drops.reduce(|all, more| all + more),
            log_lines_dropped: log::dropped_lines(),
            reloads: self.reloads.read(),
            process: Process::read(),
        }
    }

    /// What came of reading the configuration anew.
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

    /// Takes note that the end was ordered.
    pub(crate) fn begin_drain(&self) {
        self.is_draining.store(true, Relaxed);
    }
}
