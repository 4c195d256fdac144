//! Links between pages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::page::root;

/// All pages of the repository.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["target", ".git", "fuzz"].contains(&name) && !path.is_symlink() {
            pages(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The anchors of a page's headings, as code hosts make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let titles = headings.map(|line| line.trim_start_matches('#').trim());
    titles
        .map(|title| {
            let stays = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
            let anchor: String = title.chars().filter(stays).collect();
            anchor.to_lowercase().replace(' ', "-")
        })
        .collect()
}

/// What is between `](` and `)`.
pub(crate) fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|behind| behind.split_once(')'))
        .map(|(it, _)| it)
}

/// The links that lead nowhere.
pub(crate) fn broken() -> Vec<String> {
    let mut all = Vec::new();
    pages(&root(), &mut all);
    assert!(all.len() > 15, "{all:?}");
    let mut broken = Vec::new();
    let mut count = 0;
    for path in all {
        let text = fs::read_to_string(&path).unwrap();
        for target in targets(&text).filter(|it| !it.contains("://") && !it.contains('\n')) {
            count += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => path.clone(),
                _ => path.parent().unwrap().join(file),
            };
            let is_there = match (file.exists(), anchor) {
                (false, _) => false,
                (true, "") => true,
                (true, anchor) => anchors(&fs::read_to_string(file).unwrap()).contains(anchor),
            };
            if !is_there {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(count > 100, "{count} links");
    broken
}
