//! What a line of a list says.

use dotgate_core::{ListAction, ListScope};

use crate::lines::WireName;

/// One entry of a list.
#[derive(Debug)]
pub struct ListEntry {
    /// The name.
    pub name: WireName,
    /// For which names it stands.
    pub scope: ListScope,
    /// What it says about them.
    pub action: ListAction,
}
