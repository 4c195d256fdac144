//! Which of what the operator wrote answers for a name, for people who ask why.

use std::convert::Infallible;
use std::net::IpAddr;

use dotgate_config::LocalConfig;
use dotgate_core::ptr_that_follows;
use dotgate_wire::rtype;

use super::hosts;
use crate::lines::read_file;

/// The records and lines that answer for a name (uncompressed), each with its place. None if it is not local; the files
/// are read again, so that one that changed meanwhile may say something else.
pub fn rules_for(config: &LocalConfig, name: &[u8]) -> Vec<String> {
    let name = name.to_ascii_lowercase();
    let mut rules = of_name(config, &name);
    if rules.is_empty() && name.ends_with(b"\x04arpa\0") {
        let follows = |owner: &[u8], rtype, rdata: &[u8]| {
            ptr_that_follows(owner, rtype, rdata).is_some_and(|reverse| reverse == name)
        };
        // Of several names with the address the first one is that of the PTR record.
        rules = matching(config, follows).into_iter().take(1).collect();
    }
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
    matching(config, |owner, _, _| owner == name)
}

/// The records with such a name, type and data.
fn matching(config: &LocalConfig, is_it: impl Fn(&[u8], u16, &[u8]) -> bool) -> Vec<String> {
    let records = config.records.iter();
    let records = records.filter(|record| is_it(&record.name, record.rtype, &record.rdata));
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
        let Ok(entry) = entry else { return Ok(()) };
        let owner = entry.name.as_slice();
        let is_here = match entry.address {
            IpAddr::V4(address) => is_it(owner, rtype::A, &address.octets()),
            IpAddr::V6(address) => is_it(owner, rtype::AAAA, &address.octets()),
        };
        if is_here {
            rules.push(format!("{}:{line}: {}", path.display(), entry.address));
        }
        Ok(())
    });
    rules
}
