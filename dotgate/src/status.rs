//! `dotgate status`: what the running instance says of itself, for people in 80 columns or as its JSON document.
//!
//! It asks at the admin socket, or at the admin endpoint's address. Queries per second are those between two looks.

use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use thiserror::Error;

use crate::admin::Overview;
use crate::admin::client::{ClientError, Request, ask};
use crate::config::{self, ClientConfig, EXIT_STATUS, Environment};

/// The exit status when nothing answers.
const FAILED: u8 = 1;

/// The time between two looks: for one answer, and when it goes on.
const BETWEEN: Duration = Duration::from_secs(1);
const BETWEEN_REPEATED: Duration = Duration::from_secs(2);

/// The sequence that clears a terminal and goes to its top (ECMA-48).
const CLEAR: &str = "\x1b[H\x1b[J";

/// How the status is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Once, for people.
    Text,
    /// Again and again, for people, until a signal.
    Watch,
    /// Once, as the document of `/api/v1/status`.
    Json,
}

/// Why there is no status.
#[derive(Debug, Error)]
enum Problem {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    Refused(String),
    #[error("what the endpoint said cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// Runs the command and returns the exit status: 0, 1 where nothing answers, 2 for a wrong configuration.
///
/// # Errors
/// Those of writing to `out` or `err`.
pub fn run(
    environment: &Environment,
    file: Option<&Path>,
    form: Form,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let config = match config::load_client(environment, file) {
        Ok(config) => config,
        Err(problems) => {
            write!(err, "{problems}")?;
            return Ok(EXIT_STATUS);
        }
    };
    let outcome = match form {
        Form::Json => document(&config).map(|text| out.write_all(text.as_bytes())),
        Form::Text => show(&config, out),
        Form::Watch => watch(&config, out),
    };
    match outcome {
        Ok(written) => written.and_then(|()| out.flush()).map(|()| 0),
        Err(problem) => {
            writeln!(err, "{problem}")?;
            Ok(FAILED)
        }
    }
}

fn document(config: &ClientConfig) -> Result<String, Problem> {
    let response = ask(config, Request::Read("/api/v1/status"))?;
    if response.status == 200 {
        Ok(response.body)
    } else {
        Err(Problem::Refused(response.body.trim_end().to_owned()))
    }
}

fn overview(config: &ClientConfig) -> Result<Overview, Problem> {
    Ok(serde_json::from_str(&document(config)?)?)
}

fn show(config: &ClientConfig, out: &mut dyn Write) -> Result<io::Result<()>, Problem> {
    let earlier = overview(config)?;
    thread::sleep(BETWEEN);
    let now = overview(config)?;
    let text = now.text(now.rate(Some(&earlier)));
    Ok(out.write_all(text.as_bytes()))
}

/// Goes on until a signal, the end of the instance or of the reader.
fn watch(config: &ClientConfig, out: &mut dyn Write) -> Result<io::Result<()>, Problem> {
    let mut earlier = None;
    loop {
        let now = overview(config)?;
        let text = now.text(now.rate(earlier.as_ref()));
        let written = write!(out, "{CLEAR}{text}").and_then(|()| out.flush());
        if written.is_err() {
            return Ok(written);
        }
        earlier = Some(now);
        thread::sleep(BETWEEN_REPEATED);
    }
}
