//! The headers of one batch: one allocation, wired up once.
//!
//! A slot is a message header with the one vector, the peer address and the control buffer it
//! points to. Receiving writes into some of these fields; only the slots used are reset.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::RawFd;

use super::address;
use super::control::{self, CONTROL_BYTES, ControlBuffer};
use super::memory::Memory;
use super::{BATCH, LocalAddress, UdpPath};

#[cfg(target_os = "linux")]
use libc::mmsghdr as MessageHeader;

/// What Linux calls `mmsghdr`: a message header and the bytes received or sent.
#[cfg(not(target_os = "linux"))]
#[repr(C)]
struct MessageHeader {
    msg_hdr: libc::msghdr,
    msg_len: libc::c_uint,
}

struct Fields {
    headers: [MessageHeader; BATCH],
    vectors: [libc::iovec; BATCH],
    peers: [libc::sockaddr_storage; BATCH],
    controls: [ControlBuffer; BATCH],
}

/// [`BATCH`] slots, numbered from 0. A number beyond is a bug and panics.
pub(super) struct Slots {
    fields: Memory<Fields>,
}

// SAFETY: the pointers inside lead to the slots' own memory, which moves with its owner, or to
// payload, of which `receive` and `send` demand that it is there for them.
unsafe impl Send for Slots {}

impl Slots {
    /// Allocates the slots; their payload is empty.
    pub(super) fn new() -> Slots {
        // SAFETY: C structs of integers and pointers and arrays of bytes: zeros are valid, the
        // size is not zero, and there is nothing to destroy.
        let fields = unsafe { Memory::zeroed() };
        let mut slots = Slots { fields };
        for slot in 0..BATCH {
            let header = slots.header(slot);
            let fields = slots.fields.as_ptr();
            // SAFETY: all point into the memory just allocated, which nobody else knows yet.
            unsafe {
                (*header).msg_hdr.msg_iov = &raw mut (*fields).vectors[slot];
                (*header).msg_hdr.msg_iovlen = 1;
                (*header).msg_hdr.msg_name = (&raw mut (*fields).peers[slot]).cast();
                (*header).msg_hdr.msg_control = (&raw mut (*fields).controls[slot]).cast();
            }
            slots.reset(slot);
        }
        slots
    }

    fn header(&self, slot: usize) -> *mut MessageHeader {
        // SAFETY: the place is inside the allocation, or the index panics; nothing is read.
        unsafe { &raw mut (*self.fields.as_ptr()).headers[slot] }
    }

    /// Makes the slot's payload `length` bytes at `start`.
    pub(super) fn set_payload(&mut self, slot: usize, start: *mut u8, length: usize) {
        let vector = libc::iovec {
            iov_base: start.cast(),
            iov_len: length,
        };
        // SAFETY: the place is inside the allocation, and `&mut self` makes us its only user.
        unsafe { (*self.fields.as_ptr()).vectors[slot] = vector };
    }

    /// Makes the slot's datagram go to `peer` and leave from `local`.
    pub(super) fn set_addresses(&mut self, slot: usize, peer: SocketAddr, local: LocalAddress) {
        let header = self.header(slot);
        // SAFETY: header, peer and control lie inside the allocation at different places, and
        // `&mut self` makes us their only user; they live as long as the header does.
        unsafe {
            let fields = self.fields.as_ptr();
            (*header).msg_hdr.msg_namelen = address::write(peer, &raw mut (*fields).peers[slot]);
            let control = &raw mut (*fields).controls[slot];
            control::write(local, &raw mut (*header).msg_hdr, control);
        }
    }

    /// Sends the slot's datagram to the address that its socket is connected to.
    pub(super) fn set_no_addresses(&mut self, slot: usize) {
        let header = self.header(slot);
        // SAFETY: the header is inside the allocation, and `&mut self` makes us its only user.
        unsafe {
            (*header).msg_hdr.msg_namelen = 0;
            (*header).msg_hdr.msg_controllen = 0;
        }
    }

    /// Gives the slot's whole address and control buffer back to the kernel to write into.
    pub(super) fn reset(&mut self, slot: usize) {
        let header = self.header(slot);
        // SAFETY: the header is inside the allocation, and `&mut self` makes us its only user.
        unsafe {
            (*header).msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as _;
            (*header).msg_hdr.msg_controllen = CONTROL_BYTES as _;
            (*header).msg_hdr.msg_flags = 0;
        }
    }

    /// Who sent the datagram received into the slot; `None` if neither by IPv4 nor by IPv6.
    pub(super) fn peer(&self, slot: usize) -> Option<SocketAddr> {
        // SAFETY: inside the allocation, initialised from the start, not being written.
        unsafe { address::read(&raw const (*self.fields.as_ptr()).peers[slot]) }
    }

    /// Where the datagram received into the slot came in.
    pub(super) fn local(&self, slot: usize) -> LocalAddress {
        // SAFETY: the header's control pointer and length describe the slot's own control buffer:
        // set in `new` and `reset`, and the kernel only ever lowers the length.
        unsafe { control::read(&raw const (*self.header(slot)).msg_hdr) }
    }

    /// Bytes of the datagram received into the slot, and whether the rest of it is lost.
    pub(super) fn length(&self, slot: usize) -> (usize, bool) {
        let header = self.header(slot);
        // SAFETY: inside the allocation, initialised from the start, not being written.
        let (length, flags) = unsafe { ((*header).msg_len, (*header).msg_hdr.msg_flags) };
        (length as usize, flags & libc::MSG_TRUNC != 0)
    }

    /// Receives into the slots of `range` from the first on and returns how many were filled, at
    /// least one; `WouldBlock` if there is nothing, unless it waits and the socket blocks.
    ///
    /// # Safety
    /// Every payload in `range` is writable memory that nobody else uses during the call.
    pub(super) unsafe fn receive(
        &mut self,
        path: UdpPath,
        socket: RawFd,
        range: Range<usize>,
        waits: bool,
    ) -> io::Result<usize> {
        let header = self.header(range.start);
        match path {
            #[cfg(target_os = "linux")]
            UdpPath::Batched => {
                let flags = if waits {
                    libc::MSG_WAITFORONE
                } else {
                    libc::MSG_DONTWAIT
                };
                let (count, flags) = (self.count(&range), flags as _);
                // SAFETY: `count` headers follow from here; each points to its own vector, address
                // and control buffer, and to payload that the caller guarantees. No timeout: it would
                // be looked at only between datagrams.
                let received =
                    unsafe { libc::recvmmsg(socket, header, count, flags, std::ptr::null_mut()) };
                usize::try_from(received).map_err(|_| io::Error::last_os_error())
            }
            UdpPath::Portable => {
                let flags = if waits { 0 } else { libc::MSG_DONTWAIT };
                // SAFETY: as above, for one header.
                let received = unsafe { libc::recvmsg(socket, &raw mut (*header).msg_hdr, flags) };
                let length = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
                // SAFETY: the header is ours; a payload is far shorter than 4 GiB.
                unsafe { (*header).msg_len = length as libc::c_uint };
                Ok(1)
            }
        }
    }

    /// Sends the datagrams of `range` from the first on and returns how many the kernel took
    /// before the first it refused; an error is about the first of them.
    ///
    /// # Safety
    /// Every payload in `range` is readable memory that nobody writes during the call, and its
    /// addresses were set.
    pub(super) unsafe fn send(
        &mut self,
        path: UdpPath,
        socket: RawFd,
        range: Range<usize>,
    ) -> io::Result<usize> {
        let header = self.header(range.start);
        match path {
            #[cfg(target_os = "linux")]
            UdpPath::Batched => {
                let (count, flags) = (self.count(&range), libc::MSG_DONTWAIT as _);
                // SAFETY: `count` headers follow from here; each points to its own vector, address
                // and control message, and to payload that the caller guarantees.
                let sent = unsafe { libc::sendmmsg(socket, header, count, flags) };
                usize::try_from(sent).map_err(|_| io::Error::last_os_error())
            }
            UdpPath::Portable => {
                // SAFETY: as above, for one header.
                let sent = unsafe {
                    libc::sendmsg(socket, &raw const (*header).msg_hdr, libc::MSG_DONTWAIT)
                };
                if sent < 0 {
                    Err(io::Error::last_os_error())
                } else {
                    Ok(1)
                }
            }
        }
    }

    /// The number of slots in `range`, none beyond the last one.
    #[cfg(target_os = "linux")]
    fn count(&self, range: &Range<usize>) -> libc::c_uint {
        (range.end.min(BATCH) - range.start) as libc::c_uint
    }
}
