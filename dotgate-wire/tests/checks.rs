//! What must hold for every input, checked against the `domain` crate as the oracle.
//!
//! Each `check_*` takes any bytes and panics where dotgate-wire is wrong. The tests in `it` feed
//! them with messages that are right, nearly right and random; the targets in `fuzz` feed them with
//! whatever a fuzzer finds.
//!
//! Whatever `domain` calls malformed we must refuse, but for one thing: RDATA of types without
//! compressed names is opaque to us (RFC 3597), so we do not refuse an A record of three bytes. We
//! refuse more than `domain` does: pointers that lead into their own name or into the header, two
//! questions, misplaced or doubled OPT and TSIG records, stray bytes in options, queries of many records, responses
//! whose names cost too much. Owners of a query's records are not read.

use std::collections::HashMap;

use domain::base::iana::Rtype;
use domain::base::name::ToName;
use domain::base::opt::{OptRecord, UnknownOptData};
use domain::base::rdata::UnknownRecordData;
use domain::base::wire::ParseError;
use domain::base::{Message, Name};
use domain::rdata::AllRecordData;
use dotgate_wire::{
    ClientEdns, ClientHop, Ede, HEADER_LEN, Ignore, Malformed, NameCase, OPTIONS_MAX,
    PADDING_BLOCK, Query, QueryFault, Question, Received, Reject, ResponseOpt, TTL_MAX, Truncation,
    UpstreamQuery, UpstreamResponse, find_cookie, message_id, parse_front, parse_query, rcode,
    rtype, split_frame, write_error, write_framed, write_query, write_response,
};

/// A record as `domain` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    section: usize,
    owner: Name<Vec<u8>>,
    rtype: u16,
    class: u16,
    ttl: u32,
    rdata: Rdata,
}

/// RDATA in a form that does not depend on compression.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rdata {
    /// Printed in lower case, for types that may hold compressed names.
    Printed(String),
    /// The bytes, for all other types.
    Bytes(Vec<u8>),
    /// The type a SIG record covers, 0 if it signs the message; its other fields are not compared.
    SignatureOf(Option<[u8; 2]>),
    /// Not compared: the type may hold compressed names, but `domain` does not know it.
    Unseen,
}

/// A message as `domain` reads it.
#[derive(Debug)]
struct View {
    questions: Vec<(Name<Vec<u8>>, u16, u16)>,
    records: Vec<Seen>,
}

const ANSWER: usize = 0;
const ADDITIONAL: usize = 2;

impl View {
    /// Reads all of a message. RDATA is read by type only if `reads_rdata`.
    fn of(message: &[u8], reads_rdata: bool) -> Result<Self, ParseError> {
        let message = Message::from_octets(message).map_err(|_| ParseError::ShortInput)?;
        let mut questions = Vec::new();
        for question in message.question() {
            let question = question?;
            let name = question.qname().to_name();
            questions.push((name, question.qtype().to_int(), question.qclass().to_int()));
        }
        let mut records = Vec::new();
        let mut section = Some(message.answer()?);
        let mut number = ANSWER;
        while let Some(mut current) = section {
            for record in current.by_ref() {
                let record = record?;
                records.push(Seen {
                    section: number,
                    owner: record.owner().to_name(),
                    rtype: record.rtype().to_int(),
                    class: record.class().to_int(),
                    ttl: record.ttl().as_secs(),
                    rdata: if reads_rdata {
                        Rdata::of(&record)?
                    } else {
                        Rdata::Unseen
                    },
                });
            }
            section = current.next_section()?;
            number += 1;
        }
        Ok(Self { questions, records })
    }

    fn of_type(&self, rtype: u16) -> usize {
        self.records
            .iter()
            .filter(|record| record.rtype == rtype)
            .count()
    }
}

impl Rdata {
    fn of(record: &domain::base::ParsedRecord<'_, &[u8]>) -> Result<Self, ParseError> {
        Ok(match record.rtype() {
            Rtype::NS
            | Rtype::MD
            | Rtype::MF
            | Rtype::CNAME
            | Rtype::SOA
            | Rtype::MB
            | Rtype::MG
            | Rtype::MR
            | Rtype::PTR
            | Rtype::MINFO
            | Rtype::MX
            | Rtype::RP
            | Rtype::SRV
            | Rtype::NAPTR
            | Rtype::DNAME => {
                let typed = record.to_any_record::<AllRecordData<_, _>>()?;
                Self::Printed(typed.data().to_string().to_ascii_lowercase())
            }
            Rtype::AFSDB | Rtype::RT | Rtype::PX | Rtype::NXT => Self::Unseen,
            Rtype::SIG => Self::SignatureOf(bytes_of(record)?.first_chunk().copied()),
            _ => Self::Bytes(bytes_of(record)?),
        })
    }
}

/// The bytes of a record's RDATA.
fn bytes_of(record: &domain::base::ParsedRecord<'_, &[u8]>) -> Result<Vec<u8>, ParseError> {
    let record = record.to_record::<UnknownRecordData<_>>()?;
    Ok(record.expect("bytes that are none").data().data().to_vec())
}

/// Checks what is made of a client's message.
pub(crate) fn check_query(message: &[u8]) {
    check_front(message);
    check_cookie(message);
    match parse_query(message) {
        Received::Ignore(Ignore::TooShort) => assert!(message.len() < HEADER_LEN),
        Received::Ignore(Ignore::IsResponse) => assert!(message[2] & 0x80 != 0),
        Received::Query(query) => check_well_formed_query(message, &query),
        Received::Reject(reject) => check_rejected_query(message, &reject),
    }
}

/// Checks that a cookie is found where the parser has seen one, and that it has a valid length.
pub(crate) fn check_cookie(message: &[u8]) {
    let cookie = find_cookie(message);
    if let Some(cookie) = cookie {
        assert!(cookie.server.is_empty() || (8..=32).contains(&cookie.server.len()));
    }
    match parse_query(message) {
        Received::Query(query) => {
            let has_cookie = query.edns.is_some_and(|edns| edns.has_cookie);
            assert_eq!(cookie.is_some(), has_cookie);
        }
        Received::Reject(reject) => {
            let is_malformed = reject.fault == QueryFault::Malformed(Malformed::Cookie);
            assert!(!is_malformed || cookie.is_none());
        }
        Received::Ignore(_) => {}
    }
}

/// Checks what is read of the message of a client that may not ask: the same as of others, as far as it goes.
fn check_front(message: &[u8]) {
    match (parse_front(message), parse_query(message)) {
        (Err(ignored), received) => assert_eq!(Received::Ignore(ignored), received),
        (Ok(_), Received::Ignore(ignored)) => panic!("not ignored: {ignored:?}"),
        (Ok(front), Received::Query(query)) => {
            let seen = (front.id, front.flags, front.question, front.qtype);
            assert_eq!(seen, (query.id, query.flags, query.question, query.qtype));
            let sizes = |edns: Option<ClientEdns>| edns.map(|edns| (edns.udp_size, edns.dnssec_ok));
            if front.edns.is_some() {
                assert_eq!(sizes(front.edns), sizes(query.edns));
            }
        }
        (Ok(front), Received::Reject(reject)) => {
            assert_eq!((front.id, front.flags), (reject.id, reject.flags));
            assert!(front.question.is_empty() || front.question == reject.question);
        }
    }
}

/// The message with the root as owner of all its records: nobody reads the owners of a query's records, so that their
/// pointers may lead anywhere.
fn with_root_owners(message: &[u8], question_len: usize) -> Vec<u8> {
    let mut out = message[..HEADER_LEN + question_len].to_vec();
    let mut at = out.len();
    let count = |at: usize| usize::from(u16::from_be_bytes([message[at], message[at + 1]]));
    for _ in 0..count(6) + count(8) + count(10) {
        loop {
            match message[at] {
                0 => break at += 1,
                0xc0.. => break at += 2,
                length => at += 1 + usize::from(length),
            }
        }
        let end = at + 10 + count(at + 8);
        out.push(0);
        out.extend(&message[at..end]);
        at = end;
    }
    out
}

/// A client without EDNS.
fn plain_hop(id: u16) -> ClientHop<'static> {
    ClientHop {
        id,
        recursion_desired: true,
        checking_disabled: false,
        authentic_data: true,
        opt: None,
        limit: 65_535,
    }
}

fn plain_opt() -> ResponseOpt<'static> {
    ResponseOpt {
        udp_size: 1232,
        dnssec_ok: true,
        keepalive: None,
        ede: None,
        second_ede: None,
        pads: false,
    }
}

fn check_well_formed_query(message: &[u8], query: &Query<'_>) {
    let message = &with_root_owners(message, query.question.len());
    let view = View::of(message, false).expect("domain refuses a query that we take");
    let question = Question::fold(query.question).expect("a question that is none");
    let name_case = NameCase::of(query.question);
    let asked = (question_name(query.question), query.qtype, query.qclass);
    assert_eq!(view.questions, [asked]);
    assert_eq!(
        (question.qtype(), question.qclass()),
        (query.qtype, query.qclass)
    );
    assert!(question.matches(query.question));
    let mut as_received = question.as_bytes().to_vec();
    name_case.apply(&mut as_received);
    assert_eq!(as_received, query.question);
    assert_eq!(Some(query.id), message_id(message));
    let is_soa_of_transfer =
        |record: &Seen| (query.qtype, record.rtype) == (rtype::IXFR, rtype::SOA);
    assert!(
        view.records
            .iter()
            .all(|record| record.section == ADDITIONAL || is_soa_of_transfer(record))
    );
    check_client_edns(message, &view, query.edns);
    for edns in [false, true] {
        for asks_keepalive in [false, true] {
            check_upstream_query(&UpstreamQuery {
                id: query.id,
                question: &question,
                dnssec_ok: query.edns.is_some_and(|edns| edns.dnssec_ok),
                checking_disabled: query.flags.checking_disabled(),
                edns,
                pads: true,
                name_case: NameCase::LOWER,
                asks_keepalive,
            });
        }
    }
}

fn check_client_edns(message: &[u8], view: &View, edns: Option<ClientEdns>) {
    assert_eq!(view.of_type(rtype::OPT), usize::from(edns.is_some()));
    let message = Message::from_octets(message).unwrap();
    let Some(edns) = edns else { return };
    let theirs = message.opt().expect("domain finds no OPT record");
    assert_eq!(edns.udp_size, theirs.udp_payload_size().max(512));
    assert_eq!((edns.dnssec_ok, theirs.version()), (theirs.dnssec_ok(), 0));
    let options = option_codes(&theirs);
    assert!(options.len() <= OPTIONS_MAX);
    assert_eq!(edns.asks_keepalive, options.contains(&11));
    assert_eq!(edns.asks_padding, options.contains(&12));
}

/// The codes of all options.
fn option_codes(opt: &OptRecord<&[u8]>) -> Vec<u16> {
    let options = opt.opt().iter::<UnknownOptData<_>>();
    options
        .map(|option| option.unwrap().code().to_int())
        .collect()
}

/// Checks that a query towards an upstream has the given flags, and nothing more.
pub(crate) fn check_upstream_query(query: &UpstreamQuery<'_>) {
    let mut stream = vec![0xee];
    write_query(&mut stream, query);
    let (message, rest) = split_frame(&stream[1..]).expect("an incomplete frame");
    assert!(rest.is_empty());
    let view = View::of(message, true).expect("domain refuses our query");
    let name = Name::from_octets(query.question.name().to_vec()).unwrap();
    assert_eq!(
        view.questions,
        [(name, query.question.qtype(), query.question.qclass())]
    );
    assert_eq!(view.records.len(), usize::from(query.edns));
    let parsed = Message::from_octets(message).unwrap();
    let header = parsed.header();
    assert_eq!((header.id(), header.rd(), header.ad(), header.cd()), {
        (query.id, true, true, query.checking_disabled)
    });
    assert!(!header.qr() && !header.aa() && !header.tc() && !header.ra() && !header.z());
    if query.edns {
        let opt = parsed.opt().expect("domain finds no OPT record");
        assert_eq!((opt.udp_payload_size(), opt.version()), (1232, 0));
        assert_eq!(opt.dnssec_ok(), query.dnssec_ok);
        let expected: &[u16] = if query.asks_keepalive {
            &[11, 12]
        } else {
            &[12]
        };
        assert_eq!(option_codes(&opt), expected);
        assert_eq!(message.len() % PADDING_BLOCK, 0);
    }
    // A server of our own kind understands it.
    let Received::Query(understood) = parse_query(message) else {
        panic!("not a query")
    };
    assert_eq!(understood.question, query.question.as_bytes());
}

fn check_rejected_query(message: &[u8], reject: &Reject<'_>) {
    let opt = reject.edns.map(|_| plain_opt());
    let hop = ClientHop {
        opt,
        ..plain_hop(reject.id)
    };
    let mut out = vec![0xee];
    let opcode = reject.flags.opcode();
    write_error(
        &mut out,
        reject.question,
        opcode,
        reject.fault.rcode(),
        &hop,
    );
    let error = &out[1..];
    assert_eq!(message_id(error), message_id(message));
    assert_eq!(parse_query(error), Received::Ignore(Ignore::IsResponse));
    let view = View::of(error, true).expect("domain refuses our error");
    assert_eq!(
        view.questions.len(),
        usize::from(!reject.question.is_empty())
    );
    assert_eq!(view.records.len(), usize::from(reject.edns.is_some()));
    assert_eq!(
        error[HEADER_LEN..][..reject.question.len()],
        *reject.question
    );
    let parsed = Message::from_octets(error).unwrap();
    let expected = match reject.fault.rcode() {
        rcode::BADVERS if reject.edns.is_none() => rcode::FORMERR,
        rcode => rcode,
    };
    assert_eq!(parsed.opt_rcode().to_int(), expected);
    assert_eq!(parsed.header().opcode().to_int(), opcode);
}

/// The name of a question's bytes.
fn question_name(question: &[u8]) -> Name<Vec<u8>> {
    Name::from_octets(question[..question.len() - 4].to_vec()).unwrap()
}

/// Checks what is made of an upstream's message. Returns whether it was taken.
pub(crate) fn check_answer(message: &[u8]) -> bool {
    let mut answer = UpstreamResponse::new();
    if answer.load(message).is_err() {
        assert!(answer.body().is_empty());
        return false;
    }
    let view = View::of(message, true).expect("domain refuses a response that we take");
    let cached = View::of(answer.body(), true).expect("domain refuses what we cached");
    assert_eq!(cached.questions, view.questions);
    assert_eq!(cached.records, settled(&view.records));
    assert_eq!(answer.off_chain_count(), off_chain(&view));
    let header = Message::from_octets(answer.body()).unwrap().header();
    assert!(header.qr() && !header.z());
    assert_eq!(
        answer.rcode(),
        Message::from_octets(message).unwrap().opt_rcode().to_int()
    );
    assert_eq!(answer.edns().is_some(), view.of_type(rtype::OPT) == 1);
    assert!(answer.ede().is_none_or(|(_, text)| text.len() <= 256));

    // The stored answer is a message like any other, with nothing left to change.
    let mut again = UpstreamResponse::new();
    assert_eq!(again.load(answer.body()), Ok(()));
    assert_eq!(
        (again.body(), again.off_chain_count()),
        (answer.body(), answer.off_chain_count())
    );
    for limit in [512, 1232, 65_535] {
        check_response(
            &answer,
            &cached,
            &ClientHop {
                limit,
                ..plain_hop(7)
            },
        );
        let ede = Some(Ede {
            code: 22,
            text: "no upstream could be reached",
        });
        let opt = Some(ResponseOpt {
            keepalive: Some(80),
            ede,
            pads: limit > 1_232,
            ..plain_opt()
        });
        check_response(
            &answer,
            &cached,
            &ClientHop {
                limit,
                opt,
                ..plain_hop(7)
            },
        );
    }
    true
}

/// The records that must be left of a response, with the TTLs they must have.
fn settled(records: &[Seen]) -> Vec<Seen> {
    let is_hop = |record: &&Seen| {
        record.section == ADDITIONAL
            && (matches!(record.rtype, rtype::OPT | rtype::TSIG)
                || record.rdata == Rdata::SignatureOf(Some([0, 0])))
    };
    let mut cached: Vec<Seen> = records
        .iter()
        .filter(|record| !is_hop(record))
        .cloned()
        .collect();
    let mut lowest: HashMap<_, u32> = HashMap::new();
    let set = |record: &Seen| {
        (
            record.section,
            record.owner.clone(),
            record.rtype,
            record.class,
        )
    };
    for record in &mut cached {
        record.ttl = record.ttl.min(TTL_MAX);
        let ttl = lowest.entry(set(record)).or_insert(record.ttl);
        *ttl = record.ttl.min(*ttl);
    }
    for record in &mut cached {
        if !matches!(record.rtype, rtype::RRSIG | rtype::SIG) {
            record.ttl = lowest[&set(record)];
        }
    }
    cached
}

/// Counts off-chain records by comparing names with names.
fn off_chain(view: &View) -> u16 {
    let mut left: Vec<&Seen> = view
        .records
        .iter()
        .filter(|record| record.section == ANSWER)
        .collect();
    let mut next = view.questions.first().map(|(name, ..)| name.clone());
    for _ in 0..32 {
        let Some(current) = next.take() else { break };
        let (own, others): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|seen| seen.owner == current);
        next = own
            .iter()
            .find(|seen| seen.rtype == rtype::CNAME)
            .map(|seen| target(seen));
        left = others
            .into_iter()
            .filter(|seen| seen.rtype != rtype::DNAME || !current.ends_with(&seen.owner))
            .collect();
    }
    left.len().try_into().unwrap()
}

fn target(cname: &Seen) -> Name<Vec<u8>> {
    let Rdata::Printed(printed) = &cname.rdata else {
        panic!("{cname:?}")
    };
    printed
        .parse()
        .unwrap_or_else(|error| panic!("{printed}: {error}"))
}

/// Checks the response that is made of `answer`, which `kept` is the oracle's view of.
fn check_response(answer: &UpstreamResponse, cached: &View, hop: &ClientHop<'_>) {
    let mut out = vec![0xee; 2];
    let cut = write_response(&mut out, answer, NameCase::LOWER, hop);
    let response = &out[2..];
    assert!(response.len() <= hop.limit, "{} bytes", response.len());
    let view = View::of(response, true).expect("domain refuses our response");
    assert_eq!(view.questions, cached.questions);
    assert_eq!(view.of_type(rtype::OPT), usize::from(hop.opt.is_some()));
    let records: Vec<_> = view
        .records
        .into_iter()
        .filter(|seen| seen.rtype != rtype::OPT)
        .collect();
    let mut expected = cached.records.clone();
    match cut {
        Truncation::None => {}
        Truncation::Additional => expected.retain(|seen| seen.section != ADDITIONAL),
        Truncation::Full => expected.clear(),
    }
    assert_eq!(records, expected);
    let header = Message::from_octets(response).unwrap().header();
    let was_truncated = answer.flags().is_truncated();
    assert_eq!(header.tc(), was_truncated || cut == Truncation::Full);
    assert_eq!(
        (header.id(), header.qr(), header.rd(), header.ra()),
        (hop.id, true, true, true)
    );
    assert!(!header.z() && !header.aa());
    assert!(!header.ad() || answer.flags().authentic_data() && answer.off_chain_count() == 0);
    // Records go only after all of the OPT record that may go, and not if all fit when names are compressed.
    let opt_len = if hop.opt.is_some() { 11 } else { 0 };
    let fits = answer.body().len() + opt_len <= hop.limit;
    assert!(cut == Truncation::None || !fits);
}

/// Checks that frames are split as they were joined.
pub(crate) fn check_frame(stream: &[u8]) {
    let mut rest = stream;
    let mut joined = Vec::new();
    while let Some((message, behind)) = split_frame(rest) {
        assert_eq!(message.len() + behind.len() + 2, rest.len());
        write_framed(&mut joined, |out| out.extend_from_slice(message));
        rest = behind;
    }
    joined.extend_from_slice(rest);
    assert_eq!(joined, stream);
    // Nothing but a length that promises more is left.
    if let [high, low, behind @ ..] = rest {
        assert!(behind.len() < usize::from(u16::from_be_bytes([*high, *low])));
    }
}
