//! Messages of the tests' clients, read with the `domain` crate, not with ours.

use std::net::Ipv4Addr;

use domain::base::iana::{Opcode, Rcode};
use domain::base::opt::ExtendedError;
use domain::base::{Message, Name};
use domain::rdata::{A, Txt};
use dotgate_message::{Compose as _, IN, RD, message};
pub(crate) use dotgate_testbed::upstream::address_of;

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
