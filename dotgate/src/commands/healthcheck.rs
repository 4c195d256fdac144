//! `dotgate healthcheck`: asks the running dotgate whether it is ready, or whether its upstreams answer, and says so
//! in one line and the exit status. For containers without a shell.

use std::io::Write;
use std::path::Path;

use dotgate_config::Environment;

use super::client;
use super::exit::{Ended, ExitStatus};
use crate::admin::client::{Request, ask};
use crate::admin::{health_line, readiness_line};

/// Runs the command and returns the exit status: 0, or 1 if the check fails.
///
/// # Errors
/// [`Ended`]: the configuration is wrong, or the output cannot be written.
pub(super) fn run(
    environment: &Environment,
    file: Option<&Path>,
    upstreams: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitStatus, Ended> {
    let path = if upstreams { "/healthz" } else { "/readyz" };
    client::run(environment, file, out, err, |config, out| {
        let response = ask(config, Request::Read(path))?;
        let line = if upstreams {
            health_line(&response.body)
        } else {
            readiness_line(&response.body)
        };
        writeln!(out, "{}", line.as_deref().unwrap_or(response.body.trim()))?;
        Ok(ExitStatus::success_if(response.status == 200))
    })
}
