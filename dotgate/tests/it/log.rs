//! The log: what a journal, a collector and a person get of it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};

use dotgate_testbed::certificates::TestAuthority;
use tempfile::NamedTempFile;

use crate::world::dot::{Files, NAME, Offer};
use crate::world::program::{Program, authority_file, command, set_up, wait};
use crate::world::troubled::Troubled;
use crate::world::upstream::{End, Form, Step, Upstream};
use crate::world::wait::until;

/// The program with its standard error as the journal gives it to services.
struct Logged {
    child: Child,
    stderr: BufReader<PipeReader>,
    _authority: NamedTempFile,
}

impl Logged {
    /// `named` makes the value of `JOURNAL_STREAM` of the right one.
    fn start(variables: &[(&str, &str)], named: impl FnOnce(&str) -> String) -> Logged {
        let (reader, writer) = std::io::pipe().unwrap();
        let writer = File::from(OwnedFd::from(writer));
        let stderr = writer.metadata().unwrap();
        let file = authority_file(&TestAuthority::new().unwrap());
        let mut program: Command = command(&[]);
        set_up(&mut program, &file, "192.0.2.1", variables);
        let stream = named(&format!("{}:{}", stderr.dev(), stderr.ino()));
        let child = program
            .env("JOURNAL_STREAM", stream)
            .stderr(Stdio::from(writer))
            .spawn()
            .unwrap();
        Logged {
            child,
            stderr: BufReader::new(reader),
            _authority: file,
        }
    }

    /// All lines up to one with these words, or to the end.
    fn lines_until(&mut self, words: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in self.stderr.by_ref().lines().map_while(Result::ok) {
            let is_last = line.contains(words);
            lines.push(line);
            if is_last {
                break;
            }
        }
        lines
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        wait(&mut self.child);
    }
}

#[test]
fn the_journal_gets_priorities_and_no_time() {
    let mut program = Logged::start(&[], str::to_owned);
    let lines = program.lines_until("serving DNS");
    let start = lines.last().unwrap();
    assert!(start.starts_with("<6> INFO serving DNS"), "{lines:#?}");
}

#[test]
fn an_error_at_the_start_has_its_priority_in_the_journal() {
    let taken = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut program = Logged::start(&[("PORT", &port)], str::to_owned);
    let lines = program.lines_until("no such words");
    assert!(!lines.is_empty());
    for line in &lines {
        assert!(line.starts_with("<3>"), "{lines:#?}");
    }
}

#[test]
fn a_redirected_standard_error_is_not_the_journal() {
    let mut program = Logged::start(&[], |own| format!("{own}0"));
    let lines = program.lines_until("serving DNS");
    let start = lines.last().unwrap();
    let year = start.split('-').next().unwrap();
    assert!(year.parse::<u16>().is_ok(), "{lines:#?}");
}

#[test]
fn with_json_everything_is_json() {
    let wrong = [
        ("LOG_FORMAT", "json"),
        ("PORT", "many"),
        ("LOG_LEVEL", "loud"),
    ];
    let mut program = Logged::start(&wrong, |own| format!("{own}0"));
    let lines = program.lines_until("no such words");
    let [line] = &lines[..] else {
        panic!("{lines:#?}");
    };
    let object: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(object["level"], "ERROR");
    assert_eq!(object["problems"].as_array().unwrap().len(), 2, "{line}");

    let taken = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let taken = [("LOG_FORMAT", "json"), ("PORT", &*port)];
    let mut program = Logged::start(&taken, |own| format!("{own}0"));
    let lines = program.lines_until("no such words");
    let last: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(last["message"], "cannot start");
    assert!(
        last["hint"]
            .as_str()
            .unwrap()
            .contains("Another process uses this port")
    );
}

#[test]
fn problems_of_the_configuration_have_their_priority_in_the_journal() {
    let mut program = Logged::start(&[("PORT", "many")], str::to_owned);
    let lines = program.lines_until("no such words");
    assert!(lines.len() > 1, "{lines:#?}");
    for line in &lines {
        assert!(line.starts_with("<3>"), "{lines:#?}");
    }
}

/// Waits until every one of these stories has a line with all its words, and returns all lines.
fn lines_with(program: &Program, stories: &[&[&str]], mut meanwhile: impl FnMut()) -> Vec<String> {
    let mut lines = program.lines_of_the_start().to_vec();
    let is_in = |lines: &[String], words: &[&str]| {
        lines
            .iter()
            .any(|line| words.iter().all(|word| line.contains(word)))
    };
    for story in stories {
        until(&story.join(" ... "), || {
            meanwhile();
            lines.extend(program.new_lines());
            is_in(&lines, story)
        });
    }
    lines
}

#[test]
fn at_debug_a_session_has_its_story_and_above_it_no_name_and_no_client_has_one() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let program = Program::serve(&authority, &upstream.written(), &[("LOG_LEVEL", "debug")]);
    let mut client = program.udp();
    client.ask("secret-one.test").assert_right();
    upstream.freeze_all();
    client.send("secret-two.test");
    let opened = [
        "DEBUG session opened",
        "tls=",
        "key_exchange=",
        "resumed=false",
        "time_ms=",
    ];
    let stories: [&[&str]; 4] = [
        &opened,
        &["DEBUG probe sent", "upstream="],
        &[
            "DEBUG session closed",
            "reason=\"unresponsive\"",
            "lifetime_ms=",
            "responses=1",
        ],
        &["DEBUG session opened", "resumed=true"],
    ];
    let mut lines = lines_with(&program, &stories, || ());
    upstream.end_all(End::Notify);
    let stories: [&[&str]; 1] = [&["DEBUG session closed", "reason=\"idle_peer\""]];
    lines.extend(lines_with(&program, &stories, || ()));
    for line in lines.iter().filter(|line| !line.contains("DEBUG")) {
        assert!(!line.contains("secret-"), "{line}");
    }
}

#[test]
fn at_trace_each_attempt_has_a_line_and_a_query_says_how_many_it_had() {
    let world = Troubled::start_with_routes(&[("LOG_LEVEL", "trace")]);
    let stories: [&[&str]; 4] = [
        &[
            "TRACE question sent",
            "kind=\"first\"",
            "question=one.test. A",
        ],
        &[
            "TRACE query answered",
            "one.test. A",
            "outcome=\"answered\"",
            "attempts=1",
        ],
        &["DEBUG session failed", "#refusing.test", "reason="],
        &[
            "DEBUG query failed",
            "www.refusing.test. A",
            "rcode=2",
            "reason=",
        ],
    ];
    let mut client = world.program.udp();
    let lines = lines_with(&world.program, &stories, || {
        if client.unanswered() < 4 {
            client.send("www.refusing.test");
        }
    });
    let above = lines
        .iter()
        .filter(|line| !line.contains("DEBUG") && !line.contains("TRACE"));
    for line in above {
        assert!(
            !line.contains("one.test") && !line.contains("www."),
            "{line}"
        );
    }
}

#[test]
fn at_trace_a_failed_attempt_has_a_line_with_its_upstream_and_reason() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    upstream.script(|script| {
        script.on("failing.test", &[Step::Send(Form::ServerFailure)]);
    });
    let program = Program::serve(&authority, &upstream.written(), &[("LOG_LEVEL", "trace")]);
    let ended = [
        "TRACE attempt failed",
        "#upstream.test",
        "kind=\"first\"",
        "question=failing.test. A",
        "reason=",
        "ms=",
    ];
    let mut client = program.udp();
    let lines = lines_with(&program, &[&ended], || client.send("failing.test"));
    assert!(
        lines
            .iter()
            .any(|line| line.contains("TRACE question sent"))
    );
}

#[test]
fn at_debug_each_tls_handshake_of_a_client_has_a_line_with_its_result() {
    let authority = TestAuthority::new().unwrap();
    let (upstream, files) = (Upstream::start(&authority), Files::new(&authority));
    let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
    let program = Program::serve(
        &authority,
        &upstream.written(),
        &[
            ("LOG_LEVEL", "debug"),
            ("DOTGATE_DOT_LISTEN", "127.0.0.1:0"),
            ("DOTGATE_SERVER_CERTIFICATE_FILE", &certificate),
            ("DOTGATE_SERVER_KEY_FILE", &key),
        ],
    );
    let address = program.dot_address();
    let offer = Offer::new(&authority);
    for _ in 0..2 {
        let mut client = offer.connect(address, NAME).unwrap();
        assert!(client.ask("secret.test").is_right());
    }
    let mut stranger = TcpStream::connect(address).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let line = |result: &'static str| {
        let words = "DEBUG TLS handshake of a client ended";
        [
            words,
            "client=127.0.0.1",
            "transport=\"dot\"",
            result,
            "ms=",
        ]
    };
    let (full, resumed, failed) = (
        line("result=\"full\""),
        line("result=\"resumed\""),
        line("result=\"not_tls\""),
    );
    let lines = lines_with(&program, &[&full, &resumed, &failed], || ());
    assert!(
        lines.iter().all(|line| !line.contains("secret")),
        "{lines:#?}"
    );
}
