//! The responses of the zone. Its sockets are those of the scripted server.

use domain::base::Message;
use domain::base::iana::{Opcode, Rcode, Rtype};
use domain::base::opt::Padding;
use domain::rdata::AllRecordData;
use dotgate_message::{Compose as _, DO, PADDING, UDP_SIZE, query_for};

use super::zone;
use crate::upstream::ReceivedQuery;

/// What the query's OPT record has.
#[derive(Clone, Copy, PartialEq)]
enum Edns {
    None,
    Plain,
    Padded,
}

fn query(name: &str, qtype: Rtype, edns: Edns) -> Vec<u8> {
    let query = query_for(0xbeef, name, qtype.to_int());
    match edns {
        Edns::None => query,
        Edns::Plain => query.with_opt(UDP_SIZE, DO, &[]),
        Edns::Padded => query.with_opt(UDP_SIZE, DO, &[(PADDING, &[0; 40])]),
    }
}

fn answer(query: &[u8]) -> Message<Vec<u8>> {
    let query = ReceivedQuery::read(query).unwrap();
    Message::from_octets(zone::answer(&query).unwrap()).unwrap()
}

fn ask(name: &str, qtype: Rtype, edns: Edns) -> Message<Vec<u8>> {
    answer(&query(name, qtype, edns))
}

/// The answer section as text: owner, type, data.
fn answers(response: &Message<Vec<u8>>) -> Vec<String> {
    let records = response.answer().unwrap().limit_to::<AllRecordData<_, _>>();
    records
        .map(|record| {
            let record = record.unwrap();
            format!("{} {} {}", record.owner(), record.rtype(), record.data())
        })
        .collect()
}

/// The owners of the SOA records in the authority section.
fn zones(response: &Message<Vec<u8>>) -> Vec<String> {
    let records = response
        .authority()
        .unwrap()
        .limit_to::<domain::rdata::Soa<_>>();
    records
        .map(|record| record.unwrap().owner().to_string())
        .collect()
}

#[test]
fn the_zone_has_addresses_and_a_text_under_any_letter_case() {
    let response = ask("eXample.Test", Rtype::A, Edns::None);
    assert_eq!(response.header().id(), 0xbeef);
    assert!(response.header().qr() && response.header().rd() && response.header().ra());
    assert_eq!(response.header().rcode(), Rcode::NOERROR);
    assert_eq!(answers(&response), ["eXample.Test A 192.0.2.1"]);
    assert_eq!(
        response.sole_question().unwrap().qname().to_string(),
        "eXample.Test"
    );

    let response = ask("example.test", Rtype::AAAA, Edns::None);
    assert_eq!(answers(&response), ["example.test AAAA 2001:db8::1"]);
    assert_eq!(
        answers(&ask("example.test", Rtype::TXT, Edns::None)).len(),
        1
    );
}

#[test]
fn an_alias_brings_what_it_points_to() {
    let response = ask("alias.example.test", Rtype::A, Edns::None);
    let expected = [
        "alias.example.test CNAME example.test.",
        "example.test A 192.0.2.1",
    ];
    assert_eq!(answers(&response), expected);
    let response = ask("alias.example.test", Rtype::CNAME, Edns::None);
    assert_eq!(answers(&response), expected[..1]);
    let response = ask("alias.example.test", Rtype::MX, Edns::None);
    assert_eq!(answers(&response), expected[..1]);
    assert_eq!(zones(&response), ["example.test"]);
}

#[test]
fn negative_answers_have_the_soa_record_of_their_zone() {
    let response = ask("no.example.test", Rtype::A, Edns::None);
    assert_eq!(response.header().rcode(), Rcode::NXDOMAIN);
    assert_eq!(
        (answers(&response), zones(&response)),
        (vec![], vec!["example.test".to_owned()])
    );

    let response = ask("example.test", Rtype::MX, Edns::None);
    assert_eq!(response.header().rcode(), Rcode::NOERROR);
    assert_eq!(
        (answers(&response), zones(&response)),
        (vec![], vec!["example.test".to_owned()])
    );

    let response = ask("elsewhere.org", Rtype::A, Edns::None);
    assert_eq!(response.header().rcode(), Rcode::NXDOMAIN);
    assert_eq!(zones(&response), [""], "the root");
}

#[test]
fn an_opt_record_comes_only_to_who_sent_one() {
    assert!(ask("example.test", Rtype::A, Edns::None).opt().is_none());
    let response = ask("example.test", Rtype::A, Edns::Plain);
    let opt = response.opt().unwrap();
    assert!(opt.dnssec_ok());
    assert_eq!(opt.opt().iter::<Padding<_>>().count(), 0);
}

#[test]
fn a_response_to_a_padded_query_fills_blocks_of_468_bytes() {
    for (name, qtype) in [
        ("example.test", Rtype::A),
        ("alias.example.test", Rtype::TXT),
        ("no.example.test", Rtype::A),
    ] {
        let response = ask(name, qtype, Edns::Padded);
        assert_eq!(response.as_slice().len(), 468, "{name}");
        assert_eq!(
            response.opt().unwrap().opt().iter::<Padding<_>>().count(),
            1
        );
    }
}

#[test]
fn what_is_no_standard_query_gets_an_error() {
    let mut update = query("example.test", Rtype::A, Edns::None);
    update[2] = Opcode::UPDATE.to_int() << 3;
    assert_eq!(answer(&update).header().rcode(), Rcode::NOTIMP);

    let mut empty = query("example.test", Rtype::A, Edns::None);
    empty.truncate(12);
    empty[5] = 0;
    assert_eq!(answer(&empty).header().rcode(), Rcode::FORMERR);
}

#[test]
fn a_response_or_half_of_a_header_is_no_query() {
    let response = ask("example.test", Rtype::A, Edns::None);
    assert!(ReceivedQuery::read(response.as_slice()).is_none());
    assert!(ReceivedQuery::read(&[0; 11]).is_none());
}
