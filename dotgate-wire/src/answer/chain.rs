//! The QNAME's chain of CNAME and DNAME records, and what of the answer section stands outside it.
//!
//! The third step of loading an answer. Changes no byte. Upstreams send the chain in any order, so
//! each hop looks at every record not yet settled, by hash; a record's name is compared in full
//! once at most. Limits: [`HOPS_MAX`] hops, [`DNAMES_MAX`] DNAME records, and comparisons of names that together cost
//! twice the bytes of the message, as much as when no name in it is compressed, and [`WORK_FLOOR`]; what lies beyond
//! counts as off-chain. Follows RFC 1034 section 4.3.2 and RFC 6672 section 3.1 (a CNAME is synthesized from
//! each DNAME, so the DNAME's own target is not computed).

use super::scan::Scan;
use crate::consts::rtype;
use crate::name::{self, FoundName, steps};
use crate::records::Section;

/// The most names followed from the QNAME. Resolvers stop at 8 to 17.
const HOPS_MAX: usize = 32;
/// The most DNAME records compared with each name of the chain; a chain has no more of them than
/// hops.
const DNAMES_MAX: usize = HOPS_MAX;

/// Bytes and labels that may be compared in every message.
const WORK_FLOOR: usize = 4_096;

/// Counts the records of the answer section that are owned by a name outside the QNAME's chain.
pub(super) fn count_off_chain(body: &[u8], scan: &mut Scan) -> u16 {
    let answers = scan
        .entries
        .partition_point(|entry| entry.section == Section::Answer);
    let entries = scan.entries.get_mut(..answers).unwrap_or_default();
    let mut unsettled = entries.len();
    let mut off_chain: usize = 0;
    let mut next = scan.question;
    let mut work_left = 2 * body.len() + WORK_FLOOR;
    for _ in 0..HOPS_MAX {
        let Some(current) = next.take() else { break };
        if unsettled == 0 {
            break;
        }
        let mut dnames = 0;
        for entry in entries.iter_mut().filter(|entry| !entry.is_settled) {
            steps::count(1);
            let owner = &entry.owner;
            if owner.head == current.head || owner.hash == current.hash {
                // Another name with the same hash is somebody's trick: an off-chain record, and never compared
                // again.
                entry.is_settled = true;
                unsettled -= 1;
                if !is_paid(&mut work_left, owner, &current)
                    || !name::is_same(body, owner, &current)
                {
                    off_chain += 1;
                } else if entry.record.rtype == rtype::CNAME {
                    next = next.or_else(|| name::find(body, entry.record.rdata_at).ok());
                }
            } else if entry.record.rtype == rtype::DNAME && dnames < DNAMES_MAX {
                dnames += 1;
                if is_paid(&mut work_left, owner, &current) && name::is_below(body, &current, owner)
                {
                    entry.is_settled = true;
                    unsettled -= 1;
                }
            }
        }
    }
    u16::try_from(off_chain + unsettled).unwrap_or(u16::MAX)
}

/// Subtracts the cost of a comparison from the remaining work. False if that is too little; names with the same beginning cost
/// nothing.
fn is_paid(work_left: &mut usize, one: &FoundName, other: &FoundName) -> bool {
    if one.head == other.head {
        return true;
    }
    let cost = usize::from(one.length.max(other.length)) + usize::from(other.labels);
    let left = work_left.checked_sub(cost);
    *work_left = left.unwrap_or_default();
    left.is_some()
}
