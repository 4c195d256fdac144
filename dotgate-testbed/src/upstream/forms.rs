//! The bytes of each form of a response.

use std::net::Ipv4Addr;

use domain::base::iana::{Rcode, Rtype};
use domain::rdata::A;

use super::query::{ReceivedQuery, TTL};
use super::script::Form;

/// Makes the right response to a query. If there is none, the connection ends.
pub type Answer = fn(&ReceivedQuery) -> Option<Vec<u8>>;

/// The option edns-tcp-keepalive (RFC 7828).
const KEEPALIVE: u16 = 11;

/// The option for Extended DNS Errors, and the INFO-CODE Prohibited (RFC 8914).
const EDE: u16 = 15;
const PROHIBITED: [u8; 2] = [0, 18];

/// Answers every query for an A record with [`address_of`] its name, and others with no records.
pub fn answer_with_address(query: &ReceivedQuery) -> Option<Vec<u8>> {
    address_with(query, &[])
}

/// The address in the right response to a query for `name`, in any case. Others have another one, so that a client can
/// recognize a response to another question.
pub fn address_of(name: &str) -> Ipv4Addr {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.to_lowercase().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    Ipv4Addr::from((hash >> 32) as u32 ^ hash as u32)
}

fn address_with(query: &ReceivedQuery, options: &[(u16, &[u8])]) -> Option<Vec<u8>> {
    let (owner, qtype) = query.question()?;
    let mut answer = query.start(Rcode::NOERROR)?;
    if qtype == Rtype::A {
        let address = A::new(address_of(&query.name));
        answer.push((owner, TTL, address)).ok()?;
    }
    query.finish(answer, options)
}

/// The message to send for a query. None if the script asks for no message, or the message cannot be made.
pub(super) fn message(query: &ReceivedQuery, form: Form, answer: Answer) -> Option<Vec<u8>> {
    let with = |change: fn(&mut Vec<u8>)| {
        let mut message = answer(query)?;
        change(&mut message);
        Some(message)
    };
    match form {
        Form::Right => answer(query),
        Form::WrongId => with(|message| message[1] ^= 0xff),
        // The first letter of the first label.
        Form::WrongQuestion => with(|message| message[13] ^= 1),
        Form::NotAResponse => with(|message| message[2] &= 0x7f),
        Form::Garbage => with(|message| message[2..].fill(0xee)),
        Form::Empty => Some(Vec::new()),
        Form::Short => with(|message| message.truncate(4)),
        Form::Truncated => {
            let mut start = query.start(Rcode::NOERROR)?;
            start.header_mut().set_tc(true);
            query.finish(start, &[])
        }
        Form::ServerFailure => query.without_records(Rcode::SERVFAIL, &[]),
        Form::Prohibited => query.without_records(Rcode::REFUSED, &[(EDE, &PROHIBITED)]),
        Form::NoEdns if query.has_opt => Some(query.start(Rcode::FORMERR)?.finish().into_target()),
        Form::NoEdns => answer(query),
        Form::KeepaliveZero => address_with(query, &[(KEEPALIVE, &[0, 0])]),
        Form::Long => query.long(65_535),
        Form::Kilobyte => query.long(1_000),
        Form::LengthAlone => None,
    }
}
