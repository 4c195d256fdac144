//! A portal window in a scenario, with what the control thread of the program does for one: it opens it, looks at it four
//! times a second, and closes it.

use std::sync::Arc;
use std::time::Duration;

use dotgate_core::{GroupSettings, PortalEnd, PortalWindow, RouteId, RouteTable};

use super::state::{OpenPortal, Run};
use super::step::PortalForm;

/// How often an open window is looked at, as in the program.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// The number of the first window's route: each has one of its own.
const FIRST_ROUTE: u16 = 1_000;

impl Run<'_> {
    pub(super) fn open_portal(&mut self, form: &PortalForm) {
        self.close_portal();
        self.portals += 1;
        let (route, upstreams) = (RouteId(FIRST_ROUTE + self.portals), self.of_network.clone());
        let window = PortalWindow::open(self.sim.now(), form.span);
        let routes = Arc::clone(&self.sim.settings().routes);
        self.sim.reconfigure(|settings| {
            let place = settings.groups.len();
            let group = GroupSettings::new(route, "portal window", upstreams);
            settings.groups.push(group);
            let suffixes = form.suffixes();
            let suffixes = suffixes.iter().map(Vec::as_slice);
            let table = RouteTable::clone(&settings.routes);
            settings.routes = Arc::new(table.with_portal(place, suffixes));
        });
        self.portal = Some(OpenPortal { window, routes });
    }

    pub(super) fn close_portal(&mut self) {
        if let Some(OpenPortal { routes, .. }) = self.portal.take() {
            self.sim.reconfigure(|settings| {
                settings.groups.pop();
                settings.routes = routes;
            });
        }
    }

    /// Closes the window if it is to be closed by now.
    pub(super) fn look_at_portal(&mut self) {
        let (now, default) = (self.sim.now(), &self.sim.settings().groups[0]);
        let window = self.portal.as_ref().map(|open| open.window);
        let end: Option<PortalEnd> = window.and_then(|window| window.end(now, default));
        if let Some(end) = end {
            let record = self.sim.record_mut();
            record.say(now, || format!("the portal window closes: {}", end.word()));
            self.close_portal();
        }
    }
}
