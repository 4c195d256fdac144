//! A query that a server received, and the responses that follow from its header and question alone.

use domain::base::iana::{OptionCode, Rcode, Rtype};
use domain::base::message_builder::AnswerBuilder;
use domain::base::opt::UnknownOptData;
use domain::base::{Message, MessageBuilder, Name, StaticCompressor, ToName, Ttl};
use domain::rdata::Txt;

/// A message under construction.
pub(super) type Building = AnswerBuilder<StaticCompressor<Vec<u8>>>;

/// The TTL of records, in seconds.
pub(super) const TTL: Ttl = Ttl::from_secs(60);

/// The UDP payload size in OPT records, in bytes; of no meaning on a stream.
const UDP_SIZE: u16 = 1232;

/// A query that a server received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceivedQuery {
    /// Its message ID.
    pub id: u16,
    /// Its QNAME in lower case, without a final dot; empty if it has no single question.
    pub name: String,
    /// Whether it has an OPT record.
    pub has_opt: bool,
    question: Option<(Name<Vec<u8>>, Rtype)>,
    bytes: Vec<u8>,
}

impl ReceivedQuery {
    /// Reads a message of a client. None if it is shorter than a header, or a response.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let message = Message::from_octets(bytes).ok()?;
        if message.header().qr() {
            return None;
        }
        let question = message.sole_question().ok();
        let question = question.map(|question| (question.qname().to_vec(), question.qtype()));
        let name = question.as_ref().map(|(name, _)| name.to_string());
        Some(Self {
            id: message.header().id(),
            name: name.unwrap_or_default().to_lowercase(),
            has_opt: message.opt().is_some(),
            question,
            bytes: bytes.to_vec(),
        })
    }

    /// The whole message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// QNAME and QTYPE of its only question.
    pub(super) fn question(&self) -> Option<(&Name<Vec<u8>>, Rtype)> {
        let question = self.question.as_ref();
        question.map(|(name, qtype)| (name, *qtype))
    }

    /// The beginning of a response: header and question.
    pub(super) fn start(&self, rcode: Rcode) -> Option<Building> {
        let message = Message::from_octets(&self.bytes[..]).ok()?;
        let builder = MessageBuilder::from_target(StaticCompressor::new(Vec::new())).ok()?;
        let mut answer = builder.start_answer(&message, rcode).ok()?;
        answer.header_mut().set_ra(true);
        Some(answer)
    }

    /// The end of a response: an OPT record with these options, if the query has one.
    pub(super) fn finish(&self, answer: Building, options: &[(u16, &[u8])]) -> Option<Vec<u8>> {
        let mut additional = answer.additional();
        if self.has_opt {
            let options = options
                .iter()
                .map(|(code, data)| UnknownOptData::new(OptionCode::from_int(*code), *data))
                .collect::<Result<Vec<_>, _>>()
                .ok()?;
            let written = additional.opt(|opt| {
                opt.set_udp_payload_size(UDP_SIZE);
                options.iter().try_for_each(|option| opt.push(option))
            });
            written.ok()?;
        }
        Some(additional.finish().into_target())
    }

    /// A response without records, with these EDNS options.
    pub(super) fn without_records(
        &self,
        rcode: Rcode,
        options: &[(u16, &[u8])],
    ) -> Option<Vec<u8>> {
        self.finish(self.start(rcode)?, options)
    }

    /// A response of exactly `length` bytes: TXT records, the last of which fills the rest.
    pub(super) fn long(&self, length: usize) -> Option<Vec<u8>> {
        /// A compressed owner, type, class, TTL, RDLENGTH and the length of one character string.
        const AROUND: usize = 2 + 2 + 2 + 4 + 2 + 1;
        /// The longest record.
        const MOST: usize = AROUND + 255;
        let (owner, _) = self.question()?;
        let empty = self.without_records(Rcode::NOERROR, &[])?.len();
        let mut left = length.checked_sub(empty)?;
        let mut answer = self.start(Rcode::NOERROR)?;
        while left > 0 {
            let this = match left >= MOST + AROUND || left == MOST {
                true => MOST,
                false => left.min(MOST - AROUND),
            };
            let text = vec![b'x'; this.checked_sub(AROUND)?];
            let text = Txt::<Vec<u8>>::build_from_slice(&text).ok()?;
            answer.push((owner, TTL, text)).ok()?;
            left -= this;
        }
        self.finish(answer, &[])
    }
}
