//! Client addresses that send malformed messages over TCP, and how many connections they may still open.
//!
//! Shared by all engines of a process. A connection is closed after a few malformed messages, and a client that
//! reconnects at once would cost as much again. After `limits::MALFORMED_STREAMS` such connections an address may open
//! `limits::PACED_STREAMS` a second, until it has sent nothing malformed for `limits::MALFORMED_FOR`. Limit:
//! `limits::MALFORMED_CLIENTS` addresses; if there are more, the one whose time ends first is removed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::ClientId;
use crate::limits;
use crate::moment::Moment;
use crate::sync::{Mutex, MutexGuard};

#[derive(Clone, Copy)]
struct Entry {
    /// Connections on which a message was malformed.
    malformed: u32,
    /// When the client is removed.
    ends: Moment,
    /// When the second ends in which connections are counted, and how many were opened in it.
    second_ends: Moment,
    opened: u32,
}

/// The clients that have sent malformed messages over TCP.
#[derive(Default)]
pub struct MalformedClients {
    /// How many there are, to be read without the lock.
    count: AtomicUsize,
    entries: Mutex<BTreeMap<ClientId, Entry>>,
}

impl MalformedClients {
    /// Without any.
    pub fn new() -> MalformedClients {
        MalformedClients::default()
    }

    /// Counts one more connection on which this client has sent a malformed message.
    pub(crate) fn note(&self, now: Moment, client: ClientId) {
        let mut entries = self.lock();
        if entries.len() >= limits::MALFORMED_CLIENTS && !entries.contains_key(&client) {
            let first = entries.iter().min_by_key(|(_, entry)| entry.ends);
            if let Some(client) = first.map(|(client, _)| *client) {
                entries.remove(&client);
            }
        }
        let ends = now + limits::MALFORMED_FOR;
        let new = Entry {
            malformed: 0,
            ends,
            second_ends: now,
            opened: 0,
        };
        let entry = entries.entry(client).or_insert(new);
        if entry.ends <= now {
            *entry = new;
        }
        entry.malformed = entry.malformed.saturating_add(1);
        entry.ends = ends;
        self.count.store(entries.len(), Relaxed);
    }

    /// Whether this client may open another connection at `now`; counts it if it may.
    pub(crate) fn may_open(&self, now: Moment, client: ClientId) -> bool {
        if self.count.load(Relaxed) == 0 {
            return true;
        }
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&client) else {
            return true;
        };
        if entry.ends <= now {
            entries.remove(&client);
            self.count.store(entries.len(), Relaxed);
            return true;
        }
        if entry.malformed < limits::MALFORMED_STREAMS {
            return true;
        }
        if entry.second_ends <= now {
            (entry.second_ends, entry.opened) = (now + limits::PACED_STREAMS_PER, 0);
        }
        let is_free = entry.opened < limits::PACED_STREAMS;
        entry.opened += u32::from(is_free);
        is_free
    }

    /// No change to the table can be left half done.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ClientId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MalformedClients {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count.load(Relaxed);
        out.debug_struct("MalformedClients")
            .field("count", &count)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_nanos(1_000_000_000_000);

    /// How many of 100 connections it may open at `now`.
    fn opened(clients: &MalformedClients, now: Moment, client: ClientId) -> usize {
        let tries = (0..100).filter(|_| clients.may_open(now, client));
        tries.count()
    }

    #[test]
    fn a_client_is_paced_after_several_connections_until_it_sends_nothing_malformed() {
        let clients = MalformedClients::new();
        let (bad, good) = (ClientId(1), ClientId(2));
        for _ in 1..limits::MALFORMED_STREAMS {
            clients.note(START, bad);
        }
        assert_eq!(opened(&clients, START, bad), 100);
        clients.note(START, bad);
        let paced = limits::PACED_STREAMS as usize;
        assert_eq!(opened(&clients, START, bad), paced);
        assert_eq!(opened(&clients, START, good), 100);
        let later = START + limits::PACED_STREAMS_PER;
        assert_eq!(opened(&clients, later, bad), paced);
        clients.note(later, bad);
        let end = START + limits::MALFORMED_FOR;
        assert_eq!(opened(&clients, end, bad), paced);
        let end = later + limits::MALFORMED_FOR;
        assert_eq!(opened(&clients, end, bad), 100);
        assert_eq!(clients.count.load(Relaxed), 0);
    }

    #[test]
    fn what_was_malformed_long_ago_does_not_count() {
        let clients = MalformedClients::new();
        for n in 0..2 * limits::MALFORMED_STREAMS {
            let now = START + limits::MALFORMED_FOR * n;
            clients.note(now, ClientId(1));
            assert_eq!(opened(&clients, now, ClientId(1)), 100);
        }
    }

    #[test]
    fn it_is_bounded_and_forgets_the_client_whose_time_ends_first() {
        let clients = MalformedClients::new();
        for number in 0..=limits::MALFORMED_CLIENTS as u64 {
            let now = Moment::from_nanos(START.nanos() + number);
            for _ in 0..limits::MALFORMED_STREAMS {
                clients.note(now, ClientId(number));
            }
        }
        assert_eq!(clients.count.load(Relaxed), limits::MALFORMED_CLIENTS);
        assert_eq!(opened(&clients, START, ClientId(0)), 100);
        assert!(opened(&clients, START, ClientId(1)) < 100);
    }
}
