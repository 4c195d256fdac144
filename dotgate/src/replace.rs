//! `dotgate replace`: starts a process that takes over from the running one, and returns when it serves.
//!
//! For service managers and scripts, which learn from the exit status whether the new process serves; it goes on in
//! the background, with the same variables. Waits as long as a start takes: the take-over itself has bounds.

use std::io::{self, BufRead as _, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use dotgate_config::{EXIT_STATUS, Environment, LogFormat};
use serde_json::json;

use crate::log::{Output, write_problems};

/// The exit status when the new process does not serve.
const FAILED: u8 = 1;

/// The option with which a process says that it serves.
pub(crate) const ANNOUNCE: &str = "announce";

/// Starts it and returns the exit status: 0, 1, or 2 for a wrong configuration.
///
/// # Errors
/// Those of writing, and the system's where it starts no process.
pub fn run(
    environment: &Environment,
    file: Option<&Path>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let loaded = match dotgate_config::load(environment, file) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let format = dotgate_config::log_format(environment, file);
            write_problems(&problems, format, Output::of(environment), err)?;
            return Ok(EXIT_STATUS);
        }
    };
    if loaded.config.server().take_over_socket.is_none() {
        writeln!(
            err,
            "nothing can be replaced: DOTGATE_SERVER_TAKE_OVER_SOCKET is not set\n  Set it to the same path for \
             the running process and for this one, such as /run/dotgate/take-over.sock."
        )?;
        return Ok(EXIT_STATUS);
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(format!("--{ANNOUNCE}"));
    if let Some(file) = file {
        command.arg("--config").arg(file);
    }
    // A watchdog waits for the service, not for the process that runs this command.
    command.env_remove("WATCHDOG_PID");
    // What a terminal sends to this command is not meant for a process that goes on without it.
    command.process_group(0);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(said) = child.stdout.take() {
        BufReader::new(said).read_line(&mut line)?;
    }
    if line.is_empty() {
        let status = child.wait()?.code().and_then(|code| code.try_into().ok());
        return Ok(status.filter(|status| *status != 0).unwrap_or(FAILED));
    }
    match loaded.config.log().format {
        LogFormat::Text => writeln!(out, "process {} serves", child.id())?,
        LogFormat::Json => {
            let object = json!({ "message": "process serves", "process": child.id() });
            writeln!(out, "{object}")?;
        }
    }
    out.flush()?;
    Ok(0)
}
