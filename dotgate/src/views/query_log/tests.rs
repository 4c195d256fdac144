//! Which queries are logged, and what is written of one.

use std::time::Duration;

use dotgate_config::{ClientForm, Environment, NameForm};
use dotgate_core::labels::Outcome;
use dotgate_core::{Ended, Failure, QueryRecord, UpstreamId};
use dotgate_wire::{Question, rcode, rtype};

use super::*;
use crate::clock::now;
use crate::views::labels::Labels;
use crate::views::privacy::Pseudonyms;
use crate::views::wall_time::WallTime;

fn record(outcome: Outcome, failure: Option<Failure>) -> TimedRecord {
    let question = Question::new(b"\x03www\x07example\x03com\0", rtype::A, 1).unwrap();
    let ended = Ended {
        outcome,
        rcode: failure.map_or(0, |_| rcode::SERVFAIL),
        ede: None,
        route: None,
        cache_age: None,
        upstream: Some(UpstreamId(99)),
        upstream_took: Some(Duration::from_millis(12)),
        attempts: 2,
        failure,
    };
    let mut query = QueryRecord::EMPTY.with_question(question.as_bytes());
    query.client = Some("192.0.2.77".parse().unwrap());
    query.port = Some(1_000);
    query.took = Duration::from_micros(12_500);
    query.ended = ended;
    TimedRecord {
        ended_at: now(),
        query,
    }
}

fn config(settings: &[(&str, &str)]) -> QueryLogConfig {
    let required = [
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("DNS_HOST", "192.0.2.1"),
        ("DNS_PORT", "853"),
    ];
    let environment: Environment = required.iter().chain(settings).copied().collect();
    let loaded = dotgate_config::load(&environment, None).unwrap();
    loaded.config.query_log().clone()
}

fn written(config: &QueryLogConfig, record: &TimedRecord) -> String {
    let pseudonyms = Pseudonyms::new(now());
    let (labels, time) = (Labels::default(), WallTime::now());
    let shown = Shown {
        labels: &labels,
        pseudonyms: &pseudonyms,
        time: &time,
    };
    let line = QueryLine::of(record, config.forms(), &shown);
    let mut out = Vec::new();
    match config.format {
        LogFormat::Text => line.write_text(&mut out),
        LogFormat::Json => line.write_json(&mut out),
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn a_line_of_text_has_eight_columns_and_what_else_applies() {
    let config = config(&[]);
    let line = written(&config, &record(Outcome::Answered, None));
    let (time, rest) = line.split_once(' ').unwrap();
    assert_eq!((time.len(), time.ends_with('Z')), (24, true), "{time}");
    assert_eq!(
        rest,
        "192.0.2.77 udp www.example.com. A NOERROR answered 12.500ms upstream_ms=12.000 attempts=2\n"
    );
}

#[test]
fn a_line_of_json_has_its_version_and_leaves_out_what_does_not_apply() {
    let config = config(&[("DOTGATE_QUERY_LOG_FORMAT", "json")]);
    let failed = record(Outcome::Failed, Some(Failure::NoResponse));
    let line: serde_json::Value = serde_json::from_str(&written(&config, &failed)).unwrap();
    assert_eq!(line["v"], 1);
    assert_eq!(line["name"], "www.example.com.");
    assert_eq!((&line["type"], &line["class"]), (&"A".into(), &"IN".into()));
    assert_eq!(line["rcode"], "SERVFAIL");
    assert_eq!(line["reason"], "upstream_timeout");
    assert_eq!(line["ms"], 12.5);
    assert!(line.get("cache_age").is_none() && line.get("ede").is_none());
}

#[test]
fn what_is_private_is_not_written() {
    let settings = [
        ("DOTGATE_QUERY_LOG_CLIENTS", "prefix"),
        ("DOTGATE_QUERY_LOG_NAMES", "domain"),
    ];
    let in_part = config(&settings);
    assert_eq!(
        (in_part.clients, in_part.names),
        (ClientForm::Prefix, NameForm::Domain)
    );
    let line = written(&in_part, &record(Outcome::Cached, None));
    assert!(line.contains(" 192.0.2.0/24 udp example.com. A "), "{line}");
    let settings = [
        ("DOTGATE_QUERY_LOG_CLIENTS", "hashed"),
        ("DOTGATE_QUERY_LOG_NAMES", "hashed"),
    ];
    let line = written(&config(&settings), &record(Outcome::Cached, None));
    assert!(
        !line.contains("192.0.2") && !line.contains("example"),
        "{line}"
    );
}

#[test]
fn each_condition_of_a_filter_must_hold() {
    let answered = record(Outcome::Answered, None).query;
    let failed = record(Outcome::Failed, Some(Failure::NoResponse)).query;
    let passing = |text: &str| {
        let filter = config(&[("DOTGATE_QUERY_LOG_FILTER", text)]).filter;
        (passes(&filter, &answered), passes(&filter, &failed))
    };
    assert_eq!(passing(""), (true, true));
    assert_eq!(passing("failed"), (false, true));
    assert_eq!(passing("slow>12ms"), (true, true));
    assert_eq!(passing("slow>13ms"), (false, false));
    assert_eq!(passing("failed,slow>13ms"), (false, true));
    assert_eq!(passing("suffix=example.com,suffix=test"), (true, true));
    assert_eq!(passing("suffix=ample.com"), (false, false));
    assert_eq!(passing("failed,client=192.0.2.0/24"), (false, true));
    assert_eq!(passing("client=198.51.100.0/24"), (false, false));
}
