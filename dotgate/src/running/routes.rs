//! Routes that programs set, as the admin endpoint, metrics and the next process see them, and the orders for them.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use dotgate_config::{RouteOwner, VolatileRoutes};
use dotgate_core::Moment;

use super::orders::Orders;

/// What a program wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RoutesRequest {
    /// These routes, in place of those that the owner has.
    Set {
        /// The routes.
        routes: VolatileRoutes,
        /// Until when they are to be set again; for as long as this process runs if none.
        span: Option<Duration>,
    },
    /// No routes of this owner any more.
    Remove(RouteOwner),
}

/// The routes of one owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedRoutes {
    /// The routes.
    pub routes: VolatileRoutes,
    /// When they expire, or did.
    pub expires: Option<Moment>,
}

impl OwnedRoutes {
    /// Whether they are due to expire.
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        let is_over = self.expires.is_some_and(|expires| expires <= now);
        !self.routes.is_expired()
            && is_over
            && !dotgate_wire::planted!("volatile-routes-never-expire")
    }
}

/// What is known of them.
#[derive(Debug, Default)]
pub(crate) struct RoutesState {
    orders: Orders<RoutesRequest>,
    is_permitted: AtomicBool,
    all: RwLock<Arc<[OwnedRoutes]>>,
}

impl RoutesState {
    /// The orders for routes.
    pub(crate) fn orders(&self) -> &Orders<RoutesRequest> {
        &self.orders
    }

    /// Notes which there are, and whether the settings let programs set others.
    pub(crate) fn set(&self, all: Arc<[OwnedRoutes]>, is_permitted: bool) {
        self.is_permitted.store(is_permitted, Relaxed);
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = all;
    }

    /// Whether the settings let programs set routes.
    pub(crate) fn is_permitted(&self) -> bool {
        self.is_permitted.load(Relaxed)
    }

    /// Those that there are now, in the order in which their owners came.
    pub(crate) fn all(&self) -> Arc<[OwnedRoutes]> {
        let all = self.all.read();
        Arc::clone(&all.unwrap_or_else(PoisonError::into_inner))
    }
}
