//! The page `docs/faults.md`: fault, expected, seen; made from the scenarios, so that it cannot go stale.

use std::fmt::Write;

use super::words::{Line, Mistake};
use super::{Outcome, Scenario};

/// A fault that the engine cannot see: it needs a real system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Elsewhere {
    /// The injected fault.
    pub fault: String,
    /// Tests that show it: the file, from the root of the repository, and the name.
    pub shown_by: Vec<(String, String)>,
    /// Why it, or part of it, is not shown.
    pub not_shown: Option<String>,
}

impl Elsewhere {
    /// Reads the file that lists them: `fault: ...`, then `shown by: FILE NAME` and `not shown: why`.
    ///
    /// # Errors
    /// The first line that cannot be understood.
    pub fn read(file: &str, text: &str) -> Result<Vec<Elsewhere>, Mistake> {
        let mut all: Vec<Elsewhere> = Vec::new();
        for (number, text) in text.lines().enumerate() {
            let mut line = Line::new(file, number + 1, text);
            if line.peek().is_none_or(|word| word.starts_with(';')) {
                continue;
            }
            if line.takes("fault:") {
                all.push(Elsewhere {
                    fault: line.rest(),
                    shown_by: Vec::new(),
                    not_shown: None,
                });
                continue;
            }
            let Some(last) = all.last_mut() else {
                return Err(line.mistake("fault:"));
            };
            if line.takes("shown by:") {
                let file = line.word("a file")?.to_owned();
                last.shown_by
                    .push((file, line.word("the name of a test")?.to_owned()));
                line.end()?;
            } else if line.takes("not shown:") {
                last.not_shown = Some(line.rest());
            } else {
                return Err(line.mistake("fault:, shown by: or not shown:"));
            }
        }
        Ok(all)
    }
}

const HEAD: &str = "\
# Faults

Injected faults, the expected outcome and the observed outcome. This page is made by `cargo run -p dotgate-sim --example
faults` from the scenarios in `scenarios/`. A test fails if the page and the scenarios differ.

## In simulated time

The real engine runs on a simulated network. Each scenario runs with several random seeds, and the table shows the worst
result. *Lost*: no response, or one that is neither NOERROR nor NXDOMAIN. *Longest wait*: from a client's query to its
response. *Attempts*: queries sent to upstreams. *Connects*: connections started. *Handshakes*: connections that became
sessions. After each scenario, no state of its clients remains, and every response matched its question.

| injected fault | expected outcome | observed outcome |
|---|---|---|
";

const ELSEWHERE: &str = "
## On a real system

Faults that a simulation cannot show, and faults that are also tested with real sockets and real TLS.

| injected fault | test |
|---|---|
";

/// Makes the page.
pub fn table(scenarios: &[(Scenario, Vec<Outcome>)], elsewhere: &[Elsewhere]) -> String {
    let mut page = HEAD.to_owned();
    for (scenario, outcomes) in scenarios {
        let (expected, seen) = cells(outcomes);
        let Scenario { file, fault, .. } = scenario;
        put(
            &mut page,
            format_args!("| [{fault}](../scenarios/{file}) | {expected} | {seen} |\n"),
        );
    }
    page.push_str(ELSEWHERE);
    for Elsewhere {
        fault,
        shown_by,
        not_shown,
    } in elsewhere
    {
        let tests = shown_by.iter().map(|(file, test)| {
            let module = file.rsplit('/').next().unwrap_or(file);
            format!("[{module}](../{file}): `{test}`")
        });
        let not_shown = not_shown.iter().map(|why| format!("not tested: {why}"));
        let cell: Vec<String> = tests.chain(not_shown).collect();
        put(
            &mut page,
            format_args!("| {fault} | {} |\n", cell.join("<br>")),
        );
    }
    page
}

/// What was expected, and the worst that was seen, in the same order.
pub(crate) fn cells(outcomes: &[Outcome]) -> (String, String) {
    let (mut expected, mut seen) = (Vec::new(), Vec::new());
    let first = outcomes
        .first()
        .map_or(&[][..], |outcome| &outcome.findings);
    let mut phase = "";
    for (place, finding) in first.iter().enumerate() {
        if finding.phase != phase {
            phase = &finding.phase;
            expected.push(format!("*{phase}*"));
            seen.push(format!("*{phase}*"));
        }
        let all = outcomes
            .iter()
            .filter_map(|outcome| outcome.findings.get(place));
        let worst = all
            .map(|finding| finding.seen)
            .reduce(|one, other| finding.wanted.worse(one, other))
            .unwrap_or(finding.seen);
        let sign = finding.wanted.comparison.sign();
        expected.push(format!("{} {sign}{}", finding.words, finding.wanted.amount));
        seen.push(format!("{} {worst}", finding.words));
    }
    (expected.join("<br>"), seen.join("<br>"))
}

/// Text goes into memory, where there is always room.
fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    let written = page.write_fmt(text);
    debug_assert!(written.is_ok());
}
