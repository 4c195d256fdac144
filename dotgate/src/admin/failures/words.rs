//! Failures of upstreams in words, for `dotgate why` and for the page.

use std::time::Duration;

use super::FailureReport;

/// What failed, and how often in a row.
pub(crate) fn what_failed(failure: &FailureReport, count: u32) -> String {
    let FailureReport {
        stage,
        reason,
        took_ms,
        attempt,
        ..
    } = failure;
    let attempt = attempt.map_or_else(String::new, |number| format!("attempt {number}, "));
    let reason = reason
        .split_once(": ")
        .map_or(reason.as_str(), |(_, reason)| reason);
    let what = match stage.as_str() {
        "connect" => "the TCP connection failed",
        "tls" => "the TLS handshake failed",
        _ => "a session or a response failed",
    };
    let took = Duration::try_from_secs_f64(took_ms / 1e3).unwrap_or_default();
    let times = match count {
        1 => String::new(),
        count => format!("; {count} times in a row"),
    };
    format!("{what}: {reason} ({attempt}after {took:.0?}{times})")
}

/// What was done next.
pub(crate) fn what_was_done(next: &str) -> &str {
    match next {
        "asked-differently" => "the query was sent to the same upstream in another form",
        "asked-others" => "the query went to the next upstream, if there was one left",
        "marked-down" => "the upstream was marked down; others were used, and it was tried again",
        "new-session" => "the upstream stayed in use, on another session",
        "tried-again" => "the upstream stayed down and was tried again",
        other => other,
    }
}
