//! The echo of `dotgate-bench` with io_uring: `dotgate-uring --listen ADDRESS [--sendmsg]`.
//!
//! A prototype that shows what io_uring would save. It is outside the workspace and no part of the product, so it may use
//! `unsafe`, which the product only does in `dotgate-net`: the kernel reads and writes its memory between system calls.
//!
//! A thread has one ring, and one call per turn, `io_uring_enter`: it sends the responses of the turn before and waits for
//! the next datagrams. These arrive by one multishot `recvmsg` in buffers of a buffer ring, and each is answered in the
//! buffer that it arrived in. A response leaves without waiting, so that its buffer is free when the call returns.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd as _;
use std::process::ExitCode;
use std::thread;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use socket2::{Domain, Protocol, Socket, Type};

mod buffers;

use buffers::{BUFFERS, Buffers, GROUP};

/// The same as the echo.
const WORKERS: usize = 2;
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Entries of the submission queue, which are the most responses of a turn and one receive request.
const QUEUE: u32 = 256;

/// Marks the completions of the receive request; those of responses have the number of their buffer.
const RECEIVE: u64 = u64::MAX;

/// The socket, the only one registered with the ring.
const SOCKET: types::Fixed = types::Fixed(0);

/// The request that sends a response.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Request {
    /// `IORING_OP_SEND` with an address, for which the kernel copies no message header.
    Send,
    /// `IORING_OP_SENDMSG`.
    SendMsg,
}

struct Worker {
    ring: IoUring,
    /// The ring and the kernel refer to it.
    _socket: Socket,
    buffers: Buffers,
    request: Request,
    /// Buffers whose responses are in the submission queue.
    sending: Vec<u16>,
    is_receiving: bool,
    /// Responses that the kernel did not take.
    unsent: usize,
}

fn main() -> ExitCode {
    let Some((address, request)) = arguments() else {
        eprintln!("usage: dotgate-uring --listen ADDRESS [--sendmsg]");
        return ExitCode::FAILURE;
    };
    let threads: Vec<_> = (0..WORKERS)
        .map(|_| {
            // The ring belongs to the thread that makes it.
            thread::spawn(move || Worker::new(address, request).and_then(Worker::run))
        })
        .collect();
    for thread in threads {
        if let Ok(Err(error)) = thread.join() {
            eprintln!("dotgate-uring: {error}");
        }
    }
    ExitCode::FAILURE
}

fn arguments() -> Option<(SocketAddrV4, Request)> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--listen", address] => Some((address.parse().ok()?, Request::Send)),
        ["--listen", address, "--sendmsg"] => Some((address.parse().ok()?, Request::SendMsg)),
        _ => None,
    }
}

/// A socket with the options of the echo's, but that it waits: of one that does not, a request fails where it would have to.
fn bind(address: SocketAddrV4) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    let value = libc::IP_PMTUDISC_PROBE;
    // SAFETY: the descriptor is open, and the kernel reads one c_int before the call returns.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Worker {
    fn new(address: SocketAddrV4, request: Request) -> io::Result<Worker> {
        let socket = bind(address)?;
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(4 * QUEUE)
            .build(QUEUE)?;
        ring.submitter().register_files(&[socket.as_raw_fd()])?;
        let mut buffers = Buffers::new();
        // SAFETY: the memory of the ring of buffers is never given back.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.ring_address(),
                BUFFERS,
                GROUP,
                0,
            )?;
        }
        buffers.provide(0..BUFFERS);
        Ok(Worker {
            ring,
            _socket: socket,
            buffers,
            request,
            sending: Vec::with_capacity(QUEUE as usize),
            is_receiving: false,
            unsent: 0,
        })
    }

    fn run(mut self) -> io::Result<()> {
        let (mut submitter, mut submissions, mut completions) = self.ring.split();
        submitter.register_ring_fd()?;
        loop {
            if !self.is_receiving {
                let request = opcode::RecvMsgMulti::new(SOCKET, self.buffers.header(), GROUP);
                // SAFETY: the header is never given back, and the group has the buffers registered.
                let pushed = unsafe { submissions.push(&request.build().user_data(RECEIVE)) };
                self.is_receiving = pushed.is_ok();
            }
            submissions.sync();
            // What was read counts as waiting otherwise, and the call would return at once.
            completions.sync();
            match submitter.submit_and_wait(1) {
                Err(error) if is_passing(&error) => {}
                outcome => {
                    outcome?;
                }
            }
            submissions.sync();
            // What was taken has been sent, or has failed.
            if submissions.is_empty() {
                self.buffers.provide(self.sending.drain(..));
            }
            completions.sync();
            while submissions.capacity() - submissions.len() > 1
                && let Some(completion) = completions.next()
            {
                if completion.user_data() != RECEIVE {
                    // One is there only where sending failed.
                    self.unsent += 1;
                    continue;
                }
                if !cqueue::more(completion.flags()) {
                    self.is_receiving = false;
                }
                let Some(buffer) = cqueue::buffer_select(completion.flags()) else {
                    // Without a buffer that is free, it ends, and starts again once there are some.
                    match -completion.result() {
                        libc::ENOBUFS | libc::EINTR | libc::ECONNREFUSED => continue,
                        code => return Err(io::Error::from_raw_os_error(code)),
                    }
                };
                let Some(response) = self.buffers.answer(buffer, completion.result()) else {
                    self.buffers.provide([buffer]);
                    continue;
                };
                let entry = match self.request {
                    Request::Send => opcode::Send::new(SOCKET, response.bytes, response.length)
                        .flags(libc::MSG_DONTWAIT)
                        .dest_addr(response.peer)
                        .dest_addr_len(response.peer_length)
                        .build(),
                    Request::SendMsg => opcode::SendMsg::new(SOCKET, response.message)
                        .flags(libc::MSG_DONTWAIT as u32)
                        .build(),
                };
                let entry = entry
                    .flags(squeue::Flags::SKIP_SUCCESS)
                    .user_data(buffer.into());
                // SAFETY: what the entry refers to stays as it is until the kernel has taken the entry: the buffer is
                // provided again only then, and only then another response has its message header.
                if unsafe { submissions.push(&entry) }.is_ok() {
                    self.sending.push(buffer);
                }
            }
        }
    }
}

/// Whether the same call may succeed later.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)
    )
}
