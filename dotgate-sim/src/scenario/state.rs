//! What a run of a scenario knows: the simulator, what was counted, clients and a portal window.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use dotgate_core::labels::Limit;
use dotgate_core::{Count, Moment, PortalWindow, RouteTable, UpstreamSettings};

use crate::record::BEGINNING;
use crate::simulator::Simulator;

use super::description::Scenario;
use super::step::{Amount, Ask, Wanted};

/// A run with one seed.
pub(super) struct Run<'s> {
    pub(super) scenario: &'s Scenario,
    pub(super) seed: u64,
    pub(super) sim: Simulator,
    pub(super) mark: Mark,
    pub(super) streams: BTreeMap<String, Connected>,
    pub(super) cookies: CookieJar,
    pub(super) failures: Vec<String>,
    pub(super) findings: Vec<Finding>,
    /// Queries that loads will send, in the order of time.
    pub(super) timeline: VecDeque<(Moment, Ask)>,
    pub(super) of_network: OfNetwork,
    pub(super) portal: Option<OpenPortal>,
    /// How many portal windows were opened.
    pub(super) portals: u16,
    pub(super) asked: usize,
    pub(super) asked_of: BTreeMap<String, usize>,
}

/// Where counting began.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) at: Moment,
    /// The words that stand before what is counted.
    pub(super) words: String,
    pub(super) queries: usize,
    pub(super) attempts: usize,
    pub(super) events: usize,
    pub(super) started: Vec<u32>,
    pub(super) opened: Vec<u32>,
    pub(super) counts: Vec<u64>,
    pub(super) limits: Vec<u64>,
}

impl Mark {
    /// Counting begins now.
    pub(super) fn new(sim: &Simulator, words: String) -> Mark {
        let record = sim.record();
        let of_upstreams = |count: fn(&crate::record::UpstreamRecord) -> u32| {
            record.upstreams.iter().map(count).collect()
        };
        let of_workers = |count: &Count| {
            (0..sim.workers())
                .map(|worker| sim.count(worker, *count))
                .sum()
        };
        let hits_of = |limit: &Limit| {
            (0..sim.workers())
                .map(|worker| sim.limit_hits(worker, *limit))
                .sum()
        };
        debug_assert!(sim.now() >= BEGINNING);
        Mark {
            at: sim.now(),
            words,
            queries: record.queries.len(),
            attempts: record.attempts.len(),
            events: record.events.len(),
            started: of_upstreams(|upstream| upstream.started),
            opened: of_upstreams(|upstream| upstream.opened),
            counts: Count::ALL.iter().map(of_workers).collect(),
            limits: Limit::ALL.iter().map(hits_of).collect(),
        }
    }

    /// What has been counted up to now, as if counting had just begun.
    pub(super) fn now(sim: &Simulator) -> Mark {
        Mark::new(sim, String::new())
    }
}

/// A figure that was wanted, and what was seen instead.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// The words of the last `RESET_COUNTS`.
    pub(super) phase: String,
    /// What was measured.
    pub(super) words: String,
    pub(super) wanted: Wanted,
    pub(super) seen: Amount,
}

/// Connections of a client.
#[derive(Clone, Debug, Default)]
pub(super) struct Connected {
    pub(super) streams: Vec<usize>,
    /// Whether it connects again for the next query after a connection was closed.
    pub(super) reconnects: bool,
    /// Connections that it has replaced in this way.
    pub(super) replaced: usize,
}

/// The cookie that the one client over UDP got last, and the responses that were looked at for it.
#[derive(Clone, Debug, Default)]
pub(super) struct CookieJar {
    pub(super) last: Option<Vec<u8>>,
    pub(super) looked_at: usize,
}

/// A window that is open.
#[derive(Debug)]
pub(super) struct OpenPortal {
    pub(super) window: PortalWindow,
    /// The routes without it.
    pub(super) routes: Arc<RouteTable>,
}

/// The upstreams of the network itself, which no group has before a window opens.
pub(super) type OfNetwork = Vec<UpstreamSettings>;
