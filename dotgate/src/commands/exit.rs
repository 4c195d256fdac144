//! How a command ends: its exit status, and the ways to end before its work began.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use dotgate_config::{Environment, Loaded, Problems};
use thiserror::Error;

use crate::log::{Output, write_problems};

/// The exit status of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitStatus {
    /// It did what it is for.
    Success,
    /// It failed, or the answer is no.
    Failed,
    /// The command line or the configuration cannot be used.
    Unusable,
}

impl ExitStatus {
    /// The number for the shell.
    pub const fn code(self) -> u8 {
        match self {
            ExitStatus::Success => 0,
            ExitStatus::Failed => 1,
            ExitStatus::Unusable => 2,
        }
    }

    /// [`ExitStatus::Success`], or [`ExitStatus::Failed`].
    pub(crate) const fn success_if(is_success: bool) -> ExitStatus {
        match is_success {
            true => ExitStatus::Success,
            false => ExitStatus::Failed,
        }
    }
}

/// Returns the exit status of a command that has written all of its output, or failed to. A reader that has left
/// (`dotgate check | head`) is no failure.
pub fn exit_code(outcome: io::Result<ExitStatus>) -> ExitCode {
    match outcome {
        Ok(status) => ExitCode::from(status.code()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The end of a command before its work is done.
#[derive(Debug, Error)]
pub(super) enum Ended {
    /// It has written why.
    #[error("the command ended")]
    With(ExitStatus),
    /// Its output cannot be written, or the system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The exit status of a command that may have ended early.
pub(super) fn status_of(outcome: Result<ExitStatus, Ended>) -> io::Result<ExitStatus> {
    match outcome {
        Ok(status) | Err(Ended::With(status)) => Ok(status),
        Err(Ended::Io(error)) => Err(error),
    }
}

/// Returns what was loaded, or writes what is wrong with it and ends the command.
pub(super) fn loaded_or_exit<T>(
    loaded: Result<T, Problems>,
    err: &mut dyn Write,
) -> Result<T, Ended> {
    loaded.or_else(|problems| {
        write!(err, "{problems}")?;
        Err(Ended::With(ExitStatus::Unusable))
    })
}

/// Loads the configuration of a process that serves, or ends the command with the problems in the format of its log.
pub(super) fn load_or_exit(
    environment: &Environment,
    file: Option<&Path>,
    err: &mut dyn Write,
) -> Result<Loaded, Ended> {
    dotgate_config::load(environment, file).or_else(|problems| {
        let format = dotgate_config::log_format(environment, file);
        write_problems(&problems, format, Output::of(environment), err)?;
        Err(Ended::With(ExitStatus::Unusable))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let shown = |outcome| format!("{:?}", exit_code(outcome));
        let success = format!("{:?}", ExitCode::SUCCESS);
        assert_eq!(shown(Err(io::ErrorKind::BrokenPipe.into())), success);
        assert_eq!(shown(Ok(ExitStatus::Success)), success);
        assert_eq!(
            shown(Ok(ExitStatus::Unusable)),
            format!("{:?}", ExitCode::from(2))
        );
        assert_eq!(
            shown(Err(io::ErrorKind::StorageFull.into())),
            format!("{:?}", ExitCode::FAILURE)
        );
    }
}
