//! Work on the worst messages, in steps: bytes and pointers looked at by name walks, and records
//! looked at per hop.

mod search;

use super::*;
use crate::name::NameFault;
use crate::name::steps;

/// Steps for each byte of the message, however often it is read. A record has at least 11 bytes; each time it is read
/// its names cost their own bytes twice, and a search of 16 steps for each pointer. It is read once, again if records
/// in the middle are cut out or if names lead into opaque bytes; then each hop of the chain looks at it.
const STEPS_PER_BYTE: usize = 16;

/// Steps that every message may cost: what is allowed for odd names and comparisons, each time it is read.
const STEPS_FLOOR: usize = 20_000;

fn steps_allowed(length: usize) -> usize {
    STEPS_PER_BYTE * length + STEPS_FLOOR
}

/// Loads a message of nearly the greatest length, and returns what became of it and how many steps it took.
#[track_caller]
fn bounded(message: &[u8], records: usize) -> (Result<(), ResponseFault>, usize) {
    assert!(
        message.len() <= 65_535 && message.len() > 60_000,
        "{} bytes",
        message.len()
    );
    let mut answer = UpstreamResponse::new();
    let mut loaded = Ok(());
    let steps = steps::taken_by(|| loaded = answer.load(message));
    assert!(
        steps <= steps_allowed(message.len()),
        "{steps} steps, {records} records"
    );
    (loaded, steps)
}

#[track_caller]
fn assert_bounded(message: &[u8], records: usize) -> usize {
    let (loaded, steps) = bounded(message, records);
    assert_eq!(loaded, Ok(()));
    steps
}

/// Fills a message with records from `next`, which is given each record's number and offset.
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

/// A record whose RDATA is opaque and holds a name of 126 labels of one byte, of which the first `pointers` stand
/// behind a pointer each; and the offset of that name if the record stands first.
fn opaque_name(pointers: usize) -> (Vec<u8>, usize) {
    let rdata_at = RECORDS_AT + 12;
    let mut rdata = [b"\x01a".repeat(126 - pointers), vec![0]].concat();
    let mut previous = rdata_at;
    for _ in 0..pointers {
        let at = rdata_at + rdata.len();
        rdata.extend([&b"\x01a"[..], &pointer(previous)].concat());
        previous = at;
    }
    (record(QNAME, rtype::NULL, 1, &rdata), previous)
}

/// Records whose targets are names of up to 126 labels, each behind a pointer to the last one, and the offset of the
/// longest.
fn linked_names() -> (Vec<Vec<u8>>, usize) {
    let mut records = vec![record(QNAME, rtype::NS, 1, b"\x01a\0")];
    let mut previous = RECORDS_AT + 12;
    let mut length = RECORDS_AT + records[0].len();
    for _ in 1..126 {
        let rdata = [&b"\x01a"[..], &pointer(previous)].concat();
        let next = record(QNAME, rtype::NS, 1, &rdata);
        previous = length + 12;
        length += next.len();
        records.push(next);
    }
    (records, previous)
}

/// Records with three names each, all of them a pointer to `target`.
fn with_three_names(target: usize) -> impl Fn(usize, usize) -> Vec<u8> {
    let name = pointer(target);
    move |_, _| record(&name, rtype::RP, 1, &[&name[..], &name].concat())
}

#[test]
fn names_of_many_pointers_cost_one_search_each() {
    let (first, name_at) = linked_names();
    for section in 0..3 {
        let (message, records) = filled(&first, section, with_three_names(name_at));
        assert!(records > 3_500, "{records}");
        let steps = assert_bounded(&message, records);
        assert!(steps < 6 * message.len(), "{steps}");
    }
}

#[test]
fn a_name_has_at_most_16_pointers_into_opaque_bytes() {
    for (pointers, expected) in [
        (15, Ok(())),
        (16, Err(ResponseFault::Name(NameFault::TooManyPointers))),
        (126, Err(ResponseFault::Name(NameFault::TooManyPointers))),
    ] {
        let (first, name_at) = opaque_name(pointers);
        let message = response([&[first, with_three_names(name_at)(0, 0)], &[], &[]]);
        assert_eq!(
            UpstreamResponse::new().load(&message),
            expected,
            "{pointers}"
        );
    }
}

#[test]
fn names_in_opaque_bytes_are_too_costly_in_great_number_and_fine_in_a_small_one() {
    let (first, name_at) = opaque_name(15);
    let (message, records) = filled(std::slice::from_ref(&first), 0, with_three_names(name_at));
    let (loaded, _) = bounded(&message, records);
    assert_eq!(loaded, Err(ResponseFault::Name(NameFault::TooCostly)));
    let some = vec![with_three_names(name_at)(0, 0); 5];
    let message = response([&[vec![first], some].concat(), &[], &[]]);
    assert_eq!(UpstreamResponse::new().load(&message), Ok(()));
}

#[test]
fn a_large_response_is_not_read_three_times() {
    // Once more because an OPT record is cut out in the middle, and once more because a name leads into opaque bytes.
    let (first, name_at) = opaque_name(2);
    let odd = record(&pointer(name_at), rtype::A, 1, &[0; 4]);
    let load = |before: usize, behind: usize| {
        let additional = [
            vec![address(1); before],
            vec![opt(0, &[])],
            vec![address(1); behind],
        ];
        let additional = additional.concat();
        UpstreamResponse::new().load(&response([&[first.clone(), odd.clone()], &[], &additional]))
    };
    let too_costly = Err(ResponseFault::Name(NameFault::TooCostly));
    assert_eq!(load(0, 900), Ok(()));
    assert_eq!(load(0, 1_100), too_costly);
    assert_eq!(load(1_099, 1), too_costly);
    assert_eq!(load(1_100, 0), Ok(()));
}

#[test]
fn pointers_to_pointers_are_as_cheap_as_pointers_to_labels() {
    // Each owner is a pointer to the one before it.
    let (message, records) = filled(&[], 0, |number, at| {
        let target = if number == 0 { 12 } else { at - 16 };
        let owner = if target < 0x4000 {
            pointer(target)
        } else {
            QNAME.to_vec()
        };
        record(&owner, rtype::A, 1, &[0; 4])
    });
    let steps = assert_bounded(&message, records);
    assert!(steps < 4 * message.len(), "{steps}");
    let answer = loaded(&message);
    assert_eq!(answer.off_chain_count(), 0);
    assert!(!answer.scan.names.leads_elsewhere);
}

#[test]
fn copies_of_a_long_name_are_compared_until_that_is_too_costly() {
    // The QNAME's hash is theirs, but each is another copy of its labels.
    let long = b"\x01a".repeat(125);
    let question = [&long[..], b"\0\0\x01\0\x01"].concat();
    let copy_at = HEADER_LEN + question.len() + 2 + 10 + 2;
    let copy = record(QNAME, rtype::NS, 1, &[&b"\x01b"[..], &long, b"\0"].concat());
    let own = [&b"\x01a"[..], &pointer(copy_at + 2)].concat();
    let address = record(&own, rtype::A, 1, &[0; 4]);
    let count = (65_535 - copy_at - 300) / address.len();
    let message = [
        header(RESPONSE, [1, u16::try_from(count + 1).unwrap(), 0, 0]),
        question,
        copy,
        address.repeat(count),
    ]
    .concat();
    let steps = assert_bounded(&message, count);
    assert!(steps < 8 * message.len(), "{steps}");
    let off_chain = usize::from(loaded(&message).off_chain_count());
    assert!(off_chain > 0 && off_chain < count, "{off_chain} of {count}");
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
    assert_eq!(usize::from(loaded(&message).off_chain_count()), records);
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
    let off_chain = usize::from(loaded(&message).off_chain_count());
    assert!(
        off_chain >= records - 33 && off_chain < records,
        "{off_chain} of {records}"
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
    assert_eq!(
        usize::from(loaded(&message).off_chain_count()),
        records - 31
    );
}

#[test]
fn cutting_out_an_opt_record_in_front_of_thousands_costs_at_most_twice_as_much() {
    let (first, name_at) = linked_names();
    let edge = |hop_record_first: bool| {
        let mut front = first.clone();
        if hop_record_first {
            front.push(opt(0, &[]));
        }
        filled(&front, 2, with_three_names(name_at))
    };
    let (without, records) = edge(false);
    let (with, _) = edge(true);
    let plain = assert_bounded(&without, records);
    let cut = assert_bounded(&with, records);
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
    let negative = record(&pointer(24), rtype::SOA, 60, &soa);
    let answer = loaded(&response([
        &[alias, at_target],
        &[negative],
        &[address(1), opt(0, &[])],
    ]));
    assert!(!answer.scan.names.leads_elsewhere);
}

#[test]
fn message_with_an_endless_claim_of_records_costs_what_is_there() {
    let mut answer = UpstreamResponse::new();
    let lie = [
        header(RESPONSE, [1, 65_535, 65_535, 65_535]),
        QUESTION.to_vec(),
    ]
    .concat();
    let steps = steps::taken_by(|| assert!(answer.load(&lie).is_err()));
    assert!(steps < 40, "{steps}");
}

#[test]
fn buffers_are_reused_for_the_next_response() {
    let (message, _) = filled(&[], 0, |_, _| address(1));
    let mut answer = loaded(&message);
    let room = |answer: &UpstreamResponse| {
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
