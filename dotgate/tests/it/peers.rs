//! Upstreams and clients that others wrote: dnsdist, Unbound and Knot Resolver behind, kdig and dnsperf in front.
//!
//! The built program stands between them; counted are dnsperf's queries sent, completed and lost, and NOERROR among
//! their answers, while upstreams are killed, started again and stopped. What is not installed is skipped.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dotgate_testbed::certificates::TestAuthority;
use tempfile::NamedTempFile;

use crate::world::alone;
use crate::world::http::get;
use crate::world::load::Load;
use crate::world::message::assert_all_right;
use crate::world::peer::{ANSWER, Peer, Product, are_installed, find};
use crate::world::program::Program;

/// Queries in a second while upstreams die: what two processors bear, program without optimisation or with.
const RATE: u32 = if cfg!(debug_assertions) {
    1_500
} else {
    10_000
};

/// What dnsperf is asked to do, and has done.
struct Dnsperf {
    child: Child,
    _names: NamedTempFile,
}

#[derive(PartialEq, Eq, Debug)]
struct Tally {
    sent: u64,
    completed: u64,
    lost: u64,
    right: u64,
}

impl Dnsperf {
    /// Asks new names with these options.
    fn start(forwarder: SocketAddr, mode: &str, options: &[&str]) -> Dnsperf {
        let names = NamedTempFile::new().unwrap();
        let text: String = (0..50_000)
            .map(|number| format!("name-{number}.test A\n"))
            .collect();
        std::fs::write(names.path(), text).unwrap();
        let mut command = Command::new(find("dnsperf").unwrap());
        command.args([
            "-s",
            &forwarder.ip().to_string(),
            "-p",
            &forwarder.port().to_string(),
        ]);
        command
            .args(["-m", mode, "-d"])
            .arg(names.path())
            .args(options);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Dnsperf {
            child,
            _names: names,
        }
    }

    fn finish(self) -> Tally {
        let output = self.child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let number = |label: &str| {
            let behind = text
                .split_once(label)
                .map(|(_, behind)| behind.trim_start());
            let digits = behind.and_then(|it| it.split(|it: char| !it.is_ascii_digit()).next());
            digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
        };
        assert!(output.status.success(), "{text}");
        Tally {
            sent: number("Queries sent:"),
            completed: number("Queries completed:"),
            lost: number("Queries lost:"),
            right: number("NOERROR"),
        }
    }

    /// Fails unless every query had its answer, with what the forwarder counted.
    #[track_caller]
    fn assert_none_lost(self, program: &Program) {
        let tally = self.finish();
        assert!(tally.sent > 0);
        let all = Tally {
            completed: tally.sent,
            lost: 0,
            right: tally.sent,
            ..tally
        };
        assert_eq!(tally, all, "{}", faults(program));
    }
}

/// The failures of queries and of upstreams that the program has counted, by reason.
fn faults(program: &Program) -> String {
    let page = get(program.admin(), "/metrics").body;
    let is_meant = |line: &&str| {
        let names = ["dotgate_failures_total", "dotgate_upstream_errors_total"];
        names.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0")
    };
    page.lines().filter(is_meant).collect::<Vec<_>>().join("\n")
}

fn kdig(forwarder: SocketAddr, options: &[&str]) -> String {
    let mut command = Command::new(find("kdig").unwrap());
    command
        .arg(format!("@{}", forwarder.ip()))
        .args(["-p", &forwarder.port().to_string()]);
    let output = command
        .args(options)
        .args(["+timeout=5", "+retry=0"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn answers_through(product: Product) {
    if !are_installed(&[product], &["kdig", "dnsperf"]) {
        return;
    }
    let _processors = alone();
    let authority = TestAuthority::new().unwrap();
    let peer = Peer::start(product, &authority);
    let program = Program::serve(&authority, &peer.written(), &[]);
    let forwarder = program.address();
    for options in [
        &["+notcp", "+edns"][..],
        &["+tcp", "+edns"],
        &["+tcp"],
        &["+notcp", "+dnssec"],
    ] {
        let options = [options, &["a.test", "A"]].concat();
        let said = kdig(forwarder, &options);
        assert!(said.contains("status: NOERROR"), "{options:?}: {said}");
        assert!(said.contains(&ANSWER.to_string()), "{options:?}: {said}");
        let has_opt = said.contains(";; EDNS PSEUDOSECTION");
        assert_eq!(has_opt, options.len() == 4, "{options:?}: {said}");
    }
    let most = RATE.to_string();
    for mode in ["udp", "tcp"] {
        let options = ["-Q", &most, "-l", "1", "-c", "4", "-q", "500"];
        Dnsperf::start(forwarder, mode, &options).assert_none_lost(&program);
    }
}

#[test]
fn clients_are_answered_by_dnsdist() {
    answers_through(Product::Dnsdist);
}

#[test]
fn clients_are_answered_by_unbound() {
    answers_through(Product::Unbound);
}

#[test]
fn clients_are_answered_by_knot_resolver() {
    answers_through(Product::KnotResolver);
}

/// Runs `happen` in the middle of dnsperf's queries over UDP and TCP, and of those of a client that is the clock: it
/// asks a name every five milliseconds.
fn under_load(program: &Program, seconds: u32, happen: impl FnOnce(&Load)) {
    let forwarder = program.address();
    let (rate, seconds) = ((RATE / 2).to_string(), seconds.to_string());
    // Responses that waited for the restart of an upstream come at once: dnsperf needs room for them, in kilobytes.
    let room = ["-c", "20", "-q", "20000", "-b", "2048"];
    let options = [&["-Q", &rate, "-l", &seconds][..], &room].concat();
    let loads = ["udp", "tcp"].map(|mode| Dnsperf::start(forwarder, mode, &options));
    let clock = Load::start(program.udp().expecting(ANSWER), Duration::from_millis(5));
    happen(&clock);
    let responses = clock.finish();
    assert_all_right(&responses, responses.len());
    for load in loads {
        load.assert_none_lost(program);
    }
}

#[test]
fn the_only_upstream_is_killed_and_started_again_under_load_and_no_query_is_lost() {
    if !are_installed(&[Product::Dnsdist], &["dnsperf"]) {
        return;
    }
    let _processors = alone();
    let authority = TestAuthority::new().unwrap();
    let mut peer = Peer::start(Product::Dnsdist, &authority);
    let program = Program::serve(&authority, &peer.written(), &[]);
    under_load(&program, 4, |clock| {
        for _ in 0..3 {
            clock.go_on_for(150);
            peer.kill();
            peer.start_again();
        }
    });
}

#[test]
fn one_of_two_upstreams_is_killed_under_load_and_no_query_is_lost() {
    if !are_installed(&[Product::Dnsdist, Product::Unbound], &["dnsperf"]) {
        return;
    }
    let _processors = alone();
    let authority = TestAuthority::new().unwrap();
    let mut first = Peer::start(Product::Dnsdist, &authority);
    let second = Peer::start(Product::Unbound, &authority);
    let hosts = format!("{},{}", first.written(), second.written());
    let program = Program::serve(&authority, &hosts, &[]);
    under_load(&program, 3, |clock| {
        clock.go_on_for(200);
        first.kill();
        clock.go_on_for(200);
        first.start_again();
        clock.go_on_for(100);
    });
}

#[test]
fn one_of_two_upstreams_is_stopped_under_load_and_no_query_is_lost() {
    if !are_installed(&[Product::Dnsdist, Product::Unbound], &["dnsperf"]) {
        return;
    }
    let _processors = alone();
    let authority = TestAuthority::new().unwrap();
    let first = Peer::start(Product::Unbound, &authority);
    let second = Peer::start(Product::Dnsdist, &authority);
    let hosts = format!("{},{}", first.written(), second.written());
    let program = Program::serve(&authority, &hosts, &[]);
    under_load(&program, 3, |clock| {
        clock.go_on_for(200);
        first.freeze();
        clock.go_on_for(300);
    });
}
