//! What is drawn: in 80 columns and 24 lines, from the status of an instance in trouble.

use serde_json::json;

use super::*;
use crate::admin::Overview;

fn overview(uptime: f64, answered: u64, cached: u64) -> Overview {
    let upstream = |label: &str, state: &str, error: Option<&str>| {
        json!({
            "upstream": label, "addresses": ["192.0.2.1:853"], "groups": ["default"], "answers": state == "healthy", "state": state,
            "state_seconds": 60.0, "last_response_seconds": 1.0, "last_error": error,
            "last_error_seconds": error.map(|_| 61.0), "round_trip_ms": 11.84, "sessions": 2,
            "handshakes": 7, "classical_key_exchange_seconds": null, "learned_idle_timeout_seconds": null, "certificate_days_left": 54, "pin_mismatch": null
        })
    };
    let status = json!({
        "version": "0.1.0",
        "uptime_seconds": uptime,
        "ready": {"status": "degraded", "reasons": ["2 of 3 upstreams are down \u{1b}[31m"]},
        "listen": ["127.0.0.1:53"],
        "listen_awaited": [],
        "admin": {"socket": null, "token": "set"},
        "configuration": {"problem": null, "waiting_for_restart": []},
        "upstreams": [
            upstream("192.0.2.1@853#frozen.example", "down", Some("upstream: no response in time")),
            upstream("192.0.2.2@853#refusing.example", "down", Some("tls: closed in the handshake")),
            upstream("192.0.2.3@853#healthy.example", "healthy", None),
        ],
        "groups": [
            {"group": "default", "state": "up", "strategy": "ordered", "shares": [], "queries": 1000, "failed": 3},
            {"group": "corp.example", "state": "down", "strategy": "ordered", "shares": [], "queries": 12, "failed": 11},
        ],
        "cache": {"entries": 3, "bytes_used": 1, "bytes_max": 2, "snapshot_file": null},
        "traffic": {
            "queries": answered + cached,
            "outcomes": {"answered": answered, "cached": cached, "failed": 0},
            "cache_hit_ratio": 0.5, "waited_p50_ms": 12.5, "waited_p99_ms": 200.0,
            "in_flight": 4, "tcp_connections": 0, "limits": {"queries": 7}
        },
        "workers": [{"state": "idle"}]
    });
    serde_json::from_value(status).unwrap()
}

fn look() -> Look {
    let (earlier, now) = (overview(100.0, 10, 20), overview(102.0, 20, 50));
    Look::of(&now, Some(&earlier))
}

#[test]
fn rates_are_those_since_the_look_before() {
    let look = look();
    assert_eq!(look.queries_per_second, 20.0);
    assert_eq!(look.outcomes_per_second["cached"], 15.0);
    assert!(!look.outcomes_per_second.contains_key("failed"));
    assert_eq!(look.cache_hit_ratio, Some(0.75));
    // A process that started since has counts of its own.
    let restarted = Look::of(&overview(2.0, 10, 0), Some(&overview(100.0, 500, 0)));
    assert_eq!(restarted.queries_per_second, 5.0);
}

#[test]
fn a_screen_of_80_by_24_says_what_is_wrong_with_which_upstream() {
    let text = text(&look()).unwrap();
    for line in [
        "dotgate 0.1.0: degraded, up 1 min 42 s",
        "queries 20.0/s   cache 75 % hits   in flight 4\n",
        "waited for upstreams: p50 up to 12.5 ms, p99 up to 200 ms since the start\n",
        "cached 15.0/s   answered 5.0/s",
        "limits hit since the start: queries 7x",
        "192.0.2.1@853#frozen.example   down       11.8 ms    2   54 days",
        "  last error 1 min 1 s ago: upstream: no response in time",
        "192.0.2.2@853#refusing.example down       11.8 ms    2   54 days",
        "  last error 1 min 1 s ago: tls: closed in the handshake",
        "192.0.2.3@853#healthy.example  healthy    11.8 ms    2   54 days",
        "corp.example                                   down",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(text.lines().count() <= usize::from(LINES), "{text}");
    assert!(
        text.lines()
            .all(|line| line.chars().count() <= usize::from(COLUMNS))
    );
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn the_graph_shows_the_last_rates() {
    let mut history = History::default();
    for rate in 0..1_000 {
        history.add(f64::from(rate));
    }
    assert_eq!(history.last(3), [997, 998, 999]);
    let backend = ratatui::backend::TestBackend::new(COLUMNS, LINES);
    let mut terminal = Terminal::new(backend).unwrap();
    terminal
        .draw(|frame| screen::draw(frame, &look(), &history))
        .unwrap();
    let rows = screen::rows(terminal.backend().buffer());
    assert!(rows.contains('█'), "{rows}");
}
