//! `dotgate init`: writes a first file of settings, which suits this host, and says what to do next.
//!
//! Asks nothing and never overwrites. What it looks at is in `host`, and what comes of it in `file`: no line of either
//! depends on anything else.

mod file;
mod host;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use self::file::{next_steps, settings};
use self::host::Host;
use super::exit::ExitStatus;

/// Where it goes, and where dotgate looks for it if nothing else is said.
const DEFAULT_PATH: &str = "/etc/dotgate/dotgate.toml";

/// Writes the file, or to `out` if it is only to be printed.
///
/// # Errors
/// Those of writing to `out` or `err`.
pub(super) fn run(
    config: Option<&Path>,
    is_printed: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExitStatus> {
    let host = Host::look();
    let text = settings(&host);
    if is_printed {
        out.write_all(text.as_bytes())?;
        out.flush()?;
        return Ok(ExitStatus::Success);
    }
    let path = config.map_or_else(|| PathBuf::from(DEFAULT_PATH), Path::to_owned);
    if let Err(error) = create(&path, &text) {
        writeln!(err, "{}: {error}", path.display())?;
        let hint = match error.kind() {
            ErrorKind::AlreadyExists => {
                "It is left as it is. `dotgate init --print` prints what would be written, and `dotgate check` \
                 verifies the one that is there."
            }
            _ => "Name a file that this user can write: `dotgate init --config FILE`.",
        };
        writeln!(err, "  {hint}")?;
        err.flush()?;
        return Ok(ExitStatus::Failed);
    }
    write!(out, "{}", next_steps(&host, &path, config.is_some()))?;
    out.flush()?;
    Ok(ExitStatus::Success)
}

/// Writes a file that is not there yet; its folder is made only where it is dotgate's own.
fn create(path: &Path, text: &str) -> io::Result<()> {
    if path == Path::new(DEFAULT_PATH)
        && let Some(folder) = path.parent()
    {
        fs::create_dir_all(folder)?;
    }
    File::create_new(path)?.write_all(text.as_bytes())
}
