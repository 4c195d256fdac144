//! Accepting the connections of clients.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Whether a connection waits at a listener. True if the system does not say: accepting shows it then.
///
/// To accept where none waits costs ten times as much: Linux makes the descriptor and the socket first.
#[must_use]
pub fn has_waiting(listener: impl AsFd) -> bool {
    const AT_ONCE: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut asked = [PollFd::new(&listener, PollFlags::IN)];
    poll(&mut asked, Some(&AT_ONCE)) != Ok(0)
}

/// Whether an error of accepting is about the connection that waited, so that the next one may be there: the client
/// has left, or its network has trouble (accept(2) names the errors that Linux passes on from there).
#[must_use]
pub fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::ECONNRESET
                | libc::EINTR
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ETIMEDOUT
        )
    )
}
