//! Responses that fit only when their names are compressed.

use super::*;
use crate::build::header;
use crate::name::steps;

const LONG: &str = "login-session-management-endpoint-service.europe-central.example";

/// A response to `LONG` whose owners are written in full.
fn uncompressed(records: &[Vec<u8>]) -> Vec<u8> {
    let mut sent = header(0x8180, [1, u16::try_from(records.len()).unwrap(), 0, 0]);
    sent.extend(name(LONG));
    sent.extend([0, 1, 0, 1]);
    sent.extend(records.concat());
    sent
}

fn a(owner: &str, last: u8) -> Vec<u8> {
    record(&name(owner), rtype::A, 300, &[192, 0, 2, last])
}

fn small(limit: usize) -> ClientHop<'static> {
    ClientHop { limit, ..HOP }
}

#[test]
fn names_are_compressed_when_the_records_would_not_fit_otherwise_and_only_then() {
    let records: Vec<_> = (0..8).map(|last| a(LONG, last)).collect();
    let sent = uncompressed(&records);
    assert_eq!(sent.len(), 722);
    let (cut, whole) = respond(&sent, &small(722));
    assert_eq!(
        (cut, whole.len()),
        (Truncation::None, 722),
        "nothing is compressed"
    );
    let (cut, response) = respond(&sent, &small(512));
    assert_eq!((cut, response.len()), (Truncation::None, 210));
    assert_eq!(
        (flags(&response), counts(&response)),
        (0x8180, [1, 8, 0, 0])
    );
    for (number, seen) in response[82..].chunks(16).enumerate() {
        let expected = record(QNAME, rtype::A, 300, &[192, 0, 2, number as u8]);
        assert_eq!(seen, expected);
    }
    // The client's own letters stand in the question, and so in every owner.
    let as_received = NameCase::of(&[&name(&LONG.to_uppercase())[..], &[0; 4]].concat());
    let (_, response) = respond_in_case(&sent, as_received, &small(512));
    assert_eq!(&response[13..18], b"LOGIN");
    assert_eq!(response.len(), 210);
}

#[test]
fn what_does_not_fit_compressed_is_cut_as_ever() {
    let records: Vec<_> = (0..40).map(|last| a(LONG, last)).collect();
    let (cut, response) = respond(&uncompressed(&records), &small(512));
    assert_eq!((cut, response.len()), (Truncation::Full, 82));
    assert_eq!(flags(&response) & Flags::TC, Flags::TC);
    // The additional section alone goes where the rest fits when it is compressed.
    let mut sent = uncompressed(&records[..30]);
    sent[6..12].copy_from_slice(&[0, 8, 0, 0, 0, 22]);
    let (cut, response) = respond(&sent, &small(500));
    assert_eq!((cut, response.len()), (Truncation::Additional, 210));
    assert_eq!(counts(&response), [1, 8, 0, 0]);
}

#[test]
fn the_opt_record_gives_way_before_a_record_does() {
    let records: Vec<_> = (0..8).map(|last| a(LONG, last)).collect();
    let with = |limit| ClientHop {
        limit,
        ..with_ede("stale")
    };
    let sent = uncompressed(&records);
    let full = 210 + 11 + 4 + 2 + 5;
    assert_eq!(respond(&sent, &with(full)).1.len(), full);
    let (cut, bare) = respond(&sent, &with(full - 1));
    assert_eq!(
        (cut, bare.len(), counts(&bare)),
        (Truncation::None, 221, [1, 8, 0, 1])
    );
    assert_eq!(respond(&sent, &with(220)).0, Truncation::Full);
}

#[test]
fn names_in_rdata_are_compressed_in_the_types_of_rfc_1035_alone() {
    let other = "target.europe-central.example";
    let mail = [&[0, 10][..], &name(other)].concat();
    let service = [&[0; 6][..], &name(other)].concat();
    let records = [
        record(&name(LONG), rtype::MX, 300, &mail),
        record(&name(LONG), rtype::SRV, 300, &service),
        record(&name(LONG), rtype::DNAME, 300, &name(other)),
        record(
            &name(LONG),
            rtype::TXT,
            300,
            &[&[200][..], &[b'x'; 200]].concat(),
        ),
        record(&name(LONG), rtype::MX, 300, &mail),
    ];
    let (cut, response) = respond(&uncompressed(&records), &small(512));
    assert_eq!(cut, Truncation::None);
    let count = |bytes: &[u8]| {
        response
            .windows(bytes.len())
            .filter(|seen| seen == &bytes)
            .count()
    };
    assert_eq!(count(b"\x06target"), 3, "MX once, SRV and DNAME");
    assert_eq!(
        count(b"\x0eeurope-central"),
        3,
        "the question, SRV and DNAME"
    );
    // What an upstream compressed where nobody may is written in full.
    let mut odd = records.to_vec();
    odd[1] = record(
        &name(LONG),
        rtype::SRV,
        300,
        &[&[0; 6][..], &build::pointer(12)].concat(),
    );
    odd.push(a(LONG, 1));
    let (_, response) = respond(&uncompressed(&odd), &small(512));
    let in_full = [&[0; 6][..], &name(LONG)].concat();
    assert!(response.windows(in_full.len()).any(|seen| seen == in_full));
}

#[test]
fn the_work_is_bounded_by_the_limit_whatever_the_answer_holds() {
    let many = |owner: &dyn Fn(usize) -> String| {
        let records: Vec<_> = (0..600)
            .map(|number| {
                record(
                    &name(&owner(number)),
                    rtype::NS,
                    300,
                    &name(&owner(number + 1)),
                )
            })
            .collect();
        let mut sent = uncompressed(&records);
        sent.truncate(65_535);
        let fitting = (sent.len() - 82) / records[0].len();
        sent.truncate(82 + fitting * records[0].len());
        sent[6..8].copy_from_slice(&u16::try_from(fitting).unwrap().to_be_bytes());
        sent
    };
    for sent in [
        many(&|number| format!("n{number:05}.{}", "a.".repeat(40))),
        many(&|number| format!("{}n{number:05}", "a.".repeat(40))),
        many(&|_| "a.".repeat(120)),
    ] {
        let loaded = answer(&sent);
        for limit in [512, 1_232, 1_400] {
            let mut out = Vec::new();
            let steps = steps::taken_by(|| {
                write_response(&mut out, &loaded, NameCase::LOWER, &small(limit));
            });
            assert!(
                out.len() <= limit && steps < 60 * limit,
                "{steps} for {limit}"
            );
        }
    }
}
