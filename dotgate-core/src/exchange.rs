//! One question in flight, and everyone who waits for its answer; `attempts` has what is done to get it.
//!
//! An exchange ends with the first response that can be delivered, or when its last waiter's deadline passes.
//! A deadline belongs to the waiter and never moves.

use std::cmp::Ordering;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use dotgate_wire::{ClientEdns, Flags, NameCase, Nat64Prefix, Question, ResponseCookie};
use hashbrown::HashTable;
use slotmap::SlotMap;

use crate::admit::{ClientId, Via};
use crate::cache::Key;
use crate::flights::Role;
use crate::keys::{ExchangeKey, StreamKey, WaiterKey, ZoneKey};
use crate::limits;
use crate::moment::Moment;
use crate::outbox::ReturnPath;
use crate::settings::GroupSettings;
use crate::stream::StreamKind;

pub(crate) type Waiters = SlotMap<WaiterKey, Waiter>;

/// Where a client's response goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    Datagram(ReturnPath),
    Stream(StreamKey, StreamKind),
}

impl Client {
    /// The address and port of a client over UDP.
    pub(crate) fn peer(self) -> Option<SocketAddr> {
        match self {
            Client::Datagram(path) => Some(path.peer),
            Client::Stream(..) => None,
        }
    }

    /// As which its query counts.
    pub(crate) fn via(self) -> Via {
        match self {
            Client::Datagram(_) => Via::Datagram,
            Client::Stream(..) => Via::Stream,
        }
    }
}

/// One client's query that waits for an exchange.
pub(crate) struct Waiter {
    pub(crate) client: Client,
    /// Its address, also behind a balancer.
    pub(crate) peer: IpAddr,
    pub(crate) client_id: ClientId,
    pub(crate) id: u16,
    pub(crate) flags: Flags,
    pub(crate) name_case: NameCase,
    pub(crate) edns: Option<ClientEdns>,
    pub(crate) exchange: ExchangeKey,
    /// The local CNAME records that led here, in the form that a cache stores: it is their question that is answered.
    pub(crate) alias: Option<Arc<[u8]>>,
    /// What the COOKIE option of its response holds, if its query has one.
    pub(crate) cookie: Option<Box<ResponseCookie>>,
    /// The registrable domain it counts for, if it came while many waited.
    pub(crate) zone: Option<ZoneKey>,
    /// When it came.
    pub(crate) asked_at: Moment,
    /// The next one that waits for the same exchange.
    pub(crate) next: Option<WaiterKey>,
}

impl Waiter {
    pub(crate) fn cookie(&self) -> Option<&ResponseCookie> {
        self.cookie.as_deref()
    }
}

/// The purpose and parameters of an exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup<'q> {
    pub(crate) question: &'q Question,
    pub(crate) key: Key,
    /// The place of its group in the settings of now.
    pub(crate) group: usize,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
    /// Whether the answer may go into the cache.
    pub(crate) is_cacheable: bool,
}

/// What upstreams are asked in place of the question of an exchange, to make AAAA records of A records. These have a TTL of
/// at most so many seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Synthesis {
    /// The A records, for this prefix.
    Addresses { prefix: Nat64Prefix, ttl_max: u32 },
    /// The AAAA records of `ipv4only.arpa`, for the prefix.
    Discovery { ttl_max: u32 },
}

pub(crate) struct Exchange {
    pub(crate) question: Question,
    pub(crate) key: Key,
    /// Who is asked, to its end.
    pub(crate) group: Arc<GroupSettings>,
    /// Whether its answer may go into the cache.
    pub(crate) is_cacheable: bool,
    /// The role of this worker in the question's flight.
    pub(crate) role: Role,
    /// Whether it is in the queue of those that continue for the cache alone.
    pub(crate) is_refresh: bool,
    /// What its response is made of, if upstreams are asked for A records in its place.
    pub(crate) synthesis: Option<Synthesis>,
    waiting_clients: usize,
    first: Option<WaiterKey>,
    last: Option<WaiterKey>,
    /// Where those that asked over UDP are, by a hash of address, port and ID, once many wait. One that is gone stays
    /// until another one has its place.
    by_sender: HashTable<(u64, WaiterKey)>,
}

impl Exchange {
    pub(crate) fn new(lookup: &Lookup<'_>, group: Arc<GroupSettings>, role: Role) -> Exchange {
        Exchange {
            question: lookup.question.clone(),
            key: lookup.key,
            group,
            is_cacheable: lookup.is_cacheable,
            role,
            is_refresh: false,
            synthesis: None,
            waiting_clients: 0,
            first: None,
            last: None,
            by_sender: HashTable::new(),
        }
    }

    /// Whether a query with this ID from this address and port waits already, with or without an alias. `sender`
    /// hashes the three.
    pub(crate) fn has_waiter(
        &self,
        (peer, id, has_alias): (SocketAddr, u16, bool),
        sender: u64,
        waiters: &Waiters,
    ) -> bool {
        let is_same = |key: WaiterKey| {
            waiters.get(key).is_some_and(|waiter| {
                let from = waiter.client.peer();
                waiter.id == id && from == Some(peer) && waiter.alias.is_some() == has_alias
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
            Some(_) if dotgate_wire::planted!("merged-query-is-forgotten") => {}
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
}
