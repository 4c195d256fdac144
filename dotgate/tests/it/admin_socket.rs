//! The Unix socket of the admin endpoint: no token for this user, through a replacement, and removed by its last owner.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;

use serde_json::Value;

use crate::world::house::House;
use crate::world::http::get;

impl House {
    /// Runs a command that knows nothing but the socket.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_dotgate"))
            .env_clear()
            .env("DOTGATE_ADMIN_SOCKET", self.path("admin.sock"))
            .env("DOTGATE_ADMIN_LISTEN", "off")
            .args(arguments)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    fn status(&self) -> Value {
        let mut stream = UnixStream::connect(self.path("admin.sock")).unwrap();
        let request = "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        serde_json::from_str(body).unwrap()
    }
}

#[test]
fn its_user_looks_into_the_cache_and_flushes_it_without_a_token() {
    let house = House::new();
    let mut program = house.serve("0", &[]);
    let socket = house.path("admin.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    program.udp().ask("a.test").assert_right();
    let (status, said) = house.run(&["cache", "show", "a.test"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.starts_with("a.test. A: NOERROR"), "{said}");
    let flushed = (Some(0), "1 entry flushed\n".to_owned());
    assert_eq!(house.run(&["cache", "flush", "--all"]), flushed);
    let ready = (Some(0), "ready\n".to_owned());
    assert_eq!(house.run(&["healthcheck"]), ready);
    let report = house.status();
    assert_eq!(report["admin"]["socket"], socket.to_str().unwrap());
    assert_eq!(report["admin"]["token"], "not set");
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    assert!(!socket.exists(), "it is removed at the end");
}

#[test]
fn it_stays_through_replacements_and_reloads() {
    let house = House::new();
    let socket = house.path("admin.sock");
    let mut first = house.serve("0", &[]);
    first.signal("HUP");
    first.wait_for_line("configuration");
    let port = first.address().port().to_string();
    let mut second = house.serve(&port, &[]);
    first.wait_for_line("another process serves");
    assert_eq!(house.run(&["healthcheck"]).0, Some(0));
    assert_eq!(first.wait().code(), Some(0));
    assert!(socket.exists(), "the one that serves has it");
    assert_eq!(house.run(&["cache", "flush", "--all"]).0, Some(0));

    let moved = house.path("moved.sock");
    let elsewhere = [("DOTGATE_ADMIN_SOCKET", moved.to_str().unwrap())];
    let mut third = house.serve(&port, &elsewhere);
    second.wait_for_line("another process serves");
    assert_eq!(second.wait().code(), Some(0));
    assert!(
        moved.exists() && !socket.exists(),
        "the old place is cleared"
    );
    third.signal("TERM");
    assert_eq!(third.wait().code(), Some(0));
    assert!(!moved.exists());
}

#[test]
fn one_that_a_killed_process_left_is_replaced_and_one_that_is_served_is_not() {
    let house = House::new();
    let socket = house.path("admin.sock");
    let mut killed = house.serve("0", &[]);
    killed.signal("KILL");
    killed.wait();
    assert!(socket.exists());
    let program = house.serve("0", &[]);
    assert_eq!(house.run(&["healthcheck"]).0, Some(0));
    let other = house.path("other.sock");
    let second = house.serve(
        "0",
        &[("DOTGATE_SERVER_TAKE_OVER_SOCKET", other.to_str().unwrap())],
    );
    let warned = second.lines_of_the_start().iter();
    let warned = warned.filter(|line| line.contains("no admin socket"));
    assert_eq!(warned.count(), 1);
    drop(second);
    assert_eq!(house.run(&["healthcheck"]).0, Some(0));
    drop(program);
}

#[test]
fn a_token_that_cannot_be_used_does_not_keep_dns_from_being_served() {
    let house = House::new();
    let short = house.path("short");
    fs::write(&short, "short").unwrap();
    for path in [short.to_str().unwrap(), "/nowhere/token"] {
        let program = house.serve("0", &[("DOTGATE_ADMIN_TOKEN_FILE", path)]);
        program.udp().ask("a.test").assert_right();
        let reported = program.lines_of_the_start().iter();
        let reported: Vec<_> = reported.filter(|line| line.contains("ERROR")).collect();
        assert!(
            reported.len() == 1 && reported[0].contains(path),
            "{reported:?}"
        );
        let status = get(program.admin(), "/api/v1/status").json();
        assert_eq!(status["admin"]["token"], "broken");
        let refused = get(program.admin(), "/api/v1/cache/a.test");
        assert_eq!(refused.status, 403);
        assert!(refused.body.contains("cannot be used"), "{refused:?}");
        assert_eq!(house.run(&["cache", "flush", "--all"]).0, Some(0));
    }
}

#[test]
fn the_status_is_shown_to_people_and_to_programs() {
    let house = House::new();
    let program = house.serve("0", &[]);
    program.udp().ask("a.test").assert_right();
    program.udp().ask("a.test").assert_right();
    let (status, said) = house.run(&["status"]);
    assert_eq!(status, Some(0), "{said}");
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        said.starts_with(&format!("dotgate {version}: ready, up ")),
        "{said}"
    );
    assert!(
        said.contains("; 2 in all, 50 % from the cache, 0 failed, 0 in flight\n"),
        "{said}"
    );
    assert!(said.contains(&house.upstream.written()), "{said}");
    let page = get(program.admin(), "/");
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("; 2 in all, ") && page.body.contains("\n/metrics "),
        "{page:?}"
    );
    let (_, said) = house.run(&["status", "--json"]);
    let document: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(document["traffic"]["cache_hit_ratio"], 0.5);
    assert_eq!(document["schema"], 1);
    drop(program);
    let (status, said) = house.run(&["status"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("DOTGATE_ADMIN_LISTEN is off"), "{said}");
}
