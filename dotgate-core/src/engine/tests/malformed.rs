//! What clients should not send, or seldom do, one row each, with what becomes of it on either transport.

use dotgate_message::Section::{Additional, Answer, Authority, Question};
use dotgate_message::{
    A, AA, AD, CD, COOKIE, Compose as _, DO, ECS, KEEPALIVE, OPT, PADDING, QNAME, QR, RA, RD, TC,
    Z, framed, query, query_for, record, record_in, response, wire_name,
};

use super::lab::Lab;
use super::message::{Message, address};
use crate::counters::Count;
use crate::limits;

/// What a client's message leads to. Nothing but `Forwarded` reaches an upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// No response; on a stream the connection is closed.
    NoResponse,
    /// An RCODE, and whether the question is echoed.
    Error(u16, bool),
    /// REFUSED with this EDE for clients with EDNS.
    Refused(u16),
    /// Answered from a zone of our own.
    Local,
    /// Asked upstream and answered as any other query.
    Forwarded,
}
use Fate::{Error, Forwarded, Local, NoResponse, Refused};

const FORMERR: Fate = Error(1, true);
const FORMERR_BARE: Fate = Error(1, false);
const NOTIMP: Fate = Error(4, true);
const BADVERS: Fate = Error(16, true);

type Row = (&'static str, Vec<u8>, Fate);

fn plain() -> Vec<u8> {
    query(1, "a.example")
}

fn edns() -> Vec<u8> {
    query(1, "a.example").with_edns()
}

fn asking(bytes: &[u8]) -> Vec<u8> {
    [&plain()[..12], bytes, &[0, 1, 0, 1]].concat()
}

fn and(message: Vec<u8>, more: &[u8]) -> Vec<u8> {
    [message, more.to_vec()].concat()
}

/// Headers: what is no query, how many questions, which flags.
fn headers() -> Vec<Row> {
    let flags = |flags| plain().with_flags(flags);
    let header = plain()[..12].to_vec();
    let two = [&plain()[12..], &plain()[12..]].concat();
    vec![
        ("no byte", vec![], NoResponse),
        ("half a header", plain()[..6].to_vec(), NoResponse),
        ("11 bytes", plain()[..11].to_vec(), NoResponse),
        ("a response", flags(QR | RD), NoResponse),
        ("a response to an update", flags(QR | 5 << 11), NoResponse),
        ("a question that is not there", header.clone(), FORMERR_BARE),
        (
            "no question",
            header.clone().with_count(Question, 0),
            FORMERR_BARE,
        ),
        (
            "two questions",
            and(header, &two).with_count(Question, 2),
            FORMERR_BARE,
        ),
        (
            "65,535 questions",
            plain().with_count(Question, 65_535),
            FORMERR_BARE,
        ),
        ("TC", flags(RD | TC), Forwarded),
        ("AA", flags(RD | AA), Forwarded),
        ("RA", flags(RD | RA), Forwarded),
        ("Z", flags(RD | Z), Forwarded),
        ("an RCODE", flags(RD | 15), Forwarded),
        ("every flag", flags(0x07ff), Forwarded),
        ("no RD", flags(0), Refused(20)),
    ]
}

/// Sections and names, and OPT records that cannot be read.
fn bodies() -> Vec<Row> {
    let with = |section, bytes: &[u8]| plain().with_record(section, bytes);
    let header = plain()[..12].to_vec();
    let long = wire_name(&"a.".repeat(128));
    let opt = record_in(&[0], OPT, 1_232, 0, &[]);
    let beyond = [&opt[..9], &[0, 200]].concat();
    vec![
        ("an answer", with(Answer, &address(1)), FORMERR),
        ("an authority", with(Authority, &address(1)), FORMERR),
        ("an additional", with(Additional, &address(1)), Forwarded),
        ("an answer that is not there", with(Answer, &[]), FORMERR),
        (
            "an additional that is not there",
            with(Additional, &[]),
            FORMERR,
        ),
        (
            "65,535 additionals",
            plain().with_count(Additional, 65_535),
            FORMERR,
        ),
        ("an OPT in the answer", with(Answer, &opt), FORMERR),
        ("an OPT in the authority", with(Authority, &opt), FORMERR),
        ("an OPT beyond the end", with(Additional, &beyond), FORMERR),
        ("trailing bytes", and(plain(), &[0xff; 40]), Forwarded),
        ("a trailing record", and(plain(), &address(1)), Forwarded),
        ("a trailing OPT", and(plain(), &opt), Forwarded),
        ("a pointer to itself", asking(&[0xc0, 12]), FORMERR_BARE),
        ("a pointer forward", asking(&[0xc0, 14, 0]), FORMERR_BARE),
        (
            "a pointer beyond the end",
            asking(&[0xff, 0xff]),
            FORMERR_BARE,
        ),
        (
            "a pointer into the header",
            asking(&[1, b'a', 0xc0, 0]),
            FORMERR_BARE,
        ),
        ("label type 01", asking(b"\x41a\0"), FORMERR_BARE),
        ("label type 10", asking(b"\x81a\0"), FORMERR_BARE),
        ("a name of 257 bytes", asking(&long), FORMERR_BARE),
        ("a cut label", and(header, b"\x3fa"), FORMERR_BARE),
        (
            "no class",
            plain()[..plain().len() - 2].to_vec(),
            FORMERR_BARE,
        ),
    ]
}

/// Types and classes of the question.
fn questions() -> Vec<Row> {
    let qtype = |qtype| query_for(1, "a.example", qtype);
    let qclass = |qclass| query_for(1, "a.example", A).with_qclass(qclass);
    let soa = record(QNAME, 6, 0, &[&[0, 0][..], &[0; 20]].concat());
    let tsig = record_in(&wire_name("key"), 250, 255, 0, &[0; 32]);
    let sig0 = record_in(&[0], 24, 255, 0, &[0; 32]);
    vec![
        ("class 0", qclass(0), FORMERR),
        ("class NONE", qclass(254), FORMERR),
        ("class ANY", qclass(255), Refused(21)),
        (
            "class CH",
            query_for(1, "version.bind", 16).with_qclass(3),
            Refused(21),
        ),
        ("a private class", qclass(65_280), Refused(21)),
        ("type 0", qtype(0), Forwarded),
        ("an unknown type", qtype(12_345), Forwarded),
        ("type 65535", qtype(65_535), Forwarded),
        ("type ANY", qtype(255), Forwarded),
        ("AXFR", qtype(252), Refused(21)),
        ("IXFR", qtype(251), Refused(21)),
        (
            "IXFR with its SOA record",
            qtype(251).with_record(Authority, &soa),
            Refused(21),
        ),
        ("type OPT", qtype(41), FORMERR),
        ("type TKEY", qtype(249), FORMERR),
        ("type TSIG", qtype(250), FORMERR),
        ("type MAILB", qtype(253), NOTIMP),
        ("type MAILA", qtype(254), NOTIMP),
        (
            "a TSIG",
            plain().with_record(Additional, &tsig),
            Refused(21),
        ),
        (
            "a SIG(0)",
            plain().with_record(Additional, &sig0),
            Refused(21),
        ),
        (
            "resolver.arpa SVCB",
            query_for(1, "_dns.resolver.arpa", 64),
            Local,
        ),
        (
            "resolver.arpa RESINFO",
            query_for(1, "resolver.arpa", 261),
            Local,
        ),
        ("mixed case", query(1, "mIxEd.ExAmPlE"), Forwarded),
        ("the root", query(1, ""), Forwarded),
        ("a single label", query(1, "intranet"), Forwarded),
        (
            "bytes that are no text",
            asking(b"\x04\0\xff. \0"),
            Forwarded,
        ),
    ]
}

/// Messages with an OPT record, whose responses have one: opcodes, records, options.
fn opts() -> Vec<Row> {
    let opcode = |opcode: u16| edns().with_flags(opcode << 11 | RD);
    let options = |options: &[(u16, &[u8])]| plain().with_options(options);
    let raw =
        |bytes: &[u8]| plain().with_record(Additional, &record_in(&[0], OPT, 1_232, 0, bytes));
    let field = |size, ttl| plain().with_opt(size, ttl, &[]);
    let no_question = plain()[..12].to_vec().with_count(Question, 0);
    let opt = record_in(&[0], OPT, 1_232, 0, &[]);
    let owned = record_in(QNAME, OPT, 1_232, 0, &[]);
    let many = vec![(65_001, &[0_u8][..]); 300];
    let too_many = vec![(PADDING, &[][..]); 16_000];
    vec![
        ("OPT", edns(), Forwarded),
        ("opcode IQUERY", opcode(1), NOTIMP),
        ("opcode STATUS", opcode(2), NOTIMP),
        ("opcode 3", opcode(3), NOTIMP),
        ("opcode NOTIFY", opcode(4), NOTIMP),
        ("opcode UPDATE", opcode(5), NOTIMP),
        ("opcode DSO", opcode(6), NOTIMP),
        ("opcode 15", opcode(15), NOTIMP),
        (
            "a cookie alone",
            no_question.with_options(&[(COOKIE, &[7; 8])]),
            FORMERR_BARE,
        ),
        ("no RD", edns().with_flags(CD), Refused(20)),
        (
            "AXFR",
            query_for(1, "a.example", 252).with_edns(),
            Refused(21),
        ),
        (
            "class CH",
            query_for(1, "version.bind", 16).with_qclass(3).with_edns(),
            Refused(21),
        ),
        ("two OPT", edns().with_record(Additional, &opt), FORMERR),
        (
            "an OPT not of the root",
            plain().with_record(Additional, &owned),
            FORMERR,
        ),
        ("EDNS version 1", field(1_232, 1 << 16), BADVERS),
        ("EDNS version 255", field(1_232, 255 << 16 | DO), BADVERS),
        (
            "EDNS version 1, options",
            plain().with_opt(1_232, 1 << 16, &[(3, &[])]),
            BADVERS,
        ),
        ("all EDNS flags", field(1_232, 0xffff), Forwarded),
        ("an extended RCODE", field(1_232, 7 << 24), Forwarded),
        ("size 0", field(0, 0), Forwarded),
        ("size 65535", field(65_535, 0), Forwarded),
        ("an option that overruns", raw(&[0, 3, 0, 9, 1]), FORMERR),
        ("bytes behind the options", raw(&[0, 3, 0, 0, 1]), FORMERR),
        ("a cookie of 7", options(&[(COOKIE, &[1; 7])]), FORMERR),
        ("a cookie of 12", options(&[(COOKIE, &[1; 12])]), FORMERR),
        ("a cookie of 41", options(&[(COOKIE, &[1; 41])]), FORMERR),
        ("a cookie of 40", options(&[(COOKIE, &[1; 40])]), Forwarded),
        (
            "a client subnet",
            options(&[(ECS, &[0, 1, 24, 0, 192, 0, 2])]),
            Forwarded,
        ),
        (
            "a bad client subnet",
            options(&[(ECS, &[9, 9, 255, 255])]),
            Forwarded,
        ),
        (
            "keepalive with a value",
            options(&[(KEEPALIVE, &[0, 9])]),
            Forwarded,
        ),
        ("padding", options(&[(PADDING, &[0; 100])]), Forwarded),
        (
            "padding twice",
            options(&[(PADDING, &[]), (PADDING, &[])]),
            Forwarded,
        ),
        ("NSID", options(&[(3, &[])]), Forwarded),
        ("300 options", options(&many), Forwarded),
        ("16,000 options", options(&too_many), FORMERR),
    ]
}

/// All rows, and whether an OPT record can be read in the message: then its response has one as well.
fn rows() -> impl Iterator<Item = (Row, bool)> {
    let without = [headers(), bodies(), questions()].concat().into_iter();
    let with = opts().into_iter();
    without
        .map(|row| (row, false))
        .chain(with.map(|row| (row, true)))
}

/// Checks a response that was made here: it parses to its last byte and tells no more than it may.
fn check_own_response((name, message, fate): &Row, has_opt: bool, response: &[u8]) {
    let fate = *fate;
    let response = Message::read(response);
    assert_eq!(response.id, 1, "{name}");
    let copied = u16::from_be_bytes([message[2], message[3]]) & (0x7800 | RD | CD);
    let own = if fate == Local { AA } else { 0 };
    assert_eq!(
        response.flags & !15,
        QR | RA | own | copied,
        "{name}: flags"
    );
    let (rcode, has_question) = match fate {
        Error(rcode, has_question) => (rcode, has_question),
        Refused(_) => (5, true),
        Local => (0, true),
        NoResponse | Forwarded => panic!("{name}: {response:?}"),
    };
    assert_eq!(response.rcode(), rcode, "{name}");
    let end = if has_question {
        12 + response.question.len()
    } else {
        12
    };
    assert_eq!(response.question.is_empty(), !has_question, "{name}");
    assert_eq!(response.question, message[12..end], "{name}: question");
    assert_eq!(response.opt.is_some(), has_opt, "{name}: OPT");
    assert_eq!(response.records.len(), usize::from(fate == Local), "{name}");
    if let (Refused(code), true) = (fate, has_opt) {
        assert_eq!(response.ede().map(|(code, _)| code), Some(code), "{name}");
    }
    if let Some(flags) = response.edns_flags() {
        assert_eq!(flags & !DO, 0, "{name}: version 0, no unknown flag");
    }
}

/// Checks that only what is ours went upstream: question, DO, CD.
fn check_forwarded((name, message, _): &Row, forwarded: &[u8]) {
    let sent = Message::read(forwarded);
    let question_end = 12 + sent.question.len();
    assert_eq!(
        sent.question,
        message[12..question_end].to_ascii_lowercase(),
        "{name}"
    );
    let cd = u16::from_be_bytes([message[2], message[3]]) & CD;
    assert_eq!(sent.flags, RD | AD | cd, "{name}");
    assert_eq!(sent.records, [], "{name}");
    assert_eq!(sent.option_codes(), [PADDING], "{name}");
    let edns_flags = sent.edns_flags().unwrap();
    assert_eq!(edns_flags & !DO, 0, "{name}: no flag but DO");
    assert_eq!(forwarded.len() % 128, 0, "{name}");
}

#[test]
fn every_message_by_udp_meets_its_fate() {
    for (row, has_opt) in rows() {
        let (name, message, fate) = &row;
        let mut lab = Lab::opened(1);
        lab.send(message);
        match *fate {
            NoResponse => assert!(
                lab.responses.is_empty() && lab.forwarded.is_empty(),
                "{name}"
            ),
            Forwarded => {
                assert!(lab.responses.is_empty(), "{name}: {:?}", lab.responses);
                let forwarded = lab.next_forwarded();
                check_forwarded(&row, &forwarded.message);
                let right = response(&forwarded.message, RD | RA, [&[address(1)], &[], &[]]);
                lab.respond(forwarded.session, &right);
                let response = Message::read(&lab.responses[0]);
                assert_eq!(
                    (response.id, response.rcode(), response.records.len()),
                    (1, 0, 1),
                    "{name}"
                );
                assert_eq!(
                    response.question,
                    message[12..12 + response.question.len()],
                    "{name}"
                );
                assert_eq!(response.opt.is_some(), has_opt, "{name}");
                assert_eq!(response.option_codes(), [], "{name}");
            }
            Error(..) | Refused(_) | Local => {
                assert!(lab.forwarded.is_empty(), "{name}");
                assert_eq!(lab.responses.len(), 1, "{name}");
                check_own_response(&row, has_opt, &lab.responses[0]);
            }
        }
        lab.expect_idle();
    }
}

#[test]
fn every_message_by_tcp_meets_the_same_fate() {
    for (row, has_opt) in rows() {
        let (name, message, fate) = &row;
        let mut lab = Lab::opened(1);
        let stream = lab.connect();
        lab.stream_send(stream, &framed(message));
        if message.is_empty() {
            assert!(lab.closed_streams.is_empty(), "one empty frame is forgiven");
            continue;
        }
        match *fate {
            NoResponse => assert_eq!(lab.closed_streams, [stream], "{name}"),
            Forwarded => {
                check_forwarded(&row, &lab.next_forwarded().message);
                assert!(lab.stream_bytes.is_empty(), "{name}");
            }
            Error(..) | Refused(_) | Local => {
                assert!(lab.forwarded.is_empty(), "{name}");
                check_own_response(&row, has_opt, &lab.stream_messages()[0]);
            }
        }
    }
}

#[test]
fn random_bytes_in_whole_frames_get_formerr_a_few_times_and_end_the_connection() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    let mut bytes = vec![0x5a; 60];
    bytes[2] = 0x01;
    for _ in 0..200 {
        lab.stream_send(stream, &framed(&bytes));
    }
    let response: Vec<u16> = lab
        .stream_messages()
        .iter()
        .map(|message| Message::read(message).rcode())
        .collect();
    assert_eq!(response, vec![1; limits::STREAM_REJECTED as usize]);
    assert_eq!(lab.count(Count::QueriesMalformed), response.len() as u64);
    assert_eq!(lab.closed_streams, [stream]);
}

#[test]
fn a_source_port_of_zero_is_never_answered() {
    let mut lab = Lab::opened(1);
    lab.send_from("192.0.2.1:0", &query(1, "x.localhost"));
    assert!(lab.responses.is_empty());
    assert_eq!(lab.count(Count::QueriesIgnored), 1);
}
