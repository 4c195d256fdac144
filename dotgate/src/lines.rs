//! Files that hold a name or an entry in each line: hosts files and lists.
//!
//! Under local data and filters. Limit: [`FILE_MAX`] bytes.

mod name;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use self::name::{NameFault, WireName};

/// The longest file that is read, in bytes.
pub const FILE_MAX: u64 = 64 << 20;

/// Why a file cannot be read.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system says so.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is longer than any that is meant.
    #[error("{}: longer than {} MiB", path.display(), FILE_MAX >> 20)]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a whole file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, FileError> {
    let unreadable = |source| FileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut text = Vec::new();
    let length = file
        .take(FILE_MAX + 1)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    if length as u64 > FILE_MAX {
        return Err(FileError::TooLong {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

/// The lines of a file, from 1, without comments and the white space around them.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let lines = text.split(|byte| *byte == b'\n');
    let bare = lines.map(|line| line.split(|byte| *byte == b'#').next().unwrap_or_default());
    (1..).zip(bare.map(<[u8]>::trim_ascii))
}

/// The words of a line.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = line.split(u8::is_ascii_whitespace);
    words.filter(|word| !word.is_empty())
}
