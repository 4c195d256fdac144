//! The portal window as the admin endpoint, metrics and the log see it, and the orders for one.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dotgate_config::{PortalNames, PortalPolicy, ScopedSocketAddress};
use dotgate_core::{GroupCounters, Moment, WAITED};

use super::orders::Orders;

/// What an operator wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PortalRequest {
    /// A window, in place of one that is open.
    Open {
        /// For how long.
        span: Duration,
        /// For which names.
        names: PortalNames,
        /// The resolver of the network, if the settings do not name it.
        resolver: Option<ScopedSocketAddress>,
    },
    /// None any more.
    Close,
}

/// An open window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OpenPortal {
    /// Who resolves its names.
    pub(crate) resolver: String,
    pub(crate) names: PortalNames,
    /// When it closes at the latest.
    pub(crate) closes: Moment,
}

impl OpenPortal {
    /// In words.
    pub(crate) fn names(&self) -> &'static str {
        match self.names {
            PortalNames::Checks => "connectivity checks",
            PortalNames::All => "all names",
        }
    }
}

impl fmt::Display for OpenPortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (names, resolver) = (self.names(), &self.resolver);
        write!(f, "portal window: {names} go to {resolver} in the clear")
    }
}

/// What is known of portal windows.
#[derive(Debug, Default)]
pub(crate) struct PortalState {
    orders: Orders<PortalRequest>,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    /// What the settings permit.
    permitted: PortalPolicy,
    open: Option<OpenPortal>,
    /// Of the last window. Those of its queries that wait when it closes are counted when they end.
    counters: Option<Arc<GroupCounters>>,
    /// Queries of the windows before.
    earlier: u64,
}

impl PortalState {
    /// The orders for a window, or its end.
    pub(crate) fn orders(&self) -> &Orders<PortalRequest> {
        &self.orders
    }

    /// Notes what the settings permit.
    pub(crate) fn set_permitted(&self, permitted: PortalPolicy) {
        self.shown().permitted = permitted;
    }

    /// Notes that a window is open, whose queries `counters` count.
    pub(crate) fn note_open(&self, open: OpenPortal, counters: &Arc<GroupCounters>) {
        let mut shown = self.shown();
        shown.earlier += shown.counters.as_deref().map_or(0, queries);
        shown.counters = Some(Arc::clone(counters));
        shown.open = Some(open);
    }

    /// Notes that no window is open.
    pub(crate) fn note_closed(&self) {
        self.shown().open = None;
    }

    /// The window, if one is open.
    pub(crate) fn open(&self) -> Option<OpenPortal> {
        self.shown().open.clone()
    }

    /// What the settings permit.
    pub(crate) fn permitted(&self) -> PortalPolicy {
        self.shown().permitted.clone()
    }

    /// Queries of clients that waited for a network's own resolver, in all windows.
    pub(crate) fn queries(&self) -> u64 {
        let shown = self.shown();
        shown.earlier + shown.counters.as_deref().map_or(0, queries)
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        // A panic in between leaves a whole value.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn queries(counters: &GroupCounters) -> u64 {
    WAITED.map(|outcome| counters.queries(outcome)).iter().sum()
}
