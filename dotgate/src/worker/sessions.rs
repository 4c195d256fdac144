//! A worker's sessions to upstreams: a socket and its TLS each; everything else about them is the engine's.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dotgate_core::{
    ConnectFault, Count, Engine, KeyExchange, Link, Moment, SessionEnd, SessionKey, UpstreamId,
};
use dotgate_net::Named;
use dotgate_tls::TlsFailure;
use mio::net::TcpStream;
use mio::{Interest, Registry};
use slotmap::SecondaryMap;

use super::channel::Channel;
use super::control::{ReportSender, SessionOpened, WorkerEvent};
use super::plain::PlainQueries;
use super::poll::{ROUNDS, Ready, register};
use super::spare::{Spare, connect_fault};
use super::tokens::{Owner, TokenTable};
use crate::upstreams::{Upstream, Upstreams};

/// An opening that the engine closes after this long has failed; one that it closes earlier was one too many.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(2_500);

/// What the engine asks for.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    pub(super) session: SessionKey,
    pub(super) upstream: UpstreamId,
    pub(super) link: Link,
    pub(super) try_number: u32,
    pub(super) alpn: bool,
    pub(super) key_exchange: KeyExchange,
}

struct Connection {
    socket: TcpStream,
    channel: Channel,
    place: usize,
    upstream: Arc<Upstream>,
    address: SocketAddr,
    is_connected: bool,
    /// Whether it may carry queries; a plain upstream is asked without authentication.
    is_authenticated: bool,
    started: Moment,
}

pub(super) struct Sessions {
    upstreams: Upstreams,
    connections: SecondaryMap<SessionKey, Connection>,
    /// TokenTable of connections that ended by themselves.
    given_back: Vec<usize>,
    spare: Spare,
    plain: PlainQueries,
}

impl Sessions {
    pub(super) fn new(upstreams: Upstreams) -> Sessions {
        Sessions {
            upstreams,
            connections: SecondaryMap::new(),
            given_back: Vec::new(),
            spare: Spare::filled(),
            plain: PlainQueries::default(),
        }
    }

    /// Sessions are opened to these from now on; those that are open stay.
    pub(super) fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    pub(super) fn set_upstreams(&mut self, upstreams: Upstreams) {
        self.upstreams = upstreams;
    }

    /// Makes sure that sessions find a descriptor, before one is given to a client. False if none is left.
    pub(super) fn hold_descriptors(&mut self) -> bool {
        self.spare.refill()
    }

    pub(super) fn open(
        &mut self,
        opening: Opening,
        registry: &Registry,
        engine: &mut Engine,
        places: &mut TokenTable,
        outlet: &ReportSender,
        now: Moment,
    ) {
        if opening.link == Link::Datagrams {
            match self.locate(opening) {
                Ok((upstream, address)) => self.plain.open(opening.session, &upstream, address),
                Err((end, reason)) => {
                    outlet.send(WorkerEvent::SessionFailed {
                        upstream: opening.upstream,
                        reason,
                    });
                    engine.session_closed(now, opening.session, end);
                }
            }
            return;
        }
        let mut started = self.start(opening, registry, places, now);
        // Clients may have taken all others.
        let no_descriptor = SessionEnd::Connect(ConnectFault::NoDescriptor);
        if matches!(&started, Err((end, _)) if *end == no_descriptor) && self.spare.release_one() {
            started = self.start(opening, registry, places, now);
        }
        match started {
            Ok(connection) => {
                self.connections.insert(opening.session, connection);
            }
            Err((end, reason)) => {
                outlet.send(WorkerEvent::SessionFailed {
                    upstream: opening.upstream,
                    reason,
                });
                engine.session_closed(now, opening.session, end);
            }
        }
    }

    fn start(
        &self,
        opening: Opening,
        registry: &Registry,
        places: &mut TokenTable,
        now: Moment,
    ) -> Result<Connection, (SessionEnd, String)> {
        let (upstream, address) = self.locate(opening)?;
        let channel = match upstream.tls() {
            None => Channel::Plain,
            Some(tls) => tls
                .connect(opening.alpn, opening.key_exchange)
                .map(|tls| Channel::Tls(Box::new(tls)))
                .map_err(|failure| (SessionEnd::Tls(failure.fault()), failure.text()))?,
        };
        let failed = |error: std::io::Error| {
            let fault = connect_fault(&error);
            if fault != ConnectFault::NoDescriptor {
                upstream.note_failed(address);
            }
            (
                SessionEnd::Connect(fault),
                format!("connect to {}: {error}", Named(address)),
            )
        };
        let socket =
            dotgate_net::tcp::connect(address, &upstream.config().egress).map_err(failed)?;
        let mut socket = TcpStream::from_std(socket);
        let owner = Owner::Session(opening.session);
        // It is writable once it is connected.
        let interest = Interest::READABLE | Interest::WRITABLE;
        let place = register(registry, places, owner, &mut socket, interest).map_err(failed)?;
        Ok(Connection {
            socket,
            channel,
            place,
            upstream: Arc::clone(&upstream),
            address,
            is_connected: false,
            is_authenticated: false,
            started: now,
        })
    }

    /// Where a session goes.
    fn locate(
        &self,
        opening: Opening,
    ) -> Result<(Arc<Upstream>, SocketAddr), (SessionEnd, String)> {
        let mut upstreams = self.upstreams.iter();
        let upstream = upstreams.find(|upstream| upstream.id() == opening.upstream);
        let located =
            upstream.and_then(|it| Some((Arc::clone(it), it.address(opening.try_number)?)));
        located.ok_or_else(|| {
            let fault = ConnectFault::NoAddress;
            (SessionEnd::Connect(fault), fault.text().to_owned())
        })
    }

    /// The queries over UDP, and the descriptors reserved for them.
    pub(super) fn plain(&mut self) -> (&mut PlainQueries, &mut Spare) {
        (&mut self.plain, &mut self.spare)
    }

    /// Reads, and writes what waited for room. True if there may be more to read than its share of a turn.
    pub(super) fn serve(
        &mut self,
        key: SessionKey,
        ready: Ready,
        engine: &mut Engine,
        buffer: &mut [u8],
        outlet: &ReportSender,
        now: Moment,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(key) else {
            return false;
        };
        if !connection.is_connected {
            match connection.finish_connecting() {
                Ok(false) => return false,
                Ok(true) => {
                    engine.sessions_mut().on_connected(now, key);
                    connection.open_if_plain(key, engine, now);
                }
                Err(error) => {
                    let reason = format!("connect to {}: {error}", Named(connection.address));
                    let end = SessionEnd::Connect(connect_fault(&error));
                    self.end(key, end, Some(reason), engine, outlet, now);
                    return false;
                }
            }
        }
        let read = connection.read(key, ready, engine, buffer, outlet, now);
        match read {
            Err(failure) => {
                let end = session_end(&failure);
                self.end(key, end, Some(failure.text()), engine, outlet, now);
                false
            }
            Ok(Outcome::Ended) => {
                self.end(key, SessionEnd::Closed, None, engine, outlet, now);
                false
            }
            Ok(outcome) => {
                let wants_write = connection.channel.wants_write();
                if ready.is_writable || wants_write {
                    self.flush(key, engine, outlet, now);
                }
                outcome == Outcome::MaybeMore
            }
        }
    }

    /// Encrypts and writes what waits, with one write call unless the socket takes it all.
    pub(super) fn flush(
        &mut self,
        key: SessionKey,
        engine: &mut Engine,
        outlet: &ReportSender,
        now: Moment,
    ) {
        let Some(connection) = self
            .connections
            .get_mut(key)
            .filter(|connection| connection.is_connected)
        else {
            return;
        };
        let mut nothing = Vec::new();
        let frames = engine.sessions_mut().output(key).unwrap_or(&mut nothing);
        if let Err(failure) = connection.channel.write(&mut connection.socket, frames) {
            let end = session_end(&failure);
            self.end(key, end, Some(failure.text()), engine, outlet, now);
        }
    }

    /// Closes in good order what the engine has removed.
    pub(super) fn close(&mut self, key: SessionKey, places: &mut TokenTable, now: Moment) {
        self.plain.close(key);
        if let Some(mut connection) = self.connections.remove(key) {
            if !connection.is_authenticated && now.since(connection.started) >= GIVEN_UP_AFTER {
                connection.upstream.note_failed(connection.address);
            }
            connection.channel.close_notify();
            // The peer may be gone; then close_notify cannot be sent.
            drop(
                connection
                    .channel
                    .write(&mut connection.socket, &mut Vec::new()),
            );
            places.give_back(connection.place);
        }
    }

    /// Gives back the places of connections that ended by themselves.
    pub(super) fn forget_closed(&mut self, places: &mut TokenTable) {
        for place in self.given_back.drain(..) {
            places.give_back(place);
        }
    }

    pub(super) fn drop_all(&mut self, places: &mut TokenTable) {
        self.plain.drop_all(places);
        for (_, connection) in self.connections.drain() {
            places.give_back(connection.place);
        }
    }

    fn end(
        &mut self,
        key: SessionKey,
        end: SessionEnd,
        reason: Option<String>,
        engine: &mut Engine,
        outlet: &ReportSender,
        now: Moment,
    ) {
        let Some(connection) = self.connections.remove(key) else {
            return;
        };
        self.given_back.push(connection.place);
        if !connection.is_authenticated {
            connection.upstream.note_failed(connection.address);
        }
        if let Some(reason) = reason {
            outlet.send(WorkerEvent::SessionFailed {
                upstream: connection.upstream.id(),
                reason,
            });
        }
        engine.session_closed(now, key, end);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Drained,
    MaybeMore,
    Ended,
}

impl Connection {
    /// Whether the TCP connection is established.
    fn finish_connecting(&mut self) -> std::io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => {
                self.is_connected = true;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A plain upstream is queried as soon as the connection is established.
    fn open_if_plain(&mut self, key: SessionKey, engine: &mut Engine, now: Moment) {
        match self.channel {
            Channel::Tls(_) => {}
            Channel::Plain => {
                self.is_authenticated = true;
                engine.session_opened(now, key);
            }
        }
    }

    fn read(
        &mut self,
        key: SessionKey,
        ready: Ready,
        engine: &mut Engine,
        buffer: &mut [u8],
        outlet: &ReportSender,
        now: Moment,
    ) -> Result<Outcome, TlsFailure> {
        for _ in 0..ROUNDS {
            let mut take = |plaintext: &[u8]| engine.session_bytes(now, key, plaintext);
            let progress = self.channel.read(&mut self.socket, buffer, &mut take)?;
            if progress.handshake_done_now {
                self.log_opened(key, engine, outlet, now);
                engine.session_opened(now, key);
            }
            if progress.peer_closed.is_some() {
                return Ok(Outcome::Ended);
            }
            // A short read has emptied the socket, but for the end that may be behind it.
            if progress.would_block || (!progress.maybe_more && !ready.is_read_closed) {
                return Ok(Outcome::Drained);
            }
        }
        Ok(Outcome::MaybeMore)
    }

    fn log_opened(
        &mut self,
        key: SessionKey,
        engine: &mut Engine,
        outlet: &ReportSender,
        now: Moment,
    ) {
        self.is_authenticated = true;
        self.upstream.note_authenticated(self.address);
        let Some(facts) = self.channel.facts() else {
            return;
        };
        if facts.resumed {
            engine.sessions_mut().on_resumed(key);
            outlet.counters.add(Count::HandshakesResumed);
        } else if let Some(pin) = self.upstream.note_certificates(&facts.certificates) {
            let upstream = self.upstream.id();
            outlet.send(WorkerEvent::PinMismatch { upstream, pin });
        }
        outlet.send(WorkerEvent::SessionOpened(SessionOpened {
            upstream: self.upstream.id(),
            tls: facts.version.trim_start_matches("TLS "),
            key_exchange: facts.key_exchange,
            resumed: facts.resumed,
            time: now.since(self.started),
        }));
    }
}

fn session_end(failure: &TlsFailure) -> SessionEnd {
    match failure {
        TlsFailure::Reset => SessionEnd::Reset,
        TlsFailure::Io(_) => SessionEnd::Reset,
        other => SessionEnd::Tls(other.fault()),
    }
}
