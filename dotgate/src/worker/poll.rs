//! Readiness of sockets, and how much of one is read in one turn.

use std::io;

use mio::event::{Event, Source};
use mio::{Interest, Registry};

use super::tokens::{Owner, TokenTable};

/// Reads or batches of one socket in one turn.
pub(super) const ROUNDS: usize = 4;

/// The same for the last time, when everything that is queued is read: as much as a socket can queue, so that a
/// flood cannot put off the end.
pub(super) const LAST_ROUNDS: usize = 1_024;

/// What a socket is ready for.
#[derive(Clone, Copy)]
pub(super) struct Ready {
    pub(super) is_writable: bool,
    /// The peer has sent its last byte: a short read is not the last one.
    pub(super) is_read_closed: bool,
}

impl Ready {
    /// For what either of these says.
    pub(super) fn and(self, other: Ready) -> Ready {
        Ready {
            is_writable: self.is_writable | other.is_writable,
            is_read_closed: self.is_read_closed | other.is_read_closed,
        }
    }

    /// There may be more to read, and the end may be behind it.
    pub(super) const AGAIN: Ready = Ready {
        is_writable: false,
        is_read_closed: true,
    };

    /// What a connection that was just accepted is ready for: the poll loop reports everything else.
    pub(super) const NEW: Ready = Ready {
        is_writable: false,
        is_read_closed: false,
    };

    pub(super) fn of(event: &Event) -> Ready {
        Ready {
            is_writable: event.is_writable(),
            is_read_closed: event.is_read_closed(),
        }
    }
}

/// What one read of an owner brought.
#[derive(Clone, Copy, Default)]
pub(super) struct Read {
    pub(super) count: usize,
    pub(super) maybe_more: bool,
}

/// Watches a socket, edge-triggered, under a place of its own.
pub(super) fn register(
    registry: &Registry,
    places: &mut TokenTable,
    owner: Owner,
    source: &mut impl Source,
    interest: Interest,
) -> io::Result<usize> {
    let token = places.take(owner);
    let registered = registry.register(source, token, interest);
    if registered.is_err() {
        places.give_back(token.0);
    }
    registered.map(|()| token.0)
}
