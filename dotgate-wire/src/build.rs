//! Messages about one question, for the tests of this crate.

use crate::consts::rtype;
use crate::header::HEADER_LEN;

pub(crate) use dotgate_message::{QNAME, option, pointer, record, record_in, wire_name as name};

/// The question `www.example.org. A IN`: 21 bytes, so that records begin at offset 33.
pub(crate) const QUESTION: &[u8] = b"\x03www\x07example\x03org\0\0\x01\0\x01";

/// Where records begin behind [`QUESTION`].
pub(crate) const RECORDS_AT: usize = HEADER_LEN + QUESTION.len();

/// Flags of a common response: QR, RD, RA.
pub(crate) const RESPONSE: u16 = 0x8180;

const ID: u16 = 0x1234;

/// A header with ID 0x1234.
pub(crate) fn header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
    dotgate_message::header(ID, flags, counts)
}

/// A message about [`QUESTION`] with these flags and records.
pub(crate) fn message(flags: u16, sections: [&[Vec<u8>]; 3]) -> Vec<u8> {
    dotgate_message::message(ID, flags, QUESTION, sections)
}

/// A common response with these records.
pub(crate) fn response(sections: [&[Vec<u8>]; 3]) -> Vec<u8> {
    message(RESPONSE, sections)
}

/// An address record of the question's name, TTL 300.
pub(crate) fn address(last: u8) -> Vec<u8> {
    record(QNAME, rtype::A, 300, &[192, 0, 2, last])
}

/// An OPT record of size 1232, with this TTL field and these options, which may be any bytes.
pub(crate) fn opt(ttl: u32, options: &[Vec<u8>]) -> Vec<u8> {
    record_in(&[0], rtype::OPT, 1232, ttl, &options.concat())
}
