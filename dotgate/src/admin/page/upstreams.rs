//! Each upstream with its state, its figures and its last failures in words; then the groups.

use maud::{Markup, html};

use super::numbers::{Ago, Grouped, Milliseconds};
use super::verdict::Level;
use super::view::View;
use crate::admin::failures::words::{what_failed, what_was_done};
use crate::admin::failures::{IncidentReport, UpstreamFailures};
use crate::admin::groups::GroupReport;
use crate::admin::upstreams::UpstreamReport;
use crate::admin::volatile::RoutesReport;

/// Failures and recoveries that are listed of each upstream.
const SHOWN: usize = 10;

pub(super) fn markup(view: &View) -> Markup {
    html! {
        h2 id="upstreams-title" { "Upstreams" }
        div .cards {
            @for upstream in &view.upstreams {
                @let failures = view.failures.upstreams.iter().find(|it| it.upstream == upstream.upstream);
                (card(upstream, failures))
            }
        }
        @if view.groups.len() > 1 { (groups(&view.groups)) }
        @if !view.routes.owners.is_empty() { (routes(&view.routes)) }
    }
}

fn level(state: &str) -> Level {
    match state {
        "healthy" | "unknown" | "up" => Level::Good,
        "suspect" => Level::Warning,
        _ => Level::Failing,
    }
}

fn state(word: &str) -> Markup {
    let level = level(word);
    let symbol = if word == "unknown" {
        "?"
    } else {
        level.symbol()
    };
    let words = if word == "unknown" {
        "not used yet"
    } else {
        word
    };
    html! {
        span class={ "state " (level.class()) } {
            span .symbol aria-hidden="true" { (symbol) }
            (words)
        }
    }
}

fn card(upstream: &UpstreamReport, failures: Option<&UpstreamFailures>) -> Markup {
    let since = upstream.state_seconds;
    let since = since.map(|seconds| {
        let ago = Ago(seconds).to_string();
        format!("for {}", ago.trim_end_matches(" ago"))
    });
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let figures = [
        (
            "Round trip",
            or_none(
                upstream
                    .round_trip_ms
                    .map(|time| Milliseconds(time).to_string()),
            ),
        ),
        ("Sessions", upstream.sessions.to_string()),
        (
            "Last response",
            or_none(
                upstream
                    .last_response_seconds
                    .map(|ago| Ago(ago).to_string()),
            ),
        ),
        (
            "Certificate",
            or_none(
                upstream
                    .certificate_days_left
                    .map(|days| format!("{days} days left")),
            ),
        ),
        ("Groups", upstream.groups.join(", ")),
    ];
    html! {
        article {
            h3 { (upstream.upstream) }
            p { (state(&upstream.state)) @if let Some(since) = since { " " (since) } }
            dl {
                @for (title, value) in figures { div { dt { (title) } dd { (value) } } }
            }
            @if let Some(failures) = failures { (trouble(failures)) }
        }
    }
}

/// The last failure in words, and a list of those before it.
fn trouble(failures: &UpstreamFailures) -> Markup {
    let last = failures.incidents.iter().rev();
    let last = last.clone().find(|it| it.failure.is_some());
    let Some(last) = last else {
        return html! { p .note { "No failure since the start." } };
    };
    html! {
        p { strong { "Last failure: " } (incident(last)) "." }
        details {
            summary { "The last failures and recoveries" }
            ol {
                @for it in failures.incidents.iter().rev().take(SHOWN) { li { (incident(it)) } }
            }
        }
    }
}

fn incident(incident: &IncidentReport) -> String {
    let when = Ago(incident.last_seconds);
    match &incident.failure {
        Some(failure) => format!(
            "{when}, {}; {}",
            what_failed(failure, incident.count),
            what_was_done(&failure.next)
        ),
        None => format!("{when}, it responded again"),
    }
}

fn groups(groups: &[GroupReport]) -> Markup {
    html! {
        table {
            caption { "Groups" }
            thead {
                tr {
                    th scope="col" { "Group" }
                    th scope="col" { "State" }
                    th scope="col" { "Strategy" }
                    th scope="col" .number { "Queries" }
                    th scope="col" .number { "Failed" }
                }
            }
            tbody {
                @for group in groups {
                    tr {
                        th scope="row" { (group.group) }
                        td { (state(&group.state)) }
                        td { (group.strategy) }
                        td .number { (Grouped(group.queries)) }
                        td .number { (Grouped(group.failed)) }
                    }
                }
            }
        }
    }
}

/// Routes that programs have set.
fn routes(report: &RoutesReport) -> Markup {
    html! {
        table {
            caption { "Routes that programs have set" }
            thead {
                tr { th scope="col" { "Set by" } th scope="col" { "Routes" } th scope="col" { "They hold" } }
            }
            tbody {
                @for owned in &report.owners {
                    tr {
                        th scope="row" { (owned.owner) }
                        td { (owned.routes) }
                        td { (owned.state()) }
                    }
                }
            }
        }
    }
}
