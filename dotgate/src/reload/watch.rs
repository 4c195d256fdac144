//! Whether files have other content than when the configuration was last read.
//!
//! The content is looked at, not the time in the directory, so that the swap of a symbolic link, as Kubernetes
//! replaces what a ConfigMap mounts, is seen, and a file that was only touched is not. A file may be seen while it is
//! written: other content counts once it is the same twice. Content that was tried is not tried again, whatever came
//! of it.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is looked.
pub const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Content beyond this does not count, in bytes: no longer file is read.
const LONGEST: u64 = crate::lines::FILE_MAX;

/// A file of more bytes is read again only if the system says that it changed: every look would cost milliseconds.
const LARGE: u64 = 1 << 20;

/// At how many looks a large file is read after a change: two changes may come within one tick of the system's clock.
const SETTLED_AFTER: u32 = 5;

/// The files, and what was in them.
#[derive(Debug)]
pub(super) struct Watch {
    /// The content of each that was tried last.
    tried: Digests,
    /// The content seen last.
    seen: Digests,
    /// What is known of large files.
    large: BTreeMap<PathBuf, Large>,
}

/// What is known of a large file: its stamp, at how many looks it was read with that, the digest.
type Large = (Stamp, u32, u64);

/// What changes with a file's content, as the system reports it: device, inode, length, time of the last change in
/// seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

type Digests = BTreeMap<PathBuf, u64>;

impl Watch {
    /// Begins with files that were just read.
    pub(super) fn new(files: &[PathBuf]) -> Watch {
        let mut watch = Watch {
            tried: Digests::new(),
            seen: Digests::new(),
            large: BTreeMap::new(),
        };
        watch.seen = watch.digests(files);
        watch.tried.clone_from(&watch.seen);
        watch
    }

    /// Looks. True if there is other content, complete, that was not tried.
    pub(super) fn look(&mut self, files: &[PathBuf]) -> bool {
        let digests = self.digests(files);
        let mut others = digests.iter();
        let is_other = others.any(|(path, digest)| self.tried.get(path) != Some(digest));
        let is_settled = self.seen == digests;
        self.seen = digests;
        is_settled && is_other
    }

    /// Records that these files are about to be read; what changes from now on counts again.
    pub(super) fn note_tried(&mut self, files: &[PathBuf]) {
        let digests = self.digests(files);
        self.tried.extend(digests);
    }

    fn digests(&mut self, files: &[PathBuf]) -> Digests {
        self.large.retain(|path, _| files.contains(path));
        let pairs = files.iter().map(|path| (path.clone(), self.digest(path)));
        pairs.collect()
    }

    fn digest(&mut self, path: &Path) -> u64 {
        let Some(stamp) = stamp_of_large(path) else {
            return digest(path);
        };
        let known = self.large.get(path).filter(|(known, ..)| *known == stamp);
        let looks = match known {
            Some((_, SETTLED_AFTER.., digest)) => return *digest,
            Some((_, looks, _)) => looks + 1,
            None => 1,
        };
        // Read after the stamp: a change meanwhile makes another one.
        let digest = digest(path);
        self.large.insert(path.to_owned(), (stamp, looks, digest));
        digest
    }
}

/// The stamp of a large file.
fn stamp_of_large(path: &Path) -> Option<Stamp> {
    let reported = fs::metadata(path)
        .ok()
        .filter(|reported| reported.len() > LARGE)?;
    let (length, seconds, nanos) = (reported.len(), reported.ctime(), reported.ctime_nsec());
    Some((reported.dev(), reported.ino(), length, seconds, nanos))
}

fn digest(path: &Path) -> u64 {
    let mut content = Vec::new();
    // A pipe would be waited for.
    let is_file = path.is_file();
    let file = File::open(path).ok().filter(|_| is_file);
    let read = file.and_then(|file| file.take(LONGEST).read_to_end(&mut content).ok());
    let mut hasher = DefaultHasher::new();
    (read, content).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn other_content_counts_once_it_is_the_same_twice_and_is_tried_once() {
        let folder = tempfile::tempdir().unwrap();
        let files = [folder.path().join("a"), folder.path().join("b")];
        fs::write(&files[0], "one").unwrap();
        let mut watch = Watch::new(&files);
        assert!(!watch.look(&files));
        fs::write(&files[0], "tw").unwrap();
        assert!(!watch.look(&files), "half of it");
        fs::write(&files[0], "two").unwrap();
        assert!(!watch.look(&files));
        assert!(watch.look(&files));
        watch.note_tried(&files);
        assert!(!watch.look(&files), "tried, whatever came of it");
        fs::write(&files[0], "two").unwrap();
        assert!(!watch.look(&files) && !watch.look(&files), "only touched");
        fs::write(&files[1], "it is there now").unwrap();
        assert!(!watch.look(&files) && watch.look(&files));
        watch.note_tried(&files);
        fs::remove_file(&files[0]).unwrap();
        assert!(!watch.look(&files) && watch.look(&files));
    }

    #[test]
    fn the_swap_of_a_symbolic_link_is_other_content() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [("v1", "one"), ("v2", "two")] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("conf"), text).unwrap();
        }
        symlink("v1", at("data")).unwrap();
        symlink("data/conf", at("conf")).unwrap();
        let files = [at("conf")];
        let mut watch = Watch::new(&files);
        symlink("v2", at("data.new")).unwrap();
        fs::rename(at("data.new"), at("data")).unwrap();
        assert!(!watch.look(&files) && watch.look(&files));
    }
}
