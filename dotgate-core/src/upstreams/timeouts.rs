//! What upstreams do as time passes, and when.

use super::Upstreams;
use crate::keys::UpstreamId;
use crate::limits;
use crate::moment::{Moment, earlier};
use crate::pool::Pool;
use crate::sessions::Sessions;
use crate::waiting::WaitingQueues;

impl Upstreams {
    /// When time changes something here.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let next = earlier(
            self.sessions.next_deadline(),
            next_try(&self.sessions, &self.waiting),
        );
        let next = earlier(next, self.waiting.next_review());
        let next = earlier(next, self.hedges.next_late());
        earlier(next, self.next_waiting_check())
    }

    /// Serves those who wait for a session where a pause is over, or another worker found an upstream healthy. Comes before
    /// the deadlines of clients, and `on_timeout` after them.
    pub(crate) fn resume(&mut self, now: Moment) {
        if self.sessions.end_pauses(now) {
            self.serve_waiting(now);
        }
        self.review_recoveries(now);
    }

    /// Does everything else that is due.
    pub(crate) fn on_timeout(&mut self, now: Moment) {
        self.expire_sessions(now);
        self.forwarder().copy_late(now);
        self.forwarder().try_unhealthy(now);
        self.give_up_waiting(now);
    }

    /// Another worker may have found an upstream healthy for which questions wait here.
    fn review_recoveries(&mut self, now: Moment) {
        let upstreams = self.sessions.pools().configured();
        let count = || upstreams.map(|(_, pool)| pool.health().generation()).sum();
        let has_recovered = self.waiting.finds_recoveries(now, count);
        if has_recovered && !dotgate_wire::planted!("recovery-elsewhere-is-not-seen") {
            self.serve_waiting(now);
        }
        // Those who were answered elsewhere meanwhile wait no more.
        self.waiting.end_review(now, &self.questions);
    }

    /// When the oldest waiting question of a group has waited long enough, while no upstream of it is hopeful.
    fn next_waiting_check(&self) -> Option<Moment> {
        let checks = self.waiting.oldest().filter_map(|(group, (since, _))| {
            let check = since + limits::OUTAGE_WAIT;
            let mut health = self.sessions.pools().health_of(group);
            let is_hopeful = health.any(|health| health.is_hopeful(check));
            (!is_hopeful).then_some(check)
        });
        let pause = self.sessions.descriptor_pause();
        let pause = pause.filter(|_| !self.waiting.is_empty());
        earlier(checks.min(), pause)
    }
}

/// When the next upstream that is not healthy is to be tried.
fn next_try(sessions: &Sessions, waiting: &WaitingQueues) -> Option<Moment> {
    let wanted = sessions.pools().configured().filter(|(upstream, pool)| {
        !pool.health().is_healthy() && is_try_wanted(sessions, waiting, (*upstream, pool))
    });
    wanted.map(|(_, pool)| pool.health().next_try()).min()
}

/// Whether to try an upstream when that is due: a query waits for it, or did shortly before.
pub(super) fn is_try_wanted(
    sessions: &Sessions,
    waiting: &WaitingQueues,
    (upstream, pool): (UpstreamId, &Pool),
) -> bool {
    let due = pool.health().next_try();
    let has_traffic = pool
        .last_query
        .is_some_and(|last| due < last + limits::TRAFFIC_WITHIN);
    let is_wanted = has_traffic || waiting.count_for(upstream) > 0;
    !sessions.lacks_descriptors()
        && is_wanted
        && !dotgate_wire::planted!("unhealthy-upstream-is-never-tried")
}
