//! Messages as a client or an upstream sees them: put together byte by byte, and read by rules of their own,
//! so that what the engine writes is not judged by the code that wrote it.

use super::lab::query;

pub(super) const RD: u16 = 0x0100;
pub(super) const RA: u16 = 0x0080;
pub(super) const Z: u16 = 0x0040;
pub(super) const AD: u16 = 0x0020;
pub(super) const CD: u16 = 0x0010;
pub(super) const AA: u16 = 0x0400;
pub(super) const TC: u16 = 0x0200;
pub(super) const QR: u16 = 0x8000;
/// DO in the OPT record's TTL.
pub(super) const DO: u32 = 0x8000;

pub(super) const A: u16 = 1;
pub(super) const OPT: u16 = 41;
pub(super) const RRSIG: u16 = 46;

pub(super) const ECS: u16 = 8;
pub(super) const COOKIE: u16 = 10;
pub(super) const KEEPALIVE: u16 = 11;
pub(super) const PADDING: u16 = 12;
pub(super) const EDE: u16 = 15;

/// A pointer to the question's name.
pub(super) const QNAME: &[u8] = &[0xc0, 12];

/// One record as it stands in a message, its owner not followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) section: usize,
    pub(super) rtype: u16,
    pub(super) rclass: u16,
    pub(super) ttl: u32,
    pub(super) rdata: Vec<u8>,
}

/// A message, every byte of it read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Message {
    pub(super) id: u16,
    pub(super) flags: u16,
    pub(super) question: Vec<u8>,
    /// All records but OPT.
    pub(super) records: Vec<Record>,
    pub(super) opt: Option<Record>,
}

impl Message {
    /// Reads a message; panics if it is not well formed or bytes are left over.
    pub(super) fn read(bytes: &[u8]) -> Message {
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let mut at = 12;
        for _ in 0..word(4) {
            at = name_end(bytes, at) + 4;
        }
        let mut message = Message {
            id: word(0),
            flags: word(2),
            question: bytes[12..at].to_vec(),
            records: Vec::new(),
            opt: None,
        };
        for section in 0..3 {
            for _ in 0..word(6 + 2 * section) {
                let fixed = name_end(bytes, at);
                let end = fixed + 10 + usize::from(word(fixed + 8));
                let record = Record {
                    section,
                    rtype: word(fixed),
                    rclass: word(fixed + 2),
                    ttl: u32::from(word(fixed + 4)) << 16 | u32::from(word(fixed + 6)),
                    rdata: bytes[fixed + 10..end].to_vec(),
                };
                if record.rtype == OPT {
                    assert_eq!((section, bytes[at]), (2, 0), "OPT of the root, additional");
                    assert!(message.opt.replace(record).is_none(), "a second OPT");
                } else {
                    message.records.push(record);
                }
                at = end;
            }
        }
        assert_eq!(at, bytes.len(), "bytes behind the last record");
        message
    }

    /// The RCODE of 12 bits.
    pub(super) fn rcode(&self) -> u16 {
        let upper = self.opt.as_ref().map_or(0, |opt| opt.ttl >> 24);
        u16::try_from(upper << 4).unwrap() | self.flags & 15
    }

    pub(super) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Version and flags of the OPT record.
    pub(super) fn edns_flags(&self) -> Option<u32> {
        self.opt.as_ref().map(|opt| opt.ttl & 0x00ff_ffff)
    }

    /// The options of the OPT record, in order.
    pub(super) fn options(&self) -> Vec<(u16, Vec<u8>)> {
        let mut options = Vec::new();
        let mut rest = self.opt.as_ref().map_or(&[][..], |opt| &opt.rdata);
        while !rest.is_empty() {
            let end = 4 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            options.push((
                u16::from_be_bytes([rest[0], rest[1]]),
                rest[4..end].to_vec(),
            ));
            rest = &rest[end..];
        }
        options
    }

    pub(super) fn option_codes(&self) -> Vec<u16> {
        self.options().iter().map(|(code, _)| *code).collect()
    }

    /// INFO-CODE and EXTRA-TEXT of the only Extended DNS Error.
    pub(super) fn ede(&self) -> Option<(u16, String)> {
        let mut errors = self.options();
        errors.retain(|(code, _)| *code == EDE);
        assert!(errors.len() <= 1, "two errors response");
        let (_, data) = errors.pop()?;
        let text = String::from_utf8(data[2..].to_vec()).unwrap();
        Some((u16::from_be_bytes([data[0], data[1]]), text))
    }
}

fn name_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        match bytes[at] {
            0 => return at + 1,
            0xc0.. => return at + 2,
            length => {
                assert!(length < 64, "no label");
                at += 1 + usize::from(length);
            }
        }
    }
}

/// Appends an OPT record and counts it.
pub(super) fn with_opt(
    mut message: Vec<u8>,
    udp_size: u16,
    ttl: u32,
    options: &[(u16, &[u8])],
) -> Vec<u8> {
    let mut rdata = Vec::new();
    for (code, data) in options {
        rdata.extend(code.to_be_bytes());
        rdata.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        rdata.extend_from_slice(data);
    }
    message.extend(record(&[0], OPT, udp_size, ttl, &rdata));
    count_up(message, 10)
}

/// Counts one more record in the section whose count stands at `at`.
pub(super) fn count_up(mut message: Vec<u8>, at: usize) -> Vec<u8> {
    message[at + 1] += 1;
    message
}

pub(super) fn with_flags(mut message: Vec<u8>, flags: u16) -> Vec<u8> {
    message[2..4].copy_from_slice(&flags.to_be_bytes());
    message
}

/// A query, ID 1, for this type and class.
pub(super) fn query_for(name: &str, qtype: u16, qclass: u16) -> Vec<u8> {
    let mut message = query(1, name);
    let end = message.len();
    message[end - 4..end - 2].copy_from_slice(&qtype.to_be_bytes());
    message[end - 2..].copy_from_slice(&qclass.to_be_bytes());
    message
}

pub(super) fn record(owner: &[u8], rtype: u16, rclass: u16, ttl: u32, rdata: &[u8]) -> Vec<u8> {
    let mut out = owner.to_vec();
    out.extend(rtype.to_be_bytes());
    out.extend(rclass.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    out.extend(u16::try_from(rdata.len()).unwrap().to_be_bytes());
    out.extend_from_slice(rdata);
    out
}

/// An address of the question's name.
pub(super) fn address(last: u8) -> Vec<u8> {
    record(QNAME, A, 1, 300, &[203, 0, 113, last])
}

/// The response to a query with these flags in addition to QR, and records in its three sections. No OPT record.
pub(super) fn response(query: &[u8], flags: u16, sections: [&[Vec<u8>]; 3]) -> Vec<u8> {
    let mut out = query[..name_end(query, 12) + 4].to_vec();
    out[2..4].copy_from_slice(&(QR | flags).to_be_bytes());
    for (section, at) in sections.iter().zip([6, 8, 10]) {
        let count = u16::try_from(section.len()).unwrap();
        out[at..at + 2].copy_from_slice(&count.to_be_bytes());
        out.extend(section.concat());
    }
    out
}

/// The same with an OPT record that has these options.
pub(super) fn response_with_opt(
    query: &[u8],
    flags: u16,
    sections: [&[Vec<u8>]; 3],
    options: &[(u16, &[u8])],
) -> Vec<u8> {
    with_opt(response(query, flags, sections), 1_232, 0, options)
}

/// An error response whose only option is this Extended DNS Error.
pub(super) fn error_with_ede(query: &[u8], rcode: u16, code: u16, text: &str) -> Vec<u8> {
    let data = [&code.to_be_bytes()[..], text.as_bytes()].concat();
    response_with_opt(query, RD | RA | rcode, [&[], &[], &[]], &[(EDE, &data)])
}
