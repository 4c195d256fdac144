//! DNS64: names without AAAA records get those made of their A records, and all others what upstreams say.

use std::net::Ipv6Addr;

use dotgate_message::{
    A, AD, CD, Compose as _, DO, QNAME, RD, RRSIG, query_for, record, wire_name,
};
use dotgate_wire::Nat64Prefix;

use super::cache::{cache_settings, edes};
use super::cache_answers::{respond_with, soa, taken};
use super::lab::{Lab, MS, SECOND, settings};
use super::message::{Message, address, error_with_ede};
use crate::counters::labels::Dns64;
use crate::filter::{Filter, Rebinding, Substitute};
use crate::local::LocalDataBuilder;
use crate::nat64::Dns64Prefix;
use crate::settings::Settings;

const CNAME: u16 = 5;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;

fn prefix(address: &str) -> Option<Dns64Prefix> {
    let prefix = Nat64Prefix::new(address.parse().unwrap(), 96).unwrap();
    Some(Dns64Prefix::Fixed(prefix))
}

fn with_dns64(upstreams: usize) -> Settings {
    let mut settings = Settings {
        cache: cache_settings(),
        ..settings(upstreams)
    };
    settings.groups[0].dns64 = prefix("64:ff9b::");
    settings.filter.dns64 = settings.groups[0].dns64;
    settings
}

fn lab() -> Lab {
    Lab::with_cache(with_dns64(1), 1).warmed_up()
}

fn aaaa(name: &str) -> Vec<u8> {
    query_for(1, name, AAAA)
}

/// The type that the next question to an upstream asks for.
fn next_type(lab: &Lab) -> u16 {
    let message = &lab.forwarded[0].message;
    let name_end = 13 + message[12..].iter().position(|byte| *byte == 0).unwrap();
    u16::from_be_bytes([message[name_end], message[name_end + 1]])
}

/// Answers a question for AAAA records without any, and that for A records with these.
fn answer_both(lab: &mut Lab, minimum: u32, answers: &[Vec<u8>]) {
    assert_eq!(next_type(lab), AAAA);
    respond_with(lab, 0, [&[], &[soa(minimum, minimum)], &[]]);
    assert_eq!(next_type(lab), A);
    respond_with(lab, AD, [answers, &[], &[]]);
}

fn addresses(message: &Message) -> Vec<(u32, Ipv6Addr)> {
    let of_aaaa = message.records.iter().filter(|it| it.rtype == AAAA);
    of_aaaa
        .map(|it| (it.ttl, <[u8; 16]>::try_from(&it.rdata[..]).unwrap().into()))
        .collect()
}

fn mapped(last: u8) -> Ipv6Addr {
    format!("64:ff9b::203.0.113.{last}").parse().unwrap()
}

fn counted(lab: &Lab) -> [u64; 3] {
    let clients = lab.engine.counters().clients();
    [Dns64::Synthesized, Dns64::NoAddress, Dns64::Reverse].map(|it| clients.dns64(it))
}

#[test]
fn a_name_with_a_records_alone_gets_aaaa_records_which_are_cached() {
    let mut lab = lab();
    // All who wait get the same, each with the name case of its own question.
    lab.send(&aaaa("V4.example"));
    lab.send(&aaaa("v4.example"));
    answer_both(&mut lab, 60, &[address(1), address(2)]);
    let responses = std::mem::take(&mut lab.responses);
    assert_eq!(responses.len(), 2);
    for (response, name) in responses.iter().zip(["V4.example", "v4.example"]) {
        let response = Message::read(response);
        assert_eq!(addresses(&response), [(60, mapped(1)), (60, mapped(2))]);
        assert_eq!(response.question, aaaa(name)[12..]);
        assert!(!response.has(AD), "nothing made here is authentic");
    }
    lab.pass(10 * SECOND);
    lab.send(&aaaa("v4.example"));
    let cached = taken(&mut lab);
    assert_eq!(addresses(&cached), [(50, mapped(1)), (50, mapped(2))]);
    assert!(lab.forwarded.is_empty());
    assert_eq!(counted(&lab), [1, 0, 0]);
    lab.expect_idle();
}

#[test]
fn the_ttl_is_the_lower_one_of_the_a_records_and_the_negative_response() {
    for (minimum, ttl) in [(900, 300), (40, 40)] {
        let mut lab = lab();
        lab.send(&aaaa("v4.example"));
        answer_both(&mut lab, minimum, &[address(1)]);
        assert_eq!(addresses(&taken(&mut lab)), [(ttl, mapped(1))]);
    }
    let mut lab = lab();
    lab.send(&aaaa("v4.example"));
    respond_with(&mut lab, 0, [&[], &[], &[]]);
    let long = record(QNAME, A, 9_000, &[203, 0, 113, 1]);
    respond_with(&mut lab, 0, [&[long], &[], &[]]);
    assert_eq!(addresses(&taken(&mut lab)), [(600, mapped(1))], "no SOA");
}

#[test]
fn a_name_with_aaaa_records_or_without_any_is_asked_once() {
    let mut lab = lab();
    let own = record(QNAME, AAAA, 300, &[0x20; 16]);
    lab.send(&aaaa("v6.example"));
    respond_with(&mut lab, AD, [&[own], &[], &[]]);
    assert_eq!(addresses(&taken(&mut lab)), [(300, [0x20; 16].into())]);
    lab.send(&aaaa("gone.example"));
    respond_with(&mut lab, NXDOMAIN, [&[], &[soa(60, 60)], &[]]);
    assert_eq!(taken(&mut lab).rcode(), NXDOMAIN);
    for (name, qtype) in [("v4.example", A), ("mail.example", 15)] {
        lab.send(&query_for(1, name, qtype));
        respond_with(&mut lab, 0, [&[], &[soa(60, 60)], &[]]);
        assert!(taken(&mut lab).records.iter().all(|it| it.rtype == 6));
    }
    assert!(lab.forwarded.is_empty());
    assert_eq!(counted(&lab), [0; 3]);
}

/// RFC 6147 section 5.1.4.
#[test]
fn ipv4_mapped_addresses_count_as_none() {
    let excluded = |last| {
        let rdata = [&[0; 10][..], &[0xff, 0xff, 203, 0, 113, last]].concat();
        record(QNAME, AAAA, 300, &rdata)
    };
    let mut lab = lab();
    lab.send(&aaaa("mixed.example"));
    let own = record(QNAME, AAAA, 300, &[0x20; 16]);
    respond_with(&mut lab, 0, [&[excluded(1), own], &[], &[]]);
    assert_eq!(addresses(&taken(&mut lab)), [(300, [0x20; 16].into())]);
    lab.send(&aaaa("mapped.example"));
    respond_with(&mut lab, 0, [&[excluded(1)], &[], &[]]);
    assert_eq!(next_type(&lab), A);
    respond_with(&mut lab, 0, [&[address(1)], &[], &[]]);
    assert_eq!(addresses(&taken(&mut lab)), [(300, mapped(1))]);
}

#[test]
fn aliases_stay_in_front_of_what_is_made() {
    let target = wire_name("cdn.example");
    let mut lab = lab();
    lab.send(&aaaa("www.example"));
    let alias = record(QNAME, CNAME, 200, &target);
    respond_with(
        &mut lab,
        0,
        [std::slice::from_ref(&alias), &[soa(90, 90)], &[]],
    );
    let behind = record(&target, A, 300, &[203, 0, 113, 7]);
    respond_with(&mut lab, 0, [&[alias, behind], &[], &[]]);
    let response = taken(&mut lab);
    let types: Vec<_> = response
        .records
        .iter()
        .map(|it| (it.rtype, it.ttl))
        .collect();
    assert_eq!(types, [(CNAME, 200), (AAAA, 90)]);
}

#[test]
fn a_name_without_addresses_has_no_data_and_one_that_fails_fails() {
    let mut lab = lab();
    lab.send(&aaaa("txt.example"));
    respond_with(&mut lab, 0, [&[], &[soa(60, 60)], &[]]);
    respond_with(&mut lab, 0, [&[], &[soa(60, 60)], &[]]);
    let response = taken(&mut lab);
    assert_eq!((response.rcode(), response.records.len()), (0, 1));
    assert_eq!(counted(&lab), [0, 1, 0]);
    lab.send(&aaaa("txt.example"));
    assert_eq!(taken(&mut lab).rcode(), 0, "as cached");
    // No address that the well-known prefix may have.
    lab.send(&aaaa("private.test"));
    answer_both(&mut lab, 60, &[record(QNAME, A, 300, &[10, 0, 0, 1])]);
    let response = taken(&mut lab);
    assert_eq!((response.rcode(), response.records.len()), (0, 0));
    lab.send(&aaaa("broken.example"));
    respond_with(&mut lab, 0, [&[], &[soa(60, 60)], &[]]);
    assert_eq!(next_type(&lab), A);
    respond_with(&mut lab, SERVFAIL, [&[], &[], &[]]);
    assert_eq!(taken(&mut lab).rcode(), SERVFAIL);
    lab.expect_idle();
}

/// RFC 6147 section 5.1.2. What an upstream calls bogus, or has blocked, is no reason to ask on.
#[test]
fn an_error_about_aaaa_records_says_nothing_about_a_records() {
    let mut lab = Lab::with_cache(with_dns64(2), 1).warmed_up();
    lab.send(&aaaa("v4.example"));
    respond_with(&mut lab, SERVFAIL, [&[], &[], &[]]);
    lab.open(1);
    respond_with(&mut lab, SERVFAIL, [&[], &[], &[]]);
    assert_eq!(next_type(&lab), A);
    respond_with(&mut lab, 0, [&[address(1)], &[], &[]]);
    assert_eq!(addresses(&taken(&mut lab)), [(300, mapped(1))]);
    lab.expect_idle();
    for code in [6, 15] {
        let mut lab = Lab::with_cache(with_dns64(2), 1).warmed_up();
        lab.send(&aaaa("stands.example"));
        let forwarded = lab.next_forwarded();
        let error = error_with_ede(&forwarded.message, SERVFAIL, code, "");
        lab.respond(forwarded.session, &error);
        assert_eq!(taken(&mut lab).rcode(), SERVFAIL, "EDE {code}");
        lab.expect_idle();
    }
}

#[test]
fn a_query_whose_a_records_do_not_come_fails_at_its_deadline() {
    let mut lab = lab();
    lab.send(&aaaa("slow.example"));
    lab.pass(100 * MS);
    respond_with(&mut lab, 0, [&[], &[soa(60, 60)], &[]]);
    assert_eq!((next_type(&lab), lab.responses.len()), (A, 0));
    lab.pass(lab.settings.query_deadline - 100 * MS);
    assert_eq!(taken(&mut lab).rcode(), SERVFAIL);
    lab.expect_idle();
}

/// RFC 6147 section 5.5.
#[test]
fn a_client_that_checks_signatures_itself_gets_what_there_is() {
    let signature = record(
        QNAME,
        RRSIG,
        300,
        &[0, 1, 13, 2, 0, 0, 1, 44, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    );
    for (dnssec_ok, flags, is_synthesized) in
        [(DO, RD | CD, false), (DO, RD, true), (0, RD | CD, true)]
    {
        let mut lab = lab();
        lab.send(
            &aaaa("v4.example")
                .with_flags(flags)
                .with_opt(1_232, dnssec_ok, &[]),
        );
        respond_with(&mut lab, flags & CD, [&[], &[soa(60, 60)], &[]]);
        assert_eq!(lab.forwarded.len(), usize::from(is_synthesized));
        if is_synthesized {
            respond_with(&mut lab, AD, [&[address(1), signature.clone()], &[], &[]]);
        }
        let response = taken(&mut lab);
        assert_eq!(addresses(&response).len(), usize::from(is_synthesized));
        assert!(response.records.iter().all(|it| it.rtype != RRSIG));
        assert!(!response.has(AD));
    }
}

#[test]
fn a_records_that_are_cached_are_not_asked_for() {
    let mut lab = lab();
    lab.ask("v4.example");
    respond_with(&mut lab, 0, [&[address(1)], &[], &[]]);
    lab.responses.clear();
    lab.pass(100 * SECOND);
    lab.send(&aaaa("v4.example"));
    lab.open(0);
    respond_with(&mut lab, 0, [&[], &[soa(900, 900)], &[]]);
    assert_eq!(addresses(&taken(&mut lab)), [(200, mapped(1))]);
    assert!(lab.forwarded.is_empty());
    assert_eq!(counted(&lab), [1, 0, 0]);
}

/// RFC 6147 section 5.3.1.
#[test]
fn reverse_names_of_the_prefix_lead_to_those_of_ipv4_addresses() {
    let reverse = |address: &str| {
        let address: Ipv6Addr = address.parse().unwrap();
        let digits = format!("{:032x}", address.to_bits());
        let digits: Vec<_> = digits.chars().rev().map(String::from).collect();
        query_for(1, &format!("{}.ip6.arpa", digits.join(".")), PTR)
    };
    let mut lab = lab();
    let host = record(QNAME, PTR, 300, &wire_name("host.example"));
    lab.send(&reverse("64:ff9b::8.8.4.1"));
    let asked = lab.forwarded[0].message.clone();
    assert_eq!(asked[12..][..22], wire_name("1.4.8.8.in-addr.arpa"));
    respond_with(&mut lab, 0, [std::slice::from_ref(&host), &[], &[]]);
    let response = taken(&mut lab);
    let types: Vec<_> = response.records.iter().map(|it| it.rtype).collect();
    assert_eq!(types, [CNAME, PTR]);
    lab.send(&reverse("64:ff9b::8.8.4.1"));
    assert_eq!(taken(&mut lab).records.len(), 2, "as cached");
    assert_eq!(counted(&lab), [0, 0, 2]);
    lab.send(&reverse("2a00::1"));
    respond_with(&mut lab, 0, [&[host], &[], &[]]);
    assert_eq!(taken(&mut lab).records.len(), 1, "outside the prefix");
    // Local data and names of special use answer for the IPv4 address.
    let mut data = LocalDataBuilder::new();
    data.add(&wire_name("nas.example"), A, 60, &[192, 168, 1, 10], 0)
        .unwrap();
    let local = data.finish(7, 60).unwrap();
    lab.reconfigure(Settings {
        local: Some(local.into()),
        ..Settings::clone(&lab.engine.settings)
    });
    lab.send(&reverse("64:ff9b::192.168.1.10"));
    let types: Vec<_> = taken(&mut lab).records.iter().map(|it| it.rtype).collect();
    assert_eq!(types, [CNAME, PTR]);
    lab.send(&reverse("64:ff9b::192.168.1.11"));
    let response = taken(&mut lab);
    assert_eq!(
        (response.rcode(), response.records[0].rtype),
        (NXDOMAIN, CNAME)
    );
    assert!(lab.forwarded.is_empty());
}

/// What was cached under another setting is not served under the new one.
#[test]
fn a_change_of_the_prefix_holds_at_once() {
    let mut before = with_dns64(1);
    before.groups[0].dns64 = None;
    before.filter.dns64 = None;
    let mut lab = Lab::with_cache(before, 1).warmed_up();
    lab.send(&aaaa("v4.example"));
    respond_with(&mut lab, 0, [&[], &[soa(600, 600)], &[]]);
    assert!(addresses(&taken(&mut lab)).is_empty());
    for (generation, address) in (2..).zip(["64:ff9b::", "2001:db8:64::"]) {
        let mut settings = Settings::clone(&lab.engine.settings);
        settings.filter.generation = generation;
        settings.groups[0].dns64 = prefix(address);
        settings.filter.dns64 = settings.groups[0].dns64;
        lab.reconfigure(settings);
        lab.send(&aaaa("v4.example"));
        answer_both(&mut lab, 600, &[record(QNAME, A, 300, &[203, 0, 113, 1])]);
        let expected = format!("{address}203.0.113.1").parse().unwrap();
        assert_eq!(addresses(&taken(&mut lab)), [(300, expected)]);
    }
    let mut settings = Settings::clone(&lab.engine.settings);
    settings.filter.generation = 4;
    settings.groups[0].dns64 = None;
    settings.filter.dns64 = None;
    lab.reconfigure(settings);
    lab.send(&aaaa("v4.example"));
    respond_with(&mut lab, 0, [&[], &[soa(600, 600)], &[]]);
    assert!(addresses(&taken(&mut lab)).is_empty());
}

/// An address of the prefix is no private one because the prefix is (RFC 4193).
#[test]
fn rebinding_protection_judges_the_a_records() {
    let mut protected = with_dns64(1);
    protected.groups[0].dns64 = prefix("fd00:64::");
    protected.filter = Filter {
        rebinding: Some(Rebinding {
            substitute: Substitute::NxDomain,
            except: None,
        }),
        dns64: protected.groups[0].dns64,
        ..Filter::off()
    };
    let mut lab = Lab::with_cache(protected, 1).warmed_up();
    for _ in 0..2 {
        lab.send(&aaaa("v4.example"));
        if !lab.forwarded.is_empty() {
            answer_both(&mut lab, 60, &[address(1)]);
        }
        let expected = "fd00:64::203.0.113.1".parse().unwrap();
        assert_eq!(addresses(&taken(&mut lab)), [(60, expected)]);
    }
    assert_eq!(counted(&lab), [1, 0, 0], "and then from the cache");
    lab.send(&aaaa("rebind.example").with_edns());
    answer_both(&mut lab, 60, &[record(QNAME, A, 300, &[192, 168, 1, 1])]);
    assert_eq!(edes(&lab.responses[0]), [17]);
    assert_eq!(taken(&mut lab).rcode(), NXDOMAIN);
}

#[test]
fn another_worker_that_asks_the_same_gets_what_the_first_one_made() {
    let mut leader = Lab::with_cache(with_dns64(1), 2).warmed_up();
    let mut follower = Lab::sharing_with(&leader);
    leader.send(&aaaa("v4.example"));
    follower.send(&aaaa("v4.example"));
    answer_both(&mut leader, 60, &[address(1)]);
    follower.take_flight_messages(&mut leader);
    assert_eq!(addresses(&taken(&mut follower)), [(60, mapped(1))]);
    assert!(follower.forwarded.is_empty());
    assert_eq!(leader.rcodes(), [0]);
}

/// The name that the next question to an upstream is for.
fn next_name(lab: &Lab) -> Vec<u8> {
    let message = &lab.forwarded[0].message;
    let name_end = 13 + message[12..].iter().position(|byte| *byte == 0).unwrap();
    message[12..name_end].to_ascii_lowercase()
}

fn with_discovery() -> Lab {
    let mut settings = with_dns64(1);
    settings.groups[0].dns64 = Some(Dns64Prefix::Discovered);
    settings.filter.dns64 = settings.groups[0].dns64;
    Lab::with_cache(settings, 1).warmed_up()
}

/// Answers the question by which the prefix is found with this address, and a TTL of five minutes.
fn show_prefix(lab: &mut Lab, address: &str) {
    assert_eq!(next_name(lab), wire_name("ipv4only.arpa"));
    assert_eq!(next_type(lab), AAAA);
    let address: Ipv6Addr = address.parse().unwrap();
    let shown = record(QNAME, AAAA, 300, &address.octets());
    respond_with(lab, 0, [&[shown], &[], &[]]);
}

#[test]
fn the_prefix_of_the_network_is_found_when_it_is_needed_and_again_after_its_ttl() {
    let mut lab = with_discovery();
    lab.send(&aaaa("v6.example"));
    let own = record(QNAME, AAAA, 300, &[0x2a; 16]);
    respond_with(&mut lab, 0, [&[own], &[], &[]]);
    assert_eq!(addresses(&taken(&mut lab)).len(), 1, "it is not needed");
    lab.send(&aaaa("one.example"));
    respond_with(&mut lab, 0, [&[], &[soa(60, 60)], &[]]);
    show_prefix(&mut lab, "2001:db8:64::192.0.0.170");
    assert_eq!(next_name(&lab), wire_name("one.example"));
    respond_with(&mut lab, 0, [&[address(1)], &[], &[]]);
    let made = |prefix: &str| (60, format!("{prefix}203.0.113.1").parse().unwrap());
    assert_eq!(addresses(&taken(&mut lab)), [made("2001:db8:64::")]);
    lab.send(&aaaa("two.example"));
    answer_both(&mut lab, 60, &[address(1)]);
    assert_eq!(addresses(&taken(&mut lab)), [made("2001:db8:64::")]);
    lab.pass(300 * SECOND);
    lab.send(&aaaa("three.example"));
    lab.open(0);
    respond_with(&mut lab, 0, [&[], &[soa(60, 60)], &[]]);
    show_prefix(&mut lab, "64:ff9b::192.0.0.171");
    respond_with(&mut lab, 0, [&[address(1)], &[], &[]]);
    assert_eq!(addresses(&taken(&mut lab)), [made("64:ff9b::")]);
    lab.expect_idle();
}

/// A network without a NAT64, and one where nobody knows.
#[test]
fn without_a_prefix_a_name_has_what_upstreams_say() {
    for rcode in [0, NXDOMAIN, SERVFAIL] {
        let mut lab = with_discovery();
        lab.send(&aaaa("one.example"));
        respond_with(&mut lab, 0, [&[], &[soa(60, 60)], &[]]);
        assert_eq!(next_name(&lab), wire_name("ipv4only.arpa"));
        respond_with(&mut lab, rcode, [&[], &[], &[]]);
        assert_eq!(next_name(&lab), wire_name("one.example"), "{rcode}");
        assert_eq!(next_type(&lab), AAAA);
        respond_with(&mut lab, 0, [&[], &[soa(60, 60)], &[]]);
        let response = taken(&mut lab);
        assert_eq!((response.rcode(), response.records.len()), (0, 1));
        lab.send(&aaaa("two.example"));
        respond_with(&mut lab, 0, [&[], &[soa(60, 60)], &[]]);
        assert!(addresses(&taken(&mut lab)).is_empty(), "asked once");
        assert_eq!(counted(&lab), [0; 3]);
        lab.expect_idle();
    }
}
