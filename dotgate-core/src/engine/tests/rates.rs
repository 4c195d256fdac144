//! Clients above their rates: a bucket of two seconds, TC or no response over UDP, REFUSED over connections.

use std::num::NonZeroU32;

use dotgate_message::{COOKIE, Compose as _, TC, framed, query};

use super::lab::{Lab, SECOND, settings};
use super::message::Message;
use crate::admit::{AccessList, RateSettings};
use crate::cookies::{CookieSecret, CookieSecrets};
use crate::counters::labels::{ClientTransport, Limit, Outcome, RecordType};
use crate::settings::Settings;
use crate::stream::StreamKind;

fn with(rates: RateSettings) -> Lab {
    Lab::with(Settings {
        rates,
        ..settings(1)
    })
}

fn queries(rate: u32) -> RateSettings {
    RateSettings {
        queries: NonZeroU32::new(rate),
        ..RateSettings::OFF
    }
}

/// Asks so often for a name that is answered at once: how many answers, responses with TC and others came.
fn flood(lab: &mut Lab, from: &str, times: u16) -> (usize, usize) {
    lab.responses.clear();
    for id in 0..times {
        lab.send_from(from, &query(id, "app.localhost"));
    }
    let is_truncated = |response: &&Vec<u8>| Message::read(response).flags & TC != 0;
    let truncated = lab.responses.iter().filter(is_truncated).count();
    (lab.responses.len() - truncated, truncated)
}

fn limits(lab: &Lab, limit: Limit) -> u64 {
    lab.engine.counters().clients().limits(limit)
}

#[test]
fn a_client_above_its_rate_is_pointed_to_tcp_and_others_notice_nothing() {
    let mut lab = with(queries(5));
    assert_eq!(flood(&mut lab, "192.0.2.1:700", 30), (10, 10));
    assert_eq!(flood(&mut lab, "192.0.2.2:700", 10), (10, 0));
    assert_eq!(limits(&lab, Limit::QueryRate), 20);
    let clients = lab.engine.counters().clients();
    let shed = clients.queries(ClientTransport::Udp, RecordType::A, Outcome::Shed);
    assert_eq!(shed, 20);
    lab.now = lab.now + SECOND;
    assert_eq!(flood(&mut lab, "192.0.2.1:700", 7), (5, 1));
}

#[test]
fn forged_queries_cannot_use_up_what_their_owner_has_over_a_connection() {
    let mut lab = with(queries(5));
    flood(&mut lab, "192.0.2.1:700", 1_000);
    let stream = lab.connect_from("192.0.2.1").unwrap();
    for id in 0..12 {
        lab.stream_send(stream, &framed(&query(id, "app.localhost")));
    }
    let rcodes = lab.stream_messages();
    let rcodes: Vec<u8> = rcodes.iter().map(|message| message[3] & 0x0f).collect();
    assert_eq!(rcodes, [[0; 10].as_slice(), &[5, 5]].concat());
}

#[test]
fn connections_and_handshakes_have_rates_of_their_own() {
    let mut lab = with(RateSettings {
        connections: NonZeroU32::new(2),
        handshakes: NonZeroU32::new(1),
        ..RateSettings::OFF
    });
    let mut open = |kind, from| {
        let opened = (0..9).filter(|_| {
            let stream = lab.connect_by(kind, from);
            stream.is_some_and(|key| {
                lab.engine.clients_mut().stream_closed(key);
                true
            })
        });
        opened.count()
    };
    assert_eq!(open(StreamKind::Tcp, "192.0.2.1"), 4);
    assert_eq!(open(StreamKind::Dot, "192.0.2.2"), 2);
    assert_eq!(open(StreamKind::Tcp, "192.0.2.3"), 4);
    assert_eq!(limits(&lab, Limit::ConnectionRate), 5 + 5 + 5);
    assert_eq!(limits(&lab, Limit::HandshakeRate), 2);
}

#[test]
fn exempt_clients_have_no_rate_and_those_that_may_not_ask_take_no_bucket() {
    let mut lab = Lab::with(Settings {
        rates: queries(1),
        exempt: AccessList::new(["192.0.2.1/32".parse().unwrap()]),
        ..settings(1)
    });
    assert_eq!(flood(&mut lab, "192.0.2.1:700", 30), (30, 0));
    assert_eq!(flood(&mut lab, "198.51.100.1:700", 30), (30, 0));
    assert_eq!(limits(&lab, Limit::QueryRate), 0);
}

#[test]
fn equal_questions_have_a_rate_of_their_own_that_a_cookie_lifts() {
    let mut lab = Lab::with(Settings {
        rates: RateSettings {
            responses: NonZeroU32::new(5),
            ..RateSettings::OFF
        },
        cookies: CookieSecrets::new([CookieSecret([7; 16])]),
        ..settings(1)
    });
    let client = "192.0.2.1:700";
    assert_eq!(flood(&mut lab, client, 30), (10, 10));
    // Other questions, and other clients, have their own; another name case is no other question.
    let count = |lab: &mut Lab, from: &str, name: &str| {
        lab.responses.clear();
        for id in 0..10 {
            lab.send_from(from, &query(id, name));
        }
        let is_whole = |it: &&Vec<u8>| Message::read(it).flags & TC == 0;
        lab.responses.iter().filter(is_whole).count()
    };
    assert_eq!(count(&mut lab, client, "other.localhost"), 10);
    assert_eq!(count(&mut lab, client, "APP.localHOST"), 0);
    assert_eq!(count(&mut lab, "192.0.2.2:700", "app.localhost"), 10);
    assert_eq!(limits(&lab, Limit::ResponseRate), 30);
    // Over a connection there is none.
    let stream = lab.connect_from("192.0.2.1").unwrap();
    for id in 0..20 {
        lab.stream_send(stream, &framed(&query(id, "app.localhost")));
    }
    assert_eq!(lab.stream_messages().len(), 20);
    // Nor with a cookie, which the client learns although it is above the rate.
    let asking = |cookie: &[u8]| query(1, "app.localhost").with_options(&[(COOKIE, cookie)]);
    lab.responses.clear();
    for _ in 0..2 {
        lab.send_from(client, &asking(b"clients!"));
    }
    let learned = Message::read(&lab.responses[0]);
    assert_eq!((learned.rcode(), lab.responses.len()), (23, 1));
    let cookie = learned.options().remove(0).1;
    lab.responses.clear();
    for _ in 0..20 {
        lab.send_from(client, &asking(&cookie));
    }
    let rcodes = lab.responses.iter().map(|it| Message::read(it).rcode());
    assert_eq!(rcodes.collect::<Vec<_>>(), [0; 20]);
}

#[test]
fn the_setting_says_how_many_above_a_rate_get_a_short_response() {
    for (slip, expected) in [(0, 0), (1, 20), (2, 10), (3, 7), (10, 2)] {
        let mut lab = with(RateSettings { slip, ..queries(5) });
        assert_eq!(
            flood(&mut lab, "192.0.2.1:700", 30),
            (10, expected),
            "{slip}"
        );
    }
}
