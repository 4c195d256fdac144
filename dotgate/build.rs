//! Notes what the program is built from: the compiler's version, the target with its CPU features and, where
//! `BUILD_COMMIT` is set, the commit. The repository is not asked: a build without one is the same build.
//!
//! Neither is called `DOTGATE_`: cargo shows them to the program it runs, which would take them for settings.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=BUILD_COMMIT");
    println!("cargo::rerun-if-env-changed=RUSTC");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output();
    // `rustc 1.91.0 (f8297e351 2025-10-28)`; a compiler that does not say so has no version worth a label.
    let version = output
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|line| line.split_whitespace().nth(1).map(str::to_owned))
        .unwrap_or_default();
    println!("cargo::rustc-env=BUILD_RUSTC={version}");
    for (name, source) in [
        ("BUILD_TARGET", "TARGET"),
        ("BUILD_FEATURES", "CARGO_CFG_TARGET_FEATURE"),
    ] {
        let value = std::env::var(source).unwrap_or_default();
        println!("cargo::rustc-env={name}={value}");
    }
}
