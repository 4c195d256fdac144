//! A question, and the key under which it is cached and in flight.
//!
//! Made from a checked query and used by every later step. Holds the name in lower case, so that
//! two spellings are one question (RFC 4343); the name case of a waiting client is stored separately, in a
//! [`NameCase`], and put back into the response (draft-vixie-dnsext-dns0x20 clients compare it).
//! Never decides whether a question may be asked. Limit: 259 bytes.

use core::fmt;
use core::hash::{Hash, Hasher};

use crate::bytes::length_u16;
use crate::consts::{rclass, rtype};
use crate::header::type_and_class;
use crate::name::{self, NAME_MAX};
use crate::query::Query;

/// Bytes of type and class behind a question's name.
pub(crate) const TYPE_AND_CLASS_LEN: usize = 4;

/// The most bytes a question can have: a name of 255, type and class.
pub const QUESTION_MAX: usize = NAME_MAX + TYPE_AND_CLASS_LEN;

/// Bytes of a name whose letters are folded at once.
const FOLDED_AT_ONCE: usize = 16;

/// Bytes of [`Question::padded`]: whole chunks, with room for a word of 64 bits behind the longest name.
pub const PADDED_LEN: usize = QUESTION_MAX.next_multiple_of(FOLDED_AT_ONCE);

/// A question (uncompressed name, type, class) with letters folded to lower case, stored inline.
#[derive(Clone)]
pub struct Question {
    bytes: [u8; PADDED_LEN],
    length: u16,
}

impl Question {
    /// Folds a question as it is on the wire (uncompressed name, type, class). `None` if `exact` is
    /// not one whole well-formed question and nothing else.
    pub fn fold(exact: &[u8]) -> Option<Self> {
        is_question(exact).then(|| Self::folded(exact))
    }

    /// Folds the question of a query, which has been checked. A part of its callers, because it is large.
    #[inline(always)]
    pub fn of(query: &Query<'_>) -> Self {
        Self::folded(query.question)
    }

    /// Folds a question that is known to be one.
    #[inline(always)]
    fn folded(exact: &[u8]) -> Self {
        let (name, type_and_class) = split_question(exact);
        let mut question = Self {
            bytes: [0; PADDED_LEN],
            length: length_u16(exact.len()),
        };
        put(&mut question.bytes, 0, name);
        // In whole chunks, of which the processor folds each at once; behind the name are zeros. A
        // length byte is at most 63 and so never looks like a letter.
        let (chunks, _) = question.bytes.as_chunks_mut::<FOLDED_AT_ONCE>();
        for chunk in chunks.iter_mut().take(name.len().div_ceil(FOLDED_AT_ONCE)) {
            chunk.make_ascii_lowercase();
        }
        // An array is written by one instruction, a slice by a call.
        if let Some(type_and_class) = type_and_class.first_chunk::<TYPE_AND_CLASS_LEN>() {
            put(&mut question.bytes, name.len(), type_and_class);
        }
        question
    }

    /// Makes a question from an uncompressed name; `None` if the name is not well formed.
    pub fn new(name_wire: &[u8], qtype: u16, qclass: u16) -> Option<Self> {
        let mut exact = [0; QUESTION_MAX];
        let length = name_wire.len().checked_add(TYPE_AND_CLASS_LEN)?;
        let exact = exact.get_mut(..length)?;
        let (name, rest) = exact.split_at_mut_checked(name_wire.len())?;
        name.copy_from_slice(name_wire);
        let (type_bytes, class_bytes) = rest.split_at_mut_checked(2)?;
        type_bytes.copy_from_slice(&qtype.to_be_bytes());
        class_bytes.copy_from_slice(&qclass.to_be_bytes());
        Self::fold(exact)
    }

    /// Makes a question about the root in class IN.
    pub fn root(qtype: u16) -> Self {
        let mut exact = [0; 1 + TYPE_AND_CLASS_LEN];
        put(&mut exact, 1, &qtype.to_be_bytes());
        put(&mut exact, 3, &rclass::IN.to_be_bytes());
        Self::folded(&exact)
    }

    /// Returns the whole question: name in lower case, type, class.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }

    /// Returns the whole question with zeros behind it.
    pub fn padded(&self) -> &[u8; PADDED_LEN] {
        &self.bytes
    }

    /// Returns the name in lower case, with its root label.
    pub fn name(&self) -> &[u8] {
        split_question(self.as_bytes()).0
    }

    /// Returns the question type.
    pub fn qtype(&self) -> u16 {
        type_and_class(self.as_bytes(), self.name().len())
            .unwrap_or_default()
            .0
    }

    /// Returns the question class.
    pub fn qclass(&self) -> u16 {
        type_and_class(self.as_bytes(), self.name().len())
            .unwrap_or_default()
            .1
    }

    /// Returns whether `exact`, a question as on the wire, asks the same: name without regard to
    /// letter case.
    pub fn matches(&self, exact: &[u8]) -> bool {
        let (name, type_and_class) = split_question(exact);
        let (own_name, own_type_and_class) = split_question(self.as_bytes());
        own_type_and_class == type_and_class && own_name.eq_ignore_ascii_case(name)
    }

    /// Returns whether the name is `suffix_wire_lower` (uncompressed, lower case, with its root
    /// label) or lies below it.
    pub fn is_at_or_below(&self, suffix_wire_lower: &[u8]) -> bool {
        let mut rest = self.name();
        loop {
            if rest.len() <= suffix_wire_lower.len() {
                return !rest.is_empty() && rest == suffix_wire_lower;
            }
            let Some((length, behind)) = rest.split_first() else {
                return false;
            };
            rest = behind.get(usize::from(*length)..).unwrap_or_default();
        }
    }
}

/// Returns whether this is a well-formed name, type and class, and nothing else. No pointer leads before the first
/// byte, so that the name is uncompressed.
fn is_question(exact: &[u8]) -> bool {
    name::find_end(exact, 0).is_ok_and(|end| end + TYPE_AND_CLASS_LEN == exact.len())
}

/// Writes bytes to a place in a buffer that has room for them.
#[inline(always)]
fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(room) = buffer.get_mut(at..at + bytes.len()) {
        room.copy_from_slice(bytes);
    }
}

/// Splits a question into its name, and its type and class.
pub(crate) fn split_question(question: &[u8]) -> (&[u8], &[u8]) {
    let middle = question.len().saturating_sub(TYPE_AND_CLASS_LEN);
    question.split_at_checked(middle).unwrap_or_default()
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Question {}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// Prints the question in presentation format, such as `example.org. AAAA IN`. Names are personal
/// data: for debug logs.
impl fmt::Display for Question {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        name::print(self.name(), out)?;
        match rtype::mnemonic(self.qtype()) {
            Some(known) => write!(out, " {known}")?,
            None => write!(out, " TYPE{}", self.qtype())?,
        }
        match rclass::mnemonic(self.qclass()) {
            Some(known) => write!(out, " {known}"),
            None => write!(out, " CLASS{}", self.qclass()),
        }
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Question({self})")
    }
}

/// Which bytes of a name were upper case letters, one bit each.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct NameCase([u64; 4]);

impl NameCase {
    /// A name without upper case letters.
    pub const LOWER: Self = Self([0; 4]);

    /// One bit for each byte of the name.
    pub fn words(self) -> [u64; 4] {
        self.0
    }

    /// Notes the upper case letters in the name of `question` (name, type, class).
    pub fn of(question: &[u8]) -> Self {
        let (name, _) = split_question(question);
        let mut words = [0_u64; 4];
        for (bytes, word) in name.chunks(64).zip(&mut words) {
            let (eights, rest) = bytes.as_chunks();
            for (number, eight) in eights.iter().enumerate() {
                *word |= upper_case(*eight) << (8 * number);
            }
            for (bit, byte) in rest.iter().enumerate() {
                *word |= u64::from(byte.is_ascii_uppercase()) << (8 * eights.len() + bit);
            }
        }
        Self(words)
    }

    /// Picks the letters of the name in `question` (name, type, class) that are upper case by the bits of `random`: what
    /// somebody who does not see the question cannot guess.
    pub fn mixed(question: &[u8], random: [u64; 4]) -> Self {
        let (name, _) = split_question(question);
        let mut words = [0_u64; 4];
        for ((bytes, word), random) in name.chunks(64).zip(&mut words).zip(random) {
            for (bit, byte) in bytes.iter().enumerate() {
                *word |= (u64::from(byte.is_ascii_alphabetic()) << bit) & random;
            }
        }
        Self(words)
    }

    /// Spells the name of `question` (name, type, class) as it was noted, whatever its letters'
    /// case is now.
    pub fn apply(self, question: &mut [u8]) {
        let name_length = question.len().saturating_sub(TYPE_AND_CLASS_LEN);
        let Some(name) = question.get_mut(..name_length) else {
            return;
        };
        for (bytes, word) in name.chunks_mut(64).zip(self.0) {
            // Nearly all names: the processor folds many bytes at a time.
            if word == 0 {
                bytes.make_ascii_lowercase();
                continue;
            }
            for (bit, byte) in bytes.iter_mut().enumerate() {
                if word >> bit & 1 == 1 {
                    byte.make_ascii_uppercase();
                } else {
                    byte.make_ascii_lowercase();
                }
            }
        }
    }
}

/// Which of eight bytes are upper case letters, the first in the lowest bit: all of them at once, each in its byte of a word.
fn upper_case(bytes: [u8; 8]) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const TOP: u64 = 0x80 * EACH;
    let word = u64::from_le_bytes(bytes);
    let low = word & !TOP;
    // The top bit of a byte is set where it is at least `A`, and where it is more than `Z`; neither carries into the next.
    let from_a = low.wrapping_add((0x80 - b'A' as u64) * EACH);
    let after_z = low.wrapping_add((0x7f - b'Z' as u64) * EACH);
    let is_upper = from_a & !after_z & !word & TOP;
    // Moves the top bit of each byte to its place in the uppermost one.
    (is_upper >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests;
