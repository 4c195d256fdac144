//! Lists of names that are blocked or allowed, as the operator wrote them, made into what the engines judge by.
//!
//! It is between the configuration and the start, a reload, and `dotgate check`, next to local data. Whatever is wrong with
//! a file has all of them refused, with file and line. Files that have not changed are not read into a new filter, so
//! that a reload for another reason voids no judgement. Never on the path of a query.
//!
//! Limits: [`FILE_MAX`](crate::lines::FILE_MAX) bytes of a file, [`limits::LISTED_NAMES`](dotgate_core::limits) names.

mod entry;
mod fault;
mod hosts;
mod reader;
mod rpz;
mod rules;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dotgate_config::FilterConfig;
use dotgate_core::{
    Filter, ListAction, ListCount, ListFault, ListScope, Lists, ListsBuilder, Rebinding,
};

pub use self::entry::ListEntry;
pub use self::fault::{ListError, ListLineFault};
pub use self::reader::{Purpose, read};
pub use self::rules::rules_for;
use crate::lines::{FileError, read_file};

/// A filter, and what it was made of.
#[derive(Clone, Debug)]
pub struct LoadedFilter {
    filter: Filter,
    made_of: Option<MadeOf>,
    /// Entries of each file.
    files: Vec<(PathBuf, usize)>,
}

/// What a filter is made of, which makes the same filter again.
#[derive(Clone, PartialEq, Eq, Debug)]
struct MadeOf {
    config: FilterConfig,
    ttl: Duration,
    /// A hash of the content of all files.
    digest: u64,
}

impl Default for LoadedFilter {
    /// One that lets everything pass.
    fn default() -> LoadedFilter {
        LoadedFilter {
            filter: Filter::off(),
            made_of: None,
            files: Vec::new(),
        }
    }
}

impl LoadedFilter {
    /// Reads all that the settings name; `before` is the filter that is active.
    ///
    /// # Errors
    /// The first [`ListError`].
    pub fn load(
        config: &FilterConfig,
        ttl: Duration,
        before: &LoadedFilter,
    ) -> Result<LoadedFilter, ListError> {
        let texts: Result<Vec<_>, FileError> = config.files().map(|path| read_file(path)).collect();
        let texts = texts?;
        let mut hasher = DefaultHasher::new();
        texts.hash(&mut hasher);
        let made_of = Some(MadeOf {
            config: config.clone(),
            ttl,
            digest: hasher.finish(),
        });
        if before.made_of == made_of {
            return Ok(before.clone());
        }
        // Without randomness of the system the hashes are known to all, which is no more than a nuisance.
        let mut builder = ListsBuilder::new(getrandom::u64().unwrap_or_default());
        let mut files = Vec::new();
        let purposes = config.block_files.iter().map(|_| Purpose::Block);
        let purposes = purposes.chain(std::iter::repeat(Purpose::Allow));
        for ((path, text), purpose) in config.files().zip(texts).zip(purposes) {
            let entries = add_file(&mut builder, path, &text, purpose)?;
            files.push((path.clone(), entries));
        }
        let filter = Filter {
            generation: before.filter.generation.wrapping_add(1) % (1 << 31),
            lists: (!builder.is_empty()).then(|| Arc::new(builder.finish())),
            substitute: config.substitute,
            ttl: u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX),
            rebinding: config.rebinding.map(|substitute| Rebinding {
                substitute,
                except: exceptions(&config.rebinding_except),
            }),
            dns64: config.dns64,
        };
        Ok(LoadedFilter {
            filter,
            made_of,
            files,
        })
    }

    /// What the engines judge by.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// How many names the lists have, and the memory they take.
    pub fn count(&self) -> ListCount {
        let lists = self.filter.lists.as_ref();
        lists.map(|lists| lists.count()).unwrap_or_default()
    }

    /// Says what there is, in lines for people.
    pub fn describe(&self) -> Vec<String> {
        let files = self.files.iter();
        let mut lines: Vec<String> = files
            .map(|(path, entries)| format!("list {}: {entries} entries", path.display()))
            .collect();
        let ListCount { names, bytes } = self.count();
        if names > 0 {
            lines.push(format!("lists: {names} names, {bytes} bytes of memory"));
        }
        lines
    }
}

/// Names below which private addresses are right; fewer than there may be.
fn exceptions(names: &[Vec<u8>]) -> Option<Arc<Lists>> {
    let mut builder = ListsBuilder::new(getrandom::u64().unwrap_or_default());
    let mut names = names.iter();
    let add = |name: &Vec<u8>| builder.add(name, ListScope::Subtree, ListAction::Allow);
    let are_added = names.try_for_each(add).is_ok();
    (are_added && !builder.is_empty()).then(|| Arc::new(builder.finish()))
}

/// Adds the entries of a file; returns how many.
fn add_file(
    builder: &mut ListsBuilder,
    path: &Path,
    text: &[u8],
    purpose: Purpose,
) -> Result<usize, ListError> {
    let mut entries = 0;
    read(text, purpose, |line, entry| {
        let added = entry.and_then(|entry| {
            let ListEntry {
                name,
                scope,
                action,
            } = entry;
            let added = builder.add(name.as_slice(), scope, action);
            added.map_err(|ListFault::TooMany| ListLineFault::TooMany)
        });
        entries += 1;
        added.map_err(|fault| ListError::Line {
            path: path.to_owned(),
            line,
            fault,
        })
    })?;
    Ok(entries)
}

#[cfg(test)]
mod tests;
