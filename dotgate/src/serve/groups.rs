//! Other groups of upstreams while everything is served, without reading a file again.

use std::sync::Arc;

use dotgate_config::Config;
use dotgate_core::Settings;

use super::slots::Slots;
use super::{Forwarder, StartError, refuse_loop, settings};
use crate::upstreams::{Groups, Upstreams};
use crate::worker::{Reconfiguration, WorkerCommand};

impl Forwarder {
    /// Uses the groups of `config`, which differs from the current configuration in nothing else. Upstreams and groups that
    /// are the same stay.
    ///
    /// # Errors
    /// [`StartError`]; nothing has changed then.
    pub(crate) fn set_groups(&mut self, config: &Config) -> Result<(), StartError> {
        refuse_loop(config, &self.running.all_addresses())?;
        let (upstreams, groups) = (self.upstreams(), self.running.groups());
        // There always is an upstream that has the trust anchors.
        let Some(roots) = upstreams.first().map(|first| first.roots().clone()) else {
            return Ok(());
        };
        let slots = self.slots.clone();
        let (assigned, slots) = slots.assign_all(&upstreams, &groups, config, &roots)?;
        self.switch_groups(config, slots, assigned);
        Ok(())
    }

    pub(super) fn switch_groups(
        &mut self,
        config: &Config,
        slots: Slots,
        (upstreams, groups): (Upstreams, Groups),
    ) {
        let (local, access) = (self.running.local(), self.running.access());
        let settings = Settings {
            generation: slots.generation,
            cookies: self.cookies.in_use(),
            ..settings(config, &groups, &local, &access, self.descriptors)
        };
        self.slots = slots;
        self.running.set_upstreams(Arc::clone(&upstreams), groups);
        self.command(WorkerCommand::Reconfigure(Arc::new(Reconfiguration {
            settings: Arc::new(settings),
            upstreams,
            tls: None,
        })));
    }
}
