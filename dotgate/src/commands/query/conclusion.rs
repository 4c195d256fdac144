//! What came of a question, in one line and an exit status.

use std::fmt;
use std::io;

use domain::base::Message;
use domain::base::iana::{OptRcode, OptionCode};
use domain::base::opt::UnknownOptData;
use dotgate_config::Escaped;

use super::client::{Response, Transport};
use crate::commands::ExitStatus;

/// Who gave a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// This upstream, over this transport.
    Upstream(String, dotgate_core::Transport),
    /// dotgate itself, without asking an upstream.
    Dotgate,
    /// dotgate itself, because no upstream answered.
    NoUpstream,
    /// The dotgate that listens there.
    Server(String),
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Conclusion {
    /// There is a response.
    Response {
        /// Whose.
        by: By,
        /// Its code.
        rcode: OptRcode,
        /// How many records its answer section has.
        records: u16,
        /// The text of its Extended DNS Error.
        reason: Option<String>,
    },
    /// There is none.
    None {
        /// Whose it would have been.
        by: By,
        /// Why.
        reason: String,
    },
}

impl By {
    /// Where a response came from.
    pub(super) fn server(&self) -> String {
        match self {
            By::Upstream(label, _) => label.clone(),
            By::Dotgate | By::NoUpstream => "dotgate".to_owned(),
            By::Server(address) => address.clone(),
        }
    }

    /// What carried it, for the end of a line.
    pub(super) fn transport(&self, response: &io::Result<Response>) -> &'static str {
        match (self, response.as_ref().map(|response| response.transport)) {
            (By::Upstream(_, dotgate_core::Transport::Dot), _) => " (DNS over TLS)",
            (By::Upstream(_, dotgate_core::Transport::Plain), _) => " (plain DNS)",
            (By::Server(_), Ok(Transport::Udp)) => " (UDP)",
            (By::Server(_), Ok(Transport::Tcp)) => " (TCP)",
            (By::Server(_), Err(_)) | (By::Dotgate | By::NoUpstream, _) => "",
        }
    }
}

impl Conclusion {
    pub(super) fn of(response: &io::Result<Response>, by: By) -> Conclusion {
        match response {
            Ok(Response { message, .. }) => Conclusion::Response {
                by,
                rcode: message.opt_rcode(),
                records: message.header_counts().ancount(),
                reason: extended_error(message).map(|(_, text)| text),
            },
            Err(error) => Conclusion::None {
                by,
                reason: error.to_string(),
            },
        }
    }

    /// The word for programs.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Conclusion::Response {
                by: By::NoUpstream, ..
            }
            | Conclusion::None { .. } => "no response",
            Conclusion::Response { .. } if self.exit_status() == ExitStatus::Success => "answered",
            Conclusion::Response { .. } => "error",
        }
    }

    pub(super) fn exit_status(&self) -> ExitStatus {
        match self {
            Conclusion::Response {
                by: By::Dotgate, ..
            } => ExitStatus::Success,
            Conclusion::Response {
                by: By::NoUpstream, ..
            }
            | Conclusion::None { .. } => ExitStatus::Failed,
            Conclusion::Response { rcode, .. } => match *rcode {
                OptRcode::NOERROR | OptRcode::NXDOMAIN => ExitStatus::Success,
                _ => ExitStatus::Failed,
            },
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Upstream(label, _) => write!(f, "the upstream {label}"),
            By::Dotgate | By::NoUpstream => write!(f, "dotgate itself"),
            By::Server(address) => write!(f, "the server {address}"),
        }
    }
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Conclusion::Response {
                by: By::NoUpstream,
                reason,
                ..
            } => write!(
                f,
                "no answer from any upstream{}",
                Reason(reason.as_deref())
            ),
            Conclusion::Response {
                by,
                rcode,
                records,
                reason,
            } => {
                let records = match records {
                    0 => "no records".to_owned(),
                    1 => "1 record".to_owned(),
                    count => format!("{count} records"),
                };
                let reason = Reason(reason.as_deref());
                write!(f, "{by} answered {rcode}, {records}{reason}")
            }
            Conclusion::None { by, reason } => {
                write!(f, "no response from {by}: {reason}")
            }
        }
    }
}

/// What stands behind a line as the reason, if there is one.
struct Reason<'a>(Option<&'a str>);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(reason) if !reason.is_empty() => write!(f, " ({})", Escaped(reason)),
            Some(_) | None => Ok(()),
        }
    }
}

/// The first Extended DNS Error of a message: its code and its text.
pub(super) fn extended_error(message: &Message<Vec<u8>>) -> Option<(u16, String)> {
    let opt = message.opt()?;
    let mut options = opt.opt().iter::<UnknownOptData<_>>().flatten();
    options.find_map(|option| match (option.code(), option.data()) {
        (OptionCode::EXTENDED_ERROR, [high, low, text @ ..]) => {
            let text = String::from_utf8_lossy(text).into_owned();
            Some((u16::from_be_bytes([*high, *low]), text))
        }
        _ => None,
    })
}
