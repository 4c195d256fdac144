//! Behaviours as text: reads the files of the folder `scenarios`, runs them, and makes `docs/faults.md` of them.
//!
#![doc = include_str!("../../scenarios/README.md")]

mod checks; // what was seen, compared with what was expected
mod parse; // from text to steps
mod reload; // lists, private addresses, local data
mod report; // the table of docs/faults.md
mod run; // from steps to what was seen
mod step;
mod words;

pub(crate) use report::cells;
pub use report::{Elsewhere, table};
pub use run::{Outcome, run, run_routed};
pub use words::Mistake;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::num::NonZeroU8;
use std::path::Path;

use dotgate_core::Settings;

use crate::script::Script;
use step::Step;

/// One behaviour, as its file tells it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file's name, with its ending.
    pub file: String,
    /// The first line.
    pub shows: String,
    /// The injected fault, in the words of the table.
    pub fault: String,
    /// The first seed.
    pub seed: u64,
    /// How many seeds it must hold for.
    pub seeds: u64,
    upstreams: Vec<Upstream>,
    settings: Settings,
    /// The size of the cache, in bytes.
    cache_bytes: usize,
    workers: usize,
    steps: Vec<StepLine>,
}

#[derive(Clone, Debug)]
struct StepLine {
    line: usize,
    text: String,
    step: Step,
}

#[derive(Clone, Debug)]
struct Upstream {
    name: String,
    script: Script,
    /// Whether it is queried without TLS.
    is_plain: bool,
    weight: NonZeroU8,
    /// Who runs it, if not it alone.
    operator: Option<String>,
    /// Whether the seed decides how bytes are cut.
    is_cut_by_seed: bool,
}

impl Scenario {
    /// Understands the text of a file.
    ///
    /// # Errors
    /// The first line that cannot be understood.
    pub fn read(file: &str, text: &str) -> Result<Scenario, Mistake> {
        parse::scenario(file, text)
    }

    /// All seeds it must hold for.
    pub fn all_seeds(&self) -> std::ops::Range<u64> {
        self.seed..self.seed + self.seeds
    }
}

/// The scenarios of a folder, by name.
///
/// # Errors
/// A folder or file that cannot be read.
pub fn folder(path: &Path) -> io::Result<Vec<Result<Scenario, Mistake>>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "scenario") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Scenario::read(&name, &fs::read_to_string(path)?))
    };
    paths.iter().map(read).collect()
}
