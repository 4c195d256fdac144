//! Records in presentation format (RFC 1035 section 5.1), as settings and `[[record]]` tables hold them.
//!
//! `nas.home.arpa 300 A 192.168.1.10`: the TTL may be left out, a class is IN, names end at the root. Types and their
//! data are read by the `domain` crate.

mod tables;

use std::path::PathBuf;
use std::time::Duration;

use domain::base::Rtype;
use domain::base::iana::Class;
use domain::base::name::ToName;
use domain::base::rdata::ComposeRecordData;
use domain::base::{Name, Ttl};
use domain::zonefile::inplace::{Entry, ScannedRecord, Zonefile};
use dotgate_wire::rtype;

pub(crate) use self::tables::read_tables;
use crate::filter::FilterConfig;
use crate::settings::LOCAL_RECORDS;

/// What stands for a TTL that is not written: more than any may be (RFC 2181 section 8).
const NO_TTL: u32 = u32::MAX;

/// The longest TTL.
const TTL_MAX: u32 = i32::MAX as u32;

/// What the settings say about local data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalConfig {
    /// The records of the settings.
    pub records: Vec<LocalRecord>,
    /// The hosts file.
    pub hosts_file: Option<PathBuf>,
    /// The TTL of what is written without one, and of negative answers.
    pub ttl: Duration,
    /// What is filtered.
    pub filter: FilterConfig,
}

/// A record of the settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalRecord {
    /// Its name, uncompressed and in lower case.
    pub name: Vec<u8>,
    /// Its type.
    pub rtype: u16,
    /// Its TTL in seconds, if it is written.
    pub ttl: Option<u32>,
    /// Its data, without compressed names.
    pub rdata: Vec<u8>,
    /// As it is written.
    pub text: String,
    /// Where it is written, for people.
    pub place: String,
}

/// The records of a setting, separated by `;` or line ends; what is quoted or behind a `\` separates nothing.
pub fn split_records(text: &str) -> Vec<&str> {
    let (mut records, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ';' | '\n' if !is_quoted => {
                records.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    records.push(text.get(start..).unwrap_or_default());
    let trimmed = records.into_iter().map(str::trim);
    trimmed.filter(|record| !record.is_empty()).collect()
}

/// Reads one record of the setting.
///
/// # Errors
/// What is wrong with it, for people.
pub fn read_record(text: &str) -> Result<LocalRecord, String> {
    if text.starts_with('$') {
        return Err("it is a directive of zone files".to_owned());
    }
    refuse_zone_file_layout(text)?;
    // Zone files begin a record without a name with white space, and this is none.
    let zone = format!("$TTL {NO_TTL}\n{}\n", text.trim());
    let mut zone = Zonefile::from(zone.as_str());
    zone.set_origin(Name::root_bytes());
    zone.set_default_class(Class::IN);
    let fault = |error: domain::zonefile::inplace::Error| {
        // The line and the column are those of the text above.
        let text = error.to_string();
        text.splitn(3, ':')
            .last()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let record = match zone.next_entry().map_err(fault)? {
        Some(Entry::Record(record)) => record,
        Some(Entry::Include { .. }) | None => return Err("it is no record".to_owned()),
    };
    if !matches!(zone.next_entry(), Ok(None)) {
        return Err("there is something behind it".to_owned());
    }
    of_record(&record, text)
}

/// Refuses what the parser, which is made for whole zone files, reads beyond its input for: quoted texts without a space
/// between them, and parentheses, which serve records of several lines.
fn refuse_zone_file_layout(text: &str) -> Result<(), String> {
    let (mut is_quoted, mut is_escaped, mut before) = (false, false, ' ');
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let is_apart = |other: char| other.is_ascii_whitespace();
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => {
                let is_right = if is_quoted {
                    characters.peek().copied().is_none_or(is_apart)
                } else {
                    // As in alpn="h2,h3" of an HTTPS record.
                    is_apart(before) || before == '='
                };
                if !is_right {
                    return Err("a quoted text has no space around it".to_owned());
                }
                is_quoted = !is_quoted;
            }
            '(' | ')' if !is_quoted => {
                return Err("a record of the settings has no parentheses".to_owned());
            }
            _ => {}
        }
        before = character;
    }
    if is_quoted || is_escaped {
        return Err("a quoted text or an escape has no end".to_owned());
    }
    Ok(())
}

fn of_record(record: &ScannedRecord, text: &str) -> Result<LocalRecord, String> {
    let rtype = record.rtype();
    if let Some(why) = unserved(rtype) {
        return Err(format!("records of type {rtype} cannot be local: {why}"));
    }
    let ttl = Some(record.ttl()).filter(|ttl| *ttl != Ttl::from_secs(NO_TTL));
    let ttl = ttl.map(|ttl| ttl.as_secs());
    if ttl.is_some_and(|ttl| ttl > TTL_MAX) {
        return Err(format!("a TTL is at most {TTL_MAX}"));
    }
    let mut rdata = Vec::new();
    let composed = record.data().compose_rdata(&mut rdata);
    let Ok(()) = composed;
    if rdata.len() > usize::from(u16::MAX) {
        return Err("its data is too long".to_owned());
    }
    let name: Name<Vec<u8>> = record.owner().to_name();
    // The parser takes an empty label at the end, as in `a..`, for the root, and goes on behind it.
    let Ok(name) = Name::from_slice(name.as_slice()) else {
        return Err("a label of its name is empty".to_owned());
    };
    Ok(LocalRecord {
        name: name.as_slice().to_ascii_lowercase(),
        rtype: rtype.to_int(),
        ttl,
        rdata,
        text: text.to_owned(),
        place: LOCAL_RECORDS.entry.variable().into_owned(),
    })
}

/// Why records of a type cannot be served from local data.
fn unserved(rtype: Rtype) -> Option<&'static str> {
    match rtype.to_int() {
        rtype::DNAME => Some("no names are made of it; write a wildcard, or a CNAME for each name"),
        // RFC 6895 section 3.1.
        0 | rtype::OPT | 128..=255 => Some("it is not a type of data"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
