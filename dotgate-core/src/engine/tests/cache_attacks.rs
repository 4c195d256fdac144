//! What somebody may try with a cache: each of these has been a vulnerability of some server.

use dotgate_message::{
    A, CD, Compose as _, ECS, QNAME, RA, RD, TC, query, query_for, record, response,
};

use super::cache::{cache_settings, with_cache, with_cache_and};
use super::cache_answers::{respond_with, soa, taken};
use super::lab::{Lab, MS, SECOND, answer, settings};
use super::message::address;
use crate::flights::FlightMessage;
use crate::limits;
use crate::settings::{CacheSettings, Settings};

const NS: u16 = 2;
const NXDOMAIN: u16 = 3;

/// CVE-2022-30698, CVE-2026-40622: data that outlives its end because somebody goes on asking.
#[test]
fn no_queries_keep_a_name_beyond_its_ttl_and_the_maximum_stale_timer() {
    let cache = CacheSettings {
        stale_max: 60 * SECOND,
        ..cache_settings()
    };
    let mut lab = with_cache_and(cache, 1, 1);
    lab.ask("ghost.example");
    lab.answer_all();
    let born = lab.now;
    let mut last_good = born;
    for _ in 0..200 {
        lab.pass(2 * SECOND);
        lab.responses.clear();
        lab.ask("ghost.example");
        if !lab.openings.is_empty() {
            lab.open(0);
        }
        while !lab.forwarded.is_empty() {
            let forwarded = lab.next_forwarded();
            lab.answer_with_rcode(&forwarded, 2);
        }
        lab.pass(1_900 * MS);
        if lab.rcodes() == [0] {
            last_good = lab.now;
        }
    }
    let lived = last_good.since(born);
    assert!((340..=362).contains(&lived.as_secs()), "{lived:?}");
}

/// Additional records of an answer (MaginotDNS, RFC 2181 section 5.4.1).
#[test]
fn planted_records_answer_no_other_question() {
    let mut lab = with_cache(1, 1);
    lab.ask("a.example");
    let other = b"\x06victim\x07example\0";
    let planted = record(other, A, 300, &[6, 6, 6, 6]);
    let servers = record(b"\x07example\0", NS, 300, b"\x06victim\x07example\0");
    let sections: [&[Vec<u8>]; 3] = [
        &[address(5), planted.clone()],
        &[servers, planted.clone()],
        &[planted],
    ];
    respond_with(&mut lab, 0, sections);
    for question in [
        query(1, "victim.example"),
        query_for(1, "example", NS),
        query_for(1, "victim.example", NS),
    ] {
        lab.responses.clear();
        lab.send(&question);
        assert!(lab.responses.is_empty());
        assert_eq!(lab.forwarded.len(), 1);
        lab.answer_all();
    }
}

#[test]
fn nothing_is_cached_from_an_upstream_that_is_not_authenticated() {
    let mut settings = Settings {
        cache: cache_settings(),
        ..settings(1)
    };
    settings.groups[0].upstreams[0].is_authenticated = false;
    let mut lab = Lab::with_cache(settings, 1);
    lab.ask("a.example");
    lab.open(0);
    for _ in 0..2 {
        lab.answer_all();
        lab.ask("a.example");
        assert_eq!(lab.forwarded.len(), 1);
    }
}

/// DNSpooq, CVE-2020-25684 and its like: what is taken for an answer and is none.
#[test]
fn wrong_and_late_responses_are_not_cached() {
    let mut lab = with_cache(1, 1);
    lab.ask("a.example");
    let forwarded = lab.next_forwarded();
    let mut wrong = answer(&query(1, "b.example"), 0);
    wrong[..2].copy_from_slice(&forwarded.id.to_be_bytes());
    lab.respond(forwarded.session, &wrong);
    assert!(lab.responses.is_empty());
    lab.ask("b.example");
    assert_eq!(lab.forwarded.len(), 1, "the answer to b in response to a");
    lab.answer_all();
    lab.pass(1_400 * MS);
    lab.responses.clear();
    let session = forwarded.session;
    lab.pass(3 * SECOND);
    assert_eq!(lab.rcodes(), [2]);
    lab.pass(2 * SECOND);
    lab.respond(session, &answer(&forwarded.message, 0));
    lab.responses.clear();
    lab.ask("a.example");
    assert!(lab.responses.is_empty(), "the late one was not cached");
}

/// Two questions whose flights have the same hash: the flight message of one is no answer to the other.
#[test]
fn a_flight_message_about_another_question_answers_nothing() {
    let mut first = with_cache(1, 2);
    let mut second = Lab::sharing_with(&first);
    for name in ["a.example", "b.example"] {
        first.ask(name);
        second.ask(name);
    }
    first.answer_all();
    let mut messages: Vec<FlightMessage> = first
        .messages
        .drain(..)
        .map(|(_, message)| message)
        .collect();
    let [
        FlightMessage::Answered { bytes: one, .. },
        FlightMessage::Answered { bytes: other, .. },
    ] = &mut messages[..]
    else {
        panic!("{messages:?}");
    };
    std::mem::swap(one, other);
    for message in messages {
        second.engine.on_flight_message(second.now, message);
    }
    second.settle();
    assert!(second.responses.is_empty());
}

/// A name that points at the type in the question would be another one for another type.
#[test]
fn nxdomain_that_hangs_on_the_type_asked_for_is_of_that_type_alone() {
    let mut lab = with_cache(1, 1);
    lab.ask("gone.example");
    let mut odd = soa(300, 300);
    // The first byte of the type is zero: the root, but for types above 255.
    let type_at = u8::try_from(12 + b"\x04gone\x07example\0".len()).unwrap();
    odd.splice(..1, [0xc0, type_at]);
    respond_with(&mut lab, NXDOMAIN, [&[], &[odd], &[]]);
    assert_eq!(taken(&mut lab).rcode(), NXDOMAIN);
    lab.send(&query_for(1, "gone.example", 257));
    assert!(lab.responses.is_empty());
    assert_eq!(lab.forwarded.len(), 1);
}

/// NXDOMAIN at the end of an alias speaks of another name.
#[test]
fn nxdomain_behind_an_alias_is_of_its_question_alone() {
    let mut lab = with_cache(1, 1);
    lab.ask("alias.example");
    let alias = record(QNAME, 5, 300, b"\x04gone\x07example\0");
    respond_with(&mut lab, NXDOMAIN, [&[alias], &[soa(300, 300)], &[]]);
    for question in [query_for(1, "alias.example", 28), query(1, "gone.example")] {
        lab.responses.clear();
        lab.send(&question);
        assert!(lab.responses.is_empty());
        lab.answer_all();
    }
}

/// "Rebirthday", CVE-2025-5994: what clients say of subnets neither parts flights nor entries.
#[test]
fn a_clients_subnet_makes_no_other_question() {
    let mut lab = with_cache(1, 1);
    for subnet in 0..20_u8 {
        let option = [0, 1, 24, 0, 203, 0, subnet];
        let peer = format!("192.0.2.{subnet}:1000");
        lab.send_from(
            &peer,
            &query(1, "a.example").with_options(&[(ECS, &option)]),
        );
    }
    assert_eq!(lab.forwarded.len(), 1);
    lab.answer_all();
    assert_eq!(lab.responses.len(), 20);
    lab.send(&query(1, "a.example").with_options(&[(ECS, &[0, 1, 8, 0, 10])]));
    assert!(lab.forwarded.is_empty());
}

/// RFC 6840 section 5.9: a validating client does not get what others could not have.
#[test]
fn a_failure_without_cd_is_none_for_who_checks_for_itself() {
    let mut lab = with_cache(1, 1);
    lab.ask("bogus.example");
    let forwarded = lab.next_forwarded();
    lab.answer_with_rcode(&forwarded, 2);
    lab.send(&query(1, "bogus.example").with_flags(RD | CD));
    assert_eq!(lab.forwarded.len(), 1);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [2, 0]);
    lab.ask("bogus.example");
    assert_eq!(
        lab.rcodes(),
        [2, 0, 2],
        "nor is its data response to others"
    );
}

/// CVE-2024-25590, CVE-2023-2828: a cache that is filled with names nobody asks twice.
#[test]
fn a_flood_of_random_names_leaves_popular_names_where_they_are() {
    let mut lab = with_cache(1, 1);
    let popular: Vec<String> = (0..20).map(|n| format!("popular{n}.example")).collect();
    for _ in 0..3 {
        for name in &popular {
            lab.ask(name);
            lab.answer_all();
        }
    }
    let mut hits = 0;
    for number in 0..15_000 {
        lab.ask(&format!("{number:x}.random.example"));
        lab.answer_all();
        if number % 10 == 0 {
            lab.ask(&popular[number / 10 % popular.len()]);
            hits += usize::from(lab.forwarded.is_empty());
            lab.answer_all();
        }
        lab.responses.clear();
    }
    assert_eq!(hits, 1_500);
}

/// DNSBomb, CVE-2024-33655: delayed responses must not be released as a pulse of any size.
#[test]
fn deferred_answers_of_one_client_are_bounded() {
    let mut lab = Lab::with_cache(
        Settings {
            cache: cache_settings(),
            queries_per_client_max: 50,
            ..settings(1)
        },
        1,
    );
    for number in 0..500_u16 {
        lab.send(&query(number, "slow.example"));
    }
    assert_eq!(lab.responses.len(), 450, "turned away at once");
    lab.responses.clear();
    lab.open(0);
    lab.answer_all();
    assert_eq!(lab.responses.len(), 50);
    assert!(lab.engine.load().queries < limits::WAITERS_PER_QUESTION);
}

/// Nothing of a message with a truncated answer may be cached (RFC 2181 section 9).
#[test]
fn truncated_responses_are_not_cached() {
    let mut lab = with_cache(1, 1);
    lab.ask("a.example");
    let forwarded = lab.next_forwarded();
    let cut = response(&forwarded.message, RD | RA | TC, [&[address(5)], &[], &[]]);
    lab.respond(forwarded.session, &cut);
    lab.responses.clear();
    lab.pass(2 * SECOND);
    lab.forwarded.clear();
    lab.ask("a.example");
    assert!(!lab.rcodes().contains(&0));
}
