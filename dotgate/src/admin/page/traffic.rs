//! What clients asked and what became of it.

use dotgate_core::labels::{Limit, Outcome, Reason};
use maud::{Markup, html};

use super::chart;
use super::numbers::{Grouped, Milliseconds, Percent, Rate};
use super::view::{AgedPoint, View};
use crate::running::{Band, Period};

/// What "now" is.
const NOW_SECONDS: f64 = 10.0;

/// The word for a period in addresses.
pub(super) fn word(period: Period) -> &'static str {
    match period {
        Period::FiveMinutes => "minutes",
        Period::Hour => "hour",
        Period::Day => "day",
    }
}

fn title(period: Period) -> &'static str {
    match period {
        Period::FiveMinutes => "5 minutes",
        Period::Hour => "1 hour",
        Period::Day => "24 hours",
    }
}

fn name(band: Band) -> &'static str {
    match band {
        Band::Cache => "from the cache",
        Band::Upstream => "from upstreams",
        Band::Local => "local or blocked",
        Band::Refused => "refused",
        Band::Failed => "failed",
    }
}

/// What happened within some time.
#[derive(Clone, Copy, Default)]
struct Sum {
    seconds: f64,
    bands: [u64; Band::ALL.len()],
    /// The highest ones of any point.
    p50_ms: Option<f32>,
    p99_ms: Option<f32>,
}

impl Sum {
    fn of<'p>(points: impl Iterator<Item = &'p AgedPoint>) -> Sum {
        points.fold(Sum::default(), |mut sum, AgedPoint { point, .. }| {
            sum.seconds += f64::from(point.seconds);
            for (all, band) in sum.bands.iter_mut().zip(Band::ALL) {
                *all += u64::from(point.count(band));
            }
            // No time is less than any time.
            let higher = |one: Option<f32>, other: Option<f32>| match (one, other) {
                (Some(one), Some(other)) => Some(one.max(other)),
                (one, other) => one.or(other),
            };
            sum.p50_ms = higher(sum.p50_ms, point.p50_ms);
            sum.p99_ms = higher(sum.p99_ms, point.p99_ms);
            sum
        })
    }

    fn count(&self, band: Band) -> u64 {
        self.bands.get(band as usize).copied().unwrap_or_default()
    }

    fn queries(&self) -> u64 {
        self.bands.iter().sum()
    }

    fn rate(&self) -> f64 {
        if self.seconds > 0.0 {
            self.queries() as f64 / self.seconds
        } else {
            0.0
        }
    }

    fn hits(&self) -> Percent {
        let [hits, upstream, failed] =
            [Band::Cache, Band::Upstream, Band::Failed].map(|band| self.count(band));
        Percent::of(hits, hits + upstream + failed)
    }
}

fn milliseconds(time: Option<f32>) -> String {
    time.map_or("-".to_owned(), |time| {
        Milliseconds(f64::from(time)).to_string()
    })
}

/// The figures of this moment.
pub(super) fn now(view: &View) -> Markup {
    let is_now = |aged: &&AgedPoint| aged.ago < NOW_SECONDS;
    let sum = Sum::of(view.recent.iter().filter(is_now));
    let failed = Percent::of(sum.count(Band::Failed), sum.queries());
    let figures = [
        ("Queries per second", Rate(sum.rate()).to_string()),
        ("From the cache", sum.hits().to_string()),
        ("Half of the others within", milliseconds(sum.p50_ms)),
        ("99 % of the others within", milliseconds(sum.p99_ms)),
        ("Failed", failed.to_string()),
        (
            "Waiting for upstreams",
            Grouped(view.traffic.in_flight).to_string(),
        ),
    ];
    html! {
        h2 id="now-title" { "Now" }
        dl .figures {
            @for (title, value) in figures {
                div { dt { (title) } dd { (value) } }
            }
        }
        p .note {
            "Of the last ten seconds. Up " (view.uptime()) ", with " (Grouped(view.traffic.queries)) " queries; "
            (Grouped(view.traffic.tcp_connections)) " TCP connections of clients."
        }
    }
}

/// What happened in the period.
pub(super) fn history(view: &View) -> Markup {
    let length = view.period.length();
    let rates = view.points.iter().map(|aged| {
        let seconds = f64::from(aged.point.seconds.max(f32::EPSILON));
        aged.point.queries() as f64 / seconds
    });
    let top = chart::round_top(rates.fold(0.0, f64::max));
    let sum = Sum::of(view.points.iter());
    let of_queries = format!(
        "Queries per second in the last {}: {} on average, at most {} in the chart",
        title(view.period),
        Rate(sum.rate()),
        Rate(top)
    );
    let of_times = format!(
        "Response times of upstreams in the last {}: half of the queries within {}, 99 % within {}",
        title(view.period),
        milliseconds(sum.p50_ms),
        milliseconds(sum.p99_ms)
    );
    html! {
        h2 id="history-title" { "The last " (title(view.period)) }
        nav aria-label="Period" {
            @for period in Period::ALL {
                @let current = (period == view.period).then_some("page");
                a href={ "/?period=" (word(period)) } aria-current=[current] { (title(period)) }
            }
        }
        @if view.points.is_empty() {
            p .note { "There is nothing to show yet." }
        } @else {
            figure {
                figcaption { "Queries per second, up to " (Rate(top)) }
                (chart::bands(&view.points, length, top, &of_queries))
                (ends(view.period))
            }
            (table(view, &sum))
            figure .times {
                figcaption {
                    "Time until the response, where upstreams were asked: "
                    span .key.p50 { "half" } " and " span .key.p99 { "99 %" } " of them within"
                }
                div .scaled {
                    (chart::times(&view.points, length, &of_times))
                    @for label in ["1 s", "100 ms", "10 ms", "1 ms"] {
                        span .scale aria-hidden="true" { (label) }
                    }
                }
                (ends(view.period))
            }
        }
    }
}

fn ends(period: Period) -> Markup {
    html! {
        p .ends aria-hidden="true" { span { (title(period)) " ago" } span { "now" } }
    }
}

/// The figures of the charts, which are their legend, too.
fn table(view: &View, sum: &Sum) -> Markup {
    html! {
        table {
            caption .visually-hidden { "Queries in the last " (title(view.period)) }
            thead {
                tr { th scope="col" { "Queries" } th scope="col" .number { "Number" } th scope="col" .number { "Part" } }
            }
            tbody {
                @for band in Band::ALL {
                    tr {
                        th scope="row" { span class={ "key " (chart::class(band)) } {} (name(band)) }
                        td .number { (Grouped(sum.count(band))) }
                        td .number { (Percent::of(sum.count(band), sum.queries())) }
                    }
                }
            }
        }
    }
}

/// What is refused, and why.
pub(super) fn refused(view: &View) -> Markup {
    let refusals = [
        Outcome::Refused,
        Outcome::Prohibited,
        Outcome::Malformed,
        Outcome::Shed,
        Outcome::Blocked,
    ];
    let outcomes = refusals.map(|it| (about(Outcome::VALUES, it as usize), view.outcome(it)));
    let outcomes: Vec<_> = outcomes.into_iter().filter(|(_, it)| *it > 0).collect();
    let limits = view.limits.iter();
    let limits: Vec<_> = limits
        .map(|(limit, count)| (about(Limit::VALUES, *limit as usize), *count))
        .collect();
    let reasons = view.reasons.iter();
    let reasons: Vec<_> = reasons
        .map(|(reason, count)| (about(Reason::VALUES, *reason as usize), *count))
        .collect();
    let is_empty = outcomes.is_empty() && limits.is_empty() && reasons.is_empty();
    html! {
        h2 id="refused-title" { "Not answered, and why" }
        @if is_empty {
            p .note { "Since the start, no query was refused and none failed." }
        } @else {
            (counts("Refused or blocked since the start", &outcomes))
            (counts("Failed since the start", &reasons))
            (counts("Limits that were hit since the start", &limits))
        }
    }
}

/// What the value at this place stands for.
fn about(values: &[(&'static str, &'static str)], place: usize) -> &'static str {
    values.get(place).map_or("", |(_, about)| about.trim())
}

fn counts(title: &str, rows: &[(&str, u64)]) -> Markup {
    html! {
        @if !rows.is_empty() {
            table {
                caption { (title) }
                tbody {
                    @for (about, count) in rows {
                        tr { th scope="row" { (about) } td .number { (Grouped(*count)) } }
                    }
                }
            }
        }
    }
}
