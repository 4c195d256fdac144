//! What a scripted upstream does: to those who connect, and to each query it reads.

use std::time::Duration;

use dotgate_core::{ConnectFault, SessionEnd};

use crate::random::Span;

/// How one upstream behaves from now on.
#[derive(Clone, Debug)]
pub struct Script {
    /// What happens to those who connect.
    pub opening: Opening,
    /// What happens at each of its addresses, instead; none if it has one address, or those that are served.
    pub addresses: Vec<Opening>,
    /// From the first packet to the TCP connection.
    pub connect_time: Span,
    /// From the TCP connection to the end of the TLS handshake.
    pub handshake_time: Span,
    /// One way through the network.
    pub latency: Span,
    /// From a query to its response.
    pub answer_time: Span,
    /// How its bytes are cut on the way.
    pub segments: Segments,
    /// Rules for queries, the first that fits is followed.
    pub rules: Vec<Rule>,
    /// Followed where no rule fits.
    pub otherwise: Reaction,
    /// After this long without a query and with none to answer it closes a connection.
    pub idle_close: Option<Duration>,
    /// How many answers it gives on a connection before it ends it.
    pub answer_bound: Option<AnswerBound>,
    /// Whether it works on one query of a connection at a time; those behind wait.
    pub is_serial: bool,
    /// What its answers hold.
    pub data: Data,
}

/// What the right answers of an upstream hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Data {
    /// Always this version, for five minutes.
    Lasting(u32),
    /// Another version after each of these times; the name decides how long it may be cached.
    Changing(Duration),
}

/// After so many answers a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnswerBound {
    /// Right answers and errors, at least 1.
    pub answers: u32,
    /// Whether by RST, a moment later so that the last answer is read, or by FIN.
    pub by_reset: bool,
}

impl Script {
    /// A good upstream, one millisecond away, that answers in no time and never closes.
    pub fn good() -> Script {
        Script {
            opening: Opening::Accepts,
            addresses: Vec::new(),
            connect_time: Span::millis(1, 1),
            handshake_time: Span::millis(2, 2),
            latency: Span::exactly(Duration::from_micros(500)),
            answer_time: Span::exactly(Duration::ZERO),
            segments: Segments::Whole,
            rules: Vec::new(),
            otherwise: Reaction::Answer,
            idle_close: None,
            answer_bound: None,
            is_serial: false,
            data: Data::Lasting(0),
        }
    }
}

/// What happens to those who connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    /// They are served.
    Accepts,
    /// The connection or its handshake ends like this after its usual time; without ALPN a refusal of
    /// ALPN is none.
    Fails(SessionEnd),
    /// The system refuses in the very call.
    FailsAtOnce(ConnectFault),
    /// The TCP connection stands, then nothing.
    AcceptsAndSendsNothing,
    /// They are served, but a middlebox drops a first message that needs more than one segment.
    DropsLargeHellos,
    /// Not even the TCP connection.
    Vanishes,
}

/// How bytes are cut on the way; a worker that comes late finds several pieces merged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Segments {
    /// As they were sent.
    Whole,
    /// Into a few pieces at random places.
    Few,
    /// Every byte alone, up to some hundred of them.
    Bytes,
}

/// A rule for queries.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Names that begin with this, in lower case with dots; empty for all.
    pub name: String,
    /// In so many of a thousand cases.
    pub per_mille: u64,
    /// Number of queries; none for no limit.
    pub times: Option<u32>,
    /// What is done.
    pub reaction: Reaction,
}

impl Rule {
    /// For every name, in so many of a thousand cases.
    pub fn sometimes(per_mille: u64, reaction: Reaction) -> Rule {
        Rule {
            name: String::new(),
            per_mille,
            times: None,
            reaction,
        }
    }

    /// For names that begin with `name`.
    pub fn of(name: &str, reaction: Reaction) -> Rule {
        Rule {
            name: name.to_owned(),
            per_mille: 1_000,
            times: None,
            reaction,
        }
    }
}

/// What an upstream does with one query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reaction {
    /// The right answer.
    Answer,
    /// The right answer, its records with this TTL in seconds.
    AnswerWithTtl(u32),
    /// The right answer, without the SOA record that a negative response has.
    AnswerWithoutSoa,
    /// The right answer, so much later.
    AnswerAfter(Duration),
    /// The right answer with a keepalive option, in tenths of a second.
    AnswerWithKeepalive(u16),
    /// The right answer without OPT.
    AnswerWithoutOpt,
    /// The right answer, its bytes so far apart.
    Drip(Duration),
    /// The right answer, and once more so much later.
    Twice(Duration),
    /// Nothing.
    Never,
    /// Nothing, but the query is sent to dotgate, as by a server that has dotgate as its forwarder.
    SendBack,
    /// Nothing, and nothing more to any query on the same connection, which stays open.
    Stall,
    /// Kept until `Simulator::release`.
    Hold,
    /// A response with this RCODE and EDE.
    Error {
        /// The RCODE.
        rcode: u8,
        /// The INFO-CODE of an EDE.
        ede: Option<u16>,
        /// Whether it repeats the question.
        has_question: bool,
        /// So much later.
        after: Duration,
    },
    /// FORMERR without OPT if the query had one, else the right answer: it does not support EDNS.
    KnowsNoEdns,
    /// TC set.
    Truncated,
    /// TC set over UDP, and the right answer over TCP.
    TruncatedOverUdp,
    /// Something that is no response to the query; then, perhaps, the right answer so much later.
    Invalid(Invalid, Option<Duration>),
    /// The connection closes (FIN).
    Close(Place),
    /// The connection is reset.
    Reset(Place),
}

/// Something that is no response to a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// The right answer so often, each time under another ID, none of them in use.
    WrongIds(u16),
    /// The right ID with the answer to another question.
    WrongQuestion,
    /// Over UDP, other data for the question in lower case, as somebody would send it who guesses; over TCP, which nobody
    /// can guess their way into, the right answer.
    WrongCase,
    /// The query itself: QR=0.
    QueryBack,
    /// So many bytes without meaning, framed.
    Garbage(u16),
    /// The right answer cut in half, in a frame of its own.
    Half,
    /// So many frames of garbage.
    Flood(u16),
}

/// Where in a response a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Before its first byte.
    Before,
    /// After this many per mille of its bytes.
    Within(u16),
    /// After its last byte.
    After,
}
