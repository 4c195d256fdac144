//! All attempts made for one question, and everyone who waits for its answer.
//!
//! Stands between `inflight` and `select`. An exchange ends with the first response that can be delivered, or
//! when its last waiter's deadline passes. A deadline belongs to the waiter and never moves; an attempt
//! extends nothing. Limits: `limits::ATTEMPTS` in all, two at once.

use std::cmp::Ordering;
use std::net::SocketAddr;

use dotgate_wire::{ClientEdns, Flags, LetterCase, Question};
use hashbrown::HashTable;
use slotmap::SlotMap;

use crate::admit::{ClientId, Via};
use crate::cache::Key;
use crate::failure::Failure;
use crate::flights::Role;
use crate::isolation::GroupId;
use crate::keys::{ExchangeKey, SessionKey, StreamKey, WaiterKey, ZoneKey};
use crate::limits;
use crate::moment::Moment;
use crate::outbox::ReturnPath;

pub(crate) type Waiters = SlotMap<WaiterKey, Waiter>;

/// Where a client's response goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    Datagram(ReturnPath),
    Stream(StreamKey),
}

impl Client {
    /// The address and port of a client over UDP.
    pub(crate) fn peer(self) -> Option<SocketAddr> {
        match self {
            Client::Datagram(path) => Some(path.peer),
            Client::Stream(_) => None,
        }
    }

    /// As which its query counts.
    pub(crate) fn via(self) -> Via {
        match self {
            Client::Datagram(_) => Via::Datagram,
            Client::Stream(_) => Via::Stream,
        }
    }
}

/// One client's query that waits for an exchange.
pub(crate) struct Waiter {
    pub(crate) client: Client,
    pub(crate) client_id: ClientId,
    pub(crate) id: u16,
    pub(crate) flags: Flags,
    pub(crate) letter_case: LetterCase,
    pub(crate) edns: Option<ClientEdns>,
    pub(crate) exchange: ExchangeKey,
    /// The registrable domain it counts for, if it came while many waited.
    pub(crate) zone: Option<ZoneKey>,
    /// When it came.
    pub(crate) asked_at: Moment,
    /// The next one that waits for the same exchange.
    pub(crate) next: Option<WaiterKey>,
}

/// One question on one session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Attempt {
    pub(crate) session: SessionKey,
    pub(crate) upstream: usize,
    pub(crate) id: u16,
    /// Whether it was asked with EDNS.
    pub(crate) edns: bool,
    pub(crate) sent_at: Moment,
}

/// A set of upstreams, by slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct UpstreamSet(u32);

impl UpstreamSet {
    pub(crate) fn add(&mut self, upstream: usize) {
        self.0 |= 1 << upstream;
    }

    pub(crate) fn has(self, upstream: usize) -> bool {
        self.0 & 1 << upstream != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn remove(&mut self, upstream: usize) {
        self.0 &= !(1 << upstream);
    }
}

/// What an exchange is to find out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asks<'q> {
    pub(crate) question: &'q Question,
    pub(crate) key: Key,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
    /// Whether the answer may go into the cache.
    pub(crate) is_kept: bool,
}

pub(crate) struct Exchange {
    pub(crate) question: Question,
    pub(crate) key: Key,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
    /// Whether its answer may go into the cache.
    pub(crate) is_kept: bool,
    /// What this worker is to the question's flight.
    pub(crate) role: Role,
    /// Whether it is in the queue of those that go on for the cache alone.
    pub(crate) is_refresh: bool,
    waiting_clients: usize,
    /// Upstreams that refused EDNS for this question.
    pub(crate) without_edns: UpstreamSet,
    /// Upstreams that answered with an error: they are not asked again.
    pub(crate) answered_by: UpstreamSet,
    /// Upstreams that an attempt failed at: asked again on a fresh session alone.
    pub(crate) failed_at: UpstreamSet,
    /// A session counts as fresh when it became open no earlier.
    pub(crate) fresh_after: Option<Moment>,
    /// Whether a session failed under it: until it is answered, it is asked on isolation sessions alone.
    pub(crate) is_suspect: bool,
    /// The group of suspects it is in.
    pub(crate) group: Option<GroupId>,
    /// Sessions that the upstream ended while it was the only question on them.
    pub(crate) strikes: u8,
    /// Since when it waits for a session. Its place in the queue counts only if it was taken then.
    pub(crate) waiting_since: Option<Moment>,
    /// The most telling failure so far, and the upstream it came from.
    failure: Failure,
    failed_upstream: Option<usize>,
    running: [Option<Attempt>; 2],
    attempts: u8,
    renewed: Moment,
    first: Option<WaiterKey>,
    last: Option<WaiterKey>,
    /// Where those that asked over UDP are, by a hash of address, port and ID, once many wait. One that is gone stays
    /// until another one has its place.
    by_sender: HashTable<(u64, WaiterKey)>,
}

impl Exchange {
    pub(crate) fn new(asks: &Asks<'_>, role: Role, now: Moment) -> Exchange {
        let Asks {
            question,
            key,
            dnssec_ok,
            checking_disabled,
            is_kept,
        } = *asks;
        Exchange {
            question: question.clone(),
            key,
            dnssec_ok,
            checking_disabled,
            is_kept,
            role,
            is_refresh: false,
            waiting_clients: 0,
            without_edns: UpstreamSet::default(),
            answered_by: UpstreamSet::default(),
            failed_at: UpstreamSet::default(),
            fresh_after: None,
            is_suspect: false,
            group: None,
            strikes: 0,
            waiting_since: None,
            failure: Failure::NotReady,
            failed_upstream: None,
            running: [None; 2],
            attempts: 0,
            renewed: now,
            first: None,
            last: None,
            by_sender: HashTable::new(),
        }
    }

    /// Whether a query with this ID from this address and port waits already. `sender` hashes the three.
    pub(crate) fn has_waiter(
        &self,
        (peer, id): (SocketAddr, u16),
        sender: u64,
        waiters: &Waiters,
    ) -> bool {
        let is_same = |key: WaiterKey| {
            waiters.get(key).is_some_and(|waiter| {
                let from = waiter.client.peer();
                waiter.id == id && from == Some(peer)
            })
        };
        if self.waiting_clients > limits::WAITERS_IN_LINE {
            let found = self.by_sender.find(sender, |entry| entry.0 == sender);
            return found.is_some_and(|(_, key)| is_same(*key));
        }
        let mut next = self.first;
        while let Some(key) = next {
            if is_same(key) {
                return true;
            }
            next = waiters.get(key).and_then(|waiter| waiter.next);
        }
        false
    }

    /// Notes where the waiters from UDP are, once many wait. To be called after each `join`.
    pub(crate) fn note_senders(
        &mut self,
        waiters: &Waiters,
        hash: impl Fn(SocketAddr, u16) -> u64,
    ) {
        let mut next = match self.waiting_clients.cmp(&(limits::WAITERS_IN_LINE + 1)) {
            Ordering::Less => None,
            Ordering::Equal => self.first,
            Ordering::Greater => self.last,
        };
        while let Some(key) = next {
            let waiter = waiters.get(key);
            if let Some((peer, waiter)) = waiter.and_then(|it| Some((it.client.peer()?, it))) {
                let sender = hash(peer, waiter.id);
                let entry =
                    self.by_sender
                        .entry(sender, |entry| entry.0 == sender, |entry| entry.0);
                entry.insert((sender, key));
            }
            next = waiter.and_then(|waiter| waiter.next);
        }
    }

    /// Lets one more client wait.
    pub(crate) fn join(&mut self, key: WaiterKey, waiters: &mut Waiters) {
        match self.last.and_then(|last| waiters.get_mut(last)) {
            Some(_) if cfg!(planted = "merged-query-is-forgotten") => {}
            Some(last) => last.next = Some(key),
            None => self.first = Some(key),
        }
        self.last = Some(key);
        self.waiting_clients += 1;
    }

    pub(crate) fn first_waiter(&self) -> Option<WaiterKey> {
        self.first
    }

    /// Takes a client out, which waits for this exchange.
    pub(crate) fn take(&mut self, key: WaiterKey, waiters: &mut Waiters) -> Option<Waiter> {
        if self.first != Some(key) {
            // Only after the deadline became shorter can another one than the first be due first.
            let mut before = self.first?;
            while waiters.get(before)?.next? != key {
                before = waiters.get(before)?.next?;
            }
            let waiter = waiters.remove(key)?;
            waiters.get_mut(before)?.next = waiter.next;
            if waiter.next.is_none() {
                self.last = Some(before);
            }
            self.waiting_clients = self.waiting_clients.saturating_sub(1);
            return Some(waiter);
        }
        let waiter = waiters.remove(key)?;
        self.drop_first(waiter.next);
        Some(waiter)
    }

    /// Drops the client that has waited longest.
    pub(crate) fn drop_first(&mut self, next: Option<WaiterKey>) {
        self.first = next;
        if next.is_none() {
            self.last = None;
        }
        self.waiting_clients = self.waiting_clients.saturating_sub(1);
    }

    /// How many clients wait.
    pub(crate) fn waiting_clients(&self) -> usize {
        self.waiting_clients
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = Attempt> + use<> {
        self.running.into_iter().flatten()
    }

    pub(crate) fn runs_at(&self, upstream: usize) -> bool {
        self.running().any(|attempt| attempt.upstream == upstream)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running().next().is_some()
    }

    pub(crate) fn attempts(&self) -> u8 {
        self.attempts
    }

    /// Whether one more attempt may be made now.
    pub(crate) fn may_ask(&self) -> bool {
        let max = if cfg!(planted = "attempts-without-end") {
            u8::MAX
        } else {
            limits::ATTEMPTS
        };
        self.attempts < max && self.running.iter().any(Option::is_none)
    }

    pub(crate) fn begin(&mut self, attempt: Attempt) {
        self.attempts = self.attempts.saturating_add(1);
        if let Some(place) = self.running.iter_mut().find(|place| place.is_none()) {
            *place = Some(attempt);
        }
    }

    /// Ends the attempt with this ID on this session. None if there was none.
    pub(crate) fn end(&mut self, session: SessionKey, id: u16) -> Option<Attempt> {
        self.running
            .iter_mut()
            .find(|place| place.is_some_and(|held| (held.session, held.id) == (session, id)))?
            .take()
    }

    /// Ends the attempts on sessions that are gone.
    pub(crate) fn end_all_on(&mut self, is_gone: impl Fn(SessionKey) -> bool) {
        for place in &mut self.running {
            if place.is_some_and(|attempt| is_gone(attempt.session)) {
                *place = None;
            }
        }
    }

    /// Forgets what an earlier upstream of this slot did.
    pub(crate) fn forget_upstream(&mut self, upstream: usize) {
        for set in [
            &mut self.without_edns,
            &mut self.answered_by,
            &mut self.failed_at,
        ] {
            set.remove(upstream);
        }
        self.failed_upstream = self.failed_upstream.filter(|failed| *failed != upstream);
    }

    /// What failed at this upstream was not its fault, nor this question's.
    pub(crate) fn forgive(&mut self, upstream: usize) {
        self.failed_at.remove(upstream);
        self.fresh_after = None;
    }

    /// Takes back the attempts on sessions that are gone for no fault of theirs.
    pub(crate) fn take_back_on(&mut self, is_gone: impl Fn(SessionKey) -> bool) {
        let before = self.running().count();
        self.end_all_on(is_gone);
        let taken_back = before - self.running().count();
        self.attempts = self.attempts.saturating_sub(taken_back as u8);
    }

    /// Makes room for one more attempt: with two running, the older one ends and is returned, to be retired.
    pub(crate) fn make_room(&mut self) -> Option<Attempt> {
        if self.running.iter().any(Option::is_none) {
            return None;
        }
        let oldest = self
            .running
            .iter_mut()
            .min_by_key(|place| place.map(|attempt| attempt.sent_at))?;
        self.attempts = self.attempts.saturating_sub(1);
        oldest.take()
    }

    /// It was answered: it is no suspect any more. True if it was one.
    pub(crate) fn clear_suspicion(&mut self) -> bool {
        self.strikes = 0;
        self.group = None;
        std::mem::take(&mut self.is_suspect)
    }

    /// Remembers why an attempt failed, unless something more telling is known.
    pub(crate) fn note(&mut self, failure: Failure, upstream: Option<usize>) {
        let (new, old) = (failure.weight(), self.failure.weight());
        if new > old || (new == old && upstream.is_some()) {
            self.failure = failure;
            self.failed_upstream = upstream;
        }
    }

    /// Why it failed, if it ends now, and whose fault that was.
    pub(crate) fn failure(&self) -> (Failure, Option<usize>) {
        (self.failure, self.failed_upstream)
    }

    /// Gives those who still wait a new budget, after the one it was made with is spent and the first waiter
    /// is gone. True if it did; the caller has retired the running attempts.
    pub(crate) fn renew(&mut self, now: Moment) -> bool {
        if self.attempts < limits::ATTEMPTS || now.since(self.renewed) < limits::RENEW_AFTER {
            return false;
        }
        self.renewed = now;
        self.attempts = 0;
        self.running = [None; 2];
        self.answered_by = UpstreamSet::default();
        self.failed_at = UpstreamSet::default();
        true
    }
}
