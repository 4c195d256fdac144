//! The query log of the built binary: to a file that is rotated, to standard output, with names and clients hidden.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use dotgate_testbed::certificates::TestAuthority;
use serde_json::Value;

use crate::world::http::get;
use crate::world::program::{Program, authority_file, command, set_up};
use crate::world::troubled::Troubled;
use crate::world::upstream::Upstream;
use crate::world::wait::until;

/// The lines of a log in JSON, once there are so many.
fn lines_of(path: &Path, count: usize) -> Vec<Value> {
    let mut lines: Vec<Value> = Vec::new();
    until("lines of the query log", || {
        let text = fs::read_to_string(path).unwrap_or_default();
        let parsed = text
            .lines()
            .map_while(|line| serde_json::from_str(line).ok());
        lines = parsed.collect();
        lines.len() >= count
    });
    lines
}

/// Serves with this standard output.
fn serve_to(
    stdout: Stdio,
    authority: &TestAuthority,
    upstream: &Upstream,
    variables: &[(&str, &str)],
) -> Program {
    let file = authority_file(authority);
    let mut program = command(&[]);
    set_up(&mut program, &file, &upstream.written(), variables);
    program.stdout(stdout);
    Program::serve_as_is(program, file)
}

#[test]
fn a_file_has_each_query_and_is_opened_again_on_sighup() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queries.log");
    let variables = [
        ("DOTGATE_QUERY_LOG", path.to_str().unwrap()),
        ("DOTGATE_QUERY_LOG_FORMAT", "json"),
        // The records of two workers have no order.
        ("DOTGATE_SERVER_WORKERS", "1"),
    ];
    let mut program = Program::serve(&authority, &upstream.written(), &variables);
    let mut client = program.udp();
    client.ask("one.test").assert_right();
    client.ask("one.test").assert_right();
    program.tcp().ask("two.test").assert_right();
    let lines = lines_of(&path, 3);
    let words = |line: &Value| {
        let word = |name: &str| line[name].as_str().unwrap_or("none").to_owned();
        [
            word("name"),
            word("transport"),
            word("outcome"),
            word("upstream"),
        ]
    };
    let found: Vec<[String; 4]> = lines.iter().map(words).collect();
    let upstream_label = found[0][3].clone();
    assert_ne!(upstream_label, "none");
    assert_eq!(found[0][..3], ["one.test.", "udp", "answered"]);
    assert_eq!(found[1], ["one.test.", "udp", "cached", "none"]);
    assert_eq!(found[2], ["two.test.", "tcp", "answered", &*upstream_label]);
    for line in &lines {
        assert_eq!(line["v"], 1);
        assert_eq!(line["client"], "127.0.0.1");
        assert_eq!(
            (&line["type"], &line["rcode"]),
            (&"A".into(), &"NOERROR".into())
        );
    }
    assert!(lines[0]["upstream_ms"].as_f64() <= lines[0]["ms"].as_f64());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "others can read it");

    let rotated = folder.path().join("queries.log.1");
    fs::rename(&path, &rotated).unwrap();
    program.signal("HUP");
    program.wait_for_line("configuration reloaded");
    client.ask("three.test").assert_right();
    let lines = lines_of(&path, 1);
    assert_eq!(lines[0]["name"], "three.test.");
    assert_eq!(lines_of(&rotated, 3).len(), 3);

    // The end of the program loses nothing.
    client.ask("four.test").assert_right();
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    assert_eq!(lines_of(&path, 2)[1]["name"], "four.test.");
}

#[test]
fn standard_output_has_only_queries_that_pass_the_filter_and_no_more_than_is_allowed() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let variables = [
        ("DOTGATE_QUERY_LOG", "stdout"),
        ("DOTGATE_QUERY_LOG_FILTER", "suffix=logged.test"),
        ("DOTGATE_QUERY_LOG_CLIENTS", "prefix"),
        ("DOTGATE_QUERY_LOG_NAMES", "domain"),
    ];
    let (reader, writer) = std::io::pipe().unwrap();
    let program = serve_to(Stdio::from(writer), &authority, &upstream, &variables);
    let mut client = program.udp();
    client.ask("private.test").assert_right();
    client.ask("a.b.logged.test").assert_right();
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    let columns: Vec<&str> = line.split(' ').collect();
    assert_eq!(
        columns[1..7],
        [
            "127.0.0.0/24",
            "udp",
            "logged.test.",
            "A",
            "NOERROR",
            "answered"
        ],
        "{line}"
    );
    assert!(
        get(program.admin(), "/metrics")
            .body
            .contains("dotgate_query_records_dropped_total 0")
    );
}

#[test]
fn a_log_that_cannot_be_written_is_found_at_the_start_and_by_a_reload() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("logs");
    fs::create_dir(&inside).unwrap();
    let path = inside.join("queries.log");
    let variables = [("DOTGATE_QUERY_LOG", path.to_str().unwrap())];
    let program = Program::serve(&authority, &upstream.written(), &variables);
    fs::remove_dir_all(&inside).unwrap();
    program.signal("HUP");
    let line = program.wait_for_line("reload rejected");
    assert!(line.contains("SIGHUP"), "{line}");
    let line = program.wait_for_line("DOTGATE_QUERY_LOG");
    assert!(
        line.contains("cannot write") && line.contains("queries.log"),
        "{line}"
    );
    program.udp().ask("still.test").assert_right();
}

#[test]
fn a_full_disk_costs_records_and_no_response() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    // Which has no room for anything (full(4)).
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let variables = [("DOTGATE_QUERY_LOG", "stdout")];
    let program = serve_to(Stdio::from(full), &authority, &upstream, &variables);
    program.udp().ask("one.test").assert_right();
    let line = program.wait_for_line("cannot write the query log");
    assert!(line.contains("stdout"), "{line}");
    program.udp().ask("two.test").assert_right();
}

#[test]
fn it_tells_a_frozen_upstream_one_that_refuses_tls_and_a_healthy_one_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queries.log");
    let troubled = Troubled::start_with_routes(&[
        ("DOTGATE_QUERY_LOG", path.to_str().unwrap()),
        ("DOTGATE_QUERY_LOG_FORMAT", "json"),
        ("DOTGATE_QUERY_DEADLINE", "8s"),
    ]);
    let mut found: Vec<[String; 3]> = Vec::new();
    let of = |line: &Value| {
        let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let upstream = word("upstream");
        let (_, upstream) = upstream.rsplit_once('#').unwrap_or_default();
        [word("name"), upstream.to_owned(), word("reason")]
    };
    let wanted = [
        ["a.frozen.test.", "frozen.test", "tls_timed_out"],
        ["a.refusing.test.", "refusing.test", "tls_closed"],
        ["a.healthy.test.", "upstream.test", ""],
    ];
    until("each is named with its reason", || {
        for name in ["a.frozen.test", "a.refusing.test", "a.healthy.test"] {
            troubled.program.udp().ask(name);
        }
        found = lines_of(&path, 4).iter().map(of).collect();
        wanted.iter().all(|line| {
            found
                .iter()
                .any(|it| it.iter().zip(line).all(|(it, wanted)| it == wanted))
        })
    });
}
