//! A host whose clock is not set, as a router before its first contact with a time server: the names of time servers
//! are resolved by pins alone, everything else fails, and the clock being set ends that without a restart.
//!
//! The clock is that of the library libfaketime, which reads the time from a file at each look.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use dotgate_testbed::certificates::TestAuthority;

use crate::world::peer::are_installed;
use crate::world::program::{Program, authority_file, command, set_up};
use crate::world::upstream::{Certificate, Credentials, Upstream};

/// Where Debian's package has the library, on any architecture.
fn library() -> Option<String> {
    let folders = fs::read_dir("/usr/lib").ok()?;
    let places = folders.filter_map(|folder| {
        let file = folder.ok()?.path().join("faketime/libfaketimeMT.so.1");
        file.is_file().then(|| file.display().to_string())
    });
    places.last()
}

/// Starts the program with the time that `clock` holds.
fn serve(authority: &TestAuthority, hosts: &str, library: &str, clock: &Path) -> Program {
    let clock = clock.display().to_string();
    let variables = [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", &*clock),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    Program::serve(authority, hosts, &variables)
}

/// The upstream with the pin of its key, as `dotgate check --probe` prints it.
fn with_pin(authority: &TestAuthority, upstream: &Upstream) -> String {
    let file = authority_file(authority);
    let mut command = command(&[]);
    set_up(&mut command, &file, &upstream.written(), &[]);
    let output = command.args(["check", "--probe"]);
    let output = output.stdout(Stdio::piped()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, pin) = text.split_once("pin=").expect(&text);
    let pin = pin.split(|letter: char| letter.is_whitespace() || "`\",;".contains(letter));
    format!(
        "{};pin={}",
        upstream.written(),
        pin.into_iter().next().unwrap()
    )
}

#[test]
fn time_servers_are_found_before_the_clock_is_set_and_all_else_after() {
    if !are_installed(&[], &["faketime"]) {
        return;
    }
    let library = library().expect("the library of faketime");
    let authority = TestAuthority::new().unwrap();
    let (pinned, other) = (Upstream::start(&authority), Upstream::start(&authority));
    for upstream in [&pinned, &other] {
        upstream.show(&Credentials::with(Certificate::Recent), &authority);
    }
    let hosts = format!("{},{}", with_pin(&authority, &pinned), other.written());
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    fs::write(&clock, "@1971-01-01 00:00:00").unwrap();
    let before = pinned.queries_for("de.pool.ntp.org");
    let program = serve(&authority, &hosts, &library, &clock);
    let mut client = program.udp();
    client.ask("de.pool.ntp.org").assert_right();
    client.ask("bank.test").assert_failed(22);
    client.ask("ntp.org").assert_failed(22);
    assert_eq!(pinned.queries_for("de.pool.ntp.org"), before + 1);
    assert_eq!(pinned.queries_for("bank.test"), 0);
    assert_eq!(other.record().full_handshakes, 0);

    let mut date = Command::new("date");
    let now = date.args(["-u", "+%Y-%m-%d %H:%M:%S"]);
    fs::write(folder.path().join("next"), now.output().unwrap().stdout).unwrap();
    fs::rename(folder.path().join("next"), &clock).unwrap();
    let line = program.wait_for_line("configuration reloaded");
    assert!(
        line.contains("clock set") && !line.contains("clockless"),
        "{line}"
    );
    let mut tries = 0;
    while !client.ask(&format!("bank-{tries}.test")).is_right() {
        tries += 1;
        assert!(tries < 100, "not used again");
    }
    client.ask("fr.pool.ntp.org").assert_right();
}
