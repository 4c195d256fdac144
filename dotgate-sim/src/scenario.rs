//! Behaviours as text: reads the files of the folder `scenarios`, runs them, and makes `docs/faults.md` of them.
//!
#![doc = include_str!("../../scenarios/README.md")]

mod checks; // what was seen, compared with what was expected
mod clients; // connections and cookies of clients
mod description; // its upstreams, settings and steps
mod parse; // from text to steps
mod portal; // a portal window, as the control thread of the program has it
mod reload; // lists, private addresses, local data
mod report; // the table of docs/faults.md
mod run; // from steps to what was seen
mod state; // what a run knows
mod step;
mod words;

pub use description::Scenario;
pub(crate) use report::cells;
pub use report::{Elsewhere, table};
pub use run::{Outcome, run, run_routed};
pub use words::Mistake;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;

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
