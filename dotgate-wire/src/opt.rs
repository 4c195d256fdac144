//! The OPT record: EDNS, of one hop only.
//!
//! Read from queries and responses, written into both, never carried over. Limit: [`OPTIONS_MAX`]
//! options in one record, each looked at once. Follows RFC 6891 section 6; options of RFC 7828, RFC
//! 7830, RFC 7873 and RFC 8914 are known, others are skipped.

use crate::bytes::{length_u16, put_u16, put_u32, u16_at};
use crate::consts::rtype;
use crate::records::Record;

/// The most options looked at in one OPT record. A record with more is malformed for us (RFC 6891
/// sets no limit).
pub const OPTIONS_MAX: usize = 512;

/// Bytes of an OPT record without options: root name, type, class, TTL, RDLENGTH.
pub(crate) const OPT_LEN: usize = 11;
/// Bytes in front of an option's data: code and length.
pub(crate) const OPTION_HEADER_LEN: usize = 4;

/// The option codes dotgate knows.
pub(crate) mod code {
    /// Cookie, RFC 7873.
    pub(crate) const COOKIE: u16 = 10;
    /// edns-tcp-keepalive, RFC 7828.
    pub(crate) const KEEPALIVE: u16 = 11;
    /// Padding, RFC 7830.
    pub(crate) const PADDING: u16 = 12;
    /// Extended DNS Error, RFC 8914.
    pub(crate) const EDE: u16 = 15;
}

/// The DO bit in the lower half of the OPT record's TTL (RFC 3225).
const DNSSEC_OK: u16 = 0x8000;

/// What is wrong with the options of an OPT record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OptionFault {
    /// An option is longer than the rest of the record, or bytes follow the last one.
    Overrun,
    /// There are more than [`OPTIONS_MAX`] options.
    TooMany,
}

/// An OPT record's fixed fields and its options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opt<'a> {
    pub(crate) udp_size: u16,
    pub(crate) extended_rcode: u8,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
    options: &'a [u8],
}

impl<'a> Opt<'a> {
    /// Reads the fields that an OPT record keeps in class and TTL (RFC 6891 section 6.1.2).
    pub(crate) fn of_record(message: &'a [u8], record: &Record) -> Self {
        let [extended_rcode, version, high, low] = record.ttl.to_be_bytes();
        Self {
            udp_size: record.rclass,
            extended_rcode,
            version,
            dnssec_ok: u16::from_be_bytes([high, low]) & DNSSEC_OK != 0,
            options: record.rdata(message),
        }
    }

    /// Shows each option's code and data to `visit`, in order, until the first fault.
    pub(crate) fn visit_options(
        &self,
        mut visit: impl FnMut(u16, &'a [u8]),
    ) -> Result<(), OptionFault> {
        let mut rest = self.options;
        for _ in 0..OPTIONS_MAX {
            if rest.is_empty() {
                return Ok(());
            }
            let code = u16_at(rest, 0).ok_or(OptionFault::Overrun)?;
            let length = u16_at(rest, 2).ok_or(OptionFault::Overrun)?;
            let (data, behind) = rest
                .get(OPTION_HEADER_LEN..)
                .and_then(|behind| behind.split_at_checked(usize::from(length)))
                .ok_or(OptionFault::Overrun)?;
            visit(code, data);
            rest = behind;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(OptionFault::TooMany)
        }
    }
}

/// Appends an OPT record, version 0, up to its RDLENGTH; the caller appends `options_len` bytes of
/// options.
pub(crate) fn put_opt(
    out: &mut Vec<u8>,
    udp_size: u16,
    extended_rcode: u8,
    dnssec_ok: bool,
    options_len: usize,
) {
    out.push(0);
    put_u16(out, rtype::OPT);
    put_u16(out, udp_size);
    let flags = if dnssec_ok { u32::from(DNSSEC_OK) } else { 0 };
    put_u32(out, u32::from(extended_rcode) << 24 | flags);
    put_u16(out, length_u16(options_len));
}

/// Appends an option's code and length; the caller appends `data_len` bytes of data.
pub(crate) fn put_option(out: &mut Vec<u8>, code: u16, data_len: usize) {
    put_u16(out, code);
    put_u16(out, length_u16(data_len));
}
