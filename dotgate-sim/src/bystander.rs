//! The upstream of the default group in a world whose names all have a route: which questions may reach it.
//!
//! A question may that some client asked while the route was gone. One that was only asked while it had its route must not,
//! whatever fails, and also not once a reload has taken the route away.

use dotgate_core::Moment;

use crate::message;
use crate::record::{ClientQuery, Path, Record};

/// The suffix of all names that clients ask, in wire format.
pub(crate) const ROUTED: &[u8] = b"\x07example\0";

/// The upstream, and when names had no route.
#[derive(Debug)]
pub(crate) struct Bystander {
    upstream: usize,
    /// From when till when; the last one may last.
    unrouted: Vec<(Moment, Option<Moment>)>,
}

impl Bystander {
    pub(crate) fn new(upstream: usize) -> Bystander {
        Bystander {
            upstream,
            unrouted: Vec::new(),
        }
    }

    pub(crate) fn is(&self, upstream: usize) -> bool {
        self.upstream == upstream
    }

    /// A reload takes the route away, or gives it back.
    pub(crate) fn set_route(&mut self, now: Moment, is_there: bool) {
        match self.unrouted.last_mut() {
            Some((_, till @ None)) if is_there => *till = Some(now),
            _ if is_there => {}
            _ => self.unrouted.push((now, None)),
        }
    }

    /// Whether the route was taken away or given back after `from`, and no later than `till`.
    pub(crate) fn changed_between(&self, from: Moment, till: Moment) -> bool {
        let is_between = |at: Moment| from <= at && at <= till;
        let mut changes = self.unrouted.iter();
        changes.any(|(gone, back)| is_between(*gone) || back.is_some_and(is_between))
    }

    /// When names last got their route back.
    pub(crate) fn back_last(&self) -> Option<Moment> {
        self.unrouted
            .iter()
            .filter_map(|(_, back)| *back)
            .next_back()
    }

    /// Whether names had no route then.
    pub(crate) fn was_unrouted(&self, at: Moment) -> bool {
        let mut spans = self.unrouted.iter();
        spans.any(|(gone, back)| *gone <= at && back.is_none_or(|back| at < back))
    }

    /// Whether this question may be asked of it.
    pub(crate) fn may_be_asked(&self, question: &[u8], record: &Record) -> bool {
        let asked = message::folded(question);
        let may_lead_here = |query: &&ClientQuery| match query.given {
            Some(given) => self.was_unrouted(given) || self.has_waited_unread(query, given, record),
            None => self.may_be_read_unrouted(query),
        };
        let mut queries = record.queries.iter().filter(may_lead_here);
        queries.any(|query| message::folded(message::question(&query.message)) == asked)
    }

    /// Whether names had no route at some time since the query was sent on a connection. The connection ended in the turn in
    /// which the engine read the query, so that nobody noted when.
    fn may_be_read_unrouted(&self, query: &ClientQuery) -> bool {
        let mut spans = self.unrouted.iter();
        matches!(query.path, Path::Tcp(_))
            && spans.any(|(_, back)| back.is_none_or(|back| back > query.sent))
    }

    /// Whether the route may have changed before the engine read the query, which was among others on its connection.
    fn has_waited_unread(&self, query: &ClientQuery, given: Moment, record: &Record) -> bool {
        let response = query.response.map(|place| record.responses[place].at);
        let mut changes = self.unrouted.iter().map(|(gone, _)| *gone);
        matches!(query.path, Path::Tcp(_))
            && changes.any(|gone| given <= gone && response.is_none_or(|at| gone <= at))
    }
}
