//! TLS handshakes of clients: which are in progress, and which of them gives way when there are too many.
//!
//! The driver carries them out; their time and their number are bounded here. A handshake costs a thousand times the
//! work of a query, and nobody is served before it is complete. Limits: `limits::STREAM_HANDSHAKE*`.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::Streams;
use crate::admit::ClientId;
use crate::counters::labels::ClientTransport;
use crate::keys::StreamKey;
use crate::limits;
use crate::moment::Moment;
use crate::settings::Settings;

/// What a client speaks on a connection, as its listener says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamKind {
    /// DNS over TCP (RFC 7766).
    Tcp,
    /// DNS over TLS (RFC 7858). Nothing is read before the handshake is complete.
    Dot,
    /// DNS over HTTPS (RFC 8484), over TLS. The driver speaks HTTP: queries are for `Engine::stream_message`.
    Doh,
    /// The same without TLS, from a proxy that has ended it. The proxy's connection is that of many clients.
    DohProxy,
    /// DNS over QUIC (RFC 9250). The driver speaks QUIC: queries are for `Engine::stream_message`.
    Doq,
}

impl StreamKind {
    /// Whether nobody on the way of the client can read it.
    pub(crate) fn is_encrypted(self) -> bool {
        match self {
            StreamKind::Tcp => false,
            StreamKind::Dot | StreamKind::Doh | StreamKind::DohProxy | StreamKind::Doq => true,
        }
    }

    /// Whether it begins with a TLS handshake.
    pub(crate) fn has_handshake(self) -> bool {
        match self {
            StreamKind::Tcp | StreamKind::DohProxy => false,
            StreamKind::Dot | StreamKind::Doh | StreamKind::Doq => true,
        }
    }

    /// Whether it is a connection of many clients, so that none of them is judged by what others do.
    pub(crate) fn is_shared(self) -> bool {
        match self {
            StreamKind::Tcp | StreamKind::Dot | StreamKind::Doh | StreamKind::Doq => false,
            StreamKind::DohProxy => true,
        }
    }

    /// Its name in counters.
    pub(crate) fn transport(self) -> ClientTransport {
        match self {
            StreamKind::Tcp => ClientTransport::Tcp,
            StreamKind::Dot => ClientTransport::Dot,
            StreamKind::Doh | StreamKind::DohProxy => ClientTransport::Https,
            StreamKind::Doq => ClientTransport::Doq,
        }
    }

    /// Whether messages follow each other in frames, so that one that ends too early says that the next is lost, too.
    pub(crate) fn has_frames(self) -> bool {
        match self {
            StreamKind::Tcp | StreamKind::Dot => true,
            StreamKind::Doh | StreamKind::DohProxy | StreamKind::Doq => false,
        }
    }

    /// Whether the engine closes it when it has had its queries. Over HTTP, the driver asks the client to end it (GOAWAY).
    pub(super) fn is_retired_here(self) -> bool {
        match self {
            StreamKind::Tcp | StreamKind::Dot | StreamKind::Doq => true,
            StreamKind::Doh | StreamKind::DohProxy => false,
        }
    }

    /// What every connection costs, in bytes.
    pub(super) fn bytes(self) -> usize {
        match self {
            // What QUIC costs is the driver's to say.
            StreamKind::Tcp | StreamKind::DohProxy | StreamKind::Doq => limits::STREAM_BYTES,
            StreamKind::Dot | StreamKind::Doh => limits::STREAM_BYTES + limits::TLS_STREAM_BYTES,
        }
    }
}

/// The idle timeouts of all kinds of connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdleTimeouts {
    tcp: Duration,
    dot: Duration,
    doh: Duration,
    doq: Duration,
}

impl IdleTimeouts {
    pub(super) fn of(settings: &Settings) -> IdleTimeouts {
        IdleTimeouts {
            tcp: settings.stream_idle,
            dot: settings.dot_idle,
            doh: settings.doh_idle,
            doq: settings.doq_idle,
        }
    }

    pub(super) fn quarter(self) -> IdleTimeouts {
        IdleTimeouts {
            tcp: self.tcp / 4,
            dot: self.dot / 4,
            doh: self.doh / 4,
            doq: self.doq / 4,
        }
    }

    pub(super) fn for_kind(self, kind: StreamKind) -> Duration {
        match kind {
            StreamKind::Tcp => self.tcp,
            StreamKind::Dot => self.dot,
            StreamKind::Doh | StreamKind::DohProxy => self.doh,
            StreamKind::Doq => self.doq,
        }
    }
}

/// A handshake that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndedHandshake {
    pub(crate) client: IpAddr,
    pub(crate) kind: StreamKind,
    pub(crate) began: Moment,
}

/// The handshakes in progress.
#[derive(Default)]
pub(super) struct Handshakes {
    count: usize,
    /// In the order in which they began, with some that are over.
    by_age: VecDeque<StreamKey>,
}

impl Streams {
    /// A handshake begins on a connection. Its timer is set already.
    pub(super) fn begin_handshake(&mut self, now: Moment, key: StreamKey) {
        let Some(stream) = self.map.get_mut(key) else {
            return;
        };
        stream.handshake_since = Some(now);
        self.holders.change_handshakes(stream.holder, 1);
        let Handshakes { count, by_age } = &mut self.handshakes;
        *count += 1;
        by_age.push_back(key);
        if by_age.len() > 2 * limits::STREAM_HANDSHAKES {
            let map = &self.map;
            let is_in_progress = |key| map.get(key).is_some_and(|it| it.handshake_since.is_some());
            by_age.retain(|key| is_in_progress(*key));
        }
    }

    /// The handshake of a connection is over. None if none was in progress, or a balancer's header was awaited in its place.
    pub(crate) fn end_handshake(&mut self, key: StreamKey) -> Option<EndedHandshake> {
        let stream = self.map.get_mut(key)?;
        let began = stream.handshake_since.take()?;
        self.holders.change_handshakes(stream.holder, -1);
        self.handshakes.count -= 1;
        (!stream.awaits_header).then_some(EndedHandshake {
            client: stream.peer,
            kind: stream.kind,
            began,
        })
    }

    /// Whether a client has as many handshakes in progress as one may have.
    pub(crate) fn has_its_handshakes(&self, peer: IpAddr) -> bool {
        let in_progress = self.holders.handshakes_of(ClientId::of(peer));
        in_progress >= limits::STREAM_HANDSHAKES_PER_CLIENT
    }

    /// Whether the address of a client that would begin a handshake must be validated first, because forged ones would take
    /// what others need: places for handshakes, or those of connections.
    pub(crate) fn must_validate(&self, peer: IpAddr) -> bool {
        let of_client = self.holders.handshakes_of(ClientId::of(peer));
        self.handshakes.count >= limits::STREAM_HANDSHAKES_UNVALIDATED
            || of_client >= limits::STREAM_HANDSHAKES_UNVALIDATED_PER_CLIENT
            || self.map.len() >= self.max
    }

    /// The connection whose handshake gives way to another one: none as long as there is room, else the one that
    /// began first.
    pub(crate) fn displaced_handshake(&mut self) -> Option<StreamKey> {
        if self.handshakes.count < limits::STREAM_HANDSHAKES
            || dotgate_wire::planted!("handshakes-have-no-bound")
        {
            return None;
        }
        while let Some(key) = self.handshakes.by_age.pop_front() {
            let stream = self.map.get(key);
            if stream.is_some_and(|stream| stream.handshake_since.is_some()) {
                return Some(key);
            }
        }
        None
    }
}
