//! DNS64: IPv4 addresses inside IPv6 addresses, and responses about AAAA records that are made of those about A records.
//!
//! Behind the loading of an answer, in front of the cache. Knows how an address is mapped and how the response is put
//! together, and how a prefix is recognized (RFC 7050), not when one is needed. CNAME and DNAME records stay, signatures of A records go, and AD is clear, for nothing
//! that is made here is signed. Limit: 65,535 bytes. Follows RFC 6052 section 2 and RFC 6147 sections 5.1 and 5.4.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::answer::{CacheTtl, UpstreamResponse};
use crate::bytes::{set_u16, u16_at, u32_at};
use crate::consts::{rclass, rcode, rtype};
use crate::header::{ANCOUNT_AT, ARCOUNT_AT, FLAGS_AT, Flags, HEADER_LEN, NSCOUNT_AT, QDCOUNT_AT};
use crate::records::{Record, Section};
use crate::respond::{MESSAGE_MAX, NameWriter};

/// The TTL of a synthesized record if the negative response about AAAA had no SOA record (RFC 6147 section 5.1.7).
const TTL_WITHOUT_SOA: u32 = 600;

/// Where bits 64 to 71 are, which are zero.
const ZERO_BYTE: usize = 8;

/// 64:ff9b::/96, which is for global IPv4 addresses alone (RFC 6052 section 3.1).
const WELL_KNOWN: Nat64Prefix = Nat64Prefix {
    bytes: [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    length: 96,
};

/// The lengths that a prefix may have, in bits.
const LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

/// The addresses of `ipv4only.arpa` (RFC 7050 section 8.2).
const IPV4ONLY: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];

/// A prefix with an IPv4 address behind it is an IPv6 address, which a NAT64 translates.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Nat64Prefix {
    bytes: [u8; 16],
    length: u8,
}

impl Nat64Prefix {
    /// Makes a prefix of 32, 40, 48, 56, 64 or 96 bits. `None` for another length, or if bits 64 to 71 or those behind the
    /// prefix are not zero.
    pub fn new(address: Ipv6Addr, length: u8) -> Option<Nat64Prefix> {
        let bytes = address.octets();
        let mut behind = bytes.iter().skip(usize::from(length / 8));
        let is_zero = bytes.get(ZERO_BYTE) == Some(&0) && behind.all(|byte| *byte == 0);
        (is_zero && LENGTHS.contains(&length)).then_some(Nat64Prefix { bytes, length })
    }

    /// Returns the prefix of an address that was made of one of `ipv4only.arpa`; `None` if it was not, or if prefixes of
    /// several lengths may have it (RFC 7050 section 3).
    fn of_ipv4only(address: Ipv6Addr) -> Option<Nat64Prefix> {
        let mut found = LENGTHS.into_iter().filter_map(|length| {
            let mut bytes = address.octets();
            let behind = bytes.iter_mut().skip(usize::from(length / 8));
            behind.for_each(|byte| *byte = 0);
            let prefix = Nat64Prefix::new(bytes.into(), length)?;
            let inside = prefix.extract(address)?;
            IPV4ONLY.contains(&inside).then_some(prefix)
        });
        found.next().filter(|_| found.next().is_none())
    }

    /// Where the four bytes of an IPv4 address are.
    fn places(&self) -> impl Iterator<Item = usize> + use<> {
        let start = usize::from(self.length / 8);
        (start..16).filter(|place| *place != ZERO_BYTE).take(4)
    }

    /// Returns the IPv6 address for an IPv4 address; `None` if the well-known prefix must not have it.
    pub fn embed(&self, address: Ipv4Addr) -> Option<Ipv6Addr> {
        if *self == WELL_KNOWN && !is_global(address) {
            return None;
        }
        let mut bytes = self.bytes;
        for (place, value) in self.places().zip(address.octets()) {
            *bytes.get_mut(place)? = value;
        }
        Some(bytes.into())
    }

    /// Returns the IPv4 address in an IPv6 address; `None` if it is outside the prefix.
    pub fn extract(&self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let bytes = address.octets();
        let length = usize::from(self.length / 8);
        let is_inside =
            bytes.get(..length) == self.bytes.get(..length) && bytes.get(ZERO_BYTE) == Some(&0);
        let mut found = [0; 4];
        for (place, value) in self.places().zip(&mut found) {
            *value = *bytes.get(place)?;
        }
        is_inside.then(|| found.into())
    }
}

impl fmt::Display for Nat64Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", Ipv6Addr::from(self.bytes), self.length)
    }
}

/// Whether an address may be behind the well-known prefix: not private (RFC 1918), shared, loopback, link-local, for
/// benchmarks, multicast, reserved or of this network. Addresses of documentation are no one's, and examples have them.
fn is_global(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let is_shared = first == 100 && second & 0xc0 == 64;
    let is_benchmark = first == 198 && second & 0xfe == 18;
    !(matches!(first, 0 | 224..)
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || is_shared
        || is_benchmark)
}

/// Whether an AAAA record counts as none: an IPv4-mapped address leads nowhere (RFC 6147 section 5.1.4).
fn is_excluded(record: &Record, body: &[u8]) -> bool {
    let address = <[u8; 16]>::try_from(record.rdata(body)).map(Ipv6Addr::from);
    record.rtype == rtype::AAAA && address.is_ok_and(|it| it.to_ipv4_mapped().is_some())
}

/// What becomes of a record of the answer section.
enum Change {
    Keep,
    Remove,
    /// It is an AAAA record with this address.
    Aaaa(Ipv6Addr),
}

impl UpstreamResponse {
    /// Returns whether this is a response without error about AAAA records of class IN that has none of use.
    pub fn lacks_aaaa(&self) -> bool {
        let mut addresses = self.of_aaaa();
        self.rcode() == rcode::NOERROR
            && self.question().ends_with(AAAA_IN)
            && !self.flags().is_truncated()
            && addresses.all(|record| is_excluded(record, self.body()))
    }

    /// Returns whether there are AAAA records of use and others.
    pub fn has_excluded_aaaa(&self) -> bool {
        let mut addresses = self.of_aaaa();
        addresses.any(|record| is_excluded(record, self.body())) && !self.lacks_aaaa()
    }

    /// Returns this response without AAAA records that are of no use.
    pub fn without_excluded_aaaa(&self) -> Option<Vec<u8>> {
        let is_excluded = |record: &Record| is_excluded(record, self.body());
        self.changed(self.question(), u32::MAX, |record| {
            match is_excluded(record) {
                true => Change::Remove,
                false => Change::Keep,
            }
        })
    }

    /// Returns the prefix that this response about the AAAA records of `ipv4only.arpa` shows (RFC 7050 section 3).
    pub fn nat64_prefix(&self) -> Option<Nat64Prefix> {
        let of_use = self
            .of_aaaa()
            .filter(|record| !is_excluded(record, self.body()));
        let addresses = of_use.filter_map(|it| <[u8; 16]>::try_from(it.rdata(self.body())).ok());
        addresses
            .map(Ipv6Addr::from)
            .find_map(Nat64Prefix::of_ipv4only)
    }

    /// Returns the longest TTL of records that are synthesized because of this response about AAAA records, in seconds.
    pub fn synthesis_ttl(&self) -> u32 {
        match self.cache_ttl() {
            CacheTtl::Negative(ttl) => ttl,
            CacheTtl::Positive(_) | CacheTtl::None => TTL_WITHOUT_SOA,
        }
    }

    /// Returns the response to `question`, which asks for AAAA records, made of this response about A records, and how many
    /// addresses it has. Signatures and addresses that cannot be mapped are left out; an error stays one.
    pub fn synthesized(
        &self,
        question: &[u8],
        prefix: Nat64Prefix,
        ttl_max: u32,
    ) -> Option<(Vec<u8>, usize)> {
        let mut count = 0;
        let message = self.changed(question, ttl_max, |record| {
            let rdata = record.rdata(self.body());
            match record.rtype {
                rtype::A => {
                    let address = <[u8; 4]>::try_from(rdata).ok();
                    let mapped = address.and_then(|it| prefix.embed(it.into()));
                    count += usize::from(mapped.is_some());
                    mapped.map_or(Change::Remove, Change::Aaaa)
                }
                rtype::RRSIG if u16_at(rdata, 0) == Some(rtype::A) => Change::Remove,
                _ => Change::Keep,
            }
        })?;
        Some((message, count))
    }

    /// The AAAA records of the answer section.
    fn of_aaaa(&self) -> impl Iterator<Item = &Record> {
        let entries = self.scan.entries.iter();
        let answers = entries.take_while(|entry| entry.section == Section::Answer);
        let records = answers.map(|entry| &entry.record);
        records.filter(|record| record.rtype == rtype::AAAA && record.rclass == rclass::IN)
    }

    /// This response to another question, with changes to the answer section.
    fn changed(
        &self,
        question: &[u8],
        ttl_max: u32,
        mut change: impl FnMut(&Record) -> Change,
    ) -> Option<Vec<u8>> {
        let has_records = matches!(self.rcode(), rcode::NOERROR | rcode::NXDOMAIN);
        // The upper bits of an RCODE were in the OPT record, which is not there any more.
        let rcode = match self.rcode() {
            0..16 => self.rcode(),
            16.. => rcode::SERVFAIL,
        };
        let truncated = self.flags().0 & Flags::TC;
        let mut first = vec![0; HEADER_LEN];
        set_u16(&mut first, FLAGS_AT, Flags::QR | truncated | rcode);
        set_u16(&mut first, QDCOUNT_AT, 1);
        first.extend_from_slice(question);
        let mut writer = NameWriter::new(MESSAGE_MAX);
        writer.copy(first.get(..HEADER_LEN)?).ok()?;
        writer.question(&first)?;
        let mut counts = [0_u16; 3];
        for entry in self.scan.entries.iter().filter(|_| has_records) {
            let (record, body) = (&entry.record, self.body());
            let (change, count_at) = match entry.section {
                Section::Answer => (change(record), 0),
                Section::Authority => (Change::Keep, 1),
                Section::Additional => (Change::Keep, 2),
            };
            match change {
                Change::Remove => continue,
                Change::Keep => {
                    writer.record(body, record.start)?;
                }
                Change::Aaaa(address) => {
                    writer.owner(body, record.start)?;
                    let fixed = [rtype::AAAA.to_be_bytes(), record.rclass.to_be_bytes()];
                    writer.copy(fixed.as_flattened()).ok()?;
                    // As the body has it, which is bounded.
                    let ttl = u32_at(body, record.ttl_at)?.min(ttl_max);
                    writer.copy(&ttl.to_be_bytes()).ok()?;
                    writer.copy(&16_u16.to_be_bytes()).ok()?;
                    writer.copy(&address.octets()).ok()?;
                }
            }
            *counts.get_mut(count_at)? += 1;
        }
        let mut message = writer.finish();
        for (at, count) in [ANCOUNT_AT, NSCOUNT_AT, ARCOUNT_AT].into_iter().zip(counts) {
            set_u16(&mut message, at, count);
        }
        Some(message)
    }
}

/// Type and class of a question for AAAA records.
const AAAA_IN: &[u8] = &[0, 28, 0, 1];

#[cfg(test)]
mod tests;
