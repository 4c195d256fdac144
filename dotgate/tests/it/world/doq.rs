//! A client over QUIC, with a socket (RFC 9250).

#![expect(
    clippy::disallowed_methods,
    reason = "the crate of QUIC has no other time"
)]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use dotgate_testbed::certificates::TestAuthority;
use dotgate_testbed::quic::{QuicClient, QuicClientSetup};

use super::dot::NAME;
use super::message::{QueryType, Response, query};
use super::wait::{BOUND, now};

/// What a client offers.
pub(crate) fn offer(authority: &TestAuthority) -> QuicClientSetup {
    QuicClientSetup::new(authority.pem(), &[b"doq"], None).unwrap()
}

pub(crate) struct Doq {
    socket: UdpSocket,
    server: SocketAddr,
    pub(crate) client: QuicClient,
}

impl Doq {
    /// A client that has sent nothing yet.
    pub(crate) fn new(setup: &QuicClientSetup, server: SocketAddr) -> Doq {
        Doq::from("127.0.0.1:0".parse().unwrap(), setup, server)
    }

    /// The same at this address.
    pub(crate) fn from(own: SocketAddr, setup: &QuicClientSetup, server: SocketAddr) -> Doq {
        let socket = UdpSocket::bind(own).unwrap();
        let client = QuicClient::connect(setup, Instant::now(), server, NAME).unwrap();
        Doq {
            socket,
            server,
            client,
        }
    }

    /// A client that is connected, or was refused.
    pub(crate) fn connect(setup: &QuicClientSetup, server: SocketAddr) -> Doq {
        let mut client = Doq::new(setup, server);
        client.drive("the handshake", |client| {
            client.is_connected() || client.lost().is_some()
        });
        client
    }

    /// Sends what there is to send.
    pub(crate) fn send(&mut self) {
        for packet in self.client.packets(Instant::now()) {
            self.socket.send_to(&packet, self.server).unwrap();
        }
    }

    /// Sends the first datagram alone: a handshake's first flight may take more, and the server judges each.
    pub(crate) fn send_first(&mut self) {
        let packets = self.client.packets(Instant::now());
        self.socket.send_to(&packets[0], self.server).unwrap();
    }

    /// Uses another port from now on.
    pub(crate) fn change_port(&mut self) {
        self.socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    }

    /// Sends and receives until it is done.
    pub(crate) fn drive(&mut self, what: &str, mut is_done: impl FnMut(&mut QuicClient) -> bool) {
        let bound = now() + BOUND;
        let mut buffer = [0; 2_048];
        loop {
            self.send();
            if is_done(&mut self.client) {
                return;
            }
            assert!(now() < bound, "timed out after {BOUND:?}: {what}");
            let due = self.client.next_deadline();
            let wait = due.map_or(BOUND, |due| due.saturating_duration_since(Instant::now()));
            let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(50));
            self.socket.set_read_timeout(Some(wait)).unwrap();
            if let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
                self.client
                    .on_packet(Instant::now(), from, &buffer[..length]);
            }
            if due.is_some_and(|due| due <= Instant::now()) {
                self.client.on_timeout(Instant::now());
            }
        }
    }

    /// The response to a message, or none if the connection ends before.
    pub(crate) fn exchange(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let stream = self.client.ask(message)?;
        self.drive("the response", |client| {
            client.response(stream).is_some() || client.lost().is_some()
        });
        self.client.response(stream)
    }

    /// The response to a query for this name.
    pub(crate) fn ask(&mut self, name: &str) -> Response {
        let response = self.exchange(&query(0, name, QueryType::Address));
        let lost = self.client.lost();
        Response::read(&response.unwrap_or_else(|| panic!("{lost:?}")))
    }

    /// The number with which the server closes the connection, to which nothing is sent meanwhile: an acknowledgement might reach a
    /// process that does not know the connection.
    pub(crate) fn close_code_unheard(&mut self) -> Option<u64> {
        let mut buffer = [0; 2_048];
        self.socket.set_read_timeout(Some(BOUND)).unwrap();
        while self.client.lost().is_none() {
            let (length, from) = self.socket.recv_from(&mut buffer).unwrap();
            self.client
                .on_packet(Instant::now(), from, &buffer[..length]);
        }
        self.client.close_code()
    }

    /// The number with which the server closes the connection.
    pub(crate) fn close_code(&mut self) -> Option<u64> {
        self.drive("the end", |client| client.lost().is_some());
        self.client.close_code()
    }
}
