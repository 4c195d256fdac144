//! The groups of upstreams in the status.

use dotgate_core::WAITED;
use dotgate_core::labels::Outcome;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::running::Running;
use crate::upstreams::Group;

/// What is known of a group.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct GroupReport {
    /// `default`, or the first suffix of a route.
    pub(super) group: String,
    /// `up`, or `down` if all its upstreams are.
    pub(super) state: String,
    /// Queries that waited for its upstreams since the start.
    pub(super) queries: u64,
    /// Those of them that failed.
    pub(super) failed: u64,
}

impl GroupReport {
    /// All groups, that of the default route first.
    pub(super) fn all(running: &Running) -> Vec<GroupReport> {
        let groups = running.groups();
        groups.iter().map(|group| GroupReport::of(group)).collect()
    }

    fn of(group: &Group) -> GroupReport {
        let counters = group.counters();
        let queries = WAITED.map(|outcome| counters.queries(outcome));
        GroupReport {
            group: group.label().to_owned(),
            state: if group.is_up() { "up" } else { "down" }.to_owned(),
            queries: queries.iter().sum(),
            failed: counters.queries(Outcome::Failed),
        }
    }
}
