//! Messages that cost as much as a sender can make them cost.

use dotgate_message::{A, CNAME, Compose as _, NS, RA, RD, Section, pointer, response};
use dotgate_sim::message::{QueryForm, query, question, wire_name};

/// The longest message.
const MESSAGE_MAX: usize = 65_535;

/// Where the question's name stands in a message.
const QNAME: usize = 12;

/// A kind of response: what it is called, and how it answers a query.
pub(crate) type Kind = (&'static str, fn(&[u8]) -> Vec<u8>);

/// The responses that were found to cost most. All questions are for [`long_name`].
pub(crate) const RESPONSES: [Kind; 10] = [
    ("addresses", addresses),
    ("servers", servers),
    ("linked", linked),
    ("opaque", opaque),
    ("odd", odd),
    ("roots", roots),
    ("copies", copies),
    ("dnames", dnames),
    ("uncompressed", uncompressed),
    ("labels", labels),
];

/// A name of 230 bytes.
pub(crate) fn long_name() -> String {
    format!("n000001.{}", "a.".repeat(110))
}

/// A query of 2,044 bytes with 126 records whose owners lead into a chain of as many pointers.
pub(crate) fn datagram() -> Vec<u8> {
    let mut message = Message::of(&query(1, "example.org", &QueryForm::default()));
    message.bytes[2..4].copy_from_slice(&[1, 0]);
    let links: Vec<u8> = (0..126).flat_map(|hop| pointer(40 + 2 * hop)).collect();
    message.add(
        Section::Additional,
        &[0],
        10,
        &[&[0, 0, 0], &links[..]].concat(),
    );
    let owner = pointer(40 + 2 * 125);
    while message.bytes.len() + 12 <= 2_044 {
        message.add(Section::Additional, &owner, 10, &[]);
    }
    message.bytes
}

/// A query as long as a stream carries it, of the same kind.
pub(crate) fn stream_query() -> Vec<u8> {
    let mut message = Message::of(&query(1, "example.org", &QueryForm::default()));
    message.bytes[2..4].copy_from_slice(&[1, 0]);
    let owner = pointer(QNAME);
    while message.add_fitting(Section::Additional, &owner, 10, &[]) {}
    message.bytes
}

struct Message {
    bytes: Vec<u8>,
    counts: [u32; 3],
}

impl Message {
    /// A response to a query, without records.
    fn of(query: &[u8]) -> Message {
        Message {
            bytes: response(query, RD | RA, [&[], &[], &[]]),
            counts: [0; 3],
        }
    }

    /// Adds a record, and returns where its RDATA stands.
    fn add(&mut self, section: Section, owner: &[u8], rtype: u16, rdata: &[u8]) -> usize {
        let count = &mut self.counts[section as usize - 1];
        let ttl = 300 + *count;
        *count += 1;
        self.bytes = std::mem::take(&mut self.bytes).with(section, owner, rtype, ttl, rdata);
        self.bytes.len() - rdata.len()
    }

    /// Adds a record if there is room for it.
    fn add_fitting(&mut self, section: Section, owner: &[u8], rtype: u16, rdata: &[u8]) -> bool {
        let fits = self.bytes.len() + owner.len() + 10 + rdata.len() <= MESSAGE_MAX;
        if fits {
            self.add(section, owner, rtype, rdata);
        }
        fits
    }
}

const NULL: u16 = 10;
const RP: u16 = 17;
const DNAME: u16 = 39;

/// Addresses of the QNAME, each owner a pointer.
fn addresses(query: &[u8]) -> Vec<u8> {
    let mut message = Message::of(query);
    while message.add_fitting(Section::Answer, &pointer(QNAME), A, &[192, 0, 2, 1]) {}
    message.bytes
}

/// Name servers below the QNAME: a label and a pointer each.
fn servers(query: &[u8]) -> Vec<u8> {
    let mut message = Message::of(query);
    let mut number = 0;
    loop {
        let label = format!("{number:04x}");
        let target = [&[4], label.as_bytes(), &pointer(QNAME)].concat();
        if !message.add_fitting(Section::Answer, &pointer(QNAME), NS, &target) {
            return message.bytes;
        }
        number += 1;
    }
}

/// RP records with three names each of 126 labels, each of which stands behind a pointer to the last one.
fn linked(query: &[u8]) -> Vec<u8> {
    let mut message = Message::of(query);
    let mut last = message.add(Section::Answer, &pointer(QNAME), NS, b"\x01a\0");
    for _ in 1..126 {
        let target = [&b"\x01a"[..], &pointer(last)].concat();
        last = message.add(Section::Answer, &pointer(QNAME), NS, &target);
    }
    let name = pointer(last);
    while message.add_fitting(Section::Answer, &name, RP, &name.repeat(2)) {}
    message.bytes
}

/// The same with names in RDATA that is opaque.
fn opaque(query: &[u8]) -> Vec<u8> {
    opaque_with(query, 126, usize::MAX)
}

/// As many names as are allowed that lead through as many pointers as are allowed into opaque bytes, and as many
/// other records as have room.
fn odd(query: &[u8]) -> Vec<u8> {
    opaque_with(query, 15, 75)
}

fn opaque_with(query: &[u8], pointers: usize, names: usize) -> Vec<u8> {
    let mut message = Message::of(query);
    let rdata_at = message.bytes.len() + 12;
    let mut rdata = [b"\x01a".repeat(126 - pointers), vec![0]].concat();
    let mut last = rdata_at;
    for _ in 0..pointers {
        let at = rdata_at + rdata.len();
        rdata.extend([&b"\x01a"[..], &pointer(last)].concat());
        last = at;
    }
    message.add(Section::Answer, &pointer(QNAME), NULL, &rdata);
    let name = pointer(last);
    for _ in 0..names {
        if !message.add_fitting(Section::Answer, &name, NULL, &[]) {
            break;
        }
    }
    while message.add_fitting(Section::Answer, &pointer(QNAME), NS, &pointer(QNAME)) {}
    message.bytes
}

/// The shortest records, each of another type, in no order.
fn roots(query: &[u8]) -> Vec<u8> {
    let mut message = Message::of(query);
    let mut number = 1_u16;
    while message.add_fitting(Section::Answer, &[0], 1_000 + number % 30_000, &[]) {
        number = number.wrapping_mul(25_173).wrapping_add(13_849);
    }
    message.bytes
}

/// Addresses of the QNAME, written with a copy of its labels.
fn copies(query: &[u8]) -> Vec<u8> {
    let mut message = Message::of(query);
    let name = wire_name(&long_name());
    let copy = message.add(Section::Answer, &pointer(QNAME), NS, &name);
    let own = question(query).get(..8).unwrap_or_default();
    let owner = [own, &pointer(copy + 8)].concat();
    while message.add_fitting(Section::Answer, &owner, A, &[192, 0, 2, 1]) {}
    message.bytes
}

/// A chain in the wrong order, and thousands of DNAME records above none of it.
fn dnames(query: &[u8]) -> Vec<u8> {
    let mut message = Message::of(query);
    let link = |hop: usize| [format!("\x02{hop:02}").as_bytes(), &pointer(QNAME)].concat();
    for hop in (0..31).rev() {
        let owner = if hop == 0 { pointer(QNAME) } else { link(hop) };
        message.add(Section::Answer, &owner, CNAME, &link(hop + 1));
    }
    let owner = [&b"\x01x"[..], &pointer(QNAME + 10)].concat();
    while message.add_fitting(Section::Answer, &owner, DNAME, &pointer(QNAME)) {}
    message.bytes
}

/// Records whose names are all written in full.
fn uncompressed(query: &[u8]) -> Vec<u8> {
    let mut message = Message::of(query);
    let question = question(query);
    let name = question.get(..question.len() - 4).unwrap_or_default();
    while message.add_fitting(Section::Answer, name, NS, name) {}
    message.bytes
}

/// Records whose owners have labels of their own, as many as there can be.
fn labels(query: &[u8]) -> Vec<u8> {
    let mut message = Message::of(query);
    let owner = [&b"\x01b".repeat(12)[..], &pointer(QNAME)].concat();
    while message.add_fitting(Section::Answer, &owner, A, &[192, 0, 2, 1]) {}
    message.bytes
}
