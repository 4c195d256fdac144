//! The committed inputs in `tests/corpus`: messages found worth keeping, each checked as in the
//! fuzz targets.
//!
//! One file is one input; what a fuzzer finds goes here once it is mended.

use std::fs;
use std::path::Path;

use crate::checks::{check_answer, check_frame, check_query};

/// Runs `check` on every input of one folder and returns how many there were.
fn run(folder: &str, check: impl Fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(folder);
    let inputs = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    inputs
        .inspect(|path| check(&fs::read(path).unwrap()))
        .count()
}

#[test]
fn every_corpus_query_passes_its_checks() {
    assert!(run("query", check_query) > 0);
}

#[test]
fn every_corpus_answer_passes_its_checks() {
    assert!(
        run("answer", |input| {
            check_answer(input);
        }) > 0
    );
}

#[test]
fn every_corpus_frame_passes_its_checks() {
    assert!(run("frame", check_frame) > 0);
}
