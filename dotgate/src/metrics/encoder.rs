//! Writes metrics in the two formats that scrapers read: OpenMetrics 1.0 and the text format 0.0.4.
//!
//! They differ in the names of counters in `# TYPE`, in `# UNIT`, in how an info is typed, and in `# EOF`; sample
//! lines are the same, so a dashboard does not see which one was asked for. No library: prometheus-client writes
//! OpenMetrics alone and wants a registry, where this is one page over a closed table.

use std::fmt::{Display, Write as _};

use dotgate_core::{BUCKETS_MICROS, Distribution};

use super::table::{Kind, Metric};

/// How a page is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The Prometheus text format 0.0.4.
    Text,
}

impl Format {
    /// What the client prefers by its `Accept`; the text format where it does not ask for OpenMetrics.
    pub fn accepted(accept: &str) -> Format {
        let mut best = (Format::Text, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let parameters = |name: &str| {
                let mut named = range
                    .split(';')
                    .skip(1)
                    .filter_map(|part| part.split_once('='));
                named
                    .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.trim().trim_matches('"'))
            };
            let quality = parameters("q").map_or(Some(1.0), |text| text.parse::<f32>().ok());
            let Some(quality) = quality.filter(|quality| *quality > best.1) else {
                continue;
            };
            let is_open = kind.eq_ignore_ascii_case("application/openmetrics-text")
                && parameters("version").is_none_or(|version| version == "1.0.0");
            if is_open {
                best = (Format::OpenMetrics, quality);
            } else if kind.eq_ignore_ascii_case("text/plain") {
                best = (Format::Text, quality);
            }
        }
        best.0
    }

    /// The `Content-Type` of a page.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A page while it is written, metric by metric.
pub(super) struct Page {
    text: String,
    format: Format,
    /// The metric in hand.
    metric: Option<Metric>,
    /// Whether its first lines are written.
    is_headed: bool,
}

/// Values of a metric's labels, in the order of its row.
type Values<'v> = &'v [&'v str];

impl Page {
    pub(super) fn new(format: Format) -> Page {
        Page {
            text: String::new(),
            format,
            metric: None,
            is_headed: false,
        }
    }

    /// Begins a metric; its samples follow. One without samples is not on the page.
    pub(super) fn begin(&mut self, metric: Metric) {
        self.metric = Some(metric);
        self.is_headed = false;
    }

    fn head(&mut self, metric: &Metric) {
        if std::mem::replace(&mut self.is_headed, true) {
            return;
        }
        let (name, kind) = match (self.format, metric.kind) {
            (Format::OpenMetrics, Kind::Info) => {
                (metric.name.trim_end_matches("_info").to_owned(), "info")
            }
            (Format::Text, Kind::Counter) => (metric.sample_name(), "counter"),
            (Format::Text, Kind::Info) => (metric.name.clone(), "gauge"),
            (_, Kind::Counter) => (metric.name.clone(), "counter"),
            (_, Kind::Gauge) => (metric.name.clone(), "gauge"),
            (_, Kind::Histogram) => (metric.name.clone(), "histogram"),
        };
        self.line(format_args!("# TYPE {name} {kind}"));
        if let (Format::OpenMetrics, Some(unit)) = (self.format, metric.unit) {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
        let help = match self.format {
            Format::OpenMetrics => escaped(metric.help),
            Format::Text => metric.help.replace('\\', "\\\\").replace('\n', "\\n"),
        };
        self.line(format_args!("# HELP {name} {help}"));
    }

    /// One sample of a counter, gauge or info.
    pub(super) fn sample(&mut self, values: Values<'_>, value: impl Display) {
        self.with_metric(|page, metric| {
            let labels = labels(metric, values, None);
            page.line(format_args!("{}{labels} {value}", metric.sample_name()));
        });
    }

    /// All samples of one histogram.
    pub(super) fn histogram(&mut self, values: Values<'_>, distribution: &Distribution) {
        self.with_metric(|page, metric| {
            let name = &metric.name;
            let mut up_to = 0;
            for (place, count) in distribution.buckets.iter().enumerate() {
                up_to += count;
                let bound = BUCKETS_MICROS.get(place);
                let bound = bound.map_or("+Inf".to_owned(), |micros| seconds(*micros));
                let labels = labels(metric, values, Some(&bound));
                page.line(format_args!("{name}_bucket{labels} {up_to}"));
            }
            let labels = labels(metric, values, None);
            let sum = seconds(distribution.sum_micros);
            page.line(format_args!("{name}_sum{labels} {sum}"));
            page.line(format_args!("{name}_count{labels} {up_to}"));
        });
    }

    fn with_metric(&mut self, write: impl FnOnce(&mut Page, &Metric)) {
        if let Some(metric) = self.metric.take() {
            self.head(&metric);
            write(self, &metric);
            self.metric = Some(metric);
        }
    }

    /// The whole page.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text += "# EOF\n";
        }
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        self.text.write_fmt(line).unwrap_or_default();
        self.text.push('\n');
    }
}

fn labels(metric: &Metric, values: Values<'_>, bound: Option<&str>) -> String {
    let own = metric
        .labels
        .iter()
        .map(|label| label.name)
        .zip(values.iter().copied());
    let pairs: Vec<String> = own
        .chain(bound.map(|bound| ("le", bound)))
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    match pairs.is_empty() {
        true => String::new(),
        false => format!("{{{}}}", pairs.join(",")),
    }
}

/// A label's value, or a help text of OpenMetrics, as it stands in a page.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Microseconds as seconds, always with a point: both formats then name a bucket alike.
pub(super) fn seconds(micros: u64) -> String {
    let digits = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let short = digits.trim_end_matches('0');
    if short.ends_with('.') {
        format!("{short}0")
    } else {
        short.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_written_for_those_who_prefer_it_alone() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            (
                "application/openmetrics-text; version=\"1.0.0\"; charset=utf-8",
                Format::OpenMetrics,
            ),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("application/openmetrics-text;version=0.0.1", Format::Text),
            (
                "text/plain;q=0.9, application/openmetrics-text;q=0.8",
                Format::Text,
            ),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=x", Format::Text),
            ("text/html,*/*;q=0.8", Format::Text),
            ("", Format::Text),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn seconds_are_exact_and_have_a_point() {
        for (micros, text) in [
            (0, "0.0"),
            (100, "0.0001"),
            (25_000, "0.025"),
            (10_000_000, "10.0"),
            (1_000_001, "1.000001"),
        ] {
            assert_eq!(seconds(micros), text);
        }
    }
}
