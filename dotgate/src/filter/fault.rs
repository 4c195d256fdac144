//! What is wrong with a line of a list.

use std::path::PathBuf;

use dotgate_config::Escaped;
use dotgate_core::limits;
use thiserror::Error;

use crate::lines::{FileError, NameFault};

/// Why lists cannot be used.
#[derive(Debug, Error)]
pub enum ListError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line is wrong.
    #[error("{}:{line}: {fault}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u32,
        /// What is wrong with it.
        fault: ListLineFault,
    },
}

/// What is wrong with a line of a list.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ListLineFault {
    /// It has something that is not a name.
    #[error(transparent)]
    Name(#[from] NameFault),
    /// It is a filter rule of a browser extension.
    #[error(
        "{} is Adblock syntax, which says more than names\n  expected: a name in each line (or lines of a hosts file, or an \
         RPZ zone); most lists are published in one of these forms too", Escaped(.0)
    )]
    Adblock(String),
    /// It has a name with an address that blocks nothing.
    #[error(
        "{} is the address of a host\n  expected: 0.0.0.0, 127.0.0.1, :: or ::1 in front of a blocked name; names with \
         addresses belong in DOTGATE_LOCAL_HOSTS_FILE", Escaped(.0)
    )]
    HostAddress(String),
    /// It has an address and no name.
    #[error("the address has no name\n  expected: a name in each line, or 0.0.0.0 NAME")]
    NoName,
    /// It has several words, the first of which is no address.
    #[error("{} is followed by more\n  expected: a name in each line, or 0.0.0.0 NAME", Escaped(.0))]
    SeveralWords(String),
    /// A line of a zone that is no record.
    #[error("{0}\n  expected: NAME [TTL] [IN] CNAME TARGET, as in ads.example CNAME .")]
    NotARecord(&'static str),
    /// A record of a zone that is no rule.
    #[error(
        "records of type {} are not supported in an RPZ zone\n  expected: CNAME records; addresses of names belong in \
         DOTGATE_LOCAL_RECORDS", Escaped(.0)
    )]
    OtherType(String),
    /// A rule whose trigger is not the name that is asked for.
    #[error(
        "rules with {} are not supported\n  expected: rules for names that are asked for (QNAME triggers)", Escaped(.0)
    )]
    OtherTrigger(String),
    /// A rule with an action that is not supported.
    #[error(
        "the action {} is not supported\n  expected: CNAME . (NXDOMAIN), CNAME *. (NODATA), CNAME rpz-passthru., or \
         CNAME NAME", Escaped(.0)
    )]
    OtherAction(String),
    /// A name that lies outside of the zone.
    #[error(
        "{} is not below the name of the zone\n  expected: names without a dot at their end, or with the name of the zone \
         behind them", Escaped(.0)
    )]
    OutsideOfZone(String),
    /// Parentheses that are not closed.
    #[error("a parenthesis is not closed before the end of the file")]
    OpenParenthesis,
    /// It is one too many.
    #[error("all lists together have more than {} names", limits::LISTED_NAMES)]
    TooMany,
}
