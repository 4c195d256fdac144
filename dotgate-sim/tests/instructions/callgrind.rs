//! Builds a program in the release profile and has callgrind count its instructions. `dotgate-tls/tests/instructions.rs` uses this, too.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::profile::Profile;

/// With it set, a test that cannot run fails.
const NO_SKIP: &str = "DOTGATE_TEST_NO_SKIP";

/// Whether this can be measured here; a test that cannot run says so, or fails if it must not be skipped.
pub(crate) fn can_count() -> bool {
    let missing = if !cfg!(target_arch = "x86_64") {
        "the ceilings are those of x86-64"
    } else if Command::new("valgrind").arg("--version").output().is_err() {
        "valgrind is not installed"
    } else {
        return true;
    };
    assert!(std::env::var_os(NO_SKIP).is_none(), "{missing}");
    println!("skipped: {missing}");
    false
}

/// A program whose instructions are counted.
pub(crate) struct Program {
    file: PathBuf,
    options: &'static [&'static str],
}

impl Program {
    /// Builds an example as the product is built. Callgrind gets `options`.
    pub(crate) fn build(package: &str, example: &str, options: &'static [&'static str]) -> Program {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("..");
        let output = Command::new(env!("CARGO"))
            .args(["build", "--release", "--locked", "--package", package])
            .args(["--example", example, "--target-dir"])
            .arg(&target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}");
        let file = target.join("release/examples").join(example);
        Program { file, options }
    }

    /// Runs it with two arguments, and returns what it took.
    pub(crate) fn count(&self, kind: &str, queries: usize) -> Profile {
        // Tests that count the same run at the same time.
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let file = format!("{}-{queries}-{run}.callgrind", kind.replace('/', "_"));
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
        let output = Command::new("valgrind")
            .arg("--tool=callgrind")
            .args(self.options)
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(&self.file)
            .args([kind, &queries.to_string()])
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}");
        Profile::read(&std::fs::read_to_string(&file).unwrap())
    }
}
