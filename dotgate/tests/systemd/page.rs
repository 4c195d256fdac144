//! The commands of a page of `docs`, as they are printed.

use std::fs;
use std::path::Path;

/// A page of `docs`.
pub(crate) fn text(page: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    fs::read_to_string(docs.join(page)).unwrap()
}

/// The indented blocks below a heading of a page, up to the next heading.
pub(crate) fn blocks(page: &str, heading: &str) -> Vec<String> {
    let text = text(page);
    let heading = format!("## {heading}");
    let mut lines = text.lines().skip_while(|line| **line != heading);
    assert!(lines.next().is_some(), "{page} has no {heading:?}");
    let mut blocks = Vec::new();
    let mut is_inside = false;
    for line in lines.take_while(|line| !line.starts_with("## ")) {
        match (line.strip_prefix("    "), is_inside) {
            (Some(line), false) => blocks.push(format!("{line}\n")),
            (Some(line), true) => {
                let block = blocks.last_mut().unwrap();
                *block += &format!("{line}\n");
            }
            (None, _) => {}
        }
        is_inside = line.starts_with("    ") || is_inside && line.is_empty();
    }
    assert!(!blocks.is_empty(), "{page}: {heading:?} has no commands");
    blocks
}
