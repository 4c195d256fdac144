//! Local data made of records, and what it says about names.

use std::net::IpAddr;

use dotgate_wire::{Question, Stored, rclass, rcode};
use proptest::prelude::*;

use super::*;
use crate::local::answer::Answered;
pub(in crate::local) use dotgate_message::wire_name as wire;

/// Data of records in the form `NAME TYPE VALUE`, numbered from 0.
fn made(records: &[&str]) -> Result<LocalData, LocalFault> {
    let mut builder = LocalDataBuilder::new();
    for (id, record) in (0..).zip(records) {
        let words: Vec<&str> = record.split(' ').collect();
        let (rtype, rdata) = match words[1] {
            "A" | "AAAA" => match words[2].parse().unwrap() {
                IpAddr::V4(address) => (rtype::A, address.octets().to_vec()),
                IpAddr::V6(address) => (rtype::AAAA, address.octets().to_vec()),
            },
            "CNAME" => (rtype::CNAME, wire(words[2])),
            "PTR" => (rtype::PTR, wire(words[2])),
            "TXT" => (
                rtype::TXT,
                [&[words[2].len() as u8], words[2].as_bytes()].concat(),
            ),
            other => panic!("{other}"),
        };
        builder.add(&wire(words[0]), rtype, 60, &rdata, id)?;
    }
    builder.finish(7, 30)
}

/// What the data says, in a word: `-` for nothing, `>NAME` where it leads, else the RCODE, `+` and how many records.
fn says(data: &LocalData, name: &str, qtype: u16) -> String {
    let question = Question::new(&wire(name), qtype, rclass::IN).unwrap();
    let mut out = Vec::new();
    match data.answer(&mut out, question.as_bytes(), &question) {
        Answered::No => "-".to_owned(),
        Answered::LeadsTo(target) => format!(">{target}"),
        Answered::Whole => {
            let stored = Stored::read(&out).unwrap();
            let answers = u16::from_be_bytes([stored.body()[6], stored.body()[7]]);
            format!("{}+{answers}", stored.rcode())
        }
    }
}

#[test]
fn a_name_with_data_is_answered_for_every_type_and_others_are_not() {
    let data = made(&[
        "nas.lab.example A 192.168.1.10",
        "nas.lab.example A 192.168.1.11",
    ])
    .unwrap();
    assert_eq!(says(&data, "nas.lab.example", rtype::A), "0+2");
    for denied in [
        rtype::AAAA,
        rtype::HTTPS,
        rtype::DS,
        rtype::TXT,
        rtype::CNAME,
        65_280,
    ] {
        assert_eq!(says(&data, "nas.lab.example", denied), "0+0", "{denied}");
    }
    for other in [
        "lab.example",
        "x.nas.lab.example",
        "as.lab.example",
        "example",
        "",
    ] {
        assert_eq!(says(&data, other, rtype::A), "-", "{other}");
    }
    assert_eq!(says(&data, "nas.lab.example", rtype::ANY), "0+2");
}

#[test]
fn the_name_of_an_address_is_the_first_one_unless_a_ptr_record_says_otherwise() {
    let data = made(&[
        "one.example A 192.168.1.10",
        "two.example A 192.168.1.10",
        "three.example A 192.168.1.11",
        "11.1.168.192.in-addr.arpa PTR written.example",
        "six.example AAAA fd00::1",
        "null.example A 0.0.0.0",
        "loop.example A 127.0.0.5",
        "*.wild.example A 192.168.1.12",
    ])
    .unwrap();
    assert_eq!(says(&data, "10.1.168.192.in-addr.arpa", rtype::PTR), "0+1");
    assert_eq!(says(&data, "11.1.168.192.in-addr.arpa", rtype::PTR), "0+1");
    let six = format!("1.{}0.0.d.f.ip6.arpa", "0.".repeat(27));
    assert_eq!(says(&data, &six, rtype::PTR), "0+1");
    for none in ["0.0.0.0", "5.0.0.127", "12.1.168.192"] {
        assert_eq!(
            says(&data, &format!("{none}.in-addr.arpa"), rtype::PTR),
            "-",
            "{none}"
        );
    }
    let question = Question::new(&wire("10.1.168.192.in-addr.arpa"), rtype::PTR, 1).unwrap();
    let mut out = Vec::new();
    data.answer(&mut out, question.as_bytes(), &question);
    assert!(out.ends_with(&wire("one.example")));
}

#[test]
fn a_wildcard_covers_what_has_no_closer_name() {
    // The cases of RFC 4592 section 2.2.1.
    let data = made(&[
        "*.lab.example A 10.0.0.1",
        "*.lab.example TXT any",
        "host.lab.example A 10.0.0.2",
        "a.deep.lab.example A 10.0.0.3",
        "*.sub.lab.example A 10.0.0.4",
    ])
    .unwrap();
    for (name, expected) in [
        ("x.lab.example", "0+1"),
        ("x.y.lab.example", "0+1"),
        ("host.lab.example", "0+1"),
        ("x.host.lab.example", "3+0"),
        ("deep.lab.example", "0+0"),
        ("x.deep.lab.example", "3+0"),
        ("a.deep.lab.example", "0+1"),
        ("sub.lab.example", "0+0"),
        ("x.sub.lab.example", "0+1"),
        ("*.lab.example", "0+1"),
        ("lab.example", "-"),
        ("example", "-"),
        ("x.example", "-"),
    ] {
        assert_eq!(says(&data, name, rtype::A), expected, "{name}");
    }
    assert_eq!(says(&data, "x.lab.example", rtype::TXT), "0+1");
    assert_eq!(says(&data, "x.lab.example", rtype::AAAA), "0+0");
    assert_eq!(says(&data, "host.lab.example", rtype::TXT), "0+0");
}

#[test]
fn cnames_are_followed_into_local_data_and_out_of_it() {
    let data = made(&[
        "www.lab.example CNAME web.lab.example",
        "web.lab.example CNAME host.lab.example",
        "host.lab.example A 10.0.0.1",
        "out.lab.example CNAME www.example.org",
        "*.w.example CNAME out.lab.example",
    ])
    .unwrap();
    assert_eq!(says(&data, "www.lab.example", rtype::A), "0+3");
    assert_eq!(says(&data, "www.lab.example", rtype::AAAA), "0+2");
    assert_eq!(says(&data, "www.lab.example", rtype::CNAME), "0+1");
    assert_eq!(says(&data, "www.lab.example", rtype::ANY), "0+1");
    assert_eq!(
        says(&data, "out.lab.example", rtype::A),
        ">www.example.org. A IN"
    );
    assert_eq!(
        says(&data, "x.w.example", rtype::AAAA),
        ">www.example.org. AAAA IN"
    );
}

#[test]
fn what_cannot_be_served_as_it_is_written_is_refused_with_the_records_at_fault() {
    for (records, fault) in [
        (
            &["a.example A 10.0.0.1", "a.example CNAME b.example"][..],
            LocalFault::CnameAndOther(0, 1),
        ),
        (
            &["a.example CNAME c.example", "a.example CNAME b.example"],
            LocalFault::CnameAndOther(0, 1),
        ),
        (&["a.example CNAME a.example"], LocalFault::LongChain(0)),
        (
            &["b.example CNAME a.example", "a.example CNAME b.example"],
            LocalFault::LongChain(1),
        ),
        (&["*.w.example CNAME x.w.example"], LocalFault::LongChain(0)),
    ] {
        assert_eq!(made(records).err(), Some(fault), "{records:?}");
    }
    let many: Vec<String> = (0..=SET_RECORDS_MAX)
        .map(|n| format!("a.example A 10.0.{}.{}", n >> 8, n & 255))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(made(&many).err(), Some(LocalFault::LargeSet(0)));
    assert!(made(&many[1..]).is_ok());
    // The same record twice is one; a CNAME at the reverse name of an address (RFC 2317) takes its place.
    let twice = made(&[
        "a.example CNAME b.example",
        "a.example CNAME b.example",
        "c.example A 10.0.0.1",
        "1.0.0.10.in-addr.arpa CNAME 1.0-25.0.0.10.in-addr.arpa",
    ]);
    let twice = twice.unwrap();
    assert_eq!(says(&twice, "a.example", rtype::CNAME), "0+1");
    assert_eq!(
        says(&twice, "1.0.0.10.in-addr.arpa", rtype::PTR),
        ">1.0-25.0.0.10.in-addr.arpa. PTR IN"
    );
}

#[test]
fn chains_of_the_longest_length_are_answered_whole() {
    let links: Vec<String> = (0..CNAMES_MAX)
        .map(|n| format!("n{n}.example CNAME n{}.example", n + 1))
        .collect();
    let mut records: Vec<&str> = links.iter().map(String::as_str).collect();
    let last = format!("n{CNAMES_MAX}.example A 10.0.0.1");
    records.push(&last);
    let data = made(&records).unwrap();
    assert_eq!(
        says(&data, "n0.example", rtype::A),
        format!("0+{}", CNAMES_MAX + 1)
    );
}

/// Names of two letters, so that many meet.
fn names() -> impl Strategy<Value = String> {
    proptest::collection::vec("[ab*]", 1..5).prop_map(|labels| labels.join("."))
}

proptest! {
    /// Every name that was added is answered with its records, whatever else was added.
    #[test]
    fn every_record_added_is_found(records in proptest::collection::vec((names(), any::<[u8; 4]>()), 1..40)) {
        let mut builder = LocalDataBuilder::new();
        for (id, (name, address)) in (0..).zip(&records) {
            builder.add(&wire(name), rtype::A, 60, address, id).unwrap();
        }
        let data = builder.finish(1, 1).unwrap();
        for (name, address) in &records {
            let Found::Records(found) = data.find(&Labels::of(&padded(&wire(name)), &mut Starts::new())) else {
                panic!("{name} is not found");
            };
            let set = found.of_type(rtype::A).unwrap();
            let has_it = set.rdata.chunks(6).any(|rdata| rdata[2..] == address[..]);
            prop_assert!(has_it, "{name}");
        }
    }

    /// What is said about any name agrees with a search by the words of RFC 4592 section 3.3.1.
    #[test]
    fn any_name_is_answered_as_a_search_would(records in proptest::collection::vec(names(), 1..12), asked in names()) {
        let mut builder = LocalDataBuilder::new();
        for (id, name) in (0..).zip(&records) {
            builder.add(&wire(name), rtype::TXT, 60, b"\x01x", id).unwrap();
        }
        let data = builder.finish(1, 1).unwrap();
        let expected = searched(&records, &asked);
        prop_assert_eq!(says(&data, &asked, rtype::TXT), expected);
    }
}

fn searched(records: &[String], asked: &str) -> String {
    let has = |name: &str| records.iter().any(|record| record == name);
    if has(asked) {
        return "0+1".to_owned();
    }
    let parents: Vec<&str> = records
        .iter()
        .filter_map(|record| record.strip_prefix("*.").or((record == "*").then_some("")))
        .collect();
    let is_below = |name: &str, parent: &str| {
        parent.is_empty() && !name.is_empty()
            || name.ends_with(&format!(".{parent}")) && !parent.is_empty()
    };
    // A name exists if it is below the parent of a wildcard and has records, or a name below it has.
    let exists = |name: &str| {
        parents.iter().any(|parent| is_below(name, parent))
            && records
                .iter()
                .any(|record| record == name || is_below(record, name))
    };
    if exists(asked) {
        return "0+0".to_owned();
    }
    let mut covered = false;
    let mut ancestor = asked;
    loop {
        ancestor = ancestor.split_once('.').map_or("", |(_, rest)| rest);
        if parents.contains(&ancestor) {
            return if covered { "3+0" } else { "0+1" }.to_owned();
        }
        covered |= exists(ancestor);
        if ancestor.is_empty() {
            return "-".to_owned();
        }
    }
}

#[test]
fn the_reply_code_of_a_chain_is_that_of_its_last_name() {
    // RFC 6604 section 2.1.
    let data = made(&[
        "a.example CNAME x.host.lab.example",
        "*.lab.example A 10.0.0.1",
        "host.lab.example A 10.0.0.2",
    ]);
    assert_eq!(
        says(&data.unwrap(), "a.example", rtype::A),
        format!("{}+1", rcode::NXDOMAIN)
    );
}
