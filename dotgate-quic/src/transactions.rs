//! The queries and responses of one connection (RFC 9250 section 4.2): one query on each stream, with its length in front,
//! and its response on the same stream.
//!
//! Each query that the engine has takes a place, whose number replaces its message ID: over QUIC all are 0. A place is free
//! again once the engine has responded, also if the client has cancelled the query.

use std::collections::VecDeque;

use dotgate_core::Moment;
use dotgate_wire::split_frame;
use quinn_proto::StreamId;

use crate::limits;

/// Bytes of the header of a message (RFC 1035 section 4.1.1). What is shorter is no message.
const HEADER_BYTES: usize = 12;

/// Bytes of the length in front of a message.
const LENGTH_BYTES: usize = 2;

#[derive(Clone, Copy)]
enum Place {
    Free,
    Waiting(StreamId),
    Cancelled,
}

/// A stream whose query is not complete.
pub(crate) struct Incomplete {
    pub(crate) id: StreamId,
    since: Moment,
    bytes: Vec<u8>,
}

/// A response that QUIC has not wholly taken.
pub(crate) struct Outgoing {
    pub(crate) id: StreamId,
    pub(crate) bytes: Vec<u8>,
    pub(crate) taken: usize,
}

/// What a client did that RFC 9250 section 4.3.3 calls an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Violation;

#[derive(Default)]
pub(crate) struct Transactions {
    incomplete: VecDeque<Incomplete>,
    /// Bytes of these.
    incomplete_bytes: usize,
    /// Queries that wait for the engine, with the numbers of their places.
    queries: VecDeque<Vec<u8>>,
    query_bytes: usize,
    places: Vec<Place>,
    taken_places: usize,
    pub(crate) outgoing: VecDeque<Outgoing>,
    /// Responses that the client has not acknowledged, with their lengths.
    unacknowledged: Vec<(StreamId, usize)>,
    unsent_bytes: usize,
    acknowledged_bytes: usize,
    cancelled: usize,
}

impl Transactions {
    /// Whether more may be read of streams.
    pub(crate) fn may_read(&self) -> bool {
        self.incomplete_bytes + self.query_bytes < limits::QUEUED_BYTES
            && self.taken_places < limits::QUERIES
    }

    /// A client has opened a stream.
    pub(crate) fn open(&mut self, id: StreamId, now: Moment) {
        self.incomplete.push_back(Incomplete {
            id,
            since: now,
            bytes: Vec::new(),
        });
    }

    /// The streams whose queries are not complete.
    pub(crate) fn incomplete(&self) -> Vec<StreamId> {
        self.incomplete.iter().map(|it| it.id).collect()
    }

    /// Takes the next bytes of a query. More than one message is an error, which does not wait for the end.
    pub(crate) fn add(&mut self, id: StreamId, bytes: &[u8]) -> Result<(), Violation> {
        // The stream that was opened last is the one that is read, most of the time.
        let stream = self.incomplete.iter_mut().rfind(|it| it.id == id);
        let Some(stream) = stream else {
            return Ok(());
        };
        stream.bytes.extend_from_slice(bytes);
        self.incomplete_bytes += bytes.len();
        let has_more = split_frame(&stream.bytes).is_some_and(|(_, rest)| !rest.is_empty());
        match has_more && !dotgate_wire::planted!("quic-streams-carry-several-queries") {
            true => Err(Violation),
            false => Ok(()),
        }
    }

    /// A stream has ended, and so has its query.
    pub(crate) fn finish(&mut self, id: StreamId) -> Result<(), Violation> {
        let Some(stream) = self.remove_incomplete(id) else {
            return Ok(());
        };
        let mut message = stream.bytes;
        match split_frame(&message) {
            Some((whole, _)) if whole.len() >= HEADER_BYTES => {}
            // Cut short, or no message.
            Some(_) | None => return Err(Violation),
        }
        message.drain(..LENGTH_BYTES);
        let number = self.take_place(id).ok_or(Violation)?;
        let id_field = message.first_chunk_mut::<2>().ok_or(Violation)?;
        if *id_field != [0; 2] && !dotgate_wire::planted!("quic-queries-have-any-id") {
            return Err(Violation);
        }
        *id_field = number.to_be_bytes();
        self.query_bytes += message.len();
        self.queries.push_back(message);
        Ok(())
    }

    fn take_place(&mut self, id: StreamId) -> Option<u16> {
        let is_free = |place: &Place| matches!(place, Place::Free);
        let number = self.places.iter().position(is_free);
        let number = number.unwrap_or_else(|| {
            self.places.push(Place::Free);
            self.places.len() - 1
        });
        *self.places.get_mut(number)? = Place::Waiting(id);
        self.taken_places += 1;
        u16::try_from(number).ok()
    }

    fn remove_incomplete(&mut self, id: StreamId) -> Option<Incomplete> {
        let place = self.incomplete.iter().rposition(|it| it.id == id)?;
        let removed = self.incomplete.remove(place)?;
        self.incomplete_bytes -= removed.bytes.len();
        Some(removed)
    }

    /// The next query for the engine.
    pub(crate) fn next_query(&mut self) -> Option<Vec<u8>> {
        let query = self.queries.pop_front()?;
        self.query_bytes -= query.len();
        Some(query)
    }

    /// Takes a response of the engine. Its ID says whose it is.
    pub(crate) fn respond(&mut self, message: &[u8]) {
        let Some((id_field, rest)) = message.split_first_chunk::<2>() else {
            return;
        };
        let Some(place) = self
            .places
            .get_mut(usize::from(u16::from_be_bytes(*id_field)))
        else {
            return;
        };
        let place = std::mem::replace(place, Place::Free);
        if !matches!(place, Place::Free) {
            self.taken_places -= 1;
        }
        let Place::Waiting(id) = place else {
            return;
        };
        self.cancelled = self.cancelled.saturating_sub(1);
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        let shown = match dotgate_wire::planted!("quic-client-gets-the-number-of-its-place") {
            true => *id_field,
            false => [0; 2],
        };
        let bytes = [&length.to_be_bytes()[..], &shown, rest].concat();
        self.unsent_bytes += bytes.len();
        self.unacknowledged.push((id, bytes.len()));
        self.outgoing.push_back(Outgoing {
            id,
            bytes,
            taken: 0,
        });
    }

    /// The client has acknowledged a response.
    pub(crate) fn acknowledge(&mut self, id: StreamId) {
        if let Some(length) = self.forget_response(id) {
            self.acknowledged_bytes += length;
        }
    }

    /// The client wants no response on a stream, or does not complete its query. True if it does that more often than it may.
    pub(crate) fn cancel(&mut self, id: StreamId) -> bool {
        let waits = |place: &&mut Place| matches!(place, Place::Waiting(of) if *of == id);
        let waiting = self.places.iter_mut().find(waits);
        let was_waiting = waiting.map(|place| *place = Place::Cancelled).is_some();
        let was_incomplete = self.remove_incomplete(id).is_some();
        self.outgoing.retain(|it| it.id != id);
        if self.forget_response(id).is_some() || was_waiting || was_incomplete {
            self.cancelled += 1;
        }
        self.cancelled > limits::CANCELLED
            && !dotgate_wire::planted!("quic-queries-are-cancelled-at-will")
    }

    fn forget_response(&mut self, id: StreamId) -> Option<usize> {
        let place = self.unacknowledged.iter().position(|(of, _)| *of == id)?;
        let (_, length) = self.unacknowledged.swap_remove(place);
        self.unsent_bytes -= length;
        Some(length)
    }

    /// Whether it is for the engine to make room.
    pub(crate) fn wait_for_engine(&self) -> bool {
        !self.queries.is_empty() || self.taken_places >= limits::QUERIES
    }

    /// Since when the first query that is not complete has been awaited.
    pub(crate) fn incomplete_since(&self) -> Option<Moment> {
        self.incomplete.front().map(|it| it.since)
    }

    /// Begins to wait for the client once more: it was not read from.
    pub(crate) fn wait_from(&mut self, now: Moment) {
        for stream in &mut self.incomplete {
            stream.since = now;
        }
    }

    /// Whether the client has a response to each of its queries; it may not have acknowledged some.
    pub(crate) fn is_answered(&self) -> bool {
        self.taken_places == 0 && self.outgoing.is_empty()
    }

    /// Bytes of responses that the client has not acknowledged.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent_bytes
    }

    /// Bytes of responses that the client has acknowledged since the last call.
    pub(crate) fn take_acknowledged(&mut self) -> usize {
        std::mem::take(&mut self.acknowledged_bytes)
    }

    /// What the queries cost, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.incomplete_bytes + self.query_bytes
    }
}
