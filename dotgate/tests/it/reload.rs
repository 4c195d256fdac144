//! The configuration is reloaded while everything is served.
//!
//! The built binary runs with a file of settings, which is changed under load; asserted is that every query sent at
//! any time has its answer, that clients stay connected, and what is reported of an invalid file.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use dotgate_testbed::certificates::{Leaf, Purpose, TestAuthority};
use tempfile::TempDir;

use crate::world::http::get;
use crate::world::load::Load;
use crate::world::message::assert_all_right;
use crate::world::program::{Program, authority_file, command};
use crate::world::upstream::{Credentials, Form, Step, Upstream};
use crate::world::wait::{BOUND, until};

const MS: Duration = Duration::from_millis(1);

/// A folder with the file of settings, and some upstreams that it may name.
pub(crate) struct House {
    authority: TestAuthority,
    pub(crate) upstreams: Vec<Upstream>,
    folder: TempDir,
}

impl House {
    pub(crate) fn new(upstreams: usize) -> House {
        let authority = TestAuthority::new().unwrap();
        let upstreams = Upstream::start_at_one_port(upstreams, &authority);
        let house = House {
            authority,
            upstreams,
            folder: TempDir::new().unwrap(),
        };
        house.trust(&house.authority);
        house
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn trust(&self, authority: &TestAuthority) {
        fs::write(self.path("ca.pem"), authority.pem()).unwrap();
    }

    /// What a file says that names these upstreams, with further lines.
    pub(crate) fn text(&self, upstreams: &[usize], more: &str) -> String {
        let names = upstreams
            .iter()
            .map(|number| self.upstreams[*number].written());
        let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
        format!(
            "[server]\nhost = \"127.0.0.1\"\nport = 0\n[dns]\nhost = [{}]\nport = 853\n[tls]\nca_file = {:?}\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n{more}",
            names.join(", "),
            self.path("ca.pem"),
        )
    }

    pub(crate) fn write(&self, upstreams: &[usize], more: &str) {
        fs::write(self.path("conf"), self.text(upstreams, more)).unwrap();
    }

    pub(crate) fn serve(&self, variables: &[(&str, &str)]) -> Program {
        let mut command = command(variables);
        command.arg("--config").arg(self.path("conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Program::serve_as_is(command, authority_file(&self.authority))
    }

    fn queries(&self) -> Vec<usize> {
        self.upstreams.iter().map(Upstream::queries).collect()
    }
}

/// A file that nobody watches: tests send the signal.
pub(crate) const UNWATCHED: &str = "[config]\nwatch = false\n";

const TAKEN: &str = "configuration reloaded";

pub(crate) fn reload(program: &Program) {
    program.signal("HUP");
    program.wait_for_line(TAKEN);
}

fn configuration(program: &Program) -> serde_json::Value {
    get(program.admin(), "/api/v1/status").json()["configuration"].clone()
}

#[test]
fn upstreams_added_removed_and_replaced_under_load_cost_no_query_and_no_connection() {
    let house = House::new(3);
    for upstream in &house.upstreams {
        let late = [Step::Wait(20 * MS), Step::Send(Form::Right)];
        upstream.script(|script| script.all = late.to_vec());
    }
    house.write(&[0], UNWATCHED);
    let program = house.serve(&[("DOTGATE_SERVER_WORKERS", "2")]);
    let mut stream = program.tcp();
    stream.ask("before.test").assert_right();
    let loads: Vec<Load> = (0..8).map(|_| program.load(2 * MS)).collect();
    for upstreams in [&[0, 1][..], &[1], &[2], &[2, 0], &[0, 1, 2], &[1]] {
        house.write(upstreams, UNWATCHED);
        reload(&program);
        let before = house.queries();
        for load in &loads {
            load.go_on_for(30);
        }
        let first = upstreams[0];
        until("queries at the first upstream", || {
            house.queries()[first] > before[first]
        });
        stream
            .ask(&format!("{before:?}.test").replace([' ', ',', '[', ']'], "x"))
            .assert_right();
    }
    for load in loads {
        let responses = load.finish();
        assert_all_right(&responses, responses.len());
    }
    let status = configuration(&program);
    assert_eq!(
        (&status["reloads"], &status["last"]),
        (&6.into(), &"ok".into())
    );
}

#[test]
fn an_upstream_that_stays_keeps_its_connection_and_one_that_is_gone_loses_its_own() {
    let house = House::new(2);
    house.write(&[0], UNWATCHED);
    let program = house.serve(&[("DOTGATE_SERVER_WORKERS", "1")]);
    program.udp().ask("a.test").assert_right();
    house.write(&[0, 1], UNWATCHED);
    reload(&program);
    program.udp().ask("b.test").assert_right();
    assert_eq!(house.upstreams[0].connections(), 1);
    house.write(&[1], UNWATCHED);
    reload(&program);
    house.upstreams[0].wait_until("the end", |record| record.ended == 1);
    program.udp().ask("c.test").assert_right();
    assert_eq!(house.upstreams[1].queries(), 1);
}

#[test]
fn the_cache_is_retained() {
    let house = House::new(2);
    house.write(&[0], UNWATCHED);
    let program = house.serve(&[]);
    program.udp().ask("a.test").assert_right();
    house.write(&[1], UNWATCHED);
    reload(&program);
    program.udp().ask("a.test").assert_right();
    assert_eq!(house.queries(), [1, 0]);
}

#[test]
fn a_broken_file_is_refused_whole_with_its_line_and_the_one_before_goes_on_until_it_is_mended() {
    let house = House::new(2);
    house.write(&[0], UNWATCHED);
    let program = house.serve(&[]);
    house.write(&[1], "[query]\ndeadline = \"yesterday\"\n");
    program.signal("HUP");
    program.wait_for_line("reload rejected; keeping the current configuration");
    let line = program.wait_for_line("yesterday");
    assert!(line.contains("conf:12"), "{line}");
    program.udp().ask("a.test").assert_right();
    assert_eq!(house.queries(), [1, 0]);
    let status = configuration(&program);
    assert_eq!(status["last"], "rejected");
    assert!(status["problem"].as_str().unwrap().contains("conf:12"));
    let metrics = get(program.admin(), "/metrics").body;
    for series in [
        "dotgate_config_reloads_total{result=\"rejected\"} 1",
        "dotgate_config_last_reload_success 0",
    ] {
        assert!(metrics.contains(series), "{series}");
    }
    fs::write(house.path("ca.pem"), "no certificate").unwrap();
    house.write(&[1], UNWATCHED);
    program.signal("HUP");
    program.wait_for_line("has no certificate");
    house.trust(&house.authority);
    reload(&program);
    program.udp().ask("b.test").assert_right();
    assert_eq!(house.queries(), [1, 1]);
    let metrics = get(program.admin(), "/metrics").body;
    assert!(metrics.contains("dotgate_config_last_reload_success 1"));
}

#[test]
fn the_swap_of_a_symbolic_link_as_of_a_config_map_is_seen_and_a_broken_file_is_reported_once() {
    let house = House::new(2);
    let at = |name: &str| house.path(name);
    let put = |name: &str, text: &str| {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("conf"), text).unwrap();
        symlink(name, at("data.new")).unwrap();
        fs::rename(at("data.new"), at("data")).unwrap();
    };
    put("v1", &house.text(&[0], ""));
    symlink("data/conf", at("conf")).unwrap();
    let program = house.serve(&[]);
    put("v2", "[dns\n");
    program.wait_for_line("reload rejected");
    put("v3", &house.text(&[1], ""));
    program.wait_for_line(TAKEN);
    program.udp().ask("a.test").assert_right();
    assert_eq!(house.queries(), [0, 1]);
    assert_eq!(configuration(&program)["rejected"], 1);
}

#[test]
fn another_authority_in_its_file_is_trusted_and_the_one_before_no_more() {
    let house = House::new(1);
    house.write(&[0], UNWATCHED);
    let program = house.serve(&[("DOTGATE_SERVER_WORKERS", "1")]);
    program.udp().ask("a.test").assert_right();
    let other = TestAuthority::new().unwrap();
    house.trust(&other);
    reload(&program);
    program.udp().ask("b.test").assert_failed(22);
    house.upstreams[0].show(&Default::default(), &other);
    house.trust(&house.authority);
    reload(&program);
    house.trust(&other);
    reload(&program);
    program.udp().ask("c.test").assert_right();
}

#[test]
fn the_certificate_that_an_upstream_asks_for_is_read_again_when_it_is_renewed() {
    let house = House::new(1);
    let demanding = Credentials {
        demands_certificate: true,
        gives_tickets: false,
        ..Credentials::default()
    };
    house.upstreams[0].show(&demanding, &house.authority);
    let path = house.path("client.pem");
    let renew = |authority: &TestAuthority| {
        let leaf = Leaf {
            purpose: Purpose::Client,
            ..Leaf::for_name("client.test")
        };
        let certificate = authority.issue(&leaf).unwrap();
        fs::write(&path, certificate.pem + &certificate.key_pem).unwrap();
    };
    renew(&house.authority);
    house.write(&[0], UNWATCHED);
    let upstream = house.upstreams[0].written();
    let parameter = format!(";client-cert={}", path.display());
    let hosts = format!("{upstream}{parameter}");
    let program = house.serve(&[("DOTGATE_SERVER_WORKERS", "1"), ("DNS_HOST", &hosts)]);
    program.udp().ask("a.test").assert_right();
    let before = house.upstreams[0].connections();
    reload(&program);
    program.udp().ask("the-same.test").assert_right();
    assert_eq!(house.upstreams[0].connections(), before);

    renew(&TestAuthority::new().unwrap());
    reload(&program);
    assert!(!program.udp().ask("b.test").is_right());
    fs::write(&path, "no certificate").unwrap();
    program.signal("HUP");
    program.wait_for_line("client.pem has no certificate in PEM form");
    renew(&house.authority);
    reload(&program);
    program.udp().ask("c.test").assert_right();
}

#[test]
fn what_needs_a_restart_and_what_the_environment_fixes_is_named_and_the_rest_is_taken() {
    let house = House::new(1);
    house.write(&[0], UNWATCHED);
    let program = house.serve(&[("LOG_FORMAT", "text")]);
    let more = "[log]\nlevel = \"debug\"\nformat = \"json\"\n[cache]\nsize = \"1MiB\"\n";
    house.write(&[0], &format!("{UNWATCHED}{more}"));
    program.signal("HUP");
    let line = program.wait_for_line("changed but not applied until restart");
    assert!(line.contains("DOTGATE_CACHE_SIZE"), "{line}");
    let line = program.wait_for_line("fixed by the environment");
    assert!(
        line.contains("LOG_FORMAT") && line.contains("conf:15"),
        "{line}"
    );
    program.udp().ask("a.test").assert_right();
    program.wait_for_line("DEBUG");
    assert_eq!(
        configuration(&program)["waiting_for_restart"],
        serde_json::json!(["DOTGATE_CACHE_SIZE"])
    );
}

#[test]
fn the_log_goes_over_to_another_format() {
    let house = House::new(1);
    house.write(&[0], UNWATCHED);
    let program = house.serve(&[]);
    house.write(&[0], &format!("{UNWATCHED}[log]\nformat = \"json\"\n"));
    program.signal("HUP");
    let line = program.wait_for_line(TAKEN);
    assert!(line.starts_with('{'), "{line}");
}

#[test]
fn another_token_holds_from_then_on() {
    let house = House::new(1);
    fs::write(house.path("token"), "the-first-token-there-is").unwrap();
    let more = format!("token_file = {:?}\n{UNWATCHED}", house.path("token"));
    house.write(&[0], &more);
    let program = house.serve(&[]);
    let status_with = |token: &str| {
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let body = "info";
        crate::world::http::post(program.admin(), "/api/v1/log-level", &bearer, body).status
    };
    assert_ne!(status_with("the-first-token-there-is"), 401);
    fs::write(house.path("token"), "another-token-by-now").unwrap();
    reload(&program);
    assert_eq!(status_with("the-first-token-there-is"), 401);
    assert_ne!(status_with("another-token-by-now"), 401);
}

#[test]
fn a_file_under_a_new_path_is_watched_while_invalid_and_read_once() {
    let house = House::new(1);
    house.write(&[0], "");
    let program = house.serve(&[]);
    let other = TestAuthority::new().unwrap();
    fs::write(house.path("other.pem"), "").unwrap();
    let text = house.text(&[0], "").replace("ca.pem", "other.pem");
    fs::write(house.path("conf"), text).unwrap();
    program.wait_for_line("has no certificate");
    // Before the authority: a session that begins at once must not find the old certificate.
    house.upstreams[0].show(&Default::default(), &other);
    fs::write(house.path("other.pem"), other.pem()).unwrap();
    program.wait_for_line(TAKEN);
    program.udp().ask("a.test").assert_right();
    fs::write(house.path("other.pem"), "no certificate").unwrap();
    program.wait_for_line("has no certificate");
    let status = configuration(&program);
    assert_eq!(
        (&status["reloads"], &status["rejected"]),
        (&1.into(), &2.into())
    );
}

#[test]
fn the_service_manager_is_notified_of_reloading_and_ready() {
    let house = House::new(1);
    house.write(&[0], UNWATCHED);
    let manager = UnixDatagram::bind(house.path("notify")).unwrap();
    manager.set_read_timeout(Some(BOUND)).unwrap();
    let heard = || {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let path = house.path("notify");
    let program = house.serve(&[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    assert!(heard().starts_with("READY=1\n"));
    reload(&program);
    assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert!(heard().starts_with("READY=1\n"));
}
