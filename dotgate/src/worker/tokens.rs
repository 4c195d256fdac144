//! Which socket a readiness event speaks of: places in a table, used again when free.

use dotgate_core::{SessionKey, StreamKey};
use mio::Token;
use slotmap::new_key_type;

new_key_type! {
    /// Names the socket of one query.
    pub(super) struct SocketKey;
}

/// Who reads when a place is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    /// The control thread has orders.
    Commands,
    /// The UDP socket with this number.
    Udp(usize),
    /// The listener for connections with this number.
    Listener(usize),
    /// The socket of a query over UDP to a plain upstream.
    Query(SocketKey),
    /// A session to an upstream.
    Session(SessionKey),
    /// A client's connection.
    Stream(StreamKey),
    /// The UDP socket for QUIC with this number.
    Quic(usize),
}

impl Owner {
    pub(super) fn is_upstream(self) -> bool {
        matches!(self, Owner::Session(_) | Owner::Query(_))
    }
}

/// The table. An event for a place that was given away meanwhile costs its new owner one read that finds
/// nothing.
#[derive(Default)]
pub(super) struct TokenTable {
    owners: Vec<Option<Owner>>,
    free: Vec<usize>,
}

impl TokenTable {
    pub(super) fn take(&mut self, owner: Owner) -> Token {
        if let Some(place) = self.free.pop()
            && let Some(slot) = self.owners.get_mut(place)
        {
            *slot = Some(owner);
            return Token(place);
        }
        self.owners.push(Some(owner));
        Token(self.owners.len() - 1)
    }

    /// Gives a place that is taken another owner.
    pub(super) fn change(&mut self, place: usize, owner: Owner) {
        if let Some(slot) = self.owners.get_mut(place) {
            *slot = Some(owner);
        }
    }

    pub(super) fn give_back(&mut self, place: usize) {
        if let Some(slot) = self.owners.get_mut(place)
            && slot.take().is_some()
        {
            self.free.push(place);
        }
    }

    pub(super) fn owner(&self, token: Token) -> Option<Owner> {
        self.owners.get(token.0).copied().flatten()
    }
}
