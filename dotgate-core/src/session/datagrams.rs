//! Sessions that are not a connection but queries over UDP, each on its own socket.
//!
//! It is open once a probe is answered. It never ends for being idle, queries do not wait for one another,
//! and a query that waits no more leaves nothing behind: its socket is closed, so that its port and ID are useless to
//! anybody. Follows RFC 5452 (ports, IDs) and draft-vixie-dnsext-dns0x20 (name case).

use std::time::Duration;

use dotgate_wire::{NameCase, Question};

use super::{QueryOwner, Session, Timeout, spread};
use crate::limits;
use crate::link::Link;
use crate::moment::Moment;
use crate::random::Random;

/// What the name case of a response says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CaseVerdict {
    /// It is that of the query.
    Right,
    /// It is not, and this shows that the upstream does not keep it.
    NotKept,
    /// It is not, though the upstream keeps it: somebody else may have sent the response.
    Wrong,
}

impl Session {
    /// How many queries may be in flight.
    pub(super) fn queries_max(&self) -> u32 {
        match self.link {
            Link::Tls | Link::Tcp => limits::SESSION_QUERIES,
            Link::Datagrams => limits::DATAGRAM_QUERIES,
        }
    }

    /// Whether as many are in flight as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.in_flight + self.retired >= self.queries_max()
    }

    /// After how long an unanswered query is asked once more.
    pub(super) fn again_after(&self) -> Duration {
        match self.link {
            Link::Tls | Link::Tcp => limits::HEDGE_AFTER,
            Link::Datagrams => self
                .at_least(limits::DATAGRAM_AGAIN_AFTER)
                .min(limits::HEDGE_AFTER),
        }
    }

    /// How long opening may take.
    pub(super) fn opening_wait(&self) -> Duration {
        match self.link {
            _ if dotgate_wire::planted!("handshake-is-never-given-up") => Duration::from_secs(300),
            Link::Tls | Link::Tcp => limits::HANDSHAKE_WAIT,
            Link::Datagrams => limits::DATAGRAM_OPENING_WAIT,
        }
    }

    /// The name case in which a name is asked: over UDP a random one, unless the upstream does not preserve it.
    pub(super) fn pick_case(&self, question: &Question, random: &mut Random) -> NameCase {
        if self.link != Link::Datagrams || self.keeps_case == Some(false) {
            return NameCase::LOWER;
        }
        let bits = std::array::from_fn(|_| random.word());
        NameCase::mixed(question.as_bytes(), bits)
    }

    /// The name case in which the query with this ID was asked.
    pub(crate) fn name_case(&self, id: u16) -> NameCase {
        let ticket = self.tickets.find(spread(id), |ticket| ticket.id == id);
        ticket.map_or(NameCase::LOWER, |ticket| ticket.name_case)
    }

    /// Compares the name case of a response's question with that of the query, and learns from it.
    pub(crate) fn judge_case(&mut self, id: u16, question: &[u8]) -> CaseVerdict {
        let ticket = self.tickets.find(spread(id), |ticket| ticket.id == id);
        let (Some(ticket), Link::Datagrams, false) = (ticket, self.link, question.is_empty())
        else {
            return CaseVerdict::Right;
        };
        let is_right = NameCase::of(question) == ticket.name_case;
        let is_mixed = ticket.name_case != NameCase::LOWER;
        match (is_right, self.keeps_case) {
            (true, None) if is_mixed => {
                self.keeps_case = Some(true);
                CaseVerdict::Right
            }
            (true, _) | (false, Some(false)) => CaseVerdict::Right,
            (false, None) => {
                self.keeps_case = Some(false);
                CaseVerdict::NotKept
            }
            (false, Some(true)) if dotgate_wire::planted!("wrong-name-case-is-accepted") => {
                CaseVerdict::Right
            }
            (false, Some(true)) => CaseVerdict::Wrong,
        }
    }

    /// Records a datagram on the socket of this query that does not answer it. True when there were too many.
    pub(crate) fn on_invalid_for(&mut self, id: u16) -> bool {
        let ticket = self.tickets.find_mut(spread(id), |ticket| ticket.id == id);
        ticket.is_some_and(|ticket| {
            ticket.invalid += 1;
            ticket.invalid == limits::DATAGRAM_INVALID
        })
    }

    /// Whether a query waits for its response. One that does not is not sent any more.
    pub(crate) fn awaits(&self, id: u16) -> bool {
        matches!(
            self.owner(id),
            Some(QueryOwner::Exchange(_) | QueryOwner::Probe(_) | QueryOwner::Copy(_))
        )
    }

    /// Whether some query waits no more, and its socket is not closed yet.
    pub(crate) fn has_released(&self) -> bool {
        !self.released.is_empty()
    }

    /// The next query that waits no more.
    pub(crate) fn poll_released(&mut self) -> Option<u16> {
        self.released.pop()
    }

    pub(super) fn release(&mut self, id: u16) {
        if self.link == Link::Datagrams {
            self.released.push(id);
        }
    }

    /// Removes a query: later datagrams for it are not read.
    pub(super) fn abandon(&mut self, id: u16, now: Moment) {
        let ticket = self
            .tickets
            .find_entry(spread(id), |ticket| ticket.id == id);
        if let Ok(entry) = ticket {
            entry.remove();
            self.one_less_in_flight(now);
            self.release(id);
            self.trim_sent();
        }
    }

    /// Later queries are judged separately, because each has its own socket.
    pub(super) fn restart_unresponsive_timer(&mut self) -> Timeout {
        self.unanswered = [None; 2];
        self.probed_at = None;
        Timeout::Unresponsive
    }
}
