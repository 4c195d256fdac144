//! Addresses against the tables of RFC 6052, and responses made of others.

use super::*;
use crate::build::{QNAME, QUESTION, address, message, name, pointer, record, response};
use crate::records::Record;

fn prefix(text: &str) -> Nat64Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Nat64Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
}

fn loaded(message: &[u8]) -> UpstreamResponse {
    let mut answer = UpstreamResponse::new();
    answer.load(message).unwrap();
    answer
}

/// The question of the test messages, but for AAAA.
fn question() -> Vec<u8> {
    let (qname, _) = QUESTION.split_at(QUESTION.len() - AAAA_IN.len());
    [qname, AAAA_IN].concat()
}

fn about_aaaa(flags: u16, sections: [&[Vec<u8>]; 3]) -> UpstreamResponse {
    let mut message = message(flags, sections);
    let end = HEADER_LEN + QUESTION.len();
    message[end - AAAA_IN.len()..end].copy_from_slice(AAAA_IN);
    loaded(&message)
}

fn soa(ttl: u32, minimum: u32) -> Vec<u8> {
    let rdata = [&[0; 18][..], &minimum.to_be_bytes()].concat();
    record(&[0], rtype::SOA, ttl, &rdata)
}

/// Section, type, TTL and RDATA of each record.
fn records(answer: &UpstreamResponse) -> Vec<(Section, u16, u32, Vec<u8>)> {
    let entries = answer.scan.entries.iter();
    let read = |record: &Record| {
        (
            record.rtype,
            record.ttl,
            record.rdata(answer.body()).to_vec(),
        )
    };
    entries
        .map(|entry| {
            let (rtype, ttl, rdata) = read(&entry.record);
            (entry.section, rtype, ttl, rdata)
        })
        .collect()
}

fn synthesized(
    answer: &UpstreamResponse,
    prefix: Nat64Prefix,
    ttl_max: u32,
) -> (UpstreamResponse, usize) {
    let made = answer.synthesized(&question(), prefix, ttl_max);
    let (message, count) = made.unwrap();
    let made = loaded(&message);
    assert_eq!(made.question(), question());
    (made, count)
}

/// RFC 6052 section 2.4.
#[test]
fn addresses_are_those_of_the_table_in_rfc_6052() {
    let v4: Ipv4Addr = "192.0.2.33".parse().unwrap();
    for (text, expected) in [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
        ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
    ] {
        let expected: Ipv6Addr = expected.parse().unwrap();
        let prefix = prefix(text);
        assert_eq!(prefix.embed(v4), Some(expected), "{text}");
        assert_eq!(prefix.extract(expected), Some(v4), "{text}");
        assert_eq!(prefix.to_string(), text);
        assert_eq!(prefix.extract("2001:db9::1".parse().unwrap()), None);
    }
    let outside = "2001:db8:122:344:100:2:2100::".parse().unwrap();
    assert_eq!(prefix("2001:db8:122:344::/64").extract(outside), None);
}

#[test]
fn what_is_no_prefix_of_a_nat64_is_none() {
    for (address, length) in [
        ("64:ff9b::", 95),
        ("64:ff9b::", 128),
        ("64:ff9b::", 0),
        ("64:ff9b::1:0:0", 64),
        ("64:ff9b:0:0:100::", 96),
        ("2001:db8::1", 32),
    ] {
        let made = Nat64Prefix::new(address.parse().unwrap(), length);
        assert_eq!(made, None, "{address}/{length}");
    }
}

/// RFC 6052 section 3.1.
#[test]
fn the_well_known_prefix_has_no_address_that_is_not_global() {
    let own = prefix("2001:db8:64::/96");
    let well_known = prefix("64:ff9b::/96");
    for text in [
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "169.254.1.1",
        "172.31.0.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        let address = text.parse().unwrap();
        assert_eq!(well_known.embed(address), None, "{text}");
        assert!(own.embed(address).is_some(), "{text}");
    }
    // Those of ipv4only.arpa, by which clients find the prefix (RFC 7050 section 2.2), among them.
    for text in [
        "192.0.0.170",
        "192.0.0.171",
        "100.63.0.1",
        "198.17.0.1",
        "223.255.255.1",
    ] {
        assert!(well_known.embed(text.parse().unwrap()).is_some(), "{text}");
    }
}

#[test]
fn a_records_become_aaaa_records_behind_the_aliases_that_lead_to_them() {
    let target = [b"\x03cdn".to_vec(), pointer(16)].concat();
    let signature = |covered: u16| {
        let rdata = [&covered.to_be_bytes()[..], &[0; 16], &[0]].concat();
        record(QNAME, rtype::RRSIG, 60, &rdata)
    };
    let answers = [
        record(QNAME, rtype::CNAME, 900, &target),
        signature(rtype::CNAME),
        record(&name("cdn.example.org"), rtype::A, 300, &[192, 0, 2, 1]),
        record(&name("cdn.example.org"), rtype::A, 300, &[10, 0, 0, 1]),
        signature(rtype::A),
    ];
    let authority = [record(QNAME, rtype::NS, 60, &name("ns.example.org"))];
    let additional = [record(
        &name("ns.example.org"),
        rtype::A,
        60,
        &[192, 0, 2, 9],
    )];
    // With AD, which must not be passed on.
    let answer = loaded(&message(0x81a0, [&answers, &authority, &additional]));
    let (made, count) = synthesized(&answer, prefix("64:ff9b::/96"), 100);
    assert_eq!((count, made.flags().authentic_data()), (1, false));
    assert_eq!(
        made.off_chain_count(),
        0,
        "owners are those of the A records"
    );
    let made = records(&made);
    let types: Vec<_> = made.iter().map(|it| (it.0, it.1, it.2)).collect();
    assert_eq!(
        types,
        [
            (Section::Answer, rtype::CNAME, 900),
            (Section::Answer, rtype::RRSIG, 60),
            (Section::Answer, rtype::AAAA, 100),
            (Section::Authority, rtype::NS, 60),
            (Section::Additional, rtype::A, 60),
        ]
    );
    let mapped: Ipv6Addr = "64:ff9b::192.0.2.1".parse().unwrap();
    assert_eq!(made[2].3, mapped.octets());
    let (made, count) = synthesized(&answer, prefix("2001:db8::/32"), 1_000);
    assert_eq!(
        (count, records(&made)[2].2),
        (2, 300),
        "the TTL of the A records"
    );
}

#[test]
fn a_response_without_a_records_stays_negative_and_an_error_an_error() {
    let answer = loaded(&response([&[], &[soa(60, 30)], &[]]));
    let (made, count) = synthesized(&answer, prefix("64:ff9b::/96"), 600);
    assert_eq!(
        (count, made.rcode(), made.cache_ttl()),
        (0, 0, CacheTtl::Negative(30))
    );
    let missing = loaded(&message(0x8183, [&[], &[soa(60, 30)], &[]]));
    let (made, _) = synthesized(&missing, prefix("64:ff9b::/96"), 600);
    assert_eq!((made.rcode(), records(&made).len()), (rcode::NXDOMAIN, 1));
    let refused = loaded(&message(0x8185, [&[address(1)], &[], &[]]));
    let (made, count) = synthesized(&refused, prefix("64:ff9b::/96"), 600);
    assert_eq!((made.rcode(), count, records(&made).len()), (5, 0, 0));
}

#[test]
fn only_a_response_without_error_about_aaaa_records_lacks_them() {
    let v6 = |bytes: [u8; 16]| record(QNAME, rtype::AAAA, 60, &bytes);
    let mut mapped = [0; 16];
    mapped[10..].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 1]);
    let of_use = v6([0x20; 16]);
    let lacks = |flags, answers: &[Vec<u8>]| {
        let answer = about_aaaa(flags, [answers, &[soa(60, 30)], &[]]);
        (answer.lacks_aaaa(), answer.has_excluded_aaaa())
    };
    assert_eq!(lacks(0x8180, &[]), (true, false));
    assert_eq!(lacks(0x8183, &[]), (false, false), "NXDOMAIN");
    assert_eq!(lacks(0x8182, &[]), (false, false), "SERVFAIL");
    assert_eq!(lacks(0x8380, &[]), (false, false), "cut");
    assert_eq!(lacks(0x8180, std::slice::from_ref(&of_use)), (false, false));
    assert_eq!(lacks(0x8180, &[v6(mapped)]), (true, false));
    let mixed = [v6(mapped), of_use];
    assert_eq!(lacks(0x8180, &mixed), (false, true));
    let about_a = loaded(&response([&[], &[soa(60, 30)], &[]]));
    assert!(!about_a.lacks_aaaa());
    let answer = about_aaaa(0x8180, [&mixed, &[], &[]]);
    let rest = loaded(&answer.without_excluded_aaaa().unwrap());
    assert_eq!(
        records(&rest),
        [(Section::Answer, rtype::AAAA, 60, vec![0x20; 16])]
    );
}

/// RFC 6147 section 5.1.7.
#[test]
fn synthesized_records_live_no_longer_than_the_negative_response() {
    let ttl = |authority: &[Vec<u8>]| about_aaaa(0x8180, [&[], authority, &[]]).synthesis_ttl();
    assert_eq!(ttl(&[soa(60, 30)]), 30);
    assert_eq!(ttl(&[soa(20, 30)]), 20);
    assert_eq!(ttl(&[]), 600);
}

#[test]
fn a_long_response_has_the_names_that_it_had() {
    // Names beyond the reach of a pointer, each of its own and then once more.
    let owner = |n: usize| name(&format!("host-{n}.a-domain-{n}.test"));
    let hosts = |n: usize| record(&owner(n % 600), rtype::A, 300, &[192, 0, 2, 1]);
    let answers: Vec<Vec<u8>> = (0..1_200).map(hosts).collect();
    let answer = loaded(&response([&answers, &[], &[]]));
    let (made, count) = synthesized(&answer, prefix("64:ff9b::/96"), 600);
    assert_eq!(count, 1_200);
    let owners = |answer: &UpstreamResponse| {
        let entries = answer.scan.entries.iter();
        entries.map(|entry| entry.owner.hash).collect::<Vec<_>>()
    };
    assert_eq!(owners(&made), owners(&answer));
}

/// RFC 7050 section 3, with the addresses of RFC 6052 section 2.4.
#[test]
fn the_prefix_is_found_in_the_addresses_of_ipv4only_arpa() {
    for length in LENGTHS {
        let text = match length {
            32 => "2001:db8::/32",
            40 => "2001:db8:100::/40",
            48 => "2001:db8:122::/48",
            56 => "2001:db8:122:300::/56",
            64 => "2001:db8:122:344::/64",
            _ => "2001:db8:122:344::/96",
        };
        for address in IPV4ONLY {
            let made = prefix(text).embed(address).unwrap();
            assert_eq!(Nat64Prefix::of_ipv4only(made), Some(prefix(text)), "{made}");
        }
    }
    for text in [
        "2001:db8::1",
        "64:ff9b::192.0.0.172",
        // Both /32 and /96.
        "2001:db8:c000:aa::c000:aa",
    ] {
        assert_eq!(
            Nat64Prefix::of_ipv4only(text.parse().unwrap()),
            None,
            "{text}"
        );
    }
}
