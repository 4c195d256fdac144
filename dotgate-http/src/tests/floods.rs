//! The known floods of HTTP/2: each is bounded in what it makes dotgate hold, and ends.

use super::frames::*;
use super::http2::{goaway, opened};
use super::*;
use crate::HttpEnd;
use crate::limits;

/// Sends `flood` until the connection is over. Returns the bytes that it took, and the most that the connection buffered.
fn send_until_over(
    server: &mut HttpServer,
    mut flood: impl FnMut(u32) -> Vec<u8>,
) -> (usize, usize) {
    let (mut sent, mut buffered) = (0, 0);
    for number in 0..100_000 {
        if server.end().is_some() {
            return (sent, buffered);
        }
        let bytes = flood(number);
        sent += bytes.len();
        server.on_bytes(&bytes);
        buffered = buffered.max(server.unsent() + server.bytes());
        output(server);
    }
    panic!("the flood goes on after {sent} bytes");
}

const SMALL: usize = 256 * 1024;

#[test]
fn streams_that_are_reset_at_once_end_the_connection() {
    // CVE-2023-44487: the request, and its end before anybody could look at it.
    let mut server = opened();
    let (sent, buffered) = send_until_over(&mut server, |number| {
        let stream = 1 + 2 * number;
        [get(stream), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    });
    assert!(sent < SMALL && buffered < SMALL, "{sent} {buffered}");
    assert_eq!(server.end(), Some(HttpEnd::Flood));
    assert_eq!(answer_all(&mut server), 0, "no query is left of it");
}

#[test]
fn requests_that_are_cancelled_after_they_were_taken_end_the_connection() {
    let mut server = opened();
    let mut asked = 0;
    for number in 0..1_000 {
        let stream = 1 + 2 * number;
        server.on_bytes(&get(stream));
        asked += usize::from(server.next_query().is_some());
        server.on_bytes(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        assert!(server.waiting() <= limits::QUERIES);
    }
    assert_eq!(server.end(), Some(HttpEnd::Flood));
    assert_eq!(asked, limits::CANCELLED + 1);
}

#[test]
fn streams_that_the_client_makes_dotgate_reset_end_the_connection() {
    // CVE-2025-8671: errors of single streams, so that the server resets them itself.
    let mut server = opened();
    let (sent, buffered) = send_until_over(&mut server, |number| {
        let stream = 1 + 2 * number;
        [post_head(stream), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
    });
    assert!(sent < SMALL && buffered < SMALL, "{sent} {buffered}");
}

#[test]
fn headers_without_end_end_the_connection() {
    // CVE-2024-27316 and others: CONTINUATION frames without END_HEADERS.
    let mut server = opened();
    server.on_bytes(&frame(HEADERS, 0, 1, &head("GET", "/dns-query", &[])));
    let field = block(&[("x", &"y".repeat(100))]);
    let (sent, buffered) = send_until_over(&mut server, |_| frame(CONTINUATION, 0, 1, &field));
    assert!(sent < SMALL && buffered < SMALL, "{sent} {buffered}");
    // Empty ones cost no room for fields.
    let mut server = opened();
    server.on_bytes(&frame(HEADERS, 0, 1, &[]));
    let (sent, _) = send_until_over(&mut server, |_| frame(CONTINUATION, 0, 1, &[]));
    assert!(sent < SMALL, "{sent}");
}

#[test]
fn a_large_field_that_is_repeated_by_its_index_is_refused() {
    // The dynamic table turns one byte into kilobytes.
    let mut server = opened();
    let mut first = head("GET", "/dns-query", &[]);
    first.push(0x40);
    first.extend([1, b'x', 127]);
    // 3,500 as 127 and the rest in groups of seven bits (RFC 7541 section 5.1).
    first.extend([0xad, 0x1a]);
    first.extend([b'y'; 3_500]);
    first.extend([0xbe; 50]);
    server.on_bytes(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &first));
    assert_eq!(answer_all(&mut server), 0);
    let sent = frames(&output(&mut server));
    assert!(
        sent.iter()
            .any(|it| it.kind == HEADERS || it.kind == RST_STREAM || it.kind == GOAWAY)
    );
}

#[test]
fn frames_that_ask_nothing_end_the_connection() {
    let idle_settings = frame(SETTINGS, 0, 0, &setting(3, 100));
    let ping = frame(PING, 0, 0, &[0; 8]);
    let priority = frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 16]);
    let window = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
    let unknown = frame(0x77, 0, 0, &[0; 8]);
    for flood in [idle_settings, ping, priority, window, unknown] {
        let mut server = opened();
        let (sent, buffered) = send_until_over(&mut server, |_| flood.clone());
        assert!(sent <= limits::OVERHEAD_BYTES + flood.len(), "{sent}");
        assert!(buffered < SMALL, "{buffered}");
    }
}

#[test]
fn bodies_in_tiny_frames_end_the_connection() {
    for payload in [b"x".as_slice(), b""] {
        let mut server = opened();
        server.on_bytes(&post_head(1));
        let (sent, buffered) = send_until_over(&mut server, |_| frame(DATA, 0, 1, payload));
        assert!(sent <= limits::OVERHEAD_BYTES + 10, "{sent}");
        assert!(buffered < SMALL, "{buffered}");
    }
}

#[test]
fn acknowledgments_that_the_client_does_not_read_stop_the_reading() {
    let mut server = opened();
    let ping = frame(PING, 0, 0, &[0; 8]);
    // Queries between them: it is no flood by what it asks.
    for number in 0..20_000 {
        if !server.wants_bytes() {
            break;
        }
        let mut bytes = ping.repeat(10);
        if number % 100 == 0 {
            bytes.extend(get(1 + 2 * (number / 100)));
        }
        server.on_bytes(&bytes);
        answer_all(&mut server);
    }
    assert!(!server.wants_bytes(), "nothing more is read");
    assert!(server.unsent() <= limits::OUTPUT_BYTES + SMALL);
    output(&mut server);
    server.drive();
    assert!(server.wants_bytes(), "once it has read, it goes on");
}

#[test]
fn responses_wait_for_the_windows_of_the_client() {
    let mut server = server();
    let no_window = frame(SETTINGS, 0, 0, &setting(4, 0));
    server.on_bytes(&[PREFACE, &no_window].concat());
    for number in 0..10 {
        server.on_bytes(&get(1 + 2 * number));
    }
    assert_eq!(answer_all(&mut server), 10);
    let sent = frames(&output(&mut server));
    assert!(
        sent.iter()
            .all(|it| it.kind != DATA || it.payload.is_empty())
    );
    let length = expected_response().len();
    assert_eq!(
        server.unsent(),
        10 * length,
        "all buffered bytes are counted"
    );
    server.on_bytes(&frame(WINDOW_UPDATE, 0, 19, &[0, 0, 1, 0]));
    let sent = frames(&output(&mut server));
    assert!(
        sent.iter()
            .any(|it| it.stream == 19 && it.payload == expected_response())
    );
    assert_eq!(server.unsent(), 9 * length);
    server.on_bytes(&frame(SETTINGS, 0, 0, &setting(4, 65_535)));
    output(&mut server);
    assert_eq!(server.unsent(), 0);
    assert_eq!(goaway(&sent), None);
}

#[test]
fn long_responses_in_tiny_windows_are_no_flood() {
    const LENGTH: usize = 60_000;
    const WINDOW: usize = 50;
    let mut server = server();
    let no_window = frame(SETTINGS, 0, 0, &setting(4, 0));
    server.on_bytes(&[PREFACE, &no_window].concat());
    let streams = (0..10).map(|number| 1 + 2 * number);
    for stream in streams.clone() {
        server.on_bytes(&get(stream));
    }
    while let Some(query) = server.next_query() {
        let mut long = response_to(&query);
        long.resize(LENGTH, 0);
        server.respond(&long);
    }
    let piece = (WINDOW as u32).to_be_bytes();
    let (mut sent, mut received) = (0, 0);
    for stream in streams {
        for _ in 0..LENGTH / WINDOW {
            for stream in [0, stream] {
                let update = frame(WINDOW_UPDATE, 0, stream, &piece);
                sent += update.len();
                server.on_bytes(&update);
            }
            let taken = frames(&output(&mut server));
            let data = taken.iter().filter(|it| it.kind == DATA);
            received += data.map(|it| it.payload.len()).sum::<usize>();
        }
    }
    assert!(sent > limits::OVERHEAD_BYTES);
    assert_eq!((received, server.end()), (10 * LENGTH, None));
}

#[test]
fn bodies_that_never_end_are_held_within_the_window() {
    let mut server = opened();
    for number in 0..limits::STREAMS {
        server.on_bytes(&post_head(1 + 2 * number));
    }
    let (sent, buffered) = send_until_over(&mut server, |number| {
        let stream = 1 + 2 * (number % limits::STREAMS);
        frame(DATA, 0, stream, &[0; 1_000])
    });
    assert!(sent < SMALL && buffered < SMALL, "{sent} {buffered}");
}
