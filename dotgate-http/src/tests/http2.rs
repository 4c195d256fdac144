//! HTTP/2 (RFC 9113): streams, their end, and what breaks the protocol.

use super::frames::*;
use super::*;
use crate::HttpEnd;
use crate::limits;

/// `:status` 200, 400 and 404 in the static table (RFC 7541 appendix A).
const OK: u8 = 0x88;
const BAD_REQUEST: u8 = 0x8c;
const NOT_FOUND: u8 = 0x8d;

/// A connection that was opened, without what it sent so far.
pub(super) fn opened() -> HttpServer {
    let mut server = server();
    server.on_bytes(&opening());
    output(&mut server);
    server
}

/// The status of a stream's response as one byte, and its body.
fn response_on(stream: u32, sent: &[Frame]) -> (u8, Vec<u8>) {
    let of_stream = || sent.iter().filter(|it| it.stream == stream);
    let head = of_stream().find(|it| it.kind == HEADERS).unwrap();
    let data = of_stream().filter(|it| it.kind == DATA);
    (
        head.payload[0],
        data.flat_map(|it| it.payload.clone()).collect(),
    )
}

pub(super) fn goaway(sent: &[Frame]) -> Option<(u32, u32)> {
    let frame = sent.iter().rev().find(|it| it.kind == GOAWAY)?;
    let word = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
    Some((word(0), word(4)))
}

#[test]
fn queries_on_one_connection_are_answered_in_any_order() {
    let mut server = opened();
    server.on_bytes(&[get(1), post(3), get(5)].concat());
    let mut queries: Vec<HttpQuery> = std::iter::from_fn(|| server.next_query()).collect();
    assert_eq!(queries.len(), 3);
    queries.reverse();
    let mut order = Vec::new();
    for query in queries {
        server.respond(&response_to(&query));
        server.drive();
        let sent = frames(&output(&mut server));
        let stream = sent.iter().find(|it| it.kind == HEADERS).unwrap().stream;
        assert_eq!(response_on(stream, &sent), (OK, expected_response()));
        order.push(stream);
    }
    assert_eq!(order, [5, 3, 1]);
    assert_eq!((server.waiting(), server.unsent()), (0, 0));
}

#[test]
fn a_connection_may_come_byte_by_byte() {
    let mut server = server();
    for byte in [opening(), post(1)].concat() {
        server.on_bytes(&[byte]);
    }
    assert_eq!(answer_all(&mut server), 1);
    let sent = frames(&output(&mut server));
    assert_eq!(response_on(1, &sent), (OK, expected_response()));
}

#[test]
fn requests_without_a_query_cost_the_other_streams_nothing() {
    let mut server = opened();
    let bad_head = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &head("GET", "/dns-query?dns=_", &[]),
    );
    let elsewhere = frame(HEADERS, END_HEADERS | END_STREAM, 3, &head("GET", "/", &[]));
    server.on_bytes(&[bad_head, elsewhere, post(5)].concat());
    assert_eq!(answer_all(&mut server), 1);
    let sent = frames(&output(&mut server));
    assert_eq!(response_on(1, &sent).0, BAD_REQUEST);
    assert_eq!(response_on(3, &sent).0, NOT_FOUND);
    assert_eq!(response_on(5, &sent), (OK, expected_response()));
    assert_eq!(server.take_counts()[..3], [1, 1, 1]);
}

#[test]
fn more_streams_than_are_allowed_are_refused_and_may_be_tried_again() {
    let mut server = opened();
    for number in 0..limits::STREAMS + 5 {
        server.on_bytes(&get(1 + 2 * number));
    }
    assert_eq!(server.waiting(), limits::STREAMS as usize);
    let sent = frames(&output(&mut server));
    let refused = sent.iter().filter(|it| it.kind == RST_STREAM);
    let refused: Vec<&[u8]> = refused.map(|it| it.payload.as_slice()).collect();
    assert_eq!(refused, [[0, 0, 0, 7]; 5], "REFUSED_STREAM");
    assert_eq!(answer_all(&mut server), limits::STREAMS as usize);
    server.on_bytes(&get(1_001));
    assert_eq!(answer_all(&mut server), 1);
}

#[test]
fn at_the_end_the_client_learns_which_streams_are_served_and_gets_them() {
    let mut server = opened();
    server.on_bytes(&get(1));
    server.shut_down();
    let sent = frames(&output(&mut server));
    assert_eq!(
        goaway(&sent),
        Some((0x7fff_ffff, 0)),
        "no new streams, please"
    );
    let ping = sent.iter().find(|it| it.kind == PING).unwrap();
    // A request that was on its way when the client learned of it is served.
    server.on_bytes(&get(3));
    server.on_bytes(&frame(PING, ACK, 0, &ping.payload));
    let sent = frames(&output(&mut server));
    assert_eq!(goaway(&sent), Some((3, 0)));
    assert_eq!(answer_all(&mut server), 2);
    let sent = frames(&output(&mut server));
    for stream in [1, 3] {
        assert_eq!(response_on(stream, &sent), (OK, expected_response()));
    }
    assert_eq!(server.end(), Some(HttpEnd::Closed));
}

#[test]
fn a_connection_that_begins_at_the_end_is_served_once() {
    let mut server = server();
    server.shut_down();
    server.on_bytes(&[opening(), get(1)].concat());
    assert_eq!(answer_all(&mut server), 1);
    let sent = frames(&output(&mut server));
    assert_eq!(response_on(1, &sent), (OK, expected_response()));
    assert!(goaway(&sent).is_some());
}

#[test]
fn a_cancelled_request_gives_its_place_back_when_the_engine_responds() {
    let mut server = opened();
    server.on_bytes(&get(1));
    let query = server.next_query().unwrap();
    server.on_bytes(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
    assert_eq!(server.waiting(), 1, "the engine still has it");
    server.on_bytes(&get(3));
    let second = server.next_query().unwrap();
    assert_ne!(
        second.message[..2],
        query.message[..2],
        "the ID is not used again yet"
    );
    server.respond(&response_to(&query));
    assert_eq!(server.waiting(), 1);
    server.respond(&response_to(&second));
    server.drive();
    let sent = frames(&output(&mut server));
    assert!(sent.iter().all(|it| it.stream != 1));
    assert_eq!(response_on(3, &sent), (OK, expected_response()));
    // Responses that nobody waits for change nothing.
    server.respond(&response_to(&second));
    server.respond(&[0xff, 0xff, 0, 0]);
    server.respond(&[]);
    assert_eq!((server.waiting(), server.unsent()), (0, 0));
}

#[test]
fn what_breaks_the_protocol_ends_the_connection_with_an_error() {
    let upper = block(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/"),
        ("UPPER", "x"),
    ]);
    for (name, bytes) in [
        ("data on an idle stream", frame(DATA, 0, 1, b"x")),
        ("an even stream", get(2)),
        ("a stream with a lower number", [get(3), get(1)].concat()),
        ("headers on stream 0", frame(HEADERS, 5, 0, &upper)),
        ("upper case", frame(HEADERS, 5, 1, &upper)),
        ("a ping of 7 bytes", frame(PING, 0, 0, &[0; 7])),
        ("a ping on a stream", frame(PING, 0, 1, &[0; 8])),
        ("settings of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        (
            "settings that are no window",
            frame(SETTINGS, 0, 0, &setting(4, u32::MAX)),
        ),
        ("a frame of 20,000 bytes", frame(DATA, 0, 1, &[0; 20_000])),
        ("a window update by 0", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("continuation of nothing", frame(CONTINUATION, 4, 1, &upper)),
        (
            "a field of a wrong index",
            frame(HEADERS, 5, 1, &[0xff, 0xff, 0x0f]),
        ),
        (
            "another frame between headers",
            [frame(HEADERS, 0, 1, &upper), frame(PING, 0, 0, &[0; 8])].concat(),
        ),
    ] {
        let mut server = opened();
        server.on_bytes(&bytes);
        let sent = frames(&output(&mut server));
        let code = goaway(&sent).map(|(_, code)| code);
        assert!(code.is_some_and(|code| code != 0), "{name}: {sent:?}");
        assert!(server.end().is_some(), "{name}");
        assert_eq!(answer_all(&mut server), 0, "{name}");
    }
}

#[test]
fn malformed_requests_end_their_stream_alone() {
    let too_long = head(
        "POST",
        "/dns-query",
        &[
            ("content-type", "application/dns-message"),
            ("content-length", "3"),
        ],
    );
    for (name, bytes) in [
        (
            "more than its length",
            [
                frame(HEADERS, END_HEADERS, 1, &too_long),
                frame(DATA, END_STREAM, 1, &query()),
            ]
            .concat(),
        ),
        (
            "a window that overflows",
            [
                post_head(1),
                frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]),
            ]
            .concat(),
        ),
    ] {
        let mut server = opened();
        server.on_bytes(&bytes);
        server.on_bytes(&get(3));
        assert_eq!(answer_all(&mut server), 1, "{name}");
        let sent = frames(&output(&mut server));
        assert!(
            sent.iter()
                .any(|it| it.kind == RST_STREAM && it.stream == 1),
            "{name}: {sent:?}"
        );
        assert_eq!(response_on(3, &sent), (OK, expected_response()), "{name}");
    }
}
