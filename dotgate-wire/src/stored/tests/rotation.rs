//! Addresses of a stored answer in another order each time.

use std::collections::BTreeMap;

use super::*;
use crate::build::{pointer, record_in};
use crate::header::HEADER_LEN;
use crate::records::Record;

/// The message as it is given in a turn.
fn given(loaded: &UpstreamResponse, turn: u32, hop: &ClientHop<'_>) -> Vec<u8> {
    let bytes = cached(loaded);
    let stored = Stored::read(&bytes).unwrap().rotated(turn);
    let mut out = Vec::new();
    let question = loaded.question().to_vec();
    write_stored(&mut out, &stored, &question, Ttls::CountedDown(0), hop);
    out
}

/// RDATA of all records, in order.
fn rdata(message: &[u8]) -> Vec<Vec<u8>> {
    let counts = Header::read(message).unwrap();
    let mut at = HEADER_LEN + QUESTION.len();
    let mut all = Vec::new();
    for _ in 0..counts.answers + counts.authorities + counts.additionals {
        let record = Record::read_skipping_owner(message, at).unwrap();
        all.push(record.rdata(message).to_vec());
        at = record.end;
    }
    all
}

fn sorted(mut all: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    all.sort();
    all
}

/// A response to a question of another type for the same name.
fn response_of_type(rtype: u16, answers: &[Vec<u8>]) -> Vec<u8> {
    let mut sent = response([answers, &[], &[]]);
    let at = RECORDS_AT - 4;
    sent[at..at + 2].copy_from_slice(&rtype.to_be_bytes());
    sent
}

#[test]
fn every_address_comes_first_in_its_turn_and_none_is_lost() {
    for count in [2, 3, 4, 7, 13] {
        let addresses: Vec<_> = (0..count).map(address).collect();
        let loaded = answer(&response([&addresses, &[], &[]]));
        let all = rdata(&given(&loaded, 0, &HOP));
        // Every turn, and every second one: clients ask for A and AAAA in turn.
        for step in [1, 2, 3] {
            let mut first: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
            for turn in (1..=300).map(|turn| turn * step) {
                let order = rdata(&given(&loaded, turn, &HOP));
                assert_eq!(sorted(order.clone()), sorted(all.clone()));
                *first.entry(order[0].clone()).or_default() += 1;
            }
            assert_eq!(first.len(), usize::from(count), "{first:?}");
            let fair = 300 / u32::from(count);
            let is_fair = |times: &u32| (fair / 2..=2 * fair).contains(times);
            assert!(first.values().all(is_fair), "step {step}: {first:?}");
        }
    }
}

#[test]
fn only_the_addresses_move_and_all_else_is_as_it_was_stored() {
    let alias_target = pointer(RECORDS_AT + 12);
    let alias = record(
        QNAME,
        rtype::CNAME,
        60,
        &[&b"\x01a"[..], &pointer(16)].concat(),
    );
    let a = |last: u8| record(&alias_target, rtype::A, 300, &[192, 0, 2, last]);
    let signature = record(&alias_target, rtype::RRSIG, 300, &[7; 30]);
    let glue = record(&pointer(16), rtype::A, 300, &[192, 0, 2, 9]);
    let loaded = answer(&response([
        &[alias, a(1), a(2), a(3), signature],
        &[soa(300, 300)],
        &[glue.clone(), glue],
    ]));
    let before = given(&loaded, 0, &HOP);
    let (bytes, mut orders) = (cached(&loaded), Vec::new());
    for turn in 1..50 {
        let mut after = given(&loaded, turn, &HOP);
        let order = rdata(&after)[1..4].to_vec();
        assert_eq!(sorted(order.clone()), rdata(&before)[1..4]);
        for number in 1..4 {
            let at = RECORDS_AT + 16 + 16 * number;
            after[at - 4..at].copy_from_slice(&before[at - 4..at]);
        }
        assert_eq!(after, before);
        orders.push(order);
    }
    orders.sort();
    orders.dedup();
    assert_eq!((orders.len(), cached(&loaded)), (3, bytes));
}

#[test]
fn sets_of_other_types_names_and_lengths_stay() {
    let a = |last: u8| record(QNAME, rtype::A, 300, &[192, 0, 2, last]);
    let stays = |sent: &[u8]| {
        let loaded = answer(sent);
        let before = given(&loaded, 0, &HOP);
        (1..20).all(|turn| given(&loaded, turn, &HOP) == before)
    };
    assert!(!stays(&response([&[a(1), a(2)], &[], &[]])));
    assert!(stays(&response([&[a(1)], &[], &[]])));
    assert!(stays(&response([&[], &[a(1), a(2)], &[]])));
    assert!(stays(&response_of_type(rtype::AAAA, &[a(1), a(2)])));
    assert!(stays(&response_of_type(rtype::MX, &[a(1), a(2)])));
    let other_name = record(&pointer(16), rtype::A, 300, &[192, 0, 2, 1]);
    assert!(stays(&response([&[a(1), other_name], &[], &[]])));
    let other_class = record_in(QNAME, rtype::A, 3, 300, &[192, 0, 2, 1]);
    assert!(stays(&response([&[a(1), other_class], &[], &[]])));
    let short = record(QNAME, rtype::A, 300, &[192]);
    assert!(stays(&response([&[a(1), short.clone()], &[], &[]])));
    assert!(stays(&response([&[short.clone(), short], &[], &[]])));
    // A name leads through an address.
    let through = record(&pointer(RECORDS_AT + 12), rtype::A, 300, &[1, b'a', 0, 0]);
    let odd = record(QNAME, rtype::A, 300, &[1, b'a', 0, 0]);
    assert!(stays(&response([&[odd.clone(), odd, through], &[], &[]])));
}

#[test]
fn addresses_of_ipv6_rotate_and_so_do_256_of_very_many() {
    let aaaa = |last: u8| record(QNAME, rtype::AAAA, 300, &[last; 16]);
    let loaded = answer(&response_of_type(rtype::AAAA, &[aaaa(1), aaaa(2), aaaa(3)]));
    let firsts: Vec<_> = (1..20)
        .map(|turn| rdata(&given(&loaded, turn, &HOP))[0][0])
        .collect();
    assert!((1..=3).all(|last| firsts.contains(&last)), "{firsts:?}");
    let many: Vec<_> = (0..600_u16)
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            record(QNAME, rtype::A, 300, &[192, 0, high, low])
        })
        .collect();
    let loaded = answer(&response([&many, &[], &[]]));
    let (before, after) = (
        rdata(&given(&loaded, 0, &HOP)),
        rdata(&given(&loaded, 1, &HOP)),
    );
    assert_ne!(before[..256], after[..256]);
    assert_eq!(before[256..], after[256..]);
    assert_eq!(sorted(before), sorted(after));
}

#[test]
fn a_response_without_its_records_has_none_to_move() {
    let addresses: Vec<_> = (0..60).map(address).collect();
    let loaded = answer(&response([&addresses, &[], &[]]));
    let small = ClientHop { limit: 512, ..HOP };
    let cut = given(&loaded, 1, &small);
    assert_eq!(cut, given(&loaded, 0, &small));
    assert_eq!(cut.len(), RECORDS_AT);
}

#[test]
fn an_entry_stored_without_a_set_of_addresses_is_still_read() {
    let bytes = cached(&answer(&response([&[address(1)], &[], &[]])));
    assert_eq!(bytes[4] & 0x40, 0);
    assert!(Stored::read(&bytes).is_some());
    let with_set = cached(&answer(&response([&[address(1), address(2)], &[], &[]])));
    assert_eq!(with_set[4] & 0x40, 0x40);
    // A set beyond the records is refused.
    let mut broken = with_set.clone();
    broken[8 + 4 + 3] = 3;
    assert!(Stored::read(&broken).is_none());
}
