//! What all views of queries are made from: one record of fixed size for each query that has ended.
//!
//! Records hold names and client addresses. They are made only while somebody reads them.

use std::net::IpAddr;
use std::time::Duration;

use dotgate_wire::{QUESTION_MAX, Question};

use crate::counters::labels::{ClientTransport, Outcome};
use crate::failure::Failure;
use crate::keys::UpstreamId;
use crate::routes::RouteId;

/// A query that has ended.
#[derive(Clone, Copy, Debug)]
pub struct QueryRecord {
    /// The client; none if its connection has ended.
    pub client: Option<IpAddr>,
    /// The client's port over UDP.
    pub port: Option<u16>,
    /// How the query came.
    pub transport: ClientTransport,
    /// The message ID of the query.
    pub id: u16,
    /// The question as received, of which only what `length` says is of this query.
    question: [u8; QUESTION_MAX],
    length: u16,
    /// How long the client waited; zero for a response in the turn in which the query came.
    pub took: Duration,
    /// What became of it.
    pub ended: Ended,
}

impl QueryRecord {
    /// A place for a record, to be filled in.
    pub const EMPTY: QueryRecord = QueryRecord {
        client: None,
        port: None,
        transport: ClientTransport::Udp,
        id: 0,
        question: [0; QUESTION_MAX],
        length: 0,
        took: Duration::ZERO,
        ended: Ended::here(Outcome::Ignored, 0, None),
    };

    /// The same with another question; none if it is longer than a question can be.
    #[must_use]
    pub fn with_question(mut self, question: &[u8]) -> QueryRecord {
        self.set_question(question);
        self
    }

    /// What was there before is overwritten as far as this goes: a record is made for each query.
    pub(crate) fn set_question(&mut self, question: &[u8]) {
        self.length = 0;
        if let Some(place) = self.question.get_mut(..question.len()) {
            place.copy_from_slice(question);
            self.length = question.len() as u16;
        }
    }

    /// The question in lower case; none if it could not be parsed.
    pub fn question(&self) -> Option<Question> {
        Question::fold(self.question.get(..usize::from(self.length))?)
    }
}

/// How a query ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Its outcome.
    pub outcome: Outcome,
    /// The RCODE of the response.
    pub rcode: u16,
    /// The Extended DNS Error of the response, which a client without EDNS does not get.
    pub ede: Option<u16>,
    /// The route whose group was responsible; none for what is answered here.
    pub route: Option<RouteId>,
    /// For how long the response had been cached, in seconds; none if it was not fresh, or not from the cache.
    pub cache_age: Option<u32>,
    /// The upstream that answered, or that is at fault; none if that is known to another worker alone.
    pub upstream: Option<UpstreamId>,
    /// How long that upstream took for the attempt that was answered.
    pub upstream_took: Option<Duration>,
    /// Attempts that were made for its question until then.
    pub attempts: u8,
    /// Why it failed.
    pub failure: Option<Failure>,
}

impl Ended {
    /// One that is answered without an upstream.
    pub(crate) const fn here(outcome: Outcome, rcode: u16, ede: Option<u16>) -> Ended {
        Ended {
            outcome,
            rcode,
            ede,
            route: None,
            cache_age: None,
            upstream: None,
            upstream_took: None,
            attempts: 0,
            failure: None,
        }
    }
}
