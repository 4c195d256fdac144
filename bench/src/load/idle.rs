//! Clients that have asked one query each and keep their connection, over TCP or TLS.
//!
//! They come from several addresses, because forwarders limit the connections of one. Each handshake of TLS is a full one, as
//! with clients that are new. They are opened one after another, so that no queue of a forwarder overflows.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Socket, Type};

use super::streams::{Layer, client_config};
use crate::Error;
use crate::error::Action;
use crate::message::{self, Name, Verdict};
use crate::upstream::AUTHENTICATION_NAME;

/// Addresses of the clients: 127.0.0.2 and those behind it.
const ADDRESSES: usize = 8;
/// What all of them ask for, so that a cache does not grow.
const NAME: Name = Name {
    seed: u32::MAX,
    socket: u16::MAX,
    number: 0,
};
/// How long a client waits to connect, and for each read and write.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Clients without a response before no more are opened.
const FAILURES_MAX: u32 = 3;

/// The clients.
pub struct IdleClients {
    target: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    clients: Vec<Client>,
    failures: u32,
}

struct Client {
    stream: TcpStream,
    tls: Option<ClientConnection>,
}

impl IdleClients {
    /// None yet.
    ///
    /// # Errors
    /// If the authority of TLS cannot be read.
    pub fn new(target: SocketAddr, layer: Layer<'_>) -> Result<IdleClients, Error> {
        let tls = match layer {
            Layer::Tcp => None,
            Layer::Tls(ca_file) => {
                let mut config = ClientConfig::clone(&*client_config(ca_file)?);
                config.resumption = Resumption::disabled();
                Some(Arc::new(config))
            }
        };
        Ok(IdleClients {
            target,
            tls,
            clients: Vec::new(),
            failures: 0,
        })
    }

    /// Opens so many more, and has each ask its query. Fewer, if too many get no response.
    ///
    /// # Errors
    /// If this machine has no socket for a client.
    pub fn open(&mut self, count: usize) -> Result<(), Error> {
        for number in 0..count {
            if self.failures >= FAILURES_MAX {
                return Ok(());
            }
            let host = 2 + (number % ADDRESSES) as u8;
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).to("open a client")?;
            match self.ask(socket, host) {
                Ok(client) => self.clients.push(client),
                Err(_) => self.failures += 1,
            }
        }
        Ok(())
    }

    /// How many connections the forwarder has not closed; the others are closed here, too.
    pub fn retain_open(&mut self) -> usize {
        self.clients
            .retain_mut(|client| client.is_open().unwrap_or(false));
        self.clients.len()
    }

    fn ask(&self, socket: Socket, host: u8) -> io::Result<Client> {
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
        socket.bind(&source.into())?;
        socket.connect_timeout(&self.target.into(), TIMEOUT)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        let mut stream = TcpStream::from(socket);
        let query = dotgate_message::framed(&message::query(1, NAME));
        let Some(config) = &self.tls else {
            exchange(&mut stream, &query)?;
            return Ok(Client { stream, tls: None });
        };
        let name = ServerName::try_from(AUTHENTICATION_NAME).map_err(io::Error::other)?;
        let tls = ClientConnection::new(Arc::clone(config), name);
        let mut tls = tls.map_err(io::Error::other)?;
        exchange(&mut rustls::Stream::new(&mut tls, &mut stream), &query)?;
        let tls = Some(tls);
        Ok(Client { stream, tls })
    }
}

/// Asks, and waits for the answer.
fn exchange(stream: &mut (impl Read + Write), query: &[u8]) -> io::Result<()> {
    stream.write_all(query)?;
    stream.flush()?;
    match message::response(&message::read_framed(stream)?) {
        Some(response) if response.verdict == Verdict::Answered => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

impl Client {
    /// Reads what came since its response: nothing but tickets of TLS, or the end.
    fn is_open(&mut self) -> io::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let mut bytes = [0; 4_096];
        loop {
            let length = match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(false),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            let (Some(tls), mut rest) = (&mut self.tls, &bytes[..length]) else {
                continue;
            };
            while !rest.is_empty() {
                tls.read_tls(&mut rest)?;
                let state = tls.process_new_packets().map_err(io::Error::other)?;
                if state.peer_has_closed() {
                    return Ok(false);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::upstream::Upstream;

    /// Answers one query on each connection, hands the connection over, and closes those of which the number says so.
    fn serve(
        listener: &TcpListener,
        closes: fn(usize) -> bool,
    ) -> mpsc::Receiver<(TcpStream, SocketAddr)> {
        let listener = listener.try_clone().unwrap();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for number in 0.. {
                let (mut stream, peer) = listener.accept().unwrap();
                let query = message::read_framed(&mut stream).unwrap();
                let mut response = Vec::new();
                assert!(message::answer(&query, &mut response));
                let response = dotgate_message::framed(&response);
                stream.write_all(&response).unwrap();
                if !closes(number) && sender.send((stream, peer)).is_err() {
                    return;
                }
            }
        });
        receiver
    }

    #[test]
    fn connections_stay_open_until_the_server_closes_them() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let served = serve(&listener, |_| false);
        let mut clients = IdleClients::new(listener.local_addr().unwrap(), Layer::Tcp).unwrap();
        clients.open(3).unwrap();
        clients.open(9).unwrap();
        assert_eq!(clients.retain_open(), 12);
        let mut connections: Vec<_> = served.iter().take(12).collect();
        let from: Vec<_> = connections
            .iter()
            .map(|(_, peer)| peer.ip().to_string())
            .collect();
        assert_eq!(from[..3], ["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
        connections.truncate(10);
        while clients.retain_open() > 10 {
            thread::yield_now();
        }
        drop(connections);
        while clients.retain_open() > 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn those_that_a_server_closes_after_the_response_are_seen() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let served = serve(&listener, |number| number % 2 == 1);
        let mut clients = IdleClients::new(listener.local_addr().unwrap(), Layer::Tcp).unwrap();
        clients.open(6).unwrap();
        while clients.retain_open() > 3 {
            thread::yield_now();
        }
        assert_eq!(clients.retain_open(), 3);
        drop(served);
    }

    #[test]
    fn over_tls_tickets_are_not_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        let upstream = Upstream::bind((Ipv4Addr::LOCALHOST, 0).into(), &ca_file, None).unwrap();
        let target = upstream.local_addr().unwrap();
        thread::spawn(move || upstream.run());
        let mut clients = IdleClients::new(target, Layer::Tls(&ca_file)).unwrap();
        clients.open(5).unwrap();
        assert_eq!((clients.retain_open(), clients.failures), (5, 0));
    }

    #[test]
    fn no_more_are_opened_where_none_is_served() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut clients = IdleClients::new(listener.local_addr().unwrap(), Layer::Tcp).unwrap();
        thread::spawn(move || listener.incoming().for_each(drop));
        clients.open(1_000).unwrap();
        assert_eq!((clients.retain_open(), clients.failures), (0, FAILURES_MAX));
    }
}
