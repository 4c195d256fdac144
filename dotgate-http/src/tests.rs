//! A connection as bytes: HTTP/1.1 as text, HTTP/2 as frames written by hand.

mod floods;
mod frames;
mod http1;
mod http2;

use std::sync::Arc;

use dotgate_message::{A, QNAME, RA, RD, framed, record, response};

use crate::{HttpQuery, HttpServer, Trust};

/// The ID of [`query`].
const ID: [u8; 2] = [0xab, 0xcd];

fn query() -> Vec<u8> {
    dotgate_message::query(u16::from_be_bytes(ID), "example.org")
}

/// The response to a query: one address record with a TTL of 77 s.
fn response_to(query: &HttpQuery) -> Vec<u8> {
    let address = record(QNAME, A, 77, &[192, 0, 2, 1]);
    response(&query.message, RD | RA, [&[address], &[], &[]])
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
