//! The page at `/` of the admin endpoint: as text without a browser, and in Chromium.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dotgate_testbed::certificates::TestAuthority;
use serde_json::{Value, json};

use crate::tail::{HOSTILE, HOSTILE_SHOWN, TOKEN, token_file};
use crate::world::http::{Response, ask, connect, get};
use crate::world::peer::{are_installed, is_possible_or_skipped};
use crate::world::program::Program;
use crate::world::troubled::Troubled;
use crate::world::upstream::Upstream;
use crate::world::wait::until;

/// Asks for a path as browsers do.
fn browse(program: &Program, path: &str) -> Response {
    let admin = program.admin();
    let accepts = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";
    ask(
        admin,
        &format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n{accepts}\r\n\r\n"),
    )
}

/// The text of a page without its tags.
fn text(html: &str) -> String {
    let (_, body) = html.split_once("<body").unwrap();
    let parts = body.split('<').filter_map(|part| part.split_once('>'));
    parts.map(|(_, text)| text).collect()
}

/// Waits until both faults are known, and returns the page.
fn page_with_both_faults(world: &Troubled) -> String {
    let mut page = String::new();
    until("both faults are shown", || {
        // So that there is a reason to try them.
        world.program.udp().ask("one.test").assert_right();
        page = browse(&world.program, "/").body;
        page.contains("2 of 3 upstreams do not respond")
    });
    page
}

/// The part about an upstream.
fn part<'p>(page: &'p str, label: &str) -> &'p str {
    let heading = format!("<h3>{label}</h3>");
    let (_, behind) = page.split_once(&heading).expect("its heading");
    behind.split("</article>").next().unwrap()
}

#[test]
fn a_person_sees_which_upstream_is_at_fault_and_why() {
    let world = Troubled::start(&[]);
    let page = page_with_both_faults(&world);
    let labels: Vec<&str> = page
        .split("<h3>")
        .skip(1)
        .map(|behind| behind.split("</h3>").next().unwrap())
        .collect();
    let [frozen, refusing, healthy] = labels[..] else {
        panic!("three upstreams: {labels:?}");
    };
    assert!(
        text(&page)
            .contains("Attention: dotgate answers queries, but 2 of 3 upstreams do not respond."),
        "{page}"
    );
    assert!(frozen.ends_with("#frozen.test"), "{frozen}");
    assert!(part(&page, frozen).contains("down"), "{page}");
    assert!(
        part(&page, frozen).contains("the TLS handshake failed: handshake timed out"),
        "{page}"
    );
    assert!(refusing.ends_with("#refusing.test"), "{refusing}");
    assert!(
        part(&page, refusing).contains("the TLS handshake failed: closed in the handshake"),
        "{page}"
    );
    assert!(healthy.contains(&world.healthy.written()), "{healthy}");
    assert!(
        part(&page, healthy).contains("No failure since the start"),
        "{page}"
    );
}

#[test]
fn it_is_one_document_that_loads_nothing_and_says_no_secret() {
    let world = Troubled::start(&[
        ("DOTGATE_ADMIN_HOST_NAMES", "secret-host.test"),
        ("DOTGATE_LOCAL_RECORDS", "secret-name.test A 192.0.2.1"),
    ]);
    let program = &world.program;
    program.udp().ask("secret-question.test").assert_right();
    let response = browse(program, "/?period=hour");
    assert_eq!(response.status, 200);
    let header = |name: &str| {
        let mut lines = response
            .head
            .lines()
            .filter_map(|line| line.split_once(": "));
        let found = lines.find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("vary"), "Accept");
    for forbidden in [
        " src=",
        "<link",
        "<img",
        "http://",
        "https://",
        " style=",
        " onclick=",
        "secret-",
    ] {
        assert!(!response.body.contains(forbidden), "{forbidden}");
    }
    let page = text(&response.body);
    for shown in [
        "DOTGATE_ADMIN_HOST_NAMES(not shown here)",
        "The last 1 hour",
        "UDP and TCP",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    // Programs that do not ask for HTML get the text that they always got.
    let plain = get(program.admin(), "/");
    assert!(plain.body.starts_with("dotgate "), "{plain:?}");
}

#[test]
fn queries_are_on_the_page_a_second_later() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let program = Program::serve(&authority, &upstream.written(), &[]);
    assert!(text(&browse(&program, "/").body).contains("no query has come yet"));
    for name in ["a.test", "a.test", "a.test"] {
        program.udp().ask(name).assert_right();
    }
    until("they are in the table", || {
        let page = text(&browse(&program, "/").body);
        page.contains("from the cache267 %") && page.contains("from upstreams133 %")
    });
}

/// A stream of events, whose answer has begun.
fn events(program: &Program) -> BufReader<TcpStream> {
    let admin = program.admin();
    let mut stream = connect(admin);
    let request = format!("GET /events HTTP/1.1\r\nHost: {admin}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    BufReader::new(stream)
}

/// Reads lines until one has this.
fn read_until(stream: &mut BufReader<TcpStream>, wanted: &str) {
    let mut line = String::new();
    while !line.contains(wanted) {
        line.clear();
        let length = stream.read_line(&mut line).unwrap();
        assert!(length > 0, "the stream ended before {wanted}");
    }
}

#[test]
fn a_reader_that_does_not_read_stops_no_other_and_the_seventeenth_is_refused() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let program = Program::serve(&authority, &upstream.written(), &[]);
    let mut reader = events(&program);
    read_until(&mut reader, "text/event-stream");
    let deaf: Vec<_> = (0..15).map(|_| events(&program)).collect();
    until("all streams are in use", || {
        let refused = get(program.admin(), "/events");
        refused.status == 503 && refused.body.contains("too many pages are open")
    });
    program.udp().ask("a.test").assert_right();
    read_until(&mut reader, "event: part");
    // Only what differs comes again.
    read_until(&mut reader, "with 1 queries");
    assert_eq!(get(program.admin(), "/livez").status, 200);
    drop((deaf, reader));
    until("there is a stream again", || {
        let mut stream = events(&program);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        line.contains("200")
    });
}

/// Where the build puts axe-core, if it was installed.
fn axe() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.join("target/tools/page/node_modules/axe-core/axe.min.js")
}

/// Whether the tests with a browser can be made.
fn has_browser() -> bool {
    are_installed(&[], &["chromium", "node"]) && is_possible_or_skipped("axe-core", axe().is_file())
}

/// Runs a script of `tests/page`, and returns what it found.
fn run(script: &str, arguments: &[&str]) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page");
    let output = Command::new("node")
        .arg(folder.join(script))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn everybody_can_use_it_in_a_browser_with_and_without_scripts() {
    if !has_browser() {
        return;
    }
    let token = token_file();
    let world = Troubled::start(&[
        ("DOTGATE_ADMIN_TOKEN_FILE", token.path().to_str().unwrap()),
        ("DOTGATE_DNS_PORTAL", "on"),
    ]);
    page_with_both_faults(&world);
    // Screenshots stay there for people to look at.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).unwrap();
    let url = format!("http://{}/", world.program.admin());
    let axe = axe();
    let arguments = [&url, folder.to_str().unwrap(), axe.to_str().unwrap()];
    let load = world.program.load(Duration::from_millis(20));
    load.go_on_for(100);
    let found = run("look.cjs", &arguments);
    load.finish();
    for (view, found) in found.as_object().unwrap() {
        assert_eq!(found["violations"], json!([]), "{view}");
        assert_eq!(found["complaints"], json!([]), "{view}");
        assert_eq!(found["overflow"], 0, "{view}");
        let text = found["text"].as_str().unwrap();
        assert!(
            text.contains("2 of 3 upstreams do not respond"),
            "{view}: {text}"
        );
        assert!(text.contains("closed in the handshake"), "{view}: {text}");
        if view != "static" {
            assert!(found["checks"].as_u64().unwrap() > 20, "{view}: {found}");
        }
    }
}

#[test]
fn an_open_page_stays_current_and_leaves_what_a_person_does_on_it() {
    if !has_browser() {
        return;
    }
    let world = Troubled::start(&[]);
    page_with_both_faults(&world);
    let load = world.program.load(Duration::from_millis(20));
    let url = format!("http://{}/", world.program.admin());
    let found = run("live.cjs", &[&url]);
    load.finish();
    let expected = json!({"live": "live", "is_open": true, "is_focused": true, "complaints": []});
    assert_eq!(found, expected);
}

#[test]
fn with_the_token_the_cache_is_flushed_and_the_log_level_set() {
    if !has_browser() {
        return;
    }
    let token = token_file();
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let program = Program::serve(
        &authority,
        &upstream.written(),
        &[("DOTGATE_ADMIN_TOKEN_FILE", token.path().to_str().unwrap())],
    );
    for name in ["a.test", "b.a.test", "c.test"] {
        program.udp().ask(name).assert_right();
    }
    let url = format!("http://{}/", program.admin());
    let found = run("act.cjs", &[&url, TOKEN]);
    let said = found["said"].as_array().unwrap();
    assert!(
        said[0].as_str().unwrap().contains("Authorization: Bearer"),
        "{found}"
    );
    assert_eq!(said[1], "Flushed from the cache: 1.");
    assert_eq!(said[2], "Flushed from the cache: 1.");
    assert!(
        said[3].as_str().unwrap().contains("it is not a DNS name"),
        "{found}"
    );
    assert_eq!(said[4], "Flushed from the cache: 1.");
    assert_eq!(said[5], "The log level is debug now.");
    program.wait_for_line("log level was changed");
    assert_eq!(found["address"], url);
    // The browser reports responses with a status of 400 or more.
    assert_eq!(found["complaints"].as_array().unwrap().len(), 2, "{found}");
}

#[test]
fn with_the_token_a_portal_window_is_opened_and_closed_where_the_settings_permit_it() {
    if !has_browser() {
        return;
    }
    let token = token_file();
    let authority = TestAuthority::new().unwrap();
    // It never answers, so that nothing but the button closes the window.
    let upstream = Upstream::start_deaf(&authority);
    let program = Program::serve(
        &authority,
        &upstream.written(),
        &[
            ("DOTGATE_ADMIN_TOKEN_FILE", token.path().to_str().unwrap()),
            ("DOTGATE_DNS_PORTAL", "on"),
        ],
    );
    let url = format!("http://{}/", program.admin());
    let found = run("act.cjs", &[&url, TOKEN, "192.0.2.53"]);
    let said = found["said"].as_array().unwrap();
    let said: Vec<&str> = said.iter().map(|it| it.as_str().unwrap()).collect();
    let [.., refused, opened, closed] = said[..] else {
        panic!("{found}");
    };
    assert!(
        refused.contains("the resolver of the network is not known"),
        "{found}"
    );
    assert!(
        opened.starts_with("The portal window is open for 4"),
        "{found}"
    );
    assert!(
        opened.ends_with(" s: all names go to 192.0.2.53:53, not encrypted."),
        "{found}"
    );
    assert_eq!(closed, "No portal window is open.");
    let line = program.wait_for_line("portal window opened");
    assert!(line.contains("seconds=420"), "{line}");
    let line = program.wait_for_line("portal window closed");
    assert!(line.contains("reason=\"command\""), "{line}");
}

#[test]
fn with_the_token_queries_are_seen_as_they_end_and_a_name_is_nothing_but_text() {
    if !has_browser() {
        return;
    }
    let token = token_file();
    let world = Troubled::start_with_routes(&[
        ("DOTGATE_ADMIN_TOKEN_FILE", token.path().to_str().unwrap()),
        ("DOTGATE_ADMIN_QUERIES", "true"),
    ]);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).unwrap();
    let url = format!("http://{}/", world.program.admin());
    let axe = axe();
    let arguments = [&url, TOKEN, folder.to_str().unwrap(), axe.to_str().unwrap()];
    let load = world.program.load(Duration::from_millis(200));
    let found = std::thread::scope(|scope| {
        let looking = scope.spawn(|| run("tail.cjs", &arguments));
        let mut client = world.program.udp();
        while !looking.is_finished() {
            for name in [HOSTILE, "www.refusing.test", "www.example.test"] {
                client.send(name);
            }
            client.receive_all();
        }
        looking.join().unwrap()
    });
    load.finish();
    for (view, found) in found.as_object().unwrap() {
        assert_eq!(found["violations"], json!([]), "{view}");
        assert_eq!(found["complaints"], json!([]), "{view}");
        assert_eq!(
            (&found["overflow"], &found["images"]),
            (&json!(0), &json!(0)),
            "{view}"
        );
        let text = found["text"].as_str().unwrap();
        assert!(text.contains(HOSTILE_SHOWN), "{view}: {text}");
        assert!(text.contains("127.0.0.1"), "{view}: {text}");
        let said = found["said"].as_array().unwrap();
        assert_eq!(said[0], "Queries are shown as they end.");
        assert!(
            said[2].as_str().unwrap().contains("the filter is invalid"),
            "{found}"
        );
    }
}
