//! What the strategies of groups need: weights, the key of `shard`, and more than one operator.
//! It is above routes and under `Config`. What is refused here would have no effect.

use std::num::NonZeroU8;

use dotgate_core::{ShardKey, Strategy};

use super::origin::Origin;
use super::problem::Problem;
use super::reader::Reader;
use super::routes::GroupConfig;
use super::settings::{DNS_HEDGE, DNS_SHARD_KEY, DNS_STRATEGY};
use super::strategy_fault::{FaultKind, StrategyFault};
use super::upstream::UpstreamSpec;

/// The weights of upstreams.
pub(super) fn weights<'s>(specs: impl IntoIterator<Item = &'s UpstreamSpec>) -> Vec<NonZeroU8> {
    let weight = |spec: &UpstreamSpec| spec.parameters.weight.unwrap_or(NonZeroU8::MIN);
    specs.into_iter().map(weight).collect()
}

/// How upstreams are selected, besides what belongs to one group.
pub(super) struct Selection {
    /// The strategy of the default group.
    pub(super) strategy: Strategy,
    pub(super) shard_key: ShardKey,
    pub(super) hedge_percent: u8,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Selection> {
    let strategy = reader.value(&DNS_STRATEGY);
    let key = reader.optional(&DNS_SHARD_KEY);
    let hedge = reader.value(&DNS_HEDGE);
    Some(Selection {
        strategy: strategy?,
        shard_key: key.unwrap_or_default(),
        hedge_percent: hedge?,
    })
}

/// Finds strategies without what they need, and weights where no upstreams take turns.
pub(super) fn refuse_useless(
    reader: &mut Reader<'_>,
    groups: &[(GroupConfig, Origin)],
    key: ShardKey,
) {
    // Nobody has a key of zeros.
    let has_key = key != ShardKey::default();
    for (group, origin) in groups {
        let mut refuse = |kind| {
            let (origin, group) = (origin.clone(), group.label.clone());
            let fault = StrategyFault { group, kind };
            reader.problems.push(Problem::Strategy { origin, fault });
        };
        let mut weights = group.weights.iter();
        if group.strategy != Strategy::RoundRobin && weights.any(|it| *it != NonZeroU8::MIN) {
            refuse(FaultKind::WeightWithoutTurns);
        }
        if group.strategy != Strategy::Shard {
            continue;
        }
        if !has_key {
            refuse(FaultKind::ShardWithoutKey);
        }
        let mut operators = group.upstreams.iter().map(|it| it.operator());
        let first = operators.next().unwrap_or_default();
        if operators.all(|operator| operator == first) {
            refuse(FaultKind::OneOperator(first.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests;
