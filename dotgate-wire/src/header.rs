//! The header: the first twelve bytes of every message.
//!
//! Read first in queries and responses alike. Says nothing about what follows: its counts are
//! promises that the record walk checks. Follows RFC 1035 section 4.1.1 and RFC 6840 section 5 (AD
//! and CD).

use crate::bytes::{u16_at, u32_at};

/// Bytes of a message header.
pub const HEADER_LEN: usize = 12;

/// The raw second word of a header: QR, opcode, flags and the lower four bits of the RCODE.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags(pub u16);

impl Flags {
    pub(crate) const QR: u16 = 0x8000;
    pub(crate) const AA: u16 = 0x0400;
    pub(crate) const TC: u16 = 0x0200;
    pub(crate) const RD: u16 = 0x0100;
    pub(crate) const RA: u16 = 0x0080;
    pub(crate) const Z: u16 = 0x0040;
    pub(crate) const AD: u16 = 0x0020;
    pub(crate) const CD: u16 = 0x0010;

    const fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }

    /// Returns whether QR is set: a response, not a query.
    pub const fn is_response(self) -> bool {
        self.has(Self::QR)
    }

    /// Returns the opcode, 0 to 15; 0 is QUERY.
    pub const fn opcode(self) -> u8 {
        (self.0.to_be_bytes()[0] >> 3) & 0x0f
    }

    /// Returns whether AA is set.
    pub const fn is_authoritative(self) -> bool {
        self.has(Self::AA)
    }

    /// Returns whether TC is set.
    pub const fn is_truncated(self) -> bool {
        self.has(Self::TC)
    }

    /// Returns whether RD is set.
    pub const fn recursion_desired(self) -> bool {
        self.has(Self::RD)
    }

    /// Returns whether RA is set.
    pub const fn recursion_available(self) -> bool {
        self.has(Self::RA)
    }

    /// Returns whether AD is set.
    pub const fn authentic_data(self) -> bool {
        self.has(Self::AD)
    }

    /// Returns whether CD is set.
    pub const fn checking_disabled(self) -> bool {
        self.has(Self::CD)
    }

    /// Returns the lower four bits of the RCODE; an OPT record may hold eight more.
    pub const fn rcode(self) -> u8 {
        self.0.to_be_bytes()[1] & 0x0f
    }
}

/// Returns the message ID, or `None` for less than two bytes.
pub fn message_id(message: &[u8]) -> Option<u16> {
    u16_at(message, 0)
}

/// The offset of the flags in a message.
pub(crate) const FLAGS_AT: usize = 2;
/// The offset of QDCOUNT.
pub(crate) const QDCOUNT_AT: usize = 4;
/// The offset of ANCOUNT.
pub(crate) const ANCOUNT_AT: usize = 6;
/// The offset of NSCOUNT.
pub(crate) const NSCOUNT_AT: usize = 8;
/// The offset of ARCOUNT.
pub(crate) const ARCOUNT_AT: usize = 10;

/// The six words of a header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) id: u16,
    pub(crate) flags: Flags,
    pub(crate) questions: u16,
    pub(crate) answers: u16,
    pub(crate) authorities: u16,
    pub(crate) additionals: u16,
}

impl Header {
    /// Reads the header; `None` if the message is shorter than one.
    pub(crate) fn read(message: &[u8]) -> Option<Self> {
        // The last field first: if it is there, so are the others.
        let additionals = u16_at(message, ARCOUNT_AT)?;
        Some(Self {
            id: u16_at(message, 0)?,
            flags: Flags(u16_at(message, FLAGS_AT)?),
            questions: u16_at(message, QDCOUNT_AT)?,
            answers: u16_at(message, ANCOUNT_AT)?,
            authorities: u16_at(message, NSCOUNT_AT)?,
            additionals,
        })
    }
}

/// Returns type and class, which are the two words behind a question's name.
pub(crate) fn type_and_class(message: &[u8], at: usize) -> Option<(u16, u16)> {
    let [type_high, type_low, class_high, class_low] = u32_at(message, at)?.to_be_bytes();
    Some((
        u16::from_be_bytes([type_high, type_low]),
        u16::from_be_bytes([class_high, class_low]),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_read_from_its_own_bit() {
        let read = |word| {
            let flags = Flags(word);
            [
                flags.is_response(),
                flags.is_authoritative(),
                flags.is_truncated(),
                flags.recursion_desired(),
                flags.recursion_available(),
                flags.authentic_data(),
                flags.checking_disabled(),
            ]
            .map(u8::from)
        };
        assert_eq!(read(0x8000), [1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(read(0x0400), [0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(read(0x0200), [0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(read(0x0100), [0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(read(0x0080), [0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(read(0x0020), [0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(read(0x0010), [0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(read(0x784f), [0; 7]);
        assert_eq!(Flags(0x7800).opcode(), 15);
        assert_eq!(Flags(0x87ff).opcode(), 0);
        assert_eq!(Flags(0xfff5).rcode(), 5);
    }

    #[test]
    fn header_needs_all_of_its_twelve_bytes() {
        assert!(Header::read(&[0; HEADER_LEN]).is_some());
        assert!(Header::read(&[0; HEADER_LEN - 1]).is_none());
        assert_eq!(message_id(&[0x12, 0x34]), Some(0x1234));
        assert_eq!(message_id(&[0x12]), None);
    }
}
