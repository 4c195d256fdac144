//! What a server does with connections and queries.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use super::forms::Answer;

/// How a server ends a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// TCP FIN, without close_notify.
    Fin,
    /// close_notify, then FIN.
    Notify,
    /// TCP RST.
    Reset,
    /// Half of the response to the first withheld query, then FIN.
    MidFrame,
    /// A fatal TLS alert.
    Alert,
    /// A record that cannot be decrypted, then FIN.
    BadRecord,
}

/// What is sent in response to a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// The right response.
    Right,
    /// The right response with another message ID.
    WrongId,
    /// A response to another question with the right message ID.
    WrongQuestion,
    /// The right bytes with QR=0.
    NotAResponse,
    /// The right message ID, and no message behind it.
    Garbage,
    /// A frame of length zero.
    Empty,
    /// Four bytes.
    Short,
    /// No records and TC=1.
    Truncated,
    /// SERVFAIL.
    ServerFailure,
    /// REFUSED with EDE 18 (Prohibited).
    Prohibited,
    /// FORMERR without an OPT record if the query has one, otherwise the right response.
    NoEdns,
    /// The right response with edns-tcp-keepalive 0 (RFC 7828 section 3.3.2).
    KeepaliveZero,
    /// A response of 65,535 bytes.
    Long,
    /// A response of 1,000 bytes.
    Kilobyte,
    /// The length of a frame, and nothing more on this connection.
    LengthAlone,
}

/// One action for a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Sends a response.
    Send(Form),
    /// Continues after this time.
    Wait(Duration),
    /// Sends the right response one byte at a time, with this pause. Nothing else is sent on the connection meanwhile.
    Drip(Duration),
    /// Continues when the owner of the server releases all queries.
    Hold,
    /// Ends the connection.
    End(End),
}

/// What a server does with a new connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    /// Serves it.
    Serve,
    /// Accepts it, and neither reads nor writes.
    Ignore,
    /// Accepts it and closes it at once.
    Close,
}

/// What clients may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at once. Further ones are closed when they are accepted.
    pub connections: usize,
    /// The time after which a connection without a query and without a pending response is closed.
    pub idle: Option<Duration>,
    /// The time after which a connection is closed whose client reads nothing of what was sent.
    pub unread: Option<Duration>,
    /// Queries of a connection whose response is delayed. Further ones are answered without [`Step::Wait`].
    pub delayed: usize,
    /// Queries and first bytes that are recorded. Further ones are only counted.
    pub recorded: usize,
}

impl Limits {
    /// No limits, for the clients of a test.
    pub const NONE: Self = Self {
        connections: usize::MAX,
        idle: None,
        unread: None,
        delayed: usize::MAX,
        recorded: usize::MAX,
    };
}

/// What a server does.
#[derive(Clone, Debug)]
pub struct Script {
    /// What happens to new connections.
    pub opening: Opening,
    /// The TLS of new connections.
    pub tls: Arc<ServerConfig>,
    /// The right responses.
    pub answer: Answer,
    /// What clients may use.
    pub limits: Limits,
    /// The steps for a query for which there are no others.
    pub all: Vec<Step>,
    /// When this many queries have been received, all open connections end, and [`Script::all`] becomes
    /// [`Form::Right`].
    pub end_at: Option<(usize, End)>,
    /// Whether sockets have the smallest receive buffers, from the next [`super::Upstream::listen`] on.
    pub has_little_room: bool,
    by_name: HashMap<String, Vec<Step>>,
    once: HashMap<String, Vec<Step>>,
    by_beginning: Option<(String, Vec<Step>)>,
}

impl Script {
    /// Serves all connections and answers all queries, without limits.
    pub fn new(tls: Arc<ServerConfig>, answer: Answer) -> Self {
        Self {
            opening: Opening::Serve,
            tls,
            answer,
            limits: Limits::NONE,
            all: vec![Step::Send(Form::Right)],
            end_at: None,
            has_little_room: false,
            by_name: HashMap::new(),
            once: HashMap::new(),
            by_beginning: None,
        }
    }

    /// Sets the steps for every query for `name`, which is in lower case and has no final dot.
    pub fn on(&mut self, name: &str, steps: &[Step]) {
        self.by_name.insert(name.to_owned(), steps.to_vec());
    }

    /// Sets the steps for only the next query for `name`.
    pub fn once(&mut self, name: &str, steps: &[Step]) {
        self.once.insert(name.to_owned(), steps.to_vec());
    }

    /// Sets the steps for every query for a name with this beginning.
    pub fn on_beginning(&mut self, beginning: &str, steps: &[Step]) {
        self.by_beginning = Some((beginning.to_owned(), steps.to_vec()));
    }

    /// The steps for a query for `name`.
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

    /// How to end all connections, once, if this many queries have been received.
    pub(super) fn take_end(&mut self, queries: usize) -> Option<End> {
        let (_, end) = self.end_at.take_if(|(at, _)| queries >= *at)?;
        self.all = vec![Step::Send(Form::Right)];
        Some(end)
    }
}
