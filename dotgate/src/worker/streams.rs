//! A worker's client connections over TCP: accepting, reading and writing; their rules are the engine's.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use dotgate_core::{Count, Engine, KernelBuffers, Moment, StreamKey, StreamKind, limits};
use dotgate_net::tcp::is_of_one_connection;
use mio::Registry;
use mio::net::{TcpListener, TcpStream};
use slotmap::SecondaryMap;

use super::poll::{Ready, register};
use super::ready::{self, ReadyStreams};
use super::spare::is_out_of_descriptors;
use super::tokens::{Owner, TokenTable};

/// Connections accepted from one listener in one turn.
const ACCEPTS: usize = 32;

/// Bytes of one connection that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// Connections that are measured in one turn, in about half a millisecond.
const MEASURED_PER_TURN: usize = 256;

/// The pause in accepting after the system had no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

struct Connection {
    socket: TcpStream,
    place: usize,
}

pub(super) struct Streams {
    /// Each with its place in the loop; one that is closed leaves its number free.
    listeners: Vec<Option<(TcpListener, usize)>>,
    connections: SecondaryMap<StreamKey, Connection>,
    ready: ReadyStreams,
    to_measure: Vec<StreamKey>,
    accept_again_at: Option<Moment>,
    /// The error with which the system refused to accept, last time that it did.
    refused: Option<i32>,
}

/// How far accepting came.
#[derive(PartialEq, Eq)]
pub(super) enum Accepted {
    /// No one waits any longer.
    All,
    /// Others may wait.
    Some,
    /// The system has no descriptor left; accepting pauses.
    NoDescriptor,
    /// The system refuses to accept at all, for another reason than before; accepting pauses.
    Refused(String),
}

impl Streams {
    pub(super) fn new(
        registry: &Registry,
        places: &mut TokenTable,
        listeners: Vec<std::net::TcpListener>,
    ) -> io::Result<Streams> {
        let mut streams = Streams {
            listeners: Vec::new(),
            connections: SecondaryMap::new(),
            ready: ReadyStreams::default(),
            to_measure: Vec::new(),
            accept_again_at: None,
            refused: None,
        };
        for listener in listeners {
            streams.add_listener(registry, places, Some(listener))?;
        }
        Ok(streams)
    }

    /// Accepts from one more listener from now on, if there is one.
    pub(super) fn add_listener(
        &mut self,
        registry: &Registry,
        places: &mut TokenTable,
        listener: Option<std::net::TcpListener>,
    ) -> io::Result<()> {
        let Some(listener) = listener else {
            return Ok(());
        };
        let mut listener = TcpListener::from_std(listener);
        let owner = Owner::Tcp(self.listeners.len());
        let place = register(registry, places, owner, &mut listener)?;
        self.listeners.push(Some((listener, place)));
        Ok(())
    }

    pub(super) fn listener_count(&self) -> usize {
        self.listeners.len()
    }

    /// When accepting continues after a pause.
    pub(super) fn accept_again_at(&self) -> Option<Moment> {
        self.accept_again_at
    }

    pub(super) fn end_pause(&mut self) {
        self.accept_again_at = None;
    }

    pub(super) fn accept(
        &mut self,
        number: usize,
        registry: &Registry,
        engine: &mut Engine,
        places: &mut TokenTable,
        now: Moment,
    ) -> Accepted {
        if self.accept_again_at.is_some() {
            return Accepted::All;
        }
        for _ in 0..ACCEPTS {
            let Some(Some((listener, _))) = self.listeners.get(number) else {
                return Accepted::All;
            };
            match listener.accept() {
                Ok((socket, peer)) => {
                    if let Some(key) = engine.stream_opened(now, peer.ip(), StreamKind::Tcp) {
                        self.add(key, socket, registry, engine, places);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Accepted::All,
                Err(error) if is_out_of_descriptors(&error) => {
                    return self.pause_accepting(engine, now);
                }
                Err(error) if is_of_one_connection(&error) => {}
                // A filter of system calls, or no memory: to try at once would never end.
                Err(error) => {
                    self.accept_again_at = Some(now + ACCEPT_PAUSE);
                    let is_known = self.refused == error.raw_os_error();
                    self.refused = error.raw_os_error();
                    return if is_known {
                        Accepted::All
                    } else {
                        Accepted::Refused(error.to_string())
                    };
                }
            }
        }
        Accepted::Some
    }

    /// Stops accepting for a while: the system has no descriptor for a client.
    pub(super) fn pause_accepting(&mut self, engine: &Engine, now: Moment) -> Accepted {
        if self.accept_again_at.is_some() {
            return Accepted::All;
        }
        engine.counters().add(Count::DescriptorsExhausted);
        self.accept_again_at = Some(now + ACCEPT_PAUSE);
        Accepted::NoDescriptor
    }

    fn add(
        &mut self,
        key: StreamKey,
        mut socket: TcpStream,
        registry: &Registry,
        engine: &mut Engine,
        places: &mut TokenTable,
    ) {
        match register(registry, places, Owner::Stream(key), &mut socket) {
            Ok(place) => {
                self.connections.insert(key, Connection { socket, place });
            }
            Err(_) => engine.stream_closed(key),
        }
    }

    /// Has a connection served in its turn.
    pub(super) fn note_ready(&mut self, key: StreamKey, ready: Ready) {
        if self.connections.contains_key(key) {
            self.ready.add(key, ready);
        }
    }

    /// Has every connection served in its turn.
    pub(super) fn note_all_ready(&mut self) {
        for key in self.connections.keys() {
            self.ready.add(key, Ready::AGAIN);
        }
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Serves connections in the order in which they became ready, until they have had `share` of the turn. True if a
    /// client has sent anything.
    pub(super) fn serve(
        &mut self,
        share: usize,
        engine: &mut Engine,
        buffer: &mut [u8],
        places: &mut TokenTable,
        now: Moment,
    ) -> bool {
        let mut work = 0;
        let mut has_read = false;
        // Those that become ready meanwhile have their turn later.
        for _ in 0..self.ready.len() {
            if work >= share {
                break;
            }
            let Some((key, ready)) = self.ready.next() else {
                break;
            };
            let unsent = |engine: &mut Engine| engine.stream_output(key).map_or(0, |out| out.len());
            let before = unsent(engine);
            let read = self.serve_one(key, ready, engine, buffer, places, now);
            has_read |= read > 0;
            work += ready::work(read, unsent(engine).saturating_sub(before));
        }
        has_read
    }

    /// Writes what waited for room, then reads once. Returns how many bytes came.
    fn serve_one(
        &mut self,
        key: StreamKey,
        ready: Ready,
        engine: &mut Engine,
        buffer: &mut [u8],
        places: &mut TokenTable,
        now: Moment,
    ) -> usize {
        if ready.is_writable
            && engine
                .stream_output(key)
                .is_some_and(|output| !output.is_empty())
        {
            self.flush(key, engine, places, now);
        }
        let Some(connection) = self.connections.get_mut(key) else {
            return 0;
        };
        if !engine.stream_reads(key) {
            return 0;
        }
        let buffer = buffer.get_mut(..READ_BYTES).unwrap_or_default();
        match connection.socket.read(buffer) {
            Ok(0) => {
                engine.stream_ended(key);
                0
            }
            Ok(length) => {
                engine.stream_bytes(now, key, buffer.get(..length).unwrap_or_default());
                // A short read is the last one, unless the end is behind it.
                if length == buffer.len() || ready.is_read_closed {
                    self.ready.add(key, ready);
                }
                length
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.ready.add(key, ready);
                0
            }
            Err(_) => {
                engine.stream_closed(key);
                self.close(key, places);
                0
            }
        }
    }

    /// Writes what waits for a client, as far as the system takes it.
    pub(super) fn flush(
        &mut self,
        key: StreamKey,
        engine: &mut Engine,
        places: &mut TokenTable,
        now: Moment,
    ) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let Some(output) = engine.stream_output(key) else {
            return;
        };
        let mut taken = 0;
        while let Some(rest) = output.get(taken..).filter(|rest| !rest.is_empty()) {
            match connection.socket.write(rest) {
                Ok(0) => break,
                Ok(length) => taken += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    engine.stream_closed(key);
                    self.close(key, places);
                    return;
                }
            }
        }
        output.drain(..taken);
        engine.stream_wrote(now, key, taken, 0);
    }

    /// Measures what the kernel buffers for each client, a part of them in each turn.
    pub(super) fn begin_measuring(&mut self) {
        if self.to_measure.is_empty() {
            self.to_measure.extend(self.connections.keys());
        }
    }

    pub(super) fn is_measuring(&self) -> bool {
        !self.to_measure.is_empty()
    }

    /// Reports to the engine what the kernel buffers for some of the clients. True if these were the last ones.
    pub(super) fn measure_some(&mut self, engine: &mut Engine, now: Moment) -> bool {
        if self.to_measure.is_empty() {
            return false;
        }
        let left = self.to_measure.len().saturating_sub(MEASURED_PER_TURN);
        for key in self.to_measure.drain(left..) {
            let Some(connection) = self.connections.get(key) else {
                continue;
            };
            let is_full = engine
                .stream_output(key)
                .is_some_and(|output| !output.is_empty());
            let measured = match dotgate_net::tcp::buffered(&connection.socket) {
                Some(buffered) => KernelBuffers {
                    bytes: buffered.bytes,
                    is_sending: buffered.is_sending,
                    acknowledged: buffered.acknowledged,
                },
                // Where the system does not report it, its buffer is full or nearly empty.
                None if is_full => KernelBuffers {
                    bytes: limits::STREAM_KERNEL_BYTES,
                    ..KernelBuffers::default()
                },
                None => KernelBuffers::default(),
            };
            engine.stream_measured(now, key, measured);
        }
        left == 0
    }

    /// Closes a connection that the engine has removed.
    pub(super) fn close(&mut self, key: StreamKey, places: &mut TokenTable) {
        if let Some(connection) = self.connections.remove(key) {
            self.ready.remove(key);
            places.give_back(connection.place);
        }
    }

    pub(super) fn drop_all(&mut self, places: &mut TokenTable) {
        self.ready = ReadyStreams::default();
        for (_, connection) in self.connections.drain() {
            places.give_back(connection.place);
        }
    }

    /// Stops accepting at these addresses and closes the listeners; existing connections continue.
    pub(super) fn stop_accepting(
        &mut self,
        registry: &Registry,
        places: &mut TokenTable,
        is_meant: impl Fn(SocketAddr) -> bool,
    ) {
        for slot in &mut self.listeners {
            let is_meant = |(listener, _): &mut (TcpListener, usize)| {
                listener.local_addr().is_ok_and(&is_meant)
            };
            if let Some((mut listener, place)) = slot.take_if(is_meant) {
                // The socket may live on in another process, where this loop would still hear of it.
                drop(registry.deregister(&mut listener));
                places.give_back(place);
            }
        }
    }
}
