//! Resource records where they stand in a message, and the names inside their RDATA.
//!
//! Between names and whole messages. Checks a record against the real end of its message and tells
//! which bytes of RDATA are names that may be compressed; all other RDATA is opaque and passes bit
//! for bit. Never copies a record. Follows RFC 1035 sections 3.2.1, 3.3 and 4.1.3, and RFC 3597
//! section 4, which closes the list of types with compressed names.

use core::ops::Range;

use crate::bytes::{u8_at, u16_at, u32_at};
use crate::consts::rtype;
use crate::name::{self, NameFault};

/// Bytes of type, class, TTL and RDLENGTH.
const FIXED_LEN: usize = 10;

/// One of the three sections that hold records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Section {
    Answer,
    Authority,
    Additional,
}

/// What is wrong with a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RecordFault {
    /// Its owner, or a name in its RDATA.
    Name(NameFault),
    /// Its fixed fields or its RDATA go beyond the end of the message.
    CutShort,
    /// The names and fields that its type demands do not fill its RDATA exactly.
    Rdata,
}

impl From<NameFault> for RecordFault {
    fn from(fault: NameFault) -> Self {
        Self::Name(fault)
    }
}

/// A record that lies within its message, apart from its owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) start: usize,
    pub(crate) rtype: u16,
    pub(crate) rclass: u16,
    pub(crate) ttl: u32,
    pub(crate) ttl_at: usize,
    pub(crate) rdata_at: usize,
    pub(crate) end: usize,
}

impl Record {
    /// Reads the record at `start` whose owner ends at `fixed`. RDATA is not looked into.
    pub(crate) fn read(message: &[u8], start: usize, fixed: usize) -> Result<Self, RecordFault> {
        let rdlength = u16_at(message, fixed + 8).ok_or(RecordFault::CutShort)?;
        let rdata_at = fixed + FIXED_LEN;
        let end = rdata_at + usize::from(rdlength);
        if end > message.len() {
            return Err(RecordFault::CutShort);
        }
        Ok(Self {
            start,
            rtype: u16_at(message, fixed).ok_or(RecordFault::CutShort)?,
            rclass: u16_at(message, fixed + 2).ok_or(RecordFault::CutShort)?,
            ttl: u32_at(message, fixed + 4).ok_or(RecordFault::CutShort)?,
            ttl_at: fixed + 4,
            rdata_at,
            end,
        })
    }

    /// Reads the record at `start` without a look at its owner.
    pub(crate) fn read_skipping_owner(message: &[u8], start: usize) -> Result<Self, RecordFault> {
        Self::read(message, start, name::skip(message, start)?)
    }

    /// Returns the bytes the record takes in its message.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Returns the record's RDATA.
    pub(crate) fn rdata<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        message.get(self.rdata_at..self.end).unwrap_or_default()
    }

    /// Returns whether the record signs the message as a whole: TSIG (RFC 8945) or SIG(0) (RFC
    /// 2931).
    pub(crate) fn signs_message(&self, message: &[u8]) -> bool {
        self.rtype == rtype::TSIG
            || (self.rtype == rtype::SIG && u16_at(self.rdata(message), 0) == Some(0))
    }

    /// Checks the RDATA of a type that may hold compressed names. `read` reads the name at an offset of the message,
    /// and returns where it ends.
    pub(crate) fn visit_names(
        &self,
        message: &[u8],
        mut read: impl FnMut(&[u8], usize) -> Result<usize, NameFault>,
    ) -> Result<(), RecordFault> {
        let fields = fields_with_names(self.rtype);
        if fields.is_empty() {
            return Ok(());
        }
        // Pointers lead backwards only, so nothing behind this record is needed to read it.
        let message = message.get(..self.end).unwrap_or_default();
        let mut at = self.rdata_at;
        for field in fields {
            match field {
                Field::Bytes(count) => at += count,
                Field::Text => {
                    let length = u8_at(message, at).ok_or(RecordFault::Rdata)?;
                    at += 1 + usize::from(length);
                }
                Field::Name => at = read(message, at)?,
                Field::Rest => at = at.max(self.end),
            }
            if at > self.end {
                return Err(RecordFault::Rdata);
            }
        }
        if at == self.end {
            Ok(())
        } else {
            Err(RecordFault::Rdata)
        }
    }
}

/// One field of an RDATA that holds names.
enum Field {
    /// A name that may be compressed.
    Name,
    /// A fixed number of bytes.
    Bytes(usize),
    /// All that is left.
    Rest,
    /// A character-string: a length byte and as many bytes.
    Text,
}

/// Returns the RDATA fields of a type whose names may be compressed on the wire; empty for all
/// other types.
fn fields_with_names(rtype: u16) -> &'static [Field] {
    use Field::{Bytes, Name, Rest, Text};
    match rtype {
        rtype::NS
        | rtype::MD
        | rtype::MF
        | rtype::CNAME
        | rtype::MB
        | rtype::MG
        | rtype::MR
        | rtype::PTR
        | rtype::DNAME => &[Name],
        rtype::SOA => &[Name, Name, Bytes(20)],
        rtype::MINFO | rtype::RP => &[Name, Name],
        rtype::MX | rtype::AFSDB | rtype::RT => &[Bytes(2), Name],
        rtype::SIG => &[Bytes(18), Name, Rest],
        rtype::PX => &[Bytes(2), Name, Name],
        rtype::NXT => &[Name, Rest],
        rtype::SRV => &[Bytes(6), Name],
        rtype::NAPTR => &[Bytes(4), Text, Text, Text, Name],
        _ => &[],
    }
}
