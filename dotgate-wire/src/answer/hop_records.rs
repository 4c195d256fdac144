//! Copying a response without the records that belong to its hop.
//!
//! The second step of loading an answer. These records usually stand last, and then this is a copy
//! of what precedes them. If they do not, the bytes are closed up and each pointer across the gap
//! is shortened by its width: no name is compressed again, no record is rebuilt. Linear in the
//! message.

use core::ops::Range;

use super::ResponseFault;
use super::scan::Scan;
use crate::bytes::{length_u16, set_u16, u16_at};
use crate::header::{ARCOUNT_AT, FLAGS_AT, Flags};

/// The first two bits of a compression pointer (RFC 1035 section 4.1.4).
const POINTER: u16 = 0xc000;

/// Copies `response`, as `scan` found it, into the empty `body`, with Z clear and without the
/// records of the hop. Returns whether records now stand elsewhere than `scan` says.
pub(super) fn copy_without(
    body: &mut Vec<u8>,
    response: &[u8],
    scan: &Scan,
) -> Result<bool, ResponseFault> {
    let mut gaps = Gaps::default();
    for (place, range) in gaps.ranges.iter_mut().zip(scan.hop_records.ranges()) {
        *place = range.clone();
    }
    gaps.ranges.sort_unstable_by_key(|range| range.start);
    let mut copied = 0;
    let mut removed: u16 = 0;
    for gap in gaps.ranges.iter().filter(|gap| !gap.is_empty()) {
        body.extend_from_slice(response.get(copied..gap.start).unwrap_or_default());
        copied = gap.end;
        removed += 1;
    }
    body.extend_from_slice(response.get(copied..scan.end).unwrap_or_default());
    let flags = u16_at(body, FLAGS_AT).unwrap_or_default();
    set_u16(body, FLAGS_AT, flags & !Flags::Z);
    let additionals = u16_at(body, ARCOUNT_AT).unwrap_or_default();
    set_u16(body, ARCOUNT_AT, additionals.saturating_sub(removed));
    for pointer in &scan.pointers {
        let at = pointer.at - gaps.width_before(pointer.at)?;
        let target = pointer.target - gaps.width_before(pointer.target)?;
        set_u16(body, at, POINTER | length_u16(target));
    }
    let first_gap = gaps
        .ranges
        .iter()
        .find(|gap| !gap.is_empty())
        .map_or(scan.end, |gap| gap.start);
    Ok(scan
        .entries
        .last()
        .is_some_and(|entry| entry.record.start > first_gap))
}

/// The bytes left out, by their offsets in the response; unused places are empty.
#[derive(Default)]
struct Gaps {
    ranges: [Range<usize>; 3],
}

impl Gaps {
    /// Returns how many bytes are left out before `at`; fails if `at` itself is.
    fn width_before(&self, at: usize) -> Result<usize, ResponseFault> {
        let mut width = 0;
        for gap in &self.ranges {
            if gap.contains(&at) {
                return Err(ResponseFault::PointerIntoHopRecord);
            }
            if at >= gap.end {
                width += gap.len();
            }
        }
        Ok(width)
    }
}
