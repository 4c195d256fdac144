//! Names where they stand in a message: checked once, then compared and printed without being
//! copied.
//!
//! Under every other module. A name is found by [`find`], the end of a question's name by [`find_end`], that of an
//! owner in a query, which is not needed, by [`skip`]. A message with many names is read by
//! [`Names`](crate::names::Names), which knows the suffixes seen before.
//! It never builds or stores a name. Limits: labels of 63 bytes, names of 255,
//! [`HOPS_MAX`] compression pointers, each strictly backwards, so that no name costs more than 255
//! bytes and 127 hops. Follows RFC 1035 sections 3.1 and 4.1.4, RFC 4343 (letter case), RFC 9267
//! (what goes wrong with pointers).

use core::fmt;

use crate::bytes::{length_u8, length_u16, u8_at, u16_at};
use crate::header::HEADER_LEN;

/// The most bytes a name may have, uncompressed and with its root label.
pub(crate) const NAME_MAX: usize = 255;
/// The most compression pointers followed in one name. A name of 255 bytes has at most 127 labels
/// before its root, and compression needs at most one pointer in front of each.
const HOPS_MAX: usize = 127;

/// The most labels of a name, the root not counted.
const LABELS_MAX: usize = 127;

/// What is wrong with a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameFault {
    /// A pointer leads forwards, to itself, or into the header.
    BadPointer,
    /// The bytes end within the name.
    CutShort,
    /// A label's first two bits are 01 or 10 (RFC 6891 section 5).
    LabelType,
    /// The name has more than 255 bytes.
    TooLong,
    /// The names of the message that lead through anything but labels of its other names cost too much, by themselves or
    /// because the message would have to be read too often for them.
    TooCostly,
    /// The name is spread over too many pointers.
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
            Self::TooCostly => "name-too-costly",
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
    /// The offset of the name's first byte where it stands.
    pub(crate) start: usize,
    /// The offset of the first byte behind the name where it stands.
    pub(crate) end: usize,
    /// The offset of the name's first label, wherever a leading pointer led.
    pub(crate) head: usize,
    /// How many labels it has, the root not counted.
    pub(crate) labels: u8,
    /// The bytes it takes uncompressed, with its root label.
    pub(crate) length: u8,
    /// A hash of the name in lower case: equal for equal names, and of no use against a peer who
    /// looks for collisions.
    pub(crate) hash: u64,
    /// The pointer that ends the name where it stands, if one does.
    pub(crate) pointer: Option<Pointer>,
}

impl FoundName {
    /// A name of which nothing is known but where it begins.
    const fn starting(at: usize) -> Self {
        Self {
            start: at,
            end: at,
            head: at,
            labels: 0,
            length: 0,
            hash: 0,
            pointer: None,
        }
    }

    /// Notes that a pointer ends the name where it stands, unless one before it does.
    fn set_pointer(&mut self, at: usize, target: usize) {
        if self.pointer.is_none() {
            self.pointer = Some(Pointer { at, target });
            self.end = at + 2;
        }
    }
}

/// What is known of the rest of a name, from one of its labels on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Suffix {
    /// The bytes that it takes, uncompressed and with its root label.
    pub(crate) length: u8,
    /// How many labels it has, the root not counted.
    pub(crate) labels: u8,
    /// The offset of its first label.
    pub(crate) head: u16,
    /// The hash, as that of a name.
    pub(crate) hash: u64,
}

impl Suffix {
    /// The root alone.
    pub(crate) const ROOT: Self = Self {
        length: 1,
        labels: 0,
        head: 0,
        hash: 0xcbf2_9ce4_8422_2325,
    };

    /// Returns this suffix with `label`, which stands at `head` and begins with its length, in front of it. The name
    /// must not get longer than a name may be.
    #[must_use]
    fn below(self, head: u16, label: &[u8]) -> Self {
        Self {
            length: self.length.saturating_add(length_u8(label.len())),
            labels: self.labels.saturating_add(1),
            head,
            hash: hash_label(self.hash, label),
        }
    }
}

/// Where the labels of a name stand, from the left.
pub(crate) struct LabelPlaces {
    places: [u16; LABELS_MAX],
    count: usize,
}

impl LabelPlaces {
    /// Makes an empty list.
    pub(crate) const fn new() -> Self {
        Self {
            places: [0; LABELS_MAX],
            count: 0,
        }
    }

    /// Adds one.
    pub(crate) fn push(&mut self, at: usize) {
        if let Some(place) = self.places.get_mut(self.count) {
            *place = length_u16(at);
            self.count += 1;
        }
    }

    /// Returns the places.
    pub(crate) fn get(&self) -> &[u16] {
        self.places.get(..self.count).unwrap_or_default()
    }
}

/// Checks the name at `at` and returns what identifies it.
pub(crate) fn find(message: &[u8], at: usize) -> Result<FoundName, NameFault> {
    let mut places = LabelPlaces::new();
    let mut found = walk(message, at, HOPS_MAX, |_| None, |place| places.push(place))?.name;
    found.hash = suffixes(message, places.get(), Suffix::ROOT)
        .last()
        .map_or(Suffix::ROOT.hash, |suffix| suffix.hash);
    Ok(found)
}

/// Checks the name at `at` and returns the offset of the first byte behind it where it stands: much cheaper, for
/// names that are compared with no other one.
pub(crate) fn find_end(message: &[u8], at: usize) -> Result<usize, NameFault> {
    walk(message, at, HOPS_MAX, |_| None, |_| {}).map(|walked| walked.name.end)
}

/// Returns the offset of the first byte behind the name at `at` where it stands. A pointer is not followed, so the
/// name need not be a correct one.
pub(crate) fn skip(message: &[u8], at: usize) -> Result<usize, NameFault> {
    let mut position = at;
    loop {
        steps::count(1);
        match u8_at(message, position).ok_or(NameFault::CutShort)? {
            0 => return Ok(position + 1),
            length @ 1..=63 => position += 1 + usize::from(length),
            0xc0..=0xff => {
                u16_at(message, position).ok_or(NameFault::CutShort)?;
                position += 2;
                return if position - at < NAME_MAX {
                    Ok(position)
                } else {
                    Err(NameFault::TooLong)
                };
            }
            64..=0xbf => return Err(NameFault::LabelType),
        }
        if position - at >= NAME_MAX {
            return Err(NameFault::TooLong);
        }
    }
}

/// Returns the suffixes that begin at `places`, which are those of labels in front of `rest`, shortest first.
pub(crate) fn suffixes<'a>(
    message: &'a [u8],
    places: &'a [u16],
    rest: Suffix,
) -> impl Iterator<Item = Suffix> + 'a {
    let longer = move |rest: &mut Suffix, &at: &u16| {
        let start = usize::from(at);
        let length = usize::from(u8_at(message, start)?);
        *rest = rest.below(at, message.get(start..=start + length)?);
        Some(*rest)
    };
    places.iter().rev().scan(rest, longer)
}

/// What a walk over a name has seen.
pub(crate) struct Walked {
    /// The name, without its hash.
    pub(crate) name: FoundName,
    /// What was known of the rest of the name, from the last pointer on.
    pub(crate) rest: Option<Suffix>,
    /// Pointers followed to where nothing was known.
    pub(crate) hops: usize,
}

/// Checks the name at `at` and shows each label's place to `visit`, up to the first pointer whose target is `known`.
/// Follows `hops_max` other pointers at most.
#[inline]
pub(crate) fn walk(
    message: &[u8],
    at: usize,
    hops_max: usize,
    mut known: impl FnMut(usize) -> Option<Suffix>,
    mut visit: impl FnMut(usize),
) -> Result<Walked, NameFault> {
    let mut found = FoundName::starting(at);
    let mut position = at;
    // Each pointer must lead before the part of the name it ends, so that the walk cannot come
    // back.
    let mut part_start = at;
    let mut bytes = 0;
    let mut hops = 0;
    let rest = loop {
        steps::count(1);
        match u8_at(message, position).ok_or(NameFault::CutShort)? {
            0 => {
                if found.pointer.is_none() {
                    found.end = position + 1;
                }
                bytes += 1;
                break None;
            }
            first @ 1..=63 => {
                let length = usize::from(first) + 1;
                bytes += length;
                // One more byte is the root's.
                if bytes + 1 > NAME_MAX {
                    return Err(NameFault::TooLong);
                }
                if position + length > message.len() {
                    return Err(NameFault::CutShort);
                }
                visit(position);
                found.labels += 1;
                position += length;
            }
            0xc0..=0xff => {
                let target = target_of(message, position, part_start)?;
                found.set_pointer(position, target);
                let suffix = known(target);
                if found.labels == 0 {
                    found.head = suffix.map_or(target, |suffix| suffix.head.into());
                }
                if let Some(suffix) = suffix {
                    bytes += usize::from(suffix.length);
                    found.labels = found.labels.saturating_add(suffix.labels);
                    break Some(suffix);
                }
                if hops == hops_max {
                    return Err(NameFault::TooManyPointers);
                }
                hops += 1;
                part_start = target;
                position = target;
            }
            64..=0xbf => return Err(NameFault::LabelType),
        }
    };
    if bytes > NAME_MAX {
        return Err(NameFault::TooLong);
    }
    found.length = length_u8(bytes);
    Ok(Walked {
        name: found,
        rest,
        hops,
    })
}

/// Returns where the pointer at `position` leads, which must be before `part_start`.
fn target_of(message: &[u8], position: usize, part_start: usize) -> Result<usize, NameFault> {
    let word = u16_at(message, position).ok_or(NameFault::CutShort)?;
    let target = usize::from(word & 0x3fff);
    if (HEADER_LEN..part_start).contains(&target) {
        Ok(target)
    } else {
        Err(NameFault::BadPointer)
    }
}

/// Continues an FNV-1a hash over a label and its length, letters in lower case.
fn hash_label(start: u64, label: &[u8]) -> u64 {
    steps::count(label.len());
    label.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
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
    hops: usize,
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

/// Shows an uncompressed name in presentation format. Names are personal data.
#[derive(Clone, Copy, Debug)]
pub struct ShownName<'n>(pub &'n [u8]);

impl fmt::Display for ShownName<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.0, out)
    }
}

/// Prints an uncompressed name in presentation format (RFC 1035 section 5.1, RFC 4343 section 2.1).
pub(crate) fn print(name: &[u8], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut is_root = true;
    for label in Labels::new(name, 0) {
        is_root = false;
        for &byte in label {
            match byte {
                b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                    write!(out, "\\{}", char::from(byte))?;
                }
                0x21..=0x7e => write!(out, "{}", char::from(byte))?,
                _ => write!(out, "\\{byte:03}")?,
            }
        }
        out.write_str(".")?;
    }
    if is_root { out.write_str(".") } else { Ok(()) }
}

/// Work counted in bytes and hops, so that tests can prove a bound on it. Costs nothing outside
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
