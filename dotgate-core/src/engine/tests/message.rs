//! Messages as a client or an upstream reads them, by rules of their own, so that what the engine writes is not judged by
//! the code that wrote it.

use dotgate_message::{A, Compose as _, EDE, OPT, QNAME, RA, RD, ede, name_end, record, response};

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
            at = name_end(bytes, at).unwrap() + 4;
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
                let fixed = name_end(bytes, at).unwrap();
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

/// An address of the question's name.
pub(super) fn address(last: u8) -> Vec<u8> {
    record(QNAME, A, 300, &[203, 0, 113, last])
}

/// An error response whose only option is this Extended DNS Error.
pub(super) fn error_with_ede(query: &[u8], rcode: u16, code: u16, text: &str) -> Vec<u8> {
    response(query, RD | RA | rcode, [&[], &[], &[]]).with_options(&[(EDE, &ede(code, text))])
}
