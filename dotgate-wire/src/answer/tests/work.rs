//! Work on the worst messages, in steps: octets and pointers looked at by name walks, and records
//! looked at per hop.

use std::slice;

use super::*;
use crate::name::steps;

/// Steps for each octet of the message and each time it is read. A record has at least 12 octets,
/// of which the owner's walk makes at most 255 octets and 127 + 128 hops and first octets: 43 steps
/// for each octet. RDATA of two pointers has another two such walks.
const STEPS_PER_OCTET: usize = 100;
/// How often a message is read: once, again if its names lead into opaque octets, again if records
/// in its middle are cut out.
const READINGS: usize = 3;

#[track_caller]
fn assert_bounded(message: &[u8], records: usize) -> usize {
    assert!(
        message.len() <= 65_535 && message.len() > 60_000,
        "{} octets",
        message.len()
    );
    let mut answer = Answer::new();
    let steps = steps::taken_by(|| assert_eq!(answer.load(message), Ok(())));
    assert!(
        steps <= READINGS * STEPS_PER_OCTET * message.len(),
        "{steps} steps, {records} records"
    );
    steps
}

/// Fills a message with records from `next`, which is told each record's number and offset.
fn filled(
    first: &[Vec<u8>],
    section: usize,
    mut next: impl FnMut(usize, usize) -> Vec<u8>,
) -> (Vec<u8>, usize) {
    let mut records = first.to_vec();
    let mut length = RECORDS_AT + first.concat().len();
    loop {
        let record = next(records.len(), length);
        if length + record.len() > 65_535 {
            break;
        }
        length += record.len();
        records.push(record);
    }
    let mut sections: [&[Vec<u8>]; 3] = [&[], &[], &[]];
    sections[section] = &records;
    (response(sections), records.len())
}

/// A record whose RDATA holds the dearest name there is, and the offset of that name if the record
/// stands first: 127 labels of one octet, each behind a pointer.
fn dearest_name() -> (Vec<u8>, usize) {
    let rdata_at = RECORDS_AT + 12;
    let mut rdata = vec![0];
    let mut previous = rdata_at;
    for _ in 0..126 {
        let at = rdata_at + rdata.len();
        rdata.extend([&b"\x01a"[..], &pointer(previous)].concat());
        previous = at;
    }
    (record(QNAME, rtype::NULL, 1, &rdata), previous)
}

#[test]
fn dearest_names_everywhere_cost_a_bounded_number_of_steps() {
    let (first, name_at) = dearest_name();
    let owner = pointer(name_at);
    for section in 0..3 {
        let (message, records) = filled(slice::from_ref(&first), section, |_, _| {
            record(&owner, rtype::MINFO, 1, &[&owner[..], &owner].concat())
        });
        let steps = assert_bounded(&message, records);
        assert!(steps > 1_000_000, "these names are cheap: {steps}");
        let (message, records) = filled(slice::from_ref(&first), section, |_, _| {
            record(&owner, rtype::NULL, 1, &[])
        });
        assert_bounded(&message, records);
    }
}

#[test]
fn chain_in_reverse_order_costs_a_bounded_number_of_steps() {
    // Each record's target is the owner of the record before it.
    let label = |number: usize| {
        let digits = format!("{number:04x}");
        [&[4], digits.as_bytes(), &[0xc0, 0x0c]].concat()
    };
    let (message, records) = filled(&[], 0, |number, _| {
        record(
            &label(number),
            rtype::CNAME,
            1,
            &label(number.saturating_sub(1)),
        )
    });
    assert!(records > 2_500, "{records}");
    let steps = assert_bounded(&message, records);
    assert!(steps < 1_000_000, "{steps}");
    // The QNAME owns none of them.
    assert_eq!(usize::from(loaded(&message).strays()), records);
}

#[test]
fn long_chain_that_starts_at_the_last_record_costs_a_bounded_number_of_steps() {
    let label = |number: usize| [&[4], format!("{number:04x}").as_bytes(), &[0xc0, 0x0c]].concat();
    let (message, records) = filled(&[], 0, |number, length| {
        let target = label(number.saturating_sub(1));
        // The last record is owned by the QNAME.
        let owner = if length > 65_535 - 2 * 26 {
            QNAME.to_vec()
        } else {
            label(number)
        };
        record(&owner, rtype::CNAME, 1, &target)
    });
    let steps = assert_bounded(&message, records);
    assert!(steps < 1_000_000, "{steps}");
    let strays = usize::from(loaded(&message).strays());
    assert!(
        strays >= records - 33 && strays < records,
        "{strays} of {records}"
    );
}

#[test]
fn thousands_of_dnames_cost_a_bounded_number_of_steps() {
    let target = pointer(12);
    let link = |hop: usize| [&[2], format!("{hop:02}").as_bytes(), &target[..]].concat();
    let first: Vec<_> = (0..31)
        .map(|hop| {
            let owner = if hop == 0 { QNAME.to_vec() } else { link(hop) };
            record(&owner, rtype::CNAME, 1, &link(hop + 1))
        })
        .rev()
        .collect();
    let (message, records) = filled(&first, 0, |_, _| {
        record(b"\x01x\xc0\x0c", rtype::DNAME, 1, &target)
    });
    assert_bounded(&message, records);
    assert_eq!(usize::from(loaded(&message).strays()), records - 31);
}

#[test]
fn cutting_out_an_opt_record_in_front_of_thousands_costs_at_most_twice_as_much() {
    let (first, name_at) = dearest_name();
    let owner = pointer(name_at);
    let edge = |hop_record_first: bool| {
        let mut front = vec![first.clone()];
        if hop_record_first {
            front.push(opt(0, &[]));
        }
        filled(&front, 2, |_, _| {
            record(&owner, rtype::MINFO, 1, &[&owner[..], &owner].concat())
        })
    };
    let (without, records) = edge(false);
    let (with, _) = edge(true);
    let plain = assert_bounded(&without, records);
    let mut answer = Answer::new();
    let cut = steps::taken_by(|| assert_eq!(answer.load(&with), Ok(())));
    assert!(cut > plain && cut <= 2 * plain + 2, "{plain} and {cut}");
}

#[test]
fn response_with_common_compression_is_read_once() {
    let alias = record(
        QNAME,
        rtype::CNAME,
        60,
        &[&b"\x01a"[..], &pointer(16)].concat(),
    );
    let target_at = RECORDS_AT + 12;
    let at_target = record(&pointer(target_at), rtype::A, 60, &[0; 4]);
    let soa = [&b"\x02ns"[..], &pointer(target_at), &pointer(24), &[0; 20]].concat();
    let denial = record(&pointer(24), rtype::SOA, 60, &soa);
    let answer = loaded(&response([
        &[alias, at_target],
        &[denial],
        &[address(1), opt(0, &[])],
    ]));
    assert!(!answer.scan.leads_elsewhere);
}

#[test]
fn message_with_an_endless_claim_of_records_costs_what_is_there() {
    let mut answer = Answer::new();
    let lie = [
        header(RESPONSE, [1, 65_535, 65_535, 65_535]),
        QUESTION.to_vec(),
    ]
    .concat();
    let steps = steps::taken_by(|| assert!(answer.load(&lie).is_err()));
    assert!(steps < 40, "{steps}");
}

#[test]
fn buffers_are_kept_for_the_next_response() {
    let (message, _) = filled(&[], 0, |_, _| address(1));
    let mut answer = loaded(&message);
    let room = |answer: &Answer| {
        (
            answer.body.capacity(),
            answer.scan.entries.capacity(),
            answer.scan.order.capacity(),
            answer.body.as_ptr(),
            answer.scan.entries.as_ptr(),
        )
    };
    let before = room(&answer);
    assert_eq!(answer.load(&message), Ok(()));
    assert!(answer.load(&[]).is_err());
    assert_eq!(answer.load(&message), Ok(()));
    assert_eq!(room(&answer), before);
}
