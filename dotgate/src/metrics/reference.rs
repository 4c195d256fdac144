//! `docs/metrics.md`, made from the table.

use std::fmt::Write as _;

use dotgate_core::{BUCKETS_MICROS, WAITED, limits};

use super::encoder::seconds;
use super::table::{Kind, Label, Metric, Values, table};

/// Returns the page. It names every metric, its labels and their values, and what it tells.
pub fn reference_page() -> String {
    let table = table();
    let mut page = String::from(HEAD);
    push_bound(&mut page, &table);
    page +=
        "\n## Metrics\n\n| metric | type | labels | description | use |\n|---|---|---|---|---|\n";
    for metric in &table {
        push_row(&mut page, metric);
    }
    page += "\n## Labels\n";
    for label in labels_of(&table) {
        push_label(&mut page, label);
    }
    page
}

const HEAD: &str = "# Metrics\n\n\
    <!-- Made by `dotgate check --print metrics.md` from dotgate/src/metrics/families.rs. -->\n\n\
    dotgate serves `/metrics` at the admin endpoint (`DOTGATE_ADMIN_LISTEN`), in OpenMetrics 1.0 for scrapers that \
    request\nit and in the Prometheus text format 0.0.4 for all others. Counters start at 0 with the process. A metric \
    without a\nvalue is absent: a certificate before the first handshake, `process_*` on systems without `/proc`, \
    drops where the\nkernel does not report them.\n\n\
    No label contains a query name or a client address. Responses that are sent immediately (from the cache, for a \
    local\nname, or refused) have no duration and are counted only in `dotgate_queries_total`. To compute a share of all \
    queries,\ncount these as the fastest. The share of queries answered within 25 ms is:\n\n\
    ```promql\n\
    (sum(rate(dotgate_query_duration_seconds_bucket{le=\"0.025\"}[5m]))\n\
    \x20 + sum(rate(dotgate_queries_total{outcome=~\"answered|cached|stale|cached_failure|local|failed\"}[5m]))\n\
    \x20 - sum(rate(dotgate_query_duration_seconds_count[5m])))\n\
    / sum(rate(dotgate_queries_total{outcome=~\"answered|cached|stale|cached_failure|local|failed\"}[5m]))\n\
    ```\n\n";

fn push_bound(page: &mut String, table: &[Metric]) {
    let with = |groups: usize, upstreams: usize| -> usize {
        let of = |metric: &Metric| {
            let labels = metric.labels.iter();
            labels.fold(metric.most_series(), |series, label| match label.values {
                Values::Groups => series / limits::GROUPS * groups,
                Values::Upstreams => series / limits::UPSTREAMS * upstreams,
                Values::Closed(_) | Values::Waited | Values::Text => series,
            })
        };
        table.iter().map(of).sum()
    };
    let bounds: Vec<String> = BUCKETS_MICROS
        .iter()
        .map(|micros| seconds(*micros))
        .collect();
    // Writing to a String cannot fail.
    write!(
        page,
        "The number of time series is bounded: {} plus {} per upstream and {} per group of upstreams.\n\
         There are at most {} upstreams and {} groups. The histogram buckets are {} s.\n",
        with(0, 0),
        with(0, 1) - with(0, 0),
        with(1, 0) - with(0, 0),
        limits::UPSTREAMS,
        limits::GROUPS,
        bounds.join(", "),
    )
    .unwrap_or_default();
}

fn push_row(page: &mut String, metric: &Metric) {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        Kind::Info => "info",
    };
    let labels: Vec<String> = metric
        .labels
        .iter()
        .map(|label| format!("`{}`", label.name))
        .collect();
    writeln!(
        page,
        "| `{}` | {kind} | {} | {} | {} |",
        metric.sample_name(),
        labels.join(" "),
        metric.help,
        metric.tells,
    )
    .unwrap_or_default();
}

/// Every label once: two of the same name with other values stand apart.
fn labels_of(table: &[Metric]) -> Vec<(Label, Vec<String>)> {
    let mut labels: Vec<(Label, Vec<String>)> = Vec::new();
    for metric in table {
        for label in metric.labels {
            let is_same = |known: &Label| {
                known.name == label.name && words(known.values) == words(label.values)
            };
            match labels.iter_mut().find(|(known, _)| is_same(known)) {
                Some((_, metrics)) => metrics.push(metric.sample_name()),
                None => labels.push((*label, vec![metric.sample_name()])),
            }
        }
    }
    labels
}

fn words(values: Values) -> Vec<&'static str> {
    match values {
        Values::Closed(values) => values.iter().map(|(word, _)| *word).collect(),
        Values::Waited => WAITED.iter().map(|outcome| outcome.label()).collect(),
        Values::Groups | Values::Upstreams | Values::Text => Vec::new(),
    }
}

fn push_label(page: &mut String, (label, metrics): (Label, Vec<String>)) {
    let metrics: Vec<String> = metrics.iter().map(|name| format!("`{name}`")).collect();
    writeln!(page, "\n### `{}` of {}\n", label.name, metrics.join(", ")).unwrap_or_default();
    match label.values {
        Values::Closed(values) => {
            *page += "| value | meaning |\n|---|---|\n";
            for (word, about) in values {
                writeln!(page, "| `{word}` | {} |", about.trim_start()).unwrap_or_default();
            }
        }
        Values::Waited => {
            let all = words(Values::Waited);
            let all: Vec<String> = all.iter().map(|word| format!("`{word}`")).collect();
            writeln!(
                page,
                "{}, as above: the outcomes of queries that waited.",
                all.join(", ")
            )
            .unwrap_or_default();
        }
        Values::Groups => {
            *page += "A group of upstreams: `default`, or the first suffix of a route.\n";
        }
        Values::Upstreams => {
            *page += "A configured upstream, written as in the log: `9.9.9.9@853#dns.quad9.net`.\n";
        }
        Values::Text => *page += "Fixed at build time.\n",
    }
}
