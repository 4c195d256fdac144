//! What the settings say about names that are blocked, and about private addresses in public answers.

use std::path::PathBuf;

use dotgate_core::{Dns64Prefix, Substitute};

/// What is filtered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilterConfig {
    /// Files with names that are blocked.
    pub block_files: Vec<PathBuf>,
    /// Files with names that are never blocked.
    pub allow_files: Vec<PathBuf>,
    /// What clients get for a blocked name.
    pub substitute: Substitute,
    /// What clients get in place of a public answer with private addresses; none if they get the answer.
    pub rebinding: Option<Substitute>,
    /// Names at and below which private addresses are right: uncompressed, in lower case.
    pub rebinding_except: Vec<Vec<u8>>,
    /// The prefix for DNS64 of the default group: cached answers are judged again when it changes.
    pub dns64: Option<Dns64Prefix>,
}

impl FilterConfig {
    /// All files, those with blocked names first.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.block_files.iter().chain(&self.allow_files)
    }
}
