//! Routes that programs set: sets and removes them when that is ordered and the settings permit it, and has them expire.
//!
//! Routes that expire keep their names, which fail from then on: what a VPN alone should see is not sent to the
//! default upstreams because the VPN, or its hook, has ended.

use std::sync::Arc;
use std::time::Duration;

use dotgate_config::{RouteOwner, VolatileRoutes};
use dotgate_core::limits::ROUTES_LIFETIME_MAX;
use thiserror::Error;

use crate::clock::now;
use crate::log::message::say;
use crate::reload::{ActiveConfig, Refused};
use crate::running::{NotDone, Ordered, OwnedRoutes, RoutesRequest};
use crate::serve::Forwarder;

/// How often is looked whether routes expire, if some may.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Why routes are not set or removed.
#[derive(Debug, Error)]
enum RoutesRefused {
    #[error("programs may not set routes: DOTGATE_ADMIN_ROUTES=true permits it")]
    Off,
    #[error("routes expire after 1 to {} seconds", ROUTES_LIFETIME_MAX.as_secs())]
    Lifetime,
    #[error("{0} has set no routes")]
    NotThere(RouteOwner),
    #[error(
        "the sandbox does not permit what these routes need: {}; their upstreams may have port 53 or 853, or one of \
         the settings",
        .0.join(", ")
    )]
    Sandbox(Vec<String>),
    #[error("{0}")]
    Refused(Refused),
}

impl From<Refused> for RoutesRefused {
    fn from(refused: Refused) -> RoutesRefused {
        match refused {
            Refused::Sandbox(lacks) => RoutesRefused::Sandbox(lacks),
            other => RoutesRefused::Refused(other),
        }
    }
}

/// Carries an order out. Returns true if other routes than before are in use.
pub(super) fn carry_out(
    order: Ordered<RoutesRequest>,
    in_force: &mut ActiveConfig,
    forwarder: &mut Forwarder,
) -> bool {
    if let Err(not_now) = forwarder.running().handover().permit_change() {
        order.reply(Err(not_now));
        return false;
    }
    let outcome = match order.request.clone() {
        RoutesRequest::Set { routes, span } => set(routes, span, in_force, forwarder),
        RoutesRequest::Remove(owner) => remove(owner, in_force, forwarder),
    };
    let has_changed = outcome.as_ref().is_ok_and(|has_changed| *has_changed);
    let refused = |refused: RoutesRefused| NotDone::Refused(refused.to_string());
    order.reply(outcome.map(drop).map_err(refused));
    has_changed
}

fn set(
    routes: VolatileRoutes,
    span: Option<Duration>,
    in_force: &mut ActiveConfig,
    forwarder: &mut Forwarder,
) -> Result<bool, RoutesRefused> {
    if !in_force.config().admin().takes_routes {
        return Err(RoutesRefused::Off);
    }
    if span.is_some_and(|span| span.is_zero() || span > ROUTES_LIFETIME_MAX) {
        return Err(RoutesRefused::Lifetime);
    }
    let owned = OwnedRoutes {
        expires: span.map(|span| now() + span),
        routes,
    };
    let mut all = in_force.volatile_routes().to_vec();
    let of_owner = |it: &&mut OwnedRoutes| it.routes.owner() == owned.routes.owner();
    let has_changed = match all.iter_mut().find(of_owner) {
        Some(existing) => {
            let has_changed = existing.routes != owned.routes;
            *existing = owned.clone();
            has_changed
        }
        None => {
            all.push(owned.clone());
            true
        }
    };
    in_force.set_volatile_routes(all.into(), forwarder)?;
    if has_changed {
        say!(
            ROUTES_SET,
            owner = %owned.routes.owner(),
            routes = owned.routes.text(),
            seconds = span.map(|span| span.as_secs())
        );
    }
    Ok(has_changed)
}

fn remove(
    owner: RouteOwner,
    in_force: &mut ActiveConfig,
    forwarder: &mut Forwarder,
) -> Result<bool, RoutesRefused> {
    let all = in_force.volatile_routes().iter();
    let left = all.filter(|it| *it.routes.owner() != owner).cloned();
    let left: Arc<[OwnedRoutes]> = left.collect();
    if left.len() == in_force.volatile_routes().len() {
        return Err(RoutesRefused::NotThere(owner));
    }
    in_force.set_volatile_routes(left, forwarder)?;
    say!(ROUTES_REMOVED, owner = %owner);
    Ok(true)
}

/// Whether routes may expire.
pub(super) fn may_expire(in_force: &ActiveConfig) -> bool {
    let mut all = in_force.volatile_routes().iter();
    all.any(|it| it.expires.is_some() && !it.routes.is_expired())
}

/// Has those expire whose time is over. Returns true if there were such.
pub(super) fn expire(in_force: &mut ActiveConfig, forwarder: &mut Forwarder) -> bool {
    let now = now();
    let due: Vec<OwnedRoutes> = in_force.volatile_routes().to_vec();
    if !due.iter().any(|it| it.is_due(now)) {
        return false;
    }
    let all = due.iter().map(|owned| match owned.is_due(now) {
        true => OwnedRoutes {
            routes: owned.routes.clone().expired(),
            ..*owned
        },
        false => owned.clone(),
    });
    // Where this fails, they are asked on, and it is tried again.
    if in_force
        .set_volatile_routes(all.collect(), forwarder)
        .is_err()
    {
        return false;
    }
    for owned in due.iter().filter(|it| it.is_due(now)) {
        say!(
            ROUTES_EXPIRED,
            owner = %owned.routes.owner(),
            routes = owned.routes.text(),
            hint = "`dotgate routes remove` sends these names to the default upstreams again"
        );
    }
    true
}
