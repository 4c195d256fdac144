//! The body of a request: short, in time, and exactly what the path takes.

use std::error::Error;
use std::time::Duration;

use domain::base::Name;
use dotgate_config::{LogLevel, Word};
use dotgate_core::Cache;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;

use super::cache::lower_case;
use super::refusal::{BODY_BYTES, Refusal};

/// What a body may take to come.
const BODY_WAIT: Duration = Duration::from_secs(2);

/// What `POST /api/v1/log-level` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LevelBody {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    level: String,
}

/// What `POST /api/v1/cache/flush` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum FlushBody {
    /// Remove all entries; must be true.
    All(bool),
    /// Remove the entries of this name.
    Name(String),
    /// Remove the entries of this name and of all names below it.
    Below(String),
}

/// The response to a flush.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Flushed {
    /// Number of entries that were removed.
    pub(super) flushed: usize,
}

/// What to flush.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Flush {
    /// Everything.
    All,
    /// All entries of a name.
    Name(Name<Vec<u8>>),
    /// All entries of a name and the names below it.
    Below(Name<Vec<u8>>),
}

impl Flush {
    /// The body that asks for it.
    pub fn body(&self) -> String {
        let value = match self {
            Flush::All => json!({ "all": true }),
            Flush::Name(name) => json!({ "name": name.fmt_with_dot().to_string() }),
            Flush::Below(name) => json!({ "below": name.fmt_with_dot().to_string() }),
        };
        value.to_string()
    }

    /// Flushes it, and returns the number of entries.
    pub(super) fn carry_out(&self, cache: &Cache) -> usize {
        match self {
            Flush::All => cache.flush_all(),
            Flush::Name(name) => cache.flush_name(&lower_case(name)),
            Flush::Below(name) => cache.flush_below(&lower_case(name)),
        }
    }
}

/// Reads what to flush.
pub(super) async fn read_flush<B>(body: B) -> Result<Flush, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Error + Send + Sync + 'static,
{
    const EXPECTED: &str = r#"{"all": true}, {"name": "example.com"} or {"below": "example.com"}"#;
    let wrong = |problem: &str| Refusal::Body {
        problem: problem.to_owned(),
        expected: EXPECTED,
    };
    let name = |text: &str| text.parse().map_err(|_| wrong("it is not a DNS name"));
    match read(body, EXPECTED).await? {
        FlushBody::All(true) => Ok(Flush::All),
        FlushBody::All(false) => Err(wrong("all is true or not there")),
        FlushBody::Name(text) => Ok(Flush::Name(name(&text)?)),
        FlushBody::Below(text) => Ok(Flush::Below(name(&text)?)),
    }
}

/// Reads the level to log from now on.
pub(super) async fn read_level<B>(body: B) -> Result<LogLevel, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Error + Send + Sync + 'static,
{
    const EXPECTED: &str = r#"{"level": "..."} with error, warn, info, debug or trace"#;
    let LevelBody { level } = read(body, EXPECTED).await?;
    let found = LogLevel::ALL.iter().find(|known| known.word() == level);
    found.copied().ok_or_else(|| Refusal::Body {
        problem: "it is no level".to_owned(),
        expected: EXPECTED,
    })
}

/// Reads a JSON document.
pub(super) async fn read<T, B>(body: B, expected: &'static str) -> Result<T, Refusal>
where
    T: DeserializeOwned,
    B: Body<Data = Bytes>,
    B::Error: Error + Send + Sync + 'static,
{
    let limited = Limited::new(body, BODY_BYTES).collect();
    let whole = timeout(BODY_WAIT, limited)
        .await
        .map_err(|_| Refusal::TooSlow)?
        .map_err(|error| match error.is::<LengthLimitError>() {
            true => Refusal::TooLong,
            false => Refusal::Body {
                problem: error.to_string(),
                expected,
            },
        })?;
    serde_json::from_slice(&whole.to_bytes()).map_err(|error| Refusal::Body {
        problem: error.to_string(),
        expected,
    })
}
