//! Clients over TCP and over TLS: pipelined, or with a connection for each query (RFC 7766, RFC 7858).
//!
//! One thread for all connections, which keeps a number of queries in flight: as many as responses came in, with one
//! write. A response counts for the query that it answers on its connection alone. What a connection that ended had in
//! flight is lost, and another one is opened in its place.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dotgate_net::boottime_nanos;
use dotgate_wire::split_frame;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::{Names, Outcome, Stop, Tally};
use crate::Error;
use crate::cpu::Measured;
use crate::error::Action;
use crate::message::{self, EDNS_QUERY_BYTES};
use crate::upstream::AUTHENTICATION_NAME;

/// How long one wait for responses lasts at most.
const POLL: Duration = Duration::from_millis(10);
const READ_BYTES: usize = 65_536;
/// Connections that fail in a row, without a response in between, before a load ends.
const FAILURES_MAX: u32 = 1_000;

/// What connections carry.
#[derive(Clone, Copy, Debug)]
pub enum Layer<'a> {
    /// Plain TCP.
    Tcp,
    /// TLS, with this authority.
    Tls(&'a Path),
}

/// A load over connections.
#[derive(Clone, Copy, Debug)]
pub struct StreamLoad<'a> {
    /// The forwarder's address.
    pub target: SocketAddr,
    /// What connections carry.
    pub layer: Layer<'a>,
    /// Connections at a time.
    pub connections: u16,
    /// Queries in flight on each.
    pub window: u32,
    /// Queries on a connection before it is closed and another one is opened.
    pub queries_per_connection: u64,
    /// When to stop.
    pub stop: Stop,
    /// A query not answered for so long is lost, and its connection given up.
    pub timeout: Duration,
    /// Part of all names.
    pub seed: u32,
    /// What is asked for.
    pub names: Names<'a>,
    /// Whose CPU time is measured.
    pub measured: Option<Measured>,
}

/// Puts the load on a forwarder, and counts.
///
/// # Errors
/// Where the poll fails, the authority cannot be read, or the process to measure has no CPU time to read.
pub fn run(load: &StreamLoad<'_>) -> Result<Outcome, Error> {
    let tls = match load.layer {
        Layer::Tcp => None,
        Layer::Tls(ca_file) => Some(client_config(ca_file)?),
    };
    let before = load.measured.map(Measured::used).transpose()?;
    let start = boottime_nanos();
    let mut clients = Clients {
        load,
        tls,
        poll: Poll::new().to("make a poll")?,
        connections: (0..load.connections).map(|_| None).collect(),
        start,
        sent: 0,
        failures: 0,
        tally: Tally::default(),
        last_response: start,
    };
    clients.run()?;
    let after = load.measured.map(Measured::used).transpose()?;
    let used = before.zip(after).map(|(before, after)| after - before);
    clients.tally.latencies.sort_unstable();
    Ok(Outcome {
        sent: clients.sent,
        unsent: 0,
        tally: clients.tally,
        elapsed_nanos: clients.last_response - start,
        cpu_nanos: used.map(|used| used.nanos),
        sleeps: used.map(|used| used.sleeps),
    })
}

pub(crate) fn client_config(ca_file: &Path) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(ca_file).map_err(io::Error::other);
    roots.add(authority.to("read the authority")?)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

struct Clients<'a> {
    load: &'a StreamLoad<'a>,
    tls: Option<Arc<ClientConfig>>,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    start: u64,
    sent: u64,
    failures: u32,
    tally: Tally,
    last_response: u64,
}

struct Connection {
    stream: TcpStream,
    tls: Option<ClientConnection>,
    /// Bytes to write that are not in TLS any more, or never were.
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// When, and the number of the name, by message ID.
    in_flight: HashMap<u16, (u64, u64)>,
    sent: u64,
    /// When the last byte came, or the connection was opened.
    active_at: u64,
}

impl Clients<'_> {
    fn run(&mut self) -> Result<(), Error> {
        let mut events = Events::with_capacity(usize::from(self.load.connections).max(1));
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let now = boottime_nanos();
            let is_over = !self.goes_on(now) || self.failures > FAILURES_MAX;
            for place in 0..self.connections.len() {
                if self.connections[place].is_none() && !is_over {
                    self.open(place, now)?;
                }
            }
            let timeout = self.load.timeout.as_nanos() as u64;
            for connection in &mut self.connections {
                let is_done = |it: &mut Connection| {
                    (is_over && it.in_flight.is_empty()) || now - it.active_at > timeout
                };
                connection.take_if(is_done);
            }
            if is_over && self.connections.iter().all(Option::is_none) {
                return Ok(());
            }
            match self.poll.poll(&mut events, Some(POLL)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => outcome.to("poll")?,
            }
            for event in &events {
                self.serve(event.token().0, &mut buffer);
            }
        }
    }

    fn goes_on(&self, now: u64) -> bool {
        super::goes_on(self.load.stop, now - self.start, self.sent)
    }

    fn open(&mut self, place: usize, now: u64) -> Result<(), Error> {
        let Ok(mut stream) = TcpStream::connect(self.load.target) else {
            self.failures += 1;
            return Ok(());
        };
        // Best effort: without it, latency shows the delay of acknowledgments.
        drop(stream.set_nodelay(true));
        self.poll
            .registry()
            .register(
                &mut stream,
                Token(place),
                Interest::READABLE | Interest::WRITABLE,
            )
            .to("poll a client")?;
        let tls = match &self.tls {
            None => None,
            Some(config) => {
                let name = ServerName::try_from(AUTHENTICATION_NAME).map_err(io::Error::other);
                let name = name.to("name the forwarder")?;
                Some(ClientConnection::new(Arc::clone(config), name)?)
            }
        };
        self.connections[place] = Some(Connection {
            stream,
            tls,
            outgoing: Vec::new(),
            incoming: Vec::new(),
            in_flight: HashMap::new(),
            sent: 0,
            active_at: now,
        });
        Ok(())
    }

    /// Reads what came, asks as many questions again, and writes.
    fn serve(&mut self, place: usize, buffer: &mut [u8]) {
        let Some(mut connection) = self.connections[place].take() else {
            return;
        };
        let outcome = self
            .exchange(place, &mut connection, buffer)
            .and_then(|()| connection.write());
        let is_spent =
            connection.in_flight.is_empty() && connection.sent >= self.load.queries_per_connection;
        match outcome {
            Ok(()) if !is_spent => self.connections[place] = Some(connection),
            Ok(()) => {}
            Err(_) => self.failures += 1,
        }
    }

    fn exchange(
        &mut self,
        place: usize,
        connection: &mut Connection,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        let outcome = connection.read(buffer);
        self.take_responses(place, connection);
        outcome?;
        if connection
            .tls
            .as_ref()
            .is_some_and(|tls| tls.is_handshaking())
        {
            return Ok(());
        }
        let now = boottime_nanos();
        let mut queries = Vec::new();
        while self.goes_on(now)
            && connection.in_flight.len() < self.load.window as usize
            && connection.sent < self.load.queries_per_connection
        {
            let id = connection.sent as u16;
            // Names are those of the place: a new connection continues with the next number.
            let name = self
                .load
                .names
                .name(self.load.seed, place as u16, self.sent, self.sent);
            let mut query = [0; EDNS_QUERY_BYTES];
            let length = self.load.names.write(id, name, &mut query);
            queries.extend_from_slice(&(length as u16).to_be_bytes());
            queries.extend_from_slice(&query[..length]);
            connection.in_flight.insert(id, (now, name.number));
            connection.sent += 1;
            self.sent += 1;
        }
        match &mut connection.tls {
            Some(tls) if !queries.is_empty() => tls.writer().write_all(&queries),
            Some(_) => Ok(()),
            None => {
                connection.outgoing.extend_from_slice(&queries);
                Ok(())
            }
        }
    }

    fn take_responses(&mut self, place: usize, connection: &mut Connection) {
        let now = boottime_nanos();
        let mut rest = &*connection.incoming;
        while let Some((response, more)) = split_frame(rest) {
            rest = more;
            let response = message::response(response).filter(|response| {
                let asked = connection.in_flight.get(&response.id);
                response.name.seed == self.load.seed
                    && response.name.socket == self.load.names.socket(place as u16)
                    && asked.is_some_and(|(_, number)| *number == response.name.number)
            });
            let Some(response) = response else {
                self.tally.wrong += 1;
                continue;
            };
            let Some((sent_at, _)) = connection.in_flight.remove(&response.id) else {
                continue;
            };
            self.tally
                .count_in_time(response.verdict, now - sent_at, now);
            self.last_response = now;
            self.failures = 0;
        }
        let used = connection.incoming.len() - rest.len();
        connection.incoming.drain(..used);
    }
}

impl Connection {
    /// Reads what there is. An error if the connection has ended.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            };
            self.active_at = boottime_nanos();
            let mut bytes = &buffer[..length];
            let Some(tls) = &mut self.tls else {
                self.incoming.extend_from_slice(bytes);
                continue;
            };
            while !bytes.is_empty() {
                tls.read_tls(&mut bytes)?;
                let state = tls.process_new_packets().map_err(io::Error::other)?;
                let start = self.incoming.len();
                self.incoming
                    .resize(start + state.plaintext_bytes_to_read(), 0);
                tls.reader().read_exact(&mut self.incoming[start..])?;
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                match tls.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if is_later(&error) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        }
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(length) => drop(self.outgoing.drain(..length)),
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether another event comes. A connection that is not open yet cannot be read or written.
fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::*;

    /// Answers everything on each connection; fails the question with each tenth ID.
    fn respond(mut stream: std::net::TcpStream) {
        let mut length = [0; 2];
        while stream.read_exact(&mut length).is_ok() {
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            let mut response = Vec::new();
            assert!(message::answer(&query, &mut response));
            if u16::from_be_bytes([query[0], query[1]]) % 10 == 9 {
                response[3] |= 2;
            }
            let length = (response.len() as u16).to_be_bytes();
            if stream
                .write_all(&[&length[..], &response].concat())
                .is_err()
            {
                return;
            }
        }
    }

    fn load(listener: &TcpListener) -> StreamLoad<'static> {
        StreamLoad {
            target: listener.local_addr().unwrap(),
            layer: Layer::Tcp,
            connections: 2,
            window: 4,
            queries_per_connection: 20,
            stop: Stop::After(Duration::from_millis(200)),
            timeout: Duration::from_secs(5),
            seed: 7,
            names: Names::Unique,
            measured: Some(Measured::Process(std::process::id())),
        }
    }

    #[test]
    fn every_question_is_counted_once_and_connections_follow_each_other() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let load = load(&listener);
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || respond(stream.unwrap()));
            }
        });
        let outcome = run(&load).unwrap();
        assert!(outcome.sent > 40, "{outcome:?}");
        assert_eq!((outcome.lost(), outcome.tally.wrong), (0, 0));
        let failed = outcome.tally.server_failures;
        assert!(
            failed.abs_diff(outcome.sent / 10) <= 2,
            "{failed} of {}",
            outcome.sent
        );
    }

    #[test]
    fn a_load_asks_so_many_questions_and_stops() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let load = StreamLoad {
            stop: Stop::Queries(55),
            ..load(&listener)
        };
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || respond(stream.unwrap()));
            }
        });
        let outcome = run(&load).unwrap();
        assert_eq!((outcome.sent, outcome.tally.in_time()), (55, 55));
    }

    #[test]
    fn a_load_ends_with_its_time_where_no_connection_is_served() {
        // Bound and never accepted: connections open, and nothing comes back.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        let authority = dotgate_testbed::certificates::TestAuthority::new().unwrap();
        std::fs::write(&ca_file, authority.pem()).unwrap();
        for layer in [Layer::Tcp, Layer::Tls(&ca_file)] {
            let outcome = run(&StreamLoad {
                layer,
                stop: Stop::QueriesWithin(u64::MAX, Duration::from_millis(200)),
                timeout: Duration::from_millis(50),
                ..load(&listener)
            })
            .unwrap();
            assert_eq!(outcome.tally.in_time(), 0, "{layer:?}");
        }
    }

    #[test]
    fn a_server_that_closes_every_connection_ends_the_load() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let load = load(&listener);
        thread::spawn(move || listener.incoming().for_each(drop));
        let outcome = run(&load).unwrap();
        assert_eq!(outcome.tally.in_time(), 0);
        assert_eq!(outcome.lost(), outcome.sent);
    }
}
