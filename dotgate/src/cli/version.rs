//! What `--version` prints. What is not known of a build is said to be unknown: no build needs a repository.

use std::fmt::Write as _;

/// The commit that the program was built from, where the build knows it.
const COMMIT: Option<&str> = option_env!("BUILD_COMMIT");

/// The version; with `verbose`, also what the program was built from and by.
pub(super) fn text(verbose: bool) -> String {
    let mut text = format!("dotgate {}\n", env!("CARGO_PKG_VERSION"));
    if !verbose {
        return text;
    }
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let linking = if cfg!(target_feature = "crt-static") {
        "static"
    } else {
        "dynamic"
    };
    for (name, value) in [
        ("commit", COMMIT.unwrap_or_default()),
        ("rustc", env!("BUILD_RUSTC")),
        ("target", env!("BUILD_TARGET")),
        ("profile", profile),
        ("linking", linking),
        ("features", env!("BUILD_FEATURES")),
    ] {
        let value = if value.is_empty() { "unknown" } else { value };
        // Writing to a string has no way to fail.
        writeln!(text, "{name}: {value}").unwrap_or_default();
    }
    text
}
