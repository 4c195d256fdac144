//! The names of one message, read in message order, each label once.
//!
//! Between [`name`] and the scan of a response. Remembers of every label and pointer where it stands and what suffix
//! begins there, so that a name that ends in a pointer to one of them costs its own labels and one search, however
//! long it is and however many pointers its suffix leads through. A pointer may lead to anything else: some servers
//! compress against names in RDATA that is opaque to us. Such a name is walked as a whole; [`HOPS_MAX`] of its pointers
//! are followed at most, and all such walks of a message together cost no more than a quarter of its bytes and
//! [`WORK_FLOOR`].

use crate::bytes::{length_u16, u16_at};
use crate::header::HEADER_LEN;
use crate::name::{self, FoundName, LabelPlaces, NameFault, Pointer, Suffix, steps};

/// The most pointers followed from one name to where no label of a name is known. Compressors make one.
const HOPS_MAX: usize = 16;

/// Bytes and pointers of such walks that every message may cost.
const WORK_FLOOR: usize = 4_096;

/// The first offset that no pointer can hold.
const POINTER_END: usize = 0x4000;

/// The names read so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// What begins at each label, root and pointer of them, in message order.
    starts: Vec<(u16, Suffix)>,
    /// What walks to unknown places may still cost.
    work_left: usize,
    /// Whether a pointer led to anything but these.
    pub(crate) leads_elsewhere: bool,
}

impl Names {
    /// Clears everything except the capacity of the vector, for a message of `length` bytes.
    pub(crate) fn begin(&mut self, length: usize) {
        self.starts.clear();
        self.work_left = length / 4 + WORK_FLOOR;
        self.leads_elsewhere = false;
    }

    /// Returns a mark for [`forget_since`](Self::forget_since).
    pub(crate) fn mark(&self) -> (usize, bool) {
        (self.starts.len(), self.leads_elsewhere)
    }

    /// Discards the names read since the mark was made.
    pub(crate) fn forget_since(&mut self, (length, leads_elsewhere): (usize, bool)) {
        self.starts.truncate(length);
        self.leads_elsewhere = leads_elsewhere;
    }

    /// Checks the name at `at`, which lies behind all names read before.
    pub(crate) fn read(&mut self, message: &[u8], at: usize) -> Result<FoundName, NameFault> {
        if let Some(found) = self.read_pointer(message, at) {
            return Ok(found);
        }
        let mut places = LabelPlaces::new();
        let walked = name::walk(
            message,
            at,
            HOPS_MAX,
            |target| self.suffix_at(target),
            |place| places.push(place),
        )?;
        let mut found = walked.name;
        if walked.hops > 0 {
            self.leads_elsewhere = true;
            let work = usize::from(found.length) + walked.hops;
            self.work_left = self
                .work_left
                .checked_sub(work)
                .ok_or(NameFault::TooCostly)?;
        }
        found.hash = self.note_labels(message, &found, places.get(), walked.rest);
        Ok(found)
    }

    /// Reads a name that is a pointer to a known place, as most are.
    fn read_pointer(&mut self, message: &[u8], at: usize) -> Option<FoundName> {
        let word = u16_at(message, at).filter(|word| *word >= 0xc000)?;
        let target = usize::from(word & 0x3fff);
        let suffix = self.suffix_at(target)?;
        self.note(at, suffix);
        Some(FoundName {
            start: at,
            end: at + 2,
            head: suffix.head.into(),
            labels: suffix.labels,
            length: suffix.length,
            hash: suffix.hash,
            pointer: Some(Pointer { at, target }),
        })
    }

    /// Notes what begins at `at`, unless no pointer can lead there.
    fn note(&mut self, at: usize, suffix: Suffix) {
        if at < POINTER_END {
            self.starts.push((length_u16(at), suffix));
        }
    }

    /// Notes the labels and the end that the name has where it stands. `places` are those of all its labels in front
    /// of `rest`. Returns the name's hash.
    fn note_labels(
        &mut self,
        message: &[u8],
        found: &FoundName,
        places: &[u16],
        rest: Option<Suffix>,
    ) -> u64 {
        let end = found.pointer.map_or(found.end - 1, |pointer| pointer.at);
        let is_own = |place: &u16| (found.start..end).contains(&usize::from(*place));
        let own = places.partition_point(is_own);
        let (own, others) = places.split_at_checked(own).unwrap_or_default();
        let root = Suffix {
            head: length_u16(end),
            ..Suffix::ROOT
        };
        let rest = rest.unwrap_or(root);
        let tail = name::suffixes(message, others, rest).last().unwrap_or(rest);
        let first = self.starts.len();
        self.note(end, tail);
        let mut hash = tail.hash;
        for suffix in name::suffixes(message, own, tail) {
            hash = suffix.hash;
            self.note(suffix.head.into(), suffix);
        }
        if let Some(noted) = self.starts.get_mut(first..) {
            noted.reverse();
        }
        hash
    }

    /// Returns what begins at `target`, if it was noted.
    fn suffix_at(&self, target: usize) -> Option<Suffix> {
        // Most pointers lead to the question's name.
        if target == HEADER_LEN
            && let Some((at, suffix)) = self.starts.first()
            && usize::from(*at) == target
        {
            return Some(*suffix);
        }
        steps::count(16);
        let target = u16::try_from(target).ok()?;
        let found = self
            .starts
            .binary_search_by_key(&target, |(at, _)| *at)
            .ok()?;
        self.starts.get(found).map(|(_, suffix)| *suffix)
    }
}
