//! A connection as bytes: HTTP/1.1 as text, HTTP/2 as frames written by hand.

mod floods;
mod frames;
mod http1;
mod http2;

use std::sync::Arc;

use crate::{HttpQuery, HttpServer, Trust};

/// A query for A records of example.org, and its ID.
const ID: [u8; 2] = [0xab, 0xcd];

fn query() -> Vec<u8> {
    let mut message = ID.to_vec();
    message.extend(b"\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01");
    message
}

/// The response to a query: one address record with a TTL of 77 s.
fn response_to(query: &HttpQuery) -> Vec<u8> {
    let mut message = query.message.clone();
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    message[7] = 1;
    message.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x4d\0\x04\xc0\0\x02\x01");
    message
}

/// What a client gets for `query()`.
fn expected_response() -> Vec<u8> {
    let message = query();
    response_to(&HttpQuery {
        client: None,
        message,
    })
}

/// The connection of a client that is no proxy.
fn server() -> HttpServer {
    HttpServer::new(None)
}

/// The connection of a proxy in 192.0.2.0/24.
fn behind_proxy() -> HttpServer {
    let trust: Trust = Arc::new(|address| address.to_string().starts_with("192.0.2."));
    HttpServer::new(Some(trust))
}

/// Answers all queries. Returns how many there were.
fn answer_all(server: &mut HttpServer) -> usize {
    let mut count = 0;
    while let Some(query) = server.next_query() {
        server.respond(&response_to(&query));
        count += 1;
    }
    server.drive();
    count
}

fn output(server: &mut HttpServer) -> Vec<u8> {
    server.with_output(std::mem::take)
}

fn base64(message: &[u8]) -> String {
    data_encoding::BASE64URL_NOPAD.encode(message)
}
