//! Where the tickets of an upstream are, and which key exchange its last handshake used.
//!
//! It is under `upstream`. Sessions resume each other whatever key exchange they offer, so there is one store for tickets.
//! rustls begins a handshake with the group of the last one. That is right as long as the upstream chose it: one
//! without hybrid key exchange gets small messages from the second handshake on. After a handshake that offered
//! classical groups alone, however, a hybrid one would begin with a small message too and never show whether large ones
//! get through. So each offer remembers the groups of its own.

use std::sync::Arc;

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

/// Tickets of all offers, and the groups of one.
#[derive(Debug)]
pub(crate) struct Tickets {
    shared: Arc<ClientSessionMemoryCache>,
    groups: ClientSessionMemoryCache,
}

impl Tickets {
    pub(crate) fn new(shared: &Arc<ClientSessionMemoryCache>) -> Tickets {
        Tickets {
            shared: Arc::clone(shared),
            groups: ClientSessionMemoryCache::new(1),
        }
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.groups.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.groups.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.shared.set_tls12_session(server_name, value);
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.shared.tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.shared.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        self.shared.insert_tls13_ticket(server_name, value);
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.shared.take_tls13_ticket(server_name)
    }
}
