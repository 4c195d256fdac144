//! A client over UDP or TCP that knows what it has asked and takes no answer for another one.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use dotgate_message::{framed, split_frame};
use socket2::{Domain, SockRef, Socket, Type};

use super::message::{QueryType, Response, query};
use super::wait::{BOUND, now};

/// The receive buffer asked of the kernel, in bytes.
const ROOM: usize = 4 << 20;

enum Link {
    Udp(UdpSocket),
    Tcp {
        stream: TcpStream,
        received: Vec<u8>,
        used: usize,
    },
}

/// A client with its questions in flight.
pub(crate) struct Client {
    link: Link,
    next_id: u16,
    /// The exact name that waits under each ID.
    waiting: HashMap<u16, String>,
    /// The right answer to every question, where it is not made from the name.
    expected: Option<Ipv4Addr>,
}

impl Client {
    /// A client on a UDP port of its own.
    pub(crate) fn udp(forwarder: SocketAddr) -> Client {
        let any_port: SocketAddr = match forwarder {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any_port).unwrap();
        // Answers that were held come at once; the kernel gives what it allows, at least room for some 250.
        SockRef::from(&socket).set_recv_buffer_size(ROOM).unwrap();
        socket.connect(forwarder).unwrap();
        Client::of(Link::Udp(socket))
    }

    /// A client with a TCP connection.
    pub(crate) fn tcp(forwarder: SocketAddr) -> Client {
        let stream = TcpStream::connect(forwarder).unwrap();
        stream.set_nodelay(true).unwrap();
        Client::of(Link::Tcp {
            stream,
            received: Vec::new(),
            used: 0,
        })
    }

    /// The same with the smallest receive buffer there is.
    pub(crate) fn tcp_with_little_room(forwarder: SocketAddr) -> Client {
        let socket = Socket::new(Domain::for_address(forwarder), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.connect(&forwarder.into()).unwrap();
        Client::of(Link::Tcp {
            stream: socket.into(),
            received: Vec::new(),
            used: 0,
        })
    }

    fn of(link: Link) -> Client {
        Client {
            link,
            next_id: 1,
            waiting: HashMap::new(),
            expected: None,
        }
    }

    /// Takes this address for right, whatever the name.
    pub(crate) fn expecting(mut self, address: Ipv4Addr) -> Client {
        self.expected = Some(address);
        self
    }

    /// Asks for a name's address.
    pub(crate) fn send(&mut self, name: &str) {
        self.send_for(name, QueryType::Address);
    }

    /// Asks for several names' addresses at once.
    pub(crate) fn send_all(&mut self, names: impl IntoIterator<Item = String>) {
        for name in names {
            self.send(&name);
        }
    }

    /// Asks for something about a name.
    pub(crate) fn send_for(&mut self, name: &str, asked: QueryType) {
        let message = self.next_query(name, asked);
        match &mut self.link {
            Link::Udp(socket) => {
                socket.send(&message).unwrap();
            }
            Link::Tcp { stream, .. } => stream.write_all(&framed(&message)).unwrap(),
        }
    }

    /// Asks for several names' addresses with one write, on a TCP connection.
    pub(crate) fn send_together(&mut self, names: impl IntoIterator<Item = String>) {
        let mut bytes = Vec::new();
        for name in names {
            bytes.extend(framed(&self.next_query(&name, QueryType::Address)));
        }
        self.send_bytes(&bytes).unwrap();
    }

    /// Makes a query that is counted as sent.
    pub(crate) fn next_query(&mut self, name: &str, asked: QueryType) -> Vec<u8> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let earlier = self.waiting.insert(id, name.to_owned());
        assert!(earlier.is_none(), "65,536 questions in flight");
        query(id, name, asked)
    }

    /// Asks for a name's address and waits for the response.
    pub(crate) fn ask(&mut self, name: &str) -> Response {
        self.send(name);
        self.receive()
    }

    /// Asks for something and waits for the response.
    pub(crate) fn ask_for(&mut self, name: &str, asked: QueryType) -> Response {
        self.send_for(name, asked);
        self.receive()
    }

    /// How many questions have no response yet.
    pub(crate) fn unanswered(&self) -> usize {
        self.waiting.len()
    }

    /// The next response, within the bound of every wait.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> Response {
        match self.receive_within(BOUND) {
            Some(response) => response,
            None => panic!(
                "no response for {BOUND:?} to {:?}",
                self.waiting.values().next()
            ),
        }
    }

    /// Responses to everything that waits, in the order in which they come.
    #[track_caller]
    pub(crate) fn receive_all(&mut self) -> Vec<Response> {
        (0..self.waiting.len()).map(|_| self.receive()).collect()
    }

    /// The next response that comes within `limit`.
    pub(crate) fn receive_within(&mut self, limit: Duration) -> Option<Response> {
        let bytes = self.receive_bytes(now() + limit)?;
        let mut response = Response::read(&bytes);
        response.expected = self.expected.unwrap_or(response.expected);
        let asked = self.waiting.remove(&response.id);
        assert_eq!(
            asked.as_ref(),
            Some(&response.name),
            "not asked for: {response:?}"
        );
        assert!(
            response
                .addresses
                .iter()
                .all(|address| *address == response.expected),
            "an answer to another question: {response:?}"
        );
        Some(response)
    }

    fn receive_bytes(&mut self, until: Duration) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        loop {
            if let Link::Tcp { received, used, .. } = &mut self.link {
                if let Some((message, _)) = split_frame(&received[*used..]) {
                    *used += 2 + message.len();
                    return Some(message.to_vec());
                }
                received.drain(..*used);
                *used = 0;
            }
            let left = until.saturating_sub(now());
            if left.is_zero() {
                return None;
            }
            let left = Some(left.max(Duration::from_micros(1)));
            let read = match &mut self.link {
                Link::Udp(socket) => {
                    socket.set_read_timeout(left).unwrap();
                    socket.recv(&mut buffer)
                }
                Link::Tcp { stream, .. } => {
                    stream.set_read_timeout(left).unwrap();
                    stream.read(&mut buffer)
                }
            };
            match (read, &mut self.link) {
                (Ok(length), Link::Udp(_)) => return Some(buffer[..length].to_vec()),
                (Ok(0), Link::Tcp { .. }) => {
                    panic!("closed with {} unanswered", self.waiting.len())
                }
                (Ok(length), Link::Tcp { received, .. }) => {
                    received.extend_from_slice(&buffer[..length])
                }
                (Err(error), _) if is_timeout(error.kind()) => {}
                // The forwarder's port is closed: nothing more will come.
                (Err(_), Link::Udp(_)) => return None,
                (Err(error), Link::Tcp { .. }) => panic!("{error}"),
            }
        }
    }

    /// Sends bytes as they are, on a TCP connection.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.link {
            Link::Udp(socket) => socket.send(bytes).map(|_| ()),
            Link::Tcp { stream, .. } => stream.write_all(bytes),
        }
    }

    /// Sends nothing more, but still reads.
    pub(crate) fn send_end(&self) {
        if let Link::Tcp { stream, .. } = &self.link {
            stream.shutdown(Shutdown::Write).unwrap();
        }
    }

    /// Goes away as a process that is killed, with a reset.
    pub(crate) fn reset(self) {
        if let Link::Tcp { stream, .. } = &self.link {
            SockRef::from(stream)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }
    }

    /// Makes writing fail rather than wait.
    pub(crate) fn stop_waiting_for_room(&self) {
        if let Link::Tcp { stream, .. } = &self.link {
            stream
                .set_write_timeout(Some(Duration::from_millis(200)))
                .unwrap();
        }
    }

    /// Waits until the forwarder has closed the connection, dropping what comes before.
    pub(crate) fn wait_for_close(&mut self) {
        let Link::Tcp { stream, .. } = &mut self.link else {
            return;
        };
        stream.set_read_timeout(Some(BOUND)).unwrap();
        let mut buffer = [0; 4_096];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("not closed: {error}"),
            }
        }
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
