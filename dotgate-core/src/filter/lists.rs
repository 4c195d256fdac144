//! Names that are blocked or allowed, by exact name and by what lies below one.
//!
//! Made outside the path of a query, never changed, shared by all workers. A name is looked up with all its suffixes:
//! allowed is what has an allowed suffix; else the longest suffix that says something decides. Limit:
//! [`limits::LISTED_NAMES`] names, each with its bytes, one more, and 5 to 12 of the table.

use std::error::Error;
use std::fmt;

use super::Substitute;
use crate::limits;
use crate::local::{Table, TableBuilder};
use crate::suffixes::{Labels, Starts, padded};

/// For which names an entry of a list stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListScope {
    /// For its own name.
    Exact,
    /// For all names below it.
    Below,
    /// For both.
    Subtree,
}

/// What an entry of a list says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListAction {
    /// The name is allowed, regardless of other entries.
    Allow,
    /// The name passes, unless an entry for a longer name says otherwise.
    Pass,
    /// The name is denied in the way that is set.
    Block,
    /// The name is denied in this way.
    Deny(Substitute),
    /// The name is an alias of this one, which is uncompressed and in lower case.
    Redirect(Box<[u8]>),
}

/// What lists say about a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listed<'l> {
    /// Nothing.
    No,
    /// It passes.
    Allowed,
    /// It is denied, perhaps in this way, by an entry for a suffix of so many bytes.
    Denied(Option<Substitute>, usize),
    /// It is an alias of this name.
    Redirected(&'l [u8]),
}

/// Why an entry cannot be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListFault {
    /// There are too many names.
    TooMany,
}

impl fmt::Display for ListFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListFault::TooMany => {
                let most = limits::LISTED_NAMES;
                write!(out, "all lists together have more than {most} names")
            }
        }
    }
}

impl Error for ListFault {}

/// How many entries there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ListCount {
    /// Names with an entry.
    pub names: usize,
    /// The memory they take, in bytes.
    pub bytes: usize,
}

/// What an entry says, in four bits: the lower ones are for its name, the upper ones for what lies below.
mod code {
    pub(super) const NONE: u8 = 0;
    pub(super) const BLOCK: u8 = 1;
    pub(super) const NXDOMAIN: u8 = 2;
    pub(super) const NODATA: u8 = 3;
    pub(super) const NULL_ADDRESS: u8 = 4;
    pub(super) const REFUSED: u8 = 5;
    pub(super) const PASS: u8 = 6;
    pub(super) const REDIRECT: u8 = 7;
    pub(super) const ALLOW: u8 = 8;
}

/// The bits of what lies below.
const BELOW: u32 = 4;
const CODE: u8 = 0x0f;

/// The names of all lists.
pub struct Lists {
    table: Table,
    /// The numbers of labels that names have, one bit each.
    depths: u128,
    redirects: Redirects,
}

/// Where entries lead to: the place of an entry, whether it is for what lies below, and the name. Sorted once whole.
type Redirects = Vec<(u32, bool, Box<[u8]>)>;

impl fmt::Debug for Lists {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Lists")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl Lists {
    /// How many entries there are.
    pub fn count(&self) -> ListCount {
        let redirects = self.redirects.iter();
        let redirects: usize = redirects
            .map(|(_, _, target)| target.len() + size_of::<(u32, bool, Box<[u8]>)>())
            .sum();
        ListCount {
            names: self.table.len(),
            bytes: self.table.bytes() + redirects,
        }
    }

    /// Looks a name up: uncompressed, in lower case.
    pub(crate) fn find(&self, name: &[u8]) -> Listed<'_> {
        self.find_labels(&Labels::of(&padded(name), &mut Starts::new()))
    }

    /// Looks a name up by its labels.
    pub(crate) fn find_labels(&self, labels: &Labels<'_>) -> Listed<'_> {
        let mut found = Listed::No;
        let mut depths = self.depths;
        for suffix in labels.with_root(self.table.key()) {
            if depths == 0 {
                break;
            }
            let is_of_depth = depths & 1 != 0;
            depths >>= 1;
            if !is_of_depth {
                continue;
            }
            let name = labels.from(suffix.start);
            let Some((place, codes)) = self.table.find_with_place(suffix.hash, name) else {
                continue;
            };
            let codes = codes.first().copied().unwrap_or_default();
            let is_below = suffix.start > 0;
            let code = if is_below {
                codes >> BELOW
            } else {
                codes & CODE
            };
            match code {
                code::NONE => {}
                code::ALLOW if !dotgate_wire::planted!("allowed-names-are-blocked") => {
                    return Listed::Allowed;
                }
                code::PASS => found = Listed::Allowed,
                code::REDIRECT => found = self.redirect(place, is_below),
                _ => found = Listed::Denied(substitute_of(code), name.len()),
            }
        }
        found
    }

    /// Where the entry in this place leads to.
    fn redirect(&self, place: u32, is_below: bool) -> Listed<'_> {
        let redirects = &self.redirects;
        let key = |(place, is_below, _): &(u32, bool, Box<[u8]>)| (*place, *is_below);
        let found = redirects.binary_search_by_key(&(place, is_below), key);
        let found = found.ok().and_then(|found| redirects.get(found));
        found.map_or(Listed::No, |(_, _, target)| Listed::Redirected(target))
    }
}

/// The way in which a code denies, if it says one.
fn substitute_of(code: u8) -> Option<Substitute> {
    match code {
        code::NXDOMAIN => Some(Substitute::NxDomain),
        code::NODATA => Some(Substitute::NoData),
        code::NULL_ADDRESS => Some(Substitute::NullAddress),
        code::REFUSED => Some(Substitute::Refused),
        _ => None,
    }
}

fn code_of(action: &ListAction) -> u8 {
    match action {
        ListAction::Allow => code::ALLOW,
        ListAction::Pass => code::PASS,
        ListAction::Block => code::BLOCK,
        ListAction::Deny(Substitute::NxDomain) => code::NXDOMAIN,
        ListAction::Deny(Substitute::NoData) => code::NODATA,
        ListAction::Deny(Substitute::NullAddress) => code::NULL_ADDRESS,
        ListAction::Deny(Substitute::Refused) => code::REFUSED,
        ListAction::Redirect(_) => code::REDIRECT,
    }
}

/// Gathers the entries of lists.
pub struct ListsBuilder {
    table: TableBuilder,
    depths: u128,
    redirects: Redirects,
}

impl fmt::Debug for ListsBuilder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ListsBuilder")
            .field("names", &self.table.len())
            .finish_non_exhaustive()
    }
}

impl ListsBuilder {
    /// Begins with none; `seed` keys the hashes of names.
    pub fn new(seed: u64) -> ListsBuilder {
        ListsBuilder {
            table: TableBuilder::new(seed, 0, 0),
            depths: 0,
            redirects: Redirects::new(),
        }
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// Adds an entry for a name, uncompressed and in lower case. Of two entries for the same name and scope the first
    /// one counts, but that it is allowed counts in any case.
    ///
    /// # Errors
    /// [`ListFault::TooMany`].
    pub fn add(
        &mut self,
        name: &[u8],
        scope: ListScope,
        action: ListAction,
    ) -> Result<(), ListFault> {
        let code = code_of(&action);
        let (place, codes) = self.table.entry(name).ok_or(ListFault::TooMany)?;
        let before = *codes;
        let is_allowed = code == code::ALLOW;
        let mut set = |shift: u32| {
            let is_new = (before >> shift) & CODE == code::NONE || is_allowed;
            if is_new {
                *codes = (*codes & !(CODE << shift)) | (code << shift);
            }
            is_new
        };
        let (is_exact, is_below) = match scope {
            ListScope::Exact => (set(0), false),
            ListScope::Below => (false, set(BELOW)),
            ListScope::Subtree => (set(0), set(BELOW)),
        };
        if let ListAction::Redirect(target) = action {
            let kinds = [(is_exact, false), (is_below, true)];
            for (_, is_below) in kinds.into_iter().filter(|(is_set, _)| *is_set) {
                self.redirects.push((place, is_below, target.clone()));
            }
        }
        self.depths |= 1 << Labels::of(&padded(name), &mut Starts::new()).count();
        if self.table.len() > limits::LISTED_NAMES {
            return Err(ListFault::TooMany);
        }
        Ok(())
    }

    /// Ends the gathering.
    pub fn finish(mut self) -> Lists {
        self.redirects.sort_unstable();
        self.redirects.shrink_to_fit();
        Lists {
            table: self.table.finish(),
            depths: self.depths,
            redirects: self.redirects,
        }
    }
}

#[cfg(test)]
mod tests;
