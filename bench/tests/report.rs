//! A report goes on where a forwarder ends.

#![expect(
    clippy::unwrap_used,
    reason = "clippy exempts #[test] functions, not their parts"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

const BENCH: &str = env!("CARGO_BIN_EXE_dotgate-bench");

/// A program that stands for SDNS or blocky: the echo, at the address that stands in its configuration behind `key`.
fn write_program(file: &Path, key: &str, prefix: &str) {
    let text = format!(
        "#!/bin/sh\n\
         if [ \"$1\" = version ]; then echo version 7; exit; fi\n\
         for file; do :; done\n\
         address=$(sed -n 's/^ *{key} *\"\\(.*\\)\"/\\1/p' \"$file\")\n\
         exec {prefix} '{BENCH}' echo --listen \"$address\"\n"
    );
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_forwarder_that_ends_in_a_run_has_a_row_that_says_so_and_the_others_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (tools, output) = (folder.path().join("tools"), folder.path().join("output"));
    fs::create_dir(&tools).unwrap();
    write_program(&tools.join("blocky"), "dns:", "timeout 1");
    write_program(&tools.join("sdns"), "bind =", "");
    let others = [
        "dnsdist",
        "dnsdist-master",
        "unbound",
        "knot-resolver",
        "bind",
        "coredns",
        "dnsproxy",
        "hickory-dns",
        "routedns",
        "smartdns",
        "stubby",
    ];
    let result = Command::new(BENCH)
        .args(["report", "--rounds", "1", "--seconds", "1"])
        .args(["--workload", "forwarded-1k", "--dotgate", "true"])
        .args(others.iter().flat_map(|name| ["--without", name]))
        .arg("--tools")
        .arg(&tools)
        .arg("--output")
        .arg(&output)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&result.stdout).into_owned();
    let errors = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{words}{errors}");
    let page = fs::read_to_string(output.join("benchmarks.md")).unwrap();
    let (_, section) = page.split_once("### Forwarded, 1,000").unwrap();
    let row = |name: &str| section.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(
        row("| blocky |").contains("| gave no answer |"),
        "{words}{section}"
    );
    let cells: Vec<&str> = row("| sdns |").split('|').map(str::trim).collect();
    let answered: u32 = cells[6].parse().unwrap();
    assert!((500..=1_500).contains(&answered), "{section}");
    assert!(
        page.contains("| sdns | version 7 | a TLS handshake for each"),
        "{page}"
    );
}
