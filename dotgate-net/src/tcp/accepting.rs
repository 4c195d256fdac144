//! Accepting the connections of clients, and what it costs.
//!
//! A worker that sleeps is woken for each connection, for each query and for each end. On a connection that carries one query
//! this is most of the cost, so connections wait in the system until the query is there.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a client that sends nothing waits to be accepted, in seconds: the least that there is.
#[cfg(target_os = "linux")]
const DEFERRED_SECONDS: libc::c_int = 1;

/// Has a listener pass connections on once the client has sent or ended something, or after about a second
/// (`TCP_DEFER_ACCEPT`, tcp(7); Linux). For protocols in which the client speaks first. Without `defers`, connections are passed on
/// when their handshake is complete; those that wait, within about a second.
///
/// What a client sends ends the wait at any time. The system has the connection among those
/// whose handshake is not complete, which take less memory. After a second it repeats its part of the handshake, and accepts
/// the connection with the client's next packet. If too many wait, it completes handshakes at once (SYN cookies, RFC 4987).
///
/// # Errors
/// What the system says; connections are accepted at once then.
#[cfg(target_os = "linux")]
pub fn defer_until_data(listener: impl AsFd, defers: bool) -> io::Result<()> {
    let seconds = if defers { DEFERRED_SECONDS } else { 0 };
    let (level, name) = (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT);
    crate::option::set(listener, level, name, seconds)
}

/// Other systems accept connections at once.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn defer_until_data(_: impl AsFd, _: bool) -> io::Result<()> {
    Ok(())
}

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
