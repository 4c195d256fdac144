//! Responses out: datagrams handed to the kernel, a batch per system call.

use std::io;
use std::iter::Fuse;
use std::os::fd::AsRawFd;

use super::slots::Slots;
use super::{BATCH, Outgoing, UdpPath, UdpSocket};

/// The memory that sending needs (7 KiB), allocated once; payload is sent from where it is.
pub struct SendBatch {
    path: UdpPath,
    slots: Slots,
    refused: Vec<(usize, bool)>,
}

/// What became of the datagrams of one [`SendBatch::send`]. The first three add up to them all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct Sent {
    /// Datagrams the kernel took.
    pub sent: usize,
    /// Datagrams the kernel refused: too long for the interface, no route, port 0, a local address
    /// that is not this machine's, a firewall's veto.
    pub refused: usize,
    /// Datagrams not sent because the send buffer was full.
    pub dropped: usize,
    /// System calls made.
    pub system_calls: usize,
}

impl SendBatch {
    /// Allocates a batch.
    #[must_use]
    pub fn new(path: UdpPath) -> Self {
        SendBatch {
            path,
            slots: Slots::new(),
            refused: Vec::with_capacity(BATCH),
        }
    }

    /// The datagrams of the last [`SendBatch::send`] that the kernel refused: their numbers, from 0 in the order in which
    /// they were given, and whether they were too long for the interface.
    #[must_use]
    pub fn refused(&self) -> &[(usize, bool)] {
        &self.refused
    }

    /// Sends all of `outgoing` in order, [`BATCH`] datagrams per system call.
    ///
    /// A datagram the kernel refuses is passed over. When the socket's send buffer is full, the
    /// rest is given up: waiting would hold up every other client, and a client asks again.
    pub fn send<'a>(
        &mut self,
        socket: &UdpSocket,
        outgoing: impl Iterator<Item = Outgoing<'a>>,
    ) -> Sent {
        let mut outgoing = outgoing.fuse();
        let mut sent = Sent::default();
        self.refused.clear();
        loop {
            let filled = self.fill(&mut outgoing);
            // SAFETY: `fill` set payload and addresses of these slots; the payload is borrowed
            // for 'a, which outlasts this call.
            let has_room = unsafe { self.flush(socket, filled, &mut sent) };
            if !has_room {
                sent.dropped += outgoing.count();
                return sent;
            }
            if filled < BATCH {
                return sent;
            }
        }
    }

    /// Fills slots from the first on and returns how many.
    fn fill<'a>(&mut self, outgoing: &mut Fuse<impl Iterator<Item = Outgoing<'a>>>) -> usize {
        let mut filled = 0;
        for datagram in outgoing.take(BATCH) {
            // The kernel only reads what is sent; the vector's pointer is mutable for receiving.
            let start = datagram.bytes.as_ptr().cast_mut();
            self.slots.set_payload(filled, start, datagram.bytes.len());
            self.slots
                .set_addresses(filled, datagram.peer, datagram.local);
            filled += 1;
        }
        filled
    }

    /// Sends the first `filled` slots; false if the send buffer is full.
    ///
    /// # Safety
    /// These slots' addresses are set, and their payload is readable and not written meanwhile.
    unsafe fn flush(&mut self, socket: &UdpSocket, filled: usize, sent: &mut Sent) -> bool {
        let mut next = 0;
        while next < filled {
            sent.system_calls += 1;
            // SAFETY: passed on from the caller.
            let taken = unsafe { self.slots.send(self.path, socket.as_raw_fd(), next..filled) };
            match taken {
                Ok(count) if count > 0 => {
                    sent.sent += count;
                    next += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if !is_full(&error) => {
                    let is_too_long = error.raw_os_error() == Some(libc::EMSGSIZE);
                    self.refused.push((sent.sent + sent.refused, is_too_long));
                    sent.refused += 1;
                    next += 1;
                }
                // No kernel takes nothing without an error; were one to, this must still end.
                Ok(_) | Err(_) => {
                    sent.dropped += filled - next;
                    return false;
                }
            }
        }
        true
    }
}

/// Whether the error is about room for any datagram (macOS says ENOBUFS), not about this one.
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;
    use crate::{BindOptions, LocalAddress};

    /// No datagram is longer than 65,507 bytes over IPv4 and 65,527 over IPv6.
    #[test]
    fn datagrams_that_are_too_long_are_reported_by_their_numbers_and_all_others_leave() {
        for (address, path) in ["127.0.0.1:0", "[::1]:0"]
            .into_iter()
            .flat_map(|address| [(address, UdpPath::Batched), (address, UdpPath::Portable)])
        {
            let Ok(receiver) = std::net::UdpSocket::bind(address) else {
                println!("skipped: no {address} here");
                continue;
            };
            let peer = receiver.local_addr().unwrap();
            let socket =
                UdpSocket::bind(address.parse().unwrap(), &BindOptions::default()).unwrap();
            let (short, long) = (vec![7; 100], vec![7; 65_528]);
            let datagram = |is_long: bool| Outgoing {
                peer,
                local: LocalAddress::default(),
                bytes: if is_long { &long } else { &short },
            };
            let is_long = |number: usize| [0, 5, 6, 40].contains(&number);
            let mut batch = SendBatch::new(path);
            let sent = batch.send(&socket, (0..45).map(|number| datagram(is_long(number))));
            assert_eq!((sent.sent, sent.refused, sent.dropped), (41, 4, 0));
            assert_eq!(
                batch.refused(),
                [(0, true), (5, true), (6, true), (40, true)]
            );
            let sent = batch.send(&socket, [datagram(false)].into_iter());
            assert_eq!((sent.sent, batch.refused().len()), (1, 0));
            // Port 0 is refused, and not for its length.
            let nowhere = Outgoing {
                peer: std::net::SocketAddr::new(peer.ip(), 0),
                ..datagram(false)
            };
            let sent = batch.send(&socket, [nowhere].into_iter());
            assert_eq!((sent.refused, batch.refused()), (1, &[(0, false)][..]));
        }
    }

    /// Loopback takes any number of datagrams from a sender, so a TCP stream stands in for a socket
    /// whose send buffer fills up: Linux passes over the address given with what is sent on it.
    #[test]
    fn a_full_send_buffer_drops_the_rest_without_waiting() {
        for path in [UdpPath::Batched, UdpPath::Portable] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let peer = listener.local_addr().unwrap();
            let socket = UdpSocket::over_stream(TcpStream::connect(peer).unwrap());
            let bytes = vec![0; 100_000];
            let datagram = Outgoing {
                peer,
                local: LocalAddress::default(),
                bytes: &bytes,
            };
            let mut batch = SendBatch::new(path);
            let first = batch.send(&socket, std::iter::repeat_n(datagram, 1000));
            assert!(first.sent > 0 && first.dropped > BATCH, "{first:?}");
            assert_eq!((first.sent + first.dropped, first.refused), (1000, 0));
            let next = batch.send(&socket, std::iter::repeat_n(datagram, 1000));
            assert_eq!(
                next,
                Sent {
                    sent: 0,
                    refused: 0,
                    dropped: 1000,
                    system_calls: 1
                }
            );
        }
    }
}
