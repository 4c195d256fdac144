//! `dotgate why`: what failed at each upstream of the running instance, as a story for people or as its JSON document.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use dotgate_config::{ClientConfig, Environment, Escaped};
use dotgate_tls::UnixTime;

use super::client::{self, CommandError, body_of};
use super::exit::{Ended, ExitStatus};
use crate::admin::client::{Request as AdminRequest, ask};
use crate::admin::failures::words::{what_failed, what_was_done};
use crate::admin::{FailuresReport, IncidentReport, Span, UpstreamFailures};

/// Incidents that are further apart belong to different outages.
const OUTAGES_APART: Duration = Duration::from_secs(5 * 60);

const DAY: u64 = 24 * 60 * 60;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The upstream, as in the settings or a part of that; none for all.
    pub upstream: Option<String>,
    /// How far to look back; none for the last outage of each upstream.
    pub since: Option<Duration>,
    /// Whether to print the JSON document instead.
    pub is_json: bool,
}

/// Reads how far to look back.
///
/// # Errors
/// What was expected.
pub fn read_span(text: &str) -> Result<Duration, String> {
    client::read_span(text, Duration::from_secs(30 * DAY))
}

/// Runs the command and returns the exit status: 0, 1 where nothing answers or the upstream is unknown.
///
/// # Errors
/// [`Ended`]: the configuration is wrong, or the output cannot be written.
pub(super) fn run(
    environment: &Environment,
    file: Option<&Path>,
    request: &Request,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitStatus, Ended> {
    client::run(environment, file, out, err, |config, out| {
        let mut report = report(config)?;
        narrow(&mut report, request)?;
        let text = match request.is_json {
            true => serde_json::to_string_pretty(&report)? + "\n",
            false => story(&report, now()),
        };
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(ExitStatus::Success)
    })
}

fn report(config: &ClientConfig) -> Result<FailuresReport, CommandError> {
    let body = body_of(ask(config, AdminRequest::Read("/api/v1/failures"))?)?;
    Ok(serde_json::from_str(&body)?)
}

/// Seconds since 1970 by this system's clock.
fn now() -> f64 {
    UnixTime::now().as_secs() as f64
}

/// Leaves out the upstreams and incidents that were not asked for.
fn narrow(report: &mut FailuresReport, request: &Request) -> Result<(), CommandError> {
    if let Some(wanted) = &request.upstream {
        let known: Vec<String> = report
            .upstreams
            .iter()
            .map(|it| it.upstream.clone())
            .collect();
        report
            .upstreams
            .retain(|it| it.upstream.contains(wanted.as_str()));
        if report.upstreams.is_empty() {
            let problem = format!(
                "no upstream is called {wanted}; there are: {}",
                known.join(", ")
            );
            return Err(CommandError::Refused(problem));
        }
    }
    for upstream in &mut report.upstreams {
        let start = match request.since {
            Some(since) => since.as_secs_f64(),
            None => start_of_last_outage(&upstream.incidents),
        };
        upstream
            .incidents
            .retain(|incident| incident.last_seconds <= start);
    }
    Ok(())
}

/// How many seconds ago the last run of incidents began that are close to each other.
fn start_of_last_outage(incidents: &[IncidentReport]) -> f64 {
    let mut start = 0.0;
    for incident in incidents.iter().rev() {
        if start > 0.0 && incident.last_seconds > start + OUTAGES_APART.as_secs_f64() {
            break;
        }
        start = incident.first_seconds;
    }
    start
}

/// The story of each upstream; `now` is in seconds since 1970.
fn story(report: &FailuresReport, now: f64) -> String {
    let mut text = String::new();
    for (number, upstream) in report.upstreams.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        describe(&mut text, upstream, now);
    }
    text
}

fn describe(text: &mut String, upstream: &UpstreamFailures, now: f64) {
    let mut line = |line: &str| {
        // Writing to a string cannot fail.
        let _ignored = writeln!(text, "{}", Escaped(line));
    };
    let state = match (upstream.state.as_str(), upstream.state_seconds) {
        ("unknown", _) => "it has not responded yet".to_owned(),
        (state, Some(seconds)) => format!("{state} for {}", Span(seconds)),
        (state, None) => state.to_owned(),
    };
    line(&format!("{}: {state}", upstream.upstream));
    let Some(first) = upstream.incidents.first() else {
        line("  no failure");
        return;
    };
    if first.last_seconds > DAY as f64 {
        line("  the times are of an earlier day");
    }
    let mut failing_since = None;
    for incident in &upstream.incidents {
        let period = period(incident, now);
        match &incident.failure {
            Some(failure) => {
                failing_since = failing_since.or(Some(incident.first_seconds));
                line(&format!(
                    "  {period}  {}",
                    what_failed(failure, incident.count)
                ));
                line(&format!(
                    "            then: {}",
                    what_was_done(&failure.next)
                ));
            }
            None => {
                let after = failing_since.take().map_or_else(String::new, |since| {
                    format!(
                        ", {} after the first failure",
                        Span(since - incident.first_seconds)
                    )
                });
                line(&format!("  {period}  it responded again{after}"));
            }
        }
    }
}

/// The time of day in UTC, of the first and the last.
fn period(incident: &IncidentReport, now: f64) -> String {
    let clock = |seconds_ago: f64| {
        let at = (now - seconds_ago).max(0.0) as u64 % DAY;
        format!("{:02}:{:02}:{:02}", at / 3_600, at / 60 % 60, at % 60)
    };
    let (first, last) = (clock(incident.first_seconds), clock(incident.last_seconds));
    match first == last {
        true => format!("{first}Z"),
        false => format!("{first}Z to {last}Z"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Two outages: one ten minutes before the other, which has ended.
    fn report() -> FailuresReport {
        let failure = |stage, reason, next| json!({"stage": stage, "reason": reason, "took_ms": 12.4, "attempt": 3, "next": next});
        let incident = |first: f64, last: f64, count, failure| json!({"first_seconds": first, "last_seconds": last, "count": count, "failure": failure});
        let expired = "tls: certificate expired";
        let incidents = [
            incident(
                900.0,
                880.0,
                2,
                failure("connect", "connect: refused", "marked-down"),
            ),
            incident(100.0, 100.0, 1, failure("tls", expired, "marked-down")),
            incident(99.0, 60.0, 40, failure("tls", expired, "tried-again")),
            incident(40.0, 40.0, 1, json!(null)),
        ];
        let upstreams = json!([
            {"upstream": "192.0.2.1@853#a.example", "state": "healthy", "state_seconds": 40.0, "incidents": incidents},
            {"upstream": "192.0.2.2@853#b.example", "state": "healthy", "state_seconds": 7_300.0, "incidents": []},
        ]);
        serde_json::from_value(json!({"schema": 1, "upstreams": upstreams})).unwrap()
    }

    fn story_of(request: &Request) -> String {
        let mut report = report();
        narrow(&mut report, request).unwrap();
        story(&report, 1_000_000.0)
    }

    const EVERYTHING: Request = Request {
        upstream: None,
        since: None,
        is_json: false,
    };

    #[test]
    fn the_last_outage_is_shown_in_order_with_its_end() {
        assert_eq!(
            story_of(&EVERYTHING),
            "192.0.2.1@853#a.example: healthy for 40 s
  13:45:00Z  the TLS handshake failed: certificate expired (attempt 3, after 12ms)
            then: the upstream was marked down; others were used, and it was tried again
  13:45:01Z to 13:45:40Z  the TLS handshake failed: certificate expired (attempt 3, after 12ms; 40 times in a row)
            then: the upstream stayed down and was tried again
  13:46:00Z  it responded again, 1 min 0 s after the first failure

192.0.2.2@853#b.example: healthy for 2 h 1 min
  no failure
"
        );
    }

    #[test]
    fn a_period_and_a_part_of_a_name_narrow_the_story() {
        let since = Some(Duration::from_secs(1_000));
        let story = story_of(&Request {
            since,
            ..EVERYTHING
        });
        assert!(
            story.contains("refused (attempt 3, after 12ms; 2 times in a row)"),
            "{story}"
        );
        let upstream = Some("b.example".to_owned());
        let story = story_of(&Request {
            upstream,
            ..EVERYTHING
        });
        assert!(story.starts_with("192.0.2.2@853#b.example"), "{story}");
        let upstream = Some("c.example".to_owned());
        let refused = narrow(
            &mut report(),
            &Request {
                upstream,
                ..EVERYTHING
            },
        )
        .unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("there are: 192.0.2.1@853#a.example, ")
        );
    }
}
