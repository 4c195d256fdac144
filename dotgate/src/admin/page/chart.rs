//! Charts as SVG. Their labels are HTML, so that they have the size of text at every width; a table below the charts has
//! the figures.

use std::fmt::Write as _;
use std::time::Duration;

use maud::{Markup, html};

use super::view::AgedPoint;
use crate::running::Band;

/// The units of a chart, which are stretched to its place.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;

/// The lowest and the highest time of the chart of response times, in milliseconds; it is logarithmic.
const FASTEST: f64 = 0.1;
const SLOWEST: f64 = 10_000.0;

/// The smallest number at the top of a chart that is round and not exceeded.
pub(super) fn round_top(highest: f64) -> f64 {
    let mut power = 1.0;
    while power * 10.0 < highest {
        power *= 10.0;
    }
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step >= highest)
        .unwrap_or(power * 10.0)
}

/// Queries per second by what became of them, one band above the other.
pub(super) fn bands(points: &[AgedPoint], length: Duration, top: f64, about: &str) -> Markup {
    let mut below = vec![0.0; points.len()];
    let mut paths = Vec::new();
    for band in Band::ALL {
        let rate = |aged: &AgedPoint| {
            let seconds = f64::from(aged.point.seconds.max(f32::EPSILON));
            f64::from(aged.point.count(band)) / seconds
        };
        let above: Vec<f64> = points
            .iter()
            .zip(&below)
            .map(|(aged, below)| below + rate(aged))
            .collect();
        if above != below {
            paths.push((class(band), area(points, length, (&below, &above), top)));
        }
        below = above;
    }
    svg(
        about,
        html! { @for (class, path) in paths { path class=(class) d=(path) {} } },
    )
}

/// The class of a band.
pub(super) fn class(band: Band) -> &'static str {
    match band {
        Band::Cache => "band-cache",
        Band::Upstream => "band-upstream",
        Band::Local => "band-local",
        Band::Refused => "band-refused",
        Band::Failed => "band-failed",
    }
}

/// The response times of queries that waited for upstreams.
pub(super) fn times(points: &[AgedPoint], length: Duration, about: &str) -> Markup {
    let p50 = line(points, length, |aged| aged.point.p50_ms);
    let p99 = line(points, length, |aged| aged.point.p99_ms);
    svg(
        about,
        html! {
            @for time in [1.0, 10.0, 100.0, 1_000.0] {
                @let y = height_of(time);
                line .grid x1="0" x2=(WIDTH) y1=(y) y2=(y) {}
            }
            path .p99 d=(p99) {}
            path .p50 d=(p50) {}
        },
    )
}

fn svg(about: &str, content: Markup) -> Markup {
    html! {
        svg role="img" aria-label=(about) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" {
            (content)
        }
    }
}

/// Where a point begins and ends.
fn span(aged: &AgedPoint, length: Duration) -> (f64, f64) {
    let x = |ago: f64| rounded((WIDTH * (1.0 - ago / length.as_secs_f64())).max(0.0));
    let begin = x(aged.ago + f64::from(aged.point.seconds));
    (begin, x(aged.ago))
}

fn height_of(milliseconds: f64) -> f64 {
    let part =
        (milliseconds.clamp(FASTEST, SLOWEST) / FASTEST).log10() / (SLOWEST / FASTEST).log10();
    rounded(HEIGHT * (1.0 - part))
}

/// Steps between two heights: forth along the upper one, and back along the lower one.
fn area(
    points: &[AgedPoint],
    length: Duration,
    (below, above): (&[f64], &[f64]),
    top: f64,
) -> String {
    let y = |rate: f64| rounded(HEIGHT * (1.0 - (rate / top).min(1.0)));
    let mut path = String::new();
    let mut command = 'M';
    let mut go_to = |x: f64, y: f64| {
        // Writing to a string cannot fail.
        let _ignored = write!(path, "{command}{x} {y}");
        command = 'L';
    };
    for (aged, above) in points.iter().zip(above) {
        let (begin, end) = span(aged, length);
        go_to(begin, y(*above));
        go_to(end, y(*above));
    }
    for (aged, below) in points.iter().zip(below).rev() {
        let (begin, end) = span(aged, length);
        go_to(end, y(*below));
        go_to(begin, y(*below));
    }
    path.push('Z');
    path
}

/// Steps; where nothing was measured there is a gap.
fn line(
    points: &[AgedPoint],
    length: Duration,
    time: impl Fn(&AgedPoint) -> Option<f32>,
) -> String {
    let mut path = String::new();
    let mut is_drawing = false;
    for aged in points {
        let Some(time) = time(aged) else {
            is_drawing = false;
            continue;
        };
        let ((begin, end), y) = (span(aged, length), height_of(f64::from(time)));
        let command = if is_drawing { 'L' } else { 'M' };
        // Writing to a string cannot fail.
        let _ignored = write!(path, "{command}{begin} {y}L{end} {y}");
        is_drawing = true;
    }
    path
}

/// A tenth of a unit is less than a dot of the screen.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_is_round_and_not_exceeded() {
        let tops = [0.0, 0.3, 1.0, 1.1, 3.0, 7.0, 11.0, 4_999.0, 50_001.0].map(round_top);
        let expected = [1.0, 1.0, 1.0, 2.0, 5.0, 10.0, 20.0, 5_000.0, 100_000.0];
        assert_eq!(tops, expected);
    }

    #[test]
    fn times_are_logarithmic_and_stay_within_the_chart() {
        let heights = [0.0, 0.1, 1.0, 1_000.0, 10_000.0, 1e9].map(height_of);
        assert_eq!(heights, [120.0, 120.0, 96.0, 24.0, 0.0, 0.0]);
    }
}
