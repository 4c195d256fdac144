//! The committed inputs in `tests/corpus`: operations found worth keeping, each checked as in the fuzz targets.
//!
//! One file is one input; what a fuzzer finds goes here once it is mended.

use std::fs;
use std::path::Path;

use crate::checks::{check_engine, check_session};

/// Runs `check` on every input of one folder and returns how many there were.
fn run(folder: &str, check: impl Fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(folder);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    for path in &paths {
        check(&fs::read(path).unwrap());
    }
    paths.len()
}

#[test]
fn every_corpus_engine_input_passes_its_checks() {
    assert!(run("engine", check_engine) > 0);
}

#[test]
fn every_corpus_session_input_passes_its_checks() {
    assert!(run("session", check_session) > 0);
}
