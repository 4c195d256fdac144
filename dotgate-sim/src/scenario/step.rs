//! What can stand in a scenario, once it is understood.

use std::time::Duration;

use dotgate_core::labels::Limit;
use dotgate_core::{Count, HealthState, SessionEnd, StreamKind};

use crate::message::wire_name;
use crate::random::Span;
use crate::script::{AnswerBound, Opening, Rule};
use crate::upstream::{Death, State};

use super::reload::ReloadForm;
use super::words::{Line, Mistake, Names, rcode};

/// One line of a scenario.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Clients ask, all at once.
    Query(Ask),
    /// Clients ask one after the other while the following steps happen.
    Load {
        ask: Ask,
        /// From one query to the next.
        every: Duration,
    },
    TimePasses(Span),
    /// The host is suspended with all its workers; everything else continues.
    Suspend(Duration),
    /// One worker is stalled.
    Stall(usize, Duration),
    /// The first worker opens a session to each upstream, as at the start of the program.
    Start,
    /// The workers get other lists and local data.
    Reload(ReloadForm),
    /// A portal window is opened, or closed.
    Portal(Option<PortalForm>),
    /// What is checked from now on begins here. The words stand before it in the table.
    CountAnew(String),
    Upstream(usize, Deed),
    /// An upstream answers what it holds.
    Reply(usize, Names, ReplyForm),
    Client(String, ClientDeed),
    Check(Check),
}

/// What clients ask.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) names: Names,
    pub(super) count: usize,
    pub(super) by: By,
    pub(super) qtype: u16,
    pub(super) dnssec_ok: bool,
    pub(super) checking_disabled: bool,
    pub(super) opcode: u8,
    /// How often each query comes again, over UDP from the same port and with the same ID.
    pub(super) repeats: u32,
    /// The worker that is asked; each in turn if none is named.
    pub(super) worker: Option<usize>,
    pub(super) cookie: CookieForm,
}

/// The cookie of a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CookieForm {
    None,
    /// That of the client, with the one that it has from dotgate once it has one.
    Own,
    /// One that somebody else made up.
    Guessed,
}

/// The client, and its transport.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum By {
    /// One address over UDP, each query from a port of its own.
    Udp,
    /// Many addresses over UDP.
    ManyAddresses,
    /// Connections over TCP, in turn.
    Client(String),
}

/// What an upstream, or the network before it, does from now on.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    Opening(Opening),
    OpensIn(Span),
    Rule(Rule),
    /// Every query is answered rightly again.
    AnswersAll,
    State(State),
    /// Present connections end; new ones are accepted.
    Ends(SessionEnd),
    /// Present connections end; new ones are refused, or vanish.
    Dies(Death),
    Swallows,
    ClosesIdleAfter(Duration),
    EndsAfterAnswers(AnswerBound),
    /// Its answers hold other data.
    HasNewData,
}

/// The response of an upstream to a query that it withheld.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ReplyForm {
    Rcode(u8),
    /// The length of a message, and no message.
    LengthAlone,
}

/// What clients over TCP do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClientDeed {
    /// So many connect, from many addresses or from one.
    Connects {
        times: usize,
        from_one_address: bool,
        kind: StreamKind,
        /// Whether they connect again for the next query after dotgate has closed their connection.
        reconnects: bool,
    },
    /// Their TLS handshakes are complete.
    CompletesTls,
    SendsHalfAQuery,
    /// So many messages that no query is: every second one has no question, the others another opcode.
    SendsMalformed {
        times: u32,
    },
    StopsReading,
    ReadsAgain,
    /// It has sent its last byte and still reads.
    Ends,
    /// It is gone at once.
    Leaves,
}

/// What must be so.
#[derive(Clone, Debug)]
pub(super) enum Check {
    Figure {
        figure: Figure,
        of: Option<Names>,
        at: Option<usize>,
        wanted: Wanted,
    },
    Answer(Names, AnswerForm),
    NoAnswer(Names),
    OutQuery(usize, Names),
    Health(usize, HealthState),
    /// Whether a portal window is open.
    Portal(bool),
}

/// What a client must read in its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct AnswerForm {
    pub(super) rcode: u8,
    pub(super) is_truncated: bool,
    pub(super) bytes: Option<u64>,
    pub(super) ede: Option<u16>,
    /// How the EXTRA-TEXT begins.
    pub(super) text: Option<String>,
    /// The TTL of its records, in seconds.
    pub(super) ttl: Option<u32>,
    /// How often the data has changed.
    pub(super) version: Option<u32>,
    pub(super) within: Option<Duration>,
}

/// Something that is measured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Figure {
    /// Queries without a response, or with one that is neither NOERROR nor NXDOMAIN.
    Lost,
    /// Queries answered NOERROR or NXDOMAIN.
    Answered,
    /// Queries answered with TC.
    Truncated,
    /// Queries answered with this response code.
    Coded(u8),
    /// Queries answered with stale data: an EDE says so.
    Stale,
    /// Queries that wait for a response.
    Waiting,
    LongestWait,
    /// The wait that nine of ten queries do not exceed.
    UsualWait,
    /// That of 999 in 1,000 queries.
    RareWait,
    /// From the last `RESET_COUNTS` to the next answer that is no failure.
    FirstAnswer,
    Attempts,
    /// The same for each query of a client, on average.
    AttemptsPerQuery,
    /// Sessions that were begun.
    Connects,
    /// Sessions that became open.
    Handshakes,
    /// Sessions that are there now.
    Sessions,
    /// How often the log said that an upstream is down.
    DownEvents,
    /// Failures and recoveries that are recorded for operators.
    Incidents,
    /// Connections of a client that were closed.
    Closed(String),
    Counter(Count),
    /// How often clients reached a limit.
    LimitHits(Limit),
    /// Bytes of responses for each byte of their queries.
    Amplification,
}

impl Figure {
    /// Its words in the table.
    pub(super) fn words(&self) -> String {
        match self {
            Figure::Lost => "lost".to_owned(),
            Figure::Answered => "answered".to_owned(),
            Figure::Truncated => "truncated".to_owned(),
            Figure::Coded(code) => format!("answered {}", rcode(*code)),
            Figure::LimitHits(limit) => format!("limit `{}`", limit.label()),
            Figure::Amplification => "bytes sent per byte received".to_owned(),
            Figure::Waiting => "waiting".to_owned(),
            Figure::LongestWait => "longest wait".to_owned(),
            Figure::UsualWait => "wait of nine in ten".to_owned(),
            Figure::RareWait => "wait of 999 in 1,000".to_owned(),
            Figure::Stale => "stale".to_owned(),
            Figure::DownEvents => "upstream down events".to_owned(),
            Figure::Incidents => "recorded incidents".to_owned(),
            Figure::FirstAnswer => "first answer after".to_owned(),
            Figure::Attempts => "attempts".to_owned(),
            Figure::AttemptsPerQuery => "attempts per query".to_owned(),
            Figure::Connects => "connects".to_owned(),
            Figure::Handshakes => "handshakes".to_owned(),
            Figure::Sessions => "sessions".to_owned(),
            Figure::Closed(client) => format!("connections of {client} closed"),
            Figure::Counter(count) => format!("`{}`", count.label()),
        }
    }
}

/// What a figure must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    pub(super) comparison: Comparison,
    pub(super) amount: Amount,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Comparison {
    Exactly,
    AtMost,
    AtLeast,
}

/// A number of things, a ratio or a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Amount {
    Count(u64),
    /// In hundredths.
    Ratio(u64),
    Time(Duration),
}

impl Wanted {
    pub(super) fn is_met_by(self, seen: Amount) -> bool {
        match self.comparison {
            Comparison::Exactly => seen == self.amount,
            Comparison::AtMost => seen <= self.amount,
            Comparison::AtLeast => seen >= self.amount,
        }
    }

    /// The one of two that is farther from what is wanted.
    pub(super) fn worse(self, one: Amount, other: Amount) -> Amount {
        match self.comparison {
            Comparison::Exactly | Comparison::AtMost => one.max(other),
            Comparison::AtLeast => one.min(other),
        }
    }
}

impl Comparison {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Comparison::Exactly => "",
            Comparison::AtMost => "≤ ",
            Comparison::AtLeast => "≥ ",
        }
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = match self {
            Amount::Count(count) => return write!(f, "{count}"),
            Amount::Ratio(hundredths) => {
                return write!(f, "{}.{:02}", hundredths / 100, hundredths % 100);
            }
            Amount::Time(time) => time.as_micros(),
        };
        // Rounded up, so that what is shown is no less than what was seen.
        let millis = time.div_ceil(1_000);
        if millis < 1_000 {
            return write!(f, "{millis} ms");
        }
        let text = format!("{}.{:03}", millis / 1_000, millis % 1_000);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{text} s")
    }
}

/// A window, as a line opens it.
#[derive(Clone, Debug)]
pub(super) struct PortalForm {
    pub(super) span: Duration,
    /// Empty for all.
    names: Vec<String>,
}

impl PortalForm {
    /// Reads what stands behind `PORTAL`; none closes the window.
    pub(super) fn read(line: &mut Line<'_>) -> Result<Option<PortalForm>, Mistake> {
        if line.takes("CLOSES") {
            return Ok(None);
        }
        line.expect("OPENS")?;
        let span = line.time()?;
        let mut names = Vec::new();
        while line.peek().is_some() {
            names.push(line.word("a name")?.to_owned());
        }
        Ok(Some(PortalForm { span, names }))
    }

    /// The names in wire format; the root stands for all.
    pub(super) fn suffixes(&self) -> Vec<Vec<u8>> {
        match self.names.is_empty() {
            true => vec![wire_name(".")],
            false => self.names.iter().map(|name| wire_name(name)).collect(),
        }
    }
}
