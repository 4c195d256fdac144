//! The portal window: opens it when an operator orders that and the settings permit it, and closes it.
//!
//! An open window is looked at four times a second: the first response over TLS closes it. So that there is one when the
//! network lets queries through, although no client may ask anything of the default group, its upstreams are probed.

use std::time::Duration;

use dotgate_config::{GroupConfig, PortalNames, PortalPolicy, ScopedSocketAddress};
use dotgate_core::limits::PORTAL_MAX;
use dotgate_core::{Moment, PortalEnd, PortalWindow};
use thiserror::Error;

use crate::clock::now;
use crate::log::message::say;
use crate::reload::ActiveConfig;
use crate::running::{Incoming, NotDone, OpenPortal, Ordered, PortalRequest, Running};
use crate::serve::{Forwarder, StartError};
use crate::worker::WorkerCommand;

/// How often an open window is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// Why there is no window.
#[derive(Debug, Error)]
enum PortalRefused {
    #[error("portal windows are off: DOTGATE_DNS_PORTAL permits them")]
    Off,
    #[error("the resolver of the network is not known: name it with --resolver ADDR")]
    NoResolver,
    #[error("DOTGATE_DNS_PORTAL permits only {0}")]
    OtherResolver(ScopedSocketAddress),
    #[error("a portal window is open for 1 to {} seconds", PORTAL_MAX.as_secs())]
    Span,
    #[error("there are too many groups or upstreams")]
    NoRoom,
    #[error(
        "this process may not connect to TCP port {0}, which long responses need: name the resolver in DOTGATE_DNS_PORTAL, \
         and restart"
    )]
    Port(u16),
    #[error(transparent)]
    Start(#[from] StartError),
}

/// The window, if one is open.
#[derive(Debug)]
pub(super) struct Portal {
    orders: Incoming<PortalRequest>,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    window: PortalWindow,
    since: Moment,
    resolver: ScopedSocketAddress,
    names: PortalNames,
    /// Queries of the windows before.
    queries: u64,
}

impl Portal {
    /// None is open yet.
    pub(super) fn new(running: &Running, in_force: &ActiveConfig) -> Portal {
        let state = running.portal();
        state.set_permitted(in_force.config().portal().clone());
        Portal {
            orders: state.orders().take(),
            open: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The next order.
    pub(super) async fn next_order(&mut self) -> Ordered<PortalRequest> {
        self.orders.next().await
    }

    /// Opens a window, or closes it.
    pub(super) fn carry_out(
        &mut self,
        order: Ordered<PortalRequest>,
        in_force: &ActiveConfig,
        forwarder: &mut Forwarder,
    ) {
        // A window that is opened now would close as soon as the other process serves.
        if matches!(order.request, PortalRequest::Open { .. })
            && let Err(not_now) = forwarder.running().handover().permit_change()
        {
            return order.reply(Err(not_now));
        }
        let outcome = match order.request.clone() {
            PortalRequest::Open {
                span,
                names,
                resolver,
            } => self.order(span, (names, resolver), in_force, forwarder),
            PortalRequest::Close => {
                self.close(PortalEnd::Command, in_force, forwarder);
                Ok(())
            }
        };
        order.reply(outcome.map_err(|refused| NotDone::Refused(refused.to_string())));
    }

    fn order(
        &mut self,
        span: Duration,
        (names, resolver): (PortalNames, Option<ScopedSocketAddress>),
        in_force: &ActiveConfig,
        forwarder: &mut Forwarder,
    ) -> Result<(), PortalRefused> {
        if span.is_zero() || span > PORTAL_MAX {
            return Err(PortalRefused::Span);
        }
        let resolver = permitted(in_force.config().portal(), resolver)?;
        if in_force.sandbox().lacks_port(resolver.port()) {
            return Err(PortalRefused::Port(resolver.port()));
        }
        self.close(PortalEnd::Command, in_force, forwarder);
        let now = now();
        let open = Open {
            window: PortalWindow::open(now, span),
            since: now,
            resolver,
            names,
            queries: forwarder.running().portal().queries(),
        };
        apply(&open, in_force, forwarder)?;
        say!(
            PORTAL_OPENED,
            resolver = %open.resolver,
            names = shown(&open).names(),
            seconds = span.as_secs()
        );
        self.open = Some(open);
        Ok(())
    }

    /// After a reload: its group was removed with the previous configuration.
    pub(super) fn reopen(&mut self, in_force: &ActiveConfig, forwarder: &mut Forwarder) {
        let policy = in_force.config().portal();
        forwarder.running().portal().set_permitted(policy.clone());
        let Some(open) = &self.open else {
            return;
        };
        let is_permitted = permitted(policy, Some(open.resolver.clone())).is_ok();
        if !is_permitted || apply(open, in_force, forwarder).is_err() {
            self.close(PortalEnd::Settings, in_force, forwarder);
        }
    }

    /// Closes the window if it is to be closed by now.
    pub(super) fn look(&mut self, in_force: &ActiveConfig, forwarder: &mut Forwarder) {
        let Some(open) = &self.open else {
            return;
        };
        let (now, groups) = (now(), forwarder.running().groups());
        let Some(default) = groups.first() else {
            return;
        };
        if let Some(end) = open.window.end(now, &default.settings()) {
            return self.close(end, in_force, forwarder);
        }
        let mut workers = forwarder.running().workers().iter();
        let Some(worker) = workers.find(|worker| !worker.has_ended()) else {
            return;
        };
        for upstream in default.upstreams() {
            if upstream.health().evidence().claim_probe(now) {
                worker.command(WorkerCommand::Probe(upstream.id()));
            }
        }
    }

    /// Closes the window, if one is open.
    pub(super) fn close(
        &mut self,
        end: PortalEnd,
        in_force: &ActiveConfig,
        forwarder: &mut Forwarder,
    ) {
        let Some(open) = self.open.take() else {
            return;
        };
        forwarder.close_portal(in_force.config());
        let state = forwarder.running().portal();
        state.note_closed();
        say!(
            PORTAL_CLOSED,
            reason = end.word(),
            seconds = now().since(open.since).as_secs(),
            queries = state.queries() - open.queries
        );
    }
}

/// The resolver that a window may have.
fn permitted(
    policy: &PortalPolicy,
    named: Option<ScopedSocketAddress>,
) -> Result<ScopedSocketAddress, PortalRefused> {
    match (policy, named) {
        (PortalPolicy::Off, _) => Err(PortalRefused::Off),
        (PortalPolicy::On, Some(named)) => Ok(named),
        (PortalPolicy::On, None) => Err(PortalRefused::NoResolver),
        (PortalPolicy::Resolver(only), Some(named)) if named != *only => {
            Err(PortalRefused::OtherResolver(only.clone()))
        }
        (PortalPolicy::Resolver(only), _) => Ok(only.clone()),
    }
}

/// Gives the names of a window to the resolver of the network.
fn apply(
    open: &Open,
    in_force: &ActiveConfig,
    forwarder: &mut Forwarder,
) -> Result<(), PortalRefused> {
    let config = in_force.config();
    let group: Option<GroupConfig> = config.portal_group(&open.resolver, open.names);
    let group = group.ok_or(PortalRefused::NoRoom)?;
    let counters = forwarder.open_portal(config, &group)?;
    let state = forwarder.running().portal();
    state.note_open(shown(open), &counters);
    Ok(())
}

fn shown(open: &Open) -> OpenPortal {
    OpenPortal {
        resolver: open.resolver.to_string(),
        names: open.names,
        closes: open.window.closes(),
    }
}
