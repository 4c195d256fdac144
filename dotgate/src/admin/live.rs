//! Keeps open pages current: a stream of server-sent events for each, with the parts that differ from the ones before.
//!
//! Sections are written once a second for all streams of a period, and only while there is one. A stream that is not read waits
//! for its client alone, and skips what it missed.
//! Limits: `STREAMS` at once, `STREAM_MAX` for each; the browser then opens another.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::refusal::Refusal;
use super::response::{Response, with_stream};
use crate::running::Period;

/// Pages that are kept current at once.
const STREAMS: usize = 16;

/// How long a stream is open; less than a connection.
const STREAM_MAX: Duration = Duration::from_secs(50);

/// How soon the browser opens the next one, in milliseconds.
const RETRY: &[u8] = b"retry: 1000\n\n";

/// The parts of the page at one moment, in their order.
pub(super) type Sections = Arc<[String]>;

/// What all streams share.
#[derive(Debug)]
pub(super) struct Live {
    sections: [watch::Sender<Sections>; Period::ALL.len()],
    free: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Live {
        Live {
            sections: std::array::from_fn(|_| watch::Sender::new([].into())),
            free: Arc::new(Semaphore::new(STREAMS)),
        }
    }
}

impl Live {
    /// The response with a stream, if there is one left.
    pub(super) fn stream(&self, period: Period) -> Result<Response, Refusal> {
        let permit = Arc::clone(&self.free).try_acquire_owned();
        let permit = permit.map_err(|_| Refusal::TooManyStreams)?;
        let (sender, body) = Channel::<Bytes, Infallible>::new(1);
        if let Some(sections) = self.sections.get(period as usize) {
            tokio::spawn(send(sections.subscribe(), sender, permit));
        }
        let kind = HeaderValue::from_static("text/event-stream");
        Ok(with_stream(kind, body))
    }

    /// Sends the parts of the page to those who look at a period, which are written only if there are any.
    pub(super) fn update(&self, write: impl Fn(Period) -> Sections) {
        for (period, sections) in Period::ALL.into_iter().zip(&self.sections) {
            if sections.receiver_count() > 0 {
                sections.send_replace(write(period));
            }
        }
    }
}

/// Sends what differs until the client leaves or the time is over.
async fn send(
    mut sections: watch::Receiver<Sections>,
    mut client: Sender<Bytes, Infallible>,
    _permit: OwnedSemaphorePermit,
) {
    let sending = async {
        let mut before: Sections = [].into();
        client.send_data(Bytes::from_static(RETRY)).await?;
        while sections.changed().await.is_ok() {
            let now = Arc::clone(&sections.borrow_and_update());
            let differing = now.iter().enumerate();
            let differing = differing.filter(|(place, part)| before.get(*place) != Some(*part));
            for (_, part) in differing {
                client.send_data(event(part)).await?;
            }
            before = now;
        }
        Ok::<(), http_body_util::channel::SendError>(())
    };
    // How it ended is the client's business.
    drop(timeout(STREAM_MAX, sending).await);
}

/// A part as an event; JSON has no line breaks, which would end it.
fn event(part: &str) -> Bytes {
    let data = serde_json::Value::from(part);
    format!("event: part\ndata: {data}\n\n").into()
}
