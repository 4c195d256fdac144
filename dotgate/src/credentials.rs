//! Secrets that systemd gives a service at its start (systemd.exec(5), `LoadCredential=`).
//!
//! Serves the configuration, whose paths may lead to them. systemd shows their folder to the process that it starts
//! as the service, and hides it from commands such as that of `ExecReload=`. Therefore a process that is replaced hands
//! an open file of each to the one that takes over, which reads these files in place of the hidden paths.
//! Nothing here looks at their content.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dotgate_config::Environment;

/// Files that are handed over, at most.
const MOST: usize = 64;

/// Where this process finds its credentials.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// It has none.
    #[default]
    None,
    /// In this folder.
    Folder(PathBuf),
    /// In files of the process before this one.
    HandedOver(Arc<HandedOver>),
}

/// Open files that stand for those of a folder which this process may not read.
#[derive(Debug)]
pub struct HandedOver {
    folder: PathBuf,
    files: BTreeMap<String, OwnedFd>,
}

impl HandedOver {
    /// Stands for this folder, without a file yet.
    pub fn of(folder: impl Into<PathBuf>) -> HandedOver {
        HandedOver {
            folder: folder.into(),
            files: BTreeMap::new(),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files by their names.
    pub fn files(&self) -> impl Iterator<Item = (&str, &OwnedFd)> {
        self.files.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// Adds the file of this name.
    pub fn add(&mut self, name: &str, file: OwnedFd) {
        if self.files.len() < MOST {
            self.files.insert(name.to_owned(), file);
        }
    }
}

impl Credentials {
    /// Those that the service manager gives this process, else those of the process before it.
    pub fn of(environment: &Environment, handed_over: Option<HandedOver>) -> Credentials {
        let own = environment.value("CREDENTIALS_DIRECTORY");
        match (own.filter(|folder| !folder.is_empty()), handed_over) {
            (Some(folder), _) => Credentials::Folder(folder.into()),
            (None, Some(handed_over)) => Credentials::HandedOver(Arc::new(handed_over)),
            (None, None) => Credentials::None,
        }
    }

    /// The folder that this process reads them from, if there is one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Credentials::Folder(folder) => Some(folder),
            Credentials::None | Credentials::HandedOver(_) => None,
        }
    }

    /// Where a file is to be read, if it is a credential which this process may not read at its own path.
    pub fn locate(&self, path: &Path) -> Option<PathBuf> {
        let Credentials::HandedOver(handed_over) = self else {
            return None;
        };
        let name = path.strip_prefix(&handed_over.folder).ok()?.to_str()?;
        let file = handed_over.files.get(name)?;
        // Opening this link opens the file itself, whatever became of its path.
        Some(format!("/proc/self/fd/{}", file.as_raw_fd()).into())
    }

    /// The files of this process's credentials, for the next process; none if there are no credentials.
    /// A file that cannot be opened is left out: the next process says so if its configuration needs it.
    ///
    /// # Errors
    /// The system's: the folder cannot be listed.
    pub fn to_hand_over(&self) -> io::Result<Option<Arc<HandedOver>>> {
        match self {
            Credentials::None => Ok(None),
            Credentials::Folder(folder) => Ok(Some(Arc::new(open_all(folder)?))),
            Credentials::HandedOver(handed_over) => Ok(Some(Arc::clone(handed_over))),
        }
    }
}

fn open_all(folder: &Path) -> io::Result<HandedOver> {
    let mut files = HandedOver::of(folder);
    for entry in fs::read_dir(folder)?.take(MOST) {
        let entry = entry?;
        let name = entry.file_name().into_string();
        let is_file = entry.file_type()?.is_file();
        if let (Ok(name), true) = (name, is_file)
            && let Ok(file) = File::open(entry.path())
        {
            files.add(&name, file.into());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn files_of_a_folder_are_read_after_it_is_gone_by_every_process_that_follows() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("credentials");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("token"), "secret").unwrap();
        fs::create_dir(folder.join("nested")).unwrap();
        let path = folder.to_str().unwrap();
        let environment = [("CREDENTIALS_DIRECTORY", path)].into_iter().collect();
        let mut credentials = Credentials::of(&environment, None);
        assert_eq!(credentials.locate(&folder.join("token")), None, "as it is");
        for _ in 0..3 {
            let files = credentials.to_hand_over().unwrap().unwrap();
            assert_eq!((files.folder(), files.files().count()), (&*folder, 1));
            let mut handed_over = HandedOver::of(files.folder());
            for (name, file) in files.files() {
                handed_over.add(name, file.try_clone().unwrap());
            }
            credentials = Credentials::of(&Environment::default(), Some(handed_over));
            if folder.exists() {
                fs::remove_dir_all(&folder).unwrap();
            }
            let located = credentials.locate(&folder.join("token")).unwrap();
            assert_eq!(
                (read(&located), read(&located)),
                ("secret".into(), "secret".into())
            );
        }
        assert_eq!(credentials.locate(&folder.join("other")), None);
        assert_eq!(credentials.locate(Path::new("/etc/token")), None);
    }

    #[test]
    fn without_a_folder_there_is_nothing_to_hand_over_and_one_that_is_gone_is_an_error() {
        let empty = [("CREDENTIALS_DIRECTORY", "")].into_iter().collect();
        let none = Credentials::of(&empty, None);
        assert!(none.to_hand_over().unwrap().is_none());
        let gone = [("CREDENTIALS_DIRECTORY", "/nowhere/at/all")];
        let gone = Credentials::of(&gone.into_iter().collect(), None);
        assert!(gone.to_hand_over().is_err());
    }
}
