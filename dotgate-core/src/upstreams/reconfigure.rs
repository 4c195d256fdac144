//! Other settings while questions are in flight.

use std::collections::HashSet;
use std::sync::Arc;

use super::Upstreams;
use crate::counters::labels::Ending;
use crate::groups::Groups;
use crate::keys::{ExchangeKey, SessionKey};
use crate::moment::Moment;
use crate::outbox::Action;
use crate::settings::Settings;

impl Upstreams {
    /// Uses other settings from now on. An upstream that is the same keeps its sessions and what is known of it. One that
    /// is gone is asked nothing more, and its sessions end once what they carry is answered or given up.
    /// A group that is configured has the upstreams of now for what it was asked; what was asked of another group stays with
    /// that one to its end, for it may not be asked elsewhere.
    pub(crate) fn reconfigure(&mut self, now: Moment, settings: &Arc<Settings>, groups: &Groups) {
        let orphans = self.vacate_slots(settings);
        self.settings = Arc::clone(settings);
        self.pools.reconfigure(settings);
        for (_, attempts) in &mut self.attempts {
            groups.renew(&mut attempts.group);
        }
        self.waiting.renew_groups(groups);
        let suspects = self.leave_upstreams();
        for key in orphans.into_iter().chain(suspects) {
            self.advance(now, key);
        }
        self.serve_waiting(now);
    }

    /// Ends the sessions of upstreams whose slots other upstreams need. Returns the exchanges that were asked there
    /// and nowhere else.
    fn vacate_slots(&mut self, settings: &Settings) -> Vec<ExchangeKey> {
        let taken = self.pools.taken_by(settings);
        let mut orphans = HashSet::new();
        for slot in taken {
            let keys = self.pools.get(slot).map(|pool| pool.keys().to_vec());
            for key in keys.unwrap_or_default() {
                orphans.extend(self.stop_session(key));
            }
            orphans.extend(self.stop_isolation_at(slot));
            for (_, attempts) in &mut self.attempts {
                attempts.forget_upstream(slot);
            }
            if let Some(counters) = self.tally.upstream(slot) {
                counters.clear();
            }
        }
        let sessions = &self.sessions;
        let mut orphans: Vec<ExchangeKey> = orphans.into_iter().collect();
        orphans.retain(|key| {
            self.attempts.get_mut(*key).is_some_and(|attempts| {
                attempts.take_back_on(|key| !sessions.contains_key(key));
                !attempts.is_running()
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
