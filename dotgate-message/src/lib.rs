//! DNS messages for tests, put together byte by byte, right or wrong, without the code under test.
//!
//! A message is a `Vec<u8>`. [`query`] and [`response`] make well-formed ones, [`Compose`] adds records and changes
//! fields, and all other changes are made to the bytes. Nothing is checked: a name may be too long, a count wrong.
//! This crate has no dependencies, so that the tests of every other crate can use it. RFC 1035 section 4, RFC 6891.
//!
//! ```
//! use dotgate_message::{A, Compose as _, QNAME, RA, RD, query, record, response};
//!
//! let query = query(7, "www.example").with_edns();
//! let address = record(QNAME, A, 300, &[192, 0, 2, 1]);
//! let response = response(&query, RD | RA, [&[address], &[], &[]]).with_edns();
//! assert_eq!(response.len(), 12 + 17 + 16 + 11);
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod compose;
mod read;
#[cfg(test)]
mod tests;

pub use compose::{Compose, Section};
pub use read::{name_end, question_of, split_frame};

/// The flag of responses.
pub const QR: u16 = 0x8000;
/// Authoritative answer.
pub const AA: u16 = 0x0400;
/// Truncated.
pub const TC: u16 = 0x0200;
/// Recursion desired.
pub const RD: u16 = 0x0100;
/// Recursion available.
pub const RA: u16 = 0x0080;
/// The flag without a meaning.
pub const Z: u16 = 0x0040;
/// Authentic data.
pub const AD: u16 = 0x0020;
/// Checking disabled.
pub const CD: u16 = 0x0010;
/// DNSSEC answer OK, in the TTL of an OPT record.
pub const DO: u32 = 0x8000;

/// The type of IPv4 addresses.
pub const A: u16 = 1;
/// The type of name servers.
pub const NS: u16 = 2;
/// The type of aliases.
pub const CNAME: u16 = 5;
/// The type of the record at the apex of a zone.
pub const SOA: u16 = 6;
/// The type of texts.
pub const TXT: u16 = 16;
/// The type of IPv6 addresses.
pub const AAAA: u16 = 28;
/// The type of the record that carries EDNS.
pub const OPT: u16 = 41;
/// The type of signatures.
pub const RRSIG: u16 = 46;

/// The class of the Internet.
pub const IN: u16 = 1;

/// The option for the client subnet (RFC 7871).
pub const ECS: u16 = 8;
/// The option for cookies (RFC 7873).
pub const COOKIE: u16 = 10;
/// The option edns-tcp-keepalive (RFC 7828).
pub const KEEPALIVE: u16 = 11;
/// The option for padding (RFC 7830).
pub const PADDING: u16 = 12;
/// The option for an Extended DNS Error (RFC 8914).
pub const EDE: u16 = 15;

/// Bytes of a header.
pub const HEADER_LEN: usize = 12;

/// The UDP payload size in the OPT records of [`Compose::with_edns`], in bytes.
pub const UDP_SIZE: u16 = 1232;

/// A compression pointer to the QNAME.
pub const QNAME: &[u8] = &[0xc0, 12];

/// Bytes that a message has room for before it grows.
const ROOM: usize = 128;

/// The records of the answer, authority and additional sections.
pub type Sections<'r> = [&'r [Vec<u8>]; 3];

/// A header with these counts of questions and of records in the three sections.
pub fn header(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let mut out = Vec::with_capacity(ROOM);
    for field in [id, flags].into_iter().chain(counts) {
        out.extend(field.to_be_bytes());
    }
    out
}

/// A name without compression; empty labels are left out, so that `""` is the root.
///
/// # Panics
/// If a label is longer than 255 bytes.
pub fn wire_name(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    for label in text.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).expect("a label's length is one byte"));
        out.extend(label.bytes());
    }
    out.push(0);
    out
}

/// A compression pointer.
///
/// # Panics
/// If the offset is above 65,535. The pointer is wrong if it is above 16,383.
pub fn pointer(offset: usize) -> Vec<u8> {
    (0xc000 | length(offset)).to_be_bytes().to_vec()
}

/// A question, its name case as given.
pub fn question(qname: &str, qtype: u16, qclass: u16) -> Vec<u8> {
    let mut out = wire_name(qname);
    out.extend(qtype.to_be_bytes());
    out.extend(qclass.to_be_bytes());
    out
}

/// A query for the addresses of a name: RD, class IN, no EDNS.
pub fn query(id: u16, qname: &str) -> Vec<u8> {
    query_for(id, qname, A)
}

/// The same for another type.
pub fn query_for(id: u16, qname: &str, qtype: u16) -> Vec<u8> {
    message(id, RD, &question(qname, qtype, IN), [&[], &[], &[]])
}

/// A message with one question.
///
/// # Panics
/// If a section has more than 65,535 records.
pub fn message(id: u16, flags: u16, question: &[u8], sections: Sections<'_>) -> Vec<u8> {
    let [answers, authorities, additionals] = sections.map(|section| length(section.len()));
    let mut out = header(id, flags, [1, answers, authorities, additionals]);
    out.extend(question);
    out.extend(sections.into_iter().flatten().flatten());
    out
}

/// The response to a query, with its ID and question, these flags besides QR, and these records. It has no OPT record,
/// unless that is among the records.
///
/// # Panics
/// If the query has no whole question.
pub fn response(query: &[u8], flags: u16, sections: Sections<'_>) -> Vec<u8> {
    let id = query.first_chunk().expect("a header");
    let question = question_of(query).expect("a question");
    message(u16::from_be_bytes(*id), QR | flags, question, sections)
}

/// A record of class IN.
pub fn record(owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8]) -> Vec<u8> {
    record_in(owner, rtype, IN, ttl, rdata)
}

/// A record of any class.
///
/// # Panics
/// If the RDATA has more than 65,535 bytes.
pub fn record_in(owner: &[u8], rtype: u16, class: u16, ttl: u32, rdata: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(owner.len() + 10 + rdata.len());
    push_record(&mut out, owner, (rtype, class), ttl, rdata);
    out
}

fn push_record(
    out: &mut Vec<u8>,
    owner: &[u8],
    (rtype, class): (u16, u16),
    ttl: u32,
    rdata: &[u8],
) {
    out.extend(owner);
    out.extend(rtype.to_be_bytes());
    out.extend(class.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    out.extend(length(rdata.len()).to_be_bytes());
    out.extend(rdata);
}

/// An option of an OPT record.
///
/// # Panics
/// If it has more than 65,535 bytes.
pub fn option(code: u16, data: &[u8]) -> Vec<u8> {
    let mut out = code.to_be_bytes().to_vec();
    out.extend(length(data.len()).to_be_bytes());
    out.extend(data);
    out
}

/// The data of an Extended DNS Error (RFC 8914 section 2).
pub fn ede(info_code: u16, text: &str) -> Vec<u8> {
    [&info_code.to_be_bytes()[..], text.as_bytes()].concat()
}

/// A message behind its length, as on a stream (RFC 1035 section 4.2.2).
///
/// # Panics
/// If the message has more than 65,535 bytes.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&length(message.len()).to_be_bytes(), message].concat()
}

/// A field of two bytes.
fn length(value: usize) -> u16 {
    u16::try_from(value).expect("the field has two bytes")
}
