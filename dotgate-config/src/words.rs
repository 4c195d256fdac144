//! The closed sets of words that settings choose from.
//! Serves the kinds of value; the program matches on these enums, never on text.

use std::fmt;

use dotgate_core::{AccessAnswer, KeyExchangePolicy, Strategy, Substitute};

/// A closed set of words.
pub trait Word: Copy + fmt::Debug + PartialEq + Sync + 'static {
    /// All of the set, in the order in which an operator is shown them.
    const ALL: &'static [Self];

    /// Returns the word as it is written in a setting.
    fn word(self) -> &'static str;

    /// Says what may have been meant by a word that is not of the set.
    fn hint(_: &str) -> Option<String> {
        None
    }
}

/// The least important events that are still logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what needs a person.
    Error,
    /// What may need a person soon, too.
    Warn,
    /// What an operator wants to find afterwards, too.
    Info,
    /// What explains one decision, too.
    Debug,
    /// Everything.
    Trace,
}

impl Word for LogLevel {
    const ALL: &'static [Self] = &[
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    fn hint(word: &str) -> Option<String> {
        let meant = match word.to_ascii_lowercase().as_str() {
            "warning" => "warn",
            "verbose" => "debug",
            "notice" | "information" => "info",
            "err" | "critical" | "fatal" | "quiet" => "error",
            _ => return None,
        };
        Some(format!("write {meant}"))
    }
}

/// How a logged event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for a person.
    Text,
    /// One JSON object in a line.
    Json,
}

impl Word for LogFormat {
    const ALL: &'static [Self] = &[Self::Text, Self::Json];

    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// What to do at the start while no upstream is reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartPolicy {
    /// Serve, and say ready.
    ServeAnyway,
    /// Serve, and say not ready.
    Wait,
    /// End.
    Fail,
}

impl Word for StartPolicy {
    const ALL: &'static [Self] = &[Self::ServeAnyway, Self::Wait, Self::Fail];

    fn word(self) -> &'static str {
        match self {
            Self::ServeAnyway => "serve-anyway",
            Self::Wait => "wait",
            Self::Fail => "fail",
        }
    }
}

/// Whether the process gives up what it does not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxPolicy {
    /// As far as the kernel can enforce it.
    Auto,
    /// All of it, or the start fails.
    Require,
    /// Nothing.
    Off,
}

impl Word for SandboxPolicy {
    const ALL: &'static [Self] = &[Self::Auto, Self::Require, Self::Off];

    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Require => "require",
            Self::Off => "off",
        }
    }
}

/// The usage profile towards upstreams (RFC 8310 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// An upstream that cannot be authenticated gets no query.
    Strict,
    /// Any certificate is taken: encrypted, but perhaps to an attacker.
    InsecureOpportunistic,
}

impl Word for Profile {
    const ALL: &'static [Self] = &[Self::Strict, Self::InsecureOpportunistic];

    fn word(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::InsecureOpportunistic => "insecure-opportunistic",
        }
    }
}

/// Whether plain upstreams may be those of the default route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainDefault {
    /// Plain upstreams are for the names of routes.
    Refuse,
    /// All names may be queried without TLS.
    Insecure,
}

impl Word for PlainDefault {
    const ALL: &'static [Self] = &[Self::Refuse, Self::Insecure];

    fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Insecure => "insecure",
        }
    }
}

impl Word for KeyExchangePolicy {
    const ALL: &'static [Self] = &[Self::Auto, Self::Hybrid, Self::Classical];

    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Hybrid => "hybrid",
            Self::Classical => "classical",
        }
    }
}

impl Word for Strategy {
    const ALL: &'static [Self] = Strategy::ALL;

    fn word(self) -> &'static str {
        self.label()
    }

    fn hint(word: &str) -> Option<String> {
        let meant = match word.to_ascii_lowercase().replace('_', "-").as_str() {
            "sequential" | "order" | "first" | "strict" | "failover" => Strategy::Ordered,
            "latency" | "fast" | "least-rtt" | "p2" | "best" => Strategy::Fastest,
            "roundrobin" | "rr" | "random" | "load-balance" | "round-robin" => Strategy::RoundRobin,
            "hash" | "sharded" | "whashed" | "chashed" => Strategy::Shard,
            _ => return None,
        };
        Some(format!("write {}", meant.label()))
    }
}

impl Word for AccessAnswer {
    const ALL: &'static [Self] = &[Self::Refused, Self::NoResponse];

    fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NoResponse => "silence",
        }
    }
}

impl Word for Substitute {
    const ALL: &'static [Self] = &[
        Self::NxDomain,
        Self::NoData,
        Self::NullAddress,
        Self::Refused,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::NxDomain => "nxdomain",
            Self::NoData => "nodata",
            Self::NullAddress => "null",
            Self::Refused => "refused",
        }
    }
}

/// What happens to private addresses in public answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebindProtect {
    /// Clients get them.
    Off,
    /// Clients get this instead.
    Deny(Substitute),
}

impl RebindProtect {
    /// What clients get instead, if anything.
    pub(crate) fn substitute(self) -> Option<Substitute> {
        match self {
            Self::Off => None,
            Self::Deny(substitute) => Some(substitute),
        }
    }
}

impl Word for RebindProtect {
    const ALL: &'static [Self] = &[
        Self::Off,
        Self::Deny(Substitute::NxDomain),
        Self::Deny(Substitute::NoData),
        Self::Deny(Substitute::Refused),
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Deny(substitute) => substitute.word(),
        }
    }
}

/// Classes of questions that are refused unless the operator has them forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryClass {
    /// ANY, a class of questions alone (RFC 1035 section 3.2.5).
    Any,
    /// Those for private use (RFC 6895 section 3.2).
    Private,
}

impl Word for QueryClass {
    const ALL: &'static [Self] = &[Self::Any, Self::Private];

    fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Private => "private",
        }
    }
}
