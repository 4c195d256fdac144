//! The portal window: for a bounded time, names are resolved by the network's own resolver, in the clear, so that the login
//! page of a network that blocks DNS over TLS can be found.
//!
//! It is a group with one plain upstream, to which [`crate::RouteTable::with_portal`] sends names that no route has. This
//! module decides when it ends. It reads no clock and opens nothing.

use std::time::Duration;

use crate::limits;
use crate::link::Transport;
use crate::moment::Moment;
use crate::settings::GroupSettings;

/// How long a window is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortalWindow {
    opened: Moment,
    closes: Moment,
}

/// Why a window is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortalEnd {
    /// Its time is over.
    Expired,
    /// An upstream of the default group has responded over TLS.
    Encrypted,
    /// An operator closed it, or opened another one.
    Command,
    /// The settings no longer permit it, or it no longer fits.
    Settings,
    /// The process stops, or is replaced.
    Stopping,
}

impl PortalEnd {
    /// Its word in the log.
    pub fn word(self) -> &'static str {
        match self {
            PortalEnd::Expired => "expired",
            PortalEnd::Encrypted => "encrypted",
            PortalEnd::Command => "command",
            PortalEnd::Settings => "settings",
            PortalEnd::Stopping => "stopping",
        }
    }
}

impl PortalWindow {
    /// Opens one for so long, at most [`limits::PORTAL_MAX`].
    pub fn open(now: Moment, span: Duration) -> PortalWindow {
        PortalWindow {
            opened: now,
            closes: now + span.min(limits::PORTAL_MAX),
        }
    }

    /// When it closes by itself.
    pub fn closes(&self) -> Moment {
        self.closes
    }

    /// Why it is to be closed now, if it is. `default` is the group of the default route: the first right response of one
    /// of its upstreams over TLS shows that the network lets queries through.
    pub fn end(&self, now: Moment, default: &GroupSettings) -> Option<PortalEnd> {
        let has_responded = || {
            let mut encrypted = default.upstreams.iter();
            encrypted.any(|upstream| {
                let last = upstream.health.evidence().last_response();
                upstream.transport == Transport::Dot && last.is_some_and(|last| last >= self.opened)
            })
        };
        if now >= self.closes && !dotgate_wire::planted!("portal-never-expires") {
            return Some(PortalEnd::Expired);
        }
        let stays = dotgate_wire::planted!("portal-outlives-the-outage");
        (!stays && has_responded()).then_some(PortalEnd::Encrypted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::UpstreamId;
    use crate::settings::UpstreamSettings;

    const START: Moment = Moment::from_nanos(1_000_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_window_ends_with_its_time_and_no_window_is_longer_than_half_an_hour() {
        let group = GroupSettings::of_default_route(Vec::new());
        let window = PortalWindow::open(START, 5 * MINUTE);
        assert_eq!(window.end(START + 4 * MINUTE, &group), None);
        let expired = Some(PortalEnd::Expired);
        assert_eq!(window.end(START + 5 * MINUTE, &group), expired);
        let long = PortalWindow::open(START, 600 * MINUTE);
        assert_eq!(long.closes(), START + 30 * MINUTE);
    }

    #[test]
    fn a_response_over_tls_ends_it_and_neither_an_older_nor_a_plain_one() {
        let (dot, plain) = (UpstreamId(0), UpstreamId(1));
        let group = GroupSettings::of_default_route(vec![
            UpstreamSettings::new(dot, "dot"),
            UpstreamSettings::plain(plain, "plain"),
        ]);
        let respond = |upstream: usize, at| {
            let health = &group.upstreams[upstream].health;
            health.evidence().note_response(at, None);
        };
        respond(0, START);
        let window = PortalWindow::open(START + MINUTE, 5 * MINUTE);
        let later = START + 2 * MINUTE;
        respond(1, later);
        assert_eq!(window.end(later, &group), None);
        respond(0, later);
        assert_eq!(window.end(later, &group), Some(PortalEnd::Encrypted));
    }
}
