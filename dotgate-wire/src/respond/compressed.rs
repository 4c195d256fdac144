//! A response that fits only when its names are compressed.
//!
//! Behind the writing of a response, and only where that had to leave out all records. Names are written once and
//! pointed to afterwards, where RFC 3597 section 4 allows it: owners, and names in RDATA of the types of RFC 1035. All
//! other RDATA keeps its bytes, with names that an upstream compressed written in full.
//!
//! Limits: responses of [`LIMIT_MAX`] bytes; nothing is written beyond the limit, and no more than [`LOOKUPS_MAX`] labels
//! are looked for. Follows RFC 1035 section 4.1.4.

use std::collections::BTreeMap;

use super::Truncation;
use crate::bytes::{length_u16, put_u16, set_u16};
use crate::consts::rtype;
use crate::header::{ARCOUNT_AT, HEADER_LEN, Header};
use crate::name::{self, LabelPlaces, NameFault};
use crate::opt::OPT_LEN;
use crate::question::TYPE_AND_CLASS_LEN;
use crate::records::Record;

/// The longest response that is compressed: those over UDP are shorter.
const LIMIT_MAX: usize = 4_096;

/// Labels looked for in one response.
const LOOKUPS_MAX: usize = 8_192;

/// Where a pointer cannot lead any more.
const POINTER_END: u16 = 0x4000;

/// Bytes of a label with its length.
const LABEL_MAX: usize = 64;

/// Writes `whole`, a response with all that belongs into it, in place of the shorter one that begins at `start`, if it
/// fits when it is compressed, perhaps without its additional section. Returns what was cut.
pub(super) fn replace(
    out: &mut Vec<u8>,
    start: usize,
    whole: &[u8],
    limit: usize,
) -> Option<Truncation> {
    if limit > LIMIT_MAX {
        return None;
    }
    let (message, cut) = compressed(whole, limit)?;
    out.truncate(start);
    out.extend_from_slice(&message);
    Some(cut)
}

/// Returns the message in its compressed form, and what was cut of it.
fn compressed(whole: &[u8], limit: usize) -> Option<(Vec<u8>, Truncation)> {
    let header = Header::read(whole)?;
    if header.questions != 1 {
        return None;
    }
    // Room for a bare OPT record; whether there is one is seen last.
    let mut writer = NameWriter::new(limit.checked_sub(OPT_LEN)?);
    writer.out.extend_from_slice(whole.get(..HEADER_LEN)?);
    let mut at = writer.question(whole)?;
    for _ in 0..usize::from(header.answers) + usize::from(header.authorities) {
        at = writer.record(whole, at)?;
    }
    let end = writer.out.len();
    let (mut additionals, mut cut, mut opt) = (0, Truncation::None, None);
    for _ in 0..header.additionals {
        let record = Record::read_skipping_owner(whole, at).ok()?;
        if record.rtype == rtype::OPT {
            opt = whole.get(record.range());
        } else if cut == Truncation::None {
            if writer.record(whole, at).is_some() {
                additionals += 1;
            } else {
                writer.out.truncate(end);
                (additionals, cut) = (0, Truncation::Additional);
            }
        }
        at = record.end;
    }
    let mut message = writer.out;
    if let Some(opt) = opt {
        put_opt(&mut message, opt, limit);
        additionals += 1;
    }
    set_u16(&mut message, ARCOUNT_AT, additionals);
    Some((message, cut))
}

/// Appends an OPT record, without its options if there is no room for them.
fn put_opt(message: &mut Vec<u8>, opt: &[u8], limit: usize) {
    if message.len() + opt.len() <= limit {
        message.extend_from_slice(opt);
    } else {
        message.extend_from_slice(opt.get(..OPT_LEN - 2).unwrap_or_default());
        put_u16(message, 0);
    }
}

/// A message under way.
pub(crate) struct NameWriter {
    out: Vec<u8>,
    limit: usize,
    /// Where a suffix stands, by the place of the suffix one label shorter, 0 for the root, and the label in lower case.
    suffixes: BTreeMap<(u16, [u8; LABEL_MAX]), u16>,
    lookups_left: usize,
}

impl NameWriter {
    /// Begins with nothing; no more than `limit` bytes are written.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            out: Vec::with_capacity(limit.min(LIMIT_MAX)),
            limit,
            suffixes: BTreeMap::new(),
            lookups_left: LOOKUPS_MAX,
        }
    }

    /// Returns what was written.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Writes the question behind the header of `whole` and returns where it ends there.
    pub(crate) fn question(&mut self, whole: &[u8]) -> Option<usize> {
        let name_end = self.name(whole, HEADER_LEN, true).ok()?;
        let end = name_end + TYPE_AND_CLASS_LEN;
        self.copy(whole.get(name_end..end)?).ok()?;
        Some(end)
    }

    /// Writes the name at `at`, which owns a record; `None` if there is no room for it.
    pub(crate) fn owner(&mut self, whole: &[u8], at: usize) -> Option<usize> {
        self.name(whole, at, true).ok()
    }

    /// Writes the record at `at` and returns where it ends there; `None` if there is no room for it.
    pub(crate) fn record(&mut self, whole: &[u8], at: usize) -> Option<usize> {
        let owner_end = self.name(whole, at, true).ok()?;
        let record = Record::read(whole, at, owner_end).ok()?;
        self.out
            .extend_from_slice(whole.get(owner_end..record.ttl_at + 4)?);
        let length_at = self.out.len();
        put_u16(&mut self.out, 0);
        let may_compress = is_of_rfc_1035(record.rtype);
        let mut copied = record.rdata_at;
        let visited = record.visit_names(whole, |whole, at| {
            self.copy(whole.get(copied..at).unwrap_or_default())?;
            copied = self.name(whole, at, may_compress)?;
            Ok(copied)
        });
        visited.ok()?;
        self.copy(whole.get(copied..record.end)?).ok()?;
        let length = self.out.len() - length_at - 2;
        set_u16(&mut self.out, length_at, length_u16(length));
        Some(record.end)
    }

    /// Writes bytes, if there is room for them.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Result<(), NameFault> {
        if self.out.len() + bytes.len() > self.limit {
            return Err(NameFault::TooLong);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes the name at `at`, if there is room for it, and returns where it ends there.
    fn name(&mut self, whole: &[u8], at: usize, may_compress: bool) -> Result<usize, NameFault> {
        let mut places = LabelPlaces::new();
        let walked = name::walk(whole, at, usize::MAX, |_| None, |place| places.push(place))?;
        let places = places.get();
        let (known, mut own) = match may_compress {
            true => self.longest_known(whole, places)?,
            false => (0, places.len()),
        };
        let mut starts = Vec::with_capacity(own);
        for place in places.get(..own).unwrap_or_default() {
            starts.push(length_u16(self.out.len()));
            self.copy(label_at(whole, *place))?;
        }
        if known == 0 {
            self.copy(&[0])?;
        } else {
            self.copy(&(0xc000 | known).to_be_bytes())?;
        }
        // Names in RDATA that may hold no pointers are nothing to point to either.
        let mut parent = known;
        while may_compress && own > 0 {
            own -= 1;
            let (Some(place), Some(own_start)) = (places.get(own), starts.get(own)) else {
                break;
            };
            if *own_start >= POINTER_END {
                break;
            }
            self.suffixes
                .insert((parent, folded(label_at(whole, *place))), *own_start);
            parent = *own_start;
        }
        Ok(walked.name.end)
    }

    /// Returns where the longest suffix of a name stands that was written before, 0 if it is the root, and how many
    /// labels stand in front of it.
    fn longest_known(&mut self, whole: &[u8], places: &[u16]) -> Result<(u16, usize), NameFault> {
        let (mut known, mut own) = (0, places.len());
        for place in places.iter().rev() {
            let left = self.lookups_left.checked_sub(1);
            self.lookups_left = left.ok_or(NameFault::TooCostly)?;
            let key = (known, folded(label_at(whole, *place)));
            let Some(found) = self.suffixes.get(&key) else {
                break;
            };
            (known, own) = (*found, own - 1);
        }
        Ok((known, own))
    }
}

/// Whether names in the RDATA of a type may be compressed (RFC 3597 section 4).
fn is_of_rfc_1035(rtype: u16) -> bool {
    matches!(
        rtype,
        rtype::NS
            | rtype::MD
            | rtype::MF
            | rtype::CNAME
            | rtype::SOA
            | rtype::MB
            | rtype::MG
            | rtype::MR
            | rtype::PTR
            | rtype::MINFO
            | rtype::MX
    )
}

/// Returns a label with its length.
fn label_at(whole: &[u8], place: u16) -> &[u8] {
    let start = usize::from(place);
    let length = whole.get(start).map_or(0, |length| usize::from(*length));
    whole.get(start..=start + length).unwrap_or_default()
}

/// Returns a label in lower case.
fn folded(label: &[u8]) -> [u8; LABEL_MAX] {
    let mut folded = [0; LABEL_MAX];
    if let Some(room) = folded.get_mut(..label.len()) {
        room.copy_from_slice(label);
        room.make_ascii_lowercase();
    }
    folded
}
