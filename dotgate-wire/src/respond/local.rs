//! Responses about names that dotgate itself answers for: data of a locally served zone.
//!
//! Knows how such an answer is written, not which zones there are. Follows RFC 6303 section 3, RFC
//! 6761 section 6.

use core::net::IpAddr;

use super::opt_record::put_fitting_opt;
use super::{ClientHop, put_header};
use crate::bytes::{length_u16, put_u16, put_u32, set_u16};
use crate::consts::{rclass, rcode, rtype};
use crate::header::{ANCOUNT_AT, Flags, NSCOUNT_AT};
use crate::question::split_question;

/// What a locally served zone says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LocalData {
    /// The name exists, but not with this type.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// The name's address, for a question of the address's type.
    Address(IpAddr),
    /// The name is that of a loopback address, for a question of type PTR.
    Localhost,
}

impl LocalData {
    /// The RCODE that goes with it.
    pub const fn rcode(self) -> u16 {
        match self {
            LocalData::NoData | LocalData::Address(_) | LocalData::Localhost => rcode::NOERROR,
            LocalData::NxDomain => rcode::NXDOMAIN,
        }
    }
}

/// TTL of what a locally served zone says, in seconds; also its SOA's MINIMUM (RFC 6303 section 3).
const LOCAL_TTL: u32 = 10_800;

/// Appends what a locally served zone says about `question`, with AA set. `zone` is the zone's
/// uncompressed name; a negative answer carries its SOA record, made as RFC 6303 section 3 says.
pub fn write_local(
    out: &mut Vec<u8>,
    question: &[u8],
    zone: &[u8],
    local: LocalData,
    hop: &ClientHop<'_>,
) {
    let start = out.len();
    put_header(out, hop, Flags::AA | local.rcode(), question);
    out.extend_from_slice(question);
    let count_at = match local {
        LocalData::NoData | LocalData::NxDomain => {
            put_soa(out, question, zone, LOCAL_TTL);
            NSCOUNT_AT
        }
        LocalData::Address(address) => {
            put_address(out, address);
            ANCOUNT_AT
        }
        LocalData::Localhost => {
            put_record_of_qname(out, rtype::PTR, b"\x09localhost\0");
            ANCOUNT_AT
        }
    };
    set_u16(out, start + count_at, 1);
    put_fitting_opt(out, start, hop, 0);
}

/// A pointer to the question's name, which always begins behind the header.
const QNAME_POINTER: u16 = 0xc00c;

/// Appends an address record of the question's name.
fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    let (rtype, v4, v6);
    let bytes: &[u8] = match address {
        IpAddr::V4(address) => {
            (rtype, v4) = (rtype::A, address.octets());
            &v4
        }
        IpAddr::V6(address) => {
            (rtype, v6) = (rtype::AAAA, address.octets());
            &v6
        }
    };
    put_record_of_qname(out, rtype, bytes);
}

/// Appends a record of the question's name.
fn put_record_of_qname(out: &mut Vec<u8>, rtype: u16, rdata: &[u8]) {
    put_u16(out, QNAME_POINTER);
    put_u16(out, rtype);
    put_u16(out, rclass::IN);
    put_u32(out, LOCAL_TTL);
    put_u16(out, length_u16(rdata.len()));
    out.extend_from_slice(rdata);
}

/// The mailbox of RFC 6303 section 3: `nobody.invalid.`
const NOBODY: &[u8] = b"\x06nobody\x07invalid\0";
/// SERIAL, REFRESH, RETRY and EXPIRE of RFC 6303 section 3.
const SOA_NUMBERS: [u32; 4] = [1, 3_600, 1_200, 604_800];

/// Appends the SOA record of a locally served zone, whose TTL and MINIMUM are `ttl` seconds, and returns where its TTL
/// stands.
pub(crate) fn put_soa(out: &mut Vec<u8>, question: &[u8], zone: &[u8], ttl: u32) -> usize {
    let apex = Apex::of(question, zone);
    apex.append(out);
    put_u16(out, rtype::SOA);
    put_u16(out, rclass::IN);
    let ttl_at = out.len();
    put_u32(out, ttl);
    put_u16(
        out,
        length_u16(apex.len() + NOBODY.len() + 4 * SOA_NUMBERS.len() + 4),
    );
    apex.append(out);
    out.extend_from_slice(NOBODY);
    for number in SOA_NUMBERS {
        put_u32(out, number);
    }
    put_u32(out, ttl);
    ttl_at
}

/// The name of a zone's apex in a response: a pointer into the question where that is possible.
enum Apex<'a> {
    Pointer(u16),
    Name(&'a [u8]),
}

impl<'a> Apex<'a> {
    fn of(question: &[u8], zone: &'a [u8]) -> Self {
        let (name, _) = split_question(question);
        let is_suffix = name
            .len()
            .checked_sub(zone.len())
            .and_then(|depth| Some((depth, name.get(depth..)?)))
            .filter(|(_, suffix)| suffix.eq_ignore_ascii_case(zone));
        match is_suffix {
            // The root is one byte, a pointer to it two.
            Some((depth, _)) if zone.len() > 1 => Self::Pointer(QNAME_POINTER + length_u16(depth)),
            Some(_) | None => Self::Name(zone),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Pointer(_) => 2,
            Self::Name(name) => name.len(),
        }
    }

    fn append(&self, out: &mut Vec<u8>) {
        match self {
            Self::Pointer(pointer) => put_u16(out, *pointer),
            Self::Name(name) => out.extend_from_slice(name),
        }
    }
}
