//! `dotgate status`: what the running instance says of itself, for people in 80 columns or as its JSON document.
//!
//! It asks at the admin socket, or at the admin endpoint's address. Queries per second are those between two looks.

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use dotgate_config::{ClientConfig, Environment};

use super::client::{self, CommandError, body_of};
use super::exit::{Ended, ExitStatus};
use crate::admin::Overview;
use crate::admin::client::{Request, ask};

/// The time between two looks.
const BETWEEN: Duration = Duration::from_secs(1);

/// How the status is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Once, for people.
    Text,
    /// Once, as the document of `/api/v1/status`.
    Json,
}

/// Runs the command and returns the exit status: 0, 1 where nothing answers.
///
/// # Errors
/// [`Ended`]: the configuration is wrong, or the output cannot be written.
pub(super) fn run(
    environment: &Environment,
    file: Option<&Path>,
    form: Form,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitStatus, Ended> {
    client::run(environment, file, out, err, |config, out| {
        match form {
            Form::Json => out.write_all(document(config)?.as_bytes())?,
            Form::Text => show(config, out)?,
        }
        out.flush()?;
        Ok(ExitStatus::Success)
    })
}

fn document(config: &ClientConfig) -> Result<String, CommandError> {
    body_of(ask(config, Request::Read("/api/v1/status"))?)
}

/// What people want to know of the status.
pub(super) fn overview(config: &ClientConfig) -> Result<Overview, CommandError> {
    Ok(serde_json::from_str(&document(config)?)?)
}

fn show(config: &ClientConfig, out: &mut dyn Write) -> Result<(), CommandError> {
    let earlier = overview(config)?;
    thread::sleep(BETWEEN);
    let now = overview(config)?;
    let text = now.text(now.rate(Some(&earlier)));
    Ok(out.write_all(text.as_bytes())?)
}
