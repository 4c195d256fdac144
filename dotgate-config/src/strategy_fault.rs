//! What is wrong with the strategy of a group, in words that say what to do.
//! It is under `Problem`, and knows nothing of groups but their names.

use std::fmt;

/// What is wrong with the strategy of a group.
#[derive(Debug)]
pub struct StrategyFault {
    /// The group.
    pub(super) group: String,
    pub(super) kind: FaultKind,
}

/// Which.
#[derive(Debug)]
pub(super) enum FaultKind {
    /// All upstreams of the group are of this operator.
    OneOperator(String),
    /// Names are sharded without a key.
    ShardWithoutKey,
    /// An upstream has a weight, and upstreams do not take turns.
    WeightWithoutTurns,
}

impl fmt::Display for StrategyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {}: ", self.group)?;
        match &self.kind {
            FaultKind::OneOperator(operator) => write!(
                f,
                "the strategy shard divides names among operators, but all upstreams belong to {operator}\n  to do: \
                 add an upstream of another operator, or choose another strategy"
            ),
            FaultKind::ShardWithoutKey => write!(
                f,
                "the strategy shard needs DOTGATE_DNS_SHARD_KEY, which decides which operator gets which domain\n  \
                 to do: set it to what `openssl rand -hex 16` prints, and to the same for all instances with the same clients"
            ),
            FaultKind::WeightWithoutTurns => write!(
                f,
                "an upstream has a weight, which applies only to the strategy round-robin\n  to do: remove the \
                 weight, or choose round-robin"
            ),
        }
    }
}
