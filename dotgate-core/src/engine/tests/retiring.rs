//! Connections that have had their number of queries or reached their age: what was asked is answered, then they end.

use std::num::NonZeroU32;

use dotgate_message::{Compose as _, KEEPALIVE, framed, query};

use super::lab::{Lab, MS, SECOND, settings};
use super::message::Message;
use crate::counters::labels::StreamEnd;
use crate::settings::Settings;
use crate::stream::StreamKind;

const LOCAL: &str = "app.localhost";

fn with_total(total: u32) -> Lab {
    Lab::with(Settings {
        stream_queries_total: NonZeroU32::new(total),
        ..settings(1)
    })
}

fn asking(id: u16) -> Vec<u8> {
    framed(&query(id, LOCAL).with_options(&[(KEEPALIVE, &[])]))
}

/// The idle timeouts that responses advertise.
fn timeouts(messages: &[Vec<u8>]) -> Vec<u16> {
    let of = |message: &Vec<u8>| {
        let options = Message::read(message).options();
        let timeout = options.iter().find(|(code, _)| *code == KEEPALIVE);
        timeout.map(|(_, data)| u16::from_be_bytes([data[0], data[1]]))
    };
    messages.iter().map(|it| of(it).unwrap()).collect()
}

fn retired(lab: &Lab) -> u64 {
    lab.engine
        .counters()
        .clients()
        .stream_ends(StreamEnd::Retired)
}

#[test]
fn the_last_response_advertises_no_idle_time_and_then_the_connection_ends() {
    let mut lab = with_total(3);
    let stream = lab.connect();
    for id in 0..3 {
        assert!(lab.closed_streams.is_empty());
        lab.stream_send(stream, &asking(id));
    }
    assert_eq!(timeouts(&lab.stream_messages()), [100, 100, 0]);
    assert_eq!(
        (lab.closed_streams.clone(), retired(&lab)),
        (vec![stream], 1)
    );
}

#[test]
fn what_was_sent_before_the_end_is_answered() {
    let mut lab = with_total(3);
    let stream = lab.connect();
    let all: Vec<u8> = (0..10).flat_map(asking).collect();
    let (first, rest) = all.split_at(all.len() - 5);
    lab.stream_send(stream, first);
    assert!(lab.closed_streams.is_empty(), "a part of a query is there");
    lab.stream_send(stream, rest);
    assert_eq!(
        timeouts(&lab.stream_messages()),
        [&[100; 2][..], &[0; 8]].concat()
    );
    assert_eq!(lab.closed_streams, [stream]);
}

#[test]
fn a_connection_waits_for_what_is_in_flight_and_is_read_no_more_after_two_seconds() {
    let mut lab = with_total(2).warmed_up();
    let stream = lab.connect();
    for id in 0..4 {
        lab.stream_send(stream, &framed(&query(id, &format!("n{id}.example"))));
    }
    assert_eq!(lab.forwarded.len(), 4);
    lab.pass(2_000 * MS);
    assert!(!lab.engine.clients().stream_reads(stream));
    lab.stream_send(stream, &framed(&query(9, LOCAL)));
    assert!(lab.stream_messages().is_empty() && lab.closed_streams.is_empty());
    // Nobody answers: at their deadline the four fail, and with them the connection ends.
    lab.pass(3_000 * MS);
    assert_eq!(lab.stream_messages().len(), 4);
    assert_eq!(
        (lab.closed_streams.clone(), retired(&lab)),
        (vec![stream], 1)
    );
}

#[test]
fn an_old_connection_ends_at_once_if_nothing_is_asked_and_after_its_responses_else() {
    let mut lab = Lab::with(Settings {
        stream_age_max: Some(80 * SECOND),
        stream_idle: 600 * SECOND,
        ..settings(1)
    })
    .warmed_up();
    let (idle, busy) = (lab.connect(), lab.connect_from("192.0.2.2").unwrap());
    lab.pass(69 * SECOND);
    assert!(lab.closed_streams.is_empty());
    let mut asked = 0;
    while lab.closed_streams.is_empty() {
        lab.stream_send(busy, &framed(&query(asked, &format!("n{asked}.example"))));
        lab.pass(SECOND);
        asked += 1;
    }
    assert!(asked <= 11, "80 s at most: {asked}");
    assert_eq!(lab.closed_streams, [idle]);
    lab.pass(5 * SECOND);
    assert_eq!(lab.closed_streams, [idle, busy]);
    assert_eq!(
        (lab.stream_messages().len(), retired(&lab)),
        (usize::from(asked), 2)
    );
}

#[test]
fn a_connection_over_quic_ends_once_its_responses_are_acknowledged() {
    let mut lab = with_total(2);
    let stream = lab.connect_by(StreamKind::Doq, "192.0.2.1").unwrap();
    lab.engine
        .clients_mut()
        .stream_secured(lab.now, stream, false);
    for id in 0..2 {
        let message = query(id, LOCAL);
        lab.engine.stream_message(lab.now, stream, None, &message);
    }
    // The driver has both responses, and the client has acknowledged neither.
    let output = lab.engine.clients_mut().stream_output(stream).unwrap();
    let bytes = output.len();
    output.clear();
    lab.engine.stream_wrote(lab.now, stream, 0, bytes);
    assert_eq!(lab.engine.load().streams, 1);
    lab.engine.stream_wrote(lab.now, stream, bytes, 0);
    lab.settle();
    assert_eq!(
        (lab.closed_streams.clone(), retired(&lab)),
        (vec![stream], 1)
    );
}

#[test]
fn an_old_connection_over_quic_ends_once_its_responses_are_acknowledged() {
    let mut lab = Lab::with(Settings {
        stream_age_max: Some(80 * SECOND),
        doq_idle: 600 * SECOND,
        ..settings(1)
    });
    let stream = lab.connect_by(StreamKind::Doq, "192.0.2.1").unwrap();
    let clients = lab.engine.clients_mut();
    clients.stream_secured(lab.now, stream, false);
    lab.pass(69 * SECOND);
    for asked in 1.. {
        assert!(asked <= 12, "80 s at most");
        let message = query(asked, LOCAL);
        lab.engine.stream_message(lab.now, stream, None, &message);
        let output = lab.engine.clients_mut().stream_output(stream).unwrap();
        let bytes = output.len();
        output.clear();
        // Its client has not acknowledged the response when the time comes.
        lab.engine.stream_wrote(lab.now, stream, 0, bytes);
        lab.now = lab.now + SECOND;
        lab.engine.on_timeout(lab.now);
        let is_leaving = lab.engine.clients().stream_is_leaving(stream);
        assert_eq!(lab.engine.load().streams, 1);
        lab.engine.stream_wrote(lab.now, stream, bytes, 0);
        if is_leaving {
            break;
        }
    }
    lab.settle();
    assert_eq!(
        (lab.closed_streams.clone(), retired(&lab)),
        (vec![stream], 1)
    );
}

#[test]
fn a_driver_that_speaks_http_hears_of_it_and_the_connection_stays_until_it_has_ended() {
    let mut lab = with_total(2);
    let stream = lab.connect_by(StreamKind::Doh, "192.0.2.1").unwrap();
    lab.engine
        .clients_mut()
        .stream_secured(lab.now, stream, false);
    for id in 0..3 {
        assert_eq!(lab.engine.clients().stream_is_leaving(stream), id == 2);
        let message = query(id, LOCAL);
        lab.engine.stream_message(lab.now, stream, None, &message);
    }
    lab.settle();
    assert!(lab.closed_streams.is_empty());
    lab.engine.clients_mut().stream_ended(stream);
    lab.settle();
    assert_eq!(
        (lab.closed_streams.clone(), retired(&lab)),
        (vec![stream], 1)
    );
}
