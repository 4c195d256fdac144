//! What an upstream does with connections and queries.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

/// How an upstream ends a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// TCP FIN without a word.
    Fin,
    /// close_notify, then FIN.
    Notify,
    /// TCP RST.
    Reset,
    /// Half of the response to the first withheld query, then FIN.
    MidFrame,
    /// A fatal TLS alert.
    Alert,
    /// A record that nobody can decrypt, then FIN.
    BadRecord,
}

/// What is sent in the place of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Right,
    /// The right answer under another message ID.
    WrongId,
    /// An answer to another question under the right ID.
    WrongQuestion,
    /// The right bytes with QR=0.
    NotAResponse,
    /// The right ID and then nothing that is DNS.
    Garbage,
    /// A frame of length zero.
    Empty,
    /// Four bytes.
    Short,
    /// No answer and TC=1.
    Truncated,
    /// SERVFAIL.
    ServerFailure,
    /// REFUSED with EDE 18 (prohibited).
    Prohibited,
    /// FORMERR without an OPT record to a query that has one, else right.
    NoEdns,
    /// The right answer with edns-tcp-keepalive 0 (RFC 7828 section 3.3.2).
    KeepaliveZero,
    /// An answer of 65,535 bytes.
    Long,
    /// A response of about 1,000 bytes.
    Kilobyte,
    /// A frame's length, and nothing more on this connection.
    LengthAlone,
}

/// One thing done about a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Send(Form),
    Wait(Duration),
    /// The right answer, one byte at a time with this pause; nothing else leaves meanwhile.
    Drip(Duration),
    /// Nothing until the test releases it.
    Hold,
    End(End),
}

/// How a connection begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opening {
    Serve,
    /// It is accepted, and nothing is read or written.
    Ignore,
    /// It is closed as soon as it is accepted.
    Close,
}

/// What an upstream does.
pub(crate) struct Script {
    pub(crate) opening: Opening,
    pub(crate) tls: Arc<ServerConfig>,
    /// What is done about a query for which nothing else is said.
    pub(crate) all: Vec<Step>,
    /// When this many queries have come in all, the open connections end, and the script for all is `Right`.
    pub(crate) end_at: Option<(usize, End)>,
    /// Whether it has the smallest receive buffers there are, from when it listens.
    pub(crate) has_little_room: bool,
    by_name: HashMap<String, Vec<Step>>,
    once: HashMap<String, Vec<Step>>,
    by_beginning: Option<(String, Vec<Step>)>,
}

impl Script {
    pub(super) fn new(tls: Arc<ServerConfig>) -> Script {
        Script {
            opening: Opening::Serve,
            tls,
            all: vec![Step::Send(Form::Right)],
            end_at: None,
            has_little_room: false,
            by_name: HashMap::new(),
            once: HashMap::new(),
            by_beginning: None,
        }
    }

    /// Does this about every query for `name`.
    pub(crate) fn on(&mut self, name: &str, steps: &[Step]) {
        self.by_name.insert(name.to_owned(), steps.to_vec());
    }

    /// Does this about the next query for `name` alone.
    pub(crate) fn once(&mut self, name: &str, steps: &[Step]) {
        self.once.insert(name.to_owned(), steps.to_vec());
    }

    /// Does this about every query for a name that begins so.
    pub(crate) fn on_beginning(&mut self, beginning: &str, steps: &[Step]) {
        self.by_beginning = Some((beginning.to_owned(), steps.to_vec()));
    }

    pub(super) fn steps(&mut self, name: &str) -> Vec<Step> {
        if let Some(steps) = self
            .once
            .remove(name)
            .or_else(|| self.by_name.get(name).cloned())
        {
            return steps;
        }
        match &self.by_beginning {
            Some((beginning, steps)) if name.starts_with(beginning.as_str()) => steps.clone(),
            _ => self.all.clone(),
        }
    }
}
