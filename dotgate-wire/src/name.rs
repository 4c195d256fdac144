//! Names where they stand in a message: checked once, then compared and printed without being
//! copied.
//!
//! Under every other module: each owner and the names in RDATA are found by [`find`], the end of a question's
//! name by [`find_end`].
//! It never builds a name and never remembers one. Limits: labels of 63 octets, names of 255,
//! [`HOPS_MAX`] compression pointers, each strictly backwards, so that no name costs more than 255
//! octets and 127 hops. Follows RFC 1035 sections 3.1 and 4.1.4, RFC 4343 (letter case), RFC 9267
//! (what goes wrong with pointers).

use core::fmt;

use crate::bytes::{u8_at, u16_at};
use crate::header::HEADER_LEN;

/// The most octets a name may have, uncompressed and with its root label.
pub(crate) const NAME_MAX: usize = 255;
/// The most compression pointers followed in one name. A name of 255 octets has at most 127 labels
/// before its root, and nobody who compresses needs more than one pointer in front of each.
const HOPS_MAX: u8 = 127;

/// What is wrong with a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameFault {
    /// A pointer leads forwards, to itself, or into the header.
    BadPointer,
    /// The octets end within the name.
    CutShort,
    /// A label's first two bits are 01 or 10 (RFC 6891 section 5).
    LabelType,
    /// The name has more than 255 octets.
    TooLong,
    /// The name is spread over more than 127 pointers.
    TooManyPointers,
}

impl NameFault {
    /// Returns the fault's name in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::BadPointer => "name-bad-pointer",
            Self::CutShort => "name-cut-short",
            Self::LabelType => "name-label-type",
            Self::TooLong => "name-too-long",
            Self::TooManyPointers => "name-too-many-pointers",
        }
    }
}

/// A compression pointer where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pointer {
    pub(crate) at: usize,
    pub(crate) target: usize,
}

/// A name that has been found correct.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FoundName {
    /// The offset of the name's first octet where it stands.
    pub(crate) start: usize,
    /// The offset of the first octet behind the name where it stands.
    pub(crate) end: usize,
    /// The offset of the name's first label, wherever a leading pointer led.
    pub(crate) head: usize,
    /// How many labels it has, the root not counted.
    pub(crate) labels: u8,
    /// A hash of the name in lower case: equal for equal names, and of no use against a peer who
    /// looks for collisions.
    pub(crate) hash: u64,
    /// The pointer that ends the name where it stands, if one does.
    pub(crate) pointer: Option<Pointer>,
}

/// Checks the name at `at` and returns what identifies it.
pub(crate) fn find(message: &[u8], at: usize) -> Result<FoundName, NameFault> {
    let mut hash = HASH_START;
    let found = walk(message, at, |label| hash = hash_label(hash, label))?;
    Ok(FoundName { hash, ..found })
}

/// Checks the name at `at` and returns the offset of the first octet behind it where it stands: much cheaper, for
/// names that are compared with no other one.
pub(crate) fn find_end(message: &[u8], at: usize) -> Result<usize, NameFault> {
    walk(message, at, |_| {}).map(|found| found.end)
}

/// Checks the name at `at`, shows each label with its length to `visit`, and returns all but the hash.
#[inline]
fn walk(message: &[u8], at: usize, mut visit: impl FnMut(&[u8])) -> Result<FoundName, NameFault> {
    let mut found = FoundName {
        start: at,
        end: at,
        head: at,
        labels: 0,
        hash: 0,
        pointer: None,
    };
    let mut position = at;
    // Each pointer must lead before the part of the name it ends, so that the walk cannot come
    // back.
    let mut part_start = at;
    let mut octets = 0;
    let mut hops = 0;
    loop {
        steps::count(1);
        let first = u8_at(message, position).ok_or(NameFault::CutShort)?;
        match first {
            0 => {
                if found.pointer.is_none() {
                    found.end = position + 1;
                }
                return Ok(found);
            }
            1..=63 => {
                let length = usize::from(first) + 1;
                octets += length;
                // One more octet is the root's.
                if octets + 1 > NAME_MAX {
                    return Err(NameFault::TooLong);
                }
                let label = message
                    .get(position..position + length)
                    .ok_or(NameFault::CutShort)?;
                visit(label);
                found.labels += 1;
                position += length;
            }
            0xc0..=0xff => {
                let word = u16_at(message, position).ok_or(NameFault::CutShort)?;
                let target = usize::from(word & 0x3fff);
                if target < HEADER_LEN || target >= part_start {
                    return Err(NameFault::BadPointer);
                }
                if hops == HOPS_MAX {
                    return Err(NameFault::TooManyPointers);
                }
                hops += 1;
                if found.pointer.is_none() {
                    found.pointer = Some(Pointer {
                        at: position,
                        target,
                    });
                    found.end = position + 2;
                }
                if found.labels == 0 {
                    found.head = target;
                }
                part_start = target;
                position = target;
            }
            64..=0xbf => return Err(NameFault::LabelType),
        }
    }
}

const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Continues an FNV-1a hash over a label and its length, letters in lower case.
fn hash_label(start: u64, label: &[u8]) -> u64 {
    steps::count(label.len());
    label.iter().fold(start, |hash, octet| {
        (hash ^ u64::from(octet.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Returns whether two names that were found correct are the same, letter case aside.
pub(crate) fn is_same(message: &[u8], one: &FoundName, other: &FoundName) -> bool {
    one.head == other.head
        || (one.hash == other.hash
            && one.labels == other.labels
            && is_same_labels(
                Labels::new(message, one.head),
                Labels::new(message, other.head),
            ))
}

/// Returns whether `name` lies below `ancestor` and is not `ancestor` itself; both were found
/// correct.
pub(crate) fn is_below(message: &[u8], name: &FoundName, ancestor: &FoundName) -> bool {
    if name.labels <= ancestor.labels {
        return false;
    }
    let mut labels = Labels::new(message, name.head);
    for _ in ancestor.labels..name.labels {
        labels.next();
    }
    is_same_labels(labels, Labels::new(message, ancestor.head))
}

fn is_same_labels(mut one: Labels<'_>, mut other: Labels<'_>) -> bool {
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(left), Some(right)) if left.eq_ignore_ascii_case(right) => {}
            (Some(_) | None, Some(_)) | (Some(_), None) => return false,
        }
    }
}

/// The labels of a name, from the left, the root left out. Ends at the first fault.
#[derive(Clone)]
pub(crate) struct Labels<'a> {
    message: &'a [u8],
    position: usize,
    hops: u8,
}

impl<'a> Labels<'a> {
    /// Begins with the label at `position`.
    pub(crate) fn new(message: &'a [u8], position: usize) -> Self {
        Self {
            message,
            position,
            hops: 0,
        }
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            steps::count(1);
            match u8_at(self.message, self.position)? {
                0 => return None,
                length @ 1..=63 => {
                    let start = self.position + 1;
                    let label = self.message.get(start..start + usize::from(length))?;
                    steps::count(label.len());
                    self.position = start + label.len();
                    return Some(label);
                }
                0xc0..=0xff if self.hops < HOPS_MAX => {
                    self.hops += 1;
                    self.position = usize::from(u16_at(self.message, self.position)? & 0x3fff);
                }
                64..=0xff => return None,
            }
        }
    }
}

/// Prints an uncompressed name in presentation format (RFC 1035 section 5.1, RFC 4343 section 2.1).
pub(crate) fn print(name: &[u8], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut is_root = true;
    for label in Labels::new(name, 0) {
        is_root = false;
        for &octet in label {
            match octet {
                b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                    write!(out, "\\{}", char::from(octet))?;
                }
                0x21..=0x7e => write!(out, "{}", char::from(octet))?,
                _ => write!(out, "\\{octet:03}")?,
            }
        }
        out.write_str(".")?;
    }
    if is_root { out.write_str(".") } else { Ok(()) }
}

/// Work counted in octets and hops, so that tests can prove a bound on it. Costs nothing outside
/// tests.
pub(crate) mod steps {
    #[cfg(test)]
    std::thread_local! {
        static STEPS: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
    }

    /// Counts work just done.
    #[cfg(test)]
    pub(crate) fn count(more: usize) {
        STEPS.with(|steps| steps.set(steps.get() + more));
    }

    /// Counts work just done.
    #[cfg(not(test))]
    #[inline(always)]
    pub(crate) const fn count(_more: usize) {}

    /// Returns the steps that `work` took on this thread.
    #[cfg(test)]
    pub(crate) fn taken_by(work: impl FnOnce()) -> usize {
        let before = STEPS.with(core::cell::Cell::get);
        work();
        STEPS.with(core::cell::Cell::get) - before
    }
}

#[cfg(test)]
mod tests;
