//! The hosts file (hosts(5)): an address and its names in each line.

use std::net::{IpAddr, Ipv6Addr};

use super::LineFault;
use crate::lines::{WireName, lines, words};

/// A name and an address of it.
#[derive(Debug)]
pub struct HostEntry {
    /// The address.
    pub address: IpAddr,
    /// The name.
    pub name: WireName,
}

/// Gives every name with an address to `each`, with its line, or what is wrong with the line, until that fails.
///
/// # Errors
/// Those of `each`.
pub fn read<E>(
    text: &[u8],
    mut each: impl FnMut(u32, Result<HostEntry, LineFault>) -> Result<(), E>,
) -> Result<(), E> {
    for (number, line) in lines(text) {
        let mut words = words(line).peekable();
        let Some(first) = words.next() else {
            continue;
        };
        let address = match read_address(first) {
            Ok(Some(address)) => address,
            // Only this host could use it.
            Ok(None) => continue,
            Err(fault) => {
                each(number, Err(fault))?;
                continue;
            }
        };
        if words.peek().is_none() {
            each(number, Err(LineFault::NoName))?;
        }
        for word in words {
            let name = WireName::read(word);
            let name = name.map_err(LineFault::from);
            each(number, name.map(|name| HostEntry { address, name }))?;
        }
    }
    Ok(())
}

/// Reads an address; none for one with an interface, which means nothing elsewhere.
fn read_address(word: &[u8]) -> Result<Option<IpAddr>, LineFault> {
    let text = str::from_utf8(word).unwrap_or_default();
    if let Ok(address) = text.parse() {
        return Ok(Some(address));
    }
    let zoned = text.split_once('%');
    if zoned.is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok()) {
        return Ok(None);
    }
    Err(LineFault::NotAnAddress(
        String::from_utf8_lossy(word).into_owned(),
    ))
}
