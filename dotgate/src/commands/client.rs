//! What the commands that ask the running instance have in common: their configuration, errors and exit statuses.

use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use dotgate_config::{ClientConfig, Environment, Kind as _, Time};
use thiserror::Error;

use super::exit::{Ended, ExitStatus, loaded_or_exit};
use crate::admin::ErrorBody;
use crate::admin::client::{ClientError, HttpResponse, Request, ask};
use crate::clock::now;

/// For how long a change is tried again while one process takes over from another: longer than that may take.
const TRIED: Duration = Duration::from_secs(12);

/// The pause before it is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// Why a command has no result.
#[derive(Debug, Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    Refused(String),
    #[error("what the endpoint said cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Runs a command and returns its exit status: that of `command`, or [`ExitStatus::Failed`] where it fails.
///
/// # Errors
/// [`Ended`]: the configuration is wrong, or the output cannot be written.
pub(super) fn run(
    environment: &Environment,
    file: Option<&Path>,
    out: &mut dyn Write,
    err: &mut dyn Write,
    command: impl FnOnce(&ClientConfig, &mut dyn Write) -> Result<ExitStatus, CommandError>,
) -> Result<ExitStatus, Ended> {
    run_with_notes(environment, file, out, err, |config, out, _| {
        command(config, out)
    })
}

/// The same for a command that has something to say while it runs.
///
/// # Errors
/// As [`run`].
pub(super) fn run_with_notes(
    environment: &Environment,
    file: Option<&Path>,
    out: &mut dyn Write,
    err: &mut dyn Write,
    command: impl FnOnce(
        &ClientConfig,
        &mut dyn Write,
        &mut dyn Write,
    ) -> Result<ExitStatus, CommandError>,
) -> Result<ExitStatus, Ended> {
    let config = loaded_or_exit(dotgate_config::load_client(environment, file), err)?;
    match command(&config, out, err) {
        Ok(status) => Ok(status),
        Err(CommandError::Output(error)) => Err(error.into()),
        Err(problem) => {
            writeln!(err, "{problem}")?;
            Ok(ExitStatus::Failed)
        }
    }
}

/// Reads a time of 1 second to `highest`.
///
/// # Errors
/// What was expected.
pub(super) fn read_span(text: &str, highest: Duration) -> Result<Duration, String> {
    let lowest = Duration::from_secs(1);
    let kind = Time { lowest, highest };
    kind.read(text)
        .map_err(|_| format!("expected {}", kind.expected()))
}

/// Returns the body of a response that is no error.
///
/// # Errors
/// [`CommandError::Refused`] with what the endpoint said, for any status but 200.
pub(super) fn body_of(response: HttpResponse) -> Result<String, CommandError> {
    if response.status == 200 {
        Ok(response.body)
    } else {
        let refused: Result<ErrorBody, _> = serde_json::from_str(&response.body);
        let error = refused.map_or(response.body, |body| body.error);
        Err(CommandError::Refused(error.trim_end().to_owned()))
    }
}

/// Asks for a change until a process takes it, and returns the body of its response: a process that is being replaced takes
/// none.
///
/// # Errors
/// [`CommandError`]: nobody takes it, or it was refused.
pub(super) fn change(
    config: &ClientConfig,
    path: &str,
    change: &str,
) -> Result<String, CommandError> {
    let given_up = now() + TRIED;
    loop {
        let response = ask(config, Request::Change(path, change))?;
        if response.status != 503 || now() >= given_up {
            return body_of(response);
        }
        thread::sleep(AGAIN);
    }
}
