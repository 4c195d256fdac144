//! One DNS-over-TLS connection, above TLS and below the pool.
//!
//! Assigns message IDs, keeps many queries in flight, matches responses in any order, and decides when the
//! connection is suspect, when an idle one should close, and how long a handshake may take. It sees decrypted
//! bytes and the time it is told; it owns no socket and no clock.
//!     Connecting --> Handshaking --> Open --> (removed by the engine)
//!     Open --silence--> suspect --any response--> Open;  suspect for 1.5 s --> closed
//!     Open --keepalive 0, or too many retired IDs--> draining --last response--> closed
//! Limits: `limits::SESSION_*`, `SUSPECT_*`, `HANDSHAKE_*`. Follows RFC 7766 (6.2.1, 7), RFC 7858 (3.3, 3.4)
//! and RFC 7828 (3.2).

use std::collections::VecDeque;
use std::time::Duration;

use dotgate_wire::{Question, UpstreamQuery, write_query};
use hashbrown::HashTable;
use slotmap::new_key_type;

use crate::exchange::ExchangeKey;
use crate::frames::Frames;
use crate::limits;
use crate::moment::{Moment, earlier};
use crate::random::Random;

new_key_type! {
    /// Names a session to its driver; never used again for another one.
    pub struct SessionKey;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Connecting,
    Handshaking,
    Open,
}

/// Who waits for the response to a message ID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asker {
    Exchange(ExchangeKey),
    /// Nobody: the forwarder asks the question with this hash to see whether the upstream answers.
    Probe(u64),
    /// Nobody any more. The ID stays taken until the session ends, for its response may still come
    /// (RFC 7766 section 6.2.1). The question's hash tells a late response from a wrong one.
    Retired(u64),
}

struct Ticket {
    id: u16,
    sent_at: Moment,
    asker: Asker,
}

/// What the passing of time did to a session; each is reported once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lapse {
    /// The handshake takes long: queries go elsewhere meanwhile.
    OpeningIsSlow,
    /// The handshake takes so long that another one is begun beside it.
    OpeningIsLate,
    /// The handshake is given up.
    OpeningGivenUp,
    /// It fell silent: its queries are asked elsewhere, beside.
    Suspect,
    /// It stayed silent, or broke off: it is closed and its queries have failed.
    SilentTooLong,
    /// This exchange alone was not answered: it is asked beside.
    Unanswered(ExchangeKey),
    /// The same, and nothing asked later was answered either: what is asked here again would wait behind it.
    UnansweredWithLater(ExchangeKey),
    /// It was idle for its limit, or had nothing left to drain.
    Idle,
}

pub(crate) struct Session {
    pub(crate) upstream: usize,
    pub(crate) phase: Phase,
    pub(crate) alpn: bool,
    /// When its opening began.
    pub(crate) started: Moment,
    /// When its TCP connection stood.
    pub(crate) connected: Option<Moment>,
    /// Whether its handshake resumed an earlier session.
    pub(crate) is_resumed: bool,
    /// When its upstream was authenticated.
    pub(crate) opened: Option<Moment>,
    /// Frames that TLS has not taken yet.
    pub(crate) outgoing: Vec<u8>,
    pub(crate) frames: Frames,
    pub(crate) is_dirty: bool,
    pub(crate) responses: u64,
    /// The idle time after which it is closed.
    pub(crate) idle_limit: Duration,
    tickets: HashTable<Ticket>,
    in_flight: u32,
    retired: u32,
    invalid: u32,
    /// IDs in the order of sending; those answered leave when they reach the front.
    sent: VecDeque<(Moment, u16)>,
    /// When the first and the second query since the last response were sent.
    silence: [Option<Moment>; 2],
    suspect_since: Option<Moment>,
    round_trip: Option<Duration>,
    /// When the latest of the queries that were answered was sent.
    newest_answered: Option<Moment>,
    idle_since: Moment,
    is_draining: bool,
    has_sent: bool,
    opening_noted: OpeningNoted,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum OpeningNoted {
    Nothing,
    Slow,
    Late,
}

impl Session {
    pub(crate) fn new(upstream: usize, alpn: bool, idle_limit: Duration, now: Moment) -> Session {
        Session {
            upstream,
            phase: Phase::Connecting,
            alpn,
            started: now,
            connected: None,
            is_resumed: false,
            opened: None,
            outgoing: Vec::new(),
            frames: Frames::default(),
            is_dirty: false,
            responses: 0,
            idle_limit,
            tickets: HashTable::new(),
            in_flight: 0,
            retired: 0,
            invalid: 0,
            sent: VecDeque::new(),
            silence: [None; 2],
            suspect_since: None,
            round_trip: None,
            newest_answered: None,
            idle_since: now,
            is_draining: false,
            has_sent: false,
            opening_noted: OpeningNoted::Nothing,
        }
    }

    pub(crate) fn on_open(&mut self, now: Moment) {
        self.phase = Phase::Open;
        self.opened = Some(now);
        self.idle_since = now;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether it may be given another query.
    pub(crate) fn takes_queries(&self) -> bool {
        self.is_open()
            && self.suspect_since.is_none()
            && !self.is_draining
            && self.in_flight + self.retired < limits::SESSION_QUERIES
            && self.outgoing.len() < limits::SESSION_UNSENT_BYTES
    }

    /// Whether it has carried a question.
    pub(crate) fn has_sent(&self) -> bool {
        self.has_sent
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// The smoothed time from a query to its response.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The time since something was in flight; zero while something is.
    pub(crate) fn idle_for(&self, now: Moment) -> Duration {
        if self.in_flight == 0 {
            now.since(self.idle_since)
        } else {
            Duration::ZERO
        }
    }

    /// Takes no more queries and closes when those in flight are answered.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Puts a question in flight and returns its message ID. The caller has seen `takes_queries`.
    pub(crate) fn send(
        &mut self,
        asker: Asker,
        mut query: UpstreamQuery<'_>,
        random: &mut Random,
        now: Moment,
    ) -> u16 {
        let id = self.free_id(random);
        query.id = id;
        query.asks_keepalive = !self.has_sent && query.edns;
        self.has_sent = true;
        write_query(&mut self.outgoing, &query);
        let ticket = Ticket {
            id,
            sent_at: now,
            asker,
        };
        self.tickets
            .insert_unique(spread(id), ticket, |ticket| spread(ticket.id));
        self.in_flight += 1;
        self.sent.push_back((now, id));
        match &mut self.silence {
            [first @ None, _] => *first = Some(now),
            [Some(_), second @ None] => *second = Some(now),
            [Some(_), Some(_)] => {}
        }
        id
    }

    /// Who waits for a response with this ID.
    pub(crate) fn asker(&self, id: u16) -> Option<Asker> {
        self.tickets
            .find(spread(id), |ticket| ticket.id == id)
            .map(|ticket| ticket.asker)
    }

    /// Takes note of the right response to a query in flight; its ID is free again.
    pub(crate) fn on_response(&mut self, id: u16, now: Moment) {
        if let Ok(entry) = self
            .tickets
            .find_entry(spread(id), |ticket| ticket.id == id)
        {
            let sent_at = entry.remove().0.sent_at;
            let sample = now.since(sent_at);
            self.newest_answered = self.newest_answered.max(Some(sent_at));
            self.round_trip = Some(match self.round_trip {
                Some(mean) => (mean * 7 + sample) / 8,
                None => sample,
            });
            self.one_less_in_flight(now);
        }
        self.on_late_response();
        self.trim_sent();
    }

    /// Takes note of a right response to a retired ID: the session is alive.
    pub(crate) fn on_late_response(&mut self) {
        self.responses += 1;
        self.invalid = 0;
        self.silence = [None; 2];
        self.suspect_since = None;
    }

    /// Takes note of a message that answers nothing. True when there were too many of them.
    pub(crate) fn on_invalid(&mut self) -> bool {
        self.invalid += 1;
        self.invalid >= limits::SESSION_INVALID_MESSAGES
    }

    /// Gives a query up: nobody waits for its response any more, but its ID stays taken.
    pub(crate) fn retire(&mut self, id: u16, question_hash: u64, now: Moment) {
        if let Some(ticket) = self.tickets.find_mut(spread(id), |ticket| ticket.id == id) {
            ticket.asker = Asker::Retired(question_hash);
            self.retired += 1;
            self.one_less_in_flight(now);
            self.trim_sent();
            if self.retired >= limits::SESSION_RETIRED_IDS {
                self.drain();
            }
        }
    }

    /// The exchanges that wait for a response, in the order in which they were sent.
    pub(crate) fn unanswered(&self) -> Vec<ExchangeKey> {
        let mut waiting: Vec<(Moment, ExchangeKey)> = self
            .tickets
            .iter()
            .filter_map(|ticket| match ticket.asker {
                Asker::Exchange(exchange) => Some((ticket.sent_at, exchange)),
                Asker::Probe(_) | Asker::Retired(_) => None,
            })
            .collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, exchange)| exchange).collect()
    }

    /// The next thing that is due at `now`, if any.
    pub(crate) fn poll_lapse(&mut self, now: Moment) -> Option<Lapse> {
        let due = self.next_deadline().is_some_and(|deadline| deadline <= now);
        if !due {
            return None;
        }
        if !self.is_open() {
            return Some(self.opening_lapse(now));
        }
        if self
            .suspect_since
            .is_some_and(|since| since + limits::SUSPECT_FOR <= now)
        {
            return Some(Lapse::SilentTooLong);
        }
        if self.suspect_since.is_none() && self.suspicion().is_some_and(|due| due <= now) {
            self.suspect_since = Some(now);
            return Some(Lapse::Suspect);
        }
        if let Some(&(sent_at, id)) = self.sent.front()
            && sent_at + limits::BESIDE_AFTER <= now
        {
            self.sent.pop_front();
            let lapse = self.overdue(sent_at, id, now);
            self.trim_sent();
            return lapse.or_else(|| self.poll_lapse(now));
        }
        Some(Lapse::Idle)
    }

    /// When `poll_lapse` has something to say.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        match self.phase {
            Phase::Connecting | Phase::Handshaking => Some(
                self.started
                    + match self.opening_noted {
                        OpeningNoted::Nothing => limits::SUSPECT_AFTER,
                        OpeningNoted::Slow => limits::HANDSHAKE_BESIDE_AFTER,
                        OpeningNoted::Late => limits::HANDSHAKE_WAIT,
                    },
            ),
            Phase::Open => {
                let silence = match self.suspect_since {
                    Some(since) => Some(since + limits::SUSPECT_FOR),
                    None => self.suspicion(),
                };
                let beside = self
                    .sent
                    .front()
                    .map(|(sent_at, _)| *sent_at + limits::BESIDE_AFTER);
                let idle = (self.in_flight == 0).then(|| match self.is_draining {
                    true => self.idle_since,
                    false => self.idle_since + self.idle_limit,
                });
                earlier(earlier(silence, beside), idle)
            }
        }
    }

    /// When it becomes suspect. The second query of a silence has the short limit, the first, which may be
    /// one slow name, the long one: a query that joins a slow one does not condemn the session at once.
    fn suspicion(&self) -> Option<Moment> {
        let patience = |least: Duration| match self.round_trip {
            Some(mean) => least.max(mean * limits::SUSPECT_ROUND_TRIPS),
            None => least,
        };
        let first = self.silence[0].map(|sent| sent + patience(limits::SUSPECT_ALONE_AFTER));
        let second = self.silence[1].map(|sent| sent + patience(limits::SUSPECT_AFTER));
        earlier(first, second)
    }

    fn opening_lapse(&mut self, now: Moment) -> Lapse {
        match self.opening_noted {
            OpeningNoted::Nothing => {
                self.opening_noted = OpeningNoted::Slow;
                Lapse::OpeningIsSlow
            }
            OpeningNoted::Slow => {
                self.opening_noted = OpeningNoted::Late;
                Lapse::OpeningIsLate
            }
            OpeningNoted::Late => {
                debug_assert!(now.since(self.started) >= limits::HANDSHAKE_WAIT);
                Lapse::OpeningGivenUp
            }
        }
    }

    /// Whether its opening was noted as slow.
    pub(crate) fn opens_slowly(&self) -> bool {
        self.opening_noted != OpeningNoted::Nothing
    }

    /// What becomes of a query sent so long ago: an exchange is told; nobody waits for a probe, which would
    /// keep the session from ever being idle.
    fn overdue(&mut self, sent_at: Moment, id: u16, now: Moment) -> Option<Lapse> {
        let ticket = self.tickets.find(spread(id), |ticket| ticket.id == id)?;
        if ticket.sent_at != sent_at {
            return None;
        }
        match ticket.asker {
            Asker::Exchange(exchange) => {
                let answers_others = self.newest_answered >= Some(sent_at);
                Some(if answers_others {
                    Lapse::Unanswered(exchange)
                } else {
                    Lapse::UnansweredWithLater(exchange)
                })
            }
            Asker::Probe(hash) => {
                self.retire(id, hash, now);
                None
            }
            Asker::Retired(_) => None,
        }
    }

    fn free_id(&self, random: &mut Random) -> u16 {
        loop {
            let id = random.message_id();
            if self
                .tickets
                .find(spread(id), |ticket| ticket.id == id)
                .is_none()
            {
                return id;
            }
        }
    }

    fn one_less_in_flight(&mut self, now: Moment) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.in_flight == 0 {
            self.idle_since = now;
        }
    }

    fn trim_sent(&mut self) {
        while let Some(&(sent_at, id)) = self.sent.front() {
            let ticket = self.tickets.find(spread(id), |ticket| ticket.id == id);
            let waits = ticket.is_some_and(|ticket| {
                ticket.sent_at == sent_at && !matches!(ticket.asker, Asker::Retired(_))
            });
            if waits {
                break;
            }
            self.sent.pop_front();
        }
    }
}

/// Spreads an ID, which is random already, over the bits a hash table looks at.
fn spread(id: u16) -> u64 {
    u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The question of a probe until a client has asked one: the root's name servers.
pub(crate) fn probe_question() -> Option<Question> {
    Question::new(&[0], dotgate_wire::rtype::NS, dotgate_wire::rclass::IN)
}

#[cfg(test)]
mod tests;
