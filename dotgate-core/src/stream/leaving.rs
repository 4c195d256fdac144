//! Connections that have had their number of queries, or have reached their age: clients are sent to other ones, so that
//! balancers can spread them.
//!
//! From then on every response advertises an idle timeout of zero (RFC 7828), and the connection is closed at the first moment in
//! which nothing is asked on it. What comes before that is answered. A client that always has something in flight is read no
//! more after `limits::STREAM_LEAVING`, and gets what it has asked until then. Over HTTP the driver has a word of its own for
//! that (GOAWAY); over QUIC it is closed once the client has acknowledged its responses.

use std::time::Duration;

use super::{Stream, Streams};
use crate::counters::labels::StreamEnd;
use crate::frames::Frames;
use crate::keys::StreamKey;
use crate::limits;
use crate::moment::Moment;

/// The part of its age by which a connection may be younger, so that those that were opened at once do not close at once.
const SPREAD: u32 = 8;

impl Stream {
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving_since.is_some()
    }

    /// Whether it is closed once nothing is asked on it.
    pub(super) fn may_leave(&self) -> bool {
        self.is_leaving() && self.kind.is_retired_here() && self.frames.is_empty()
    }

    /// When it begins to leave, or stops reading.
    pub(super) fn leaving_deadline(&self, age_max: Option<Duration>) -> Option<Moment> {
        match self.leaving_since {
            None if dotgate_wire::planted!("connections-never-age") => None,
            None => age_max.map(|age| self.opened + self.own_age(age)),
            Some(since) if self.kind.is_retired_here() && !self.has_ended => {
                Some(since + limits::STREAM_LEAVING)
            }
            Some(_) => None,
        }
    }

    /// The age of this connection, by the time at which it was opened.
    fn own_age(&self, age: Duration) -> Duration {
        let part = self.opened.nanos() / 1_000 % 1_024;
        let less = (age / SPREAD).as_nanos() as u64 / 1_024 * part;
        age.saturating_sub(Duration::from_nanos(less))
    }
}

impl Streams {
    /// Whether a query on this connection is the last one, or beyond it.
    pub(super) fn is_last_query(&self, key: StreamKey) -> bool {
        self.map.get(key).is_some_and(|stream| {
            let total = self.queries_total;
            stream.is_leaving() || total.is_some_and(|total| stream.queries + 1 >= total.get())
        })
    }

    /// Counts a query. True if the connection is to leave now.
    pub(crate) fn count_query(&mut self, key: StreamKey) -> bool {
        let total = self.queries_total;
        self.map.get_mut(key).is_some_and(|stream| {
            stream.queries = stream.queries.saturating_add(1);
            let is_last = total.is_some_and(|total| stream.queries >= total.get())
                && !dotgate_wire::planted!("connections-have-queries-without-end");
            is_last && !stream.is_leaving()
        })
    }

    /// Has a connection leave.
    pub(crate) fn begin_leaving(&mut self, now: Moment, key: StreamKey) {
        if let Some(stream) = self.map.get_mut(key) {
            stream.leaving_since = Some(now);
            stream.end = StreamEnd::Retired;
        }
        self.watch_again(key);
    }

    /// Does what is due of a connection whose timer has expired. False if that is not its age.
    pub(crate) fn go_on_leaving(&mut self, now: Moment, key: StreamKey) -> bool {
        let age_max = self.age_max;
        let Some(stream) = self.map.get_mut(key).filter(|it| !it.is_handshaking()) else {
            return false;
        };
        let is_due = stream
            .leaving_deadline(age_max)
            .is_some_and(|due| due <= now);
        if !is_due {
            return false;
        }
        if stream.is_leaving() {
            stream.has_ended = true;
            stream.is_cut = true;
            stream.frames = Frames::default();
            stream.on_read(now, self.queries_max);
            self.watch_again(key);
        } else {
            self.begin_leaving(now, key);
        }
        true
    }

    /// Sets the timer of a connection whose last one has expired.
    fn watch_again(&mut self, key: StreamKey) {
        if let Some(stream) = self.map.get_mut(key) {
            stream.timer = Moment::NEVER;
        }
        self.watch(key);
    }
}
