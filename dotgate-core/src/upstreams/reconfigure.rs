//! Other settings while questions are in flight.

use std::collections::HashSet;

use super::Upstreams;
use crate::groups::Groups;
use crate::keys::ExchangeKey;
use crate::link::Link;
use crate::moment::Moment;
use crate::settings::Settings;

impl Upstreams {
    /// Uses other settings from now on. An upstream that is the same keeps its sessions and what is known of it. One that
    /// is gone is asked nothing more, and its sessions end once what they carry is answered or given up.
    /// A group that is configured has the upstreams of now for what it was asked; what was asked of another group stays with
    /// that one to its end, for it may not be asked elsewhere.
    pub(crate) fn reconfigure(&mut self, now: Moment, settings: &Settings, groups: &Groups) {
        let orphans = self.vacate_ids(settings);
        self.sessions.reconfigure(settings);
        self.selection.reconfigure(settings);
        self.hedges.reconfigure(settings.hedge_percent);
        self.questions.renew_groups(groups);
        self.waiting.renew_groups(groups);
        let left = self.sessions.leave_upstreams().into_iter();
        let suspects: Vec<ExchangeKey> = left
            .flat_map(|upstream| self.stop_isolation_at(upstream))
            .collect();
        let overdue = self.left_over_udp();
        for key in orphans.into_iter().chain(suspects).chain(overdue) {
            self.advance(now, key);
        }
        self.serve_waiting(now);
    }

    /// The questions that are in flight over UDP at removed upstreams, and nowhere else. Nothing retries them when
    /// their datagrams are lost, so they are asked now if their group has other upstreams.
    fn left_over_udp(&self) -> Vec<ExchangeKey> {
        self.questions.asked_only_on(|key| {
            let session = self.sessions.get(key);
            session.is_some_and(|it| it.link == Link::Datagrams && it.is_draining())
        })
    }

    /// Ends the sessions of upstreams whose IDs other upstreams need. Returns the exchanges that were asked there
    /// and nowhere else.
    fn vacate_ids(&mut self, settings: &Settings) -> Vec<ExchangeKey> {
        let taken = self.sessions.pools().taken_by(settings);
        let mut orphans = HashSet::new();
        for upstream in taken {
            orphans.extend(self.sessions.close_all_to(upstream));
            orphans.extend(self.stop_isolation_at(upstream));
            self.questions.forget_upstream(upstream);
            self.hedges.forget_upstream(upstream);
            if let Some(counters) = self.tally.upstream(upstream) {
                counters.clear();
            }
        }
        let mut orphans: Vec<ExchangeKey> = orphans.into_iter().collect();
        let sessions = &self.sessions;
        orphans.retain(|key| {
            let attempts = self.questions.get_mut(*key);
            attempts.is_some_and(|attempts| {
                attempts.take_back_on(|key| !sessions.has(key));
                !attempts.is_running()
            })
        });
        orphans.sort_unstable();
        orphans
    }
}
