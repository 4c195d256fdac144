//! Reads a list in whatever form it has.

use dotgate_core::ListAction;

use super::entry::ListEntry;
use super::fault::ListLineFault;
use super::{hosts, rpz};

/// What a list is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Its names are blocked.
    Block,
    /// Its names are allowed.
    Allow,
}

/// Gives every entry of a list to `each`, with its line, or what is wrong with the line, until that fails.
///
/// # Errors
/// Those of `each`.
pub fn read<E>(
    text: &[u8],
    purpose: Purpose,
    each: impl FnMut(u32, Result<ListEntry, ListLineFault>) -> Result<(), E>,
) -> Result<(), E> {
    match purpose {
        Purpose::Block if rpz::is_zone(text) => rpz::read(text, each),
        Purpose::Block => hosts::read(text, &ListAction::Block, each),
        Purpose::Allow => hosts::read(text, &ListAction::Allow, each),
    }
}
