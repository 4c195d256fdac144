//! Builds local data from records in any order.
//!
//! Outside the path of a query. What cannot be served as it is written is refused, with the records at fault, by the
//! numbers under which they were added: a name with a CNAME and other data (RFC 1034 section 3.6.2), CNAME records that
//! lead in a circle. PTR records follow from addresses, unless one is written for the same reverse name; where several
//! names have an address, the first one is its name.
//!
//! Limits: 4 GiB, [`SET_RECORDS_MAX`] records and [`SET_BYTES_MAX`] bytes of one name and type.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::net::IpAddr;

use dotgate_wire::rtype;

use super::reverse::reverse_name;
use super::table::TableBuilder;
use super::{ASTERISK, CNAMES_MAX, Found, HAS_WILDCARD, IS_ANSWERED, LocalData};
use crate::suffixes::{Labels, Starts, padded};

/// The root's name.
const ROOT: &[u8] = b"\0";

/// The most records of one name and type.
const SET_RECORDS_MAX: usize = 1_000;

/// The most bytes of their RDATA.
const SET_BYTES_MAX: usize = 32_768;

/// The number under which a record was added.
pub type RecordId = u32;

/// Why records cannot be local data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LocalFault {
    /// A name has a CNAME record and another record: the first two of them.
    CnameAndOther(RecordId, RecordId),
    /// CNAME records lead in a circle, or are too many in a row.
    LongChain(RecordId),
    /// There are too many records of one name and type.
    LargeSet(RecordId),
    /// All records together are too large.
    TooLarge,
}

impl fmt::Display for LocalFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LocalFault::CnameAndOther(..) => out.write_str(
                "its name has a CNAME record and another record; next to a CNAME there may be none \
                 (RFC 1034 section 3.6.2)",
            ),
            LocalFault::LongChain(_) => write!(
                out,
                "more than {CNAMES_MAX} CNAME records follow from it; perhaps they lead in a circle"
            ),
            LocalFault::LargeSet(_) => write!(
                out,
                "its name has more than {SET_RECORDS_MAX} records of this type, or {SET_BYTES_MAX} bytes of them"
            ),
            LocalFault::TooLarge => out.write_str("the records take more than 4 GiB"),
        }
    }
}

impl Error for LocalFault {}

/// A record that was added.
struct Added {
    /// Where its name begins.
    name: u32,
    /// Where its RDATA begins, behind its length of 16 bits.
    rdata: u32,
    ttl: u32,
    id: RecordId,
    rtype: u16,
    /// Bytes of its name.
    name_length: u8,
    /// Whether it follows from an address.
    is_derived: bool,
}

/// Gathers records.
#[derive(Default)]
pub struct LocalDataBuilder {
    bytes: Vec<u8>,
    added: Vec<Added>,
    has_wildcards: bool,
}

impl fmt::Debug for LocalDataBuilder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LocalDataBuilder")
            .field("records", &self.added.len())
            .finish_non_exhaustive()
    }
}

impl LocalDataBuilder {
    /// With no records.
    pub fn new() -> LocalDataBuilder {
        LocalDataBuilder::default()
    }

    /// How many records were added, with those that follow from addresses.
    pub fn len(&self) -> usize {
        self.added.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
    }

    /// Adds a record of class IN. `name` is uncompressed and in lower case, `ttl` in seconds, `rdata` without compressed
    /// names and at most 65,535 bytes, `id` tells the record from others.
    ///
    /// # Errors
    /// [`LocalFault::TooLarge`], or [`LocalFault::LargeSet`] for RDATA that fits into no response.
    pub fn add(
        &mut self,
        name: &[u8],
        rtype: u16,
        ttl: u32,
        rdata: &[u8],
        id: RecordId,
    ) -> Result<(), LocalFault> {
        let folded;
        let rdata = match rtype {
            // It is looked up.
            rtype::CNAME => {
                folded = rdata.to_ascii_lowercase();
                &folded
            }
            _ => rdata,
        };
        self.has_wildcards |= name.starts_with(ASTERISK);
        self.push(name, (rtype, ttl, rdata), id, false)?;
        if let Some(reverse) = ptr_that_follows(name, rtype, rdata) {
            self.push(&reverse, (rtype::PTR, ttl, name), id, true)?;
        }
        Ok(())
    }

    fn push(
        &mut self,
        name: &[u8],
        (rtype, ttl, rdata): (u16, u32, &[u8]),
        id: RecordId,
        is_derived: bool,
    ) -> Result<(), LocalFault> {
        let length = u16::try_from(rdata.len()).map_err(|_| LocalFault::LargeSet(id))?;
        let place = |bytes: &Vec<u8>| u32::try_from(bytes.len()).map_err(|_| LocalFault::TooLarge);
        let name_place = place(&self.bytes)?;
        self.bytes.extend_from_slice(name);
        let rdata_place = place(&self.bytes)?;
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(rdata);
        self.added.push(Added {
            name: name_place,
            rdata: rdata_place,
            ttl,
            id,
            rtype,
            // A name has 255 bytes at most.
            name_length: name.len() as u8,
            is_derived,
        });
        Ok(())
    }

    /// Makes the data. `seed` is random, `negative_ttl` in seconds.
    ///
    /// # Errors
    /// The first [`LocalFault`] by name.
    pub fn finish(self, seed: u64, negative_ttl: u32) -> Result<LocalData, LocalFault> {
        let LocalDataBuilder {
            bytes,
            mut added,
            has_wildcards,
        } = self;
        added.sort_unstable_by(|one, other| {
            let key = |it: &Added| (it.rtype, it.is_derived, it.id);
            let names = (name_of(&bytes, one), name_of(&bytes, other));
            names.0.cmp(names.1).then_with(|| key(one).cmp(&key(other)))
        });
        let mut others = if has_wildcards {
            next_to_wildcards(&bytes, &added)
        } else {
            BTreeMap::new()
        };
        let by_name = || added.chunk_by(|one, other| is_of_one_name(&bytes, one, other));
        let names = by_name().count() + others.len();
        let mut table = TableBuilder::new(seed, names, bytes.len() + 12 * names);
        let mut records = 0;
        for of_name in by_name() {
            let Some(first) = of_name.first() else {
                continue;
            };
            let name = name_of(&bytes, first);
            let flags = IS_ANSWERED | others.remove(name).unwrap_or_default();
            let out = table.add(name).ok_or(LocalFault::TooLarge)?;
            records += put_sets(out, flags, &bytes, of_name)?;
        }
        for (name, flags) in others {
            let out = table.add(&name).ok_or(LocalFault::TooLarge)?;
            out.extend_from_slice(&[flags, 0]);
        }
        let data = LocalData {
            table: table.finish(),
            has_wildcards,
            negative_ttl,
            records,
        };
        let cnames = added.iter().filter(|it| it.rtype == rtype::CNAME);
        for cname in cnames {
            if is_too_long_a_chain(&data, rdata_of(&bytes, cname)) {
                return Err(LocalFault::LongChain(cname.id));
            }
        }
        Ok(data)
    }
}

fn name_of<'a>(bytes: &'a [u8], added: &Added) -> &'a [u8] {
    let rest = bytes.get(added.name as usize..).unwrap_or_default();
    rest.get(..usize::from(added.name_length))
        .unwrap_or_default()
}

fn is_of_one_name(bytes: &[u8], one: &Added, other: &Added) -> bool {
    name_of(bytes, one) == name_of(bytes, other)
}

/// The RDATA of a record.
fn rdata_of<'a>(bytes: &'a [u8], added: &Added) -> &'a [u8] {
    with_length(bytes, added).get(2..).unwrap_or_default()
}

/// The RDATA of a record behind its length.
fn with_length<'a>(bytes: &'a [u8], added: &Added) -> &'a [u8] {
    let rest = bytes.get(added.rdata as usize..).unwrap_or_default();
    let length = rest
        .first_chunk()
        .map_or(0, |length| u16::from_be_bytes(*length));
    rest.get(..2 + usize::from(length)).unwrap_or_default()
}

/// The reverse name whose PTR record follows from a record, unless one is written or another name had the address before.
pub fn ptr_that_follows(name: &[u8], rtype: u16, rdata: &[u8]) -> Option<Vec<u8>> {
    let address = address_of(rtype, rdata).filter(|_| !name.starts_with(ASTERISK))?;
    (!address.is_unspecified() && !address.is_loopback()).then(|| reverse_name(address))
}

/// The address in the RDATA of a record.
fn address_of(rtype: u16, rdata: &[u8]) -> Option<IpAddr> {
    match rtype {
        rtype::A => <[u8; 4]>::try_from(rdata).ok().map(IpAddr::from),
        rtype::AAAA => <[u8; 16]>::try_from(rdata).ok().map(IpAddr::from),
        _ => None,
    }
}

/// The parents of wildcards, and the names between them and the names below them that have records: what is to be
/// marked at each.
fn next_to_wildcards(bytes: &[u8], added: &[Added]) -> BTreeMap<Vec<u8>, u8> {
    let names = || added.iter().map(|it| name_of(bytes, it));
    let parents: BTreeSet<&[u8]> = names()
        .filter_map(|name| name.strip_prefix(ASTERISK))
        .collect();
    let mut marks: BTreeMap<Vec<u8>, u8> = BTreeMap::new();
    for parent in &parents {
        marks.insert(parent.to_vec(), HAS_WILDCARD);
    }
    for name in names() {
        let bytes = padded(name);
        let mut room = Starts::new();
        let labels = Labels::of(&bytes, &mut room);
        let ancestors = labels.starts().skip(1).map(|start| labels.from(start));
        let ancestors: Vec<&[u8]> = ancestors.chain([ROOT]).collect();
        let highest = ancestors.iter().rposition(|it| parents.contains(it));
        for between in ancestors.iter().take(highest.unwrap_or_default()) {
            *marks.entry(between.to_vec()).or_default() |= IS_ANSWERED;
        }
    }
    marks
}

/// Appends what is stored for a name, and returns how many records that are.
fn put_sets(
    out: &mut Vec<u8>,
    flags: u8,
    bytes: &[u8],
    of_name: &[Added],
) -> Result<usize, LocalFault> {
    let has_cname = of_name.iter().any(|it| it.rtype == rtype::CNAME);
    // What is written counts, not what follows from an address.
    let is_written = |rtype| of_name.iter().any(|it| it.rtype == rtype && !it.is_derived);
    let is_left_out = |it: &Added| it.is_derived && (has_cname || is_written(it.rtype));
    let mut written = of_name.iter().filter(|it| !it.is_derived);
    if has_cname
        && let (Some(one), Some(other)) = (written.next(), written.next())
        && with_length(bytes, one) != with_length(bytes, other)
    {
        return Err(LocalFault::CnameAndOther(one.id, other.id));
    }
    let count_at = out.len() + 1;
    out.extend_from_slice(&[flags, 0]);
    let (mut sets, mut records) = (0_u8, 0);
    for set in of_name.chunk_by(|one, other| one.rtype == other.rtype) {
        let set: Vec<&Added> = set.iter().filter(|it| !is_left_out(it)).collect();
        let Some(last) = set.last() else {
            continue;
        };
        sets = sets.checked_add(1).ok_or(LocalFault::LargeSet(last.id))?;
        records += put_set(out, bytes, &set)?;
    }
    if let Some(count) = out.get_mut(count_at) {
        *count = sets;
    }
    Ok(records)
}

/// Appends the records of one name and type, each once: type, TTL (the lowest, RFC 2181 section 5.2), how many, how many
/// bytes, RDATA.
fn put_set(out: &mut Vec<u8>, bytes: &[u8], set: &[&Added]) -> Result<usize, LocalFault> {
    let Some(first) = set.first() else {
        return Ok(0);
    };
    // The first name that has an address is the address's name.
    let set = if first.is_derived { &set[..1] } else { set };
    let mut seen = BTreeSet::new();
    let distinct = set.iter().map(|it| with_length(bytes, it));
    let distinct: Vec<&[u8]> = distinct.filter(|rdata| seen.insert(*rdata)).collect();
    let length = distinct.iter().map(|rdata| rdata.len()).sum::<usize>();
    if distinct.len() > SET_RECORDS_MAX || length > SET_BYTES_MAX {
        return Err(LocalFault::LargeSet(first.id));
    }
    let ttl = set.iter().map(|it| it.ttl).min().unwrap_or_default();
    out.extend_from_slice(&first.rtype.to_be_bytes());
    out.extend_from_slice(&ttl.to_be_bytes());
    out.extend_from_slice(&(distinct.len() as u16).to_be_bytes());
    out.extend_from_slice(&(length as u16).to_be_bytes());
    for rdata in &distinct {
        out.extend_from_slice(rdata);
    }
    Ok(distinct.len())
}

/// Whether more CNAME records follow from a name than are followed.
fn is_too_long_a_chain(data: &LocalData, target: &[u8]) -> bool {
    let mut name = target;
    for _ in 1..=CNAMES_MAX {
        let Found::Records(records) = data.find(&Labels::of(&padded(name), &mut Starts::new()))
        else {
            return false;
        };
        let Some(cname) = records
            .of_type(rtype::CNAME)
            .and_then(|set| set.rdata.get(2..))
        else {
            return false;
        };
        name = cname;
    }
    true
}

#[cfg(test)]
mod tests;
