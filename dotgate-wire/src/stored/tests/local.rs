//! Local data in the form in which a cache keeps an answer.

use super::*;
use crate::{LocalResponse, LocalSet, store_joined, store_local};

fn with_length(rdata: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rdata.len()).unwrap();
    [&length.to_be_bytes(), rdata].concat()
}

fn cname_to(target: &[u8]) -> Vec<u8> {
    let rdata = with_length(target);
    let set = LocalSet {
        rtype: rtype::CNAME,
        ttl: 60,
        count: 1,
        rdata: &rdata,
    };
    let mut out = Vec::new();
    let local = LocalResponse {
        rcode: rcode::NOERROR,
        sets: &[set],
        soa: None,
        ede: None,
    };
    store_local(&mut out, QUESTION, &local);
    out
}

#[test]
fn local_records_are_a_well_formed_message_with_aa() {
    let alias = with_length(&name("host.lab"));
    let addresses = [with_length(&[10, 0, 0, 1]), with_length(&[10, 0, 0, 2])].concat();
    let set = |rtype, ttl, count, rdata| LocalSet {
        rtype,
        ttl,
        count,
        rdata,
    };
    let sets = [
        set(rtype::CNAME, 60, 1, alias.as_slice()),
        set(rtype::A, 90, 2, addresses.as_slice()),
    ];
    let zone = name("org");
    for (sets, soa) in [(&sets[..], None), (&sets[..1], Some((zone.as_slice(), 30)))] {
        let local = LocalResponse {
            rcode: rcode::NOERROR,
            sets,
            soa,
            ede: None,
        };
        let mut bytes = Vec::new();
        store_local(&mut bytes, QUESTION, &local);
        let (_, sent) = sent_again(&bytes, Ttls::CountedDown(0), &HOP);
        assert_eq!(u16_at(&sent, FLAGS_AT).unwrap() & Flags::AA, Flags::AA);
        let read = answer(&sent);
        assert_eq!(
            usize::from(read.answer_count()),
            if soa.is_some() { 1 } else { 3 }
        );
        assert_eq!((read.off_chain_count(), read.question()), (0, QUESTION));
        let ttls: Vec<u32> = read
            .ttl_places()
            .map(|at| ttl_at(read.body(), at))
            .collect();
        let expected: &[u32] = if soa.is_some() {
            &[60, 30]
        } else {
            &[60, 90, 90]
        };
        assert_eq!(ttls, expected);
    }
}

#[test]
fn a_joined_answer_is_the_records_of_both_and_an_error_has_none() {
    let local = cname_to(&name("www.example.net"));
    let local = Stored::read(&local).unwrap();
    let rest = cached(&answer(&response([&[address(1)], &[soa(100, 100)], &[]])));
    let mut out = Vec::new();
    assert!(store_joined(
        &mut out,
        &local,
        &Stored::read(&rest).unwrap(),
        7
    ));
    let stored = Stored::read(&out).unwrap();
    let read = answer(stored.body());
    assert_eq!(read.answer_count(), 2);
    let first = read.ttl_places().next().unwrap();
    assert_eq!(ttl_at(read.body(), first), 67, "for what is counted down");
    let mut failure = Vec::new();
    store_failure(&mut failure, QUESTION, rcode::SERVFAIL, None);
    out.clear();
    assert!(store_joined(
        &mut out,
        &local,
        &Stored::read(&failure).unwrap(),
        0
    ));
    let stored = Stored::read(&out).unwrap();
    assert_eq!(
        (stored.rcode(), stored.question(), stored.body().len()),
        (rcode::SERVFAIL, QUESTION, HEADER_LEN + QUESTION.len())
    );
}

#[test]
fn what_is_too_long_with_local_records_in_front_is_not_joined() {
    let local = cname_to(&name("www.example.net"));
    let filler = record(&[0xc0, 12], 65_280, 60, &[0; 30_000]);
    let long = cached(&answer(&response([
        &[
            filler.clone(),
            record(&[0xc0, 12], 65_280, 60, &[1; 35_450]),
        ],
        &[],
        &[],
    ])));
    let mut out = Vec::new();
    assert!(!store_joined(
        &mut out,
        &Stored::read(&local).unwrap(),
        &Stored::read(&long).unwrap(),
        0
    ));
    assert!(out.is_empty());
}
