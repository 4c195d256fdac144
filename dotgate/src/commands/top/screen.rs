//! The screen: how the instance is, its traffic, its upstreams with their last error in words.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span as Words};
use ratatui::widgets::{Paragraph, Sparkline};

use super::look::{History, Look, shown};
use crate::admin::{GroupReport, Span, UpstreamReport};

/// Lines of the graph, where there is one.
const GRAPH_LINES: u16 = 3;

/// Columns of an upstream's name at most.
const LABEL_MAX: usize = 46;
const LABEL_MIN: usize = 20;

pub(super) fn draw(frame: &mut Frame<'_>, look: &Look, history: &History) {
    let area = frame.area();
    let head = head(look, usize::from(area.width));
    let graph = history.last(usize::from(area.width));
    let graph_lines = if graph.is_empty() { 0 } else { GRAPH_LINES };
    let areas = Layout::vertical([
        Constraint::Length(u16::try_from(head.len()).unwrap_or(u16::MAX)),
        Constraint::Length(graph_lines),
        Constraint::Fill(1),
    ]);
    let [above, middle, below]: [Rect; 3] = areas.areas(area);
    frame.render_widget(Paragraph::new(head), above);
    let graph = Sparkline::default().data(graph).fg(Color::Cyan);
    frame.render_widget(graph, middle);
    frame.render_widget(Paragraph::new(body(look)), below);
}

/// What was drawn, without the colors.
pub(super) fn rows(buffer: &Buffer) -> String {
    let area = buffer.area();
    let row = |y| {
        let cells = (0..area.width).filter_map(|x| buffer.cell((x, y)));
        cells.map(|cell| cell.symbol()).collect::<String>()
    };
    let rows: Vec<String> = (0..area.height).map(row).collect();
    let text: Vec<&str> = rows.iter().map(|row| row.trim_end()).collect();
    format!("{}\n", text.join("\n").trim_end())
}

fn head(look: &Look, width: usize) -> Vec<Line<'static>> {
    let title = format!("dotgate {}: ", look.version);
    let up = format!(", up {}", Span(look.uptime_seconds));
    let used = title.len() + look.status.len() + up.len();
    let hint = format!("{:>1$}", "q quits", width.saturating_sub(used));
    let is_healthy = look.status == "ready";
    let mut lines = vec![Line::from(vec![
        title.bold(),
        Words::styled(look.status.clone(), of_state(is_healthy, false)),
        up.into(),
        hint.dim(),
    ])];
    for reason in &look.reasons {
        lines.push(Line::from(format!("  {}", shown(reason))).yellow());
    }
    lines.push(Line::default());
    let hits = look.cache_hit_ratio;
    let hits = hits.map_or("no query".to_owned(), |it| {
        format!("{:.0} % hits", it * 100.0)
    });
    let (rate, in_flight) = (look.queries_per_second, look.in_flight);
    let traffic = format!("queries {rate:.1}/s   cache {hits}   in flight {in_flight}");
    lines.push(Line::from(traffic));
    if let (Some(half), Some(most)) = (look.waited_p50_ms, look.waited_p99_ms) {
        let text = format!(
            "waited for upstreams: p50 up to {half} ms, p99 up to {most} ms since the start"
        );
        lines.push(Line::from(text));
    }
    lines.push(Line::from(outcomes(look)));
    if !look.limits.is_empty() {
        let limits = look.limits.iter();
        let limits: Vec<String> = limits
            .map(|(limit, hit)| format!("{limit} {hit}x"))
            .collect();
        lines.push(
            Line::from(format!("limits hit since the start: {}", limits.join(", "))).yellow(),
        );
    }
    lines
}

/// Each outcome with queries, the most frequent one first.
fn outcomes(look: &Look) -> Vec<Words<'static>> {
    let mut rates: Vec<(&String, f64)> = look
        .outcomes_per_second
        .iter()
        .map(|(outcome, rate)| (outcome, *rate))
        .collect();
    rates.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let word = |(outcome, rate): (&String, f64)| {
        let style = match outcome.as_str() {
            "failed" | "cached_failure" | "shed" => Style::new().red(),
            "stale" | "malformed" | "prohibited" => Style::new().yellow(),
            _ => Style::new(),
        };
        Words::styled(format!("{outcome} {rate:.1}/s   "), style)
    };
    rates.into_iter().map(word).collect()
}

fn body(look: &Look) -> Vec<Line<'static>> {
    let labels = look.upstreams.iter().map(|it| it.upstream.chars().count());
    let width = labels.max().unwrap_or_default().clamp(LABEL_MIN, LABEL_MAX);
    let head = row(width, ["upstream", "state", "rtt", "sess", "cert"]);
    let mut lines = vec![Line::default(), Line::from(head).bold()];
    lines.extend(look.upstreams.iter().flat_map(|it| upstream(width, it)));
    if look.groups.len() > 1 {
        lines.push(Line::default());
        let head = format!(
            "{:<46} {:<9} {:>10} {:>9}",
            "group", "state", "queries", "failed"
        );
        lines.push(Line::from(head).bold());
        lines.extend(look.groups.iter().map(group));
    }
    lines
}

fn row(width: usize, [label, state, round_trip, sessions, days]: [&str; 5]) -> String {
    format!("{label:<width$.width$} {state:<8} {round_trip:>9} {sessions:>4} {days:>9}")
}

/// An upstream, and below it what was last wrong, if it is not healthy.
fn upstream(width: usize, report: &UpstreamReport) -> Vec<Line<'static>> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let round_trip = or_none(report.round_trip_ms.map(|time| format!("{time:.1} ms")));
    let days = or_none(
        report
            .certificate_days_left
            .map(|days| format!("{days} days")),
    );
    let (label, sessions) = (shown(&report.upstream), report.sessions.to_string());
    let text = row(
        width,
        [&label, &report.state, &round_trip, &sessions, &days],
    );
    let style = of_state(report.state == "healthy", report.state == "down");
    let mut lines = vec![Line::from(text).style(style)];
    if let (Some(error), Some(ago)) = (&report.last_error, report.last_error_seconds) {
        let trouble = format!("  last error {} ago: {}", Span(ago), shown(error));
        let style = match report.state.as_str() {
            "healthy" => Style::new().dim(),
            _ => Style::new(),
        };
        lines.push(Line::from(trouble).style(style));
    }
    lines
}

fn group(report: &GroupReport) -> Line<'static> {
    let (label, state) = (shown(&report.group), &report.state);
    let (queries, failed) = (report.queries, report.failed);
    let text = format!("{label:<46.46} {state:<9} {queries:>10} {failed:>9}");
    Line::from(text).style(of_state(state == "up", state == "down"))
}

/// The color of a state, which its word says too.
fn of_state(is_healthy: bool, is_down: bool) -> Style {
    match (is_healthy, is_down) {
        (true, _) => Style::new().green(),
        (false, true) => Style::new().red().add_modifier(Modifier::BOLD),
        (false, false) => Style::new().yellow(),
    }
}
