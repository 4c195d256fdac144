//! What is answered without asking anybody, and what is asked although there is an answer.

use std::time::Duration;

use dotgate_message::{Compose as _, NS, RA, RD, query, query_for, record, response};

use super::lab::{Lab, MS, SECOND, rcode_of, settings};
use crate::counters::Count;
use crate::failure::{ConnectFault, SessionEnd, TlsFault};
use crate::limits;
use crate::settings::{CacheSettings, Settings};

const REFUSED: SessionEnd = SessionEnd::Connect(ConnectFault::Refused);

pub(super) fn cache_settings() -> CacheSettings {
    CacheSettings {
        ttl_min: 0,
        ttl_max: 86_400,
        negative_ttl_max: 3_600,
        failure_ttl_max: 5,
        stale_max: 86_400 * SECOND,
        stale_after: 1_800 * MS,
        prefetch: true,
        nxdomain_all_types: false,
        rotates_addresses: false,
        except: vec![(*b"\x07private\x07example\0").into()],
    }
}

pub(super) fn with_cache(upstreams: usize, workers: usize) -> Lab {
    with_cache_and(cache_settings(), upstreams, workers)
}

pub(super) fn with_cache_and(cache: CacheSettings, upstreams: usize, workers: usize) -> Lab {
    let settings = Settings {
        cache,
        ..settings(upstreams)
    };
    Lab::with_cache(settings, workers).warmed_up()
}

/// The TTL of the one A record of a response to a question with a name of this length.
fn ttl_of(response: &[u8]) -> u32 {
    let question_end = 12 + response[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    u32::from_be_bytes(
        response[question_end + 6..question_end + 10]
            .try_into()
            .unwrap(),
    )
}

/// The INFO-CODEs of the Extended DNS Errors in the OPT record at the end of a response without other options.
pub(super) fn edes(response: &[u8]) -> Vec<u16> {
    let opt = response.windows(3).rposition(|bytes| bytes == [0, 0, 41]);
    let mut rest = &response[opt.unwrap() + 11..];
    let mut codes = Vec::new();
    while let [0, 15, high, low, code_high, code_low, ..] = *rest {
        codes.push(u16::from_be_bytes([code_high, code_low]));
        rest = &rest[4 + usize::from(u16::from_be_bytes([high, low]))..];
    }
    codes
}

#[test]
fn a_question_asked_before_is_answered_without_the_upstream_and_its_ttl_counts_down() {
    let mut lab = with_cache(1, 1);
    lab.ask("a.example");
    lab.answer_all();
    lab.pass(Duration::from_millis(10_900));
    lab.send(&query(77, "A.eXample"));
    assert!(lab.forwarded.is_empty());
    let [first, second] = &lab.responses[..] else {
        panic!("{:?}", lab.responses);
    };
    assert_eq!((ttl_of(first), ttl_of(second)), (300, 290));
    assert_eq!(second[..2], [0, 77]);
    assert_eq!(&second[12..23], b"\x01A\x07eXample\0");
    lab.pass(300 * SECOND);
    lab.ask("a.example");
    assert_eq!(
        lab.forwarded.len() + lab.openings.len(),
        1,
        "it has expired"
    );
}

#[test]
fn dnssec_and_checking_make_other_questions() {
    let mut lab = with_cache(1, 1);
    let with = |dnssec_ok: bool, checking_disabled: bool| {
        let mut message = query(1, "a.example").with_edns();
        message[3] |= u8::from(checking_disabled) << 4;
        let flags_at = message.len() - 4;
        message[flags_at] = u8::from(dnssec_ok) << 7;
        message
    };
    for dnssec_ok in [false, true] {
        for checking_disabled in [false, true] {
            lab.send(&with(dnssec_ok, checking_disabled));
            assert_eq!(lab.forwarded.len(), 1, "{dnssec_ok} {checking_disabled}");
            lab.answer_all();
            lab.send(&with(dnssec_ok, checking_disabled));
            assert!(lab.forwarded.is_empty());
        }
    }
}

#[test]
fn a_stale_answer_is_given_when_the_client_timer_ends_and_refreshed_behind_it() {
    let mut lab = with_cache(1, 1);
    lab.ask("a.example");
    lab.answer_all();
    lab.pass(301 * SECOND);
    lab.responses.clear();
    lab.send(&query(1, "a.example").with_edns());
    lab.open(0);
    lab.pass(1_799 * MS);
    assert!(lab.responses.is_empty());
    lab.pass(MS);
    assert_eq!(lab.responses.len(), 1);
    assert_eq!(ttl_of(&lab.responses[0]), limits::STALE_TTL);
    assert_eq!(edes(&lab.responses[0]), [3]);
    assert_eq!(lab.engine.load().queries, 0);
    assert_eq!(lab.engine.load().questions, 1, "it is refreshed");
    lab.answer_all();
    lab.responses.clear();
    lab.ask("a.example");
    assert_eq!(ttl_of(&lab.responses[0]), 300);
    lab.expect_idle();
}

#[test]
fn while_all_upstreams_are_down_stale_answers_are_given_at_once() {
    let mut lab = with_cache(1, 1);
    lab.ask("a.example");
    lab.answer_all();
    lab.pass(301 * SECOND);
    lab.ask("b.example");
    lab.fail_open(0, REFUSED);
    lab.responses.clear();
    lab.send(&query(1, "a.example").with_edns());
    assert_eq!(edes(&lab.responses[0]), [3]);
    assert_eq!(ttl_of(&lab.responses[0]), limits::STALE_TTL);
}

#[test]
fn a_refresh_that_failed_is_not_tried_again_for_half_a_minute() {
    let mut lab = with_cache(1, 1);
    lab.ask("a.example");
    lab.answer_all();
    lab.pass(301 * SECOND);
    lab.responses.clear();
    lab.ask("a.example");
    lab.open(0);
    let forwarded = lab.next_forwarded();
    lab.answer_with_rcode(&forwarded, 2);
    assert_eq!(lab.rcodes(), [0], "the stale answer");
    lab.ask("a.example");
    assert_eq!(lab.rcodes(), [0, 0]);
    assert!(lab.forwarded.is_empty());
    lab.pass(31 * SECOND);
    lab.ask("a.example");
    assert_eq!(lab.forwarded.len() + lab.openings.len(), 1);
}

#[test]
fn a_failure_is_cached_for_a_second_and_served_as_cached() {
    let mut lab = with_cache(1, 1);
    lab.send(&query(1, "broken.example").with_edns());
    let forwarded = lab.next_forwarded();
    lab.answer_with_rcode(&forwarded, 2);
    lab.send(&query(1, "broken.example").with_edns());
    assert!(lab.forwarded.is_empty());
    assert_eq!(lab.rcodes(), [2, 2]);
    assert_eq!(edes(&lab.responses[1])[1..], [13]);
    lab.pass(SECOND);
    lab.ask("broken.example");
    assert_eq!(lab.forwarded.len(), 1);
}

#[test]
fn the_recovery_of_an_upstream_ends_what_is_remembered_of_failures() {
    let mut lab = with_cache(1, 1);
    lab.pass(10 * SECOND);
    let expired = SessionEnd::Tls(TlsFault::CertificateExpired);
    lab.ask("a.example");
    lab.fail_open(0, expired);
    assert_eq!(lab.rcodes(), [2]);
    lab.pass(limits::TRY_EVERY);
    lab.ask("a.example");
    assert_eq!(lab.rcodes(), [2, 2], "remembered");
    lab.open(0);
    lab.answer_all();
    lab.ask("a.example");
    lab.answer_all();
    assert_eq!(lab.rcodes(), [2, 2, 0]);
}

#[test]
fn what_is_popular_is_asked_for_again_before_it_ends_and_once() {
    let mut lab = with_cache(1, 1);
    lab.ask("a.example");
    lab.answer_all();
    for _ in 0..20 {
        lab.ask("a.example");
    }
    assert!(lab.forwarded.is_empty());
    lab.pass(275 * SECOND);
    lab.responses.clear();
    lab.ask("a.example");
    lab.ask("a.example");
    assert_eq!(lab.responses.len(), 2);
    lab.open(0);
    assert_eq!((lab.forwarded.len(), lab.count(Count::Prefetches)), (1, 1));
    lab.answer_all();
    assert_eq!(lab.responses.len(), 2, "nobody waits for it");
    lab.ask("a.example");
    assert_eq!(ttl_of(&lab.responses[2]), 300);
    lab.expect_idle();
}

#[test]
fn an_answer_that_is_not_cached_removes_the_cached_one() {
    let mut lab = with_cache(1, 1);
    lab.ask("a.example");
    lab.answer_all();
    lab.pass(301 * SECOND);
    lab.ask("a.example");
    lab.open(0);
    let forwarded = lab.next_forwarded();
    let mut answer = super::lab::answer(&forwarded.message, 0);
    let ttl_at = answer.len() - 21;
    answer[ttl_at..ttl_at + 4].fill(0);
    lab.respond(forwarded.session, &answer);
    lab.responses.clear();
    lab.ask("a.example");
    lab.pass(1_800 * MS);
    assert!(lab.responses.is_empty(), "no older answer is given");
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0]);
}

#[test]
fn names_left_out_of_the_cache_are_asked_every_time() {
    let mut lab = with_cache(1, 1);
    for _ in 0..2 {
        lab.ask("a.private.example");
        assert_eq!(lab.forwarded.len(), 1);
        lab.answer_all();
    }
}

#[test]
fn the_root_servers_are_returned_even_before_an_upstream_is_reached() {
    let mut lab = Lab::with_cache(
        Settings {
            cache: cache_settings(),
            ..settings(1)
        },
        1,
    );
    let root = query_for(1, "", NS).with_edns();
    lab.send(&root);
    assert_eq!((rcode_of(&lab.responses[0]), lab.responses[0][7]), (0, 13));
    assert_eq!(edes(&lab.responses[0]), [3]);
    lab.open(0);
    let forwarded = lab.next_forwarded();
    let servers = record(&[0], NS, 300, b"\x01a\0");
    let answer = response(&forwarded.message, RD | RA, [&[servers], &[], &[]]);
    lab.respond(forwarded.session, &answer);
    lab.send(&root);
    assert_eq!(lab.responses[1][7], 1, "what the upstream said");
    assert!(edes(&lab.responses[1]).is_empty());
}

#[test]
fn one_worker_asks_and_all_answer() {
    let mut first = with_cache(1, 2);
    let mut second = Lab::sharing_with(&first);
    first.ask("a.example");
    second.ask("a.example");
    second.ask("a.example");
    assert_eq!((first.forwarded.len(), second.openings.len()), (1, 0));
    first.answer_all();
    second.take_flight_messages(&mut first);
    assert_eq!((first.rcodes(), second.rcodes()), (vec![0], vec![0, 0]));
    second.ask("a.example");
    assert_eq!(second.responses.len(), 3, "from the cache");
    second.expect_idle();
}

#[test]
fn a_leader_that_does_not_report_fails_no_follower() {
    let mut first = with_cache(1, 2);
    let mut second = Lab::sharing_with(&first);
    first.ask("a.example");
    first.pass(3 * SECOND);
    second.now = first.now;
    second.ask("a.example");
    first.pass(SECOND);
    assert_eq!(first.rcodes(), [2]);
    second.pass(SECOND);
    assert_eq!(second.count(Count::Attempts), 0, "it waits for the leader");
    second.take_flight_messages(&mut first);
    second.pass(SECOND);
    second.open_all();
    second.answer_all();
    assert_eq!(second.rcodes(), [0]);
    second.expect_idle();
}

#[test]
fn a_follower_asks_for_itself_when_no_flight_message_comes() {
    let first = {
        let mut first = with_cache(1, 2);
        first.ask("a.example");
        first
    };
    let mut second = Lab::sharing_with(&first);
    second.ask("a.example");
    second.pass(2 * SECOND);
    second.open(0);
    second.answer_all();
    assert_eq!(second.rcodes(), [0]);
    second.expect_idle();
}
