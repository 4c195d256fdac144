//! The memory that the kernel and a worker share: the ring of buffers (`io_uring_register_buf_ring(3)`), the buffers, and
//! a message header for the response in each. It is allocated once and never given back.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::mem::{offset_of, zeroed};
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

/// Buffers of a worker, a power of two.
pub const BUFFERS: u16 = 1_024;

/// The number of their group.
pub const GROUP: u16 = 0;

const PAGE_BYTES: usize = 4_096;

/// What `recvmsg` writes: `struct io_uring_recvmsg_out`, room for the peer's address, the datagram.
#[repr(C)]
struct Slot {
    name_length: u32,
    control_length: u32,
    payload_length: u32,
    flags: u32,
    peer: libc::sockaddr_in6,
    payload: [u8; PAYLOAD_BYTES],
}

/// Of a query and its response; a longer query is cut, as in the echo it is at 2 KiB.
const PAYLOAD_BYTES: usize = 980;

/// The header of a DNS message (RFC 1035 section 4.1.1).
const HEADER_BYTES: usize = 12;

/// `RECORD` of `dotgate_bench::message`: the question's name, A, IN, a day, 192.0.2.1.
const RECORD: [u8; 16] = *b"\xc0\x0c\x00\x01\x00\x01\x00\x01\x51\x80\x00\x04\xc0\x00\x02\x01";

pub struct Buffers {
    ring: *mut BufRingEntry,
    /// The next entry of the ring to write; it wraps.
    tail: u16,
    slots: *mut Slot,
    messages: *mut libc::msghdr,
    vectors: *mut libc::iovec,
    header: *const libc::msghdr,
}

/// A response in its buffer, as both requests need it.
pub struct Response {
    pub bytes: *const u8,
    pub length: u32,
    pub peer: *const libc::sockaddr,
    pub peer_length: libc::socklen_t,
    pub message: *const libc::msghdr,
}

impl Buffers {
    pub fn new() -> Buffers {
        // SAFETY: a header of zeros and null pointers is one without a name, vectors and control data.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        let buffers = Buffers {
            ring: array(),
            tail: 0,
            slots: array(),
            messages: array(),
            vectors: array(),
            header: Box::leak(Box::new(header)),
        };
        for index in 0..usize::from(BUFFERS) {
            // SAFETY: the index is within all arrays, whose memory is this worker's alone so far.
            unsafe {
                let slot = buffers.slots.add(index);
                let (message, vector) = (buffers.messages.add(index), buffers.vectors.add(index));
                (*vector).iov_base = (&raw mut (*slot).payload).cast();
                (*message).msg_name = (&raw mut (*slot).peer).cast();
                (*message).msg_iov = vector;
                (*message).msg_iovlen = 1;
            }
        }
        buffers
    }

    pub fn ring_address(&self) -> u64 {
        self.ring.expose_provenance() as u64
    }

    /// What the receive request asks for: the peer's address, and no control data.
    pub fn header(&self) -> *const libc::msghdr {
        self.header
    }

    /// Lets the kernel have buffers that it does not have.
    pub fn provide(&mut self, buffers: impl IntoIterator<Item = u16>) {
        for buffer in buffers {
            // SAFETY: both indices are below BUFFERS. The kernel does not read the entry before the tail is behind it, and
            // has no buffer that is not in the ring.
            unsafe {
                let slot = self.slots.add(usize::from(buffer % BUFFERS));
                let entry = &mut *self.ring.add(usize::from(self.tail % BUFFERS));
                entry.set_addr(slot.expose_provenance() as u64);
                entry.set_len(size_of::<Slot>() as u32);
                entry.set_bid(buffer % BUFFERS);
            }
            self.tail = self.tail.wrapping_add(1);
        }
        // SAFETY: the ring begins with an entry, whose last field is the tail; only this thread writes it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// Makes the query in a buffer, to which the kernel wrote so many bytes, a response (QR, RA) with one A record. `None` for
    /// what has no header or is too long.
    pub fn answer(&mut self, buffer: u16, written: i32) -> Option<Response> {
        let index = usize::from(buffer % BUFFERS);
        // SAFETY: the kernel has finished with a buffer whose completion is there, until it is provided again.
        let slot = unsafe { &mut *self.slots.add(index) };
        let length = usize::try_from(written)
            .ok()?
            .checked_sub(offset_of!(Slot, payload))?;
        let peer_length = slot.name_length.min(size_of_val(&slot.peer) as u32);
        if length < HEADER_BYTES {
            return None;
        }
        slot.payload
            .get_mut(length..length + RECORD.len())?
            .copy_from_slice(&RECORD);
        slot.payload[2] |= 0x80;
        slot.payload[3..HEADER_BYTES].copy_from_slice(&[0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        let length = length + RECORD.len();
        let bytes = ptr::from_mut(&mut slot.payload);
        // SAFETY: the index is within the arrays; the kernel reads them only while it takes the entry of this buffer.
        unsafe {
            (*self.vectors.add(index)).iov_len = length;
            (*self.messages.add(index)).msg_namelen = peer_length;
        }
        Some(Response {
            bytes: bytes.cast(),
            length: length as u32,
            peer: (&raw const slot.peer).cast(),
            peer_length,
            // SAFETY: as above.
            message: unsafe { self.messages.add(index) },
        })
    }
}

/// Zeroed memory for an element of each buffer, at the start of a page, as the ring of buffers has to be.
fn array<T>() -> *mut T {
    let bytes = (size_of::<T>() * usize::from(BUFFERS)).next_multiple_of(PAGE_BYTES);
    let Ok(layout) = Layout::from_size_align(bytes, PAGE_BYTES) else {
        unreachable!("a page is a power of two")
    };
    // SAFETY: the layout is not empty.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    memory.cast()
}
