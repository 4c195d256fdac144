//! Responses that are delayed, to be released at once to a forged address (DNSBomb, CVE-2024-33655), counted as the
//! victim sees them.

use std::collections::BTreeMap;

use dotgate_message::{Compose as _, QNAME, RA, RD, framed, query, record, response};

use super::lab::{ForwardedQuery, Lab, MS, SECOND, settings};
use crate::admit::AccessList;
use crate::counters::labels::Limit;
use crate::limits;
use crate::settings::Settings;

/// TXT, which has room for much.
const TXT: u16 = 16;

fn lab_for_attacks() -> Lab {
    Lab::with(Settings {
        queries_max: 20_000,
        queries_per_client_max: 1_000,
        client_memory: 256 << 20,
        ..settings(1)
    })
    .warmed_up()
}

/// Answers with 1,100 bytes of data.
fn answer_long(lab: &mut Lab, forwarded: &ForwardedQuery) {
    let long = record(QNAME, TXT, 300, &[7; 1_100]);
    let message = response(&forwarded.message, RD | RA, [&[long], &[], &[]]);
    lab.respond(forwarded.session, &message);
}

/// The upstream answers others, so that it is not thought to be dead.
fn answer_another_client(lab: &mut Lab, number: u64) {
    let before = std::mem::take(&mut lab.responses);
    lab.send_from(
        "192.0.2.99:1000",
        &query(1, &format!("another{number}.example")),
    );
    if let Some(place) = lab.forwarded.iter().position(|forwarded| {
        let name = forwarded.message.get(13..20);
        name == Some(b"another")
    }) {
        let forwarded = lab.forwarded.remove(place);
        lab.answer(&forwarded);
    }
    lab.responses = before;
}

/// What an attack came to.
struct Toll {
    bytes_in: usize,
    span_ms: u64,
    /// Bytes that left in each millisecond.
    out: BTreeMap<u64, usize>,
    whole: usize,
}

impl Toll {
    fn byte_gain(&self) -> f64 {
        self.out.values().sum::<usize>() as f64 / self.bytes_in as f64
    }

    /// The most that left in ten milliseconds, against what came in ten on average.
    fn pulse_gain(&self) -> f64 {
        let within = |start: u64| {
            self.out
                .range(start..start + 10)
                .map(|(_, bytes)| bytes)
                .sum()
        };
        let pulse: usize = self.out.keys().map(|start| within(*start)).max().unwrap();
        let average = self.bytes_in as f64 * 10.0 / self.span_ms as f64;
        pulse as f64 / average
    }
}

/// `queries` for names of their own come evenly within `span_ms` from one forged address; each is answered when the
/// first has been held for `held_ms`, all at once.
fn attack(lab: &mut Lab, queries: usize, span_ms: u64, held_ms: u64) -> Toll {
    let mut toll = Toll {
        bytes_in: 0,
        span_ms: span_ms.max(held_ms),
        out: BTreeMap::new(),
        whole: 0,
    };
    let mut sent = 0;
    for ms in 0..held_ms + 5_000 {
        if ms == held_ms {
            while !lab.forwarded.is_empty() {
                let forwarded = lab.next_forwarded();
                answer_long(lab, &forwarded);
            }
        }
        while ms < span_ms && sent < queries * (ms as usize + 1) / span_ms as usize {
            let message =
                query((sent % 60_000) as u16, &format!("n{sent}.zone.example")).with_edns();
            toll.bytes_in += message.len();
            lab.send_from(&format!("192.0.2.1:{}", 1_024 + sent % 60_000), &message);
            sent += 1;
        }
        if ms % 100 == 99 {
            answer_another_client(lab, ms);
        }
        let left: usize = lab.responses.iter().map(Vec::len).sum();
        toll.whole += lab.responses.iter().filter(|it| it.len() > 1_000).count();
        lab.responses.clear();
        *toll.out.entry(ms).or_default() += left;
        lab.pass(MS);
    }
    lab.expect_idle();
    toll
}

#[test]
fn deferred_answers_leave_for_one_address_a_few_at_a_time() {
    let mut lab = lab_for_attacks();
    let toll = attack(&mut lab, 8_999, 1_500, 1_600);
    let (bytes, pulse) = (toll.byte_gain(), toll.pulse_gain());
    println!(
        "bytes {bytes:.2}, pulse {pulse:.1}, {} long answers",
        toll.whole
    );
    assert!(bytes <= 4.0, "{bytes}");
    assert!(pulse <= 230.0, "{pulse}");
    assert!((5..1_000).contains(&toll.whole), "{}", toll.whole);
}

#[test]
fn a_thousand_queries_alone_gain_no_more() {
    let mut lab = lab_for_attacks();
    let toll = attack(&mut lab, 1_000, 1_500, 1_600);
    let (bytes, pulse) = (toll.byte_gain(), toll.pulse_gain());
    assert!(bytes <= 4.0, "{bytes}");
    assert!(pulse <= 230.0, "{pulse}");
    assert!(lab.engine.counters().clients().limits(Limit::UdpRelease) > 900);
}

#[test]
fn an_exempt_client_gets_all_its_answers_whole() {
    let mut lab = lab_for_attacks();
    lab.reconfigure(Settings {
        exempt: AccessList::new(["192.0.2.1/32".parse().unwrap()]),
        ..lab.settings.clone()
    });
    let toll = attack(&mut lab, 1_500, 1_500, 1_600);
    assert_eq!(toll.whole, 1_500, "more than the limit, and all at once");
}

#[test]
fn what_comes_after_two_seconds_has_no_records_by_udp_and_all_of_them_by_tcp() {
    let mut lab = lab_for_attacks();
    lab.send(&query(1, "Late.example"));
    let stream = lab.connect();
    lab.stream_send(stream, &framed(&query(2, "late.example")));
    for number in 0..19 {
        lab.pass(100 * MS);
        answer_another_client(&mut lab, number);
    }
    lab.pass(limits::UDP_WAIT_MAX - 1_900 * MS + MS);
    lab.answer_all();
    let cut = &lab.responses[0];
    assert_eq!((cut[1], cut[2] & 0x02, cut[3] & 15), (1, 0x02, 0), "TC");
    assert_eq!(cut[4..12], [0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&cut[12..26], b"\x04Late\x07example\0");
    assert_eq!(lab.stream_messages()[0][7], 1, "one answer");
    lab.responses.clear();
    lab.send(&query(3, "prompt.example"));
    lab.pass(SECOND);
    lab.answer_all();
    assert_eq!(lab.responses[0][2] & 0x02, 0, "a second is no such wait");
}

#[test]
fn a_query_that_comes_again_while_it_waits_is_answered_once() {
    let mut lab = lab_for_attacks();
    for _ in 0..3 {
        // Fewer than are looked up in line, then more.
        for id in 0..20 {
            lab.send_from("192.0.2.1:4000", &query(id, "again.example"));
        }
    }
    lab.send_from("192.0.2.1:4001", &query(0, "again.example"));
    lab.send_from("192.0.2.2:4000", &query(0, "again.example"));
    lab.send_from("192.0.2.1:4000", &query(0, "other.example"));
    assert_eq!(lab.engine.load().queries, 23);
    lab.answer_all();
    assert_eq!(lab.responses.len(), 23);
    lab.send_from("192.0.2.1:4000", &query(0, "again.example"));
    lab.answer_all();
    assert_eq!(
        lab.responses.len(),
        24,
        "once answered it may be forwarded again"
    );
    lab.expect_idle();
}
