//! DNS cookies of clients: every response has one, and a valid one has a quota that forged queries cannot touch.

use std::num::NonZeroU32;

use dotgate_message::{
    COOKIE, Compose as _, EDE, KEEPALIVE, PADDING, QNAME, RA, RD, TC, TXT, framed, query, record,
    response,
};

use super::lab::{Lab, SECOND, settings};
use super::message::Message;
use crate::admit::{AccessList, RateSettings};
use crate::cookies::{CookieSecret, CookieSecrets};
use crate::counters::labels::{CookieResult, Limit};
use crate::settings::Settings;
use crate::stream::StreamKind;

const BADCOOKIE: u16 = 23;
const CLIENT: &str = "192.0.2.1:700";
const LOCAL: &str = "app.localhost";

fn secrets(bytes: &[u8]) -> CookieSecrets {
    CookieSecrets::new(bytes.iter().map(|byte| CookieSecret([*byte; 16])))
}

fn with(rate: u32) -> Settings {
    Settings {
        cookies: secrets(&[7]),
        rates: RateSettings {
            queries: NonZeroU32::new(rate),
            ..RateSettings::OFF
        },
        ..settings(1)
    }
}

fn asking(id: u16, name: &str, cookie: &[u8]) -> Vec<u8> {
    query(id, name).with_options(&[(COOKIE, cookie)])
}

/// The cookie of a response.
fn cookie_of(response: &[u8]) -> Vec<u8> {
    let options = Message::read(response).options();
    let mut cookies = options.into_iter().filter(|(code, _)| *code == COOKIE);
    let (_, cookie) = cookies.next().expect("a cookie");
    assert!(cookies.next().is_none(), "one cookie");
    cookie
}

/// Learns the cookie of a client.
fn learned(lab: &mut Lab, from: &str) -> Vec<u8> {
    lab.send_from(from, &asking(9, LOCAL, b"clients!"));
    cookie_of(&lab.responses.pop().unwrap())
}

fn counted(lab: &Lab) -> [u64; 3] {
    let clients = lab.engine.counters().clients();
    [
        CookieResult::ClientOnly,
        CookieResult::Valid,
        CookieResult::Invalid,
    ]
    .map(|result| clients.cookies(result))
}

#[test]
fn every_response_to_a_query_with_a_cookie_has_one_and_no_other() {
    let mut lab = Lab::with_cache(with(1_000), 1);
    let names = [LOCAL, "a.example", "a.example"];
    for name in names {
        for message in [query(1, name), query(2, name).with_edns()] {
            lab.send(&message);
        }
        lab.send(&asking(3, name, b"clients!"));
        lab.open_all();
        lab.answer_all();
        lab.responses.sort_by_key(|response| response[1]);
        let [plain, edns, cookie] = &lab.responses[..] else {
            panic!("{} responses", lab.responses.len());
        };
        assert_eq!(Message::read(plain).opt, None);
        assert_eq!(Message::read(edns).option_codes(), []);
        let cookie = cookie_of(cookie);
        assert_eq!(
            (&cookie[..8], cookie[8], cookie.len()),
            (&b"clients!"[..], 1, 24)
        );
        lab.responses.clear();
    }
    assert_eq!(counted(&lab), [3, 0, 0]);
}

#[test]
fn errors_have_one_as_well_and_clients_that_may_not_ask_none() {
    let mut lab = Lab::with(with(1_000));
    let zone_transfer = {
        let mut message = asking(1, "a.example", b"clients!");
        message[24] = 252;
        message
    };
    let notify = {
        let mut message = asking(1, "a.example", b"clients!");
        message[2] |= 4 << 3;
        message
    };
    let mut version = asking(1, "a.example", b"clients!");
    let end = version.len();
    version[end - 12 - 2 - 3] = 1;
    for (message, rcode) in [(zone_transfer, 5), (notify, 4)] {
        lab.send(&message);
        let response = lab.responses.pop().unwrap();
        assert_eq!(Message::read(&response).rcode(), rcode);
        assert_eq!(cookie_of(&response).len(), 24, "{rcode}");
    }
    lab.send(&version);
    let response = Message::read(&lab.responses.pop().unwrap());
    assert_eq!((response.rcode(), response.option_codes()), (16, vec![]));
    lab.send_from("198.51.100.1:700", &asking(1, LOCAL, b"clients!"));
    let response = Message::read(&lab.responses.pop().unwrap());
    assert_eq!((response.rcode(), response.option_codes()), (5, vec![EDE]));
}

#[test]
fn a_response_with_a_cookie_keeps_to_the_size_of_the_client() {
    for size in 512..560 {
        let mut lab = Lab::with(with(1_000)).warmed_up();
        let message = query(1, "a.example").with_opt(size, 0, &[(COOKIE, b"clients!")]);
        lab.send(&message);
        let forwarded = lab.next_forwarded();
        let texts = vec![record(QNAME, TXT, 60, &[200; 201]); 2];
        let response = response(&forwarded.message, RD | RA, [&texts, &[], &[]]);
        lab.respond(forwarded.session, &response);
        let response = lab.responses.pop().unwrap();
        let needed = 12 + 15 + 2 * (12 + 201) + 11 + 28;
        assert!(response.len() <= usize::from(size));
        let is_cut = Message::read(&response).has(TC);
        assert_eq!(is_cut, usize::from(size) < needed, "{size}, {needed}");
        assert_eq!(cookie_of(&response).len(), 24);
    }
}

#[test]
fn a_query_without_a_question_asks_for_a_cookie_or_whether_it_is_valid() {
    let mut lab = Lab::with(with(1_000));
    let alone = |cookie: &[u8]| {
        let mut header = query(1, "")[..12].to_vec();
        header[5] = 0;
        header.with_options(&[(COOKIE, cookie)])
    };
    let valid = learned(&mut lab, CLIENT);
    for (cookie, from, rcode) in [
        (&b"clients!"[..], CLIENT, 0),
        (&valid, CLIENT, 0),
        (&valid, "192.0.2.2:700", BADCOOKIE),
        (&[9; 24], CLIENT, BADCOOKIE),
        (&[9; 12], CLIENT, 1),
    ] {
        lab.send_from(from, &alone(cookie));
        let response = lab.responses.pop().unwrap();
        let read = Message::read(&response);
        assert_eq!(
            (read.rcode(), read.question.len()),
            (rcode, 0),
            "{cookie:?}"
        );
        match rcode {
            1 => assert_eq!(read.option_codes(), []),
            _ => assert_eq!(cookie_of(&response).len(), 24),
        }
    }
    lab.settings.cookies = CookieSecrets::default();
    let settings = lab.settings.clone();
    lab.reconfigure(settings);
    lab.send(&alone(b"clients!"));
    assert_eq!(
        Message::read(&lab.responses.pop().unwrap()).rcode(),
        1,
        "no cookies"
    );
}

#[test]
fn forged_queries_cannot_use_up_what_their_owner_has_with_its_cookie() {
    let mut lab = Lab::with(with(5));
    let cookie = learned(&mut lab, CLIENT);
    for id in 0..1_000 {
        lab.send_from(CLIENT, &query(id, LOCAL));
        lab.send_from(CLIENT, &asking(id, LOCAL, &[7; 24]));
    }
    lab.responses.clear();
    for id in 0..12 {
        lab.send_from(CLIENT, &asking(id, LOCAL, &cookie));
    }
    let rcodes: Vec<u16> = lab
        .responses
        .iter()
        .map(|it| Message::read(it).rcode())
        .collect();
    assert_eq!(rcodes, [[0; 10].as_slice(), &[5, 5]].concat());
    assert!(lab.responses.iter().all(|it| cookie_of(it) == cookie));
    // It is the quota of connections, too.
    let stream = lab.connect_from("192.0.2.1").unwrap();
    lab.stream_send(stream, &framed(&query(1, LOCAL)));
    assert_eq!(lab.stream_messages()[0][3] & 15, 5);
    lab.now = lab.now + SECOND;
    lab.responses.clear();
    lab.send_from(CLIENT, &asking(1, LOCAL, &cookie));
    assert_eq!(Message::read(&lab.responses[0]).rcode(), 0);
}

#[test]
fn a_client_above_its_rate_gets_a_cookie_if_it_knows_what_that_is() {
    let mut lab = Lab::with(with(5));
    for id in 0..30 {
        let cookie: &[u8] = if id % 3 == 0 { &[7; 24] } else { b"clients!" };
        lab.send_from(CLIENT, &asking(id, LOCAL, cookie));
    }
    let read = |response: &Vec<u8>| (Message::read(response).rcode(), cookie_of(response).len());
    let responses: Vec<_> = lab.responses.iter().map(read).collect();
    // Every second one beyond the ten that it may ask at once.
    assert_eq!(responses, [[(0, 24); 10], [(BADCOOKIE, 24); 10]].concat());
    let cookie = cookie_of(&lab.responses[15]);
    lab.responses.clear();
    lab.send_from(CLIENT, &asking(1, LOCAL, &cookie));
    assert_eq!(
        Message::read(&lab.responses[0]).rcode(),
        0,
        "asked again with it"
    );
    assert_eq!(lab.engine.counters().clients().limits(Limit::QueryRate), 20);
}

#[test]
fn a_cookie_outlives_a_change_of_secrets_and_is_renewed() {
    let mut lab = Lab::with(with(1_000));
    let old = learned(&mut lab, CLIENT);
    let states = |lab: &mut Lab, secret: &[u8], cookie: &[u8]| {
        let before = counted(lab);
        lab.settings.cookies = secrets(secret);
        let settings = lab.settings.clone();
        lab.reconfigure(settings);
        lab.send_from(CLIENT, &asking(1, LOCAL, cookie));
        let after = counted(lab);
        (
            cookie_of(&lab.responses.pop().unwrap()),
            after[1] - before[1],
        )
    };
    let (new, valid) = states(&mut lab, &[8, 7], &old);
    assert!(new != old && valid == 1);
    assert_eq!(states(&mut lab, &[8], &new), (new.clone(), 1));
    assert_eq!(states(&mut lab, &[8], &old), (new, 0));
}

#[test]
fn cookies_travel_over_connections_and_padding_comes_last() {
    let mut lab = Lab::with(with(1_000));
    let stream = lab.connect_by(StreamKind::Dot, "192.0.2.1").unwrap();
    lab.engine
        .clients_mut()
        .stream_secured(lab.now, stream, false);
    let options: [(u16, &[u8]); 2] = [(PADDING, &[]), (COOKIE, b"clients!")];
    lab.stream_send(stream, &framed(&query(1, LOCAL).with_options(&options)));
    let response = lab.stream_messages().remove(0);
    assert_eq!(response.len(), 468);
    let codes = Message::read(&response).option_codes();
    assert_eq!(codes, [KEEPALIVE, COOKIE, PADDING]);
    // The same address has the same cookie over UDP.
    lab.send_from(CLIENT, &asking(1, LOCAL, &cookie_of(&response)));
    assert_eq!(counted(&lab), [1, 1, 0]);
}

#[test]
fn a_cookie_is_that_of_the_client_of_a_balancer() {
    let settings = Settings {
        proxies: AccessList::new(["198.51.100.0/24".parse().unwrap()]),
        ..with(1_000)
    };
    let mut lab = Lab::with(settings);
    let behind = |last: u8, message: &[u8]| {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c".to_vec();
        header.extend_from_slice(&[192, 0, 2, last, 198, 51, 100, 1, 0x30, 0x39, 0, 53]);
        [header.as_slice(), message].concat()
    };
    let balancer = "198.51.100.9:700";
    lab.send_from(balancer, &behind(1, &asking(1, LOCAL, b"clients!")));
    let cookie = cookie_of(&lab.responses.pop().unwrap());
    assert_eq!(cookie, learned(&mut lab, CLIENT), "as without a balancer");
    for (last, expected) in [(1, [2, 1, 0]), (2, [2, 1, 1])] {
        lab.send_from(balancer, &behind(last, &asking(1, LOCAL, &cookie)));
        assert_eq!(counted(&lab), expected, "{last}");
    }
}
