//! The floor of forwarding: a bare relay from UDP to pipelined TLS, with the same cryptography and without DNS.
//!
//! Sockets, batches and turns are those of `dotgate::worker`: batches of datagrams in, one TLS write for a turn; one read
//! of TLS in, batches of datagrams out. It knows nothing of a message but its ID, which it replaces with the place of the
//! client in a ring, and restores. A response that does not come, or a connection that ends, is nobody's concern.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dotgate_net::{
    BATCH, BindOptions, LocalAddress, Outgoing, ReceiveBatch, SendBatch, UdpPath, UdpSocket,
};
use dotgate_wire::split_frame;
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::Error;
use crate::error::Action;
use crate::load::streams::client_config;
use crate::threads;
use crate::upstream::AUTHENTICATION_NAME;

/// The same as a worker of dotgate: batches of one turn, events, bytes of the receive buffer, bytes of a read.
const ROUNDS: usize = 4;
const EVENTS: usize = 1_024;
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
const READ_BYTES: usize = 64 * 1_024;

const DATAGRAMS: Token = Token(0);
const SESSION: Token = Token(1);

/// Where a response goes.
#[derive(Clone, Copy)]
struct Waiter {
    peer: SocketAddr,
    local: LocalAddress,
    id: [u8; 2],
}

struct Response {
    waiter: Waiter,
    bytes: Range<usize>,
}

struct Worker {
    poll: Poll,
    socket: UdpSocket,
    incoming: ReceiveBatch,
    outgoing: SendBatch,
    session: TcpStream,
    tls: ClientConnection,
    /// By the ID that the upstream sees; one is used again after 65,536 queries.
    waiters: Vec<Option<Waiter>>,
    next: u16,
    queries: Vec<u8>,
    /// Bytes of the session that are not a whole response yet.
    stream: Vec<u8>,
    bytes: Vec<u8>,
    responses: Vec<Response>,
    unsent: usize,
}

/// Relays between `address` and `upstream` until a poll fails, with as many threads as the forwarders have.
///
/// # Errors
/// Where a socket cannot be bound or connected, or a poll fails.
pub fn run(address: SocketAddr, upstream: SocketAddr, ca_file: &Path) -> Result<(), Error> {
    let config = client_config(ca_file)?;
    threads::run(
        || Worker::new(address, upstream, Arc::clone(&config)),
        Worker::run,
    )
}

impl Worker {
    fn new(
        address: SocketAddr,
        upstream: SocketAddr,
        config: Arc<ClientConfig>,
    ) -> Result<Worker, Error> {
        let options = BindOptions {
            share_port: true,
            receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
        };
        let poll = Poll::new().to("make a poll")?;
        let socket = UdpSocket::bind(address, &options).to("bind the relay")?;
        let name = ServerName::try_from(AUTHENTICATION_NAME).map_err(io::Error::other);
        let mut tls = ClientConnection::new(config, name.to("name the upstream")?)?;
        tls.set_buffer_limit(None);
        // The handshake waits; what comes after does not.
        let mut stream = std::net::TcpStream::connect(upstream).to("connect to the upstream")?;
        stream.set_nodelay(true).to("set TCP_NODELAY")?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).to("open a session")?;
        }
        stream.set_nonblocking(true).to("set O_NONBLOCK")?;
        let mut session = TcpStream::from_std(stream);
        let registry = poll.registry();
        registry
            .register(
                &mut SourceFd(&socket.as_raw_fd()),
                DATAGRAMS,
                Interest::READABLE,
            )
            .to("poll the relay")?;
        registry
            .register(
                &mut session,
                SESSION,
                Interest::READABLE | Interest::WRITABLE,
            )
            .to("poll the session")?;
        Ok(Worker {
            poll,
            socket,
            incoming: ReceiveBatch::new(UdpPath::default()),
            outgoing: SendBatch::new(UdpPath::default()),
            session,
            tls,
            waiters: vec![None; 1 << 16],
            next: 0,
            queries: Vec::new(),
            stream: Vec::new(),
            bytes: Vec::new(),
            responses: Vec::new(),
            unsent: 0,
        })
    }

    fn run(mut self) -> Result<(), Error> {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; READ_BYTES];
        let mut maybe_more = false;
        loop {
            let timeout = maybe_more.then_some(Duration::ZERO);
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => outcome.to("poll")?,
            }
            if events.iter().any(|event| event.token() == SESSION) {
                self.read_session(&mut buffer).to("read the session")?;
            }
            maybe_more = self.receive();
            self.write_session().to("write to the session")?;
            self.send();
        }
    }

    /// Reads a few batches of queries. Whether there may be more.
    fn receive(&mut self) -> bool {
        for _ in 0..ROUNDS {
            let count = self.incoming.receive(&self.socket).unwrap_or(0);
            for datagram in self.incoming.datagrams() {
                let Some(([high, low], rest)) = datagram.bytes.split_first_chunk() else {
                    continue;
                };
                let length = datagram.bytes.len() as u16;
                self.queries.extend_from_slice(&length.to_be_bytes());
                self.queries.extend_from_slice(&self.next.to_be_bytes());
                self.queries.extend_from_slice(rest);
                self.waiters[usize::from(self.next)] = Some(Waiter {
                    peer: datagram.peer,
                    local: datagram.local,
                    id: [*high, *low],
                });
                self.next = self.next.wrapping_add(1);
            }
            if count < BATCH {
                return false;
            }
        }
        true
    }

    fn write_session(&mut self) -> io::Result<()> {
        if !self.queries.is_empty() {
            self.tls.writer().write_all(&self.queries)?;
            self.queries.clear();
        }
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.session) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_session(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let length = match self.session.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let mut bytes = &buffer[..length];
            while !bytes.is_empty() {
                self.tls.read_tls(&mut bytes)?;
                let state = self.tls.process_new_packets().map_err(io::Error::other)?;
                let start = self.stream.len();
                self.stream
                    .resize(start + state.plaintext_bytes_to_read(), 0);
                self.tls.reader().read_exact(&mut self.stream[start..])?;
            }
            self.take_responses();
            if length < buffer.len() {
                return Ok(());
            }
        }
    }

    fn take_responses(&mut self) {
        let mut stream = &*self.stream;
        while let Some((response, more)) = split_frame(stream) {
            stream = more;
            let Some(([high, low], rest)) = response.split_first_chunk() else {
                continue;
            };
            let place = usize::from(u16::from_be_bytes([*high, *low]));
            if let Some(waiter) = self.waiters[place].take() {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(&waiter.id);
                self.bytes.extend_from_slice(rest);
                self.responses.push(Response {
                    waiter,
                    bytes: start..self.bytes.len(),
                });
            }
        }
        let used = self.stream.len() - stream.len();
        self.stream.drain(..used);
    }

    fn send(&mut self) {
        if self.responses.is_empty() {
            return;
        }
        let outgoing = self.responses.iter().map(|response| Outgoing {
            peer: response.waiter.peer,
            local: response.waiter.local,
            bytes: &self.bytes[response.bytes.clone()],
        });
        let sent = self.outgoing.send(&self.socket, outgoing);
        self.unsent += sent.refused + sent.dropped;
        self.bytes.clear();
        self.responses.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::thread;

    use super::*;
    use crate::forwarder::free_address;
    use crate::load::{self, Load, Names, Pace, Stop};
    use crate::upstream::Upstream;

    #[test]
    fn a_relay_carries_queries_and_responses_and_knows_their_ids_alone() {
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        let upstream = Upstream::bind((Ipv4Addr::LOCALHOST, 0).into(), &ca_file, None).unwrap();
        let to = upstream.local_addr().unwrap();
        thread::spawn(move || upstream.run());
        let address = free_address().unwrap();
        thread::spawn(move || run(address, to, &ca_file));
        let load = |queries| Load {
            target: address,
            sockets: 3,
            pace: Pace::Window(64),
            stop: Stop::Queries(queries),
            timeout: Duration::from_millis(500),
            seed: 1,
            names: Names::Unique,
            measured: None,
        };
        // Until both its workers have their sockets.
        while load::run(&load(64)).unwrap().tally.answered < 64 {}
        let outcome = load::run(&load(5_000)).unwrap();
        assert_eq!(outcome.tally.answered, 5_000, "{:?}", outcome.tally.late);
    }
}
