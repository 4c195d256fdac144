//! The questions that wait for a session, by group, each group's oldest first.
//!
//! It is between `select` and `pool`: a question waits while no upstream of its group has a session with room. Groups
//! wait apart, so that an outage of one is neither waited for nor given up by another. A question that was served or
//! ended stays in its queue until it is its turn; its place counts only if it waits since then still.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::groups::Groups;
use crate::keys::{ExchangeKey, UpstreamId};
use crate::limits;
use crate::moment::Moment;
use crate::questions::Questions;
use crate::settings::GroupSettings;

/// One that waits, and since when.
pub(crate) type Waiting = (Moment, ExchangeKey);

/// Those of one group.
struct GroupQueue {
    group: Arc<GroupSettings>,
    queue: VecDeque<Waiting>,
}

/// The queues of all groups for which something waits.
#[derive(Default)]
pub(crate) struct WaitingQueues {
    queues: Vec<GroupQueue>,
    /// When to look for upstreams that another worker found healthy, while something waits.
    next_review: Option<Moment>,
    /// Recoveries of upstreams, by any worker, that were seen in reviews.
    recoveries_seen: u64,
}

impl WaitingQueues {
    /// Adds one that begins to wait.
    pub(crate) fn begin(&mut self, group: &Arc<GroupSettings>, waiting: Waiting) {
        self.push(group, waiting);
        self.next_review
            .get_or_insert(waiting.0 + limits::RECOVERY_REVIEW);
    }

    /// Adds one.
    pub(crate) fn push(&mut self, group: &Arc<GroupSettings>, waiting: Waiting) {
        let mut queues = self.queues.iter_mut();
        match queues.find(|entry| entry.group.route == group.route) {
            Some(entry) => entry.queue.push_back(waiting),
            None => self.queues.push(GroupQueue {
                group: Arc::clone(group),
                queue: VecDeque::from([waiting]),
            }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queues.iter().all(|entry| entry.queue.is_empty())
    }

    /// How many wait for a group with this upstream, at most.
    pub(crate) fn count_for(&self, upstream: UpstreamId) -> usize {
        let queues = self.queues.iter();
        let queues = queues.filter(|entry| entry.group.has(upstream));
        queues.map(|entry| entry.queue.len()).sum()
    }

    /// The group and the oldest of each queue.
    pub(crate) fn oldest(&self) -> impl Iterator<Item = (&GroupSettings, Waiting)> {
        let queues = self.queues.iter();
        queues.filter_map(|entry| Some((&*entry.group, *entry.queue.front()?)))
    }

    /// All that wait for a group with this upstream.
    pub(crate) fn all_for(&self, upstream: UpstreamId) -> impl Iterator<Item = ExchangeKey> {
        let queues = self.queues.iter();
        let queues = queues.filter(move |entry| entry.group.has(upstream));
        queues.flat_map(|entry| entry.queue.iter().map(|(_, key)| *key))
    }

    /// How many queues there are, and how many wait in one of them.
    pub(crate) fn queues(&self) -> usize {
        self.queues.len()
    }

    pub(crate) fn len_of(&self, queue: usize) -> usize {
        self.queues.get(queue).map_or(0, |entry| entry.queue.len())
    }

    /// Takes the oldest of a queue. The queue stays, even if it is empty then.
    pub(crate) fn pop(&mut self, queue: usize) -> Option<Waiting> {
        self.queues.get_mut(queue)?.queue.pop_front()
    }

    /// One that was taken and waits again keeps the time since when it waits. False if it does not wait.
    pub(crate) fn keep_since(&mut self, queue: usize, (since, key): Waiting) -> bool {
        let queue = self.queues.get_mut(queue);
        match queue.and_then(|entry| entry.queue.back_mut()) {
            Some((restarted, last)) if *last == key => {
                *restarted = since;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes those of the hopeless groups that have waited for `least` at `now`.
    pub(crate) fn take_hopeless(
        &mut self,
        now: Moment,
        least: Duration,
        is_hopeless: impl Fn(&GroupSettings) -> bool,
    ) -> Vec<Waiting> {
        let mut taken = Vec::new();
        for entry in &mut self.queues {
            if is_hopeless(&entry.group) {
                let young = entry
                    .queue
                    .iter()
                    .position(|(since, _)| *since + least > now);
                taken.extend(entry.queue.drain(..young.unwrap_or(entry.queue.len())));
            }
        }
        self.drop_empty();
        taken
    }

    /// When `review` is due.
    pub(crate) fn next_review(&self) -> Option<Moment> {
        self.next_review
    }

    /// Whether it is time to look for recoveries; `count` says how many there were so far. True if there are new ones.
    pub(crate) fn finds_recoveries(&mut self, now: Moment, count: impl FnOnce() -> u64) -> bool {
        if self.next_review.is_none_or(|due| due > now) {
            return false;
        }
        let recoveries = count();
        std::mem::replace(&mut self.recoveries_seen, recoveries) != recoveries
    }

    /// Ends a review that was due: drops those that were served or ended meanwhile.
    pub(crate) fn end_review(&mut self, now: Moment, questions: &Questions) {
        if self.next_review.is_none_or(|due| due > now) {
            return;
        }
        for entry in &mut self.queues {
            entry.queue.retain(|waiting| questions.waits(*waiting));
        }
        self.drop_empty();
        self.next_review = (!self.is_empty()).then(|| now + limits::RECOVERY_REVIEW);
    }

    /// Other groups are configured from now on.
    pub(crate) fn renew_groups(&mut self, groups: &Groups) {
        for entry in &mut self.queues {
            groups.renew(&mut entry.group);
        }
    }

    /// Removes empty queues.
    pub(crate) fn drop_empty(&mut self) {
        self.queues.retain(|entry| !entry.queue.is_empty());
    }
}
