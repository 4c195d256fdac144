//! The upstream: a DNS-over-TLS server on loopback (RFC 7858) that answers at once.
//!
//! One thread, one poll loop. All whole queries of a read are answered in one TLS write, so that
//! it never is the bottleneck of a forwarder that writes several queries at a time. Its
//! certificate is made when it starts. Over UDP, on the same port, it tells how many queries of a
//! load it answered. It has no limits: it serves one machine's measurements.
//!
//! It is not the scripted server of `dotgate-testbed`, which looks up steps for each query, records
//! it and builds its response record by record: that costs more than a forwarder does, and would be
//! what is measured.

mod certificate;
mod connection;
mod delay;
mod process;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use rustls::ServerConfig;

use crate::Error;
use crate::error::Action;
pub use certificate::AUTHENTICATION_NAME;
use connection::{Connection, State};
use delay::Service;
pub use delay::{Behavior, STALL};
pub(crate) use process::UpstreamProcess;

const LISTENER: Token = Token(usize::MAX);
const COUNT: Token = Token(usize::MAX - 1);
/// Tries to find a port that is free for TCP and UDP alike.
const PORTS_TRIED: usize = 16;
const EVENTS_PER_POLL: usize = 256;
const BACKLOG: i32 = 1024;
/// Bytes read from a connection per system call: four TLS records.
const READ_BYTES: usize = 65_536;

/// An upstream that listens.
pub struct Upstream {
    poll: Poll,
    listener: TcpListener,
    /// Any datagram is answered with the number of queries, in decimal.
    count: UdpSocket,
    service: Service,
    config: Arc<ServerConfig>,
    /// By token, with its number; a slot is reused after its connection ends, a number is not.
    connections: Vec<Option<(u64, Connection)>>,
    accepted: u64,
}

impl Upstream {
    /// Listens on `address` with a certificate for `dot.test` and 127.0.0.1, and writes the
    /// authority that issued it to `ca_file` as PEM. With `kept`, a file, certificate and key are
    /// those of the last start with it, so that a restart is the same upstream to its clients.
    ///
    /// # Errors
    /// Where the address cannot be bound, the file not written or the certificate not made.
    pub fn bind(
        address: SocketAddr,
        ca_file: &Path,
        saved: Option<&Path>,
    ) -> Result<Upstream, Error> {
        let config = Arc::new(certificate::server_config(ca_file, saved)?);
        let poll = Poll::new().to("make a poll")?;
        let mut tries = 1..=PORTS_TRIED;
        let (mut listener, mut count) = loop {
            tries.next();
            match listen(address) {
                Err(_) if address.port() == 0 && !tries.is_empty() => {}
                outcome => break outcome.to("listen for TLS, and over UDP on the same port")?,
            }
        };
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)
            .to("poll the listener")?;
        poll.registry()
            .register(&mut count, COUNT, Interest::READABLE)
            .to("poll the socket that tells the count")?;
        Ok(Upstream {
            poll,
            listener,
            count,
            service: Service::default(),
            config,
            connections: Vec::new(),
            accepted: 0,
        })
    }

    /// Returns the address listened on.
    ///
    /// # Errors
    /// What the system says; it has no reason to refuse.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.listener
            .local_addr()
            .to("learn the upstream's address")
    }

    /// The same, with this behavior.
    #[must_use]
    pub fn with(mut self, behavior: Behavior) -> Upstream {
        self.service.behavior = behavior;
        self
    }

    /// Serves until polling fails.
    ///
    /// # Errors
    /// What the system says of the poll or of a new connection.
    pub fn run(mut self) -> Result<(), Error> {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.poll.poll(&mut events, self.service.next()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => outcome.to("poll")?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept_all()?,
                    COUNT => self.send_count()?,
                    token => self.serve(token, event.is_read_closed(), &mut buffer),
                }
            }
            self.send_due();
        }
    }

    fn accept_all(&mut self) -> Result<(), Error> {
        loop {
            let (mut stream, _) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error).to("accept a connection"),
            };
            stream.set_nodelay(true).to("set TCP_NODELAY")?;
            let slot = self.free_slot();
            self.poll
                .registry()
                .register(
                    &mut stream,
                    Token(slot),
                    Interest::READABLE | Interest::WRITABLE,
                )
                .to("poll a connection")?;
            let connection = Connection::new(stream, Arc::clone(&self.config))?;
            self.accepted += 1;
            self.connections[slot] = Some((self.accepted, connection));
        }
    }

    fn send_count(&mut self) -> Result<(), Error> {
        loop {
            let peer = match self.count.recv_from(&mut []) {
                Ok((_, peer)) => peer,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).to("be asked for the count"),
            };
            self.count
                .send_to(self.service.answered.to_string().as_bytes(), peer)
                .to("send the count")?;
        }
    }

    fn free_slot(&mut self) -> usize {
        self.connections
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            })
    }

    fn serve(&mut self, token: Token, is_closing: bool, buffer: &mut [u8]) {
        let Some(slot) = self.connections.get_mut(token.0) else {
            return;
        };
        let Some((number, connection)) = slot else {
            return;
        };
        self.service.connection = (token.0, *number);
        // Closing the stream also ends its registration.
        match connection.serve(is_closing, buffer, &mut self.service) {
            State::Open => {}
            State::Closed => *slot = None,
        }
    }

    /// Sends the responses that are due, unless their connection has ended.
    fn send_due(&mut self) {
        while let Some(((slot, number), responses)) = self.service.take_due() {
            if let Some(Some((open, connection))) = self.connections.get_mut(slot)
                && *open == number
            {
                connection.send(&responses);
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let listener = dotgate_net::tcp::listen(address, false, BACKLOG)?;
    let count = UdpSocket::bind(listener.local_addr()?)?;
    Ok((TcpListener::from_std(listener), count))
}

/// Runs an upstream and tells where it listens as the first line of `output`.
///
/// # Errors
/// As [`Upstream::bind`] and [`Upstream::run`].
pub fn run(
    address: SocketAddr,
    ca_file: &Path,
    saved: Option<&Path>,
    behavior: Behavior,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let upstream = Upstream::bind(address, ca_file, saved)?.with(behavior);
    writeln!(output, "{}", upstream.local_addr()?).to("print where the upstream listens")?;
    output.flush().to("print where the upstream listens")?;
    upstream.run()
}
