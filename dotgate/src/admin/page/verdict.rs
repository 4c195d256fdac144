//! One sentence that says how this instance is, and what needs attention.

use dotgate_core::GroupSettings;
use maud::{Markup, html};

use super::numbers::Percent;
use super::view::View;
use crate::running::Band;

/// Days before the end of a certificate from which on that is said.
const CERTIFICATE_DAYS: i64 = 14;

/// The part of failed queries that is worth a word, and the one that is serious.
const SOME_FAILED: f64 = 0.005;
const MANY_FAILED: f64 = 0.05;

/// How serious it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Level {
    #[default]
    Good,
    Warning,
    Failing,
}

impl Level {
    pub(super) fn word(self) -> &'static str {
        match self {
            Level::Good => "OK",
            Level::Warning => "Attention",
            Level::Failing => "Failing",
        }
    }

    /// Not the color alone says it.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Level::Good => "✓",
            Level::Warning => "!",
            Level::Failing => "✕",
        }
    }

    pub(super) fn class(self) -> &'static str {
        match self {
            Level::Good => "good",
            Level::Warning => "warning",
            Level::Failing => "failing",
        }
    }
}

/// How the instance is.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Verdict {
    pub(super) level: Level,
    pub(super) sentence: String,
    pub(super) problems: Vec<String>,
}

impl Verdict {
    pub(super) fn of(view: &View) -> Verdict {
        let problems = problems(view);
        let (level, sentence) = sentence(view, !problems.is_empty());
        Verdict {
            level,
            sentence,
            problems,
        }
    }
}

fn sentence(view: &View, has_problems: bool) -> (Level, String) {
    let known = view.upstreams.len();
    let down = view.upstreams.iter().filter(|it| it.state == "down");
    let down = down.count();
    let is_default_down = view
        .groups
        .iter()
        .any(|it| it.group == GroupSettings::DEFAULT_LABEL && it.state == "down");
    let failed = failed_part(view);
    let serving = "dotgate answers queries";
    if view.ready.status == "not ready" {
        let text = "This instance is not ready for queries.".to_owned();
        return (Level::Failing, text);
    }
    if is_default_down {
        let text = match known {
            1 => "Queries fail: the upstream does not respond.".to_owned(),
            _ => "Queries fail: no upstream responds.".to_owned(),
        };
        return (Level::Failing, text);
    }
    if let Some(part) = failed.filter(|part| *part >= MANY_FAILED) {
        let text = format!(
            "{} of the queries of the last five minutes failed.",
            Percent(Some(part))
        );
        return (Level::Failing, text);
    }
    let group_down = view.groups.iter().find(|it| it.state == "down");
    if let Some(group) = group_down {
        let text = format!(
            "{serving}, except for names of {}: its upstreams do not respond.",
            group.group
        );
        return (Level::Warning, text);
    }
    match down {
        0 if has_problems => (
            Level::Warning,
            format!("{serving}, but something needs attention."),
        ),
        0 if view.traffic.queries == 0 => (
            Level::Good,
            "dotgate is ready; no query has come yet.".to_owned(),
        ),
        0 => (
            Level::Good,
            format!("{serving}, and no upstream has a problem."),
        ),
        1 => (
            Level::Warning,
            format!("{serving}, but one of {known} upstreams does not respond."),
        ),
        down => (
            Level::Warning,
            format!("{serving}, but {down} of {known} upstreams do not respond."),
        ),
    }
}

/// The part of the queries of the last five minutes that failed; none if there were none.
fn failed_part(view: &View) -> Option<f64> {
    let points = view.recent.iter().map(|aged| &aged.point);
    let (mut failed, mut all) = (0, 0);
    for point in points {
        failed += u64::from(point.count(Band::Failed));
        all += point.queries();
    }
    (all > 0).then(|| failed as f64 / all as f64)
}

fn problems(view: &View) -> Vec<String> {
    let mut problems = Vec::new();
    // What they say of upstreams is said below.
    let is_general = |reason: &&String| !reason.contains("is healthy: ");
    problems.extend(view.ready.reasons.iter().filter(is_general).cloned());
    for upstream in view.upstreams.iter().filter(|it| it.state == "down") {
        let error = upstream.last_error.as_deref().unwrap_or("no response");
        problems.push(format!("{} is down: {error}", upstream.upstream));
    }
    if let Some(part) = failed_part(view).filter(|part| *part >= SOME_FAILED) {
        let part = Percent(Some(part));
        problems.push(format!(
            "{part} of the queries of the last five minutes failed"
        ));
    }
    let of_clients = view
        .certificates
        .iter()
        .map(|it| (it.file.as_str(), it.days_left));
    let of_upstreams = view.upstreams.iter().filter_map(|it| {
        let days = it.certificate_days_left?;
        Some((it.upstream.as_str(), days))
    });
    for (owner, days) in of_clients.chain(of_upstreams) {
        match days {
            ..0 => problems.push(format!("the certificate of {owner} has expired")),
            0..CERTIFICATE_DAYS => {
                problems.push(format!("the certificate of {owner} expires in {days} days"));
            }
            _ => {}
        }
    }
    for upstream in &view.upstreams {
        if let Some(pin) = &upstream.pin_mismatch {
            problems.push(format!(
                "{}: no pin-report matches {pin}",
                upstream.upstream
            ));
        }
    }
    if view.token == "broken" {
        problems.push("the file of the admin token cannot be used; the log says why".to_owned());
    }
    problems.extend(view.reloads.iter().cloned());
    problems
}

pub(super) fn markup(view: &View) -> Markup {
    let Verdict {
        level,
        sentence,
        problems,
    } = &view.verdict;
    html! {
        h2 id="verdict-title" .visually-hidden { "Verdict" }
        p role="status" class={ "verdict " (level.class()) } {
            span .symbol aria-hidden="true" { (level.symbol()) }
            span {
                strong { (level.word()) ": " }
                (sentence)
            }
        }
        @if !problems.is_empty() {
            ul .problems {
                @for problem in problems { li { (problem) } }
            }
        }
    }
}
