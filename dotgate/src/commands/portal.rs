//! `dotgate portal`: opens a portal window in the running dotgate, or closes it.
//!
//! It asks the admin endpoint: at its Unix socket, or at its address with the token of `DOTGATE_ADMIN_TOKEN_FILE`.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use dotgate_config::{Environment, read_resolver};
use dotgate_core::limits::PORTAL_MAX;

use super::client;
use super::exit::{Ended, ExitStatus};
use crate::admin::{PortalOpening, PortalReport};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Open a window.
    Open(PortalOpening),
    /// Close it.
    Close,
}

impl Request {
    fn body(&self) -> String {
        match self {
            Request::Open(opening) => opening.body(),
            Request::Close => r#"{"close": true}"#.to_owned(),
        }
    }
}

/// Reads for how long a window is to be open.
///
/// # Errors
/// What was expected.
pub fn read_time(text: &str) -> Result<Duration, String> {
    client::read_span(text, PORTAL_MAX)
}

/// Reads the resolver of the network.
///
/// # Errors
/// What is wrong with it.
pub fn read_address(text: &str) -> Result<String, String> {
    match read_resolver(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Runs the command and returns the exit status: 0, 1 if no window was opened.
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
    client::run(environment, file, out, err, |config, out| {
        let change = request.body();
        let body = client::change(config, "/api/v1/portal", &change)?;
        out.write_all(text(&serde_json::from_str(&body)?).as_bytes())?;
        out.flush()?;
        Ok(ExitStatus::Success)
    })
}

fn text(report: &PortalReport) -> String {
    let (Some(names), Some(resolver)) = (&report.names, &report.resolver) else {
        return "no portal window is open\n".to_owned();
    };
    let seconds = report.seconds_left.unwrap_or_default().round();
    format!(
        "portal window open for {seconds} s: {names} go to {resolver}, NOT ENCRYPTED\n\
         It closes by itself when an upstream responds over TLS; `dotgate portal --close` closes it now.\n"
    )
}
