//! Queries on their way from HTTP to the engine, and responses on their way back.
//!
//! Each query that the engine has takes a place, whose number replaces its message ID: most clients over HTTPS use ID 0 for
//! all queries. A place is free again once the engine has responded, also if the client has cancelled the request.

use std::collections::VecDeque;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper::body::Bytes;

use crate::limits;

/// A query of a client, with an ID that no other query of the connection has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpQuery {
    /// The client, if a proxy passes the query on.
    pub client: Option<IpAddr>,
    /// The DNS message.
    pub message: Vec<u8>,
}

/// What a request is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    /// 200: a DNS message.
    Ok,
    /// 400: no DNS query in it, or headers of a proxy that name no address.
    BadRequest,
    /// 404: another path.
    NotFound,
    /// 405: neither GET nor POST.
    MethodNotAllowed,
    /// 413: longer than a DNS message can be.
    ContentTooLarge,
    /// 415: of another media type.
    UnsupportedMediaType,
    /// 503: the engine has as many queries of this connection as it may have.
    Unavailable,
}

impl Status {
    pub(crate) const COUNT: usize = 7;

    /// All of them.
    pub const ALL: [Status; Status::COUNT] = [
        Status::Ok,
        Status::BadRequest,
        Status::NotFound,
        Status::MethodNotAllowed,
        Status::ContentTooLarge,
        Status::UnsupportedMediaType,
        Status::Unavailable,
    ];
}

/// A response for a client.
pub(crate) struct Answer {
    pub(crate) message: Bytes,
    pub(crate) fresh: u32,
}

enum Place {
    Free,
    Waiting { id: [u8; 2], waker: Option<Waker> },
    Answered(Answer),
    Cancelled,
}

#[derive(Default)]
struct State {
    places: Vec<Place>,
    queries: VecDeque<HttpQuery>,
    cancelled: usize,
    has_asked: bool,
    counts: [u64; Status::COUNT],
}

/// What the requests of one connection share with its driver.
#[derive(Default)]
pub(crate) struct Desk {
    state: Mutex<State>,
    /// Bytes of responses that HTTP has not sent yet.
    unsent: Arc<AtomicUsize>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a query where the engine takes it. None if there is no place, or if too much waits to be taken.
    pub(crate) fn ask(
        self: &Arc<Self>,
        client: Option<IpAddr>,
        mut message: Vec<u8>,
    ) -> Option<Ticket> {
        let mut state = self.lock();
        if state.queued_bytes() + message.len() > limits::QUEUED_BYTES {
            return None;
        }
        let is_free = |place: &Place| matches!(place, Place::Free);
        let number = match state.places.iter().position(is_free) {
            Some(number) => number,
            None if state.places.len() < limits::QUERIES => {
                state.places.push(Place::Free);
                state.places.len() - 1
            }
            None => return None,
        };
        let own_id = u16::try_from(number).ok()?.to_be_bytes();
        let id_field = message.first_chunk_mut()?;
        let id = std::mem::replace(id_field, own_id);
        *state.places.get_mut(number)? = Place::Waiting { id, waker: None };
        state.has_asked = true;
        state.queries.push_back(HttpQuery { client, message });
        let desk = Arc::clone(self);
        Some(Ticket {
            desk,
            number,
            is_done: false,
        })
    }

    pub(crate) fn next_query(&self) -> Option<HttpQuery> {
        self.lock().queries.pop_front()
    }

    /// Takes a response of the engine. Its ID says whose it is.
    pub(crate) fn respond(&self, message: &[u8]) {
        let mut response = message.to_vec();
        let Some(id_field) = response.first_chunk_mut::<2>() else {
            return;
        };
        let number = usize::from(u16::from_be_bytes(*id_field));
        let mut state = self.lock();
        let Some(place) = state.places.get_mut(number) else {
            return;
        };
        match std::mem::replace(place, Place::Free) {
            Place::Waiting { id, waker } => {
                if !dotgate_wire::planted!("http-client-gets-the-number-of-its-place") {
                    *id_field = id;
                }
                let fresh = dotgate_wire::freshness(&response);
                let message = Bytes::from_owner(Unsent::new(response, &self.unsent));
                *place = Place::Answered(Answer { message, fresh });
                state.cancelled = state.cancelled.saturating_sub(1);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Place::Answered(answer) => *place = Place::Answered(answer),
            Place::Free | Place::Cancelled => {}
        }
    }

    pub(crate) fn count(&self, status: Status) {
        if let Some(count) = self.lock().counts.get_mut(status as usize) {
            *count += 1;
        }
    }

    /// The requests that were answered since the last call, by status.
    pub(crate) fn take_counts(&self) -> [u64; Status::COUNT] {
        std::mem::take(&mut self.lock().counts)
    }

    /// Bytes of responses that HTTP has not sent yet.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.load(Ordering::Relaxed)
    }

    /// Whether a query was asked since the last call.
    pub(crate) fn take_has_asked(&self) -> bool {
        std::mem::take(&mut self.lock().has_asked)
    }

    /// Requests that the client cancelled beyond those that it let finish.
    pub(crate) fn cancelled(&self) -> usize {
        self.lock().cancelled
    }

    /// Queries that wait for the engine, or for its response.
    pub(crate) fn waiting(&self) -> usize {
        let state = self.lock();
        let waits = |place: &&Place| !matches!(place, Place::Free);
        state.places.iter().filter(waits).count()
    }

    /// What queries that wait to be taken cost, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().queued_bytes()
    }
}

impl State {
    fn queued_bytes(&self) -> usize {
        let bytes = self.queries.iter().map(|query| query.message.capacity());
        bytes.sum()
    }
}

/// A request that waits for the response to its query.
pub(crate) struct Ticket {
    desk: Arc<Desk>,
    number: usize,
    is_done: bool,
}

impl Future for Ticket {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let ticket = &mut *self;
        let mut state = ticket.desk.lock();
        let Some(place) = state.places.get_mut(ticket.number) else {
            return Poll::Pending;
        };
        match std::mem::replace(place, Place::Free) {
            Place::Answered(answer) => {
                ticket.is_done = true;
                return Poll::Ready(answer);
            }
            Place::Waiting { id, .. } => {
                let waker = Some(context.waker().clone());
                *place = Place::Waiting { id, waker };
            }
            other @ (Place::Free | Place::Cancelled) => *place = other,
        }
        Poll::Pending
    }
}

impl Drop for Ticket {
    /// A request that is cancelled gives its place back only if the engine does not have its query.
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut state = self.desk.lock();
        state.cancelled += 1;
        let is_own = |query: &HttpQuery| number_of(&query.message) == Some(self.number);
        let untaken = state.queries.iter().position(is_own);
        let untaken = untaken.and_then(|at| state.queries.remove(at));
        if let Some(place) = state.places.get_mut(self.number) {
            *place = match (&place, untaken) {
                (Place::Waiting { .. }, None)
                    if !dotgate_wire::planted!("place-is-free-before-the-response") =>
                {
                    Place::Cancelled
                }
                (_, _) => Place::Free,
            };
        }
    }
}

/// The place that a message's ID names.
fn number_of(message: &[u8]) -> Option<usize> {
    dotgate_wire::message_id(message).map(usize::from)
}

/// A response that counts as unsent for as long as it exists.
struct Unsent {
    message: Vec<u8>,
    count: Arc<AtomicUsize>,
}

impl Unsent {
    fn new(message: Vec<u8>, count: &Arc<AtomicUsize>) -> Unsent {
        count.fetch_add(message.len(), Ordering::Relaxed);
        let count = Arc::clone(count);
        Unsent { message, count }
    }
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.message
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.count.fetch_sub(self.message.len(), Ordering::Relaxed);
    }
}
