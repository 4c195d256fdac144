//! A worker's UDP sockets: batches in, batches out.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use dotgate_core::{Count, Engine, Moment, ReturnPath};
use dotgate_net::udp::is_refusal;
use dotgate_net::{BATCH, LocalAddress, Outgoing, ReceiveBatch, SendBatch, UdpPath, UdpSocket};
use mio::unix::SourceFd;
use mio::{Interest, Registry};

use super::poll::{LAST_ROUNDS, ROUNDS, Read};
use super::tokens::{Owner, TokenTable};

/// A socket and its place in the loop; without one it is not read any more, but responses leave through it.
struct Listener {
    socket: Arc<UdpSocket>,
    place: Option<usize>,
}

pub(super) struct Datagrams {
    sockets: Vec<Listener>,
    incoming: ReceiveBatch,
    outgoing: SendBatch,
    /// The engine's datagrams that the system refused last, by number, and whether they were too long.
    unsendable: Vec<(usize, bool)>,
    /// Whether the system has refused to give datagrams.
    is_refused: bool,
    /// Why, until it is reported.
    refused: Option<String>,
}

impl Datagrams {
    pub(super) fn new(
        registry: &Registry,
        places: &mut TokenTable,
        sockets: Vec<Arc<UdpSocket>>,
        path: UdpPath,
    ) -> io::Result<Datagrams> {
        let mut datagrams = Datagrams {
            sockets: Vec::new(),
            incoming: ReceiveBatch::new(path),
            outgoing: SendBatch::new(path),
            unsendable: Vec::new(),
            is_refused: false,
            refused: None,
        };
        for socket in sockets {
            datagrams.add(registry, places, socket)?;
        }
        Ok(datagrams)
    }

    /// Reads one more socket from now on.
    pub(super) fn add(
        &mut self,
        registry: &Registry,
        places: &mut TokenTable,
        socket: Arc<UdpSocket>,
    ) -> io::Result<()> {
        let token = places.take(Owner::Udp(self.sockets.len()));
        registry.register(
            &mut SourceFd(&socket.as_raw_fd()),
            token,
            Interest::READABLE,
        )?;
        self.sockets.push(Listener {
            socket,
            place: Some(token.0),
        });
        Ok(())
    }

    /// The addresses that the sockets are bound to, by number.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let address = |listener: &Listener| listener.socket.local_addr().map(|it| it.ip());
        // One that the system does not say is that of no entry.
        let unknown = IpAddr::from([0, 0, 0, 0]);
        let addresses = self.sockets.iter().map(address);
        addresses.map(|it| it.unwrap_or(unknown)).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.sockets.len()
    }

    /// Why the system gives no datagrams, the first time that it does not.
    pub(super) fn take_refusal(&mut self) -> Option<String> {
        self.refused.take()
    }

    /// Reads a few batches; each one's responses leave before the next is read.
    pub(super) fn receive(&mut self, number: usize, engine: &mut Engine, now: Moment) -> Read {
        let mut read = Read::default();
        for _ in 0..ROUNDS {
            let count = self.receive_batch(number, engine, now);
            read.count += count;
            // A short batch means that the socket is empty.
            if count < BATCH {
                return read;
            }
            self.send_full_batches(engine);
        }
        read.maybe_more = true;
        read
    }

    /// Reads what every socket that is still read has queued.
    pub(super) fn receive_last(&mut self, engine: &mut Engine, now: Moment) {
        for number in 0..self.sockets.len() {
            for _ in 0..LAST_ROUNDS {
                if self.receive_batch(number, engine, now) < BATCH {
                    break;
                }
                self.send_full_batches(engine);
            }
        }
    }

    fn receive_batch(&mut self, number: usize, engine: &mut Engine, now: Moment) -> usize {
        let Some(listener) = self.sockets.get(number) else {
            return 0;
        };
        if listener.place.is_none() {
            return 0;
        }
        // Most errors of a UDP socket speak of an earlier datagram (ICMP); the next read continues.
        let count = self.incoming.receive(&listener.socket);
        let count = count.unwrap_or_else(|error| {
            if is_refusal(&error) && !self.is_refused {
                self.is_refused = true;
                self.refused = Some(error.to_string());
            }
            0
        });
        let is_tapping = engine.clients().is_tapping();
        for datagram in self.incoming.datagrams() {
            let path = ReturnPath {
                socket: u16::try_from(number).unwrap_or(u16::MAX),
                peer: datagram.peer,
                local_ip: datagram.local.ip,
                interface: datagram.local.interface,
            };
            if is_tapping {
                engine.clients_mut().tap_datagram(&path, datagram.bytes);
            }
            engine.on_datagram(now, path, datagram.bytes);
        }
        count
    }

    fn send_full_batches(&mut self, engine: &mut Engine) {
        if engine.clients().datagram_count() >= BATCH {
            self.send(engine);
        }
    }

    /// Sends what the engine has for every socket. A response that the system refuses is sent once more, as short as it
    /// can be: the link to the client may carry less than others do.
    pub(super) fn send(&mut self, engine: &mut Engine) {
        if engine.clients().datagram_count() == 0 {
            return;
        }
        if engine.clients().is_tapping() {
            engine.clients_mut().tap_datagrams();
        }
        let mut unsent = self.send_to_all(engine);
        if !self.unsendable.is_empty() {
            engine.clients_mut().shorten_refused(&self.unsendable);
            unsent -= engine.clients().datagram_count();
            unsent += self.send_to_all(engine);
        }
        if unsent > 0 {
            engine
                .counters()
                .add_many(Count::DatagramsUnsent, unsent as u64);
        }
        engine.clients_mut().clear_datagrams();
    }

    /// Sends what the engine has, notes what the system refused, and returns how many were not sent.
    fn send_to_all(&mut self, engine: &Engine) -> usize {
        let mut unsent = 0;
        self.unsendable.clear();
        for (number, listener) in self.sockets.iter().enumerate() {
            let mine = || {
                let datagrams = engine.clients().datagrams().enumerate();
                datagrams.filter(|(_, datagram)| usize::from(datagram.path.socket) == number)
            };
            let outgoing = mine().map(|(_, datagram)| Outgoing {
                peer: datagram.path.peer,
                local: LocalAddress {
                    ip: datagram.path.local_ip,
                    interface: datagram.path.interface,
                },
                bytes: datagram.bytes,
            });
            let sent = self.outgoing.send(&listener.socket, outgoing);
            unsent += sent.refused + sent.dropped;
            for (place, is_too_long) in self.outgoing.refused() {
                let refused = mine().nth(*place);
                self.unsendable
                    .extend(refused.map(|(index, _)| (index, *is_too_long)));
            }
        }
        unsent
    }

    /// Reads the sockets of these addresses no more; responses still leave through them.
    pub(super) fn stop(
        &mut self,
        registry: &Registry,
        places: &mut TokenTable,
        is_meant: impl Fn(SocketAddr) -> bool,
    ) {
        for Listener { socket, place } in &mut self.sockets {
            if socket.local_addr().is_ok_and(&is_meant)
                && let Some(place) = place.take()
            {
                // A socket that cannot be taken out of the loop is only heard of once more, for nothing.
                drop(registry.deregister(&mut SourceFd(&socket.as_raw_fd())));
                places.give_back(place);
            }
        }
    }
}
