//! The group of a portal window, added to the groups of the configuration and taken away again, while everything is served.

use std::sync::Arc;

use dotgate_config::{Config, GroupConfig};
use dotgate_core::GroupCounters;

use super::{Forwarder, StartError, refuse_loop_of};

impl Forwarder {
    /// Adds the group, and returns what counts its queries. Every window has a route number of its own: what one brings into
    /// the cache is out of reach when it closes.
    ///
    /// # Errors
    /// [`StartError`]; nothing has changed then.
    pub(crate) fn open_portal(
        &mut self,
        config: &Config,
        group: &GroupConfig,
    ) -> Result<Arc<GroupCounters>, StartError> {
        refuse_loop_of(&group.upstreams, &self.running.all_addresses())?;
        let (upstreams, groups) = (self.upstreams(), self.running.groups());
        let slots = self.slots.clone();
        let ((upstreams, groups), slots) = slots.with_portal(&upstreams, &groups, group)?;
        let counters = groups.last().map(|group| Arc::clone(group.counters()));
        self.switch_groups(config, slots, (upstreams, groups));
        Ok(counters.unwrap_or_default())
    }

    /// Takes the group away. This cannot fail.
    pub(crate) fn close_portal(&mut self, config: &Config) {
        let (upstreams, groups) = (self.upstreams(), self.running.groups());
        let (left, slots) = self.slots.clone().without_portal(&upstreams, &groups);
        self.switch_groups(config, slots, left);
    }
}
