//! Local data and lists in the status.

use schemars::JsonSchema;
use serde::Serialize;

use crate::local::Local;

/// What is answered here, and what is filtered.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LocalReport {
    /// Names with local data, reverse names included.
    names: usize,
    /// Their records.
    records: usize,
    /// The memory that they take.
    bytes: usize,
    /// Names on block and allow lists.
    listed_names: usize,
    /// The memory that these take.
    listed_bytes: usize,
    /// Whether answers with private addresses are replaced.
    rebind_protection: bool,
}

impl LocalReport {
    pub(super) fn of(local: &Local) -> LocalReport {
        let (data, lists) = (local.data(), local.filter().count());
        let data = data.as_ref();
        LocalReport {
            names: data.map_or(0, |data| data.names()),
            records: data.map_or(0, |data| data.records()),
            bytes: data.map_or(0, |data| data.bytes()),
            listed_names: lists.names,
            listed_bytes: lists.bytes,
            rebind_protection: local.filter().filter().rebinding.is_some(),
        }
    }
}
