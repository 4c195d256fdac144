//! A client's message: is it a query we can serve?
//!
//! Behind the listener, in front of admission. Decides from the bytes alone between a query, an
//! error response, and no response; which names, types and classes are served is decided later, by
//! others. Keeps nothing but references into the message. Nothing of it is forwarded unchanged:
//! what goes upstream is written afresh from what is parsed here.
//!
//! Limits: one question, [`RECORDS_MAX`] records, [`OPTIONS_MAX`](crate::OPTIONS_MAX) options. The owner of a record is
//! skipped and its pointer not followed: it is not needed, and could be made expensive. Follows RFC 1035 section 4.1,
//! RFC 9619 section 4 (one question), RFC 6891 sections 6.1 and 7, RFC 5625 section 4.1 (unexpected
//! flags are ignored).
//! *Not done*: a signature (TSIG, SIG(0)) is seen, never verified.

use crate::bytes::u8_at;
use crate::consts::{opcode, rclass, rcode, rtype};
use crate::cookie::is_cookie_length;
use crate::header::{Flags, HEADER_LEN, Header, type_and_class};
use crate::name::{self, NameFault};
use crate::opt::{Opt, OptionFault, code};
use crate::question::TYPE_AND_CLASS_LEN;
use crate::records::{Record, RecordFault, Section};

/// The smallest UDP payload size; a smaller one in an OPT record means this one (RFC 6891 section
/// 6.2.3).
const UDP_SIZE_MIN: u16 = 512;

/// The most records of a query, all sections together. Clients send an OPT record, a signature, or both; a query for a
/// zone transfer has an SOA record.
pub const RECORDS_MAX: u16 = 8;

/// What a message from a client is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received<'a> {
    /// A well-formed query.
    Query(Query<'a>),
    /// Something to be answered with an error.
    Reject(Reject<'a>),
    /// Something never to be answered.
    Ignore(Ignore),
}

/// Why a message gets no response at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ignore {
    /// It has fewer bytes than a header: on a stream, framing is lost.
    TooShort,
    /// It is a response: answering it could start a loop.
    IsResponse,
}

/// A well-formed query with exactly one question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Query<'a> {
    /// The client's message ID.
    pub id: u16,
    /// The client's flags, as they came.
    pub flags: Flags,
    /// The exact bytes of the question: uncompressed name, type, class.
    pub question: &'a [u8],
    /// The question type.
    pub qtype: u16,
    /// The question class; never 0 or NONE.
    pub qclass: u16,
    /// What the client's OPT record says, if it sent one.
    pub edns: Option<ClientEdns>,
    /// Whether the last record is a TSIG or a SIG(0).
    pub is_signed: bool,
}

/// What a client's OPT record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientEdns {
    /// The largest UDP response the client takes, in bytes, at least 512.
    pub udp_size: u16,
    /// Whether DO is set.
    pub dnssec_ok: bool,
    /// Whether there is an edns-tcp-keepalive option (RFC 7828); it means nothing over UDP.
    pub asks_keepalive: bool,
    /// Whether there is a padding option (RFC 7830); it means nothing on an unencrypted transport.
    pub asks_padding: bool,
    /// Whether there is a COOKIE option; [`find_cookie`](crate::find_cookie) has what it holds.
    pub has_cookie: bool,
}

impl ClientEdns {
    /// Returns what the fixed fields of an OPT record say.
    fn of(opt: &Opt<'_>) -> Self {
        Self {
            udp_size: opt.udp_size.max(UDP_SIZE_MIN),
            dnssec_ok: opt.dnssec_ok,
            asks_keepalive: false,
            asks_padding: false,
            has_cookie: false,
        }
    }
}

/// What an error response repeats of a message that is not parsed any further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Front<'a> {
    /// The client's message ID.
    pub id: u16,
    /// The client's flags, as they came.
    pub flags: Flags,
    /// The exact bytes of the question, empty when there is not exactly one.
    pub question: &'a [u8],
    /// The question type, 0 without a question.
    pub qtype: u16,
    /// What the fixed fields of an OPT record say, if one follows the question.
    pub edns: Option<ClientEdns>,
}

/// A message to be answered with an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reject<'a> {
    /// What is wrong with it.
    pub fault: QueryFault,
    /// The client's message ID.
    pub id: u16,
    /// The client's flags, as they came.
    pub flags: Flags,
    /// The exact bytes of the question, empty when it cannot be echoed.
    pub question: &'a [u8],
    /// What an OPT record says, if one was seen: the error response then carries one too (RFC 6891
    /// section 7).
    pub edns: Option<ClientEdns>,
}

/// Why a message is answered with an error, by the response code it gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueryFault {
    /// It breaks a rule of the format: FORMERR.
    Malformed(Malformed),
    /// Its opcode is not QUERY: NOTIMP (RFC 8906 section 8.1.4).
    Opcode,
    /// Its EDNS version is not 0: BADVERS (RFC 6891 section 6.1.3).
    EdnsVersion,
}

impl QueryFault {
    /// Returns the response code the client gets, of up to 12 bits.
    pub const fn rcode(self) -> u16 {
        match self {
            Self::Malformed(_) => rcode::FORMERR,
            Self::Opcode => rcode::NOTIMP,
            Self::EdnsVersion => rcode::BADVERS,
        }
    }

    /// Returns the fault's name in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed(malformed) => malformed.label(),
            Self::Opcode => "opcode",
            Self::EdnsVersion => "edns-version",
        }
    }
}

/// Which rule of the format a query breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The bytes end before all that the header counts.
    CutShort,
    /// QDCOUNT is more than 1 (RFC 9619 section 4).
    ManyQuestions,
    /// A COOKIE option is neither of 8 bytes nor of 16 to 40 (RFC 7873 section 5.2.2).
    Cookie,
    /// The question's class is 0 or NONE.
    MetaClass,
    /// A TSIG or SIG(0) is not the last record (RFC 8945 section 5.1, RFC 2931 section 3).
    MisplacedSignature,
    /// A name is not well formed.
    Name(NameFault),
    /// QDCOUNT is 0.
    NoQuestion,
    /// An OPT record is owned by anything but the root, written as one byte (RFC 6891 section 6.1.2).
    OptOwner,
    /// The options of the OPT record do not fill it exactly, or are too many.
    Options(OptionFault),
    /// There is a record in the answer or authority section; an IXFR query may have an
    /// SOA record in the latter.
    RecordsInQuery,
    /// There are more records than [`RECORDS_MAX`].
    TooManyRecords,
    /// There are two OPT records (RFC 6891 section 6.1.1).
    TwoOpts,
}

impl Malformed {
    /// Returns the fault's name in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::CutShort => "cut-short",
            Self::ManyQuestions => "many-questions",
            Self::Cookie => "cookie-length",
            Self::MetaClass => "meta-class",
            Self::MisplacedSignature => "misplaced-signature",
            Self::Name(fault) => fault.label(),
            Self::NoQuestion => "no-question",
            Self::OptOwner => "opt-owner",
            Self::Options(OptionFault::Overrun) => "option-overrun",
            Self::Options(OptionFault::TooMany) => "too-many-options",
            Self::RecordsInQuery => "records-in-query",
            Self::TooManyRecords => "too-many-records",
            Self::TwoOpts => "two-opts",
        }
    }
}

impl From<NameFault> for Malformed {
    fn from(fault: NameFault) -> Self {
        Self::Name(fault)
    }
}

impl From<RecordFault> for Malformed {
    fn from(fault: RecordFault) -> Self {
        match fault {
            RecordFault::Name(fault) => Self::Name(fault),
            // No RDATA of a query is looked into but the OPT record's.
            RecordFault::CutShort | RecordFault::Rdata => Self::CutShort,
        }
    }
}

/// Reads a client's message. Bytes behind its last record are not looked at and never go anywhere. A part of its callers:
/// what it returns is too large to be copied for every query.
#[inline(always)]
pub fn parse_query(message: &[u8]) -> Received<'_> {
    let Some(header) = Header::read(message) else {
        return Received::Ignore(Ignore::TooShort);
    };
    if header.flags.is_response() {
        return Received::Ignore(Ignore::IsResponse);
    }
    let mut scan = Scan::default();
    let outcome = scan.message(message, &header);
    let fault = if header.flags.opcode() != opcode::QUERY {
        Some(QueryFault::Opcode)
    } else if let Some(malformed) = scan.broken_rule.or(outcome.err()) {
        Some(QueryFault::Malformed(malformed))
    } else if scan.is_other_version {
        Some(QueryFault::EdnsVersion)
    } else {
        None
    };
    let Header { id, flags, .. } = header;
    let Scan {
        question,
        qtype,
        qclass,
        edns,
        is_signed,
        ..
    } = scan;
    match fault {
        Some(fault) => Received::Reject(Reject {
            fault,
            id,
            flags,
            question,
            edns,
        }),
        None => Received::Query(Query {
            id,
            flags,
            question,
            qtype,
            qclass,
            edns,
            is_signed,
        }),
    }
}

/// Reads the header, the question, and the record behind it if that is an OPT record. This is all that a client which
/// may not ask is worth: the work does not depend on what else the message holds.
pub fn parse_front(message: &[u8]) -> Result<Front<'_>, Ignore> {
    let header = Header::read(message).ok_or(Ignore::TooShort)?;
    if header.flags.is_response() {
        return Err(Ignore::IsResponse);
    }
    let mut front = Front {
        id: header.id,
        flags: header.flags,
        question: &[],
        qtype: 0,
        edns: None,
    };
    if header.questions != 1 {
        return Ok(front);
    }
    let Ok(name_end) = name::find_end(message, HEADER_LEN) else {
        return Ok(front);
    };
    let Some((qtype, _)) = type_and_class(message, name_end) else {
        return Ok(front);
    };
    let end = name_end + TYPE_AND_CLASS_LEN;
    front.question = message.get(HEADER_LEN..end).unwrap_or_default();
    front.qtype = qtype;
    if (header.answers, header.authorities) == (0, 0) && header.additionals > 0 {
        front.edns = Record::read_skipping_owner(message, end)
            .ok()
            .filter(|record| record.rtype == rtype::OPT && is_owned_by_root(message, record))
            .map(|record| ClientEdns::of(&Opt::of_record(message, &record)));
    }
    Ok(front)
}

/// Returns whether a record is owned by the root, written as one byte.
fn is_owned_by_root(message: &[u8], record: &Record) -> bool {
    u8_at(message, record.start) == Some(0)
}

/// What has been found so far. Rules that do not hinder reading on are noted in `broken_rule`,
/// because even a malformed message's OPT record decides whether its response has one.
#[derive(Default)]
struct Scan<'a> {
    question: &'a [u8],
    qtype: u16,
    qclass: u16,
    edns: Option<ClientEdns>,
    is_other_version: bool,
    is_signed: bool,
    broken_rule: Option<Malformed>,
}

impl<'a> Scan<'a> {
    /// Reads the whole message, or as much of it as a query may have; fails where reading on is impossible.
    #[inline(always)]
    fn message(&mut self, message: &'a [u8], header: &Header) -> Result<(), Malformed> {
        let mut at = self.questions(message, header.questions)?;
        let mut left = RECORDS_MAX;
        for (section, count) in [
            (Section::Answer, header.answers),
            (Section::Authority, header.authorities),
            (Section::Additional, header.additionals),
        ] {
            for _ in 0..count {
                left = left.checked_sub(1).ok_or(Malformed::TooManyRecords)?;
                let record = Record::read_skipping_owner(message, at)?;
                at = record.end;
                match section {
                    Section::Additional => self.additional(message, &record),
                    // The SOA record that an IXFR query holds (RFC 1995 section 3) breaks no rule.
                    Section::Authority
                        if (self.qtype, record.rtype) == (rtype::IXFR, rtype::SOA) => {}
                    Section::Answer | Section::Authority => {
                        self.note_broken(Malformed::RecordsInQuery);
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the question section and returns where it ends. Only a question that stands alone is
    /// kept.
    fn questions(&mut self, message: &'a [u8], count: u16) -> Result<usize, Malformed> {
        match count {
            0 => self.note_broken(Malformed::NoQuestion),
            1 => {}
            2..=RECORDS_MAX => self.note_broken(Malformed::ManyQuestions),
            _ => return Err(Malformed::ManyQuestions),
        }
        let mut at = HEADER_LEN;
        for _ in 0..count {
            // No pointer leads before the first question, so that its name is uncompressed.
            let name_end = if at == HEADER_LEN {
                name::find_end(message, at)?
            } else {
                name::skip(message, at)?
            };
            let (qtype, qclass) = type_and_class(message, name_end).ok_or(Malformed::CutShort)?;
            let end = name_end + TYPE_AND_CLASS_LEN;
            if count == 1 {
                self.question = message.get(at..end).unwrap_or_default();
                (self.qtype, self.qclass) = (qtype, qclass);
                if qclass == 0 || qclass == rclass::NONE {
                    self.note_broken(Malformed::MetaClass);
                }
            }
            at = end;
        }
        Ok(at)
    }

    /// Records an additional record: the OPT record and signatures count, others are ignored.
    fn additional(&mut self, message: &'a [u8], record: &Record) {
        if self.is_signed {
            self.note_broken(Malformed::MisplacedSignature);
        }
        if record.signs_message(message) {
            self.is_signed = true;
        }
        if record.rtype != rtype::OPT {
            return;
        }
        if !is_owned_by_root(message, record) {
            self.note_broken(Malformed::OptOwner);
        }
        let opt = Opt::of_record(message, record);
        let mut edns = ClientEdns::of(&opt);
        if opt.version == 0 {
            let mut is_cookie_malformed = false;
            let options = opt.visit_options(|option, data| match option {
                code::KEEPALIVE => edns.asks_keepalive = true,
                code::PADDING => edns.asks_padding = true,
                // Of several the first one counts.
                code::COOKIE if !edns.has_cookie => {
                    edns.has_cookie = true;
                    is_cookie_malformed = !is_cookie_length(data.len());
                }
                _ => {}
            });
            if let Err(fault) = options {
                self.note_broken(Malformed::Options(fault));
            }
            if is_cookie_malformed {
                self.note_broken(Malformed::Cookie);
            }
        } else {
            // What the options of another version look like is not ours to say.
            self.is_other_version = true;
        }
        if self.edns.is_some() {
            self.note_broken(Malformed::TwoOpts);
        } else {
            self.edns = Some(edns);
        }
    }

    /// Keeps the first broken rule.
    fn note_broken(&mut self, malformed: Malformed) {
        self.broken_rule.get_or_insert(malformed);
    }
}

#[cfg(test)]
mod tests;
