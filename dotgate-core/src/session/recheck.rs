//! A session whose network may have changed: it is tested at once, whatever was answered on it before.

use super::Session;
use crate::link::Link;
use crate::moment::Moment;

impl Session {
    /// Has it judged by a probe that is sent now. False where a probe is on its way already, where nothing more can be
    /// asked, and for queries over UDP, each of which has a socket of its own.
    pub(crate) fn recheck(&mut self, now: Moment) -> bool {
        let is_tested = self.probed_at.is_some() || self.is_excused || self.is_spent();
        if self.link == Link::Datagrams || is_tested || !self.takes_queries() {
            return false;
        }
        self.probed_at = Some(now);
        self.is_rechecked = true;
        true
    }

    /// Whether it was tested for the sake of its network, and nothing was received since. That it is unresponsive then
    /// shows nothing about its upstream.
    pub(crate) fn is_rechecked(&self) -> bool {
        self.is_rechecked
    }
}
