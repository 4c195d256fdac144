//! TTLs: bounded, and equal within each RRset.
//!
//! The last step of loading an answer, and the only one that changes records. The lowest TTL of an
//! RRset wins (RFC 2181 section 5.2); a TTL with its top bit set is a large one (RFC 8767 section
//! 4). RRSIG records form no RRset (RFC 4035 section 2.2) and are only bounded.

use super::scan::{Entry, Scan};
use crate::bytes::set_u32;
use crate::consts::rtype;
use crate::records::Section;

/// The longest TTL given to clients, in seconds: 7 days (RFC 8767 section 4).
pub const TTL_MAX: u32 = 604_800;

/// Changes every bit of every TTL; done twice, it changes nothing.
pub(super) fn invert(body: &mut [u8], scan: &mut Scan) {
    for Entry { record, .. } in &mut scan.entries {
        record.ttl = !record.ttl;
        set_u32(body, record.ttl_at, record.ttl);
    }
}

/// Bounds every TTL, and makes those of an RRset equal.
pub(super) fn settle(body: &mut [u8], scan: &mut Scan) {
    let Scan { entries, order, .. } = scan;
    for (index, entry) in entries.iter_mut().enumerate() {
        if entry.record.ttl > TTL_MAX {
            entry.record.ttl = TTL_MAX;
            set_u32(body, entry.record.ttl_at, TTL_MAX);
        }
        if !is_signature(entry) {
            order.extend(u16::try_from(index));
        }
    }
    let entry_at = |index: &u16| entries.get(usize::from(*index));
    order.sort_unstable_by_key(|index| entry_at(index).map(set_key));
    for set in
        order.chunk_by(|one, other| entry_at(one).map(set_key) == entry_at(other).map(set_key))
    {
        let records = || set.iter().filter_map(entry_at).map(|entry| &entry.record);
        let lowest = records().map(|record| record.ttl).min().unwrap_or_default();
        for record in records().filter(|record| record.ttl != lowest) {
            set_u32(body, record.ttl_at, lowest);
        }
    }
}

/// What the records of an RRset have in common. The owner's hash stands for the owner: if two names
/// ever share one, a TTL is lower than it had to be, which is always allowed.
fn set_key(entry: &Entry) -> (Section, u64, u16, u16) {
    let record = &entry.record;
    (entry.section, entry.owner.hash, record.rtype, record.rclass)
}

fn is_signature(entry: &Entry) -> bool {
    matches!(entry.record.rtype, rtype::RRSIG | rtype::SIG)
}
