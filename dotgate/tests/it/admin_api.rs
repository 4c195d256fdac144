//! What the admin endpoint tells in whole and what it changes, and for whom.

use std::io::Write as _;

use dotgate_core::Count;
use dotgate_testbed::certificates::TestAuthority;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::world::http::{Response, ask, connect, get, post, receive};
use crate::world::program::Program;
use crate::world::upstream::Upstream;

const TOKEN: &str = "a-token-that-nobody-guesses";
const BEARER: &str = "Authorization: Bearer a-token-that-nobody-guesses\r\n";

struct World {
    upstream: Upstream,
    program: Program,
    token: NamedTempFile,
}

/// The program with a token.
fn world() -> World {
    let mut file = NamedTempFile::new().unwrap();
    writeln!(file, "{TOKEN}").unwrap();
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let path = file.path().to_str().unwrap();
    let program = Program::serve(
        &authority,
        &upstream.written(),
        &[("DOTGATE_ADMIN_TOKEN_FILE", path)],
    );
    World {
        upstream,
        program,
        token: file,
    }
}

impl World {
    /// Runs `dotgate cache` with the token.
    fn cache(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let path = self.token.path().to_str().unwrap();
        let arguments = [&["cache"], arguments].concat();
        self.program
            .run_with(&arguments, &[("DOTGATE_ADMIN_TOKEN_FILE", path)])
    }

    /// Asks for a name and has the answer from the upstream, or from the cache.
    fn ask(&self, name: &str) {
        self.program.udp().ask(name).assert_right();
    }

    fn set_level(&self, lines: &str, body: &str) -> Response {
        post(self.program.admin(), "/api/v1/log-level", lines, body)
    }
}

/// Where `found` is of another shape than `expected`: other members, or other kinds of value. What one of the two has
/// as null may be anything in the other; of counts, the example has some.
fn differences(path: &str, expected: &Value, reported: &Value) -> Vec<String> {
    match (expected, reported) {
        (Value::Object(expected), Value::Object(reported)) => {
            let is_counts = path.ends_with(".counts");
            let missing = expected.keys().filter(|key| !reported.contains_key(*key));
            let new = reported
                .keys()
                .filter(|key| !is_counts && !expected.contains_key(*key));
            let mut found: Vec<String> = missing
                .map(|key| format!("{path}.{key} is missing"))
                .collect();
            found.extend(new.map(|key| format!("{path}.{key} is new")));
            for (key, value) in expected {
                if let Some(reported) = reported.get(key) {
                    found.extend(differences(&format!("{path}.{key}"), value, reported));
                }
            }
            found
        }
        (Value::Array(expected), Value::Array(reported)) => {
            match (expected.first(), reported.first()) {
                (Some(expected), Some(reported)) => {
                    differences(&format!("{path}[0]"), expected, reported)
                }
                (None, _) | (_, None) => Vec::new(),
            }
        }
        (Value::Null, _) | (_, Value::Null) => Vec::new(),
        (expected, reported) => {
            let is_same = std::mem::discriminant(expected) == std::mem::discriminant(reported);
            let differ = || format!("{path} is {reported}, in the example {expected}");
            if is_same { Vec::new() } else { vec![differ()] }
        }
    }
}

#[test]
fn the_status_is_as_the_documentation_shows_it() {
    let world = world();
    world.program.udp().ask("a.test").assert_right();
    let reported = get(world.program.admin(), "/api/v1/status");
    assert_eq!(reported.status, 200);
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/admin.md")).unwrap();
    let mut examples = page
        .split("```json\n")
        .map(|behind| behind.split("```").next().unwrap());
    let example = examples.find(|example| example.contains("\"schema\""));
    let example = example.expect("an example");
    let example: Value = serde_json::from_str(example).unwrap();
    assert_eq!(differences("status", &example, &reported.json()), [""; 0]);
    let reported = reported.json();
    assert_eq!(reported["schema"], 1);
    assert_eq!(reported["counts"]["answered"], 1);
    assert_eq!(reported["upstreams"][0]["answers"], true);
    assert_eq!(reported["ready"]["status"], "ready");
    assert_eq!(
        reported["listen"],
        json!([world.program.address().to_string()])
    );
}

#[test]
fn the_page_has_a_row_for_every_count() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/admin.md")).unwrap();
    for count in Count::ALL {
        let row = format!("| `{}` | {} |\n", count.label(), count.about());
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn the_log_level_changes_for_those_with_the_token() {
    let world = world();
    let changed = world.set_level(BEARER, r#"{"level":"debug"}"#);
    assert_eq!(
        (changed.status, changed.json()),
        (200, json!({"level": "debug"}))
    );
    world.program.wait_for_line("log level was changed");
    let status = get(world.program.admin(), "/api/v1/status").json();
    assert_eq!(status["log"]["level"], "debug");
    world.program.udp().ask("a.test").assert_right();
    world.program.wait_for_line("session opened");
    for body in [
        "",
        "debug",
        r#"{"level":"loud"}"#,
        r#"{"level":"info","x":1}"#,
    ] {
        let refused = world.set_level(BEARER, body);
        assert_eq!(refused.status, 400, "{body}");
        assert!(
            refused.json()["error"]
                .as_str()
                .unwrap()
                .contains("error, warn, info, debug or trace"),
            "{refused:?}"
        );
    }
    assert_eq!(get(world.program.admin(), "/api/v1/log-level").status, 405);
}

#[test]
fn without_the_right_token_nothing_is_changed() {
    let world = world();
    let body = r#"{"level":"error"}"#;
    for lines in [
        "",
        "Authorization: Bearer a-token-that-nobody-guesse\r\n",
        "Authorization: Basic eDp5\r\n",
    ] {
        let refused = world.set_level(lines, body);
        assert_eq!(refused.status, 401, "{refused:?}");
        assert!(
            refused.head.contains("www-authenticate: Bearer"),
            "{refused:?}"
        );
    }
    let status = get(world.program.admin(), "/api/v1/status").json();
    assert_eq!(status["log"]["level"], "info");
    assert!(!status.to_string().contains(TOKEN));
}

#[test]
fn where_no_token_is_set_it_is_said_how_to_set_one() {
    let authority = TestAuthority::new().unwrap();
    let program = Program::serve(&authority, "192.0.2.1", &[]);
    let refused = post(
        program.admin(),
        "/api/v1/log-level",
        BEARER,
        r#"{"level":"error"}"#,
    );
    assert_eq!(refused.status, 403);
    assert!(
        refused.body.contains("DOTGATE_ADMIN_TOKEN_FILE"),
        "{refused:?}"
    );
}

#[test]
fn bodies_that_are_too_long_or_do_not_come_are_refused() {
    let world = world();
    let long = world.set_level(BEARER, &" ".repeat(4_097));
    assert_eq!(long.status, 413, "{long:?}");
    let head = format!(
        "POST /api/v1/log-level HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{BEARER}"
    );
    let chunks = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{}",
        "1\r\nx\r\n".repeat(5_000)
    );
    assert_eq!(ask(world.program.admin(), &chunks).status, 413);
    let mut slow = connect(world.program.admin());
    slow.write_all(format!("{head}Content-Length: 17\r\n\r\n{{").as_bytes())
        .unwrap();
    assert_eq!(receive(&mut slow).status, 408);
}

#[test]
fn the_cache_is_shown_to_those_with_the_token_alone() {
    let world = world();
    world.ask("kept.test");
    let path = "/api/v1/cache/kept.test";
    let admin = world.program.admin();
    assert_eq!(get(admin, path).status, 401);
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n{BEARER}\r\n");
    let shown = ask(admin, &request);
    assert_eq!(shown.status, 200, "{shown:?}");
    let shown = shown.json();
    assert_eq!(shown["name"], "kept.test.");
    let entry = &shown["entries"][0];
    assert_eq!(
        (&entry["record_type"], &entry["rcode"]),
        (&"A".into(), &"NOERROR".into())
    );
    assert!(
        entry["records"][0]
            .as_str()
            .unwrap()
            .starts_with("kept.test.\t"),
        "{shown}"
    );
    let (status, said) = world.cache(&["show", "Kept.Test"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.starts_with("Kept.Test. A: NOERROR, a response, stored "),
        "{said}"
    );
    let (status, said) = world.program.run(&["cache", "show", "kept.test"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("Authorization: Bearer"), "{said}");
    let (_, said) = world.cache(&["show", "other.test"]);
    assert_eq!(said, "nothing is cached for other.test.\n");
}

#[test]
fn what_is_flushed_is_asked_for_again() {
    let world = world();
    let names = ["a.test", "b.a.test", "c.test"];
    let ask_all = || names.iter().for_each(|name| world.ask(name));
    let asked = || names.map(|name| world.upstream.queries_for(name));
    ask_all();
    ask_all();
    assert_eq!(asked(), [1, 1, 1]);
    let forget = |arguments: &[&str], expected: &str| {
        let (status, said) = world.cache(&[&["flush"], arguments].concat());
        assert_eq!((status, said.as_str()), (Some(0), expected));
        ask_all();
    };
    forget(&["A.test"], "1 entry flushed\n");
    assert_eq!(asked(), [2, 1, 1]);
    forget(&["--below", "a.test"], "2 entries flushed\n");
    assert_eq!(asked(), [3, 2, 1]);
    forget(&["--all"], "3 entries flushed\n");
    assert_eq!(asked(), [4, 3, 2]);
    let status = get(world.program.admin(), "/api/v1/status").json();
    assert_eq!(status["cache"]["entries"], 3);
}

#[test]
fn what_is_no_name_and_no_order_is_refused() {
    let world = world();
    for path in ["/api/v1/cache/", "/api/v1/cache/a..b", "/api/v1/cache/%zz"] {
        assert_eq!(get(world.program.admin(), path).status, 400, "{path}");
    }
    for body in [
        "",
        "{}",
        r#"{"all":false}"#,
        r#"{"name":"a..b"}"#,
        r#"{"all":true,"name":"a"}"#,
    ] {
        let refused = post(world.program.admin(), "/api/v1/cache/flush", BEARER, body);
        assert_eq!(refused.status, 400, "{body}: {refused:?}");
    }
    assert_eq!(
        get(world.program.admin(), "/api/v1/cache/flush").status,
        405
    );
}
