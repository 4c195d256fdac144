//! What upstreams and groups are called.

use dotgate_core::{RouteId, UpstreamId};

use crate::running::Running;
use crate::upstreams::{Groups, Upstreams};

/// The current names.
#[derive(Default)]
pub(super) struct Labels {
    upstreams: Upstreams,
    groups: Groups,
}

impl Labels {
    pub(super) fn of(running: &Running) -> Labels {
        Labels {
            upstreams: running.upstreams(),
            groups: running.groups(),
        }
    }

    /// None for an upstream that was removed since.
    pub(super) fn upstream(&self, id: UpstreamId) -> Option<&str> {
        let found = self.upstreams.iter().find(|upstream| upstream.id() == id);
        found.map(|upstream| upstream.label())
    }

    /// None for a route that was removed since.
    pub(super) fn group(&self, route: RouteId) -> Option<&str> {
        let found = self.groups.iter().find(|group| group.route() == route);
        found.map(|group| group.label())
    }
}
