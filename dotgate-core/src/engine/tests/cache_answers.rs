//! Which answers are cached, and how they are served.

use dotgate_message::{
    A, AD, Compose as _, DO, EDE, QNAME, RA, RD, TC, framed, query, query_for, record, response,
};

use super::cache::{cache_settings, edes, with_cache, with_cache_and};
use super::lab::{Lab, SECOND, answer, rcode_of, settings};
use super::message::{Message, address, error_with_ede};
use crate::counters::Count;
use crate::limits;
use crate::settings::{CacheSettings, Settings};

const SOA: u16 = 6;
const AAAA: u16 = 28;
const NXDOMAIN: u16 = 3;

/// The SOA record of the root, with its TTL and MINIMUM.
pub(super) fn soa(ttl: u32, minimum: u32) -> Vec<u8> {
    let mut rdata = vec![0; 18];
    rdata.extend(minimum.to_be_bytes());
    record(&[0], SOA, ttl, &rdata)
}

/// Answers what was asked last with these records.
pub(super) fn respond_with(lab: &mut Lab, flags: u16, sections: [&[Vec<u8>]; 3]) {
    let forwarded = lab.next_forwarded();
    let message = response(&forwarded.message, RD | RA | flags, sections);
    lab.respond(forwarded.session, &message);
}

/// The only response since the last call.
pub(super) fn taken(lab: &mut Lab) -> Message {
    assert_eq!(lab.responses.len(), 1);
    Message::read(&lab.responses.remove(0))
}

#[test]
fn addresses_from_the_cache_take_turns_unless_the_setting_says_otherwise() {
    for rotates_addresses in [true, false] {
        let cache = CacheSettings {
            rotates_addresses,
            ..cache_settings()
        };
        let mut lab = with_cache_and(cache, 1, 1);
        lab.ask("many.example");
        let addresses: Vec<_> = (1..=4).map(address).collect();
        respond_with(&mut lab, 0, [&addresses, &[], &[]]);
        let mut firsts = Vec::new();
        for _ in 0..40 {
            lab.responses.clear();
            lab.ask("many.example");
            let seen = taken(&mut lab);
            assert_eq!(seen.records.len(), 4);
            firsts.push(seen.records[0].rdata.clone());
        }
        firsts.sort();
        firsts.dedup();
        assert_eq!(firsts.len(), if rotates_addresses { 4 } else { 1 });
        assert!(lab.forwarded.is_empty());
    }
}

/// A cache whose NXDOMAIN answers for all types.
fn sharing() -> CacheSettings {
    CacheSettings {
        nxdomain_all_types: true,
        ..cache_settings()
    }
}

#[test]
fn a_negative_response_answers_the_type_that_it_was_asked_for_and_no_other() {
    // DS and NSEC3, which belong to the parent and to DNSSEC, old and unknown types, and those that load balancers deny.
    for qtype in [43, 50, 25, 48, 65, AAAA, SOA, 255, 65_280] {
        for rcode in [NXDOMAIN, 0] {
            let mut lab = with_cache(1, 1);
            let asking = query_for(1, "dual.example", qtype);
            lab.send(&asking);
            respond_with(&mut lab, rcode, [&[], &[soa(300, 300)], &[]]);
            assert_eq!(taken(&mut lab).rcode(), rcode);
            lab.ask("dual.example");
            lab.answer_all();
            assert_eq!(taken(&mut lab).rcode(), 0, "type {qtype}");
            lab.send(&asking);
            assert_eq!(taken(&mut lab).rcode(), rcode, "type {qtype}");
            lab.ask("dual.example");
            assert_eq!(taken(&mut lab).rcode(), 0, "type {qtype}");
            assert!(lab.forwarded.is_empty());
        }
    }
}

#[test]
fn a_negative_response_for_another_type_leaves_stale_data_alone() {
    let mut lab = with_cache(1, 1);
    lab.ask("dual.example");
    lab.answer_all();
    lab.pass(400 * SECOND);
    lab.send(&query_for(1, "dual.example", 43));
    lab.open(0);
    respond_with(&mut lab, NXDOMAIN, [&[], &[soa(300, 300)], &[]]);
    lab.responses.clear();
    lab.ask("dual.example");
    lab.pass(2 * SECOND);
    assert_eq!(taken(&mut lab).rcode(), 0);
}

#[test]
fn nxdomain_is_shared_until_the_setting_says_otherwise() {
    let mut lab = with_cache_and(sharing(), 1, 1);
    lab.ask("gone.example");
    respond_with(&mut lab, NXDOMAIN, [&[], &[soa(300, 300)], &[]]);
    lab.responses.clear();
    lab.send(&query_for(1, "gone.example", AAAA));
    assert_eq!(taken(&mut lab).rcode(), NXDOMAIN);
    let mut settings = Settings::clone(&lab.engine.settings);
    settings.cache.nxdomain_all_types = false;
    lab.reconfigure(settings);
    lab.send(&query_for(1, "gone.example", AAAA));
    assert_eq!((lab.responses.len(), lab.forwarded.len()), (0, 1));
}

#[test]
fn nxdomain_is_cached_for_all_types_by_a_setting_and_no_data_for_its_own() {
    let mut lab = with_cache_and(sharing(), 1, 1);
    lab.ask("gone.example");
    respond_with(&mut lab, NXDOMAIN, [&[], &[soa(300, 300)], &[]]);
    lab.ask("bare.example");
    respond_with(&mut lab, 0, [&[], &[soa(300, 300)], &[]]);
    lab.responses.clear();
    lab.send(&query_for(1, "gone.example", AAAA));
    assert_eq!(taken(&mut lab).rcode(), NXDOMAIN);
    lab.ask("bare.example");
    assert_eq!(taken(&mut lab).rcode(), 0);
    assert!(lab.forwarded.is_empty());
    lab.send(&query_for(1, "bare.example", AAAA));
    assert_eq!(lab.forwarded.len(), 1, "another type may have data");
    lab.answer_all();
    lab.ask("www.gone.example");
    assert_eq!(lab.forwarded.len(), 1, "what lies below is forwarded for");
}

#[test]
fn a_negative_response_is_cached_and_served_as_its_soa_record_and_the_setting_say() {
    let rows = [(300, 60, 60), (60, 300, 60), (86_400, 86_400, 3_600)];
    for (ttl, minimum, lifetime) in rows {
        let mut lab = with_cache(1, 1);
        lab.ask("gone.example");
        respond_with(&mut lab, NXDOMAIN, [&[], &[soa(ttl, minimum)], &[]]);
        lab.responses.clear();
        lab.pass(10 * SECOND);
        lab.ask("gone.example");
        let again = taken(&mut lab);
        assert_eq!((again.records.len(), again.records[0].rtype), (1, SOA));
        assert!(again.records[0].ttl <= ttl.min(3_600) - 10, "{again:?}");
        lab.pass((lifetime - 10) * SECOND);
        lab.ask("gone.example");
        assert_eq!(lab.forwarded.len() + lab.openings.len(), 1, "{lifetime}");
    }
}

#[test]
fn a_negative_response_without_its_soa_record_is_not_cached() {
    let mut lab = with_cache(1, 1);
    for _ in 0..2 {
        lab.ask("gone.example");
        respond_with(&mut lab, NXDOMAIN, [&[], &[], &[]]);
    }
    assert_eq!(lab.rcodes(), [3, 3]);
}

#[test]
fn a_ttl_of_zero_is_for_those_who_wait_at_every_worker_and_for_nobody_else() {
    let mut first = with_cache(1, 2);
    let mut second = Lab::sharing_with(&first);
    first.ask("now.example");
    first.ask("now.example");
    second.ask("now.example");
    let data = record(QNAME, A, 0, &[203, 0, 113, 5]);
    respond_with(&mut first, 0, [&[data], &[], &[]]);
    second.take_flight_messages(&mut first);
    assert_eq!((first.responses.len(), second.responses.len()), (2, 1));
    assert_eq!(taken(&mut second).records[0].ttl, 0);
    second.ask("now.example");
    assert_eq!(second.responses.len(), 0);
    first.ask("now.example");
    assert_eq!(first.responses.len(), 2);
    assert_eq!(second.openings.len(), 1, "it asks");
}

#[test]
fn ttls_stay_within_the_bounds_that_are_set() {
    let cache = CacheSettings {
        ttl_min: 20,
        ttl_max: 60,
        ..cache_settings()
    };
    let mut lab = with_cache_and(cache, 1, 1);
    for (ttl, cached) in [(1, 20), (30, 30), (86_400, 60)] {
        let name = format!("lifetime{ttl}.example");
        lab.ask(&name);
        let data = record(QNAME, A, ttl, &[203, 0, 113, 5]);
        respond_with(&mut lab, 0, [&[data], &[], &[]]);
        lab.responses.clear();
        lab.ask(&name);
        assert_eq!(taken(&mut lab).records[0].ttl, cached);
    }
}

#[test]
fn ad_is_set_for_clients_that_request_it_and_never_with_off_chain_records() {
    let off_chain = record(b"\x05stray\0", A, 300, &[203, 0, 113, 6]);
    for (records, is_cached) in [
        (vec![address(5)], true),
        (vec![address(5), off_chain], false),
    ] {
        let mut lab = with_cache(1, 1);
        lab.ask("a.example");
        respond_with(&mut lab, AD, [&records, &[], &[]]);
        lab.responses.clear();
        lab.send(&query(1, "a.example").with_flags(RD | AD));
        assert_eq!(taken(&mut lab).has(AD), is_cached);
        lab.ask("a.example");
        assert!(!taken(&mut lab).has(AD), "it did not ask for it");
        assert!(lab.forwarded.is_empty());
    }
}

#[test]
fn an_extended_error_is_served_from_the_cache_with_its_source() {
    let mut lab = with_cache(1, 1);
    for _ in 0..2 {
        lab.send(&query(1, "a.example").with_edns());
        if let Some(forwarded) = lab.forwarded.pop() {
            let data = [&4_u16.to_be_bytes()[..], b"forged"].concat();
            let sections: [&[Vec<u8>]; 3] = [&[address(5)], &[], &[]];
            let message =
                response(&forwarded.message, RD | RA, sections).with_options(&[(EDE, &data)]);
            lab.respond(forwarded.session, &message);
        }
        let response = taken(&mut lab).ede();
        assert_eq!(response, Some((4, "from up0: forged".to_owned())));
    }
    lab.send(&query(1, "bogus.example").with_edns());
    let forwarded = lab.next_forwarded();
    let message = error_with_ede(&forwarded.message, 2, 6, "");
    lab.respond(forwarded.session, &message);
    lab.responses.clear();
    lab.send(&query(1, "bogus.example").with_edns());
    assert_eq!(edes(&lab.responses[0]), [6, 13]);
}

#[test]
fn a_stream_gets_whole_from_the_cache_what_udp_gets_cut() {
    let mut lab = with_cache(1, 1);
    let long = record(QNAME, A, 300, &[7; 1_500]);
    lab.ask("long.example");
    respond_with(&mut lab, 0, [&[long], &[], &[]]);
    lab.responses.clear();
    lab.ask("long.example");
    let cut = taken(&mut lab);
    assert!(cut.has(TC) && cut.records.is_empty());
    let stream = lab.connect();
    lab.stream_send(stream, &framed(&query(2, "long.example")));
    let whole = Message::read(&lab.stream_messages()[0]);
    assert!(!whole.has(TC));
    assert_eq!(whole.records[0].rdata, [7; 1_500]);
    assert!(lab.forwarded.is_empty());
}

#[test]
fn an_answer_fetched_without_edns_is_not_cached_for_clients_that_want_signatures() {
    let mut lab = with_cache(1, 1);
    let with_do = query(1, "a.example").with_opt(1_232, DO, &[]);
    lab.send(&with_do);
    let forwarded = lab.next_forwarded();
    lab.respond(
        forwarded.session,
        &response(&forwarded.message, RD | RA | 1, [&[], &[], &[]]),
    );
    let forwarded = lab.next_forwarded();
    assert!(Message::read(&forwarded.message).opt.is_none());
    lab.answer(&forwarded);
    assert_eq!(taken(&mut lab).rcode(), 0);
    lab.send(&with_do);
    assert!(lab.responses.is_empty());
    assert_eq!(lab.forwarded.len(), 1);
}

#[test]
fn stale_data_comes_before_the_failure_where_both_are_due_at_once() {
    let settings = Settings {
        cache: cache_settings(),
        query_deadline: cache_settings().stale_after,
        ..settings(1)
    };
    let mut lab = Lab::with_cache(settings, 1);
    lab.ask("a.example");
    lab.open(0);
    lab.answer_all();
    lab.pass(301 * SECOND);
    lab.responses.clear();
    lab.send(&query(1, "a.example").with_edns());
    lab.pass(2 * SECOND);
    assert_eq!(
        (rcode_of(&lab.responses[0]), edes(&lab.responses[0])),
        (0, vec![3])
    );
    assert_eq!(lab.responses.len(), 1);
    lab.pass(5 * SECOND);
    lab.expect_idle();
}

#[test]
fn on_shutdown_waiters_get_stale_data_or_a_failure_that_is_not_cached() {
    let mut lab = with_cache(1, 1);
    lab.ask("old.example");
    lab.answer_all();
    lab.pass(301 * SECOND);
    lab.responses.clear();
    lab.ask("old.example");
    lab.ask("new.example");
    lab.engine.fail_all(lab.now);
    lab.settle();
    let mut rcodes = lab.rcodes();
    rcodes.sort_unstable();
    assert_eq!(rcodes, [0, 2]);
    lab.expect_idle();
    lab.ask("new.example");
    assert_eq!(lab.engine.load().queries, 1, "it is forwarded again");
}

#[test]
fn a_query_without_rd_gets_nothing_from_the_cache() {
    let mut lab = with_cache(1, 1);
    lab.ask("a.example");
    lab.answer_all();
    lab.responses.clear();
    lab.send(&query(1, "a.example").with_flags(0));
    assert_eq!(taken(&mut lab).rcode(), 5);
}

#[test]
fn without_a_cache_everything_is_asked_for_every_time_and_nothing_is_prefetched() {
    let mut lab = Lab::opened(1);
    for _ in 0..3 {
        lab.ask("a.example");
        let forwarded = lab.next_forwarded();
        lab.respond(forwarded.session, &answer(&forwarded.message, 0));
    }
    assert_eq!(lab.rcodes(), [0, 0, 0]);
    assert_eq!(
        (lab.count(Count::CacheMisses), lab.count(Count::Prefetches)),
        (0, 0)
    );
}

#[test]
fn waiters_for_one_question_and_of_one_client_are_bounded() {
    let settings = Settings {
        cache: cache_settings(),
        queries_max: limits::WAITERS_PER_QUESTION + 100,
        queries_per_client_max: 100,
        ..settings(1)
    };
    let mut lab = Lab::with_cache(settings, 1);
    let mut port = 1_024;
    let mut ask = |lab: &mut Lab, client: usize| {
        port += 1;
        let peer = format!("192.0.2.{}:{port}", client % 250);
        lab.send_from(&peer, &query(1, "same.example"));
    };
    for number in 0..limits::WAITERS_PER_QUESTION {
        ask(&mut lab, number / 100);
    }
    ask(&mut lab, 3);
    assert_eq!(lab.rcodes(), [2], "the client has too many");
    ask(&mut lab, 200);
    assert_eq!(lab.rcodes(), [2, 2], "the question has too many");
    lab.send_from("192.0.2.200:1000", &query(1, "other.example"));
    assert_eq!(lab.responses.len(), 2, "other questions have room");
    lab.open(0);
    lab.answer_all();
    lab.expect_idle();
    ask(&mut lab, 3);
    assert_eq!(lab.rcodes().last(), Some(&0), "it may ask again");
}
