//! Which of what the operator wrote answers for a name, for people who ask why.

use std::convert::Infallible;

use dotgate_config::LocalConfig;

use super::hosts;
use crate::lines::read_file;

/// The records and lines that answer for a name (uncompressed), each with its place. None if it is not local; the files
/// are read again, so that one that changed meanwhile may say something else.
pub fn rules_for(config: &LocalConfig, name: &[u8]) -> Vec<String> {
    let name = name.to_ascii_lowercase();
    let mut rules = of_name(config, &name);
    let mut rest = name.as_slice();
    while rules.is_empty()
        && let Some((&length @ 1.., behind)) = rest.split_first()
    {
        rest = behind.get(usize::from(length)..).unwrap_or_default();
        rules = of_name(config, &[b"\x01*", rest].concat());
    }
    rules
}

/// What is written for exactly this name.
fn of_name(config: &LocalConfig, name: &[u8]) -> Vec<String> {
    let records = config.records.iter().filter(|record| record.name == name);
    let mut rules: Vec<String> = records
        .map(|record| format!("{}: {}", record.place, record.text))
        .collect();
    let Some((path, text)) = config.hosts_file.as_ref().and_then(|path| {
        let text = read_file(path).ok()?;
        Some((path, text))
    }) else {
        return rules;
    };
    let Ok(()) = hosts::read::<Infallible>(&text, |line, entry| {
        if let Ok(entry) = entry
            && entry.name.as_slice() == name
        {
            rules.push(format!("{}:{line}: {}", path.display(), entry.address));
        }
        Ok(())
    });
    rules
}
