//! `dotgate tail`: queries of clients as they end, until Ctrl-C, as lines of the query log.
//!
//! It asks at the admin socket, or at the admin endpoint's address with the token. If the stream ends, because another
//! process serves or settings have changed, it is opened again.

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use dotgate_config::{Environment, Escaped, QueryFilter};
use serde::Deserialize;

use super::client::{self, CommandError, body_of};
use super::exit::{Ended, ExitStatus};
use crate::admin::client::{Followed, follow};
use crate::admin::percent::encoded;
use crate::views::QueryLine;

/// How often and when a stream that has ended is opened again.
const TRIES: u32 = 10;
const AGAIN: Duration = Duration::from_secs(1);

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Conditions on queries; empty for all.
    pub filter: String,
    /// Whether to print JSON.
    pub is_json: bool,
}

/// Reads a filter.
///
/// # Errors
/// What is wrong with it.
pub fn read_filter(text: &str) -> Result<String, String> {
    let filter: Result<QueryFilter, _> = text.parse();
    let read = filter.map(|_| text.to_owned());
    read.map_err(|fault| fault.to_string())
}

/// Runs the command and returns the exit status: 1 if queries cannot be shown, or no longer.
///
/// # Errors
/// [`Ended`]: the configuration is wrong, or the output cannot be written.
pub(super) fn run(
    environment: &Environment,
    file: Option<&Path>,
    request: &Request,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitStatus, Ended> {
    client::run_with_notes(environment, file, out, err, |config, out, err| {
        let path = format!("/api/v1/queries?filter={}", encoded(&request.filter));
        let mut tries = TRIES;
        loop {
            let followed = follow(config, &path, |event, data| {
                tries = TRIES;
                write(event, data, request.is_json, out, err)
            });
            let is_reopening = (1..TRIES).contains(&tries);
            match followed {
                Ok(Followed::Ended) => writeln!(err, "the stream ended; opening it again")?,
                // The process that replaces another one may not be there yet.
                Ok(Followed::Refused(response)) if is_reopening && response.status == 503 => {}
                Err(CommandError::Client(_)) if is_reopening => {}
                Ok(Followed::Refused(response)) => {
                    body_of(response)?;
                    return Ok(ExitStatus::Failed);
                }
                Err(error) => return Err(error),
            }
            tries = tries.saturating_sub(1);
            thread::sleep(AGAIN);
        }
    })
}

/// Writes an event.
fn write(
    event: &str,
    data: &str,
    is_json: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), CommandError> {
    #[derive(Deserialize)]
    struct Lost {
        lost: u64,
    }
    match event {
        "query" if is_json => writeln!(out, "{}", Escaped(data))?,
        "query" => {
            let query: QueryLine<'_> = serde_json::from_str(data)?;
            let mut line = Vec::new();
            query.write_text(&mut line);
            let line = String::from_utf8_lossy(&line);
            writeln!(out, "{}", Escaped(line.trim_end()))?;
        }
        "lost" => {
            let Lost { lost } = serde_json::from_str(data)?;
            writeln!(
                err,
                "{lost} queries were skipped: this reader is too slow for all of them"
            )?;
        }
        // Events are added in later versions.
        _ => {}
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(event: &str, data: &str, is_json: bool) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        write(event, data, is_json, &mut out, &mut err).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(out), text(err))
    }

    #[test]
    fn an_event_is_a_line_of_the_query_log_or_its_json() {
        let data = r#"{"v":1,"time":"T","client":"192.0.2.7","transport":"udp","name":"a.test.","type":"A","class":"IN","rcode":"SERVFAIL","outcome":"failed","ms":1.5,"reason":"no_session","later":1}"#;
        let (out, _) = written("query", data, false);
        assert_eq!(
            out,
            "T 192.0.2.7 udp a.test. A SERVFAIL failed 1.500ms reason=no_session\n"
        );
        assert_eq!(written("query", data, true).0, format!("{data}\n"));
        let (out, err) = written("lost", r#"{"lost":3}"#, true);
        assert_eq!((out.as_str(), err.starts_with("3 queries")), ("", true));
        assert_eq!(written("later", "{}", false).0, "");
    }

    #[test]
    fn a_terminal_gets_no_control_character() {
        let data = r#"{"v":1,"time":"T","transport":"udp","name":"\u001b]0;x\u0007\u202e.test.","rcode":"R","outcome":"o","ms":1}"#;
        let (out, _) = written("query", data, false);
        assert!(!out.trim_end().contains(char::is_control), "{out:?}");
        assert!(!out.contains('\u{202e}'), "{out:?}");
    }
}
