//! One query as text and as JSON, in the query log and for those who look at queries as they end. `docs/query-log.md` describes both; the JSON has a version.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use dotgate_config::QueryForms;
use dotgate_core::labels::Reason;
use dotgate_wire::{rclass, rcode, rtype};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::views::labels::Labels;
use crate::views::privacy::{self, Pseudonyms};
use crate::views::ring::TimedRecord;
use crate::views::wall_time::WallTime;

/// The version of the JSON: another one if a field changes its meaning or goes away, the same if fields are added.
const VERSION: u8 = 1;

/// What is needed to write of queries.
pub(super) struct Shown<'s> {
    pub(super) labels: &'s Labels,
    pub(super) pseudonyms: &'s Pseudonyms,
    pub(super) time: &'s WallTime,
}

/// A query that has ended. A field that does not apply is left out.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct QueryLine<'l> {
    v: u8,
    time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    transport: Cow<'l, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    rcode: String,
    outcome: Cow<'l, str>,
    ms: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<Cow<'l, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upstream: Option<Cow<'l, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upstream_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempts: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_age: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ede: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'l, str>>,
}

impl<'l> QueryLine<'l> {
    pub(super) fn of(record: &TimedRecord, forms: QueryForms, shown: &Shown<'l>) -> QueryLine<'l> {
        let (query, ended) = (&record.query, &record.query.ended);
        let Shown {
            labels,
            pseudonyms,
            time,
        } = *shown;
        let question = query.question();
        let client = |client| privacy::client(client, forms.clients, pseudonyms);
        QueryLine {
            v: VERSION,
            time: time.text(record.ended_at),
            client: query.client.map(client),
            transport: query.transport.label().into(),
            name: question
                .as_ref()
                .map(|it| privacy::name(it, forms.names, pseudonyms)),
            r#type: question
                .as_ref()
                .map(|it| word(rtype::mnemonic(it.qtype()), "TYPE", it.qtype())),
            class: question
                .as_ref()
                .map(|it| word(rclass::mnemonic(it.qclass()), "CLASS", it.qclass())),
            rcode: word(rcode::mnemonic(ended.rcode), "RCODE", ended.rcode),
            outcome: ended.outcome.label().into(),
            ms: milliseconds(query.took),
            group: ended
                .route
                .and_then(|route| labels.group(route))
                .map(Cow::from),
            upstream: ended
                .upstream
                .and_then(|upstream| labels.upstream(upstream))
                .map(Cow::from),
            upstream_ms: ended.upstream_took.map(milliseconds),
            attempts: (ended.attempts > 0).then_some(ended.attempts),
            cache_age: ended.cache_age,
            ede: ended.ede,
            reason: ended
                .failure
                .map(|failure| Reason::from(failure).label().into()),
        }
    }

    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        // Writing to memory does not fail, and every field can be written.
        drop(serde_json::to_writer(&mut *out, self));
        out.push(b'\n');
    }

    /// Eight columns, then words that say what they are.
    pub(crate) fn write_text(&self, out: &mut Vec<u8>) {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let mut line = format!(
            "{} {} {} {} {} {} {} {:.3}ms",
            self.time,
            or_none(&self.client),
            self.transport,
            or_none(&self.name),
            or_none(&self.r#type),
            self.rcode,
            self.outcome,
            self.ms
        );
        let other_class = self.class.clone().filter(|class| class != "IN");
        let words = [
            ("class", other_class),
            ("group", owned(&self.group)),
            ("upstream", owned(&self.upstream)),
            ("upstream_ms", self.upstream_ms.map(|ms| format!("{ms:.3}"))),
            ("attempts", self.attempts.map(|it| it.to_string())),
            ("cache_age", self.cache_age.map(|it| it.to_string())),
            ("ede", self.ede.map(|it| it.to_string())),
            ("reason", owned(&self.reason)),
        ];
        for (name, value) in words {
            if let Some(value) = value {
                line.extend([" ", name, "=", &value]);
            }
        }
        // Writing to memory does not fail.
        drop(writeln!(out, "{line}"));
    }
}

fn owned(text: &Option<Cow<'_, str>>) -> Option<String> {
    text.as_deref().map(str::to_owned)
}

fn word(mnemonic: Option<&'static str>, prefix: &str, number: u16) -> String {
    mnemonic.map_or_else(|| format!("{prefix}{number}"), str::to_owned)
}

/// To the microsecond.
fn milliseconds(span: Duration) -> f64 {
    span.as_micros() as f64 / 1_000.0
}
