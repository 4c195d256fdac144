//! Client messages: each rule of the format, from both sides.

use super::*;
use crate::build::{
    QNAME, QUESTION, RECORDS_AT, address, header, message, name, opt, option, pointer, record,
    record_in,
};
use crate::opt::OPTIONS_MAX;

const RD: u16 = 0x0100;

#[track_caller]
fn query(message: &[u8]) -> Query<'_> {
    match parse_query(message) {
        Received::Query(query) => query,
        other => panic!("not a query: {other:?}"),
    }
}

#[track_caller]
fn reject(message: &[u8]) -> Reject<'_> {
    match parse_query(message) {
        Received::Reject(reject) => reject,
        other => panic!("not rejected: {other:?}"),
    }
}

#[track_caller]
fn malformed(message: &[u8]) -> (Malformed, bool, bool) {
    let reject = reject(message);
    let QueryFault::Malformed(malformed) = reject.fault else {
        panic!("{reject:?}")
    };
    (
        malformed,
        !reject.question.is_empty(),
        reject.edns.is_some(),
    )
}

/// A query with one question and these additional records.
fn with(additionals: &[Vec<u8>]) -> Vec<u8> {
    message(RD, [&[], &[], additionals])
}

fn ask(qtype: u16, qclass: u16) -> Vec<u8> {
    let mut out = header(RD, [1, 0, 0, 0]);
    out.extend(name("example.org"));
    out.extend(qtype.to_be_bytes());
    out.extend(qclass.to_be_bytes());
    out
}

#[test]
fn plain_query_is_read() {
    let message = with(&[]);
    let expected = Query {
        id: 0x1234,
        flags: Flags(RD),
        question: QUESTION,
        qtype: 1,
        qclass: 1,
        edns: None,
        is_signed: false,
    };
    assert_eq!(parse_query(&message), Received::Query(expected));
}

#[test]
fn fewer_than_twelve_bytes_are_ignored() {
    let message = header(RD, [0; 4]);
    for length in 0..HEADER_LEN {
        assert_eq!(
            parse_query(&message[..length]),
            Received::Ignore(Ignore::TooShort)
        );
    }
    assert_eq!(malformed(&message), (Malformed::NoQuestion, false, false));
}

#[test]
fn response_is_ignored_whatever_else_is_wrong_with_it() {
    let ignored = Received::Ignore(Ignore::IsResponse);
    assert_eq!(parse_query(&message(0x8000, [&[], &[], &[]])), ignored);
    assert_eq!(parse_query(&header(0xffff, [9; 4])), ignored);
}

#[test]
fn exactly_one_question_is_asked() {
    assert_eq!(
        malformed(&header(RD, [1, 0, 0, 0])).0,
        Malformed::Name(NameFault::CutShort)
    );
    let two = [
        header(RD, [2, 0, 0, 1]),
        QUESTION.to_vec(),
        QUESTION.to_vec(),
        opt(0, &[]),
    ];
    assert_eq!(
        malformed(&two.concat()),
        (Malformed::ManyQuestions, false, true)
    );
    let many = [header(RD, [65_535, 0, 0, 0]), QUESTION.to_vec()].concat();
    assert_eq!(malformed(&many), (Malformed::ManyQuestions, false, false));
    let none = [header(RD, [0, 0, 0, 1]), opt(0, &[option(10, &[7; 8])])].concat();
    assert_eq!(malformed(&none), (Malformed::NoQuestion, false, true));
}

#[test]
fn question_without_type_or_class_is_cut_short() {
    let message = with(&[]);
    for missing in 1..=4 {
        let short = &message[..message.len() - missing];
        assert_eq!(malformed(short), (Malformed::CutShort, false, false));
    }
}

#[test]
fn question_name_must_be_well_formed() {
    let ask = |bytes: &[u8]| {
        malformed(&[header(RD, [1, 0, 0, 0]), bytes.to_vec(), vec![0, 1, 0, 1]].concat())
    };
    let fault = |fault| (Malformed::Name(fault), false, false);
    assert_eq!(ask(&[0xc0, 12]), fault(NameFault::BadPointer));
    assert_eq!(ask(&[0xc0, 0]), fault(NameFault::BadPointer));
    assert_eq!(ask(&[0xc0, 40]), fault(NameFault::BadPointer));
    assert_eq!(ask(&[0xff, 0xff]), fault(NameFault::BadPointer));
    assert_eq!(ask(b"\x41a\0"), fault(NameFault::LabelType));
    assert_eq!(ask(b"\x81a\0"), fault(NameFault::LabelType));
    assert_eq!(ask(&name(&"a.".repeat(128))), fault(NameFault::TooLong));
    assert_eq!(ask(b"\x3fa"), fault(NameFault::CutShort));
}

#[test]
fn other_opcodes_are_not_implemented_and_their_question_is_echoed() {
    for opcode in 1..16_u16 {
        let message = message(opcode << 11, [&[], &[], &[opt(0, &[])]]);
        let reject = reject(&message);
        assert_eq!(
            (reject.fault, reject.question),
            (QueryFault::Opcode, QUESTION)
        );
        assert!(reject.edns.is_some());
    }
    // A DSO message has no question, and TLVs behind its header (RFC 8490 section 5.4).
    let dso = [
        header(6 << 11, [0; 4]),
        vec![0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(
        (reject(&dso).fault, reject(&dso).question),
        (QueryFault::Opcode, &[][..])
    );
    // An update's records are no fault of a query's.
    let update = message(5 << 11, [&[], &[record(QNAME, 1, 0, &[])], &[]]);
    assert_eq!(reject(&update).fault, QueryFault::Opcode);
}

#[test]
fn unexpected_flags_do_not_matter() {
    for flags in [
        0x0400, 0x0200, 0x0080, 0x0040, 0x0020, 0x0010, 0x000f, 0x07ff, 0,
    ] {
        assert_eq!(query(&message(flags, [&[], &[], &[]])).flags, Flags(flags));
    }
}

#[test]
fn records_of_an_answer_make_a_query_malformed() {
    let expected = (Malformed::RecordsInQuery, true, true);
    let edns = &[opt(0, &[])];
    assert_eq!(
        malformed(&message(RD, [&[address(1)], &[], edns])),
        expected
    );
    assert_eq!(
        malformed(&message(RD, [&[], &[address(1)], edns])),
        expected
    );
}

#[test]
fn soa_record_of_an_incremental_transfer_breaks_no_rule() {
    let mut message = ask(251, 1);
    message[9] = 1;
    message.extend(record(QNAME, 6, 0, &[&[0, 0][..], &[0; 20]].concat()));
    assert_eq!(query(&message).qtype, 251);
    let mut another = message.clone();
    another[31] = 2;
    assert_eq!(malformed(&another).0, Malformed::RecordsInQuery);
    message.swap(7, 9);
    assert_eq!(malformed(&message).0, Malformed::RecordsInQuery);
}

#[test]
fn other_additional_records_are_ignored() {
    let message = with(&[
        address(1),
        opt(0, &[]),
        record(QNAME, 65_280, 0, b"anything"),
    ]);
    assert_eq!(query(&message).edns.map(|edns| edns.udp_size), Some(1232));
    assert!(!query(&message).is_signed);
}

#[test]
fn records_that_are_counted_must_be_there() {
    let mut message = with(&[opt(0, &[])]);
    message[11] = 2;
    let (fault, has_question, has_edns) = malformed(&message);
    assert_eq!(fault, Malformed::Name(NameFault::CutShort));
    assert!(has_question && has_edns);
    let whole = with(&[opt(0, &[option(12, &[0; 3])])]);
    for missing in 1..17 {
        let (fault, has_question, _) = malformed(&whole[..whole.len() - missing]);
        assert_eq!(
            (fault, has_question),
            (Malformed::CutShort, true),
            "{missing}"
        );
    }
}

#[test]
fn trailing_bytes_are_tolerated_and_belong_to_nothing() {
    let message = [with(&[]), opt(0, &[]), vec![0xff; 30]].concat();
    assert_eq!(
        (query(&message).question, query(&message).edns),
        (QUESTION, None)
    );
}

#[test]
fn class_none_and_class_0_are_malformed() {
    for qclass in [0, 254] {
        assert_eq!(
            malformed(&ask(1, qclass)),
            (Malformed::MetaClass, true, false)
        );
    }
    for qclass in [1, 3, 253, 255, 65_280] {
        assert_eq!(query(&ask(1, qclass)).qclass, qclass);
    }
}

#[test]
fn question_types_are_not_judged_here() {
    for qtype in [0, 41, 249, 250, 251, 252, 253, 254, 255, 65_535] {
        assert_eq!(query(&ask(qtype, 1)).qtype, qtype);
    }
}

#[test]
fn opt_record_is_read() {
    let message = with(&[opt(0x8000, &[option(11, &[]), option(12, &[0; 9])])]);
    let expected = ClientEdns {
        udp_size: 1232,
        dnssec_ok: true,
        asks_keepalive: true,
        asks_padding: true,
        has_cookie: false,
    };
    assert_eq!(query(&message).edns, Some(expected));
    // All flags but DO are unknown, as are the other options (RFC 6891 section 6.1.4).
    let message = with(&[opt(
        0x7fff,
        &[option(3, &[]), option(10, &[1; 16]), option(8, &[9])],
    )]);
    let expected = ClientEdns {
        udp_size: 1232,
        dnssec_ok: false,
        asks_keepalive: false,
        asks_padding: false,
        has_cookie: true,
    };
    assert_eq!(query(&message).edns, Some(expected));
}

#[test]
fn udp_size_below_512_means_512() {
    for (announced, meant) in [
        (0, 512),
        (511, 512),
        (512, 512),
        (513, 513),
        (65_535, 65_535),
    ] {
        let message = with(&[record_in(&[0], 41, announced, 0, &[])]);
        assert_eq!(query(&message).edns.map(|edns| edns.udp_size), Some(meant));
    }
}

#[test]
fn second_opt_record_is_malformed() {
    let message = with(&[opt(0, &[]), address(1), opt(0, &[])]);
    assert_eq!(malformed(&message), (Malformed::TwoOpts, true, true));
}

#[test]
fn opt_record_belongs_to_the_root_and_the_additional_section() {
    let misplaced = with(&[record_in(QNAME, 41, 1232, 0, &[])]);
    assert_eq!(malformed(&misplaced), (Malformed::OptOwner, true, true));
    let in_answer = message(RD, [&[opt(0, &[])], &[], &[]]);
    assert_eq!(malformed(&in_answer).0, Malformed::RecordsInQuery);
}

#[test]
fn other_edns_versions_are_rejected_without_a_look_at_their_options() {
    for version in [1_u32, 255] {
        let message = with(&[opt(version << 16, &[vec![0xff]])]);
        let reject = reject(&message);
        assert_eq!(
            (reject.fault, reject.question),
            (QueryFault::EdnsVersion, QUESTION)
        );
        assert!(reject.edns.is_some());
    }
}

#[test]
fn options_must_fill_their_record_exactly() {
    let overrun = (Malformed::Options(OptionFault::Overrun), true, true);
    let whole = option(3, b"abc");
    for missing in 1..whole.len() {
        let short = whole[..whole.len() - missing].to_vec();
        assert_eq!(malformed(&with(&[opt(0, &[short])])), overrun, "{missing}");
    }
    for extra in 1..=3 {
        let message = with(&[opt(0, &[whole.clone(), vec![0; extra]])]);
        assert_eq!(malformed(&message), overrun, "{extra}");
    }
    assert!(query(&with(&[opt(0, &[whole])])).edns.is_some());
}

#[test]
fn options_may_be_many_but_not_without_end() {
    let with_options = |count: usize| with(&[opt(0, &vec![option(65_001, &[]); count])]);
    assert!(query(&with_options(OPTIONS_MAX)).edns.is_some());
    let too_many = (Malformed::Options(OptionFault::TooMany), true, true);
    assert_eq!(malformed(&with_options(OPTIONS_MAX + 1)), too_many);
}

#[test]
fn signature_is_noted_if_it_is_last() {
    let tsig = record_in(&name("key"), 250, 255, 0, &[0; 16]);
    let sig0 = record_in(&[0], 24, 255, 0, &[0; 30]);
    let sig_of_a_set = record_in(&[0], 24, 1, 0, &[&[0, 1][..], &[0; 28]].concat());
    assert!(query(&with(&[opt(0, &[]), tsig.clone()])).is_signed);
    assert!(query(&with(std::slice::from_ref(&sig0))).is_signed);
    assert!(!query(&with(&[sig_of_a_set])).is_signed);
    let misplaced = (Malformed::MisplacedSignature, true, true);
    assert_eq!(malformed(&with(&[tsig, opt(0, &[])])), misplaced);
    assert_eq!(malformed(&with(&[sig0, opt(0, &[])])), misplaced);
}

#[test]
fn first_broken_rule_is_reported() {
    let message = message(RD, [&[address(1)], &[], &[opt(0, &[]), opt(1 << 16, &[])]]);
    assert_eq!(malformed(&message), (Malformed::RecordsInQuery, true, true));
}

#[test]
fn every_fault_has_a_label_and_a_response_code() {
    let faults = [
        (QueryFault::Opcode, "opcode", 4),
        (QueryFault::EdnsVersion, "edns-version", 16),
        (QueryFault::Malformed(Malformed::CutShort), "cut-short", 1),
        (
            QueryFault::Malformed(Malformed::ManyQuestions),
            "many-questions",
            1,
        ),
        (QueryFault::Malformed(Malformed::MetaClass), "meta-class", 1),
        (
            QueryFault::Malformed(Malformed::MisplacedSignature),
            "misplaced-signature",
            1,
        ),
        (
            QueryFault::Malformed(Malformed::Name(NameFault::TooLong)),
            "name-too-long",
            1,
        ),
        (
            QueryFault::Malformed(Malformed::NoQuestion),
            "no-question",
            1,
        ),
        (QueryFault::Malformed(Malformed::OptOwner), "opt-owner", 1),
        (
            QueryFault::Malformed(Malformed::Options(OptionFault::Overrun)),
            "option-overrun",
            1,
        ),
        (
            QueryFault::Malformed(Malformed::Options(OptionFault::TooMany)),
            "too-many-options",
            1,
        ),
        (
            QueryFault::Malformed(Malformed::RecordsInQuery),
            "records-in-query",
            1,
        ),
        (QueryFault::Malformed(Malformed::TwoOpts), "two-opts", 1),
    ];
    for (fault, label, rcode) in faults {
        assert_eq!((fault.label(), fault.rcode()), (label, rcode));
    }
}

#[test]
fn a_handful_of_records_is_read_and_more_are_malformed() {
    let some = |count: usize| vec![record(&[0], rtype::NULL, 0, b"anything"); count];
    let most = usize::from(RECORDS_MAX);
    let with_opt_last = with(&[some(most - 1), vec![opt(0, &[])]].concat());
    assert_eq!(
        query(&with_opt_last).edns.map(|edns| edns.udp_size),
        Some(1232)
    );
    let (fault, has_question, has_edns) =
        malformed(&with(&[vec![opt(0, &[])], some(most)].concat()));
    assert_eq!(fault, Malformed::TooManyRecords);
    assert!(has_question && has_edns);
}

#[test]
fn the_work_on_a_query_does_not_depend_on_what_its_names_lead_to() {
    // Owners that point into a chain of pointers, as many as a datagram holds and as many as a stream's message does.
    let long = [0, 1, 2].map(|section| {
        let chain: Vec<u8> = (0..127).flat_map(|hop| pointer(45 + 2 * hop)).collect();
        let first = record(&[0], rtype::NULL, 0, &[&[0], &chain[..]].concat());
        let owned = record(&pointer(45 + 2 * 126), rtype::NULL, 0, &[]);
        let mut sections: [&[Vec<u8>]; 3] = [&[], &[], &[]];
        let records = [vec![first], vec![owned; 5_000]].concat();
        sections[section] = &records;
        message(0x0100, sections)
    });
    let questions = [
        header(0x0100, [65_535, 0, 0, 0]),
        [&pointer(12)[..], &[0, 1, 0, 1]].concat().repeat(10_000),
    ]
    .concat();
    for message in long.iter().chain([&questions]) {
        let read = || assert!(matches!(parse_query(message), Received::Reject(_)));
        let steps = name::steps::taken_by(read);
        assert!(steps < 100, "{steps}");
        let steps = name::steps::taken_by(|| assert!(parse_front(message).is_ok()));
        assert!(steps < 50, "{steps}");
    }
}

#[test]
fn an_opt_record_is_owned_by_the_root_itself_and_not_by_a_pointer_to_it() {
    let root_at = u16::try_from(HEADER_LEN + QUESTION.len() - 5).unwrap();
    let owned = record_in(&pointer(root_at.into()), rtype::OPT, 1232, 0, &[]);
    assert_eq!(malformed(&with(&[owned])).0, Malformed::OptOwner);
}

#[test]
fn the_front_of_a_message_is_all_that_a_refusal_repeats() {
    let whole = with(&[
        opt(0x8000, &[option(12, &[0; 9])]),
        record(&[0], rtype::NULL, 0, &[]),
    ]);
    let front = parse_front(&whole).unwrap();
    assert_eq!((front.id, front.flags), (0x1234, Flags(0x0100)));
    assert_eq!((front.question, front.qtype), (QUESTION, rtype::A));
    let edns = front.edns.map(|edns| (edns.udp_size, edns.dnssec_ok));
    assert_eq!(edns, Some((1232, true)));
    // What cannot be read is left out.
    let bare = parse_front(&whole[..RECORDS_AT - 1]).unwrap();
    assert_eq!((bare.question, bare.edns), (&[][..], None));
    let cut = parse_front(&whole[..RECORDS_AT + 5]).unwrap();
    assert_eq!((cut.question, cut.edns), (QUESTION, None));
    let no_opt = with(&[record(&[0], rtype::NULL, 0, &[])]);
    assert_eq!(parse_front(&no_opt).unwrap().edns, None);
    assert_eq!(parse_front(&whole[..11]), Err(Ignore::TooShort));
    let response = message(0x8180, [&[], &[], &[]]);
    assert_eq!(parse_front(&response), Err(Ignore::IsResponse));
}
