//! Messages as the `domain` crate reads them.

use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::opt::ExtendedError;
use domain::base::{Message, Name};
use domain::rdata::A as Address;

use super::*;

#[test]
fn a_query_has_an_id_rd_and_one_question() {
    let bytes = query(0xbeef, "wWw.example");
    let message = Message::from_octets(&bytes).unwrap();
    let question = message.sole_question().unwrap();
    assert_eq!(message.header().id(), 0xbeef);
    assert!(message.header().rd() && !message.header().qr());
    assert_eq!(question.qname().to_string(), "wWw.example");
    assert_eq!((question.qtype(), question.qclass()), (Rtype::A, Class::IN));
    assert!(message.opt().is_none());
    assert_eq!(question_of(&bytes), Some(&bytes[12..]));
}

#[test]
fn a_response_has_the_question_of_its_query_and_the_given_records() {
    let query = query(7, "example").with_edns();
    let address = record(QNAME, A, 300, &[192, 0, 2, 1]);
    let servers = record(&wire_name("example"), NS, 60, &pointer(12));
    let bytes = response(&query, RD | RA | AD, [&[address], &[servers], &[]]).with_opt(
        1400,
        DO,
        &[(EDE, &ede(3, "stale"))],
    );
    let message = Message::from_octets(&bytes).unwrap();
    let header = message.header();
    assert!(header.qr() && header.rd() && header.ra() && header.ad() && !header.tc());
    assert_eq!((header.id(), header.rcode()), (7, Rcode::NOERROR));
    let mut answer = message.answer().unwrap().limit_to::<Address>();
    let record = answer.next().unwrap().unwrap();
    assert_eq!(record.owner(), &"example".parse::<Name<Vec<u8>>>().unwrap());
    assert_eq!(
        (record.ttl().as_secs(), record.data().addr()),
        (300, [192, 0, 2, 1].into())
    );
    assert_eq!(message.authority().unwrap().count(), 1);
    let opt = message.opt().unwrap();
    assert_eq!((opt.udp_payload_size(), opt.dnssec_ok()), (1400, true));
    let error = opt.opt().first::<ExtendedError<&[u8]>>().unwrap();
    assert_eq!(error.code().to_int(), 3);
    assert_eq!(error.text_slice(), Some(&b"stale"[..]));
}

#[test]
fn flags_and_counts_are_replaced_and_nothing_else() {
    let plain = query(1, "");
    let changed = plain.clone().with_flags(QR | 3);
    let changed = changed.with_count(Section::Authority, 0x0102);
    assert_eq!(changed[..12], header(1, QR | 3, [1, 0, 0x0102, 0]));
    assert_eq!(changed[12..], plain[12..]);
    let chaos = plain.clone().with_qclass(3);
    assert_eq!(chaos[..], [&plain[..15], &[0, 3]].concat());
}

#[test]
fn a_question_that_is_cut_short_is_none() {
    let whole = query(1, "www.example");
    for length in 0..whole.len() {
        assert_eq!(question_of(&whole[..length]), None, "{length}");
    }
    assert_eq!(question_of(&header(1, RD, [0; 4])), None);
    assert_eq!(name_end(&[3, b'w', b'w', b'w', 0xc0], 0), None);
    assert_eq!(name_end(&[3, b'w', b'w', b'w', 0xc0, 12], 0), Some(6));
}

#[test]
fn a_frame_is_split_once_it_is_whole() {
    let query = query(1, "example");
    let stream = [framed(&query), framed(&[])].concat();
    assert_eq!(split_frame(&stream), Some((&query[..], &[0, 0][..])));
    assert_eq!(split_frame(&stream[..query.len() + 1]), None);
    assert_eq!(split_frame(&[0]), None);
}
