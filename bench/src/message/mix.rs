//! The realistic mix: what the upstream answers to each of its names, which follows from the name's number alone.
//!
//! 10 % do not exist, 5 % have so many addresses that the response needs EDNS, and the upstream takes 200 ms for 2 %, as
//! a resolver does that has to ask servers far away. The others have one address, with TTLs from 5 seconds to a day.

use std::time::Duration;

use super::{HEADER_BYTES, NUMBER, QR, QUERY_BYTES, RA, RD, SOCKET, is_of_a_load, read_hex};

/// The socket in names of the mix; no load has so many.
pub const MIXED: u16 = u16::MAX;

/// OPT of a query: the root, 1,232 bytes, no flags, no options (RFC 6891).
pub const OPT: &[u8; 11] = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";

/// How long the upstream takes for the slow names.
pub const SLOW: Duration = Duration::from_millis(200);

/// Addresses of the names with many: 1,185 bytes with OPT.
const MANY: u16 = 70;

const TTLS: [u32; 8] = [5, 30, 60, 300, 300, 3_600, 3_600, 86_400];

/// What a name has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Addresses, with their TTL.
    Addresses(u16, u32),
    /// Nothing: it does not exist.
    Nothing,
}

/// What the name with this number has.
#[must_use]
pub fn kind(number: u64) -> Kind {
    let word = scatter(number);
    let ttl = TTLS[(word >> 32) as usize % TTLS.len()];
    match word % 100 {
        0..10 => Kind::Nothing,
        10..15 => Kind::Addresses(MANY, ttl),
        _ => Kind::Addresses(1, ttl),
    }
}

/// Whether the upstream takes its time for the name with this number.
#[must_use]
pub fn is_slow(number: u64) -> bool {
    (98..100).contains(&(scatter(number) % 100))
}

/// The number of the name that a query asks for, if it is of the mix.
#[must_use]
pub fn number(query: &[u8]) -> Option<u64> {
    let is_mixed = is_of_a_load(query) && read_hex(query.get(SOCKET)?)? == u64::from(MIXED);
    is_mixed.then(|| read_hex(query.get(NUMBER)?)).flatten()
}

/// Appends the response to a query for the name with this number.
pub(super) fn answer(query: &[u8], number: u64, has_opt: bool, output: &mut Vec<u8>) {
    let kind = kind(number);
    let (rcode, answers) = match kind {
        Kind::Nothing => (3, 0),
        Kind::Addresses(count, _) => (0, count),
    };
    output.extend_from_slice(&query[..2]);
    output.extend_from_slice(&[QR | (query[2] & RD), RA | rcode]);
    let authority = u16::from(kind == Kind::Nothing);
    for count in [1, answers, authority, u16::from(has_opt)] {
        output.extend_from_slice(&count.to_be_bytes());
    }
    output.extend_from_slice(&query[HEADER_BYTES..QUERY_BYTES]);
    match kind {
        Kind::Addresses(count, ttl) => {
            for address in 0..count {
                output.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01");
                output.extend_from_slice(&ttl.to_be_bytes());
                output.extend_from_slice(&[0, 4, 192, 0, 2, address as u8 + 1]);
            }
        }
        // example.com, SOA, IN, 300 s; ns and mail are the zone itself, the negative TTL is 300 s (RFC 2308).
        Kind::Nothing => {
            output.extend_from_slice(
                b"\xc0\x25\x00\x06\x00\x01\x00\x00\x01\x2c\x00\x18\xc0\x25\xc0\x25",
            );
            for number in [1u32, 3_600, 600, 86_400, 300] {
                output.extend_from_slice(&number.to_be_bytes());
            }
        }
    }
    if has_opt {
        output.extend_from_slice(OPT);
    }
}

/// SplitMix64's last step: neighbors share nothing.
fn scatter(number: u64) -> u64 {
    let mut word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Name, Verdict, edns_query, response};

    #[test]
    fn the_mix_has_the_shares_that_it_promises() {
        let share = |is: &dyn Fn(u64) -> bool| (0..100_000).filter(|number| is(*number)).count();
        let nothing = share(&|number| kind(number) == Kind::Nothing);
        let many = share(&|number| matches!(kind(number), Kind::Addresses(MANY, _)));
        let slow = share(&is_slow);
        assert!((9_700..10_300).contains(&nothing), "{nothing}");
        assert!((4_800..5_200).contains(&many), "{many}");
        assert!((1_850..2_150).contains(&slow), "{slow}");
    }

    #[test]
    fn a_response_counts_as_an_answer_only_if_it_has_what_the_name_has() {
        for number in 0..200 {
            let name = Name {
                seed: 1,
                socket: MIXED,
                number,
            };
            let query = edns_query(7, name);
            assert_eq!(super::number(&query), Some(number));
            let mut message = Vec::new();
            assert!(crate::message::answer(&query, &mut message));
            assert!(message.len() <= 1_232, "{}", message.len());
            let verdict = |message: &[u8]| response(message).map(|response| response.verdict);
            assert_eq!(verdict(&message), Some(Verdict::Answered), "{number}");
            message[3] ^= 3;
            assert_eq!(verdict(&message), Some(Verdict::Other), "{number}");
        }
    }
}
