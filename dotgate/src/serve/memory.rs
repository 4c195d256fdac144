//! The memory that the system lets this process have: the limit of its cgroup, or of one above it.
//!
//! Read once for each configuration. Version 2 of cgroups has one hierarchy (`memory.max`), version 1 one for memory
//! (`memory.limit_in_bytes`). In a container the cgroup is the root of what can be seen.

use std::fs;
use std::path::{Path, PathBuf};

/// A limit of version 1 that is none: the largest number that fits, less what rounding to pages took.
const NO_LIMIT: u64 = i64::MAX as u64 / 2;

/// The lowest limit that applies to this process, in bytes. None if there is none or the system does not report it.
pub(super) fn limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    lowest(&own, Path::new("/sys/fs/cgroup"))
}

/// The same of a process whose cgroups are `own`, under `root`.
fn lowest(own: &str, root: &Path) -> Option<u64> {
    own.lines()
        .filter_map(|line| of_hierarchy(line, root))
        .min()
}

/// The lowest limit in one hierarchy, whose line in /proc/self/cgroup this is.
fn of_hierarchy(line: &str, root: &Path) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (root, file) = match controllers {
        "" => (root.to_owned(), "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => {
            (root.join("memory"), "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let own: PathBuf = root.join(path.trim_start_matches('/'));
    let folders = own
        .ancestors()
        .take_while(|folder| folder.starts_with(&root));
    folders.filter_map(|folder| read(&folder.join(file))).min()
}

fn read(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let limit: u64 = text.trim().parse().ok()?;
    (limit < NO_LIMIT).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_lowest_limit_of_the_cgroup_and_those_above_it_applies() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "memory.max", "max\n");
        write(root, "pods/memory.max", "268435456\n");
        write(root, "pods/one/memory.max", "max\n");
        write(root, "pods/one/deep/memory.max", "536870912\n");
        assert_eq!(lowest("0::/pods/one/deep\n", root), Some(256 << 20));
        assert_eq!(lowest("0::/elsewhere\n", root), None);
        assert_eq!(lowest("", root), None);
    }

    #[test]
    fn version_1_has_a_hierarchy_for_memory() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(
            root,
            "memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        write(root, "memory/box/memory.limit_in_bytes", "104857600\n");
        let own = "5:cpu,cpuacct:/box\n3:memory:/box\n0::/box\n";
        assert_eq!(lowest(own, root), Some(100 << 20));
        assert_eq!(lowest("3:memory:/\n", root), None);
    }
}
