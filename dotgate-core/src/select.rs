//! Selects the upstream and the session for an attempt.
//!
//! It is between a question and `pool`. The upstreams of the question's group, and no others, are asked in an order that
//! the strategy of the group gives the question once (`order`): that of the settings, `fastest`, in turns (`balance`), or
//! by the operator of the name's domain (`shard`). In any order, one that is not healthy, opens slowly, or has failed
//! this question already comes last. `copy` is where a copy of a late question goes. Owns what turns and measurements have come to; of pools and sessions it only reads.

mod balance;
mod copy;
mod fastest;
pub(crate) mod order;
mod shard;

use self::balance::Balance;
pub(crate) use self::copy::{CopySite, copy_site};
use self::fastest::Exploration;
use self::order::Sequence;
pub(crate) use self::shard::may_learn;
use crate::attempts::Attempts;
use crate::counters::labels::Strategy;
use crate::keys::{SessionKey, UpstreamId};
use crate::moment::Moment;
use crate::pool::{Pools, SessionTable};
use crate::routes::RouteId;
use crate::settings::{GroupSettings, Settings, ShardKey};

/// What one worker has to know to select.
pub(crate) struct Selection {
    groups: Vec<GroupState>,
    shard_key: ShardKey,
    /// Decides between upstreams that are equally good; nothing secret depends on it.
    random: u64,
}

/// What selection knows of one group.
struct GroupState {
    route: RouteId,
    balance: Balance,
    exploration: Exploration,
    /// The hashes of operators, where names are sharded.
    operators: Vec<u64>,
}

impl Selection {
    pub(crate) fn new(settings: &Settings, random: u64) -> Selection {
        let mut selection = Selection {
            groups: Vec::new(),
            shard_key: settings.shard_key,
            random,
        };
        selection.reconfigure(settings);
        selection
    }

    /// Uses these settings from now on; turns begin again.
    pub(crate) fn reconfigure(&mut self, settings: &Settings) {
        let key = settings.shard_key;
        let state = |group: &GroupSettings| GroupState {
            route: group.route,
            balance: Balance::default(),
            exploration: Exploration::default(),
            operators: match group.strategy {
                Strategy::Shard => shard::operators(key, group),
                Strategy::Ordered | Strategy::Fastest | Strategy::RoundRobin => Vec::new(),
            },
        };
        self.groups = settings.groups.iter().map(state).collect();
        self.shard_key = key;
    }

    /// The order in which a question is asked. It is asked once for each question, for it is that question's turn.
    pub(crate) fn order(
        &mut self,
        attempts: &Attempts,
        pools: &Pools,
        sessions: &SessionTable,
    ) -> Sequence {
        let group = &*attempts.group;
        if group.strategy == Strategy::Ordered {
            return Sequence::AS_CONFIGURED;
        }
        let random = self.next_random();
        let mut groups = self.groups.iter_mut();
        // A question may have outlived its group.
        let Some(state) = groups.find(|state| state.route == group.route) else {
            return Sequence::AS_CONFIGURED;
        };
        match group.strategy {
            Strategy::Ordered => Sequence::AS_CONFIGURED,
            Strategy::Fastest => fastest::order(group, pools, sessions, random),
            Strategy::RoundRobin => {
                let places = group.upstreams.iter().enumerate();
                let healthy = places.filter_map(|(place, upstream)| {
                    let pool = pools.at_place(group, place)?;
                    let weight = match dotgate_wire::planted!("weights-are-ignored") {
                        true => 1,
                        false => upstream.weight.get(),
                    };
                    pool.health().is_healthy().then_some((place, weight))
                });
                let first = state.balance.next(healthy).unwrap_or_default();
                Sequence::from_place(first, group.upstreams.len())
            }
            Strategy::Shard => {
                shard::order(self.shard_key, &state.operators, attempts.question.name())
            }
        }
    }

    /// The upstream that a copy of a question goes to, which is asked at `asked`, so that it is known how fast it is.
    pub(crate) fn explores(
        &mut self,
        now: Moment,
        group: &GroupSettings,
        pools: &Pools,
        asked: UpstreamId,
    ) -> Option<UpstreamId> {
        if group.strategy != Strategy::Fastest {
            return None;
        }
        let mut groups = self.groups.iter_mut();
        let state = groups.find(|state| state.route == group.route)?;
        state.exploration.next(now, group, pools, asked)
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// What to do for an exchange that needs an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    /// Ask on this session.
    Ask(SessionKey),
    /// Ask on this session, and open one to the upstream whose turn it was.
    AskMeanwhile(SessionKey, UpstreamId),
    /// Open a session to this upstream and wait for the first that becomes open.
    Open(UpstreamId),
    /// Wait: sessions are being opened, or will be tried when their time has come.
    Wait,
    /// Every upstream has answered with an error: none is left to try.
    Nowhere,
}

/// Chooses for a question, in this order: a healthy upstream that has not failed it; one that is recovering and
/// has a session open; a fresh session to one that failed it; else a session must be opened first. Where any upstream of
/// the group may have the question, it does not wait for a session while another one has one.
pub(crate) fn choose(attempts: &Attempts, pools: &Pools, sessions: &SessionTable) -> Choice {
    let order = attempts.order.unwrap_or(Sequence::AS_CONFIGURED);
    let upstreams = || pools.in_turn(&attempts.group, order);
    let may_differ = attempts.group.strategy.spreads();
    let mut opens = None;
    let is_untried = |upstream: UpstreamId| {
        !attempts.answered_by.has(upstream)
            && !attempts.failed_at.has(upstream)
            && !attempts.runs_at(upstream)
    };
    for (upstream, pool) in upstreams() {
        let comes_first = dotgate_wire::planted!("unhealthy-upstream-comes-first")
            && pool.with_room(sessions, None).is_some();
        if is_untried(upstream) && (pool.health().is_healthy() || comes_first) {
            if let Some(session) = pool.with_room(sessions, None) {
                return match opens {
                    Some(turn) => Choice::AskMeanwhile(session, turn),
                    None => Choice::Ask(session),
                };
            }
            if !pool.opens_slowly(sessions) && pool.may_grow(sessions) {
                if !may_differ {
                    return Choice::Open(upstream);
                }
                opens.get_or_insert(upstream);
            }
        }
    }
    if let Some(turn) = opens {
        return Choice::Open(turn);
    }
    for (upstream, pool) in upstreams() {
        if is_untried(upstream)
            && let Some(session) = pool.with_room(sessions, None)
        {
            return Choice::Ask(session);
        }
    }
    let may_ask_again = |upstream: UpstreamId| !attempts.answered_by.has(upstream);
    for (upstream, pool) in upstreams() {
        if may_ask_again(upstream)
            && let Some(session) = pool.with_room(sessions, attempts.fresh_after)
        {
            return Choice::Ask(session);
        }
    }
    for (upstream, pool) in upstreams() {
        if may_ask_again(upstream)
            && pool.health().is_healthy()
            && !pool.awaits_opening(sessions)
            && pool.may_grow(sessions)
        {
            return Choice::Open(upstream);
        }
    }
    if upstreams().any(|(upstream, _)| may_ask_again(upstream)) {
        Choice::Wait
    } else {
        Choice::Nowhere
    }
}
