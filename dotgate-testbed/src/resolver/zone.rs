//! The zone of the embedded resolver: `example.test`, and the NS records of the root, which probes ask for. No other name
//! exists.
//!
//! Responses are never truncated, because the transport is a stream. RFC 1035, RFC 2308 (negative answers), RFC 6891, RFC 8467
//! section 4.1 (responses padded to 468 bytes if the query was padded).

use std::net::{Ipv4Addr, Ipv6Addr};

use domain::base::iana::{Opcode, Rcode, Rtype};
use domain::base::message_builder::{AnswerBuilder, AuthorityBuilder, PushError};
use domain::base::opt::{OptRecord, Padding};
use domain::base::{Message, MessageBuilder, Name, Serial, StaticCompressor, ToName, Ttl};
use domain::rdata::{A, Aaaa, Cname, Ns, Soa, Txt};

use crate::upstream::ReceivedQuery;

/// The TTL of everything, in seconds.
const TTL: Ttl = Ttl::from_secs(60);

/// The TTL of negative answers, in seconds.
const NEGATIVE_TTL: Ttl = Ttl::from_secs(30);

/// The block a padded response fills (RFC 8467 section 4.1), in bytes.
const PADDING_BLOCK: usize = 468;

/// Bytes of an OPT record without options (RFC 6891 section 6.1.2).
const OPT_LENGTH: usize = 11;

/// Bytes of an option's code and length (RFC 6891 section 6.1.2).
const OPTION_HEADER: usize = 4;

/// The UDP payload size in the OPT record, in bytes; of no meaning on a stream.
const UDP_SIZE: u16 = 1232;

type Target = StaticCompressor<Vec<u8>>;

/// What exists at a name.
enum Node {
    Records {
        a: Ipv4Addr,
        aaaa: Option<Ipv6Addr>,
        txt: Option<&'static str>,
    },
    Alias(&'static str),
    Root,
}

fn node(name: &str) -> Option<Node> {
    match name {
        "example.test" => Some(Node::Records {
            a: Ipv4Addr::new(192, 0, 2, 1),
            aaaa: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
            txt: Some("answered by dotgate's embedded resolver"),
        }),
        "slow.example.test" => Some(Node::Records {
            a: Ipv4Addr::new(192, 0, 2, 2),
            aaaa: None,
            txt: None,
        }),
        "alias.example.test" => Some(Node::Alias("example.test")),
        "" | "." => Some(Node::Root),
        _ => None,
    }
}

/// Returns the right response to a query.
pub(super) fn answer(query: &ReceivedQuery) -> Option<Vec<u8>> {
    let query = Message::from_octets(query.as_bytes()).ok()?;
    let question = query.sole_question().ok();
    let asked = question.map(|question| {
        (
            question.qname().to_vec(),
            question.qtype(),
            question.qname().to_string().to_lowercase(),
        )
    });
    let refusal = match (&asked, query.header().opcode()) {
        (_, opcode) if opcode != Opcode::QUERY => Some(Rcode::NOTIMP),
        (None, _) => Some(Rcode::FORMERR),
        (Some(_), _) => None,
    };
    let response = match (asked, refusal) {
        (Some((owner, rtype, text)), None) => respond(&query, &owner, rtype, &text),
        (_, rcode) => refuse(&query, rcode.unwrap_or(Rcode::FORMERR)),
    };
    response.ok()
}

fn refuse(query: &Message<&[u8]>, rcode: Rcode) -> Result<Vec<u8>, PushError> {
    finish(query, start(query, rcode)?.authority())
}

fn respond(
    query: &Message<&[u8]>,
    owner: &Name<Vec<u8>>,
    rtype: Rtype,
    text: &str,
) -> Result<Vec<u8>, PushError> {
    let Some(found) = node(text) else {
        let authority = start(query, Rcode::NXDOMAIN)?.authority();
        return finish(query, with_soa(authority, text)?);
    };
    let mut answer = start(query, Rcode::NOERROR)?;
    let found_records = match found {
        Node::Alias(target) if rtype != Rtype::CNAME => {
            let target_name = name(target);
            answer.push((owner, TTL, Cname::new(&target_name)))?;
            match node(target) {
                Some(found) => push(&mut answer, &target_name, rtype, &found)?,
                None => false,
            }
        }
        found => push(&mut answer, owner, rtype, &found)?,
    };
    let authority = answer.authority();
    finish(
        query,
        if found_records {
            authority
        } else {
            with_soa(authority, text)?
        },
    )
}

/// Pushes the records of a node with this type, and returns whether there are any.
fn push(
    answer: &mut AnswerBuilder<Target>,
    owner: &Name<Vec<u8>>,
    rtype: Rtype,
    found: &Node,
) -> Result<bool, PushError> {
    match (found, rtype) {
        (Node::Alias(target), Rtype::CNAME) => {
            answer.push((owner, TTL, Cname::new(name(target))))?;
        }
        (Node::Records { a, .. }, Rtype::A) => answer.push((owner, TTL, A::new(*a)))?,
        (
            Node::Records {
                aaaa: Some(aaaa), ..
            },
            Rtype::AAAA,
        ) => {
            answer.push((owner, TTL, Aaaa::new(*aaaa)))?;
        }
        (Node::Records { txt: Some(txt), .. }, Rtype::TXT) => {
            let Ok(txt) = Txt::<Vec<u8>>::build_from_slice(txt.as_bytes()) else {
                return Ok(false);
            };
            answer.push((owner, TTL, txt))?;
        }
        (Node::Root, Rtype::NS) => {
            answer.push((owner, TTL, Ns::new(name("ns.example.test"))))?;
        }
        (Node::Alias(_) | Node::Records { .. } | Node::Root, _) => return Ok(false),
    }
    Ok(true)
}

fn start(query: &Message<&[u8]>, rcode: Rcode) -> Result<AnswerBuilder<Target>, PushError> {
    let builder = MessageBuilder::from_target(StaticCompressor::new(Vec::new()))
        .map_err(|_| PushError::ShortBuf)?;
    let mut answer = builder.start_answer(query, rcode)?;
    answer.header_mut().set_ra(true);
    answer.header_mut().set_cd(query.header().cd());
    Ok(answer)
}

/// Pushes the SOA record that a negative answer has (RFC 2308 section 3): of `example.test` for names below
/// it, of the root for all others.
fn with_soa(
    mut authority: AuthorityBuilder<Target>,
    text: &str,
) -> Result<AuthorityBuilder<Target>, PushError> {
    let inside = text == "example.test" || text.ends_with(".example.test");
    let zone = if inside {
        name("example.test")
    } else {
        Name::root_vec()
    };
    let soa = Soa::new(
        name("ns.example.test"),
        name("hostmaster.example.test"),
        Serial(1),
        Ttl::from_secs(3600),
        Ttl::from_secs(600),
        Ttl::from_secs(86_400),
        NEGATIVE_TTL,
    );
    authority.push((zone, NEGATIVE_TTL, soa))?;
    Ok(authority)
}

/// Adds the OPT record, if the query has one, and its padding, if the query has that.
fn finish(
    query: &Message<&[u8]>,
    authority: AuthorityBuilder<Target>,
) -> Result<Vec<u8>, PushError> {
    let mut additional = authority.additional();
    if let Some(asked) = query.opt() {
        let length = additional.as_slice().len();
        let padding = is_padded(&asked).then(|| padding_after(length));
        additional.opt(|opt| {
            opt.set_udp_payload_size(UDP_SIZE);
            opt.set_dnssec_ok(asked.dnssec_ok());
            match padding {
                Some(padding) => opt.padding(padding),
                None => Ok(()),
            }
        })?;
    }
    Ok(additional.finish().into_target())
}

fn is_padded(opt: &OptRecord<&[u8]>) -> bool {
    opt.opt().iter::<Padding<_>>().any(|option| option.is_ok())
}

fn padding_after(length: usize) -> u16 {
    let unpadded = length + OPT_LENGTH + OPTION_HEADER;
    let padding = unpadded.next_multiple_of(PADDING_BLOCK) - unpadded;
    u16::try_from(padding).unwrap_or(0)
}

/// One of the names in this file. All of them are valid; otherwise it would be the root.
fn name(text: &str) -> Name<Vec<u8>> {
    text.parse().unwrap_or_else(|_| Name::root_vec())
}
