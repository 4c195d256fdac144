//! Going over to other settings while queries are in flight.
//!
//! No query is lost by it, and no client's connection. A deadline that was given holds; a shorter one is for those who
//! ask from now on. The cache keeps what it has, also of upstreams that are gone: it was right, and it ends with its
//! TTL.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use crate::counters::labels::Ending;
use crate::keys::{ExchangeKey, SessionKey};
use crate::moment::Moment;
use crate::outbox::Action;
use crate::settings::Settings;

impl Engine {
    /// Goes over to other settings. An upstream that is the same keeps its sessions and what is known of it. One that
    /// is gone is asked nothing more, and its sessions end once what they carry is answered or given up. Call
    /// `on_timeout` afterwards if `next_deadline` says so.
    pub fn reconfigure(&mut self, now: Moment, settings: Arc<Settings>) {
        self.move_client_timers(settings.cache.stale_after);
        let orphans = self.vacate_slots(&settings);
        self.settings = settings;
        self.pools.reconfigure(&self.settings.upstreams);
        self.streams.reconfigure(&self.settings);
        let suspects = self.leave_upstreams();
        for key in orphans.into_iter().chain(suspects) {
            self.advance(now, key);
        }
        self.serve_waiting(now);
    }

    /// Clients that wait for a stale answer get it as long after they asked as is set now.
    fn move_client_timers(&mut self, timer: Duration) {
        let before = self.settings.cache.stale_after.as_nanos() as u64;
        self.client_timers
            .move_all(|due| Moment::from_nanos(due.nanos().saturating_sub(before)) + timer);
    }

    /// Ends the sessions of upstreams whose slots other upstreams need. Returns the exchanges that were asked there
    /// and nowhere else.
    fn vacate_slots(&mut self, settings: &Settings) -> Vec<ExchangeKey> {
        let taken = self.pools.taken_by(&settings.upstreams);
        let mut orphans = HashSet::new();
        for slot in taken {
            let keys = self.pools.get(slot).map(|pool| pool.keys().to_vec());
            for key in keys.unwrap_or_default() {
                orphans.extend(self.stop_session(key));
            }
            orphans.extend(self.stop_isolation_at(slot));
            for (_, exchange) in &mut self.exchanges {
                exchange.forget_upstream(slot);
            }
            if let Some(counters) = self.counters.upstream(slot) {
                counters.clear();
            }
        }
        let sessions = &self.sessions;
        let mut orphans: Vec<ExchangeKey> = orphans.into_iter().collect();
        orphans.retain(|key| {
            self.exchanges.get_mut(*key).is_some_and(|exchange| {
                exchange.take_back_on(|key| !sessions.contains_key(key));
                !exchange.is_running()
            })
        });
        orphans.sort_unstable();
        orphans
    }

    /// Asks nothing more of upstreams that are no longer configured. Returns the suspects that must be asked elsewhere.
    fn leave_upstreams(&mut self) -> Vec<ExchangeKey> {
        let left = self.pools.all();
        let left = left.filter(|(slot, _)| !self.pools.is_configured(*slot));
        let (slots, keys): (Vec<usize>, Vec<Vec<SessionKey>>) = left
            .map(|(slot, pool)| (slot, pool.keys().to_vec()))
            .unzip();
        let keys: Vec<SessionKey> = keys.into_iter().flatten().collect();
        for key in keys {
            match self.sessions.get_mut(key) {
                Some(session) if session.in_flight() > 0 => session.drain(),
                Some(_) | None => drop(self.stop_session(key)),
            }
        }
        let stopped = slots.into_iter();
        stopped
            .flat_map(|slot| self.stop_isolation_at(slot))
            .collect()
    }

    /// Closes a session in good order. Returns those who waited for it.
    fn stop_session(&mut self, key: SessionKey) -> Vec<ExchangeKey> {
        let Some(session) = self.remove_session(key, Ending::Stopped) else {
            return Vec::new();
        };
        self.actions.push_back(Action::CloseSession(key));
        session.unanswered()
    }
}
