//! What the commands that ask the running instance have in common: their configuration, errors and exit statuses.

use std::io::{self, Write};
use std::path::Path;

use dotgate_config::{ClientConfig, EXIT_STATUS, Environment};
use thiserror::Error;

use super::client::{ClientError, HttpResponse};
use super::response::ErrorBody;

/// The exit status when nothing answers, or not as it should.
pub(crate) const FAILED: u8 = 1;

/// Why a command has no result.
#[derive(Debug, Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    Refused(String),
    #[error("what the endpoint said cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Runs a command and returns the exit status: that of `command`, 1 where it fails, 2 for a wrong configuration.
///
/// # Errors
/// Those of writing to `out` or `err`.
pub(crate) fn run(
    environment: &Environment,
    file: Option<&Path>,
    out: &mut dyn Write,
    err: &mut dyn Write,
    command: impl FnOnce(&ClientConfig, &mut dyn Write) -> Result<u8, CommandError>,
) -> io::Result<u8> {
    let config = match dotgate_config::load_client(environment, file) {
        Ok(config) => config,
        Err(problems) => {
            write!(err, "{problems}")?;
            return Ok(EXIT_STATUS);
        }
    };
    match command(&config, out) {
        Ok(status) => Ok(status),
        Err(CommandError::Output(error)) => Err(error),
        Err(problem) => {
            writeln!(err, "{problem}")?;
            Ok(FAILED)
        }
    }
}

/// Returns the body of a response that is no error.
///
/// # Errors
/// [`CommandError::Refused`] with what the endpoint said, for any status but 200.
pub(crate) fn body_of(response: HttpResponse) -> Result<String, CommandError> {
    if response.status == 200 {
        Ok(response.body)
    } else {
        let refused: Result<ErrorBody, _> = serde_json::from_str(&response.body);
        let error = refused.map_or(response.body, |body| body.error);
        Err(CommandError::Refused(error.trim_end().to_owned()))
    }
}
