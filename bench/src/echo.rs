//! The floor of a comparison: answers every datagram without looking into it.
//!
//! A thread waits for datagrams with `recvmmsg`, copies, and sends with `sendmmsg`, in batches as large as those of
//! `dotgate::worker`; it polls nothing, because it has nothing else to wait for. A query comes back as a response with one A record, of the size that
//! the upstream's answers have. What a forwarder costs more than this is its own work.
//! It takes queries without EDNS from [`crate::load`] alone, over UDP.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use dotgate_net::{
    BindOptions, LocalAddress, Outgoing, ReceiveBatch, SendBatch, UdpPath, UdpSocket,
};

use crate::Error;
use crate::error::Action;
use crate::message::{HEADER_BYTES, RECORD};
use crate::threads;

/// The same as a worker of dotgate.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// A response that waits to be sent.
struct Response {
    peer: SocketAddr,
    local: LocalAddress,
    bytes: Range<usize>,
}

struct Worker {
    socket: UdpSocket,
    incoming: ReceiveBatch,
    outgoing: SendBatch,
    bytes: Vec<u8>,
    responses: Vec<Response>,
    /// Responses that the kernel did not take; dotgate counts them, too.
    unsent: usize,
}

/// Answers on `address` until it cannot receive, with as many threads as the forwarders have.
///
/// # Errors
/// Where a socket cannot be bound or does not receive.
pub fn run(address: SocketAddr) -> Result<(), Error> {
    threads::run(|| Worker::new(address), Worker::run)
}

impl Worker {
    fn new(address: SocketAddr) -> Result<Worker, Error> {
        let options = BindOptions {
            share_port: true,
            receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
        };
        let socket = UdpSocket::bind(address, &options).to("bind the echo")?;
        // What both descriptors refer to waits from now on.
        let descriptor = socket.second_descriptor().to("have the echo wait")?;
        rustix::io::ioctl_fionbio(&descriptor, false)
            .map_err(io::Error::from)
            .to("have the echo wait")?;
        Ok(Worker {
            socket,
            incoming: ReceiveBatch::new(UdpPath::default()),
            outgoing: SendBatch::new(UdpPath::default()),
            bytes: Vec::new(),
            responses: Vec::new(),
            unsent: 0,
        })
    }

    fn run(mut self) -> Result<(), Error> {
        loop {
            match self.incoming.wait(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => outcome.to("receive")?,
            };
            for datagram in self.incoming.datagrams() {
                let start = self.bytes.len();
                if answer(datagram.bytes, &mut self.bytes) {
                    self.responses.push(Response {
                        peer: datagram.peer,
                        local: datagram.local,
                        bytes: start..self.bytes.len(),
                    });
                }
            }
            self.send();
        }
    }

    fn send(&mut self) {
        if self.responses.is_empty() {
            return;
        }
        let outgoing = self.responses.iter().map(|response| Outgoing {
            peer: response.peer,
            local: response.local,
            bytes: &self.bytes[response.bytes.clone()],
        });
        let sent = self.outgoing.send(&self.socket, outgoing);
        self.unsent += sent.refused + sent.dropped;
        self.bytes.clear();
        self.responses.clear();
    }
}

/// Appends the query as a response (QR, RA) with one A record; false for what has no header.
fn answer(query: &[u8], output: &mut Vec<u8>) -> bool {
    let Some((header, question)) = query.split_at_checked(HEADER_BYTES) else {
        return false;
    };
    output.extend_from_slice(&[header[0], header[1], header[2] | 0x80, 0x80]);
    output.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
    output.extend_from_slice(question);
    output.extend_from_slice(RECORD);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{self, Name};

    #[test]
    fn an_echo_is_byte_for_byte_what_the_upstream_answers() {
        let name = Name {
            seed: 1,
            socket: 2,
            number: 3,
        };
        let query = message::query(4, name);
        let (mut echoed, mut answered) = (Vec::new(), Vec::new());
        assert!(answer(&query, &mut echoed));
        assert!(message::answer(&query, &mut answered));
        assert_eq!(echoed, answered);
        assert!(!answer(&query[..11], &mut echoed));
    }
}
