//! The strategy `fastest`: who answers clients' questions soonest.
//!
//! Upstreams nearly as fast as the fastest one are equally good; of two of them, chosen at random, the one with fewer
//! questions in flight is asked. What is known of the others grows old: now and then one of them is sent a copy of a
//! question that its client gets from the chosen one, or from the other if that is faster. So no client waits for an
//! upstream to be tried, and all are measured by the same questions.

use std::time::Duration;

use super::order::Sequence;
use crate::keys::UpstreamId;
use crate::limits;
use crate::limits::GROUP_UPSTREAMS;
use crate::moment::Moment;
use crate::pool::{Pool, Pools, SessionTable};
use crate::settings::GroupSettings;

/// The order for the next question; `random` are bits that no two questions have in common.
pub(super) fn order(
    group: &GroupSettings,
    pools: &Pools,
    sessions: &SessionTable,
    random: u64,
) -> Sequence {
    let mut means: [Option<Duration>; GROUP_UPSTREAMS] = [None; GROUP_UPSTREAMS];
    for (place, mean) in means.iter_mut().enumerate() {
        let pool = pools.at_place(group, place);
        let healthy = pool.filter(|pool| pool.health().is_healthy());
        *mean = healthy.and_then(|pool| pool.response_time.mean());
    }
    let Some(best) = means.iter().flatten().min() else {
        return Sequence::AS_CONFIGURED;
    };
    let bound = *best + *best / limits::NEARLY_AS_FAST_PART + limits::NEARLY_AS_FAST;
    let near = |(place, mean): (usize, &Option<Duration>)| {
        mean.is_some_and(|mean| mean <= bound).then_some(place)
    };
    let near = || means.iter().enumerate().filter_map(near);
    let count = near().count().max(1) as u64;
    let (one, two) = ((random >> 32) % count, random % count);
    let load = |place: usize| {
        let pool = pools.at_place(group, place);
        pool.map_or(0, |pool| pool.in_flight(sessions))
    };
    let chosen = [one, two].map(|number| near().nth(number as usize));
    let first = chosen
        .into_iter()
        .flatten()
        .min_by_key(|place| load(*place));
    Sequence::by_rank(group.upstreams.len(), |place| {
        let mean = means.get(place).copied().flatten();
        (Some(place) != first, mean.unwrap_or(Duration::MAX))
    })
}

/// When to send copies.
#[derive(Debug, Default)]
pub(super) struct Exploration {
    /// Questions since the last copy.
    questions: u32,
}

impl Exploration {
    /// The upstream that a copy of this question goes to, if one does. `asked` is where the question is.
    pub(super) fn next(
        &mut self,
        now: Moment,
        group: &GroupSettings,
        pools: &Pools,
        asked: UpstreamId,
    ) -> Option<UpstreamId> {
        self.questions = self.questions.saturating_add(1);
        if self.questions < limits::EXPLORE_UNKNOWN_EVERY
            || dotgate_wire::planted!("slow-upstreams-are-never-tried-again")
        {
            return None;
        }
        let others = pools.in_order(group);
        let others = others.filter(|(id, pool)| *id != asked && pool.health().is_healthy());
        let known = |pool: &Pool| pool.response_time.measured();
        let (upstream, pool) = others.min_by_key(|(_, pool)| known(pool))?;
        let is_due = match known(pool) {
            None => true,
            Some(measured) => {
                self.questions >= limits::EXPLORE_EVERY && measured + limits::EXPLORE_AFTER <= now
            }
        };
        is_due.then(|| {
            self.questions = 0;
            upstream
        })
    }
}
