//! What is measured, as scrapers and readers see it: one table, two formats, one page of documentation.
//!
//! Not on the path of a query: it runs on the control thread, reads the counters that workers keep anyway, the
//! upstreams' health and what the system says of the process. It writes nothing but its page.

mod collect;
mod encoder;
mod families;
mod process;
mod reference;
mod table;

use dotgate_core::cache::Usage;
use std::sync::Arc;
use std::time::Duration;

use dotgate_core::{ClientMemory, Counters, GroupCounters, Health, Moment, Strategy, UpstreamId};
use dotgate_net::sandbox::Part;

pub use self::encoder::Format;
pub use self::process::Process;
pub use self::reference::reference_page;
pub use self::table::{Kind, Metric, table};

use self::encoder::Page;
use crate::clock::now;
use crate::local::Local;
use crate::log;
use crate::running::{Reloads, Running, RunningWorker};
use crate::upstreams::Validity;

/// Everything that metrics are made from, as it is when a scraper asks.
#[derive(Clone, Debug)]
pub struct MetricsSnapshot<'a> {
    /// The time.
    pub now: Moment,
    /// The counters of each worker.
    pub workers: Vec<&'a Counters>,
    /// The upstreams, in the order of the settings.
    pub upstreams: Vec<UpstreamSnapshot>,
    /// The groups of upstreams, that of the default route first.
    pub groups: Vec<GroupSnapshot>,
    /// How full the cache is.
    pub cache: Usage,
    /// Local data and lists.
    pub local: Arc<Local>,
    /// The memory that clients take.
    pub client_memory: &'a ClientMemory,
    /// Datagrams the kernel dropped for want of room, on all our sockets; none where it does not tell.
    pub udp_drops: Option<u64>,
    /// Listening addresses that this host does not have yet.
    pub addresses_awaited: u64,
    /// When the first of the certificates for clients expires, in seconds since 1970, if there are any.
    pub certificate_ends: Option<i64>,
    /// Lines of the log that were dropped.
    pub log_lines_dropped: u64,
    /// The results of reloads.
    pub reloads: Reloads,
    /// The parts of the sandbox, and whether each is enforced.
    pub sandbox: [(Part, bool); 5],
    /// Whether the reader of dnstap is connected; none if the settings have none.
    pub dnstap_connected: Option<bool>,
    /// The views of queries.
    pub views: ViewsSnapshot,
    /// Whether a portal window is open, and how many queries went to networks' own resolvers in all windows.
    pub portal: (bool, u64),
    /// Programs that have set routes.
    pub route_owners: RouteOwners,
    /// What the system says of this process.
    pub process: Process,
}

/// How many programs have set routes.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteOwners {
    /// Those whose routes are used.
    pub active: u64,
    /// Those whose routes have expired.
    pub expired: u64,
}

impl RouteOwners {
    fn of(running: &Running) -> RouteOwners {
        let all = running.routes().all();
        let expired = all.iter().filter(|it| it.routes.is_expired()).count();
        RouteOwners {
            active: (all.len() - expired) as u64,
            expired: expired as u64,
        }
    }
}

/// What is known of the views of queries.
#[derive(Clone, Copy, Debug, Default)]
pub struct ViewsSnapshot {
    /// Lines of the query log that could not be written.
    pub log_lost: u64,
    /// Who looks at queries as they end.
    pub readers: u64,
    /// Queries that did not reach one of them.
    pub readers_lost: u64,
}

impl ViewsSnapshot {
    fn of(running: &Running) -> ViewsSnapshot {
        let readers = running.query_readers();
        ViewsSnapshot {
            log_lost: running.query_log_lost(),
            readers: readers.count() as u64,
            readers_lost: readers.lost(),
        }
    }
}

/// What is known of one upstream in addition to its counters.
#[derive(Clone, Debug)]
pub struct UpstreamSnapshot {
    /// What its counters are called by.
    pub id: UpstreamId,
    /// How logs call it.
    pub label: String,
    /// Its health.
    pub health: Arc<Health>,
    /// When its certificate is valid; none before the first full handshake.
    pub certificate: Option<Validity>,
    /// Whether its key is none of those whose mismatch is to be reported; none without such, or before the first full
    /// handshake.
    pub has_pin_mismatch: Option<bool>,
    /// Whether it gets classical handshakes because a hybrid one did not get through.
    pub is_classical: bool,
    /// After what time an idle session to it is closed.
    pub idle_timeout: Duration,
    /// How often its addresses were looked up: found, and not found.
    pub lookups: [u64; 2],
}

/// What is known of one group of upstreams.
#[derive(Clone, Debug)]
pub struct GroupSnapshot {
    /// How logs call it.
    pub label: String,
    /// Whether an upstream of it is not down.
    pub is_up: bool,
    /// Which upstream is asked first.
    pub strategy: Strategy,
    /// Its counters.
    pub counters: Arc<GroupCounters>,
}

impl<'a> MetricsSnapshot<'a> {
    /// Everything that is measured, at this moment.
    pub fn of(running: &'a Running) -> MetricsSnapshot<'a> {
        let (now, upstreams) = (now(), running.upstreams());
        let upstreams = upstreams.iter().map(|upstream| UpstreamSnapshot {
            id: upstream.id(),
            label: upstream.label().to_owned(),
            health: Arc::clone(upstream.health()),
            certificate: upstream.certificate_validity(),
            has_pin_mismatch: upstream.pin_mismatch().map(|pin| pin.is_some()),
            is_classical: upstream.handshakes().classical_until(now).is_some(),
            idle_timeout: upstream.idle_timeout().limit(),
            lookups: upstream.lookups(),
        });
        let groups = running.groups();
        let groups = groups.iter().map(|group| GroupSnapshot {
            label: group.label().to_owned(),
            is_up: group.is_up(),
            strategy: group.strategy(),
            counters: Arc::clone(group.counters()),
        });
        let certificates = running.certificates();
        let ends = certificates.iter().map(|it| it.facts.not_after);
        let workers = running.workers().iter();
        let drops = workers.clone().filter_map(RunningWorker::dropped_datagrams);
        MetricsSnapshot {
            now,
            workers: workers.map(RunningWorker::counters).collect(),
            upstreams: upstreams.collect(),
            groups: groups.collect(),
            cache: running.cache().usage(),
            local: running.local(),
            addresses_awaited: running.awaited().len() as u64,
            client_memory: running.client_memory(),
            udp_drops: drops.reduce(|all, more| all + more),
            certificate_ends: ends.min(),
            log_lines_dropped: log::dropped_lines(),
            reloads: running.reloads().read(),
            sandbox: Part::ALL.map(|part| (part, running.is_enforced(part))),
            dnstap_connected: running.dnstap().is_connected(),
            views: ViewsSnapshot::of(running),
            portal: (
                running.portal().open().is_some(),
                running.portal().queries(),
            ),
            route_owners: RouteOwners::of(running),
            process: Process::read(),
        }
    }

    /// The page of all metrics.
    pub fn page(&self, format: Format) -> String {
        let mut page = Page::new(format);
        for metric in table() {
            self.write(&mut page, metric);
        }
        page.finish()
    }
}

#[cfg(test)]
mod tests;
