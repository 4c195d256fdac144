//! Responses towards clients: flags, fitting, EDNS, local zones.

use core::net::{Ipv4Addr, Ipv6Addr};

mod compressed;

use super::*;
use crate::build::{self, QNAME, QUESTION, address, message, name, opt, option, record, response};
use crate::consts::rtype;

const RESPONSE_OPT: ResponseOpt<'_> = ResponseOpt {
    udp_size: 1232,
    dnssec_ok: false,
    keepalive: None,
    ede: None,
    second_ede: None,
    pads: false,
};

/// A client without EDNS that takes any length.
const HOP: ClientHop<'_> = ClientHop {
    id: 0xbeef,
    recursion_desired: true,
    checking_disabled: false,
    authentic_data: false,
    opt: None,
    limit: 65_535,
};

fn with_ede(text: &str) -> ClientHop<'_> {
    let ede = Some(Ede { code: 22, text });
    ClientHop {
        opt: Some(ResponseOpt {
            ede,
            ..RESPONSE_OPT
        }),
        ..HOP
    }
}

fn answer(response: &[u8]) -> UpstreamResponse {
    let mut answer = UpstreamResponse::new();
    answer.load(response).unwrap();
    answer
}

/// What `write` appends behind bytes that are there already.
fn written<R>(write: impl FnOnce(&mut Vec<u8>) -> R) -> (R, Vec<u8>) {
    let mut out = vec![0xee; 7];
    let result = write(&mut out);
    assert_eq!(out[..7], [0xee; 7]);
    (result, out.split_off(7))
}

fn respond(response: &[u8], hop: &ClientHop<'_>) -> (Truncation, Vec<u8>) {
    respond_in_case(response, NameCase::LOWER, hop)
}

fn respond_in_case(
    response: &[u8],
    name_case: NameCase,
    hop: &ClientHop<'_>,
) -> (Truncation, Vec<u8>) {
    written(|out| write_response(out, &answer(response), name_case, hop))
}

fn error(question: &[u8], opcode: u8, rcode: u16, hop: &ClientHop<'_>) -> Vec<u8> {
    written(|out| write_error(out, question, opcode, rcode, hop)).1
}

fn local(question: &[u8], zone: &str, local: LocalData, hop: &ClientHop<'_>) -> Vec<u8> {
    written(|out| write_local(out, question, &name(zone), local, hop)).1
}

fn flags(message: &[u8]) -> u16 {
    u16::from_be_bytes([message[2], message[3]])
}

fn counts(message: &[u8]) -> [u16; 4] {
    [4, 6, 8, 10].map(|at| u16::from_be_bytes([message[at], message[at + 1]]))
}

#[test]
fn response_has_the_clients_id_and_the_answers_records() {
    let sent = response([&[address(1)], &[address(2)], &[address(3), opt(0, &[])]]);
    let (cut, mut got) = respond(&sent, &HOP);
    assert_eq!((cut, &got[..2]), (Truncation::None, &[0xbe, 0xef][..]));
    got[..2].copy_from_slice(&[0x12, 0x34]);
    assert_eq!(got, response([&[address(1)], &[address(2)], &[address(3)]]));
}

#[test]
fn flags_are_the_clients_where_they_are_its_own() {
    let empty = |bits: u16| message(bits, [&[], &[], &[]]);
    let flags_for = |bits: u16, hop: &ClientHop<'_>| flags(&respond(&empty(bits), hop).1);
    assert_eq!(flags_for(0x8000, &HOP), 0x8180, "RD copied, RA set");
    assert_eq!(
        flags_for(
            0x8180,
            &ClientHop {
                recursion_desired: false,
                ..HOP
            }
        ),
        0x8080
    );
    assert_eq!(
        flags_for(
            0x8000,
            &ClientHop {
                checking_disabled: true,
                ..HOP
            }
        ),
        0x8190
    );
    assert_eq!(
        flags_for(0x8010, &HOP),
        0x8180,
        "the upstream's CD is not the client's"
    );
    assert_eq!(
        flags_for(0x8443, &HOP),
        0x8183,
        "AA and Z clear, RCODE unchanged"
    );
    assert_eq!(flags_for(0x8200, &HOP), 0x8380, "TC is never removed");
}

#[test]
fn ad_passes_if_client_and_upstream_and_answer_allow_it() {
    let trusting = ClientHop {
        authentic_data: true,
        ..HOP
    };
    let ad = |bits: u16, answers: &[Vec<u8>], hop: &ClientHop<'_>| {
        let (_, got) = respond(&message(bits, [answers, &[], &[]]), hop);
        flags(&got) & 0x0020 != 0
    };
    assert!(ad(0x8020, &[address(1)], &trusting));
    assert!(!ad(0x8020, &[address(1)], &HOP));
    assert!(!ad(0x8000, &[address(1)], &trusting));
    let stray = record(&name("other.test"), rtype::A, 1, &[0; 4]);
    assert!(!ad(0x8020, &[address(1), stray], &trusting));
    let many = vec![address(1); 40];
    assert!(
        !ad(
            0x8020,
            &many,
            &ClientHop {
                limit: 512,
                ..trusting
            }
        ),
        "nothing left to vouch for"
    );
}

#[test]
fn rcode_of_another_hop_becomes_servfail() {
    let sent = message(0x8187, [&[], &[], &[opt(1 << 24, &[])]]);
    assert_eq!(flags(&respond(&sent, &HOP).1), 0x8182);
    let edns = ClientHop {
        opt: Some(RESPONSE_OPT),
        ..HOP
    };
    let (_, got) = respond(&sent, &edns);
    assert_eq!(
        (flags(&got), &got[got.len() - 11..]),
        (0x8182, &opt(0, &[])[..])
    );
}

#[test]
fn question_has_the_clients_name_case() {
    let as_received = b"\x03wWw\x07eXAMPLE\x03oRG\0\0\x01\0\x01";
    let name_case = NameCase::of(as_received);
    let sent = response([&[address(1)], &[], &[]]);
    let (_, got) = respond_in_case(&sent, name_case, &HOP);
    assert_eq!(got[12..12 + as_received.len()], *as_received);
    // Whatever the upstream made of it.
    let upper = [
        build::header(0x8180, [1, 0, 0, 0]),
        b"\x03WWW\x07Example\x03org\0\0\x01\0\x01".to_vec(),
    ];
    let (_, got) = respond_in_case(&upper.concat(), name_case, &HOP);
    assert_eq!(got[12..], *as_received);
}

#[test]
fn client_without_edns_gets_none_and_client_with_edns_gets_ours() {
    let sent = response([&[address(1)], &[], &[opt(0x8000, &[option(15, &[0, 6])])]]);
    assert_eq!(counts(&respond(&sent, &HOP).1), [1, 1, 0, 0]);
    let ours = ResponseOpt {
        udp_size: 1400,
        dnssec_ok: true,
        keepalive: Some(100),
        ede: None,
        second_ede: None,
        pads: false,
    };
    let (_, got) = respond(
        &sent,
        &ClientHop {
            opt: Some(ours),
            ..HOP
        },
    );
    assert_eq!(counts(&got), [1, 1, 0, 1]);
    let expected = build::record_in(&[0], rtype::OPT, 1400, 0x8000, &option(11, &[0, 100]));
    assert_eq!(got[got.len() - expected.len()..], expected);
}

#[test]
fn padding_is_the_last_option_and_makes_the_length_a_multiple_of_468_where_that_fits() {
    let padded = |records: usize, length: usize| {
        let texts = vec![record(&[0xc0, 12], rtype::TXT, 9, &vec![0; length]); records];
        let sent = response([&texts, &[], &[]]);
        let opt = Some(ResponseOpt {
            keepalive: Some(9),
            pads: true,
            ..RESPONSE_OPT
        });
        (sent.len(), respond(&sent, &ClientHop { opt, ..HOP }))
    };
    for records in [0, 1, 2, 7, 200] {
        let (_, (cut, got)) = padded(records, 250);
        assert_eq!((cut, got.len() % 468), (Truncation::None, 0), "{records}");
        assert_eq!(counts(&got)[3], 1);
    }
    let (unpadded, (_, got)) = padded(1, 250);
    let at = unpadded + 11 + 6;
    let padding = u16::try_from(468 - at - 4).unwrap();
    let option = [[0, 12], padding.to_be_bytes()].concat();
    assert_eq!(got[at..at + 4], option);
    assert!(got[at + 4..].iter().all(|byte| *byte == 0));
    // Between the last multiple of 468 and the length that a message may have.
    let (unpadded, (cut, got)) = padded(4, 16_357);
    assert!(unpadded + 21 > 140 * 468 && unpadded + 21 <= 65_535);
    assert_eq!((cut, got.len()), (Truncation::None, 65_535));
}

#[test]
fn extended_error_is_written() {
    let (_, got) = respond(&response([&[], &[], &[]]), &with_ede("none left"));
    let expected = opt(0, &[option(15, b"\0\x16none left")]);
    assert_eq!(got[got.len() - expected.len()..], expected);
}

#[test]
fn extended_errors_text_goes_first_and_then_the_error_before_any_record() {
    let sent = response([&[address(1)], &[], &[address(2)]]);
    let records = sent.len();
    let hop = with_ede("some text");
    let length = |limit: usize| {
        let (cut, got) = respond(&sent, &ClientHop { limit, ..hop });
        (cut, got.len())
    };
    let (bare, code_only, full) = (records + 11, records + 17, records + 26);
    assert_eq!(length(full), (Truncation::None, full));
    assert_eq!(length(full - 1), (Truncation::None, code_only));
    assert_eq!(length(code_only), (Truncation::None, code_only));
    assert_eq!(length(code_only - 1), (Truncation::None, bare));
    assert_eq!(length(bare), (Truncation::None, bare));
    // The additional record's 16 bytes make room for all of the error again.
    assert_eq!(length(bare - 1), (Truncation::Additional, full - 16));
    assert_eq!(length(full - 17), (Truncation::Additional, code_only - 16));
}

#[test]
fn idle_limit_goes_after_the_extended_error_and_before_any_record() {
    let sent = response([&[address(1)], &[], &[]]);
    let ede = Some(Ede { code: 22, text: "" });
    let reported = ResponseOpt {
        keepalive: Some(9),
        ede,
        ..RESPONSE_OPT
    };
    let length = |limit: usize| {
        let (cut, got) = respond(
            &sent,
            &ClientHop {
                opt: Some(reported),
                limit,
                ..HOP
            },
        );
        (cut, got.len() - sent.len())
    };
    let (bare, with_limit, full) = (11, 17, 23);
    assert_eq!(length(sent.len() + full), (Truncation::None, full));
    assert_eq!(
        length(sent.len() + full - 1),
        (Truncation::None, with_limit)
    );
    assert_eq!(
        length(sent.len() + with_limit - 1),
        (Truncation::None, bare)
    );
    assert_eq!(length(sent.len() + bare), (Truncation::None, bare));
}

#[test]
fn additional_section_goes_before_the_others_and_without_tc() {
    let sent = response([&[address(1)], &[address(2)], &[address(3), address(4)]]);
    let fitting = response([&[address(1)], &[address(2)], &[]]);
    let hop = ClientHop {
        opt: Some(RESPONSE_OPT),
        limit: fitting.len() + 11,
        ..HOP
    };
    let (cut, got) = respond(&sent, &hop);
    assert_eq!(
        (cut, counts(&got), got.len()),
        (Truncation::Additional, [1, 1, 1, 1], hop.limit)
    );
    assert_eq!(flags(&got) & 0x0200, 0);
    let (cut, got) = respond(
        &sent,
        &ClientHop {
            limit: hop.limit - 1,
            ..hop
        },
    );
    assert_eq!((cut, counts(&got)), (Truncation::Full, [1, 0, 0, 1]));
    assert_eq!(flags(&got) & 0x0200, 0x0200);
    assert_eq!(got.len(), 12 + QUESTION.len() + 11);
}

#[test]
fn response_that_just_fits_is_whole() {
    let sent = response([&[address(1)], &[], &[]]);
    let at = |limit: usize| respond(&sent, &ClientHop { limit, ..HOP });
    assert_eq!(at(sent.len()).0, Truncation::None);
    let (cut, got) = at(sent.len() - 1);
    assert_eq!((cut, got.len()), (Truncation::Full, 12 + QUESTION.len()));
}

#[test]
fn message_never_outgrows_the_length_of_a_frame() {
    let filler = vec![0; 65_535 - 12 - QUESTION.len() - 12 - 5];
    let sent = response([&[record(QNAME, rtype::NULL, 1, &filler)], &[], &[]]);
    let endless = ClientHop {
        limit: usize::MAX,
        ..HOP
    };
    assert_eq!(respond(&sent, &endless).1.len(), 65_530);
    let (cut, got) = respond(
        &sent,
        &ClientHop {
            opt: Some(RESPONSE_OPT),
            ..endless
        },
    );
    assert_eq!(
        (cut, got.len()),
        (Truncation::Full, 12 + QUESTION.len() + 11)
    );
}

#[test]
fn longest_question_and_its_opt_record_fit_into_512_bytes() {
    let longest = [name(&"a.".repeat(127)), vec![0, 1, 0, 1]].concat();
    let sent = [
        build::header(0x8180, [1, 20, 0, 0]),
        longest,
        vec![address(1); 20].concat(),
    ];
    let full = ResponseOpt {
        keepalive: Some(1),
        ..with_ede("").opt.unwrap()
    };
    let hop = ClientHop {
        opt: Some(full),
        limit: 512,
        ..HOP
    };
    let (cut, got) = respond(&sent.concat(), &hop);
    assert_eq!((cut, got.len()), (Truncation::Full, 12 + 259 + 11 + 6 + 6));
}

#[test]
fn answer_that_holds_nothing_is_a_servfail() {
    let (cut, got) =
        written(|out| write_response(out, &UpstreamResponse::new(), NameCase::LOWER, &HOP));
    assert_eq!(
        (cut, flags(&got), counts(&got)),
        (Truncation::Full, 0x8182, [0; 4])
    );
}

#[test]
fn error_echoes_question_opcode_and_the_clients_bits() {
    let got = error(QUESTION, 0, 5, &HOP);
    assert_eq!(
        got,
        [&[0xbe, 0xef, 0x81, 0x85, 0, 1, 0, 0, 0, 0, 0, 0], QUESTION].concat()
    );
    let quiet = ClientHop {
        recursion_desired: false,
        checking_disabled: true,
        ..HOP
    };
    assert_eq!(flags(&error(QUESTION, 5, 4, &quiet)), 0xa894);
    assert_eq!(
        error(&[], 0, 1, &HOP)[2..],
        [0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]
    );
}

#[test]
fn error_does_not_change_the_case_of_its_question() {
    let exact = b"\x03wWw\0\0\x01\0\x01";
    assert_eq!(error(exact, 0, 1, &HOP)[12..], *exact);
}

#[test]
fn rcode_above_15_needs_an_opt_record() {
    let edns = ClientHop {
        opt: Some(RESPONSE_OPT),
        ..HOP
    };
    let got = error(QUESTION, 0, crate::rcode::BADVERS, &edns);
    assert_eq!(
        (flags(&got) & 0x0f, &got[got.len() - 11..]),
        (0, &opt(1 << 24, &[])[..])
    );
    let got = error(QUESTION, 0, crate::rcode::BADCOOKIE, &edns);
    assert_eq!(
        (flags(&got) & 0x0f, &got[got.len() - 11..]),
        (7, &opt(1 << 24, &[])[..])
    );
    assert_eq!(
        flags(&error(QUESTION, 0, crate::rcode::BADVERS, &HOP)) & 0x0f,
        1
    );
    assert_eq!(
        flags(&error(QUESTION, 0, crate::rcode::BADCOOKIE, &HOP)) & 0x0f,
        2
    );
}

#[test]
fn error_leaves_out_what_does_not_fit() {
    let text = "x".repeat(400);
    let hop = ClientHop {
        limit: 12 + QUESTION.len() + 17,
        ..with_ede(&text)
    };
    let got = error(QUESTION, 0, 2, &hop);
    assert_eq!(got.len(), hop.limit);
    assert_eq!(got[got.len() - 17..], opt(0, &[option(15, &[0, 22])]));
    let bare = error(
        QUESTION,
        0,
        2,
        &ClientHop {
            limit: hop.limit - 1,
            ..hop
        },
    );
    assert_eq!(bare[bare.len() - 11..], opt(0, &[]));
}

#[test]
fn local_zone_denies_with_its_soa_record() {
    let question = b"\x01a\x09LOCALHOST\0\0\x10\0\x01";
    let got = local(question, "localhost", LocalData::NxDomain, &HOP);
    let mut expected = build::header(0x8583, [1, 0, 1, 0]);
    expected[..2].copy_from_slice(&[0xbe, 0xef]);
    expected.extend(question);
    let numbers = [1_u32, 3_600, 1_200, 604_800, 10_800]
        .map(u32::to_be_bytes)
        .concat();
    let rdata = [&[0xc0, 14][..], &name("nobody.invalid"), &numbers].concat();
    expected.extend(record(&[0xc0, 14], rtype::SOA, 10_800, &rdata));
    assert_eq!(got, expected);
    let nodata = local(question, "localhost", LocalData::NoData, &HOP);
    assert_eq!((flags(&nodata), &nodata[4..]), (0x8580, &expected[4..]));
}

#[test]
fn soa_record_of_a_zone_that_is_no_suffix_is_written_in_full() {
    for zone in ["other.test", ""] {
        let got = local(QUESTION, zone, LocalData::NoData, &HOP);
        let zone = name(zone);
        assert_eq!(got[12 + QUESTION.len()..][..zone.len()], zone);
        assert_eq!(answer(&got).body(), got);
    }
}

#[test]
fn local_zone_gives_addresses() {
    let v4 = local(
        QUESTION,
        "org",
        LocalData::Address(Ipv4Addr::LOCALHOST.into()),
        &HOP,
    );
    let records = record(QNAME, rtype::A, 10_800, &[127, 0, 0, 1]);
    assert_eq!((flags(&v4), counts(&v4)), (0x8580, [1, 1, 0, 0]));
    assert_eq!(v4[12 + QUESTION.len()..], records);
    let v6 = local(
        QUESTION,
        "org",
        LocalData::Address(Ipv6Addr::LOCALHOST.into()),
        &HOP,
    );
    let bytes = Ipv6Addr::LOCALHOST.octets();
    assert_eq!(
        v6[12 + QUESTION.len()..],
        record(QNAME, rtype::AAAA, 10_800, &bytes)
    );
}

#[test]
fn local_zone_calls_a_loopback_address_localhost() {
    let question = b"\x011\x010\x010\x03127\x07in-addr\x04arpa\0\0\x0c\0\x01";
    let got = local(question, "127.in-addr.arpa", LocalData::Localhost, &HOP);
    let record = record(QNAME, rtype::PTR, 10_800, &name("localhost"));
    assert_eq!(got[2..12], [0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    assert_eq!(got[12..], [&question[..], &record].concat());
}

#[test]
fn local_zone_has_edns_for_clients_with_edns() {
    let got = local(QUESTION, "org", LocalData::NoData, &with_ede("here"));
    assert_eq!(counts(&got), [1, 0, 1, 1]);
    let expected = opt(0, &[option(15, b"\0\x16here")]);
    assert_eq!(got[got.len() - expected.len()..], expected);
}

#[test]
fn a_shortened_response_keeps_its_header_question_and_a_bare_opt_record() {
    let hop = with_ede("stale");
    let whole = respond(&response([&[address(1)], &[], &[address(2)]]), &hop).1;
    let bare = ResponseOpt {
        ede: None,
        ..hop.opt.unwrap()
    };
    let bare = ClientHop {
        opt: Some(bare),
        limit: 12 + 21 + 11,
        ..hop
    };
    let expected = respond(&response([&[address(1)], &[], &[address(2)]]), &bare).1;
    let shortened = |message: &[u8]| {
        let mut out = vec![0xee];
        let is_written = write_shortened(&mut out, message);
        assert_eq!(is_written, out.len() > 1);
        is_written.then(|| out.split_off(1))
    };
    assert_eq!(shortened(&whole), Some(expected.clone()));
    assert_eq!(shortened(&expected), None, "it is as short as it can be");
    let plain = respond(&response([&[address(1)], &[], &[]]), &HOP).1;
    let expected = respond(
        &response([&[address(1)], &[], &[]]),
        &ClientHop { limit: 33, ..HOP },
    )
    .1;
    assert_eq!(shortened(&plain), Some(expected));
    // An error loses its comment, and nothing was truncated.
    let failed = error(QUESTION, 0, 2, &hop);
    let short = shortened(&failed).unwrap();
    assert_eq!(
        (flags(&short), counts(&short)),
        (flags(&failed), [1, 0, 0, 1])
    );
    assert_eq!(shortened(&message(0x0100, [&[address(1)], &[], &[]])), None);
    assert_eq!(shortened(&whole[..11]), None);
}
