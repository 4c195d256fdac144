//! Queries in: a batch of datagrams read from a socket.

use std::io;
use std::os::fd::AsRawFd;

use super::memory::Memory;
use super::slots::Slots;
use super::{BATCH, Datagram, RECEIVE_SLOT_BYTES, UdpPath, UdpSocket};

/// The datagrams of one turn's read, and the memory they are read into: [`BATCH`] slots of
/// [`RECEIVE_SLOT_BYTES`] bytes, allocated once. One batch serves any number of sockets.
pub struct ReceiveBatch {
    path: UdpPath,
    slots: Slots,
    payload: Memory<[[u8; RECEIVE_SLOT_BYTES]; BATCH]>,
    /// Slots filled by the last call; they are reset before the next one.
    filled: usize,
}

impl ReceiveBatch {
    /// Allocates a batch (72 KiB).
    #[must_use]
    pub fn new(path: UdpPath) -> Self {
        // SAFETY: bytes: zeros are valid, the size is not zero, there is nothing to destroy.
        let payload: Memory<[[u8; RECEIVE_SLOT_BYTES]; BATCH]> = unsafe { Memory::zeroed() };
        let mut slots = Slots::new();
        for slot in 0..BATCH {
            // SAFETY: the place is inside the allocation; nothing is read.
            let start = unsafe { (&raw mut (*payload.as_ptr())[slot]).cast() };
            slots.set_payload(slot, start, RECEIVE_SLOT_BYTES);
        }
        ReceiveBatch {
            path,
            slots,
            payload,
            filled: 0,
        }
    }

    /// Reads up to [`BATCH`] datagrams without waiting, in place of those of the last call, and
    /// returns how many; 0 where there are none. A count below [`BATCH`] means that the socket is
    /// drained: no further read is needed before the next readiness event.
    ///
    /// # Errors
    /// What the system says of the first read; the batch is empty then. An error after the first
    /// datagram ends the batch and is reported by the next call if it lasts.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.fill(socket, false)
    }

    /// The same, but waits for the first datagram if the socket blocks: for programs with nothing else to wait for.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn wait(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.fill(socket, true)
    }

    fn fill(&mut self, socket: &UdpSocket, waits: bool) -> io::Result<usize> {
        for slot in 0..self.filled {
            self.slots.reset(slot);
        }
        self.filled = 0;
        while self.filled < BATCH {
            // SAFETY: the payload of all slots is `self.payload`, which lives as long as the slots;
            // the datagrams that borrow it also borrow `self`, so there are none now.
            let received = unsafe {
                self.slots.receive(
                    self.path,
                    socket.as_raw_fd(),
                    self.filled..BATCH,
                    waits && self.filled == 0,
                )
            };
            match received {
                Ok(count) => {
                    self.filled += count;
                    if self.is_drained(count) {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if self.filled == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(self.filled)
    }

    /// Whether a read of `count` datagrams ends the batch: a batched read stops by itself when
    /// there is nothing left, so that no second call is needed to find out.
    fn is_drained(&self, count: usize) -> bool {
        match self.path {
            #[cfg(target_os = "linux")]
            UdpPath::Batched => true,
            UdpPath::Portable => count == 0,
        }
    }

    /// The datagrams of the last [`receive`](Self::receive), in the order of their arrival.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        // Neither an address family nor a length other than expected ever comes from an IP socket.
        (0..self.filled).filter_map(|slot| self.datagram(slot))
    }

    fn datagram(&self, slot: usize) -> Option<Datagram<'_>> {
        let (length, is_cut) = self.slots.length(slot);
        // SAFETY: bytes initialised from the start. The kernel writes them in `receive` alone,
        // which needs `&mut self` and thus the end of this borrow.
        let payload = unsafe { &(&*self.payload.as_ptr())[slot] };
        Some(Datagram {
            peer: self.slots.peer(slot)?,
            local: self.slots.local(slot),
            bytes: payload.get(..length)?,
            is_cut,
        })
    }
}
