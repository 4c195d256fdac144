//! What a line of a list says.

use dotgate_core::{ListAction, ListScope};

use crate::lines::WireName;

/// One entry of a list.
#[derive(Debug)]
pub(super) struct ListEntry {
    pub(super) name: WireName,
    pub(super) scope: ListScope,
    pub(super) action: ListAction,
}
