//! Lists with a name in each line, or in the form of a hosts file.
//!
//! `ads.example` stands for the name and all below it, `*.ads.example` for those below it alone. `#` begins a comment.
//! Of a hosts file the names that a host gives to itself are skipped.

use std::net::IpAddr;

use dotgate_core::{ListAction, ListScope};

use super::entry::ListEntry;
use super::fault::ListLineFault;
use crate::lines::{WireName, lines, words};

/// Names that stand in hosts files for the host itself.
const OWN_NAMES: [&[u8]; 12] = [
    b"localhost",
    b"localhost.localdomain",
    b"localhost4",
    b"localhost6",
    b"local",
    b"broadcasthost",
    b"ip6-localhost",
    b"ip6-loopback",
    b"ip6-localnet",
    b"ip6-mcastprefix",
    b"ip6-allnodes",
    b"ip6-allrouters",
];

/// Gives every entry to `each`, with its line, or what is wrong with the line, until that fails.
pub(super) fn read<E>(
    text: &[u8],
    action: &ListAction,
    mut each: impl FnMut(u32, Result<ListEntry, ListLineFault>) -> Result<(), E>,
) -> Result<(), E> {
    for (number, line) in lines(text) {
        let mut words = words(line);
        let Some(first) = words.next() else {
            continue;
        };
        let mut rest = words.peekable();
        match (address(first), rest.peek().is_some()) {
            (None, false) => each(number, entry(first, action))?,
            (None, true) => {
                let first = String::from_utf8_lossy(first).into_owned();
                each(number, Err(ListLineFault::SeveralWords(first)))?;
            }
            (Some(_), false) => each(number, Err(ListLineFault::NoName))?,
            (Some(address), true) => {
                for name in rest.filter(|name| !is_own(name)) {
                    let entry = match is_null(address) {
                        true => entry(name, action),
                        false => Err(ListLineFault::HostAddress(address.to_string())),
                    };
                    each(number, entry)?;
                }
            }
        }
    }
    Ok(())
}

fn entry(word: &[u8], action: &ListAction) -> Result<ListEntry, ListLineFault> {
    if word.starts_with(b"||") || word.starts_with(b"@@") || word.starts_with(b"!") {
        let word = String::from_utf8_lossy(word).into_owned();
        return Err(ListLineFault::Adblock(word));
    }
    let (name, scope) = match word.strip_prefix(b"*.") {
        Some(name) => (name, ListScope::Below),
        None => (word, ListScope::Subtree),
    };
    Ok(ListEntry {
        name: WireName::read(name)?,
        scope,
        action: action.clone(),
    })
}

/// An address, possibly with an interface, which means nothing here.
fn address(word: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(word).ok()?;
    let (address, _) = text.split_once('%').unwrap_or((text, ""));
    address.parse().ok()
}

/// Whether an address leads nowhere, so that its names are blocked.
fn is_null(address: IpAddr) -> bool {
    address.is_unspecified() || address.is_loopback()
}

fn is_own(name: &[u8]) -> bool {
    let is_it = |own: &&[u8]| own.eq_ignore_ascii_case(name);
    OWN_NAMES.iter().any(is_it) || name == b"ip6-allhosts" || address(name).is_some()
}
