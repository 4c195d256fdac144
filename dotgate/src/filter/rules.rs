//! Which line of which list says something about a name, for people who ask why.

use std::convert::Infallible;

use dotgate_config::FilterConfig;
use dotgate_core::ListScope;

use super::reader::{Purpose, read};
use crate::lines::read_file;

/// The lines that speak of a name (uncompressed), each with its file, those for the longest suffix first. The files are
/// read again, so that one that changed meanwhile may say something else.
pub fn rules_for(config: &FilterConfig, name: &[u8]) -> Vec<String> {
    let name = name.to_ascii_lowercase();
    let mut found = Vec::new();
    let blocked = config.block_files.iter().map(|path| (path, Purpose::Block));
    let allowed = config.allow_files.iter().map(|path| (path, Purpose::Allow));
    for (path, purpose) in blocked.chain(allowed) {
        let Ok(text) = read_file(path) else {
            continue;
        };
        let Ok(()) = read::<Infallible>(&text, purpose, |line, entry| {
            if let Ok(entry) = entry
                && is_of(entry.scope, entry.name.as_slice(), &name)
            {
                let says = match purpose {
                    Purpose::Allow => "allowed",
                    Purpose::Block => "listed",
                };
                let length = entry.name.as_slice().len();
                let rule = format!("{}:{line}: {says}", path.display());
                found.push((length, rule));
            }
            Ok(())
        });
    }
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found.into_iter().map(|(_, rule)| rule).collect()
}

/// Whether an entry for `listed` stands for `name`.
fn is_of(scope: ListScope, listed: &[u8], name: &[u8]) -> bool {
    let is_same = listed == name;
    match scope {
        ListScope::Exact => is_same,
        ListScope::Below => !is_same && is_suffix(listed, name),
        ListScope::Subtree => is_suffix(listed, name),
    }
}

/// Whether `listed` is `name` or a name above it.
fn is_suffix(listed: &[u8], name: &[u8]) -> bool {
    let mut rest = name;
    loop {
        match rest.split_first() {
            _ if rest == listed => return true,
            Some((&length @ 1.., behind)) => {
                rest = behind.get(usize::from(length)..).unwrap_or_default();
            }
            Some(_) | None => return false,
        }
    }
}
