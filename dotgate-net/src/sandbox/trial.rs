//! Attempts at what the sandbox must refuse, so that `dotgate check --sandbox` reports what holds and not what was asked.
//!
//! Each would be harmless if it succeeded.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::{Needs, Part};

/// Attempts what a part forbids. True if the system refused it.
#[must_use]
pub fn is_refused(part: Part, needs: &Needs) -> bool {
    let attempt = match part {
        Part::Files => std::fs::read_dir("/").map(drop),
        Part::TcpPorts => connect_elsewhere(needs),
        Part::Signals => signal_parent(),
        Part::SystemCalls => unusual_socket(),
        Part::NoNewPrivileges => return has_no_new_privileges(),
    };
    attempt.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// Connects to a port of this host that is not needed.
fn connect_elsewhere(needs: &Needs) -> io::Result<()> {
    let port = (1..=u16::MAX).find(|port| !needs.connect.contains(port));
    TcpStream::connect((Ipv4Addr::LOCALHOST, port.unwrap_or(u16::MAX))).map(drop)
}

/// A signal that only asks whether one could be sent.
fn signal_parent() -> io::Result<()> {
    match rustix::process::getppid() {
        Some(parent) => Ok(rustix::process::test_kill_process(parent)?),
        None => Ok(()),
    }
}

/// A socket between a host and its virtual machines, which needs no right.
#[cfg(target_os = "linux")]
fn unusual_socket() -> io::Result<()> {
    Socket::new(Domain::VSOCK, Type::STREAM, None).map(drop)
}

#[cfg(not(target_os = "linux"))]
fn unusual_socket() -> io::Result<()> {
    Socket::new(Domain::UNIX, Type::STREAM, None).map(drop)
}

#[cfg(target_os = "linux")]
fn has_no_new_privileges() -> bool {
    // SAFETY: the call takes numbers alone.
    unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 }
}

#[cfg(not(target_os = "linux"))]
fn has_no_new_privileges() -> bool {
    false
}
