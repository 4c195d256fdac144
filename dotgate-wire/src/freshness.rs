//! How long an HTTP cache may hold a response.
//!
//! Read from a finished response towards a client over HTTPS; changes nothing. The lifetime is the smallest TTL of the
//! answer section. That of a negative response is in its SOA record too (RFC 8484 section 5.1, RFC 2308 section 5).

use crate::bytes::u32_at;
use crate::consts::{rcode, rtype};
use crate::header::{HEADER_LEN, Header, type_and_class};
use crate::name;
use crate::records::Record;

/// Bytes of MINIMUM, the last field of an SOA record.
const MINIMUM_LEN: usize = 4;

/// Returns for how many seconds a response is fresh: 0 for errors, for truncated responses, for negative ones without an SOA
/// record, and for what is no response to one question.
pub fn freshness(response: &[u8]) -> u32 {
    read(response).unwrap_or(0)
}

fn read(response: &[u8]) -> Option<u32> {
    let header = Header::read(response)?;
    let code = u16::from(header.flags.rcode());
    let may_be_fresh = header.flags.is_response()
        && !header.flags.is_truncated()
        && header.questions == 1
        && (code == rcode::NOERROR || code == rcode::NXDOMAIN);
    if !may_be_fresh {
        return None;
    }
    let question_end = name::skip(response, HEADER_LEN).ok()?;
    let (qtype, _) = type_and_class(response, question_end)?;
    let mut at = question_end + 4;
    let mut lowest = u32::MAX;
    let mut has_type_asked = false;
    for _ in 0..header.answers {
        let record = Record::read_skipping_owner(response, at).ok()?;
        lowest = lowest.min(record.ttl);
        has_type_asked |= record.rtype == qtype || qtype == rtype::ANY;
        at = record.end;
    }
    if code == rcode::NOERROR && has_type_asked {
        return Some(lowest);
    }
    for _ in 0..header.authorities {
        let record = Record::read_skipping_owner(response, at).ok()?;
        if record.rtype == rtype::SOA {
            let minimum = u32_at(
                record.rdata(response),
                record.rdata(response).len().checked_sub(MINIMUM_LEN)?,
            )?;
            return Some(lowest.min(record.ttl).min(minimum));
        }
        at = record.end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{RESPONSE, address, message, name, pointer, record, response};

    /// An address record with this TTL.
    fn with_ttl(ttl: u32) -> Vec<u8> {
        record(&pointer(HEADER_LEN), rtype::A, ttl, &[192, 0, 2, 1])
    }

    fn soa(ttl: u32, minimum: u32) -> Vec<u8> {
        let mut rdata = [name("ns.example.org"), name("root.example.org")].concat();
        rdata.extend([0; 16]);
        rdata.extend(minimum.to_be_bytes());
        record(&name("example.org"), rtype::SOA, ttl, &rdata)
    }

    #[test]
    fn the_smallest_ttl_of_the_answer_section_counts() {
        let both = [with_ttl(300), with_ttl(20)];
        assert_eq!(
            freshness(&response([&both, &[soa(5, 5)], &[with_ttl(1)]])),
            20
        );
        assert_eq!(freshness(&response([&[with_ttl(0)], &[], &[]])), 0);
    }

    #[test]
    fn negative_responses_are_fresh_as_long_as_their_soa_record_says() {
        for flags in [RESPONSE, RESPONSE | rcode::NXDOMAIN] {
            assert_eq!(freshness(&message(flags, [&[], &[soa(300, 60)], &[]])), 60);
            assert_eq!(freshness(&message(flags, [&[], &[soa(30, 60)], &[]])), 30);
            assert_eq!(freshness(&message(flags, [&[], &[], &[]])), 0);
        }
        let alias = record(&pointer(HEADER_LEN), rtype::CNAME, 9, &name("example.net"));
        assert_eq!(freshness(&response([&[alias], &[soa(300, 60)], &[]])), 9);
    }

    #[test]
    fn errors_and_fragments_are_never_fresh() {
        for code in [rcode::SERVFAIL, rcode::REFUSED, rcode::FORMERR] {
            assert_eq!(
                freshness(&message(RESPONSE | code, [&[address(1)], &[], &[]])),
                0
            );
        }
        let whole = response([&[address(1)], &[], &[]]);
        assert!(freshness(&whole) > 0);
        for length in 0..whole.len() {
            assert_eq!(freshness(&whole[..length]), 0, "{length}");
        }
    }
}
