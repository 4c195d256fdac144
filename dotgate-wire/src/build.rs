//! Messages for tests, put together byte by byte, right or wrong.

use crate::consts::rtype;
use crate::header::HEADER_LEN;

/// The question `www.example.org. A IN`: 21 bytes, so that records begin at offset 33.
pub(crate) const QUESTION: &[u8] = b"\x03www\x07example\x03org\0\0\x01\0\x01";

/// A pointer to the question's name.
pub(crate) const QNAME: &[u8] = &[0xc0, 0x0c];

/// Where records begin behind [`QUESTION`].
pub(crate) const RECORDS_AT: usize = HEADER_LEN + QUESTION.len();

/// Flags of a common response: QR, RD, RA.
pub(crate) const RESPONSE: u16 = 0x8180;

/// A header with ID 0x1234.
pub(crate) fn header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let mut out = vec![0x12, 0x34];
    out.extend(flags.to_be_bytes());
    out.extend(counts.into_iter().flat_map(u16::to_be_bytes));
    out
}

/// A message about [`QUESTION`] with these flags and records.
pub(crate) fn message(flags: u16, sections: [&[Vec<u8>]; 3]) -> Vec<u8> {
    let [answers, authorities, additionals] =
        sections.map(|section| u16::try_from(section.len()).unwrap());
    let mut out = header(flags, [1, answers, authorities, additionals]);
    out.extend(QUESTION);
    out.extend(sections.concat().concat());
    out
}

/// A common response with these records.
pub(crate) fn response(sections: [&[Vec<u8>]; 3]) -> Vec<u8> {
    message(RESPONSE, sections)
}

/// An uncompressed name from its labels.
pub(crate) fn name(labels: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in labels.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.bytes());
    }
    out.push(0);
    out
}

/// A pointer to an offset.
pub(crate) fn pointer(target: usize) -> Vec<u8> {
    (0xc000 | u16::try_from(target).unwrap())
        .to_be_bytes()
        .to_vec()
}

/// A record of class IN.
pub(crate) fn record(owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8]) -> Vec<u8> {
    record_in(owner, rtype, 1, ttl, rdata)
}

/// A record of any class.
pub(crate) fn record_in(owner: &[u8], rtype: u16, class: u16, ttl: u32, rdata: &[u8]) -> Vec<u8> {
    let mut out = owner.to_vec();
    out.extend(rtype.to_be_bytes());
    out.extend(class.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    out.extend(u16::try_from(rdata.len()).unwrap().to_be_bytes());
    out.extend(rdata);
    out
}

/// An address record of the question's name, TTL 300.
pub(crate) fn address(last: u8) -> Vec<u8> {
    record(QNAME, rtype::A, 300, &[192, 0, 2, last])
}

/// An OPT record of size 1232, with this TTL field and options.
pub(crate) fn opt(ttl: u32, options: &[Vec<u8>]) -> Vec<u8> {
    record_in(&[0], rtype::OPT, 1232, ttl, &options.concat())
}

/// An option.
pub(crate) fn option(code: u16, data: &[u8]) -> Vec<u8> {
    let mut out = code.to_be_bytes().to_vec();
    out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    out.extend(data);
    out
}
