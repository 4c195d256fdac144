//! Upstream responses: what is rejected, accepted and changed.

mod chain;
mod hop_records;
mod work;

use super::*;
use crate::build::{
    QNAME, QUESTION, RECORDS_AT, RESPONSE, address, header, message, name, opt, option, pointer,
    record, record_in, response,
};
use crate::consts::rtype;
use crate::name::NameFault;
use crate::opt::OptionFault;

#[track_caller]
fn loaded(response: &[u8]) -> UpstreamResponse {
    let mut answer = UpstreamResponse::new();
    assert_eq!(answer.load(response), Ok(()));
    answer
}

#[track_caller]
fn fault(response: &[u8]) -> ResponseFault {
    let mut answer = loaded(&message(RESPONSE, [&[address(1)], &[], &[opt(0, &[])]]));
    let fault = answer.load(response).unwrap_err();
    // What was there before must not be taken for this response.
    assert_eq!(
        (answer.body(), answer.question(), answer.edns()),
        (&[][..], &[][..], None)
    );
    assert_eq!(
        (answer.id(), answer.flags(), answer.rcode()),
        (0, Flags(0), 0)
    );
    assert_eq!(
        (
            answer.off_chain_count(),
            answer.answer_count(),
            answer.ede()
        ),
        (0, 0, None)
    );
    fault
}

/// The TTLs of all records, in order.
fn ttls(answer: &UpstreamResponse) -> Vec<u32> {
    let body = answer.body();
    let counts = Header::read(body).unwrap();
    let mut at = answer.parts().question_end;
    let mut ttls = Vec::new();
    for _ in 0..counts.answers + counts.authorities + counts.additionals {
        let record = crate::records::Record::read_skipping_owner(body, at).unwrap();
        ttls.push(record.ttl);
        at = record.end;
    }
    assert_eq!(at, body.len());
    ttls
}

#[test]
fn answer_is_empty_until_something_is_loaded() {
    let answer = UpstreamResponse::new();
    assert_eq!(
        (answer.body(), answer.question(), answer.id()),
        (&[][..], &[][..], 0)
    );
}

#[test]
fn plain_response_is_stored_byte_for_byte() {
    let sent = response([&[address(1), address(2)], &[], &[]]);
    let answer = loaded(&sent);
    assert_eq!((answer.body(), answer.question()), (&sent[..], QUESTION));
    assert_eq!(
        (answer.id(), answer.flags(), answer.rcode()),
        (0x1234, Flags(RESPONSE), 0)
    );
    assert_eq!(
        (
            answer.answer_count(),
            answer.off_chain_count(),
            answer.edns()
        ),
        (2, 0, None)
    );
}

#[test]
fn response_has_a_header_and_qr_and_opcode_query() {
    for length in 0..HEADER_LEN {
        assert_eq!(fault(&vec![0xff; length]), ResponseFault::Short);
    }
    assert_eq!(
        fault(&message(0x0180, [&[], &[], &[]])),
        ResponseFault::NotAResponse
    );
    for opcode in 1..16 {
        assert_eq!(
            fault(&message(RESPONSE | opcode << 11, [&[], &[], &[]])),
            ResponseFault::Opcode
        );
    }
}

#[test]
fn response_has_one_question_or_none() {
    let none = header(0x8182, [0; 4]);
    assert_eq!(
        (loaded(&none).question(), loaded(&none).rcode()),
        (&[][..], 2)
    );
    let two = [
        header(RESPONSE, [2, 0, 0, 0]),
        QUESTION.to_vec(),
        QUESTION.to_vec(),
    ]
    .concat();
    assert_eq!(fault(&two), ResponseFault::QuestionCount);
    let compressed = [header(RESPONSE, [1, 0, 0, 0]), vec![0xc0, 12, 0, 1, 0, 1]].concat();
    assert_eq!(
        fault(&compressed),
        ResponseFault::Name(NameFault::BadPointer)
    );
}

#[test]
fn response_that_ends_early_is_refused_wherever_it_ends() {
    let whole = response([&[address(1)], &[], &[address(2)]]);
    loaded(&whole);
    for length in HEADER_LEN..whole.len() {
        let fault = fault(&whole[..length]);
        assert!(
            matches!(
                fault,
                ResponseFault::CutShort | ResponseFault::Name(NameFault::CutShort)
            ),
            "{length}: {fault:?}"
        );
    }
}

#[test]
fn longest_message_is_taken_and_one_byte_more_is_not() {
    let filled = |length: usize| {
        let text = record(QNAME, rtype::TXT, 1, &[]).len();
        let first = record(QNAME, rtype::NULL, 1, &[0; 60_000]);
        let second = vec![0; length - RECORDS_AT - first.len() - text];
        response([&[first, record(QNAME, rtype::NULL, 1, &second)], &[], &[]])
    };
    assert_eq!(loaded(&filled(65_535)).body().len(), 65_535);
    assert_eq!(fault(&filled(65_536)), ResponseFault::TooLong);
}

#[test]
fn records_that_are_counted_must_follow() {
    let lie = [
        header(RESPONSE, [1, 65_535, 65_535, 65_535]),
        QUESTION.to_vec(),
        address(1),
    ];
    assert_eq!(
        fault(&lie.concat()),
        ResponseFault::Name(NameFault::CutShort)
    );
}

#[test]
fn trailing_bytes_are_left_behind() {
    let sent = response([&[address(1)], &[], &[]]);
    let smuggled = [sent.clone(), address(66), opt(0, &[])].concat();
    assert_eq!(
        (loaded(&smuggled).body(), loaded(&smuggled).edns()),
        (&sent[..], None)
    );
}

#[test]
fn z_is_cleared_and_every_other_flag_is_unchanged() {
    let answer = loaded(&message(0x87ff, [&[], &[], &[]]));
    assert_eq!((answer.flags(), answer.rcode()), (Flags(0x87bf), 15));
    assert_eq!(answer.body()[2..4], [0x87, 0xbf]);
}

#[test]
fn names_in_rdata_fill_it_exactly() {
    let host = name("a.example");
    let cases: [(u16, Vec<u8>); 10] = [
        (rtype::NS, host.clone()),
        (rtype::CNAME, QNAME.to_vec()),
        (rtype::DNAME, host.clone()),
        (rtype::SOA, [&host, QNAME, &[0; 20]].concat()),
        (rtype::MINFO, [QNAME, &host].concat()),
        (rtype::MX, [&[0, 10], QNAME].concat()),
        (rtype::SRV, [&[0; 6], &host[..]].concat()),
        (
            rtype::NAPTR,
            [b"\0\x01\0\x02\x01u\x00\x03abc", QNAME].concat(),
        ),
        (rtype::PX, [&[0, 1], QNAME, &host].concat()),
        (rtype::RP, [QNAME, QNAME].concat()),
    ];
    for (rtype, rdata) in cases {
        let with = |rdata: &[u8]| response([&[record(QNAME, rtype, 1, rdata)], &[], &[]]);
        assert_eq!(loaded(&with(&rdata)).body(), with(&rdata), "type {rtype}");
        let longer = [&rdata[..], &[0]].concat();
        assert_eq!(fault(&with(&longer)), ResponseFault::Rdata, "type {rtype}");
        // Within its own message the name would go on into the next record.
        let shorter = [
            record(QNAME, rtype, 1, &rdata[..rdata.len() - 1]),
            record(QNAME, rtype::A, 1, &[1, 2, 3, 4]),
        ];
        let fault = fault(&response([&shorter, &[], &[]]));
        let expected = [
            ResponseFault::Rdata,
            ResponseFault::Name(NameFault::CutShort),
        ];
        assert!(expected.contains(&fault), "type {rtype}: {fault:?}");
    }
}

#[test]
fn names_in_rdata_must_be_well_formed() {
    let with = |rdata: &[u8]| {
        fault(&response([
            &[record(QNAME, rtype::CNAME, 1, rdata)],
            &[],
            &[],
        ]))
    };
    assert_eq!(
        with(&[0xc0, 200]),
        ResponseFault::Name(NameFault::BadPointer)
    );
    assert_eq!(with(&[0x80, 0]), ResponseFault::Name(NameFault::LabelType));
    assert_eq!(
        with(&name(&"a.".repeat(128))),
        ResponseFault::Name(NameFault::TooLong)
    );
    assert_eq!(with(&[]), ResponseFault::Name(NameFault::CutShort));
}

#[test]
fn rdata_of_other_types_is_opaque() {
    // Bytes that would be a bad pointer in a type with names.
    let bytes = [0xc0, 0xff, 0x40, 0x80];
    for rtype in [
        rtype::TXT,
        rtype::RRSIG,
        rtype::NSEC,
        rtype::SVCB,
        rtype::KX,
        65_280,
        0,
    ] {
        let sent = response([&[record_in(QNAME, rtype, 7, 9, &bytes)], &[], &[]]);
        assert_eq!(loaded(&sent).body(), sent, "type {rtype}");
    }
}

#[test]
fn ttls_are_bounded_by_seven_days_and_a_set_top_bit_is_a_large_one() {
    let other = |ttl: u32| record(&name(&format!("n{ttl}")), rtype::A, ttl, &[0; 4]);
    let sent = [
        0,
        1,
        604_799,
        604_800,
        604_801,
        0x7fff_ffff,
        0x8000_0000,
        u32::MAX,
    ]
    .map(other);
    let answer = loaded(&response([&[], &sent, &[]]));
    let bounded = [0, 1, 604_799, 604_800, 604_800, 604_800, 604_800, 604_800];
    assert_eq!(ttls(&answer), bounded);
}

#[test]
fn lowest_ttl_of_an_rrset_wins() {
    let with = |owner: &[u8], rtype, class, ttl| record_in(owner, rtype, class, ttl, &[0; 4]);
    let answer = loaded(&response([
        &[
            with(QNAME, rtype::A, 1, 300),
            with(QNAME, rtype::TXT, 1, 200),
            with(&name("WWW.example.ORG"), rtype::A, 1, 100),
            with(QNAME, rtype::A, 3, 50),
            with(&name("example.org"), rtype::A, 1, 40),
            with(QNAME, rtype::A, 1, 999_999),
        ],
        &[],
        &[with(QNAME, rtype::A, 1, 30)],
    ]));
    assert_eq!(ttls(&answer), [100, 200, 100, 50, 40, 100, 30]);
}

#[test]
fn signatures_form_no_rrset() {
    let signature = |ttl| record(QNAME, rtype::RRSIG, ttl, &[0; 30]);
    let answer = loaded(&response([
        &[signature(300), signature(100), signature(u32::MAX)],
        &[],
        &[],
    ]));
    assert_eq!(ttls(&answer), [300, 100, 604_800]);
}

#[test]
fn name_that_leads_through_a_ttl_is_a_fault() {
    // TTL 300 is 0x012c: the name of one label, a comma, if the first byte of RDLENGTH ends it.
    let with = |ttl: u32, target: usize| {
        let first = record(QNAME, rtype::A, ttl, &[192, 0, 2, 1]);
        response([
            &[first, record(&pointer(target), rtype::A, 9, &[0; 4])],
            &[],
            &[],
        ])
    };
    let ttl_at = RECORDS_AT + 6;
    assert_eq!(fault(&with(300, ttl_at + 2)), ResponseFault::NameThroughTtl);
    assert_eq!(fault(&with(0, ttl_at)), ResponseFault::NameThroughTtl);
    // The type is 0x0001: the root, from its first byte; it never changes.
    assert_eq!(loaded(&with(300, RECORDS_AT + 2)).off_chain_count(), 1);
}

#[test]
fn name_that_leads_into_opaque_bytes_is_a_name_like_any_other() {
    // Some servers compress against the signer's name in a signature.
    let signer_at = RECORDS_AT + 12 + 18;
    let signature = [&[0; 18], &name("example.test")[..], b"signature"].concat();
    let records = [
        record(QNAME, rtype::RRSIG, 700, &signature),
        record(
            &pointer(signer_at),
            rtype::NS,
            999_999,
            &pointer(signer_at + 8),
        ),
        record(&pointer(signer_at), rtype::NS, 300, QNAME),
    ];
    let sent = response([&[], &records, &[]]);
    let answer = loaded(&sent);
    assert_eq!(ttls(&answer), [700, 300, 300]);
    assert_eq!(answer.body().len(), sent.len());
}

#[test]
fn rcode_has_twelve_bits() {
    let with = |rcode: u16, extended: u32| {
        loaded(&message(
            RESPONSE | rcode,
            [&[], &[], &[opt(extended << 24, &[])]],
        ))
        .rcode()
    };
    assert_eq!(with(0, 0), 0);
    assert_eq!(with(0, 1), crate::rcode::BADVERS);
    assert_eq!(with(7, 1), crate::rcode::BADCOOKIE);
    assert_eq!(with(15, 255), 0x0fff);
}

#[test]
fn opt_record_is_read() {
    let options = [
        option(3, b"ns1"),
        option(11, &[0x01, 0x2c]),
        option(12, &[0; 40]),
    ];
    let answer = loaded(&response([&[], &[], &[opt(0x0102_8000, &options)]]));
    let expected = UpstreamEdns {
        version: 2,
        dnssec_ok: true,
        keepalive: Some(300),
        ede: None,
    };
    assert_eq!((answer.edns(), answer.ede()), (Some(&expected), None));
}

#[test]
fn first_extended_error_is_returned() {
    let ede = |code: u16, text: &[u8]| option(15, &[&code.to_be_bytes(), text].concat());
    let with = |options: &[Vec<u8>]| loaded(&response([&[], &[], &[opt(0, options)]]));
    let answer = with(&[ede(22, "no one there".as_bytes()), ede(23, b"second")]);
    assert_eq!(answer.ede(), Some((22, "no one there")));
    assert_eq!(answer.edns().unwrap().ede, Some(EdeRef { code: 22 }));
    assert_eq!(with(&[ede(6, b"")]).ede(), Some((6, "")));
    assert_eq!(
        with(&[ede(6, b"\xff\xfe")]).ede(),
        Some((6, "")),
        "not UTF-8"
    );
    assert_eq!(with(&[ede(6, b"ended\0")]).ede(), Some((6, "ended")));
    let long = "\u{e9}".repeat(128);
    assert_eq!(with(&[ede(6, long.as_bytes())]).ede(), Some((6, &long[..])));
    let odd = format!("x{long}");
    assert_eq!(
        with(&[ede(6, odd.as_bytes())]).ede(),
        Some((6, &odd[..255]))
    );
}

#[test]
fn option_values_of_a_wrong_length_say_nothing() {
    let options = [
        option(11, &[]),
        option(11, &[1, 2, 3]),
        option(15, &[7]),
        option(15, &[0, 9]),
    ];
    let answer = loaded(&response([&[], &[], &[opt(0, &options)]]));
    assert_eq!(answer.edns().unwrap().keepalive, None);
    assert_eq!(answer.ede(), Some((9, "")));
}

#[test]
fn opt_record_breaks_no_rule() {
    let with = |record: Vec<u8>| fault(&response([&[], &[], &[record]]));
    let misplaced = ResponseFault::OptOutsideAdditional;
    assert_eq!(fault(&response([&[opt(0, &[])], &[], &[]])), misplaced);
    assert_eq!(fault(&response([&[], &[opt(0, &[])], &[]])), misplaced);
    assert_eq!(
        with(record_in(QNAME, rtype::OPT, 1232, 0, &[])),
        ResponseFault::OptOwner
    );
    let two = response([&[], &[], &[opt(0, &[]), opt(0, &[])]]);
    assert_eq!(fault(&two), ResponseFault::TwoOpts);
    let overrun = ResponseFault::Options(OptionFault::Overrun);
    assert_eq!(with(opt(0, &[vec![0, 3, 0, 1]])), overrun);
    assert_eq!(with(opt(0, &[vec![0]])), overrun);
    let too_many = ResponseFault::Options(OptionFault::TooMany);
    assert_eq!(with(opt(0, &vec![option(3, &[]); 513])), too_many);
}

#[test]
fn every_fault_has_a_label_of_its_own() {
    let labels = [
        ResponseFault::CutShort,
        ResponseFault::MisplacedSignature,
        ResponseFault::Name(NameFault::BadPointer),
        ResponseFault::NameThroughTtl,
        ResponseFault::NotAResponse,
        ResponseFault::Opcode,
        ResponseFault::OptOutsideAdditional,
        ResponseFault::OptOwner,
        ResponseFault::Options(OptionFault::Overrun),
        ResponseFault::Options(OptionFault::TooMany),
        ResponseFault::PointerIntoHopRecord,
        ResponseFault::QuestionCount,
        ResponseFault::Rdata,
        ResponseFault::Short,
        ResponseFault::TooLong,
        ResponseFault::TwoOpts,
        ResponseFault::TwoSignatures,
    ]
    .map(ResponseFault::label);
    let unique: std::collections::BTreeSet<_> = labels.into_iter().collect();
    assert_eq!(unique.len(), labels.len());
    assert_eq!((labels[0], labels[16]), ("cut-short", "two-signatures"));
}

#[test]
fn text_of_an_extended_error_is_passed_on_as_far_as_it_prints() {
    let long = "x".repeat(EDE_TEXT_MAX + 10);
    for (sent, passed) in [
        ("signature expired", "signature expired"),
        (
            "abgelaufen: \u{fc}ber Nacht, \u{671f}\u{9650}",
            "abgelaufen: \u{fc}ber Nacht, \u{671f}\u{9650}",
        ),
        (
            "\x1b[31mred\x07\r\nlog: forged\0x\0",
            "?[31mred???log: forged?x",
        ),
        (
            "\u{202e}txt.exe\u{2028}\u{200b}\u{feff}\u{9b}\u{7f}",
            "?txt.exe?????",
        ),
        (&long, &long[..EDE_TEXT_MAX]),
    ] {
        let data = [&[0, 7][..], sent.as_bytes()].concat();
        let options = [option(15, &data)];
        let answer = loaded(&response([&[address(1)], &[], &[opt(0, &options)]]));
        assert_eq!(answer.ede(), Some((7, passed)));
        assert!(
            is_printable_text(passed)
                && is_printable_text(sent) == (sent == passed || sent == long)
        );
    }
}
