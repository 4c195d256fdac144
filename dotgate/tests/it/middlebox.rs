//! A path on which large TLS handshakes get lost: queries are answered all the same, and what was learned of the path
//! outlives the process, as does what was learned of idle sessions.

use std::fs;
use std::path::PathBuf;

use crate::world::house::House;
use crate::world::http::get;
use crate::world::middlebox::Middlebox;
use crate::world::program::Program;
use crate::world::upstream::End;
use crate::world::wait::until;

const LEARNED: &str = "upstream does not receive a large TLS ClientHello";

/// A house whose upstream is behind a middlebox, and processes that keep a state file.
struct Path {
    house: House,
    middlebox: Middlebox,
}

impl Path {
    fn new() -> Path {
        let house = House::new();
        let middlebox = Middlebox::before(&house.upstream);
        Path { house, middlebox }
    }

    fn file(&self) -> PathBuf {
        self.house.path("upstreams.json")
    }

    fn serve(&self, port: &str) -> Program {
        let (file, socket) = (self.file(), self.house.socket());
        let variables = [
            ("PORT", port),
            ("DOTGATE_DNS_STATE_FILE", file.to_str().unwrap()),
            ("DOTGATE_SERVER_TAKE_OVER_SOCKET", socket.to_str().unwrap()),
            ("DOTGATE_SERVER_WORKERS", "1"),
            ("DOTGATE_SERVER_DRAIN_MAX", "0s"),
            ("DOTGATE_CACHE_SIZE", "0"),
        ];
        Program::serve(&self.house.authority, &self.middlebox.written(), &variables)
    }

    /// A process that has learned, and has written it into the file.
    fn serve_and_learn(&self) -> Program {
        let program = self.serve("0");
        program.udp().ask("first.test").assert_right();
        assert_eq!(self.middlebox.seen(), (1, 1), "one may be lost by chance");
        self.house.upstream.end_all(End::Fin);
        self.house
            .upstream
            .wait_until("the session has ended", |record| record.ended > 0);
        program.udp().ask("second.test").assert_right();
        assert_eq!(self.middlebox.seen(), (2, 2));
        program.wait_for_line(LEARNED);
        until("it is in the file", || self.file().exists());
        program
    }
}

/// What a process says of its only upstream.
fn assert_says_classical(program: &Program) {
    let health = get(program.admin(), "/healthz").json();
    let left = health["upstreams"][0]["classical_key_exchange_seconds"].as_f64();
    assert!(left.is_some_and(|left| left > 86_000.0), "{health}");
    let metrics = get(program.admin(), "/metrics").body;
    let is_reduced = |line: &str| {
        line.starts_with("dotgate_upstream_key_exchange_reduced{") && line.ends_with(" 1")
    };
    assert!(metrics.lines().any(is_reduced), "{metrics}");
}

#[test]
fn what_a_path_drops_is_learned_and_known_to_the_next_process() {
    let path = Path::new();
    let mut first = path.serve_and_learn();
    assert_says_classical(&first);
    first.signal("TERM");
    assert_eq!(first.wait().code(), Some(0));

    let second = path.serve("0");
    second.udp().ask("third.test").assert_right();
    assert_eq!(path.middlebox.seen(), (2, 3));
    assert_says_classical(&second);
}

#[test]
fn a_process_that_takes_over_knows_it_and_one_that_was_killed_has_saved_it() {
    let path = Path::new();
    let mut first = path.serve_and_learn();
    let port = first.address().port().to_string();
    let mut second = path.serve(&port);
    first.wait_for_line("another process serves");
    assert_eq!(first.wait().code(), Some(0));
    second.udp().ask("third.test").assert_right();
    assert_eq!(path.middlebox.seen(), (2, 3));
    second.signal("KILL");
    second.wait();

    let third = path.serve("0");
    third.udp().ask("fourth.test").assert_right();
    assert_eq!(path.middlebox.seen(), (2, 4));
}

#[test]
fn a_state_file_that_is_damaged_or_not_its_own_is_reported_and_never_believed() {
    let path = Path::new();
    fs::write(path.file(), "{\"dotgate_upstreams\":1,\"upstreams\":[").unwrap();
    let mut damaged = path.serve_and_learn();
    damaged.signal("TERM");
    damaged.wait();
    assert!(
        fs::read_to_string(path.file()).unwrap().ends_with("]}\n"),
        "replaced"
    );

    fs::write(path.file(), "notes of mine").unwrap();
    let mut foreign = path.serve("0");
    foreign.udp().ask("third.test").assert_right();
    // A query that an ended session still took is asked again on a session of its own, which teaches nothing.
    let mut tries = 0;
    while !foreign
        .new_lines()
        .iter()
        .any(|line| line.contains(LEARNED))
    {
        path.house.upstream.end_all(End::Fin);
        let name = format!("fourth-{tries}.test");
        foreign.udp().ask(&name).assert_right();
        tries += 1;
        assert!(tries < 200, "never learned");
    }
    foreign.signal("TERM");
    foreign.wait_for_line("cannot write the state file");
    foreign.wait();
    assert_eq!(fs::read_to_string(path.file()).unwrap(), "notes of mine");
}

#[test]
fn what_was_learned_of_idle_sessions_is_shown() {
    let house = House::new();
    let (file, label) = (house.path("upstreams.json"), house.upstream.written());
    let learned = format!(
        "{{\"dotgate_upstreams\":1,\"upstreams\":[\n{{\"upstream\":\"{label}\",\"idle_timeout_ms\":4000}}\n]}}\n"
    );
    fs::write(&file, learned).unwrap();
    for (variables, learned, in_use) in [
        (
            vec![("DOTGATE_DNS_STATE_FILE", file.to_str().unwrap())],
            Some(3.6),
            "3.6",
        ),
        (vec![], None, "8.0"),
    ] {
        let program = Program::serve(&house.authority, &label, &variables);
        let health = get(program.admin(), "/healthz").json();
        let shown = &health["upstreams"][0]["learned_idle_timeout_seconds"];
        assert_eq!(shown.as_f64(), learned, "{health}");
        let metrics = get(program.admin(), "/metrics").body;
        let sample =
            format!("dotgate_upstream_idle_timeout_seconds{{upstream=\"{label}\"}} {in_use}");
        assert!(metrics.lines().any(|line| line == sample), "{metrics}");
    }
}
