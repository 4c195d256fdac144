//! Whether files have other content than when the configuration was last read.
//!
//! The content is looked at, not the time in the directory, so that the swap of a symbolic link, as Kubernetes
//! replaces what a ConfigMap mounts, is seen, and a file that was only touched is not. A file may be seen while it is
//! written: other content counts once it is the same twice. Content that was tried is not tried again, whatever came
//! of it.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is looked.
pub const EVERY: Duration = Duration::from_secs(2);

/// Content beyond this does not count, in octets: no configuration and no bundle of certificates is so long.
const LONGEST: u64 = 8 << 20;

/// The files, and what was in them.
#[derive(Debug)]
pub(super) struct Watch {
    /// The content of each that was tried last.
    tried: Digests,
    /// The content seen last.
    seen: Digests,
}

type Digests = BTreeMap<PathBuf, u64>;

impl Watch {
    /// Begins with files that were just read.
    pub(super) fn new(files: &[PathBuf]) -> Watch {
        let digests = digests(files);
        Watch {
            tried: digests.clone(),
            seen: digests,
        }
    }

    /// Looks. True if there is other content, complete, that was not tried.
    pub(super) fn look(&mut self, files: &[PathBuf]) -> bool {
        let digests = digests(files);
        let mut others = digests.iter();
        let is_other = others.any(|(path, digest)| self.tried.get(path) != Some(digest));
        let is_settled = self.seen == digests;
        self.seen = digests;
        is_settled && is_other
    }

    /// Takes note that these files are about to be read; what changes from now on counts again.
    pub(super) fn note_tried(&mut self, files: &[PathBuf]) {
        self.tried.extend(digests(files));
    }
}

fn digests(files: &[PathBuf]) -> Digests {
    let pairs = files.iter().map(|path| (path.clone(), digest(path)));
    pairs.collect()
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
