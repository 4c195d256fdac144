//! A client over HTTP/2 that says exactly what a test wants said, frame by frame (RFC 9113 section 4).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use data_encoding::BASE64URL_NOPAD;

use super::dot::{Dot, NAME, Offer};
use super::message::{QueryType, Response, query};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The setting with the window of each stream.
pub(crate) const INITIAL_WINDOW: u16 = 4;

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// Header fields, neither indexed nor compressed.
pub(crate) fn fields(all: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in all {
        block.push(0);
        for text in [name, value] {
            // A longer one has its length in more than one byte (RFC 7541 section 5.1).
            block.push(
                u8::try_from(text.len())
                    .ok()
                    .filter(|it| *it < 127)
                    .unwrap(),
            );
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The fields of a request for a name's address.
pub(crate) fn request_for(name: &str) -> Vec<u8> {
    let asked = query(0, name, QueryType::Address);
    request_with(&asked)
}

fn request_with(message: &[u8]) -> Vec<u8> {
    let path = format!("/dns-query?dns={}", BASE64URL_NOPAD.encode(message));
    fields(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", NAME),
        (":path", &path),
    ])
}

/// A connection.
pub(crate) struct H2 {
    client: Dot,
    received: Vec<u8>,
    next_stream: u32,
    bodies: BTreeMap<u32, Vec<u8>>,
    /// The last stream that is served, and the error, once the server has said so.
    pub(crate) goaway: Option<(u32, u32)>,
    /// The server has ended the connection.
    pub(crate) has_ended: bool,
}

impl H2 {
    pub(crate) fn connect(offer: &Offer, address: SocketAddr) -> H2 {
        H2::with_settings(offer, address, &[])
    }

    /// The same with these settings.
    pub(crate) fn with_settings(offer: &Offer, address: SocketAddr, settings: &[u8]) -> H2 {
        H2::on(offer.connect(address, NAME).unwrap(), settings)
    }

    /// The same as a client at the address `own`.
    pub(crate) fn from(own: Ipv4Addr, offer: &Offer, address: SocketAddr, settings: &[u8]) -> H2 {
        H2::on(offer.connect_from(own, address, NAME).unwrap(), settings)
    }

    fn on(client: Dot, settings: &[u8]) -> H2 {
        assert_eq!(client.protocol(), Some(&b"h2"[..]));
        let mut h2 = H2 {
            client,
            received: Vec::new(),
            next_stream: 1,
            bodies: BTreeMap::new(),
            goaway: None,
            has_ended: false,
        };
        h2.send(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat());
        h2
    }

    /// Sends bytes; a server that has ended the connection need not take them.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.has_ended |= self.client.send_bytes(bytes).is_err();
    }

    /// A number for one more stream.
    pub(crate) fn stream(&mut self) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        stream
    }

    /// Asks with these fields. Returns the number of the stream.
    pub(crate) fn send_request(&mut self, fields: &[u8]) -> u32 {
        let stream = self.stream();
        self.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, fields));
        stream
    }

    /// Asks for a name's address.
    pub(crate) fn send_for(&mut self, name: &str) -> u32 {
        self.send_request(&request_for(name))
    }

    /// Asks for the texts of a name.
    pub(crate) fn send_for_text(&mut self, name: &str) -> u32 {
        self.send_request(&request_with(&query(0, name, QueryType::Text)))
    }

    /// Waits until the server has read all that was sent.
    pub(crate) fn ping(&mut self) {
        self.send(&frame(PING, 0, 0, &[7; 8]));
        let is_reply = |it: &Frame| it.kind == PING && it.flags & ACK != 0;
        while self.next_frame().is_some_and(|it| !is_reply(&it)) {}
    }

    /// The next frame; none at the end of the connection. Settings of the server are acknowledged.
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.split() {
                self.note(&frame);
                return Some(frame);
            }
            match self.client.receive_bytes() {
                Ok(bytes) if !bytes.is_empty() => self.received.extend(bytes),
                Ok(_) | Err(_) => {
                    self.has_ended = true;
                    return None;
                }
            }
        }
    }

    fn split(&mut self) -> Option<Frame> {
        let [high, middle, low, kind, flags, a, b, c, d, rest @ ..] = &self.received[..] else {
            return None;
        };
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        let payload = rest.get(..length)?.to_vec();
        let frame = Frame {
            kind: *kind,
            flags: *flags,
            stream: u32::from_be_bytes([*a, *b, *c, *d]),
            payload,
        };
        self.received.drain(..9 + length);
        Some(frame)
    }

    fn note(&mut self, frame: &Frame) {
        match frame.kind {
            DATA => {
                let body = self.bodies.entry(frame.stream).or_default();
                body.extend(&frame.payload);
            }
            SETTINGS if frame.flags & ACK == 0 => self.send(&self::frame(SETTINGS, ACK, 0, &[])),
            PING if frame.flags & ACK == 0 => {
                self.send(&self::frame(PING, ACK, 0, &frame.payload));
            }
            GOAWAY => {
                let word =
                    |at: usize| u32::from_be_bytes(*frame.payload[at..].first_chunk().unwrap());
                self.goaway = Some((word(0), word(4)));
            }
            _ => {}
        }
    }

    /// The next whole response, with the number of its stream; none at the end of the connection.
    pub(crate) fn receive(&mut self) -> Option<(u32, Vec<u8>)> {
        loop {
            let frame = self.next_frame()?;
            if frame.kind == DATA && frame.flags & END_STREAM != 0 {
                return Some((frame.stream, self.bodies.remove(&frame.stream).unwrap()));
            }
        }
    }

    /// Asks for a name's address and waits for the response.
    pub(crate) fn ask(&mut self, name: &str) -> Response {
        let stream = self.send_for(name);
        let (answered, body) = self.receive().expect("a response");
        assert_eq!(answered, stream);
        Response::read(&body)
    }
}
