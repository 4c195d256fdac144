//! The question for addresses, and what is taken from its answer.
//!
//! It is between a lookup and its bytes. Takes an answer only for the same ID, name, type and class, and of its
//! records only addresses of the name that the answer's own aliases lead to. RFC 1034 section 3.6.2, RFC 1035,
//! RFC 5452 section 9.1. Limits: 32 addresses, 20 aliases.

use std::net::IpAddr;
use std::time::Duration;

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::message_builder::PushError;
use domain::base::wire::ParseError;
use domain::base::{Message, MessageBuilder, Name, ParsedRecord, Question, Ttl};
use domain::rdata::{A, Aaaa};

/// What one question found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// None if the name has none of the family.
    pub(super) addresses: Vec<IpAddr>,
    /// How many more it has.
    pub(super) left_out: usize,
    /// How long they hold; of no meaning without addresses.
    pub(super) ttl: Duration,
}

/// Addresses taken from one answer.
const ADDRESSES_MAX: usize = 32;

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LookupResponse<T> {
    /// What was asked for, perhaps nothing.
    Found(T),
    /// An error.
    Rcode(Rcode),
    /// The answer did not fit; it has to be asked for over TCP.
    Truncated,
}

/// A question as it is sent.
pub(super) struct Query {
    message: Message<Vec<u8>>,
    qtype: Rtype,
}

impl Query {
    pub(super) fn new(id: u16, name: &Name<Vec<u8>>, qtype: Rtype) -> Result<Query, PushError> {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(id);
        builder.header_mut().set_rd(true);
        let mut question = builder.question();
        question.push(Question::new_in(name, qtype))?;
        let message = question.into_message();
        Ok(Query { message, qtype })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.message.as_slice()
    }

    /// Reads a message by `records`; `None` if it does not answer this question, or cannot be read to its answers' end.
    pub(super) fn read_with<T>(
        &self,
        bytes: &[u8],
        records: impl Fn(&Query, &Message<&[u8]>) -> Result<T, ParseError>,
    ) -> Option<LookupResponse<T>> {
        let answer = Message::from_octets(bytes).ok()?;
        let header = answer.header();
        if !answer.is_answer(&self.message) || header.opcode() != Opcode::QUERY {
            return None;
        }
        match header.rcode() {
            _ if header.tc() => Some(LookupResponse::Truncated),
            Rcode::NOERROR => records(self, &answer).ok().map(LookupResponse::Found),
            rcode => Some(LookupResponse::Rcode(rcode)),
        }
    }

    /// Reads the addresses of an answer.
    pub(super) fn addresses(&self, answer: &Message<&[u8]>) -> Result<Found, ParseError> {
        let mut addresses = Vec::new();
        let (mut ttl, mut left_out) = (Ttl::MAX, 0);
        let name = answer.canonical_name();
        for record in answer.answer()? {
            let record = record?;
            match record.rtype() {
                Rtype::CNAME => ttl = ttl.min(record.ttl()),
                // A circle of aliases leads to no name, and so to no address.
                qtype
                    if qtype == self.qtype
                        && name.as_ref().is_some_and(|name| *name == record.owner()) =>
                {
                    let usable = ip(&record)?.filter(|ip| can_be_connected_to(*ip));
                    if let Some(ip) = usable {
                        ttl = ttl.min(record.ttl());
                        if addresses.len() < ADDRESSES_MAX {
                            addresses.push(ip);
                        } else {
                            left_out += 1;
                        }
                    }
                }
                _ => {}
            }
        }
        let ttl = Duration::from_secs(ttl.as_secs().into());
        Ok(Found {
            addresses,
            left_out,
            ttl,
        })
    }
}

/// The address in a record of class IN.
fn ip(record: &ParsedRecord<'_, &[u8]>) -> Result<Option<IpAddr>, ParseError> {
    if record.class() != Class::IN {
        return Ok(None);
    }
    if let Some(record) = record.to_record::<A>()? {
        return Ok(Some(record.data().addr().into()));
    }
    let record = record.to_record::<Aaaa>()?;
    Ok(record.map(|record| record.data().addr().into()))
}

/// A resolver that blocks a name may give an address that is none.
pub(super) fn can_be_connected_to(ip: IpAddr) -> bool {
    let is_broadcast = match ip {
        IpAddr::V4(ip) => ip.is_broadcast(),
        IpAddr::V6(_) => false,
    };
    !(ip.is_unspecified() || ip.is_multicast() || is_broadcast)
}
