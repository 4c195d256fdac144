//! Messages of the tests' clients and upstreams, read with the `domain` crate, not with ours.
//!
//! The right answer to a question is made from its name, so that a client can tell an answer to another one.

use std::net::Ipv4Addr;

use domain::base::iana::{Opcode, OptionCode, Rcode, Rtype};
use domain::base::message_builder::AdditionalBuilder;
use domain::base::opt::{ExtendedError, UnknownOptData};
use domain::base::{Message, MessageBuilder, Name, StaticCompressor, ToName, Ttl};
use domain::rdata::{A, Txt};
use dotgate_message::{Compose as _, IN, RD, message};

type Target = StaticCompressor<Vec<u8>>;

const TTL: Ttl = Ttl::from_secs(60);

/// The type a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum QueryType {
    /// Type A with an OPT record.
    Address,
    /// Type A without EDNS.
    AddressWithoutEdns,
    /// Type TXT with an OPT record that allows 1,232 bytes.
    Text,
    /// Type TXT without EDNS.
    TextWithoutEdns,
}

impl QueryType {
    fn qtype(self) -> u16 {
        match self {
            QueryType::Address | QueryType::AddressWithoutEdns => dotgate_message::A,
            QueryType::Text | QueryType::TextWithoutEdns => dotgate_message::TXT,
        }
    }

    fn has_edns(self) -> bool {
        matches!(self, QueryType::Address | QueryType::Text)
    }
}

/// The address that the right answer for a name has.
pub(crate) fn address_of(name: &str) -> Ipv4Addr {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.to_lowercase().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    Ipv4Addr::from((hash >> 32) as u32 ^ hash as u32)
}

/// A client's query for a name in presentation format, which may have escaped characters.
pub(crate) fn query(id: u16, name: &str, asked: QueryType) -> Vec<u8> {
    let name: Name<Vec<u8>> = name.parse().unwrap();
    let [qtype, qclass] = [asked.qtype(), IN].map(u16::to_be_bytes);
    let question = [name.as_slice(), &qtype, &qclass].concat();
    let message = message(id, RD, &question, [&[], &[], &[]]);
    match asked.has_edns() {
        true => message.with_edns(),
        false => message,
    }
}

/// What a client makes of a response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Response {
    pub(crate) id: u16,
    pub(crate) name: String,
    pub(crate) rcode: Rcode,
    pub(crate) is_truncated: bool,
    /// The INFO-CODE and EXTRA-TEXT of its Extended DNS Error.
    pub(crate) ede: Option<(u16, String)>,
    pub(crate) addresses: Vec<Ipv4Addr>,
    /// The TTL of the first record.
    pub(crate) ttl: Option<u32>,
    pub(crate) texts: usize,
    pub(crate) length: usize,
    /// The address that is right.
    pub(crate) expected: Ipv4Addr,
}

impl Response {
    /// Reads a response; it must be well formed and have its question.
    pub(crate) fn read(bytes: &[u8]) -> Response {
        let message = Message::from_octets(bytes).expect("twelve bytes");
        let header = message.header();
        assert!(header.qr() && header.ra(), "{bytes:?}");
        assert_eq!(header.opcode(), Opcode::QUERY);
        let question = message.sole_question().expect("one question");
        let answer = message.answer().unwrap();
        let first = answer.into_iter().next();
        let addresses = answer.limit_to::<A>();
        let texts = answer.limit_to::<Txt<_>>();
        let opt = message.opt();
        let ede = opt.as_ref().and_then(|opt| {
            let ede = opt.opt().first::<ExtendedError<&[u8]>>()?;
            let text = ede.text_slice().map(String::from_utf8_lossy);
            Some((ede.code().to_int(), text.unwrap_or_default().into_owned()))
        });
        Response {
            id: header.id(),
            name: question.qname().to_string(),
            rcode: header.rcode(),
            is_truncated: header.tc(),
            ede,
            addresses: addresses
                .map(|record| record.unwrap().data().addr())
                .collect(),
            ttl: first.map(|record| record.unwrap().ttl().as_secs()),
            texts: texts.filter(|record| record.is_ok()).count(),
            length: bytes.len(),
            expected: address_of(&question.qname().to_string()),
        }
    }

    /// Whether it is the right answer to a question for an address.
    pub(crate) fn is_right(&self) -> bool {
        self.rcode == Rcode::NOERROR && self.addresses == [self.expected]
    }

    /// Fails unless it is the right answer.
    #[track_caller]
    pub(crate) fn assert_right(&self) {
        assert!(self.is_right(), "{self:?}");
    }

    /// Fails unless it is SERVFAIL with this INFO-CODE.
    #[track_caller]
    pub(crate) fn assert_failed(&self, ede: u16) {
        assert_eq!(self.rcode, Rcode::SERVFAIL, "{self:?}");
        assert_eq!(
            self.ede.as_ref().map(|(code, _)| *code),
            Some(ede),
            "{self:?}"
        );
    }
}

/// Fails unless these are `count` right answers.
#[track_caller]
pub(crate) fn assert_all_right(responses: &[Response], count: usize) {
    let wrong: Vec<&Response> = responses.iter().filter(|it| !it.is_right()).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} wrong: {:?}",
        wrong.len(),
        responses.len(),
        wrong[0]
    );
    assert_eq!(responses.len(), count);
}

/// What an upstream makes of a query.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) id: u16,
    pub(crate) name: String,
    pub(crate) has_opt: bool,
    owner: Name<Vec<u8>>,
    bytes: Vec<u8>,
}

impl Question {
    /// Reads what arrived over TLS: it must be a whole query.
    pub(crate) fn read(bytes: &[u8]) -> Question {
        let message = Message::from_octets(bytes).expect("twelve bytes");
        assert!(!message.header().qr());
        let question = message.sole_question().expect("one question");
        Question {
            id: message.header().id(),
            name: question.qname().to_string().to_lowercase(),
            has_opt: message.opt().is_some(),
            owner: question.qname().to_vec(),
            bytes: bytes.to_vec(),
        }
    }

    fn start(&self, rcode: Rcode) -> domain::base::message_builder::AnswerBuilder<Target> {
        let message = Message::from_octets(&self.bytes[..]).unwrap();
        let builder = MessageBuilder::from_target(StaticCompressor::new(Vec::new())).unwrap();
        let mut answer = builder.start_answer(&message, rcode).unwrap();
        answer.header_mut().set_ra(true);
        answer
    }

    fn finish(
        &self,
        mut additional: AdditionalBuilder<Target>,
        options: &[(u16, &[u8])],
    ) -> Vec<u8> {
        if self.has_opt {
            let written = additional.opt(|opt| {
                opt.set_udp_payload_size(1_232);
                for (code, data) in options {
                    let code = OptionCode::from_int(*code);
                    opt.push(&UnknownOptData::new(code, *data).unwrap())?;
                }
                Ok(())
            });
            written.unwrap();
        }
        additional.finish().into_target()
    }

    /// The right answer.
    pub(crate) fn answer(&self) -> Vec<u8> {
        self.answer_with(&[])
    }

    /// The right answer with EDNS options.
    pub(crate) fn answer_with(&self, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut answer = self.start(Rcode::NOERROR);
        if self.qtype() == Rtype::A {
            answer
                .push((&self.owner, TTL, A::new(address_of(&self.name))))
                .unwrap();
        }
        self.finish(answer.additional(), options)
    }

    fn qtype(&self) -> Rtype {
        let message = Message::from_octets(&self.bytes[..]).unwrap();
        message.sole_question().unwrap().qtype()
    }

    /// An error without records.
    pub(crate) fn error(&self, rcode: Rcode) -> Vec<u8> {
        self.finish(self.start(rcode).additional(), &[])
    }

    /// REFUSED with an EDNS option.
    pub(crate) fn refusal(&self, code: u16, data: &[u8]) -> Vec<u8> {
        self.finish(self.start(Rcode::REFUSED).additional(), &[(code, data)])
    }

    /// An error as of a server that knows no EDNS.
    pub(crate) fn error_without_opt(&self, rcode: Rcode) -> Vec<u8> {
        self.start(rcode).finish().into_target()
    }

    /// An answer of exactly `length` bytes: TXT records, the last of which fills what is left.
    pub(crate) fn long(&self, length: usize) -> Vec<u8> {
        /// A compressed owner, type, class, TTL, RDLENGTH and the length of one character string.
        const AROUND: usize = 2 + 2 + 2 + 4 + 2 + 1;
        let empty = self
            .finish(self.start(Rcode::NOERROR).additional(), &[])
            .len();
        let mut left = length - empty;
        let mut answer = self.start(Rcode::NOERROR);
        while left > 0 {
            let most = AROUND + 255;
            let this = if left >= most + AROUND || left == most {
                most
            } else {
                left.min(most - AROUND)
            };
            let text = vec![b'x'; this - AROUND];
            let text = Txt::<Vec<u8>>::build_from_slice(&text).unwrap();
            answer.push((&self.owner, TTL, text)).unwrap();
            left -= this;
        }
        let message = self.finish(answer.additional(), &[]);
        assert_eq!(message.len(), length);
        message
    }
}
