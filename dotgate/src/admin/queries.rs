//! Queries as they end, for those with the token: a stream of server-sent events for each reader.
//!
//! An event `query` has one query as JSON, an event `lost` how many were left out because the reader was too slow. A stream
//! has no end of its own: it ends when other settings hide what it shows, or another token is needed.
//! Limits: those of `running::QueryReaders`; `BATCH` queries every `PACE`, and `SEND_WAIT` for a reader to take them.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::channel::{Channel, SendError, Sender};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HeaderValue};
use tokio::time::{sleep, timeout};

use super::percent;
use super::refusal::Refusal;
use super::response::{HasNoEnd, Response, with_stream};
use crate::log::message::say;
use crate::running::{NoReader, QueryStream, Running};

/// Queries that are sent at once, and the time to the next ones: nobody reads more.
const BATCH: usize = 1_024;
const PACE: Duration = Duration::from_millis(100);

/// The longest time without an event, so that both ends detect a lost connection.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// How long a reader may take to read what is sent.
const SEND_WAIT: Duration = Duration::from_secs(30);

/// The response with a stream of the queries that pass the filter in the query string.
pub(super) fn stream(running: &Running, query: Option<&str>) -> Result<Response, Refusal> {
    let filter = filter_of(query)?;
    let filter = filter.parse().map_err(|fault| Refusal::Filter {
        problem: format!("{fault}"),
    })?;
    let stream = running.query_readers().open(filter)?;
    let (sender, body) = Channel::<Bytes, Infallible>::new(1);
    say!(QUERIES_SHOWN, readers = running.query_readers().count());
    tokio::spawn(send(stream, sender));
    let mut response = with_stream(HeaderValue::from_static("text/event-stream"), body);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response.extensions_mut().insert(HasNoEnd);
    Ok(response)
}

/// The value of `filter` in a query string.
fn filter_of(query: Option<&str>) -> Result<String, Refusal> {
    let pairs = query.into_iter().flat_map(|query| query.split('&'));
    let mut filters = pairs.filter_map(|pair| pair.strip_prefix("filter="));
    let filter = filters.next().unwrap_or_default().replace('+', " ");
    percent::decoded(&filter).ok_or_else(|| Refusal::Filter {
        problem: "it is not percent-encoded UTF-8".to_owned(),
    })
}

impl From<NoReader> for Refusal {
    fn from(reason: NoReader) -> Refusal {
        match reason {
            NoReader::Off => Refusal::QueriesNotShown,
            NoReader::TooMany => Refusal::TooManyReaders,
            NoReader::ClientsHidden => Refusal::FilterReveals {
                item: "client=",
                setting: "DOTGATE_QUERY_LOG_CLIENTS",
            },
            NoReader::NamesHidden => Refusal::FilterReveals {
                item: "suffix=",
                setting: "DOTGATE_QUERY_LOG_NAMES",
            },
        }
    }
}

/// Sends queries until the reader leaves, does not read, or may not see them any more.
async fn send(mut stream: QueryStream, mut reader: Sender<Bytes, Infallible>) {
    let mut queries = Vec::new();
    loop {
        // The first events come at once, so that the reader learns that it is one.
        let sending = reader.send_data(events(&queries, stream.take_lost()));
        match timeout(SEND_WAIT, sending).await {
            Ok(Ok(())) => {}
            // How it ended is the reader's business.
            Ok(Err(SendError { .. })) | Err(_) => return,
        }
        if !queries.is_empty() {
            sleep(PACE).await;
        }
        queries.clear();
        let received = stream.queries.recv_many(&mut queries, BATCH);
        if timeout(SILENCE_MAX, received).await == Ok(0) {
            return;
        }
    }
}

/// Queries and what was lost as events; a comment if there is nothing.
fn events(queries: &[Bytes], lost: u64) -> Bytes {
    let mut events = Vec::new();
    for query in queries {
        // JSON has no line breaks within it, and one at its end.
        events.extend_from_slice(b"event: query\ndata: ");
        events.extend_from_slice(query);
        events.push(b'\n');
    }
    if lost > 0 {
        events.extend_from_slice(format!("event: lost\ndata: {{\"lost\":{lost}}}\n\n").as_bytes());
    }
    if events.is_empty() {
        events.extend_from_slice(b":\n\n");
    }
    events.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_percent_encoded_part_of_the_query_string() {
        let of = |query: &str| filter_of(Some(query)).unwrap();
        assert_eq!(of("filter=failed%2Cslow%3E200ms"), "failed,slow>200ms");
        assert_eq!(of("x=1&filter=failed,+slow%3e1s"), "failed, slow>1s");
        assert_eq!(of("x=1"), "");
        assert_eq!(filter_of(None).unwrap(), "");
        assert!(filter_of(Some("filter=%f")).is_err());
    }
}
