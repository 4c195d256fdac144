//! A worker's client connections over TCP: accepting, reading and writing; their rules are the engine's.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use dotgate_core::{Count, Engine, KernelBuffers, Moment, StreamKey, limits};
use dotgate_net::tcp::is_of_one_connection;
use mio::Registry;
use mio::net::{TcpListener, TcpStream};
use slotmap::SecondaryMap;

use super::places::{Owner, Places};
use super::{ROUNDS, Read, Ready, register};

/// Connections accepted from one listener in one turn.
const ACCEPTS: usize = 64;

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
    accept_again_at: Option<Moment>,
    /// The error with which the system refused to accept, last time that it did.
    refused: Option<i32>,
}

/// How far accepting came.
#[derive(PartialEq, Eq)]
pub(super) enum Accepted {
    /// Nobody waits any more.
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
        places: &mut Places,
        listeners: Vec<std::net::TcpListener>,
    ) -> io::Result<Streams> {
        let mut streams = Streams {
            listeners: Vec::new(),
            connections: SecondaryMap::new(),
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
        places: &mut Places,
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

    /// When accepting goes on after a pause.
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
        places: &mut Places,
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
                    if let Some(key) = engine.stream_opened(now, peer.ip()) {
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

    /// Accepts nobody for a while: the system has no descriptor for a client.
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
        places: &mut Places,
    ) {
        match register(registry, places, Owner::Stream(key), &mut socket) {
            Ok(place) => {
                self.connections.insert(key, Connection { socket, place });
            }
            Err(_) => engine.stream_closed(key),
        }
    }

    /// Writes what waited for room, then reads.
    pub(super) fn serve(
        &mut self,
        key: StreamKey,
        ready: Ready,
        engine: &mut Engine,
        buffer: &mut [u8],
        places: &mut Places,
        now: Moment,
    ) -> Read {
        if ready.is_writable
            && engine
                .stream_output(key)
                .is_some_and(|output| !output.is_empty())
        {
            self.flush(key, engine, places, now);
        }
        let mut read = Read::default();
        for _ in 0..ROUNDS {
            if !engine.stream_reads(key) {
                return read;
            }
            let Some(connection) = self.connections.get_mut(key) else {
                return read;
            };
            match connection.socket.read(buffer) {
                Ok(0) => {
                    engine.stream_ended(key);
                    return read;
                }
                Ok(length) => {
                    read.count += 1;
                    let bytes = buffer.get(..length).unwrap_or_default();
                    engine.stream_bytes(now, key, bytes);
                    if length < buffer.len() && !ready.is_read_closed {
                        return read;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    engine.stream_closed(key);
                    self.close(key, places);
                    return read;
                }
            }
        }
        read.maybe_more = true;
        read
    }

    /// Writes what waits for a client, as far as the system takes it.
    pub(super) fn flush(
        &mut self,
        key: StreamKey,
        engine: &mut Engine,
        places: &mut Places,
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
        engine.stream_wrote(now, key, taken);
    }

    /// Tells the engine what the kernel buffers for each client.
    pub(super) fn measure(&self, engine: &mut Engine, now: Moment) {
        for (key, connection) in &self.connections {
            let is_full = engine
                .stream_output(key)
                .is_some_and(|output| !output.is_empty());
            let measured = match dotgate_net::tcp::buffered(&connection.socket) {
                Some(buffered) => KernelBuffers {
                    bytes: buffered.bytes,
                    is_sending: buffered.is_sending,
                    acknowledged: buffered.acknowledged,
                },
                // Where the system does not tell, its buffer is full or nearly empty.
                None if is_full => KernelBuffers {
                    bytes: limits::STREAM_KERNEL_BYTES,
                    ..KernelBuffers::default()
                },
                None => KernelBuffers::default(),
            };
            engine.stream_measured(now, key, measured);
        }
    }

    /// Closes a connection that the engine has forgotten.
    pub(super) fn close(&mut self, key: StreamKey, places: &mut Places) {
        if let Some(connection) = self.connections.remove(key) {
            places.give_back(connection.place);
        }
    }

    pub(super) fn keys(&self) -> Vec<StreamKey> {
        self.connections.keys().collect()
    }

    pub(super) fn drop_all(&mut self, places: &mut Places) {
        for (_, connection) in self.connections.drain() {
            places.give_back(connection.place);
        }
    }

    /// Accepts nobody any more at these addresses and closes the listeners; those who are connected go on.
    pub(super) fn stop_accepting(
        &mut self,
        registry: &Registry,
        places: &mut Places,
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

/// Whether the process or the system has too many files open.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}
