//! Local data on the path of a query: what is answered from it leaves no host, and nothing that was cached for the name
//! is served in its place.

use std::sync::Arc;

use dotgate_message::{
    A, AA, AD, Compose as _, DO, EDE, QNAME, RD, TC, framed, query, query_for, record, wire_name,
};

use super::cache::{cache_settings, with_cache};
use super::cache_answers::{respond_with, soa, taken};
use super::lab::{Lab, SECOND, settings};
use crate::counters::Count;
use crate::local::{LocalData, LocalDataBuilder};
use crate::settings::Settings;

const CNAME: u16 = 5;
const AAAA: u16 = 28;
const TXT: u16 = 16;

/// An alias that leads upstream, a host with two addresses, a wildcard.
fn data() -> LocalData {
    let mut builder = LocalDataBuilder::new();
    for (id, (name, rtype, rdata)) in (0..).zip([
        ("alias.lab", CNAME, wire_name("www.example")),
        ("special.lab", CNAME, wire_name("x.localhost")),
        ("host.lab", A, vec![10, 0, 0, 1]),
        ("host.lab", A, vec![10, 0, 0, 2]),
        ("*.wild.lab", A, vec![10, 0, 0, 3]),
    ]) {
        builder
            .add(&wire_name(name), rtype, 60, &rdata, id)
            .unwrap();
    }
    for number in 0..200_u8 {
        builder
            .add(&wire_name("large.lab"), TXT, 60, &[1, number], 9)
            .unwrap();
    }
    builder.finish(7, 30).unwrap()
}

fn with_data(settings: Settings) -> Settings {
    Settings {
        local: Some(Arc::new(data())),
        ..settings
    }
}

fn lab() -> Lab {
    Lab::with_cache(
        with_data(Settings {
            cache: cache_settings(),
            ..settings(1)
        }),
        1,
    )
}

#[test]
fn a_local_name_is_answered_with_authority_and_never_asked_of_an_upstream() {
    let mut lab = lab();
    lab.ask("HOST.lab");
    let answer = taken(&mut lab);
    assert_eq!(
        (answer.rcode(), answer.has(AA), answer.has(AD)),
        (0, true, false)
    );
    assert!(
        answer.question.starts_with(b"\x04HOST\x03lab\0"),
        "as it was forwarded"
    );
    let addresses: Vec<_> = answer
        .records
        .iter()
        .map(|it| (it.ttl, it.rdata[3]))
        .collect();
    assert!(
        matches!(addresses[..], [(60, 1), (60, 2)] | [(60, 2), (60, 1)]),
        "{addresses:?}"
    );
    for qtype in [AAAA, 65, 43, TXT] {
        lab.send(&query_for(1, "host.lab", qtype));
        let denied = taken(&mut lab);
        assert_eq!((denied.rcode(), denied.has(AA)), (0, true));
        let [soa] = &denied.records[..] else {
            panic!("{denied:?}")
        };
        assert_eq!((soa.section, soa.rtype, soa.ttl), (1, 6, 30));
        assert!(soa.rdata.ends_with(&30_u32.to_be_bytes()), "MINIMUM");
    }
    lab.send(&query_for(1, "x.wild.lab", A));
    assert_eq!(taken(&mut lab).records[0].rdata, [10, 0, 0, 3]);
    assert!(lab.forwarded.is_empty() && lab.openings.is_empty());
    assert_eq!(lab.count(Count::QueriesLocal), 6);
    // Another class is another name space (RFC 1034 section 3.6).
    lab.send(&query_for(1, "host.lab", A).with_qclass(3));
    assert_eq!(taken(&mut lab).rcode(), 5);
}

#[test]
fn a_signature_is_neither_claimed_nor_served_for_local_data() {
    let mut lab = lab();
    lab.send(
        &query(1, "host.lab")
            .with_flags(AD | RD)
            .with_opt(1_232, DO, &[]),
    );
    let answer = taken(&mut lab);
    assert_eq!((answer.has(AD), answer.edns_flags()), (false, Some(DO)));
    assert!(answer.records.iter().all(|it| it.rtype == A));
}

#[test]
fn a_local_answer_that_does_not_fit_is_cut() {
    let mut lab = lab();
    lab.send(&query_for(1, "large.lab", TXT));
    let cut = taken(&mut lab);
    assert_eq!((cut.has(TC), cut.records.len()), (true, 0));
    let stream = lab.connect();
    lab.stream_send(stream, &framed(&query_for(1, "large.lab", TXT)));
    let whole = super::message::Message::read(&lab.stream_messages()[0]);
    assert_eq!((whole.has(TC), whole.records.len()), (false, 200));
}

#[test]
fn what_was_cached_for_a_name_is_not_served_once_the_name_is_local() {
    let mut lab = with_cache(1, 1);
    lab.ask("host.lab");
    lab.answer_all();
    assert_eq!(taken(&mut lab).records[0].rdata, [203, 0, 113, 5]);
    let without = Settings::clone(&lab.engine.settings);
    lab.reconfigure(with_data(without.clone()));
    lab.ask("host.lab");
    assert_eq!(taken(&mut lab).records.len(), 2);
    lab.pass(400 * SECOND);
    lab.send(&query_for(1, "host.lab", AAAA));
    assert!(taken(&mut lab).has(AA));
    assert!(lab.forwarded.is_empty());
    lab.reconfigure(without);
    lab.ask("host.lab");
    lab.open_all();
    lab.answer_all();
    assert_eq!(taken(&mut lab).records.len(), 1);
}

#[test]
fn an_alias_that_leads_upstream_is_answered_with_what_the_upstream_says() {
    let mut lab = lab();
    lab.ask("Alias.lab");
    lab.open(0);
    let forwarded = lab.forwarded[0].message.clone();
    assert!(
        forwarded[12..].starts_with(b"\x03www\x07example\0"),
        "what is forwarded"
    );
    lab.answer_all();
    let first = taken(&mut lab);
    assert!(first.question.starts_with(b"\x05Alias\x03lab\0"));
    let types: Vec<u16> = first.records.iter().map(|it| it.rtype).collect();
    assert_eq!((first.rcode(), types), (0, vec![CNAME, A]));
    // From the cache now, which has the name that the alias leads to, as for anybody.
    lab.pass(7 * SECOND);
    lab.send(&query(1, "alias.lab").with_flags(AD | RD));
    let again = taken(&mut lab);
    assert_eq!((again.records[0].ttl, again.records[1].ttl), (60, 293));
    assert!(!again.has(AD) && lab.forwarded.is_empty());
    lab.ask("www.example");
    assert_eq!(taken(&mut lab).records.len(), 1);
    lab.send(&query_for(1, "alias.lab", CNAME));
    let alone = taken(&mut lab);
    assert_eq!((alone.has(AA), alone.records.len()), (true, 1));
}

#[test]
fn an_alias_and_its_target_share_a_question_in_flight_and_each_client_gets_its_own() {
    let mut lab = lab();
    lab.send_from("192.0.2.1:5000", &query(1, "alias.lab"));
    lab.send_from("192.0.2.1:5000", &query(1, "www.example"));
    lab.send_from("192.0.2.1:5000", &query(1, "alias.lab"));
    lab.open(0);
    assert_eq!(lab.forwarded.len(), 1);
    lab.answer_all();
    let mut questions: Vec<usize> = lab.responses.iter().map(|it| usize::from(it[12])).collect();
    questions.sort_unstable();
    assert_eq!(
        questions,
        [3, 5],
        "one each, none for the query that came again"
    );
    assert_eq!(lab.count(Count::QueriesRepeated), 1);
}

#[test]
fn an_alias_whose_target_has_no_answer_fails_as_the_target_does() {
    let mut lab = lab();
    lab.ask("alias.lab");
    lab.open(0);
    respond_with(&mut lab, 3, [&[], &[soa(300, 300)], &[]]);
    let missing = taken(&mut lab);
    let types: Vec<u16> = missing.records.iter().map(|it| it.rtype).collect();
    assert_eq!(
        (missing.rcode(), types),
        (3, vec![CNAME, 6]),
        "RFC 6604 section 2.1"
    );
    lab.send(&query_for(1, "alias.lab", AAAA).with_edns());
    while !lab.forwarded.is_empty() {
        let forwarded = lab.next_forwarded();
        lab.answer_with_rcode(&forwarded, 2);
    }
    lab.pass(5 * SECOND);
    let failed = taken(&mut lab);
    assert!(failed.question.starts_with(b"\x05alias\x03lab\0"));
    assert_eq!((failed.rcode(), failed.records.len()), (2, 0));
    assert_eq!(failed.option_codes(), [EDE], "the reason is there");
    lab.expect_idle();
}

#[test]
fn an_alias_to_a_name_of_special_use_is_answered_here() {
    let mut lab = lab();
    lab.ask("special.lab");
    let answer = taken(&mut lab);
    assert_eq!(answer.records[1].rdata, [127, 0, 0, 1]);
    lab.send(&query_for(1, "special.lab", TXT));
    let denied = taken(&mut lab);
    assert_eq!(
        (
            denied.rcode(),
            denied.records[0].rtype,
            denied.records[1].rtype
        ),
        (0, CNAME, 6)
    );
    assert!(lab.openings.is_empty());
}

#[test]
fn a_chain_behind_an_alias_is_whole_and_its_names_are_read_right() {
    let mut lab = lab();
    lab.ask("alias.lab");
    lab.open(0);
    let target = wire_name("cdn.example.net");
    let sections = [
        record(QNAME, CNAME, 300, &target),
        record(&target, A, 300, &[192, 0, 2, 7]),
    ];
    respond_with(&mut lab, 0, [&sections, &[], &[]]);
    let answer = taken(&mut lab);
    let types: Vec<u16> = answer.records.iter().map(|it| it.rtype).collect();
    assert_eq!(types, [CNAME, CNAME, A]);
    assert_eq!(answer.records[2].rdata, [192, 0, 2, 7]);
}

#[test]
fn the_proof_that_home_arpa_is_not_signed_is_still_its_parents() {
    let mut builder = LocalDataBuilder::new();
    builder
        .add(&wire_name("home.arpa"), A, 60, &[10, 0, 0, 1], 0)
        .unwrap();
    let local = Some(Arc::new(builder.finish(7, 30).unwrap()));
    let mut lab = Lab::with(Settings {
        local,
        ..settings(1)
    });
    lab.ask("home.arpa");
    assert_eq!(taken(&mut lab).records.len(), 1);
    lab.send(&query_for(1, "home.arpa", 43));
    lab.open(0);
    assert_eq!(lab.forwarded.len(), 1);
    lab.answer_all();
    // Local data comes before the names of special use, and those stay what they are.
    lab.responses.clear();
    lab.ask("x.home.arpa");
    assert_eq!(taken(&mut lab).rcode(), 3);
}
