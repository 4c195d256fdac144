//! With three upstreams, of which one is frozen, one refuses TLS and one is healthy, each of the four views says which is
//! which: the page, `dotgate top`, the query log, and the flight recorder with `dotgate why`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::world::http::ask;
use crate::world::program::Program;
use crate::world::troubled::Troubled;
use crate::world::wait::until;

/// What a view says of one upstream: text that follows its name.
type Said = String;

/// What a view is expected to say, by the part of the name that only this upstream has.
struct Faults {
    frozen: &'static str,
    refusing: &'static str,
    healthy: &'static str,
}

impl Faults {
    /// Whether `of` finds these words, and not those of another upstream, for each.
    fn are_named(&self, of: impl Fn(&str) -> Option<Said>) -> bool {
        let expected = [
            ("#frozen.test", self.frozen),
            ("#refusing.test", self.refusing),
            ("#upstream.test", self.healthy),
        ];
        expected.iter().all(|(upstream, words)| {
            let Some(said) = of(upstream) else {
                return false;
            };
            let others = expected.iter().filter(|(other, _)| other != upstream);
            let mut others = others.map(|(_, words)| *words);
            said.contains(words) && !others.any(|other| said.contains(other))
        })
    }
}

/// The part of the page that is about an upstream.
fn card(program: &Program, upstream: &str) -> Option<Said> {
    let admin = program.admin();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {admin}\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
    );
    let page = ask(admin, &request).body;
    let mut cards = page.split("<article>").skip(1);
    let card = cards.find(|card| card.contains(&format!("{upstream}</h3>")))?;
    card.split("</article>").next().map(str::to_owned)
}

/// What `dotgate top` says of an upstream: its line, and the next one if that is about its last error.
fn row(program: &Program, upstream: &str) -> Option<Said> {
    let (status, text) = program.run(&["top", "--once"]);
    assert_eq!(status, Some(0), "{text}");
    // The lines above, which are about the whole instance, are indented.
    let is_own = |line: &&str| line.contains(upstream) && !line.starts_with(' ');
    let mut lines = text.lines().skip_while(|line| !is_own(line));
    let own = lines.next()?;
    let trouble = lines.next().filter(|line| line.starts_with(' '));
    Some(format!("{own}\n{}", trouble.unwrap_or_default()))
}

/// What the query log says of the queries that an upstream was asked.
fn logged(path: &Path, upstream: &str) -> Option<Said> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        ["name", "upstream", "outcome", "reason"]
            .map(|member| line[member].as_str().unwrap_or("-").to_owned())
            .join(" ")
    });
    let own: Vec<String> = lines.filter(|line| line.contains(upstream)).collect();
    (!own.is_empty()).then(|| own.join("\n"))
}

/// What the flight recorder says of an upstream.
fn story(program: &Program, upstream: &str) -> Option<Said> {
    let (status, story) = program.run(&["why"]);
    assert_eq!(status, Some(0), "{story}");
    let mut parts = story.split("\n\n");
    parts
        .find(|part| part.lines().next().is_some_and(|it| it.contains(upstream)))
        .map(str::to_owned)
}

#[test]
fn each_view_names_the_upstream_that_is_frozen_and_the_one_that_refuses_tls() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("queries.log");
    let world = Troubled::start_with_routes(&[
        ("DOTGATE_QUERY_LOG", log.to_str().unwrap()),
        ("DOTGATE_QUERY_LOG_FORMAT", "json"),
        // Longer than a handshake may take: the reason of a query is then that of its upstream.
        ("DOTGATE_QUERY_DEADLINE", "8s"),
    ]);
    let program = &world.program;
    let ask_all = || {
        for name in ["a.frozen.test", "a.refusing.test", "a.other.test"] {
            program.udp().ask(name);
        }
    };
    let words = Faults {
        frozen: "handshake timed out",
        refusing: "closed in the handshake",
        healthy: "healthy",
    };
    until("the page says it", || {
        ask_all();
        words.are_named(|upstream| card(program, upstream))
    });
    until("dotgate top says it", || {
        words.are_named(|upstream| row(program, upstream))
    });
    until("dotgate why says it", || {
        words.are_named(|upstream| story(program, upstream))
    });
    let reasons = Faults {
        frozen: "a.frozen.test. 127.",
        refusing: "a.refusing.test. 127.",
        healthy: "a.other.test. 127.",
    };
    until("the query log names the upstreams", || {
        ask_all();
        reasons.are_named(|upstream| logged(&log, upstream))
    });
    let reasons = Faults {
        frozen: "tls_timed_out",
        refusing: "tls_closed",
        healthy: "answered",
    };
    until("the query log says why", || {
        ask_all();
        reasons.are_named(|upstream| logged(&log, upstream))
    });
}
