//! The hosts file (hosts(5)): an address and its names in each line.

use std::net::{IpAddr, Ipv6Addr};

use super::LineFault;
use super::name::WireName;

/// A name and an address of it.
#[derive(Debug)]
pub(super) struct HostEntry {
    pub(super) address: IpAddr,
    pub(super) name: WireName,
}

/// Gives every name with an address to `each`, with its line, or what is wrong with the line, until that fails.
pub(super) fn read<E>(
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
            each(number, name.map(|name| HostEntry { address, name }))?;
        }
    }
    Ok(())
}

/// The lines of a file, from 1, without comments and the white space around them.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let lines = text.split(|byte| *byte == b'\n');
    let bare = lines.map(|line| line.split(|byte| *byte == b'#').next().unwrap_or_default());
    (1..).zip(bare.map(<[u8]>::trim_ascii))
}

/// The words of a line.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = line.split(u8::is_ascii_whitespace);
    words.filter(|word| !word.is_empty())
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
