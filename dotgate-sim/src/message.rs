//! DNS messages as clients and upstreams write and read them, made without the code under test.
//!
//! The right answer to a question is made from the question alone, so that anybody who sees a response
//! can tell whether it belongs to it.

pub use dotgate_message::{A, NS, OPT, framed, split_frame, wire_name};
use dotgate_message::{
    AAAA, CD, CNAME, COOKIE, Compose as _, DO, EDE, KEEPALIVE, QNAME, QR, RA, RD, SOA, Section, TC,
    header, name_end, option, question_of,
};

/// A type for private use; its data is opaque (RFC 3597).
pub const PRIVATE: u16 = 65_280;

/// The question `. NS`.
pub const ROOT_SERVERS: [u8; 5] = [0, 0, 2, 0, 1];

/// Names that begin with this have an answer that fits no datagram.
pub const HUGE: &str = "huge";

/// Names that begin with this are aliases of [`TARGET`].
pub const ALIAS: &str = "alias";

/// What aliases lead to.
pub const TARGET: &str = "target.example";

/// Names that begin with this do not exist.
pub const NO_SUCH_NAME: &str = "nx";

/// Names that begin with this have no data of any type.
pub const NO_DATA: &str = "nodata";

/// Names that begin with this have addresses of IPv4 and no data of another type.
pub const V4_ONLY: &str = "v4only";

/// The prefix of addresses that DNS64 makes of those of IPv4, which is the well-known one (RFC 6052 section 2.1).
pub const DNS64_PREFIX: [u8; 12] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];

/// Names that begin with this exist in every second version of the data.
pub const FLEETING: &str = "fleeting";

/// The TTL of answers where nothing else is said, in seconds.
pub const TTL: u32 = 300;

/// What a client's query looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueryForm {
    /// The type asked for.
    pub qtype: u16,
    /// The class asked for.
    pub qclass: u16,
    /// The UDP size of its OPT record, if it has one.
    pub edns: Option<u16>,
    /// The DO bit of its OPT record.
    pub dnssec_ok: bool,
    /// The CD bit.
    pub checking_disabled: bool,
    /// The RD bit.
    pub recursion_desired: bool,
    /// The opcode.
    pub opcode: u8,
}

impl Default for QueryForm {
    fn default() -> QueryForm {
        QueryForm {
            qtype: A,
            qclass: 1,
            edns: None,
            dnssec_ok: false,
            checking_disabled: false,
            recursion_desired: true,
            opcode: 0,
        }
    }
}

/// The OPT record of an upstream's response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OptForm {
    /// None at all.
    None,
    /// One without options.
    Plain,
    /// One with edns-tcp-keepalive, in tenths of a second (RFC 7828).
    Keepalive(u16),
    /// One with an Extended DNS Error without text (RFC 8914).
    Ede(u16),
}

/// What an upstream's response looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseForm {
    /// The response code, 0 to 15.
    pub rcode: u8,
    /// Its OPT record; left out anyway if the query had none.
    pub opt: OptForm,
    /// Whether it repeats the question.
    pub has_question: bool,
    /// The TC bit.
    pub is_truncated: bool,
    /// The TTL of its records, in seconds.
    pub ttl: u32,
    /// Whether a negative response contains its SOA record.
    pub has_soa: bool,
    /// Counts changes of the data.
    pub version: u32,
}

impl ResponseForm {
    /// NOERROR with the right record, or NXDOMAIN where that is right.
    pub const RIGHT: ResponseForm = ResponseForm {
        rcode: 0,
        opt: OptForm::Plain,
        has_question: true,
        is_truncated: false,
        ttl: TTL,
        has_soa: true,
        version: 0,
    };
}

/// A client's query for `name`, written as given, name case included.
pub fn query(id: u16, name: &str, form: &QueryForm) -> Vec<u8> {
    let mut flags = u16::from(form.opcode) << 11;
    for (flag, is_set) in [(RD, form.recursion_desired), (CD, form.checking_disabled)] {
        flags |= if is_set { flag } else { 0 };
    }
    let message = dotgate_message::query_for(id, name, form.qtype);
    let message = message.with_flags(flags).with_qclass(form.qclass);
    match form.edns {
        None => message,
        Some(size) => message.with_opt(size, if form.dnssec_ok { DO } else { 0 }, &[]),
    }
}

/// The query with this cookie in its OPT record, which is the last of its bytes and empty.
pub fn with_cookie(mut query: Vec<u8>, cookie: &[u8]) -> Vec<u8> {
    let option = option(COOKIE, cookie);
    query.truncate(query.len().saturating_sub(2));
    query.extend((option.len() as u16).to_be_bytes());
    query.extend(option);
    query
}

/// The exact bytes of a message's one question: name, type and class. Empty if there is none.
pub fn question(message: &[u8]) -> &[u8] {
    match message.get(4..6) {
        Some(&[0, 1]) => question_of(message).unwrap_or_default(),
        _ => &[],
    }
}

/// The question with its name in lower case.
pub fn folded(question: &[u8]) -> Vec<u8> {
    let name_length = question.len().saturating_sub(4);
    let mut folded = question.to_vec();
    folded[..name_length].make_ascii_lowercase();
    folded
}

/// The question's name and type for people.
pub fn shown(question: &[u8]) -> String {
    let mut text = String::new();
    let mut at = 0;
    while let Some(&length) = question.get(at).filter(|length| **length != 0) {
        for byte in question.iter().skip(at + 1).take(usize::from(length)) {
            text.push(char::from(*byte));
        }
        text.push('.');
        at += 1 + usize::from(length);
    }
    format!("{text} {}", qtype(question))
}

/// The data of the right answer to a question, whatever the name case of its name, in its first version.
pub fn right_data(question: &[u8]) -> [u8; 4] {
    data_of_version(question, 0)
}

/// The same in a later version.
pub fn data_of_version(question: &[u8], version: u32) -> [u8; 4] {
    (hash(&folded(question)) ^ version).to_be_bytes()
}

fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// The name of a question, in lower case.
pub fn name(question: &[u8]) -> Vec<u8> {
    let mut name = folded(question);
    name.truncate(question.len().saturating_sub(4));
    name
}

/// One of the numbers below `end`, always the same for a name.
pub fn share(question: &[u8], end: u32) -> u32 {
    hash(&name(question)) % end.max(1)
}

fn begins_with(question: &[u8], word: &str) -> bool {
    question
        .get(1..1 + word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
}

/// The RCODE of the right answer to a question.
pub fn right_rcode(question: &[u8], version: u32) -> u8 {
    let is_away = begins_with(question, FLEETING) && version % 2 == 1;
    match begins_with(question, NO_SUCH_NAME) || is_away {
        true => 3,
        false => 0,
    }
}

/// Whether the right answer to a question holds a record of its type, if its name exists.
pub fn has_data(question: &[u8]) -> bool {
    let has_type = qtype(question) == A || !begins_with(question, V4_ONLY);
    has_type && !begins_with(question, NO_DATA) && qtype(question) != NS
}

/// The address that DNS64 makes for a question: the prefix, and the data of the right answer about addresses of IPv4.
pub fn mapped_address(question: &[u8]) -> Option<Vec<u8>> {
    let is_of_aaaa = begins_with(question, V4_ONLY) && qtype(question) == AAAA;
    let about_a = [name(question), vec![0, 1, 0, 1]].concat();
    is_of_aaaa.then(|| [&DNS64_PREFIX[..], &right_data(&about_a)].concat())
}

/// Bytes of the answer to a question with a huge one; none for all others.
pub fn huge_size(question: &[u8]) -> Option<usize> {
    let [a, b, ..] = right_data(question);
    begins_with(question, HUGE).then(|| match a % 3 {
        0 => 65_535,
        1 => 60_000 + usize::from(b),
        _ => 2_000 + usize::from(b) * 16,
    })
}

/// An upstream's response to a query.
pub fn response(query: &[u8], form: &ResponseForm) -> Vec<u8> {
    let question = question(query);
    let has_opt = query.get(10..12) != Some(&[0, 0]) && form.opt != OptForm::None;
    let rcode = match form.rcode {
        0 => right_rcode(question, form.version),
        rcode => rcode,
    };
    let has_data = rcode == 0 && !question.is_empty() && has_data(question);
    let has_soa = form.has_soa && !has_data && matches!(rcode, 0 | 3);
    let huge = huge_size(question).filter(|_| has_data && !form.is_truncated);
    let is_alias = has_data && form.has_question && begins_with(question, ALIAS);
    let id = query.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    let flags = RD | RA | u16::from(rcode & 15) | if form.is_truncated { TC } else { 0 };
    let mut message = header(id, QR | flags, [u16::from(form.has_question), 0, 0, 0]);
    let mut owner = QNAME;
    if form.has_question {
        message.extend(question);
    } else {
        owner = question
            .get(..question.len().saturating_sub(4))
            .unwrap_or_default();
    }
    if has_data {
        let data = data_of_version(question, form.version);
        let target: Vec<u8>;
        if is_alias {
            target = wire_name(TARGET);
            message = message.with(Section::Answer, owner, CNAME, form.ttl, &target);
            owner = &target;
        }
        message = message.with(Section::Answer, owner, qtype(question), form.ttl, &data);
        if let Some(size) = huge {
            let opt = if has_opt { 17 } else { 0 };
            let fill = vec![0xff; size.saturating_sub(message.len() + 12 + opt)];
            message = message.with(Section::Answer, owner, PRIVATE, form.ttl, &fill);
        }
    }
    if has_soa {
        // Two names of the root, then five numbers, the last of which limits the TTL (RFC 2308 section 4).
        let mut data = [0; 22];
        data[18..].copy_from_slice(&form.ttl.to_be_bytes());
        message = message.with(Section::Authority, &[0], SOA, form.ttl, &data);
    }
    match form.opt {
        _ if !has_opt => message,
        OptForm::None | OptForm::Plain => message.with_edns(),
        OptForm::Keepalive(tenths) => message.with_options(&[(KEEPALIVE, &tenths.to_be_bytes())]),
        OptForm::Ede(code) => message.with_options(&[(EDE, &code.to_be_bytes())]),
    }
}

/// What somebody reads in a message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// The message ID.
    pub id: u16,
    /// The QR bit.
    pub is_response: bool,
    /// The TC bit.
    pub is_truncated: bool,
    /// The CD bit, and the DO bit of the OPT record.
    pub variant: (bool, bool),
    /// The response code, without the OPT record's part.
    pub rcode: u8,
    /// The OPT record's part of the response code.
    pub rcode_upper: u8,
    /// The exact question; empty if there is none.
    pub question: Vec<u8>,
    /// Data of the answers of the type asked for.
    pub data: Vec<Vec<u8>>,
    /// The lowest TTL of all records but OPT.
    pub ttl: Option<u32>,
    /// Whether there is an OPT record.
    pub has_opt: bool,
    /// INFO-CODE and EXTRA-TEXT of the first Extended DNS Error.
    pub ede: Option<(u16, String)>,
    /// The INFO-CODEs of all of them.
    pub edes: Vec<u16>,
    /// The cookie; empty if there is none.
    pub cookie: Vec<u8>,
    /// Bytes of the message.
    pub length: usize,
}

/// Reads a message; none if it is not well formed.
pub fn read(message: &[u8]) -> Option<Seen> {
    let header = message.first_chunk::<12>()?;
    let question = question(message);
    let count = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    if count(4) > 1 || (count(4) == 1 && question.is_empty()) {
        return None;
    }
    let mut seen = Seen {
        id: u16::from_be_bytes([header[0], header[1]]),
        is_response: header[2] & 0x80 != 0,
        is_truncated: header[2] & 2 != 0,
        variant: (header[3] & 16 != 0, false),
        rcode: header[3] & 15,
        question: question.to_vec(),
        length: message.len(),
        ..Seen::default()
    };
    let mut at = 12 + question.len();
    for number in 0..count(6) + count(8) + count(10) {
        let fixed = name_end(message, at)?;
        let head = message.get(fixed..fixed + 10)?;
        let data_end = fixed + 10 + usize::from(u16::from_be_bytes([head[8], head[9]]));
        let data = message.get(fixed + 10..data_end)?;
        let found = u16::from_be_bytes([head[0], head[1]]);
        if found == OPT {
            seen.has_opt = true;
            seen.variant.1 = head[6] & 0x80 != 0;
            seen.rcode_upper = head[4];
            let options = options(data)?;
            let of_cookie = options.iter().find(|(code, _)| *code == COOKIE);
            seen.cookie = of_cookie.map_or_else(Vec::new, |(_, value)| value.to_vec());
            let errors = errors(&options)?;
            seen.edes = errors.iter().map(|(code, _)| *code).collect();
            seen.ede = errors.into_iter().next();
        } else {
            let ttl = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            seen.ttl = Some(seen.ttl.map_or(ttl, |lowest| lowest.min(ttl)));
            if number < count(6) && !question.is_empty() && found == qtype(question) {
                seen.data.push(data.to_vec());
            }
        }
        at = data_end;
    }
    (at == message.len()).then_some(seen)
}

/// The options of an OPT record, each with its code; none if one is cut off.
fn options(mut data: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut options = Vec::new();
    while let Some(([a, b, c, d], rest)) = data.split_first_chunk::<4>() {
        let (value, after) = rest.split_at_checked(usize::from(u16::from_be_bytes([*c, *d])))?;
        options.push((u16::from_be_bytes([*a, *b]), value));
        data = after;
    }
    Some(options)
}

/// The Extended DNS Errors among the options; none if one is cut off.
fn errors(options: &[(u16, &[u8])]) -> Option<Vec<(u16, String)>> {
    let errors = options.iter().filter(|(code, _)| *code == EDE);
    let read = |(_, value): &(u16, &[u8])| {
        let (code, text) = value.split_first_chunk::<2>()?;
        let text = String::from_utf8_lossy(text).into_owned();
        Some((u16::from_be_bytes(*code), text))
    };
    errors.map(read).collect()
}

fn qtype(question: &[u8]) -> u16 {
    match question {
        [.., high, low, _, _] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}
