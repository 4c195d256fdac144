//! Files that this process writes for the next one: opened only if they are ours alone, replaced as a whole or not at all.
//!
//! A file is replaced by a new one in the same folder, which is written, brought to the disk, and given its name at last: who
//! reads finds the old one or the new one, whenever this process is killed.

mod save;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use dotgate_net::descriptors::own_user;
use thiserror::Error;

pub(crate) use self::save::{GivenUp, save_in_thread};

/// What a file of one kind is called, and what it begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// As in "a snapshot of dotgate's cache".
    pub(crate) name: &'static str,
    /// Its first bytes.
    pub(crate) magic: &'static [u8],
}

/// Why a file is left alone.
#[derive(Debug, Error)]
pub(crate) enum Refused {
    /// A folder, a link, a device.
    #[error("it is not a regular file; name the file itself")]
    NoFile,
    /// Its owner may write to it what he likes.
    #[error("it belongs to user {owner}, and dotgate is user {own}; name another file, or `chown {own}` it", own = own_user())]
    Owner {
        /// The user ID.
        owner: u32,
    },
    /// Anybody might have written it.
    #[error("its mode {mode:o} lets others write to it; `chmod 600` it")]
    Writable {
        /// The permissions.
        mode: u32,
    },
    /// It is something else, named by mistake.
    #[error("it is not {name} and is not overwritten; name another file, or remove it")]
    Foreign {
        /// What it should be.
        name: &'static str,
    },
    /// The system's words.
    #[error("{0}; it must be in a folder that exists and that user {own} may write to", own = own_user())]
    Io(#[from] io::Error),
}

/// Opens a file of this user that nobody else can write to, and returns how long it is. None if there is no file.
pub(crate) fn open(path: &Path) -> Result<Option<(File, u64)>, Refused> {
    // Looked at before: opening a pipe would wait for its other end.
    let Some(metadata) = metadata(path)? else {
        return Ok(None);
    };
    check(&metadata)?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    check(&metadata)?;
    Ok(Some((file, metadata.len())))
}

/// Replaces the file, or makes it, with what `write` writes. When that fails, all is as before.
pub(crate) fn replace<T>(
    path: &Path,
    kind: Kind,
    write: impl FnOnce(&mut File) -> io::Result<T>,
) -> Result<T, Refused> {
    refuse_other(path, kind)?;
    let temporary_path = temporary_path(path);
    // Left by an earlier process of the same number that was killed.
    match fs::remove_file(&temporary_path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary_path)?;
    let replaced = write(&mut file).and_then(|written| {
        file.sync_all()?;
        fs::rename(&temporary_path, path)?;
        Ok(written)
    });
    replaced.map_err(|error| {
        // The first error is more useful than one about the temporary file.
        drop(fs::remove_file(&temporary_path));
        error.into()
    })
}

/// Refuses to write over what was not written here.
fn refuse_other(path: &Path, kind: Kind) -> Result<(), Refused> {
    let Some(metadata) = metadata(path)? else {
        return Ok(());
    };
    check(&metadata)?;
    let mut beginning = Vec::new();
    let magic_len = kind.magic.len() as u64;
    File::open(path)?
        .take(magic_len)
        .read_to_end(&mut beginning)?;
    if beginning.is_empty() || beginning == kind.magic {
        Ok(())
    } else {
        Err(Refused::Foreign { name: kind.name })
    }
}

fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn check(metadata: &Metadata) -> Result<(), Refused> {
    /// Write permission of group and others.
    const WRITABLE: u32 = 0o022;
    let (owner, mode) = (metadata.uid(), metadata.mode());
    if !metadata.is_file() {
        Err(Refused::NoFile)
    } else if owner != own_user() {
        Err(Refused::Owner { owner })
    } else if mode & WRITABLE != 0 {
        Err(Refused::Writable {
            mode: mode & 0o7777,
        })
    } else {
        Ok(())
    }
}

/// The name of the new file until it is whole; every process has its own.
fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use super::*;

    const KIND: Kind = Kind {
        name: "a file of this test",
        magic: b"dotgateC",
    };

    fn write(bytes: &[u8]) -> impl FnOnce(&mut File) -> io::Result<()> {
        move |file| file.write_all(bytes)
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_for_this_user_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("cache");
        assert!(open(&path).unwrap().is_none());
        replace(&path, KIND, write(KIND.magic)).unwrap();
        let left = folder
            .path()
            .join(format!("cache.{}.new", std::process::id()));
        fs::write(left, "half of one").unwrap();
        replace(&path, KIND, write(b"dotgateC, the second")).unwrap();
        assert_eq!(open(&path).unwrap().unwrap().1, 20);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(names(&folder), ["cache"]);
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("cache");
        replace(&path, KIND, write(KIND.magic)).unwrap();
        let failed = replace(&path, KIND, |file| {
            file.write_all(b"half")?;
            Err::<(), _>(ErrorKind::StorageFull.into())
        });
        assert!(matches!(failed, Err(Refused::Io(_))));
        assert_eq!(fs::read(&path).unwrap(), KIND.magic);
        assert_eq!(names(&folder), ["cache"]);
        let nowhere = folder.path().join("no folder/cache");
        assert!(matches!(
            replace(&nowhere, KIND, write(b"")),
            Err(Refused::Io(_))
        ));
    }

    #[test]
    fn what_others_can_write_to_is_neither_read_nor_replaced() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("cache");
        fs::write(&path, KIND.magic).unwrap();
        for mode in [0o620, 0o602, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(open(&path), Err(Refused::Writable { mode: it }) if it == mode));
            assert!(matches!(
                replace(&path, KIND, write(b"")),
                Err(Refused::Writable { .. })
            ));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(open(&path).unwrap().is_some());
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        for other in [folder.path(), &link, Path::new("/dev/null")] {
            assert!(matches!(open(other), Err(Refused::NoFile)));
            assert!(matches!(
                replace(other, KIND, write(b"")),
                Err(Refused::NoFile)
            ));
        }
        if own_user() != 0 {
            let passwd = Path::new("/etc/passwd");
            assert!(matches!(open(passwd), Err(Refused::Owner { owner: 0 })));
        } else {
            std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
            assert!(matches!(open(&path), Err(Refused::Owner { owner: 65_534 })));
        }
    }

    #[test]
    fn a_file_that_is_no_snapshot_is_not_written_over() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("dotgate.toml");
        fs::write(&path, "[cache]\n").unwrap();
        assert!(matches!(
            replace(&path, KIND, write(KIND.magic)),
            Err(Refused::Foreign { .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), b"[cache]\n");
        fs::write(&path, "").unwrap();
        replace(&path, KIND, write(KIND.magic)).unwrap();
    }
}
