//! One DNS-over-TLS connection, above TLS and below the pool; for plain upstreams, a TCP connection or the queries over UDP.
//!
//! Assigns message IDs, keeps many queries in flight, matches responses in any order, and decides when the
//! connection is suspect, when an idle one should close, and how long a handshake may take. It sees decrypted
//! bytes and the time it is given; it owns no socket and no clock.
//!     Connecting --> Handshaking --> Open --> (removed by the engine)
//!     Open --no response--> suspect --any response--> Open;  suspect for 1.5 s --> closed
//!     Open --keepalive 0, too many retired IDs, or replaced--> draining --last response--> closed
//! Limits: `limits::SESSION_*`, `SUSPECT_*`, `HANDSHAKE_*`. Follows RFC 7766 (6.2.1, 7), RFC 7858 (3.3, 3.4)
//! and RFC 7828 (3.2).

mod age;
mod datagrams;
mod opening;
mod recheck;

use std::collections::VecDeque;
use std::time::Duration;

pub(crate) use self::datagrams::CaseVerdict;
use self::opening::OpeningNoted;
use dotgate_wire::{NameCase, UpstreamQuery, write_query};
use hashbrown::HashTable;

use crate::counters::labels::Ending;
use crate::frames::Frames;
use crate::key_exchange::Handshake;
use crate::keys::{ExchangeKey, UpstreamId};
use crate::limits;
use crate::link::Link;
use crate::moment::{Moment, earlier};
use crate::random::Random;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Connecting,
    Handshaking,
    Open,
}

/// Who waits for the response to a message ID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum QueryOwner {
    Exchange(ExchangeKey),
    /// A probe: the question with this hash, sent to test whether the upstream responds.
    Probe(u64),
    /// A query whose client has the response to another attempt: the question with this hash. How long it takes is
    /// measured.
    Copy(u64),
    /// No one any longer. The ID stays reserved until the session ends, because its response may still arrive
    /// (RFC 7766 section 6.2.1). The question's hash tells a late response from a wrong one.
    Retired(u64),
}

struct Ticket {
    id: u16,
    sent_at: Moment,
    owner: QueryOwner,
    /// The name case of the name.
    name_case: NameCase,
    /// Messages that came for it and do not answer it.
    invalid: u32,
}

/// What a session is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Queries of all clients.
    Shared,
    /// One group of suspects, so that a harmful query among them takes no other query with it.
    Isolation,
}

/// What the passing of time did to a session; each is reported once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Timeout {
    /// The handshake takes long: queries go elsewhere meanwhile.
    OpeningIsSlow,
    /// The handshake takes so long that a second one is started.
    OpeningIsLate,
    /// The handshake is given up.
    OpeningGivenUp,
    /// No response for a while: a probe tests whether the upstream still responds on this session.
    NoResponse,
    /// The probe was not answered either: the session is unresponsive.
    Unresponsive,
    /// It stayed unresponsive, or all that it carried was answered elsewhere: it is closed.
    UnresponsiveTooLong,
    /// This exchange alone was not answered: it is hedged.
    Unanswered(ExchangeKey),
    /// The same, and nothing asked later was answered either: what is asked here again would wait behind it.
    UnansweredWithLater(ExchangeKey),
    /// It has reached its maximum age: it is to be replaced.
    Aged,
    /// It was idle for its limit, or had nothing left to drain.
    Idle,
}

pub(crate) struct Session {
    pub(crate) upstream: UpstreamId,
    pub(crate) purpose: Purpose,
    pub(crate) link: Link,
    pub(crate) phase: Phase,
    pub(crate) alpn: bool,
    pub(crate) handshake: Handshake,
    /// When its opening began.
    pub(crate) started: Moment,
    /// When its TCP connection was established.
    pub(crate) connected: Option<Moment>,
    /// Whether its handshake resumed an earlier session.
    pub(crate) is_resumed: bool,
    /// When its upstream was authenticated.
    pub(crate) opened: Option<Moment>,
    /// Frames that TLS has not taken yet.
    pub(crate) outgoing: Vec<u8>,
    pub(crate) frames: Frames,
    pub(crate) is_dirty: bool,
    pub(crate) responses: u32,
    /// Queries, probes included, after which it takes no more: the upstream closes it then.
    pub(crate) answers_max: Option<u32>,
    /// The idle time after which it is closed.
    pub(crate) idle_limit: Duration,
    /// The time after which it is to be replaced; none if it has no maximum age.
    pub(crate) age_limit: Option<Duration>,
    /// When it is to be replaced, for the first time or again.
    replace_at: Option<Moment>,
    /// Why it is to be replaced, once it is: it ends when another session is open.
    leaves_for: Option<Ending>,
    tickets: HashTable<Ticket>,
    in_flight: u32,
    retired: u32,
    invalid: u32,
    /// IDs in the order of sending; those answered leave when they reach the front.
    sent: VecDeque<(Moment, u16)>,
    /// When the first and the second query since the last response were sent.
    unanswered: [Option<Moment>; 2],
    /// When a probe was sent since the last response.
    probed_at: Option<Moment>,
    /// Whether that probe is for the network's sake.
    is_rechecked: bool,
    /// Since when it is unresponsive.
    unresponsive_since: Option<Moment>,
    /// Whether it carries a single suspect that may merely be slow: then it is no longer judged.
    is_excused: bool,
    round_trip: Option<Duration>,
    /// That of the session before it, until this one has its own.
    pub(crate) expected_round_trip: Option<Duration>,
    /// When the latest of the queries that were answered was sent.
    newest_answered: Option<Moment>,
    idle_since: Moment,
    is_draining: bool,
    /// Questions sent, probes included.
    sent_count: u32,
    /// Of these, questions of clients.
    carried: u32,
    opening_noted: OpeningNoted,
    /// Over UDP: IDs that wait no more, whose sockets are to be closed.
    released: Vec<u16>,
    /// Over UDP: whether the upstream is known to keep the name case.
    keeps_case: Option<bool>,
}

impl Session {
    pub(crate) fn new(upstream: UpstreamId, purpose: Purpose, alpn: bool, now: Moment) -> Session {
        Session {
            upstream,
            purpose,
            link: Link::Tls,
            phase: Phase::Connecting,
            alpn,
            handshake: Handshake::default(),
            started: now,
            connected: None,
            is_resumed: false,
            opened: None,
            outgoing: Vec::new(),
            frames: Frames::default(),
            is_dirty: false,
            responses: 0,
            answers_max: None,
            idle_limit: limits::SESSION_IDLE,
            age_limit: None,
            replace_at: None,
            leaves_for: None,
            tickets: HashTable::new(),
            in_flight: 0,
            retired: 0,
            invalid: 0,
            sent: VecDeque::new(),
            unanswered: [None; 2],
            probed_at: None,
            is_rechecked: false,
            unresponsive_since: None,
            is_excused: false,
            round_trip: None,
            expected_round_trip: None,
            newest_answered: None,
            idle_since: now,
            is_draining: false,
            sent_count: 0,
            carried: 0,
            opening_noted: OpeningNoted::Nothing,
            released: Vec::new(),
            keeps_case: None,
        }
    }

    pub(crate) fn on_open(&mut self, now: Moment) {
        self.phase = Phase::Open;
        self.opened = Some(now);
        self.idle_since = now;
        self.begin_to_age(now);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether it may be given another query.
    pub(crate) fn takes_queries(&self) -> bool {
        (self.is_open() || dotgate_wire::planted!("sent-before-authentication"))
            && !self.is_draining
            && self.in_flight + self.retired < self.queries_max()
            && self.outgoing.len() < limits::SESSION_UNSENT_BYTES
    }

    /// Whether it has carried a question.
    pub(crate) fn has_sent(&self) -> bool {
        self.sent_count > 0
    }

    /// How many questions of clients it has carried.
    pub(crate) fn carried(&self) -> u32 {
        self.carried
    }

    /// Message IDs given up whose responses have not come.
    pub(crate) fn retired(&self) -> u32 {
        self.retired
    }

    /// When the first query was sent to which nothing came since.
    pub(crate) fn no_response_since(&self) -> Option<Moment> {
        self.unanswered[0]
    }

    /// Whether a probe was not answered on it.
    pub(crate) fn is_unresponsive(&self) -> bool {
        self.unresponsive_since.is_some()
    }

    /// Stops testing whether it responds: its only query may be slow, and no other query waits behind it.
    pub(crate) fn excuse(&mut self) {
        self.is_excused = true;
        self.unresponsive_since = None;
        self.probed_at = None;
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// The smoothed time from a query to its response.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Whether it has carried as many questions as its upstream answers.
    fn is_spent(&self) -> bool {
        self.answers_max.is_some_and(|max| self.sent_count >= max)
    }

    /// Puts a question in flight and returns its message ID. The caller has seen `takes_queries`.
    pub(crate) fn send(
        &mut self,
        owner: QueryOwner,
        mut query: UpstreamQuery<'_>,
        random: &mut Random,
        now: Moment,
    ) -> u16 {
        let id = self.free_id(random);
        query.id = id;
        query.asks_keepalive = !self.has_sent() && query.edns && self.link != Link::Datagrams;
        query.pads = self.link == Link::Tls;
        query.name_case = self.pick_case(query.question, random);
        let name_case = query.name_case;
        self.sent_count += 1;
        if matches!(owner, QueryOwner::Exchange(_)) {
            self.carried += 1;
        }
        if self.is_spent() {
            self.drain();
        }
        write_query(&mut self.outgoing, &query);
        let ticket = Ticket {
            id,
            sent_at: now,
            owner,
            name_case,
            invalid: 0,
        };
        self.tickets
            .insert_unique(spread(id), ticket, |ticket| spread(ticket.id));
        self.in_flight += 1;
        self.sent.push_back((now, id));
        match &mut self.unanswered {
            [first @ None, _] => *first = Some(now),
            [Some(_), second @ None] => *second = Some(now),
            [Some(_), Some(_)] => {}
        }
        id
    }

    /// Who waits for a response with this ID.
    pub(crate) fn owner(&self, id: u16) -> Option<QueryOwner> {
        self.tickets
            .find(spread(id), |ticket| ticket.id == id)
            .map(|ticket| ticket.owner)
    }

    /// Records the right response to a query in flight; its ID is free again. Returns how long it took.
    pub(crate) fn on_response(&mut self, id: u16, now: Moment) -> Option<Duration> {
        let mut time = None;
        if let Ok(entry) = self
            .tickets
            .find_entry(spread(id), |ticket| ticket.id == id)
        {
            let sent_at = entry.remove().0.sent_at;
            let sample = now.since(sent_at);
            time = Some(sample);
            self.newest_answered = self.newest_answered.max(Some(sent_at));
            self.round_trip = Some(match self.round_trip {
                Some(mean) => (mean * 7 + sample) / 8,
                None => sample,
            });
            self.one_less_in_flight(now);
            self.release(id);
        }
        self.responses = self.responses.saturating_add(1);
        self.invalid = 0;
        self.unanswered = match self.purpose {
            Purpose::Shared => [None; 2],
            // No later query will show that the others are not answered.
            Purpose::Isolation => [1, 2].map(|left| (self.in_flight >= left).then_some(now)),
        };
        self.probed_at = None;
        self.is_rechecked = false;
        self.unresponsive_since = None;
        self.trim_sent();
        time
    }

    /// Records the right response to a retired ID, which is free again (RFC 7766 section 6.2.1): a second one
    /// has an unknown ID. It proves nothing about what is in flight.
    pub(crate) fn on_late_response(&mut self, id: u16) {
        let ticket = self
            .tickets
            .find_entry(spread(id), |ticket| ticket.id == id);
        if let Ok(entry) = ticket {
            entry.remove();
            self.retired = self.retired.saturating_sub(1);
            self.responses = self.responses.saturating_add(1);
        }
    }

    /// Records a message that matches no query. True when there were too many of them.
    pub(crate) fn on_invalid(&mut self) -> bool {
        self.invalid += 1;
        self.invalid >= limits::SESSION_INVALID_MESSAGES
            && !dotgate_wire::planted!("invalid-messages-are-borne")
    }

    /// Gives up a query: no one waits for its response, but its ID stays reserved.
    /// Over UDP it is free: its socket is closed.
    pub(crate) fn retire(&mut self, id: u16, question_hash: u64, now: Moment) {
        if self.link == Link::Datagrams {
            self.abandon(id, now);
        } else if let Some(ticket) = self.tickets.find_mut(spread(id), |ticket| ticket.id == id) {
            ticket.owner = QueryOwner::Retired(question_hash);
            self.retired += 1;
            self.one_less_in_flight(now);
            self.trim_sent();
            if self.retired >= limits::SESSION_RETIRED_IDS {
                self.drain();
            }
        }
    }

    /// Leaves a query in flight whose client has its response, unless it is so old that it is given up.
    pub(crate) fn keep_copy(&mut self, id: u16, question_hash: u64, now: Moment) {
        let again_after = self.again_after();
        let ticket = self.tickets.find_mut(spread(id), |ticket| ticket.id == id);
        match ticket.filter(|ticket| ticket.sent_at + again_after > now) {
            Some(ticket) => ticket.owner = QueryOwner::Copy(question_hash),
            None => self.retire(id, question_hash, now),
        }
    }

    /// The exchanges that wait for a response, in the order in which they were sent.
    pub(crate) fn unanswered(&self) -> Vec<ExchangeKey> {
        let mut waiting: Vec<(Moment, ExchangeKey)> = self
            .tickets
            .iter()
            .filter_map(|ticket| match ticket.owner {
                QueryOwner::Exchange(exchange) => Some((ticket.sent_at, exchange)),
                QueryOwner::Probe(_) | QueryOwner::Copy(_) | QueryOwner::Retired(_) => None,
            })
            .collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, exchange)| exchange).collect()
    }

    /// The next thing that is due at `now`, if any.
    pub(crate) fn poll_timeout(&mut self, now: Moment) -> Option<Timeout> {
        let due = self.next_deadline().is_some_and(|deadline| deadline <= now);
        if !due {
            return None;
        }
        if !self.is_open() {
            return Some(self.opening_timeout(now));
        }
        if self.judgement().is_some_and(|due| due <= now) {
            return Some(self.judge(now));
        }
        if let Some(&(sent_at, id)) = self.sent.front()
            && sent_at + self.again_after() <= now
        {
            self.sent.pop_front();
            let timeout = self.overdue(sent_at, id, now);
            self.trim_sent();
            return timeout.or_else(|| self.poll_timeout(now));
        }
        if self.replacement_due().is_some_and(|due| due <= now) {
            return Some(Timeout::Aged);
        }
        Some(match self.unresponsive_since {
            Some(_) => Timeout::UnresponsiveTooLong,
            None => Timeout::Idle,
        })
    }

    /// When `poll_timeout` next returns something.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        match self.phase {
            Phase::Connecting | Phase::Handshaking => Some(self.next_of_opening()),
            Phase::Open => {
                let hedge = self
                    .sent
                    .front()
                    .map(|(sent_at, _)| *sent_at + self.again_after());
                earlier(earlier(self.judgement(), hedge), self.next_ending())
            }
        }
    }

    /// When it is next tested for a lack of responses.
    fn judgement(&self) -> Option<Moment> {
        match (self.unresponsive_since, self.probed_at) {
            _ if self.is_excused => None,
            (Some(since), _) => Some(since + limits::UNRESPONSIVE_FOR),
            (None, Some(probed)) => Some(probed + self.at_least(limits::PROBE_WAIT)),
            // The response to a probe could be the last one that the upstream gives, in place of the only client's.
            (None, None) if self.is_spent() && self.in_flight == 1 => None,
            (None, None) => self.suspicion(),
        }
    }

    fn judge(&mut self, now: Moment) -> Timeout {
        let is_long_past = |due: Moment| due + limits::UNRESPONSIVE_FOR <= now;
        match (self.unresponsive_since, self.probed_at) {
            (Some(_), _) => Timeout::UnresponsiveTooLong,
            (None, Some(_)) => self.become_unresponsive(now),
            // The system slept meanwhile: nothing came in all that time.
            (None, None) if self.suspicion().is_some_and(is_long_past) => {
                self.become_unresponsive(now)
            }
            (None, None) if dotgate_wire::planted!("no-response-alone-closes-a-session") => {
                self.become_unresponsive(now)
            }
            (None, None) => {
                self.probed_at = Some(now);
                Timeout::NoResponse
            }
        }
    }

    /// What is in flight may still be answered, but nothing more is asked here: a serial upstream may stall again at once.
    fn become_unresponsive(&mut self, now: Moment) -> Timeout {
        if self.link == Link::Datagrams {
            return self.restart_unresponsive_timer();
        }
        self.unresponsive_since = Some(now);
        self.drain();
        Timeout::Unresponsive
    }

    /// When a lack of responses becomes suspicious. The second unanswered query has the short limit; the first, which may be
    /// one slow name, the long one.
    fn suspicion(&self) -> Option<Moment> {
        let first = self.unanswered[0].map(|sent| sent + self.at_least(limits::NO_RESPONSE_ALONE));
        let second = self.unanswered[1].map(|sent| sent + self.at_least(limits::NO_RESPONSE));
        earlier(first, second).filter(|_| !dotgate_wire::planted!("session-is-never-unresponsive"))
    }

    /// A wait, or a few round trips where these are longer.
    fn at_least(&self, wait: Duration) -> Duration {
        let connect = self
            .connected
            .map(|connected| connected.since(self.started));
        let expected = self.expected_round_trip.max(connect);
        let round_trip = self.round_trip.or(expected);
        let round_trips = round_trip.map(|mean| mean * limits::WAIT_ROUND_TRIPS);
        round_trips.map_or(wait, |round_trips| wait.max(round_trips))
    }

    /// Expires a query: an exchange is notified; no one waits for a probe or a copy, which would
    /// keep the session from ever being idle.
    fn overdue(&mut self, sent_at: Moment, id: u16, now: Moment) -> Option<Timeout> {
        let ticket = self.tickets.find(spread(id), |ticket| ticket.id == id)?;
        if ticket.sent_at != sent_at {
            return None;
        }
        match ticket.owner {
            QueryOwner::Exchange(exchange) => {
                let answers_others = self.newest_answered >= Some(sent_at);
                Some(if answers_others {
                    Timeout::Unanswered(exchange)
                } else {
                    Timeout::UnansweredWithLater(exchange)
                })
            }
            QueryOwner::Probe(hash) | QueryOwner::Copy(hash) => {
                self.retire(id, hash, now);
                None
            }
            QueryOwner::Retired(_) => None,
        }
    }

    fn free_id(&self, random: &mut Random) -> u16 {
        let is_retired = |ticket: &&Ticket| matches!(ticket.owner, QueryOwner::Retired(_));
        if dotgate_wire::planted!("retired-id-is-given-again")
            && let Some(ticket) = self.tickets.iter().find(is_retired)
        {
            return ticket.id;
        }
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
                ticket.sent_at == sent_at && !matches!(ticket.owner, QueryOwner::Retired(_))
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

#[cfg(test)]
mod tests;
