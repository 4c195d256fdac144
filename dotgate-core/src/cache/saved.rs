//! An answer of the cache as bytes in a file: its key, its age, its TTL and the stored bytes.
//!
//! Written here, read here, believed nowhere: `restore` checks what was read. All numbers are big-endian.
//! Limits: a name of 255 bytes, [`limits::CACHE_ENTRY_BYTES`] of what was stored.

use std::time::Duration;

use super::Scope;
use super::key::{ALL_TYPES, CHECKING_DISABLED, DNSSEC_OK};
use crate::limits;

/// An answer on its way into or out of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SavedEntry<'e> {
    /// The name in lower case, uncompressed.
    pub name: &'e [u8],
    /// The type that was asked for.
    pub qtype: u16,
    /// The class.
    pub qclass: u16,
    /// The question that it is cached for.
    pub scope: Scope,
    /// Whether DO was set.
    pub dnssec_ok: bool,
    /// Whether CD was set.
    pub checking_disabled: bool,
    /// The time since it was stored.
    pub age: Duration,
    /// Its original TTL, in seconds.
    pub ttl_seconds: u32,
    /// What was stored.
    pub bytes: &'e [u8],
}

impl<'e> SavedEntry<'e> {
    /// The most bytes that an entry is written as.
    pub const BYTES_MAX: usize =
        1 + u8::MAX as usize + 2 + 2 + 1 + 8 + 4 + limits::CACHE_ENTRY_BYTES;

    /// Appends it to `out`, its age in whole milliseconds.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mark = |on, mark| if on { mark } else { 0 };
        let marks = mark(self.dnssec_ok, DNSSEC_OK)
            | mark(self.checking_disabled, CHECKING_DISABLED)
            | mark(self.scope == Scope::AllTypes, ALL_TYPES);
        let age = u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX);
        // A name has 255 bytes at most (RFC 1035 section 2.3.4).
        out.push(u8::try_from(self.name.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(self.name);
        out.extend_from_slice(&self.qtype.to_be_bytes());
        out.extend_from_slice(&self.qclass.to_be_bytes());
        out.push(marks);
        out.extend_from_slice(&age.to_be_bytes());
        out.extend_from_slice(&self.ttl_seconds.to_be_bytes());
        out.extend_from_slice(self.bytes);
    }

    /// Reads what [`SavedEntry::write`] wrote, which must be all of `bytes`; `None` for what cannot be that.
    pub fn read(bytes: &'e [u8]) -> Option<SavedEntry<'e>> {
        let (length, rest) = bytes.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let (qtype, rest) = rest.split_first_chunk()?;
        let (qclass, rest) = rest.split_first_chunk()?;
        let (marks, rest) = rest.split_first()?;
        let (age, rest) = rest.split_first_chunk()?;
        let (ttl, bytes) = rest.split_first_chunk()?;
        let is_known = marks & !(DNSSEC_OK | CHECKING_DISABLED | ALL_TYPES) == 0;
        is_known.then(|| SavedEntry {
            name,
            qtype: u16::from_be_bytes(*qtype),
            qclass: u16::from_be_bytes(*qclass),
            scope: if marks & ALL_TYPES == 0 {
                Scope::Exact
            } else {
                Scope::AllTypes
            },
            dnssec_ok: marks & DNSSEC_OK != 0,
            checking_disabled: marks & CHECKING_DISABLED != 0,
            age: Duration::from_millis(u64::from_be_bytes(*age)),
            ttl_seconds: u32::from_be_bytes(*ttl),
            bytes,
        })
    }
}
