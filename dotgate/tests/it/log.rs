//! The log: what a journal, a collector and a person get of it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};

use dotgate_testbed::certificates::TestAuthority;
use tempfile::NamedTempFile;

use crate::world::program::{authority_file, command, set_up, wait};

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
    let held = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let port = held.local_addr().unwrap().port().to_string();
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

    let held = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let taken = [("LOG_FORMAT", "json"), ("PORT", &*port)];
    let mut program = Logged::start(&taken, |own| format!("{own}0"));
    let lines = program.lines_until("no such words");
    let last: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(last["message"], "cannot start");
    assert!(
        last["hint"]
            .as_str()
            .unwrap()
            .contains("Another process has this port")
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
