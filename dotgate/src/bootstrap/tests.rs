//! What is used of an answer, what is kept, and in which order addresses are tried. Sockets are in `tests/`.

use std::net::{Ipv4Addr, Ipv6Addr};

use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::{MessageBuilder, Ttl};
use domain::rdata::{A, Aaaa, Cname};

use super::lookup::Outcome;
use super::message::{LookupResponse, Query};
use super::*;

const FIRST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const SIXTH: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 6);

fn name(text: &str) -> Name<Vec<u8>> {
    text.parse().unwrap()
}

fn query() -> Query {
    Query::new(7, &name("dns.test"), Rtype::A).unwrap()
}

/// An answer to `query()` with aliases, then addresses, each with a TTL.
fn answer(aliases: &[(&str, &str, u32)], addresses: &[(&str, Ipv4Addr, u32)]) -> Vec<u8> {
    let message = domain::base::Message::from_octets(query().as_bytes().to_vec()).unwrap();
    let builder = MessageBuilder::new_vec();
    let mut answer = builder.start_answer(&message, Rcode::NOERROR).unwrap();
    for (owner, target, ttl) in aliases {
        let data = Cname::new(name(target));
        answer
            .push((name(owner), Ttl::from_secs(*ttl), data))
            .unwrap();
    }
    for (owner, address, ttl) in addresses {
        let record = (name(owner), Ttl::from_secs(*ttl), A::new(*address));
        answer.push(record).unwrap();
    }
    answer.finish()
}

fn found(addresses: &[Ipv4Addr], seconds: u64) -> Option<LookupResponse<Found>> {
    Some(LookupResponse::Found(Found {
        addresses: addresses.iter().map(|ip| IpAddr::from(*ip)).collect(),
        left_out: 0,
        ttl: Duration::from_secs(seconds),
    }))
}

#[test]
fn aliases_are_followed_inside_the_answer_in_any_order() {
    let aliases = [("b.test", "c.test", 90), ("dns.test", "B.test", 300)];
    let addresses = [("C.test", FIRST, 200), ("c.test", SECOND, 400)];
    let bytes = answer(&aliases, &addresses);
    assert_eq!(
        query().read_with(&bytes, Query::addresses),
        found(&[FIRST, SECOND], 90)
    );
}

#[test]
fn addresses_of_other_names_and_addresses_that_are_none_are_left() {
    let bytes = answer(
        &[],
        &[
            ("other.test", SECOND, 1),
            ("dns.test", FIRST, 80),
            ("dns.test", Ipv4Addr::UNSPECIFIED, 1),
            ("dns.test", Ipv4Addr::BROADCAST, 1),
            ("dns.test", Ipv4Addr::new(224, 0, 0, 1), 1),
        ],
    );
    assert_eq!(
        query().read_with(&bytes, Query::addresses),
        found(&[FIRST], 80)
    );
    let bytes = answer(
        &[("dns.test", "elsewhere.test", 60)],
        &[("dns.test", FIRST, 60)],
    );
    assert_eq!(query().read_with(&bytes, Query::addresses), found(&[], 60));
    let circle = [("dns.test", "b.test", 60), ("b.test", "dns.test", 60)];
    let bytes = answer(&circle, &[("dns.test", FIRST, 60)]);
    assert_eq!(query().read_with(&bytes, Query::addresses), found(&[], 60));
}

#[test]
fn of_very_many_addresses_32_are_taken_and_the_others_counted() {
    let many: Vec<(&str, Ipv4Addr, u32)> = (0..40)
        .map(|last| ("dns.test", Ipv4Addr::new(192, 0, 2, last), 60))
        .collect();
    let Some(LookupResponse::Found(found)) =
        query().read_with(&answer(&[], &many), Query::addresses)
    else {
        panic!("addresses are found");
    };
    assert_eq!((found.addresses.len(), found.left_out), (32, 8));
}

#[test]
fn only_an_answer_to_the_question_is_read() {
    let right = answer(&[], &[("dns.test", FIRST, 60)]);
    assert_eq!(
        query().read_with(&right, Query::addresses),
        found(&[FIRST], 60)
    );
    let changed = |at: usize, byte: u8| {
        let mut bytes = right.clone();
        bytes[at] = byte;
        query().read_with(&bytes, Query::addresses)
    };
    assert_eq!(changed(1, 8), None, "another ID");
    assert_eq!(changed(2, 0x01), None, "a query");
    assert_eq!(changed(2, 0xa1), None, "another opcode");
    assert_eq!(changed(13, b'x'), None, "another name");
    assert_eq!(changed(23, 28), None, "another type");
    assert_eq!(changed(25, 3), None, "another class");
    assert_eq!(changed(7, 2), None, "a record less than announced");
    assert_eq!(
        query().read_with(&right[..11], Query::addresses),
        None,
        "no header"
    );
    let refused = Some(LookupResponse::Rcode(Rcode::REFUSED));
    assert_eq!(changed(3, 0x85), refused);
    assert_eq!(changed(2, 0x83), Some(LookupResponse::Truncated));
}

#[test]
fn addresses_of_another_class_are_left() {
    let mut bytes = answer(&[], &[("dns.test", FIRST, 60)]);
    let class_at = bytes.len() - 4 - 2 - 4 - 1;
    assert_eq!(bytes[class_at], Class::IN.to_int() as u8);
    bytes[class_at] = Class::CH.to_int() as u8;
    assert!(
        matches!(query().read_with(&bytes, Query::addresses), Some(LookupResponse::Found(found)) if found.addresses.is_empty())
    );
}

fn ok(addresses: &[IpAddr], seconds: u64) -> Result<Found, LookupError> {
    Ok(Found {
        addresses: addresses.to_vec(),
        left_out: 0,
        ttl: Duration::from_secs(seconds),
    })
}

fn timed_out() -> Result<Found, LookupError> {
    Err(LookupError {
        resolver: None,
        fault: LookupFault::TimedOut,
    })
}

#[test]
fn last_good_addresses_are_retained_family_by_family() {
    let (four, six) = (IpAddr::from(FIRST), IpAddr::from(SIXTH));
    let other = IpAddr::from(SECOND);
    let mut known = Known::default();
    let mut renew = |ipv4, ipv6| {
        let outcome = known.renew(Outcome { ipv4, ipv6 });
        let addresses: Vec<IpAddr> = known.ipv4.iter().chain(&known.ipv6).copied().collect();
        let outcome = outcome.map(|ttl| ttl.as_secs());
        (outcome.map_err(|problem| problem.fault), addresses)
    };
    let failed = |fault| Err(fault);
    assert_eq!(
        renew(timed_out(), timed_out()),
        (failed(LookupFault::TimedOut), vec![])
    );
    assert_eq!(
        renew(timed_out(), ok(&[], 5)),
        (failed(LookupFault::TimedOut), vec![])
    );
    let nothing = (failed(LookupFault::NoAddress), vec![]);
    assert_eq!(renew(ok(&[], 5), ok(&[], 5)), nothing);
    assert_eq!(
        renew(ok(&[four], 70), ok(&[six], 90)),
        (Ok(70), vec![four, six])
    );
    assert_eq!(
        renew(ok(&[other], 70), timed_out()),
        (Ok(0), vec![other, six])
    );
    assert_eq!(renew(ok(&[four], 70), ok(&[], 5)), (Ok(70), vec![four]));
    let expected = (failed(LookupFault::NoAddress), vec![four]);
    assert_eq!(renew(ok(&[], 5), ok(&[], 5)), expected);
    let expected = (failed(LookupFault::TimedOut), vec![four]);
    assert_eq!(renew(timed_out(), timed_out()), expected);
}

#[test]
fn families_take_turns_and_addresses_without_a_route_are_left_out() {
    let known = Known {
        ipv4: vec![FIRST.into(), SECOND.into()],
        ipv6: vec![SIXTH.into()],
    };
    let shown = |has_route: fn(SocketAddr) -> bool| {
        let ordered = known.in_order(853, has_route);
        let texts: Vec<String> = ordered.iter().map(ToString::to_string).collect();
        texts.join(" ")
    };
    let all = "[2001:db8::6]:853 192.0.2.1:853 192.0.2.2:853";
    assert_eq!(shown(|_| true), all);
    assert_eq!(shown(|_| false), all);
    assert_eq!(shown(|to| to.is_ipv4()), "192.0.2.1:853 192.0.2.2:853");
    assert!(has_route((Ipv4Addr::LOCALHOST, 853).into()));
}

#[test]
fn addresses_in_the_form_of_ipv6_are_read() {
    let query = Query::new(7, &name("dns.test"), Rtype::AAAA).unwrap();
    let message = domain::base::Message::from_octets(query.as_bytes().to_vec()).unwrap();
    let builder = MessageBuilder::new_vec();
    let mut answer = builder.start_answer(&message, Rcode::NOERROR).unwrap();
    let owner = name("dns.test");
    answer
        .push((&owner, Ttl::from_secs(60), Aaaa::new(SIXTH)))
        .unwrap();
    answer
        .push((&owner, Ttl::from_secs(9), A::new(FIRST)))
        .unwrap();
    let expected = Found {
        addresses: vec![SIXTH.into()],
        left_out: 0,
        ttl: Duration::from_secs(60),
    };
    assert_eq!(
        query.read_with(&answer.finish(), Query::addresses),
        Some(LookupResponse::Found(expected))
    );
}
