//! `dotgate replace`: starts a process that takes over from the running one, and returns when it serves.
//!
//! For service managers and scripts, which learn from the exit status whether the new process serves; it continues in
//! the background, with the same variables. Waits as long as a start takes: the take-over itself has bounds.

use std::io::{BufRead as _, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use dotgate_config::{Environment, LogFormat};
use serde_json::json;

use super::exit::{Ended, ExitStatus, load_or_exit};

/// The option with which a process says that it serves.
pub(crate) const ANNOUNCE: &str = "announce";

/// Starts it and returns the exit status.
///
/// # Errors
/// [`Ended`]: the configuration is wrong, nothing can be written, or the system starts no process.
pub(super) fn run(
    environment: &Environment,
    file: Option<&Path>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitStatus, Ended> {
    let loaded = load_or_exit(environment, file, err)?;
    if loaded.config.server().take_over_socket.is_none() {
        writeln!(
            err,
            "nothing can be replaced: DOTGATE_SERVER_TAKE_OVER_SOCKET is not set\n  Set it to the same path for \
             the running process and for this one, such as /run/dotgate/take-over.sock."
        )?;
        return Ok(ExitStatus::Unusable);
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(format!("--{ANNOUNCE}"));
    if let Some(file) = file {
        command.arg("--config").arg(file);
    }
    // A watchdog waits for the service, not for the process that runs this command.
    command.env_remove("WATCHDOG_PID");
    // What a terminal sends to this command is not meant for a process that continues without it.
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
        let unusable = i32::from(ExitStatus::Unusable.code());
        return Ok(match child.wait()?.code() {
            Some(code) if code == unusable => ExitStatus::Unusable,
            Some(_) | None => ExitStatus::Failed,
        });
    }
    match loaded.config.log().format {
        LogFormat::Text => writeln!(out, "process {} serves", child.id())?,
        LogFormat::Json => {
            let object = json!({ "message": "process serves", "process": child.id() });
            writeln!(out, "{object}")?;
        }
    }
    out.flush()?;
    Ok(ExitStatus::Success)
}
