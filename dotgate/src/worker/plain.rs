//! A worker's queries over UDP to plain upstreams: a connected socket each, made ahead and used once.
//!
//! While somebody waits a query costs one send and one receive. Its socket is closed, and the next one made, at the end of
//! the turn. Sockets that were made ahead go with the session they were made for, so that none outlives a change of the
//! network by much. Limits: `PLAIN_SOCKETS_AHEAD` sockets wait for each upstream.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use dotgate_core::limits::PLAIN_SOCKETS_AHEAD;
use dotgate_core::{ConnectFault, Engine, Moment, SessionEnd, SessionKey};
use dotgate_net::Named;
use dotgate_wire::{message_id, split_frame};
use mio::net::UdpSocket;
use mio::{Interest, Registry};
use slotmap::{SecondaryMap, SlotMap};

use super::control::{ReportSender, WorkerEvent};
use super::poll::ROUNDS;
use super::spare::{Spare, connect_fault};
use super::tokens::{Owner, SocketKey, TokenTable};
use crate::upstreams::Upstream;

struct Socket {
    udp: UdpSocket,
    place: usize,
    /// Whose query it is for.
    session: SessionKey,
    /// That query's message ID, once it was sent.
    id: Option<u16>,
}

/// The queries to one upstream.
struct Session {
    upstream: Arc<Upstream>,
    address: SocketAddr,
    ahead: Vec<SocketKey>,
    asked: HashMap<u16, SocketKey>,
}

/// What the parts of a worker do for these sockets.
pub(super) struct Hands<'a> {
    pub(super) registry: &'a Registry,
    pub(super) places: &'a mut TokenTable,
    pub(super) engine: &'a mut Engine,
    pub(super) outlet: &'a ReportSender,
    pub(super) now: Moment,
}

#[derive(Default)]
pub(super) struct PlainQueries {
    sessions: SecondaryMap<SessionKey, Session>,
    sockets: SlotMap<SocketKey, Socket>,
    /// Sockets whose queries wait no more.
    used: Vec<SocketKey>,
    /// Sessions that have used sockets made ahead.
    wanting: Vec<SessionKey>,
}

impl PlainQueries {
    pub(super) fn open(&mut self, key: SessionKey, upstream: &Arc<Upstream>, address: SocketAddr) {
        let session = Session {
            upstream: Arc::clone(upstream),
            address,
            ahead: Vec::new(),
            asked: HashMap::new(),
        };
        self.sessions.insert(key, session);
    }

    /// Whether this session's queries are here.
    pub(super) fn has(&self, key: SessionKey) -> bool {
        self.sessions.contains_key(key)
    }

    /// Releases the sockets of queries that have ended, and sends each pending query from a socket of its own.
    pub(super) fn flush(&mut self, key: SessionKey, spare: &mut Spare, hands: &mut Hands<'_>) {
        while let Some(id) = hands.engine.sessions_mut().poll_released(key) {
            let session = self.sessions.get_mut(key);
            self.used
                .extend(session.and_then(|session| session.asked.remove(&id)));
        }
        let Some(output) = hands.engine.sessions_mut().output(key) else {
            return;
        };
        let mut frames = std::mem::take(output);
        let mut rest = frames.as_slice();
        let mut failed = None;
        while let Some((message, after)) = split_frame(rest) {
            rest = after;
            let waits =
                message_id(message).filter(|id| hands.engine.sessions_mut().awaits(key, *id));
            if let Some(id) = waits
                && let Err(error) = self.send(key, id, message, spare, hands)
            {
                failed = Some(error);
                break;
            }
        }
        frames.clear();
        if let Some(output) = hands.engine.sessions_mut().output(key) {
            *output = frames;
        }
        if let Some(error) = failed {
            self.fail(key, &error, hands);
        }
    }

    fn send(
        &mut self,
        key: SessionKey,
        id: u16,
        message: &[u8],
        spare: &mut Spare,
        hands: &mut Hands<'_>,
    ) -> io::Result<()> {
        let ahead = self.sessions.get_mut(key).and_then(|it| it.ahead.pop());
        let socket_key = match ahead {
            Some(socket) => socket,
            None => match self.make(key, hands) {
                // Clients may have taken all others.
                Err(error) if is_out_of_descriptors(&error) && spare.release_one() => {
                    self.make(key, hands)?
                }
                made => made?,
            },
        };
        if !self.wanting.contains(&key) {
            self.wanting.push(key);
        }
        let (Some(session), Some(socket)) =
            (self.sessions.get_mut(key), self.sockets.get_mut(socket_key))
        else {
            return Ok(());
        };
        socket.id = Some(id);
        session.asked.insert(id, socket_key);
        match socket.udp.send(message) {
            // A datagram that cannot be sent is lost, and sent again later.
            Err(error) if is_loss(&error) => Ok(()),
            sent => sent.map(drop),
        }
    }

    fn make(&mut self, key: SessionKey, hands: &mut Hands<'_>) -> io::Result<SocketKey> {
        let session = self.sessions.get(key).ok_or(ErrorKind::NotFound)?;
        let mut udp = UdpSocket::from_std(dotgate_net::udp::connect(
            session.address,
            &session.upstream.config().egress,
        )?);
        let (registry, places) = (hands.registry, &mut *hands.places);
        let mut registered = Ok(());
        let socket = self.sockets.insert_with_key(|socket| {
            let token = places.take(Owner::Query(socket));
            registered = registry.register(&mut udp, token, Interest::READABLE);
            Socket {
                udp,
                place: token.0,
                session: key,
                id: None,
            }
        });
        if let Err(error) = registered {
            self.forget(socket, hands.places);
            return Err(error);
        }
        Ok(socket)
    }

    /// Reads what came for one query. True if there may be more to read than its share of a turn.
    pub(super) fn serve(
        &mut self,
        key: SocketKey,
        buffer: &mut [u8],
        hands: &mut Hands<'_>,
    ) -> bool {
        for _ in 0..ROUNDS {
            let Some(socket) = self.sockets.get(key) else {
                return false;
            };
            let (session, Some(id)) = (socket.session, socket.id) else {
                return false;
            };
            // Sockets without a waiting query are not read, so a second response costs nothing.
            if !hands.engine.sessions_mut().awaits(session, id) {
                return false;
            }
            match socket.udp.recv(buffer) {
                Ok(length) => {
                    let message = buffer.get(..length).unwrap_or_default();
                    hands
                        .engine
                        .session_datagram(hands.now, session, id, message);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if is_loss(&error) => {}
                Err(error) => {
                    self.fail(session, &error, hands);
                    return false;
                }
            }
        }
        true
    }

    /// The upstream cannot be reached, as its host or a router on the way says.
    fn fail(&mut self, key: SessionKey, error: &io::Error, hands: &mut Hands<'_>) {
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        let reason = format!("send to {} over UDP: {error}", Named(session.address));
        hands.outlet.send(WorkerEvent::SessionFailed {
            upstream: session.upstream.id(),
            reason,
        });
        self.close(key);
        let end = SessionEnd::Connect(connect_fault(error));
        hands.engine.session_closed(hands.now, key, end);
    }

    /// Removes a session; its sockets are closed at the end of the turn.
    pub(super) fn close(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.remove(key) {
            self.used.extend(session.ahead);
            self.used.extend(session.asked.into_values());
        }
    }

    pub(super) fn drop_all(&mut self, places: &mut TokenTable) {
        self.sessions.clear();
        self.used.clear();
        self.wanting.clear();
        for (_, socket) in self.sockets.drain() {
            places.give_back(socket.place);
        }
    }

    /// Closes used sockets and opens as many new ones, after responses have been sent. What fails here is reported when
    /// a query needs a socket.
    pub(super) fn renew(&mut self, hands: &mut Hands<'_>) {
        for socket in std::mem::take(&mut self.used) {
            self.forget(socket, hands.places);
        }
        for key in std::mem::take(&mut self.wanting) {
            while self
                .sessions
                .get(key)
                .is_some_and(|it| it.ahead.len() < PLAIN_SOCKETS_AHEAD)
            {
                let Ok(socket) = self.make(key, hands) else {
                    break;
                };
                if let Some(session) = self.sessions.get_mut(key) {
                    session.ahead.push(socket);
                }
            }
        }
    }

    fn forget(&mut self, key: SocketKey, places: &mut TokenTable) {
        if let Some(socket) = self.sockets.remove(key) {
            places.give_back(socket.place);
        }
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    connect_fault(error) == ConnectFault::NoDescriptor
}

/// Whether a datagram was lost and nothing more.
fn is_loss(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::OutOfMemory
    )
}
