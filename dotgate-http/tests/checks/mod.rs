//! What holds for any bytes of a client over HTTP: shared with the fuzz target.

use dotgate_http::{HttpServer, limits};

/// The most that one connection may hold.
const HELD: usize = 4 * 1024 * 1024;

/// Lets a client send `input`, in pieces whose sizes it also decides, and answers its queries in some order.
///
/// # Panics
/// If the connection holds more than it may, or gives out what is no query.
pub(crate) fn check_http(input: &[u8]) {
    let Some((choices, mut bytes)) = input.split_at_checked(8) else {
        return;
    };
    let mut server = HttpServer::new(None);
    let mut asked: Vec<Vec<u8>> = Vec::new();
    for round in 0.. {
        let choice = choices.get(round % 8).copied().unwrap_or_default();
        if bytes.is_empty() || server.end().is_some() {
            break;
        }
        if server.wants_bytes() {
            let length = (1 + usize::from(choice) * 16).min(bytes.len());
            let (piece, rest) = bytes.split_at(length);
            server.on_bytes(piece);
            bytes = rest;
        } else if choice % 2 == 0 && asked.is_empty() {
            // Nothing waits for the engine: only its own output can be in the way.
            server.with_output(Vec::clear);
            server.drive();
            if !server.wants_bytes() && !server.wants_turn() && server.waiting() == 0 {
                break;
            }
        }
        take_queries(&mut server, &mut asked);
        if choice % 3 > 0 {
            answer_one(&mut server, &mut asked, usize::from(choice));
        }
        if choice % 5 == 0 {
            server.with_output(|output| output.truncate(output.len() / 2));
            server.drive();
        }
        assert!(server.waiting() <= limits::QUERIES);
        assert!(server.bytes() + server.unsent() < HELD);
        assert!(round < 1_000_000, "it makes no progress");
    }
    finish(&mut server, &mut asked);
}

/// Each query has an ID that no other one has which waits.
fn take_queries(server: &mut HttpServer, asked: &mut Vec<Vec<u8>>) {
    while let Some(query) = server.next_query() {
        let message = query.message;
        assert!(message.len() >= 12 && message.len() <= limits::MESSAGE_BYTES);
        assert!(message.get(2).is_some_and(|flags| flags & 0x80 == 0));
        assert!(asked.iter().all(|other| other.get(..2) != message.get(..2)));
        assert_eq!(query.client, None, "it is no proxy");
        asked.push(message);
    }
}

fn answer_one(server: &mut HttpServer, asked: &mut Vec<Vec<u8>>, choice: usize) {
    if asked.is_empty() {
        return;
    }
    let mut message = asked.swap_remove(choice % asked.len());
    if let Some(flags) = message.get_mut(2) {
        *flags |= 0x80;
    }
    server.respond(&message);
    server.drive();
}

/// After the end of the client and all responses, nothing is left of the connection.
fn finish(server: &mut HttpServer, asked: &mut Vec<Vec<u8>>) {
    server.shut_down();
    server.on_end();
    for _ in 0..10 * limits::QUERIES {
        take_queries(server, asked);
        answer_one(server, asked, 0);
        server.with_output(Vec::clear);
        server.drive();
    }
    assert!(asked.is_empty());
    assert_eq!(server.waiting(), 0);
}
