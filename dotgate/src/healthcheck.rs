//! `dotgate healthcheck`: asks the running dotgate whether it is ready, or whether its upstreams answer, and says so
//! in one line and the exit status. For containers without a shell.

use std::io::{self, Write};
use std::path::Path;

use crate::admin::client::{Request, ask};
use crate::admin::{health_line, readiness_line};
use crate::config::{self, EXIT_STATUS, Environment};

/// The exit status when it is not ready, or nothing answers.
const FAILED: u8 = 1;

/// Runs the command and returns the exit status: 0, 1 if all is not well, 2 for a wrong configuration.
///
/// # Errors
/// Those of writing to `out` or `err`.
pub fn run(
    environment: &Environment,
    file: Option<&Path>,
    upstreams: bool,
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
    let path = if upstreams { "/healthz" } else { "/readyz" };
    match ask(&config, Request::Read(path)) {
        Ok(response) => {
            let line = if upstreams {
                health_line(&response.body)
            } else {
                readiness_line(&response.body)
            };
            writeln!(out, "{}", line.as_deref().unwrap_or(response.body.trim()))?;
            Ok(if response.status == 200 { 0 } else { FAILED })
        }
        Err(problem) => {
            writeln!(err, "{problem}")?;
            Ok(FAILED)
        }
    }
}
