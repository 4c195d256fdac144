//! Changes to a message that exists.

use crate::{HEADER_LEN, IN, OPT, UDP_SIZE, name_end, option, push_record};

/// A section of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// The questions.
    Question,
    /// The answer section.
    Answer,
    /// The authority section.
    Authority,
    /// The additional section.
    Additional,
}

impl Section {
    /// Where the count of its entries stands.
    fn count_at(self) -> usize {
        4 + 2 * self as usize
    }
}

/// The builder methods of a message. They change its bytes at once, so that other changes can precede and follow.
///
/// # Panics
/// All of them panic if the message has no whole header.
pub trait Compose: Sized {
    /// Replaces the flags, with opcode and RCODE.
    #[must_use]
    fn with_flags(self, flags: u16) -> Self;

    /// Replaces the class of the question.
    ///
    /// # Panics
    /// If the question is cut short.
    #[must_use]
    fn with_qclass(self, qclass: u16) -> Self;

    /// Replaces the count of a section, right or wrong.
    #[must_use]
    fn with_count(self, section: Section, count: u16) -> Self;

    /// Appends a record and counts it. The message is malformed if there are records of a later section, or if these
    /// bytes are not one record.
    #[must_use]
    fn with_record(self, section: Section, record: &[u8]) -> Self;

    /// Appends a record of class IN and counts it; see [`Compose::with_record`].
    #[must_use]
    fn with(self, section: Section, owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8]) -> Self;

    /// Appends an OPT record with a UDP payload size, the TTL field, which has the upper bits of the RCODE, the version and
    /// the flags, and options.
    #[must_use]
    fn with_opt(self, udp_size: u16, ttl: u32, options: &[(u16, &[u8])]) -> Self;

    /// Appends an OPT record without flags or options.
    #[must_use]
    fn with_edns(self) -> Self {
        self.with_options(&[])
    }

    /// Appends an OPT record with these options.
    #[must_use]
    fn with_options(self, options: &[(u16, &[u8])]) -> Self {
        self.with_opt(UDP_SIZE, 0, options)
    }
}

impl Compose for Vec<u8> {
    fn with_flags(mut self, flags: u16) -> Self {
        self[2..4].copy_from_slice(&flags.to_be_bytes());
        self
    }

    fn with_qclass(mut self, qclass: u16) -> Self {
        let at = name_end(&self, HEADER_LEN).expect("a question") + 2;
        self[at..at + 2].copy_from_slice(&qclass.to_be_bytes());
        self
    }

    fn with_count(mut self, section: Section, count: u16) -> Self {
        let at = section.count_at();
        self[at..at + 2].copy_from_slice(&count.to_be_bytes());
        self
    }

    fn with_record(mut self, section: Section, record: &[u8]) -> Self {
        self.extend(record);
        counted(self, section)
    }

    fn with(mut self, section: Section, owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8]) -> Self {
        push_record(&mut self, owner, (rtype, IN), ttl, rdata);
        counted(self, section)
    }

    fn with_opt(mut self, udp_size: u16, ttl: u32, options: &[(u16, &[u8])]) -> Self {
        let options = options.iter().flat_map(|(code, data)| option(*code, data));
        let rdata: Vec<u8> = options.collect();
        push_record(&mut self, &[0], (OPT, udp_size), ttl, &rdata);
        counted(self, Section::Additional)
    }
}

/// The message with one more record in a section.
fn counted(message: Vec<u8>, section: Section) -> Vec<u8> {
    let at = section.count_at();
    let count = u16::from_be_bytes([message[at], message[at + 1]]);
    message.with_count(section, count + 1)
}
