//! The cache outlives the process: a stop writes it into a file, and the next process answers from that.
//!
//! The built binary is stopped, killed, replaced, given files that are not its own, and started again; asserted is
//! what reaches the upstream, the TTL in a client's response, exit statuses and the one line that says what was wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::world::house::House;
use crate::world::program::Program;

impl House {
    fn file(&self) -> PathBuf {
        self.path("cache")
    }

    fn serve_with_snapshot(&self, file: &Path, variables: &[(&str, &str)]) -> Program {
        let own = [
            ("DOTGATE_CACHE_SNAPSHOT_FILE", file.to_str().unwrap()),
            ("DOTGATE_SERVER_DRAIN_MAX", "0s"),
        ];
        let all: Vec<_> = own.iter().chain(variables).copied().collect();
        Program::serve(&self.authority, &self.upstream.written(), &all)
    }

    fn serve_with_file(&self) -> Program {
        self.serve_with_snapshot(&self.file(), &[])
    }

    /// A process that has written a snapshot with one answer, and the TTL that clients got.
    fn leave_snapshot(&self) -> u32 {
        let mut first = self.serve_with_file();
        first.wait_for_line("the cache starts empty");
        let response = first.udp().ask("cached.test");
        response.assert_right();
        stop(&mut first, "cache saved to its snapshot");
        response.ttl.unwrap()
    }

    /// Starts with a file that is not to be read: one warning, then all is as without.
    fn assert_refused(&self, words: &str) {
        let mut program = self.serve_with_file();
        let line = program.wait_for_line("WARN");
        assert!(
            line.contains("cannot read the snapshot: the cache starts empty"),
            "{line}"
        );
        assert!(line.contains(words), "{line}");
        let before = self.upstream.queries_for("cached.test");
        program.udp().ask("cached.test").assert_right();
        assert_eq!(self.upstream.queries_for("cached.test"), before + 1);
        program.signal("TERM");
        assert_eq!(program.wait().code(), Some(0));
        let warnings = program
            .new_lines()
            .join("\n")
            .matches("cannot read the snapshot")
            .count();
        assert_eq!(warnings, 0, "it is said once");
    }
}

fn stop(program: &mut Program, words: &str) {
    program.signal("TERM");
    program.wait_for_line(words);
    assert_eq!(program.wait().code(), Some(0));
}

/// Changes a snapshot and its sum with it, as somebody would who wants it believed.
fn forge(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    bytes.truncate(bytes.len() - 32);
    change(&mut bytes);
    let sum = digest(&SHA256, &bytes);
    bytes.extend_from_slice(sum.as_ref());
    fs::write(file, bytes).unwrap();
}

/// Has a snapshot written so many milliseconds later than it was.
fn write_later(file: &Path, milliseconds: i64) {
    forge(file, |bytes| {
        let written_at = u64::from_be_bytes(bytes[10..18].try_into().unwrap());
        let written_at = written_at.strict_add_signed(milliseconds);
        bytes[10..18].copy_from_slice(&written_at.to_be_bytes());
    });
}

#[test]
fn what_was_answered_before_a_restart_is_answered_after_it_without_the_upstream() {
    let house = House::new();
    let ttl = house.leave_snapshot();
    write_later(&house.file(), -10_000);
    house.upstream.kill();
    let mut second = house.serve_with_file();
    let line = second.wait_for_line("cache restored from its snapshot");
    assert!(line.contains("entries=1"), "{line}");
    let response = second.udp().ask("cached.test");
    response.assert_right();
    assert!(response.ttl.unwrap() <= ttl - 10, "{response:?}");
    assert_eq!(house.upstream.queries_for("cached.test"), 1);
    stop(&mut second, "cache saved to its snapshot");
    let mode = fs::metadata(house.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(house.folder.path()).unwrap().count(), 1);
}

#[test]
fn what_has_expired_meanwhile_is_stale() {
    let house = House::new();
    let ttl = house.leave_snapshot();
    write_later(&house.file(), -1_000 * i64::from(ttl));
    house.upstream.kill();
    let second = house.serve_with_file();
    second.wait_for_line("cache restored from its snapshot");
    let response = second.udp().ask("cached.test");
    response.assert_right();
    assert_eq!((response.ttl, response.ede.unwrap().0), (Some(30), 3));
}

#[test]
fn a_process_that_is_killed_leaves_the_file_of_the_one_before_it() {
    let house = House::new();
    house.leave_snapshot();
    let before = fs::read(house.file()).unwrap();
    let mut second = house.serve_with_file();
    second.wait_for_line("cache restored from its snapshot");
    second.udp().ask("another.test").assert_right();
    second.signal("KILL");
    assert_eq!(second.wait().code(), None);
    assert_eq!(fs::read(house.file()).unwrap(), before);
    house
        .serve_with_file()
        .wait_for_line("cache restored from its snapshot");
}

#[test]
fn a_file_that_is_damaged_truncated_foreign_of_another_version_or_from_later_is_reported_once_and_not_read()
 {
    let house = House::new();
    house.leave_snapshot();
    let whole = fs::read(house.file()).unwrap();
    fs::write(house.file(), &whole[..whole.len() - 1]).unwrap();
    house.assert_refused("its SHA-256 sum is wrong");
    let mut damaged = whole.clone();
    damaged[40] ^= 1;
    fs::write(house.file(), damaged).unwrap();
    house.assert_refused("its SHA-256 sum is wrong");
    forge(&house.file(), |bytes| bytes[9] = 3);
    house.assert_refused("in form 3, and this one reads form 2");
    write_later(&house.file(), 3_600_000);
    house.assert_refused("the clock was set back");
    fs::write(house.file(), "nothing of ours").unwrap();
    house.assert_refused("it is not a snapshot of dotgate's cache");
    let left = fs::read(house.file()).unwrap();
    assert_eq!(left, b"nothing of ours", "nor written over");
}

#[test]
fn an_answer_with_a_right_sum_that_answers_another_question_is_left_out() {
    let house = House::new();
    house.leave_snapshot();
    forge(&house.file(), |bytes| {
        let cached = bytes.windows(6).position(|it| it == b"cached").unwrap();
        bytes[cached..cached + 6].copy_from_slice(b"forged");
    });
    let second = house.serve_with_file();
    let line = second.wait_for_line("cache restored from its snapshot");
    assert!(line.contains("entries=0 left_out=1"), "{line}");
}

#[test]
fn where_nothing_can_be_written_a_stop_warns_and_ends_cleanly() {
    let house = House::new();
    let nowhere = house.path("missing/cache");
    let mut program = house.serve_with_snapshot(&nowhere, &[]);
    program.udp().ask("cached.test").assert_right();
    stop(&mut program, "cannot save the snapshot");
}

#[test]
fn without_the_setting_or_without_a_cache_nothing_is_written() {
    let house = House::new();
    let mut program = house.serve_with_snapshot(&house.file(), &[("DOTGATE_CACHE_SIZE", "0")]);
    program.udp().ask("cached.test").assert_right();
    stop(&mut program, "stopped");
    assert!(!house.file().exists());
}

#[test]
fn a_process_that_takes_over_has_the_cache_of_the_one_before_it() {
    let house = House::new();
    let socket = house.socket();
    let take_over = ("DOTGATE_SERVER_TAKE_OVER_SOCKET", socket.to_str().unwrap());
    let mut first = house.serve_with_snapshot(&house.file(), &[take_over]);
    first.udp().ask("cached.test").assert_right();
    let port = first.address().port().to_string();
    let mut second = house.serve_with_snapshot(&house.file(), &[take_over, ("PORT", &port)]);
    first.wait_for_line("cache saved to its snapshot");
    let line = second.wait_for_line("cache restored from its snapshot");
    assert!(line.contains("entries=1"), "{line}");
    assert_eq!(first.wait().code(), Some(0));
    let again = first.new_lines().join("\n");
    assert!(
        !again.contains("snapshot"),
        "it has left that to the other: {again}"
    );
    second.udp().ask("cached.test").assert_right();
    assert_eq!(house.upstream.queries_for("cached.test"), 1);
    stop(&mut second, "cache saved to its snapshot");
}
