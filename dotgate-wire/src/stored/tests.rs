//! Stored answers that are sent again: TTLs, name case, AD, errors.

mod local;
mod rotation;

use super::*;
use crate::build::{
    QNAME, QUESTION, RECORDS_AT, RESPONSE, address, message, name, record, response,
};
use crate::consts::{rcode, rtype};
use crate::{CacheTtl, ClientHop, NameCase, ResponseOpt, Truncation, write_response, write_stored};

const HOP: ClientHop<'_> = ClientHop {
    id: 0xbeef,
    recursion_desired: true,
    checking_disabled: false,
    authentic_data: true,
    opt: None,
    limit: 65_535,
};

fn answer(response: &[u8]) -> UpstreamResponse {
    let mut answer = UpstreamResponse::new();
    answer.load(response).unwrap();
    answer
}

fn cached(answer: &UpstreamResponse) -> Vec<u8> {
    let mut bytes = Vec::new();
    answer.store(&mut bytes, 0..=TTL_MAX, None);
    bytes
}

fn sent_again(bytes: &[u8], ttls: Ttls, hop: &ClientHop<'_>) -> (Truncation, Vec<u8>) {
    let mut out = vec![0xee; 3];
    let stored = Stored::read(bytes).unwrap();
    let cut = write_stored(&mut out, &stored, QUESTION, ttls, hop);
    (cut, out.split_off(3))
}

fn ttl_at(message: &[u8], at: usize) -> u32 {
    u32_at(message, at).unwrap()
}

/// An SOA record of `example.org` with this TTL and MINIMUM.
fn soa(ttl: u32, minimum: u32) -> Vec<u8> {
    let mut rdata = [name("ns.example.org"), name("root.example.org")].concat();
    rdata.extend([0; 16]);
    rdata.extend(minimum.to_be_bytes());
    record(&name("example.org"), rtype::SOA, ttl, &rdata)
}

#[test]
fn a_cached_answer_is_sent_as_it_came_but_for_its_ttls() {
    let loaded = answer(&response([&[address(1), address(2)], &[], &[]]));
    let mut fresh = Vec::new();
    write_response(&mut fresh, &loaded, NameCase::LOWER, &HOP);
    let (cut, now) = sent_again(&cached(&loaded), Ttls::CountedDown(0), &HOP);
    assert_eq!((cut, &now), (Truncation::None, &fresh));
    let (_, later) = sent_again(&cached(&loaded), Ttls::CountedDown(299), &HOP);
    assert_eq!(ttl_at(&later, RECORDS_AT + 6), 1);
    assert_eq!(ttl_at(&later, RECORDS_AT + 16 + 6), 1);
    let (_, too_late) = sent_again(&cached(&loaded), Ttls::CountedDown(301), &HOP);
    assert_eq!(ttl_at(&too_late, RECORDS_AT + 6), 0);
    let (_, stale) = sent_again(&cached(&loaded), Ttls::All(30), &HOP);
    assert_eq!(ttl_at(&stale, RECORDS_AT + 6), 30);
}

#[test]
fn the_question_has_the_clients_name_case() {
    let bytes = cached(&answer(&response([&[address(1)], &[], &[]])));
    let stored = Stored::read(&bytes).unwrap();
    let as_received = b"\x03wWw\x07EXAMPLE\x03org\0\0\x01\0\x01";
    let mut out = Vec::new();
    write_stored(&mut out, &stored, as_received, Ttls::CountedDown(0), &HOP);
    assert_eq!(&out[HEADER_LEN..RECORDS_AT], as_received);
}

#[test]
fn what_is_cut_off_has_no_ttl_to_set() {
    let many: Vec<_> = (0..100).map(address).collect();
    let bytes = cached(&answer(&response([&many, &[], &[]])));
    let hop = ClientHop { limit: 512, ..HOP };
    let (cut, out) = sent_again(&bytes, Ttls::All(30), &hop);
    assert_eq!((cut, out.len()), (Truncation::Full, RECORDS_AT));
    let bytes = cached(&answer(&response([&[address(1)], &[], &many])));
    let (cut, out) = sent_again(&bytes, Ttls::All(30), &hop);
    assert_eq!((cut, out.len()), (Truncation::Additional, RECORDS_AT + 16));
    assert_eq!(ttl_at(&out, RECORDS_AT + 6), 30);
}

#[test]
fn ttls_stay_within_the_bounds_of_the_operator() {
    let short = record(QNAME, rtype::A, 5, &[192, 0, 2, 1]);
    let long = record(QNAME, rtype::AAAA, 5_000, &[0; 16]);
    let mut bytes = Vec::new();
    answer(&response([&[short, long], &[], &[]])).store(&mut bytes, 60..=600, None);
    let (_, out) = sent_again(&bytes, Ttls::CountedDown(0), &HOP);
    assert_eq!(ttl_at(&out, RECORDS_AT + 6), 60);
    assert_eq!(ttl_at(&out, RECORDS_AT + 16 + 6), 600);
}

#[test]
fn ad_is_cached_unless_a_record_is_off_chain() {
    const AD: u16 = 0x0020;
    let own = message(RESPONSE | AD, [&[address(1)], &[], &[]]);
    let (_, out) = sent_again(&cached(&answer(&own)), Ttls::CountedDown(0), &HOP);
    assert_eq!(u16_at(&out, FLAGS_AT).unwrap() & AD, AD);
    let off_chain = record(&name("off_chain.example"), rtype::A, 300, &[192, 0, 2, 9]);
    let with_off_chain = message(RESPONSE | AD, [&[address(1), off_chain], &[], &[]]);
    let (_, out) = sent_again(
        &cached(&answer(&with_off_chain)),
        Ttls::CountedDown(0),
        &HOP,
    );
    assert_eq!(u16_at(&out, FLAGS_AT).unwrap() & AD, 0);
}

#[test]
fn an_extended_error_is_cached_with_its_text() {
    let ede = Ede {
        code: 17,
        text: "filtered",
    };
    let mut bytes = Vec::new();
    answer(&response([&[address(1)], &[], &[]])).store(&mut bytes, 0..=TTL_MAX, Some(ede));
    let stored = Stored::read(&bytes).unwrap();
    assert_eq!(stored.ede(), Some(ede));
    assert_eq!(stored.rcode(), rcode::NOERROR);
}

#[test]
fn a_failure_is_cached_with_its_question_and_served_as_cached() {
    let ede = Ede {
        code: 22,
        text: "no route",
    };
    let mut bytes = Vec::new();
    store_failure(&mut bytes, QUESTION, rcode::SERVFAIL, Some(ede));
    let opt = ResponseOpt {
        udp_size: 1232,
        dnssec_ok: false,
        keepalive: None,
        ede: Some(ede),
        second_ede: Some(13),
        pads: false,
    };
    let hop = ClientHop {
        opt: Some(opt),
        ..HOP
    };
    let (cut, out) = sent_again(&bytes, Ttls::CountedDown(1), &hop);
    assert_eq!(cut, Truncation::None);
    assert_eq!(
        out[..RECORDS_AT],
        [&[0xbe, 0xef, 0x81, 0x82, 0, 1, 0, 0, 0, 0, 0, 1], QUESTION].concat()
    );
    let tail = b"\0\x0f\0\x0a\0\x16no route\0\x0f\0\x02\0\x0d";
    assert!(out.ends_with(tail), "{out:02x?}");
}

#[test]
fn the_lowest_ttl_is_the_ttl_of_an_answer() {
    let alias = record(QNAME, rtype::CNAME, 20, &name("a.example"));
    let address = record(&name("a.example"), rtype::A, 300, &[192, 0, 2, 1]);
    let ttl = |sections: [&[Vec<u8>]; 3]| answer(&response(sections)).cache_ttl();
    assert_eq!(
        ttl([&[alias.clone(), address], &[], &[]]),
        CacheTtl::Positive(20)
    );
    assert_eq!(ttl([&[], &[], &[]]), CacheTtl::None, "no data, no SOA");
    assert_eq!(
        ttl([std::slice::from_ref(&alias), &[], &[]]),
        CacheTtl::None,
        "an alias without its end"
    );
    assert_eq!(ttl([&[], &[soa(300, 60)], &[]]), CacheTtl::Negative(60));
    assert_eq!(ttl([&[], &[soa(30, 60)], &[]]), CacheTtl::Negative(30));
    assert_eq!(
        ttl([&[alias], &[soa(300, 60)], &[]]),
        CacheTtl::Negative(20)
    );
}

#[test]
fn only_a_plain_nxdomain_denies_all_types() {
    let nxdomain =
        |answers: &[Vec<u8>]| answer(&message(RESPONSE | 3, [answers, &[soa(300, 60)], &[]]));
    assert!(nxdomain(&[]).denies_all_types());
    assert_eq!(nxdomain(&[]).cache_ttl(), CacheTtl::Negative(60));
    let alias = record(QNAME, rtype::CNAME, 20, &name("a.example"));
    assert!(!nxdomain(&[alias]).denies_all_types());
    assert!(!answer(&response([&[], &[soa(300, 60)], &[]])).denies_all_types());
    assert_eq!(
        answer(&message(RESPONSE | 2, [&[], &[soa(300, 60)], &[]])).cache_ttl(),
        CacheTtl::None
    );
}

#[test]
fn bytes_that_are_not_a_stored_answer_are_not_read() {
    let bytes = cached(&answer(&response([&[address(1)], &[], &[]])));
    for end in 0..bytes.len() {
        assert!(Stored::read(&bytes[..end]).is_none(), "{end}");
    }
    assert!(Stored::read(&[bytes, vec![0]].concat()).is_none());
}

#[test]
fn the_number_of_a_judgement_is_read_as_it_was_stored_whatever_stands_beside_it() {
    let loaded = answer(&response([&[address(1), address(2)], &[], &[]]));
    let ede = Ede {
        code: 15,
        text: "blocked",
    };
    for (judged, ede) in [(0, None), (7, None), (u32::MAX, Some(ede)), (0, Some(ede))] {
        let mut bytes = Vec::new();
        loaded.store_judged(&mut bytes, 0..=TTL_MAX, ede, judged);
        let stored = Stored::read(&bytes).unwrap();
        assert_eq!((super::judged(&bytes), stored.ede()), (judged, ede));
        assert_eq!(stored.body(), loaded.body());
    }
}
