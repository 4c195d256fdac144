//! What clients cost in memory, and what happens at the limit.

use dotgate_message::{QNAME, RA, RD, framed, query, record, response};

use super::lab::{Lab, MS, settings};
use crate::counters::Count;
use crate::counters::labels::Limit;
use crate::keys::StreamKey;
use crate::limits;
use crate::outbox::Event;
use crate::settings::Settings;

/// The type NULL, whose RDATA may be anything.
const NULL: u16 = 10;

const MIB: usize = 1 << 20;

/// With room for many connections and for this much memory.
fn lab_with(client_memory: usize) -> Lab {
    let mut lab = Lab::with(Settings {
        client_memory,
        streams_max: 10_000,
        streams_per_client_max: 10_000,
        stream_queries_max: 1_000,
        queries_per_client_max: 1_000,
        ..settings(1)
    });
    lab.ask("warm-up");
    lab.open(0);
    lab.answer_all();
    lab.client_reads = false;
    lab
}

impl Lab {
    fn used(&self) -> usize {
        self.memory().used()
    }

    /// Sends one query for this name, which is answered with a record of so many bytes.
    fn ask_long(&mut self, stream: StreamKey, name: &str, bytes: usize) {
        self.stream_send(stream, &framed(&query(1, name)));
        let long = record(QNAME, NULL, 300, &vec![7; bytes]);
        while !self.forwarded.is_empty() {
            let forwarded = self.next_forwarded();
            let sections = [std::slice::from_ref(&long), &[], &[]];
            self.respond(
                forwarded.session,
                &response(&forwarded.message, RD | RA, sections),
            );
        }
    }

    fn limit_hits(&self) -> Vec<(Limit, String)> {
        let hits = self.events.iter().filter_map(|event| {
            if let Event::LimitHit { limit, client, .. } = event {
                Some((*limit, client.to_string()))
            } else {
                None
            }
        });
        hits.collect()
    }
}

#[test]
fn what_connections_and_queries_cost_is_counted_and_given_back() {
    let mut lab = lab_with(64 * MIB);
    let stream = lab.connect();
    assert_eq!(lab.used(), limits::STREAM_BYTES);
    lab.ask_long(stream, "a.example", 60_000);
    let with_response = lab.used();
    assert!((64_000..70_000).contains(&with_response), "{with_response}");
    lab.stream_send(stream, &[0xff, 0xff]);
    lab.stream_send(stream, &[0; 20_000]);
    assert!(lab.used() >= with_response + 20_000, "half a message, too");
    lab.engine.clients_mut().stream_closed(stream);
    assert_eq!(lab.used(), 0);
    lab.ask("waiting.example");
    lab.engine.publish_load();
    assert_eq!(lab.used(), limits::QUERY_BYTES);
    lab.answer_all();
    lab.engine.publish_load();
    assert_eq!(lab.used(), 0);
}

#[test]
fn one_client_that_reads_nothing_gets_half_of_the_memory_and_others_lose_nothing() {
    let mut lab = lab_with(8 * MIB);
    let innocent = lab.connect_from("192.0.2.77").unwrap();
    let mut connections = 0;
    for _ in 0..1_000 {
        let Some(stream) = lab.connect_from("192.0.2.66") else {
            continue;
        };
        connections += 1;
        for n in 0..4 {
            lab.ask_long(stream, &format!("n{n}.example"), 57_000);
        }
        assert!(lab.used() <= 4 * MIB + 300_000, "{}", lab.used());
    }
    assert!((15..100).contains(&connections), "{connections}");
    assert!(lab.closed_streams.is_empty(), "the limit was not reached");
    assert_eq!(
        lab.limit_hits(),
        [(Limit::ClientMemory, "192.0.2.0/24".to_owned())]
    );
    lab.client_reads = true;
    lab.ask_long(innocent, "innocent.example", 57_000);
    assert_eq!(lab.stream_messages().len(), 1);
    lab.client_reads = false;
    lab.pass(limits::STREAM_SHED_STALLED + limits::RELIEF_EVERY);
    assert!(!lab.closed_streams.contains(&innocent));
    assert!(lab.used() < MIB + 300_000, "down to its share, an eighth");
    let again = lab.connect_from("192.0.2.66").unwrap();
    lab.ask_long(again, "again.example", 57_000);
    let response = lab.engine.clients_mut().stream_output(again).unwrap();
    assert!(response.len() > 57_000, "many may share one address");
    lab.pass(2 * limits::STREAM_STALLED);
    assert_eq!(lab.used(), 0);
    lab.expect_idle();
}

#[test]
fn at_the_limit_the_client_that_costs_most_loses_connections() {
    let mut lab = lab_with(8 * MIB);
    let innocent = lab.connect_from("192.0.2.77").unwrap();
    lab.ask_long(innocent, "innocent.example", 20_000);
    let mut of_largest = Vec::new();
    for client in 1..=20 {
        // The first has twice as many connections as each of the others.
        for _ in 0..if client == 1 { 16 } else { 8 } {
            let Some(stream) = lab.connect_from(&format!("192.0.2.{client}")) else {
                continue;
            };
            if client == 1 {
                of_largest.push(stream);
            }
            lab.ask_long(stream, "n.example", 60_000);
            lab.ask_long(stream, "m.example", 60_000);
            assert!(lab.used() <= 8 * MIB + 300_000, "{}", lab.used());
        }
    }
    assert!(!lab.closed_streams.is_empty());
    assert!(of_largest.contains(&lab.closed_streams[0]));
    assert!(!lab.closed_streams.contains(&innocent));
    assert!(
        lab.measured > 0,
        "what the kernel holds was forwarded for first"
    );
    assert_eq!(
        lab.count(Count::StreamsCutOff),
        lab.closed_streams.len() as u64
    );
    let connections = 16 + 19 * 8;
    assert!(lab.measured < connections / 8, "{} times", lab.measured);
    lab.pass(limits::RELIEF_PAUSE);
    assert!(lab.used() <= 8 * MIB);
}

#[test]
fn a_client_that_waits_for_memory_goes_on_when_there_is_some() {
    let mut lab = lab_with(8 * MIB);
    let mut greedy = Vec::new();
    while let Some(stream) = lab.connect_from("192.0.2.66") {
        lab.ask_long(stream, "a.example", 60_000);
        lab.ask_long(stream, "b.example", 60_000);
        greedy.push(stream);
    }
    let last = *greedy.last().unwrap();
    assert!(
        !lab.stream_send(last, &framed(&query(9, "later.example"))),
        "not read"
    );
    assert!(lab.forwarded.is_empty());
    for stream in &greedy[..greedy.len() - 1] {
        lab.engine.clients_mut().stream_closed(*stream);
    }
    lab.pass(limits::RELIEF_EVERY + MS);
    assert_eq!(lab.forwarded.len(), 1, "its query was read");
    assert!(lab.resumed > 0);
}

#[test]
fn a_thousand_queries_for_one_name_cost_its_answer_once_until_it_is_read() {
    let mut lab = lab_with(8 * MIB);
    let stream = lab.connect();
    let burst: Vec<u8> = (0..1_000)
        .flat_map(|id| {
            let mut message = query(0, "one.example");
            message[..2].copy_from_slice(&u16::to_be_bytes(id));
            framed(&message)
        })
        .collect();
    lab.stream_send(stream, &burst);
    let long = record(QNAME, NULL, 300, &[7; 1_900]);
    let forwarded = lab.next_forwarded();
    let message = response(&forwarded.message, RD | RA, [&[long], &[], &[]]);
    lab.respond(forwarded.session, &message);
    assert!(lab.closed_streams.is_empty());
    assert!(lab.used() < 600_000, "{} of 1.9 MB", lab.used());
    let first: Vec<u8> = std::mem::take(lab.engine.clients_mut().stream_output(stream).unwrap());
    lab.stream_bytes.extend_from_slice(&first);
    lab.client_reads = true;
    lab.engine.stream_wrote(lab.now, stream, first.len(), 0);
    lab.settle();
    let messages = lab.stream_messages();
    assert_eq!(messages.len(), 1_000);
    for (id, message) in messages.iter().enumerate() {
        assert_eq!(message[..2], u16::to_be_bytes(id as u16));
        assert_eq!(message[2..], messages[0][2..], "whether it waited or not");
    }
    assert!(lab.closed_streams.is_empty());
    lab.expect_idle();
}

#[test]
fn the_worker_whose_clients_cost_most_is_the_one_to_close_connections() {
    let mut first = Lab::with_cache(
        Settings {
            client_memory: 8 * MIB,
            streams_max: 10_000,
            streams_per_client_max: 10_000,
            ..settings(1)
        },
        2,
    );
    let mut second = Lab::sharing_with(&first);
    for lab in [&mut first, &mut second] {
        lab.client_reads = false;
        lab.ask("warm-up");
        lab.open(0);
        lab.answer_all();
    }
    for client in 1..=100 {
        let lab = if client <= 90 {
            &mut first
        } else {
            &mut second
        };
        let stream = lab.connect_from(&format!("192.0.2.{client}")).unwrap();
        lab.ask_long(stream, "a.example", 60_000);
    }
    assert!(first.used() > 6 * MIB && first.closed_streams.is_empty());
    for client in 101..=200 {
        if let Some(stream) = second.connect_from(&format!("192.0.2.{client}")) {
            second.ask_long(stream, "a.example", 60_000);
        }
    }
    assert!(second.closed_streams.is_empty(), "the other one costs more");
    assert!(second.used() > 8 * MIB);
    first.pass(limits::RELIEF_EVERY);
    assert!(!first.closed_streams.is_empty());
    assert!(first.used() <= 8 * MIB);
}

#[test]
fn an_engine_that_ends_gives_back_what_its_clients_cost() {
    let mut lab = lab_with(8 * MIB);
    let stream = lab.connect();
    lab.ask_long(stream, "a.example", 60_000);
    lab.ask("waiting.example");
    lab.engine.publish_load();
    let memory = lab.memory();
    assert!(memory.used() > 60_000);
    drop(lab);
    assert_eq!(memory.used(), 0);
}
