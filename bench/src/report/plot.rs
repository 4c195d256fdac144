//! A plot as SVG: a bar for each forwarder, with its median, and a line from its least to its greatest value.

use std::fmt::Write as _;

use super::workloads::Figure;
use crate::compare::{Runs, median_of};

const ROW: f64 = 26.0;
const LEFT: f64 = 120.0;
const WIDTH: f64 = 820.0;
const BAR_MAX: f64 = 500.0;
const TOP: f64 = 44.0;

/// A figure of all forwarders, of which less is better.
pub(super) fn bars(title: &str, figure: Figure, runs: &[Runs]) -> String {
    let rows: Vec<Row> = runs
        .iter()
        .filter_map(|runs| Row::of(runs, figure))
        .collect();
    let what = figure.title();
    let most = rows
        .iter()
        .map(|row| row.max)
        .fold(f64::MIN_POSITIVE, f64::max);
    let length = |value: f64| value / most * BAR_MAX;
    let height = TOP + ROW * rows.len() as f64 + 10.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>{title}: {what}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"24\" font-size=\"14\" fill=\"#1f2328\">{title}: {what}</text>\n"
    );
    for (place, row) in rows.iter().enumerate() {
        let top = TOP + ROW * place as f64;
        let (bar, middle) = (top + 3.0, top + 17.0);
        let fill = if row.name == "dotgate" {
            "#0969da"
        } else {
            "#afb8c1"
        };
        let (start, end) = (LEFT + length(row.min), LEFT + length(row.max));
        // Writing to a String cannot fail.
        _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\" fill=\"#1f2328\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{bar}\" width=\"{:.1}\" height=\"18\" fill=\"{fill}\"/>\
             <path d=\"M{start:.1} {} H{end:.1}\" stroke=\"#1f2328\"/>\
             <text x=\"{:.1}\" y=\"{middle}\" fill=\"#1f2328\">{:.1}</text>",
            LEFT - 8.0,
            row.name,
            length(row.median),
            top + 12.0,
            end + 8.0,
            row.median,
        );
    }
    text.push_str("</svg>\n");
    text
}

struct Row {
    name: &'static str,
    median: f64,
    min: f64,
    max: f64,
}

impl Row {
    fn of(runs: &Runs, figure: Figure) -> Option<Row> {
        let values = || runs.outcomes.iter().filter_map(|it| figure.of(it));
        Some(Row {
            name: runs.name,
            median: median_of(runs, |outcome| figure.of(outcome))?,
            min: values().min_by(f64::total_cmp)?,
            max: values().max_by(f64::total_cmp)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Outcome, Tally};

    #[test]
    fn a_bar_is_as_long_as_its_value_and_the_longest_fits() {
        let runs = |name, cpu_micros: u64| Runs {
            name,
            outcomes: vec![Outcome {
                tally: Tally {
                    answered: 1000,
                    ..Tally::default()
                },
                cpu_nanos: Some(cpu_micros * 1_000_000),
                ..Outcome::default()
            }],
            forwarded: 0,
            resident: 0,
            calls: None,
        };
        let text = bars(
            "Hits",
            Figure::Cpu,
            &[runs("dotgate", 5), runs("other", 20)],
        );
        assert!(
            text.contains("width=\"125.0\" height=\"18\" fill=\"#0969da\""),
            "{text}"
        );
        assert!(
            text.contains("width=\"500.0\" height=\"18\" fill=\"#afb8c1\""),
            "{text}"
        );
        assert!(text.contains(">20.0</text>"), "{text}");
    }
}
