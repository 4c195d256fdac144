//! Going over to another configuration while serving: everything that can be wrong is found before anything changes.

use std::sync::Arc;

use dotgate_config::Config;
use dotgate_core::Settings;
use dotgate_tls::{Roots, ServerTls};

use super::slots::Slots;
use super::{Forwarder, StartError, refuse_loop, server_tls, settings};
use crate::access::HostAccess;
use crate::local::Local;
use crate::upstreams::{Groups, Upstreams};
use crate::views;
use crate::worker::{Reconfiguration, WorkerCommand};

/// Everything for another configuration, made and found to be right.
#[derive(Debug)]
pub struct Prepared {
    settings: Settings,
    upstreams: Upstreams,
    groups: Groups,
    local: Local,
    slots: Slots,
    views: views::Prepared,
    tls: Option<ServerTls>,
    access: HostAccess,
}

impl Forwarder {
    /// Makes what `config` needs. Upstreams that are the same stay who they are.
    ///
    /// # Errors
    /// [`StartError`], as at the start; nothing has changed then.
    pub fn prepare(
        &self,
        config: &Config,
        roots: &Roots,
        local: &Local,
    ) -> Result<Prepared, StartError> {
        refuse_loop(config, &self.running.all_addresses())?;
        let tls = server_tls(config, &self.tickets)?;
        let file = config.server().cookie_secret_file.as_deref();
        let secrets = self.cookies.secrets(file)?;
        let access = HostAccess::find(config.access()).map_err(StartError::Networks)?;
        let slots = self.slots.clone();
        let (upstreams, groups) = (self.upstreams(), self.running.groups());
        let ((upstreams, groups), slots) = slots.assign_all(&upstreams, &groups, config, roots)?;
        Ok(Prepared {
            settings: Settings {
                generation: slots.generation,
                cookies: secrets,
                ..settings(config, &groups, local, &access, self.descriptors)
            },
            upstreams,
            groups,
            local: local.clone(),
            slots,
            views: views::Prepared::new(config)?,
            tls,
            access,
        })
    }

    /// Switches to it, without closing a socket that a client knows and without losing what is in flight.
    pub fn reconfigure(&mut self, prepared: Prepared) {
        let Prepared {
            settings,
            upstreams,
            groups,
            local,
            slots,
            views,
            tls,
            access,
        } = prepared;
        self.cookies.set_active(&settings.cookies);
        self.views.set(views);
        self.slots = slots;
        self.running.set_upstreams(Arc::clone(&upstreams), groups);
        self.running.set_local(local);
        self.running.set_tls(tls.as_ref());
        self.running.set_access(access);
        self.command(WorkerCommand::Reconfigure(Arc::new(Reconfiguration {
            settings: Arc::new(settings),
            upstreams,
            tls,
        })));
    }
}
