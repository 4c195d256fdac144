//! Queries as they end: at `/api/v1/queries`, with `dotgate tail`, and on the page, with names that mean harm.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use dotgate_testbed::certificates::TestAuthority;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::world::http::{Response, ask, connect, get, metric};
use crate::world::program::{Program, command};
use crate::world::upstream::Upstream;
use crate::world::wait::until;

pub(crate) const TOKEN: &str = "a-token-that-nobody-guesses";

/// The text of HTML, of escapes of terminals, and of characters that turn the direction of text, as a query has it.
pub(crate) const HOSTILE: &str =
    r"<img\ src=x\ onerror=alert(1)>.\027]0;owned\007.\226\128\174gro.hostile.test";

/// What is shown of it.
pub(crate) const HOSTILE_SHOWN: &str =
    r"<img\032src=x\032onerror=alert\(1\)>.\027]0\;owned\007.\226\128\174gro.hostile.test.";

pub(crate) fn token_file() -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    writeln!(file, "{TOKEN}").unwrap();
    file
}

/// A program that shows queries, in front of an upstream.
struct Shown {
    token: NamedTempFile,
    _upstream: Upstream,
    program: Program,
}

impl Shown {
    fn start(more: &[(&str, &str)]) -> Shown {
        let authority = TestAuthority::new().unwrap();
        let upstream = Upstream::start(&authority);
        let token = token_file();
        let own = [
            ("DOTGATE_ADMIN_TOKEN_FILE", token.path().to_str().unwrap()),
            ("DOTGATE_ADMIN_QUERIES", "true"),
        ];
        let settings: Vec<_> = own.iter().chain(more).copied().collect();
        let program = Program::serve(&authority, &upstream.written(), &settings);
        Shown {
            token,
            _upstream: upstream,
            program,
        }
    }

    fn request(&self, filter: &str) -> String {
        let admin = self.program.admin();
        format!(
            "GET /api/v1/queries?filter={filter} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        )
    }

    /// A stream, once it has begun.
    fn stream(&self, filter: &str) -> Stream {
        let mut stream = connect(self.program.admin());
        stream.write_all(self.request(filter).as_bytes()).unwrap();
        let mut stream = Stream(BufReader::new(stream));
        stream.line_with("text/event-stream");
        stream
    }

    fn refusal(&self, filter: &str) -> Response {
        let request = self
            .request(filter)
            .replace("1.1\r\n", "1.1\r\nConnection: close\r\n");
        ask(self.program.admin(), &request)
    }

    /// Starts `dotgate tail`.
    fn tail(&self, arguments: &[&str]) -> Tail {
        let token = self.token.path().to_str().unwrap();
        let mut tail = command(&[
            ("DOTGATE_ADMIN_TOKEN_FILE", token),
            ("DOTGATE_ADMIN_LISTEN", &self.program.admin().to_string()),
        ]);
        tail.arg("tail").args(arguments);
        let mut child = tail.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Tail { child, lines }
    }

    fn readers(&self) -> f64 {
        metric(self.program.admin(), "dotgate_query_readers")
    }
}

struct Stream(BufReader<TcpStream>);

impl Stream {
    /// The next line that begins so, or has it in its header; without chunk sizes.
    fn line_with(&mut self, words: &str) -> String {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            let length = self.0.read_line(&mut line).unwrap();
            assert!(length > 0, "the stream ended before {words}");
        }
        line
    }

    fn query(&mut self) -> Value {
        let line = self.line_with("data: {\"v\"");
        serde_json::from_str(line.trim_start_matches("data: ")).unwrap()
    }

    fn wait_for_its_end(mut self) {
        drop(self.0.read_to_end(&mut Vec::new()));
    }
}

struct Tail {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Tail {
    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "its end");
        line
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn who_has_the_token_sees_queries_that_pass_the_filter() {
    let shown = Shown::start(&[]);
    let mut all = shown.stream("");
    let mut one = shown.stream("suffix%3Dwanted.test");
    shown.program.udp().ask("a.other.test").assert_right();
    shown.program.tcp().ask("b.wanted.test").assert_right();
    // Two workers may have served them, whose records are read in turn.
    let mut queries = [all.query(), all.query()];
    queries.sort_by_key(|query| query["name"].to_string());
    assert_eq!(queries[0]["name"], "a.other.test.");
    assert_eq!(queries[0]["client"], "127.0.0.1");
    assert_eq!(queries[1]["name"], "b.wanted.test.");
    assert_eq!(queries[1]["transport"], "tcp");
    assert_eq!(one.query()["name"], "b.wanted.test.");
    assert_eq!(shown.readers(), 2.0);
    drop((all, one));
    until("nobody reads", || shown.readers() == 0.0);
}

#[test]
fn nobody_else_sees_a_query() {
    let shown = Shown::start(&[
        ("DOTGATE_QUERY_LOG_CLIENTS", "prefix"),
        ("DOTGATE_QUERY_LOG_NAMES", "domain"),
    ]);
    let admin = shown.program.admin();
    assert_eq!(get(admin, "/api/v1/queries").status, 401);
    let request = shown
        .request("")
        .replace(TOKEN, "a-token-that-somebody-guessed");
    let request = request.replace("1.1\r\n", "1.1\r\nConnection: close\r\n");
    assert_eq!(ask(admin, &request).status, 401);
    // What the settings hide is not shown, and no filter finds it out.
    let mut stream = shown.stream("");
    shown.program.udp().ask("private.a.test").assert_right();
    let query = stream.query();
    assert_eq!(
        (&query["name"], &query["client"]),
        (&"a.test.".into(), &"127.0.0.0/24".into())
    );
    for (filter, words) in [
        ("suffix=private.a.test", "DOTGATE_QUERY_LOG_NAMES hides"),
        ("client=127.0.0.1/32", "DOTGATE_QUERY_LOG_CLIENTS hides"),
        ("slow", "slow"),
        ("%zz", "percent-encoded"),
    ] {
        let refusal = shown.refusal(filter);
        assert_eq!(refusal.status, 400, "{refusal:?}");
        assert!(refusal.body.contains(words), "{refusal:?}");
    }
}

#[test]
fn another_token_ends_every_stream_and_so_does_the_setting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dotgate.toml");
    std::fs::write(&file, "[admin]\nqueries = true\n").unwrap();
    let token = token_file();
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let program = Program::serve(
        &authority,
        &upstream.written(),
        &[
            ("DOTGATE_CONFIG_FILE", file.to_str().unwrap()),
            ("DOTGATE_CONFIG_WATCH", "false"),
            ("DOTGATE_ADMIN_TOKEN_FILE", token.path().to_str().unwrap()),
        ],
    );
    let shown = Shown {
        token,
        _upstream: upstream,
        program,
    };
    let stream = shown.stream("");
    std::fs::write(shown.token.path(), "another-token-than-before").unwrap();
    shown.program.signal("HUP");
    stream.wait_for_its_end();
    std::fs::write(shown.token.path(), TOKEN).unwrap();
    shown.program.signal("HUP");
    until("the token of before is right again", || {
        shown.program.new_lines();
        get_with_token(&shown, "/api/v1/cache/a.test").status == 200
    });
    let stream = shown.stream("");
    std::fs::write(&file, "[admin]\nqueries = false\n").unwrap();
    shown.program.signal("HUP");
    stream.wait_for_its_end();
    let refusal = shown.refusal("");
    assert_eq!(refusal.status, 403, "{refusal:?}");
    assert!(
        refusal.body.contains("DOTGATE_ADMIN_QUERIES"),
        "{refusal:?}"
    );
}

fn get_with_token(shown: &Shown, path: &str) -> Response {
    let request = shown.request("").replace("/api/v1/queries?filter=", path);
    ask(
        shown.program.admin(),
        &request.replace("1.1\r\n", "1.1\r\nConnection: close\r\n"),
    )
}

#[test]
fn readers_that_do_not_read_stop_nobody_and_their_number_is_bounded() {
    const READERS: usize = 8;
    let shown = Shown::start(&[]);
    let mut deaf: Vec<Stream> = (0..READERS).map(|_| shown.stream("")).collect();
    let refusal = shown.refusal("");
    assert_eq!(refusal.status, 503, "{refusal:?}");
    let mut client = shown.program.udp();
    for round in 0..20 {
        let names = (0..100).map(|number| format!("n{number}.r{round}.test"));
        client.send_all(names);
        assert!(client.receive_all().iter().all(|it| it.is_right()));
    }
    assert_eq!(get(shown.program.admin(), "/livez").status, 200);
    deaf.pop();
    until("there is room for another one", || shown.readers() == 7.0);
    let mut stream = shown.stream("");
    // Connections without the token use none of the streams.
    let crowd: Vec<TcpStream> = (0..200).map(|_| connect(shown.program.admin())).collect();
    assert_eq!(get(shown.program.admin(), "/livez").status, 200);
    drop(crowd);
    shown.program.udp().ask("after.test").assert_right();
    assert_eq!(stream.query()["name"], "after.test.");
}

#[test]
fn a_terminal_shows_queries_until_it_is_ended() {
    let shown = Shown::start(&[]);
    let mut text = shown.tail(&["--filter", "suffix=test"]);
    let mut json = shown.tail(&["--json"]);
    until("both read", || shown.readers() == 2.0);
    shown.program.udp().ask("one.test").assert_right();
    let line = text.line();
    let columns: Vec<&str> = line.split(' ').collect();
    assert_eq!(
        columns[1..7],
        ["127.0.0.1", "udp", "one.test.", "A", "NOERROR", "answered"],
        "{line}"
    );
    let query: Value = serde_json::from_str(&json.line()).unwrap();
    assert_eq!(query["name"], "one.test.");
    // Names that would be commands of a terminal are shown as what they are.
    shown.program.udp().send(HOSTILE);
    let line = text.line();
    assert!(line.contains(HOSTILE_SHOWN), "{line}");
    assert!(
        line.trim_end().chars().all(|it| matches!(it, ' '..='~')),
        "{line}"
    );
    assert_eq!(
        serde_json::from_str::<Value>(&json.line()).unwrap()["name"],
        HOSTILE_SHOWN
    );
    // Where the tests run in the background, a shell has made its children ignore SIGINT.
    crate::world::program::signal(&text.child, "TERM");
    until("it has ended", || text.child.try_wait().unwrap().is_some());
    let (status, said) = shown.program.run(&["tail", "--filter", "slow"]);
    assert_eq!(status, Some(2), "{said}");
    let (status, said) = shown.program.run(&["tail"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains("this needs `Authorization: Bearer`"),
        "{said}"
    );
}
