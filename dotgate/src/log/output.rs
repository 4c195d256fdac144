//! What standard error is: the journal of systemd, a terminal, or anything else.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

use dotgate_config::Environment;

/// What reads standard error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// The journal: it adds the time and understands a priority before each line (sd-daemon(3)).
    Journal,
    /// A terminal that shows colors.
    Color,
    /// Anything else.
    Plain,
}

impl Output {
    /// Finds out what standard error of this process is.
    pub fn of(environment: &Environment) -> Output {
        let named = environment.value("JOURNAL_STREAM");
        if named.and_then(|text| text.to_str()).is_some_and(is_stderr) {
            return Output::Journal;
        }
        // https://no-color.org: any value but the empty one.
        let is_colorless = environment
            .value("NO_COLOR")
            .is_some_and(|text| !text.is_empty());
        if io::stderr().is_terminal() && !is_colorless {
            return Output::Color;
        }
        Output::Plain
    }
}

/// Whether `DEVICE:INODE` is standard error. The variable alone proves nothing: it is inherited by processes whose
/// standard error was redirected (systemd.exec(5)).
fn is_stderr(stream: &str) -> bool {
    let Ok(descriptor) = io::stderr().as_fd().try_clone_to_owned() else {
        return false;
    };
    File::from(descriptor)
        .metadata()
        .is_ok_and(|stderr| stream == format!("{}:{}", stderr.dev(), stderr.ino()))
}
