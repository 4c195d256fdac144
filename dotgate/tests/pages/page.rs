//! A page of the documentation: its blocks, and the commands in them.

use std::fs;
use std::path::{Path, PathBuf};

/// Pages that the program makes, which have no commands.
const MADE: [&str; 3] = ["docs/settings.md", "docs/metrics.md", "docs/faults.md"];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A page, by its path from the root.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// All pages with instructions for people who run dotgate.
pub(crate) fn all() -> Vec<Page> {
    let mut names = vec![
        "README.md".to_owned(),
        "deploy/helm/dotgate/README.md".to_owned(),
    ];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.retain(|name| !MADE.contains(&name.as_str()));
    names.sort();
    assert!(names.len() > 12, "{names:?}");
    names.iter().map(|name| Page::read(name)).collect()
}

impl Page {
    pub(crate) fn read(name: &str) -> Page {
        let text = fs::read_to_string(root().join(name)).unwrap();
        Page {
            name: name.to_owned(),
            text,
        }
    }

    /// The language and the text of each block: fenced, or indented by four columns, whose language is `sh` unless it
    /// begins like a file.
    fn fenced(&self) -> Vec<(String, String)> {
        let mut blocks: Vec<(String, String)> = Vec::new();
        let mut open: Option<usize> = None;
        let mut before = "";
        let mut is_indented = false;
        for line in self.text.lines() {
            let trimmed = line.trim_start();
            if let Some(language) = trimmed.strip_prefix("```") {
                open = match open {
                    Some(_) => None,
                    None => {
                        blocks.push((language.to_owned(), String::new()));
                        Some(line.len() - trimmed.len())
                    }
                };
            } else if let (Some(indent), Some((_, block))) = (open, blocks.last_mut()) {
                *block += line.get(indent..).unwrap_or_default();
                *block += "\n";
            } else if let Some(line) = line.strip_prefix("    ")
                && (before.is_empty() || is_indented)
            {
                let text = line.trim_start();
                if !is_indented {
                    let is_file = text.starts_with(['[', '{']);
                    let language = if is_file { "text" } else { "sh" };
                    blocks.push((language.to_owned(), String::new()));
                }
                if let Some((_, block)) = blocks.last_mut() {
                    *block += text;
                    *block += "\n";
                }
                is_indented = true;
                before = line;
                continue;
            }
            is_indented = false;
            before = line;
        }
        assert_eq!(open, None, "{}: a block does not end", self.name);
        blocks
    }

    /// The blocks of a language.
    pub(crate) fn blocks(&self, language: &str) -> Vec<String> {
        let blocks = self.fenced().into_iter();
        let wanted = blocks.filter(|(other, _)| other == language);
        wanted.map(|(_, text)| text).collect()
    }

    /// The languages of all blocks.
    pub(crate) fn languages(&self) -> Vec<String> {
        self.fenced()
            .into_iter()
            .map(|(language, _)| language)
            .collect()
    }

    /// The commands: each line of a `sh` block, and what follows `$ ` in a `console` block, with lines that end in a
    /// backslash put together.
    pub(crate) fn commands(&self) -> Vec<String> {
        let mut commands = Vec::new();
        for block in self.blocks("sh") {
            let joined = block.replace("\\\n", " ");
            let lines = joined.lines().map(str::trim);
            let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            commands.extend(lines.map(str::to_owned));
        }
        for block in self.blocks("console") {
            let typed = block.lines().filter_map(|line| line.strip_prefix("$ "));
            commands.extend(typed.map(str::to_owned));
        }
        commands
    }
}
