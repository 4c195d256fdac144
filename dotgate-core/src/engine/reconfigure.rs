//! Going over to other settings while queries are in flight.
//!
//! No query is lost by it, and no client's connection. A deadline that was given holds; a shorter one is for those who
//! ask from now on. The cache keeps what it has, also of upstreams that are gone: it was right, and it ends with its
//! TTL.

use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use crate::moment::Moment;
use crate::settings::Settings;

impl Engine {
    /// Goes over to other settings. An upstream that is the same keeps its sessions and what is known of it. One that
    /// is gone is asked nothing more, and its sessions end once what they carry is answered or given up. Call
    /// `on_timeout` afterwards if `next_deadline` says so.
    pub fn reconfigure(&mut self, now: Moment, settings: Arc<Settings>) {
        self.move_client_timers(settings.cache.stale_after);
        self.streams.reconfigure(&settings);
        self.upstreams.reconfigure(now, &settings);
        self.settings = settings;
        self.settle(now);
    }

    /// Clients that wait for a stale answer get it as long after they asked as is set now.
    fn move_client_timers(&mut self, timer: Duration) {
        let before = self.settings.cache.stale_after.as_nanos() as u64;
        self.client_timers
            .move_all(|due| Moment::from_nanos(due.nanos().saturating_sub(before)) + timer);
    }
}
