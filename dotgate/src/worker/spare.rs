//! Descriptors reserved for sessions to upstreams, so that clients cannot use the last ones.
//!
//! Before a client's connection is accepted, missing ones are reserved again; while that fails no client is
//! accepted. One is released when the system has none for a session.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use dotgate_core::ConnectFault;

/// Number of reserved descriptors: a worker rarely opens more sessions before others have ended.
pub(super) const SPARE: usize = 4;

#[derive(Default)]
pub(super) struct Spare(Vec<OwnedFd>);

impl Spare {
    /// All that the system has left.
    pub(super) fn filled() -> Spare {
        let mut spare = Spare::default();
        spare.refill();
        spare
    }

    /// Takes what is missing. False if the system has none left.
    pub(super) fn refill(&mut self) -> bool {
        while self.0.len() < SPARE {
            match dotgate_net::tcp::spare_descriptor() {
                Ok(descriptor) => self.0.push(descriptor),
                Err(_) => return false,
            }
        }
        true
    }

    /// Lets one go. False if there is none.
    pub(super) fn release_one(&mut self) -> bool {
        self.0.pop().is_some()
    }
}

/// Why a connection to an upstream cannot be had.
pub(super) fn connect_fault(error: &io::Error) -> ConnectFault {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => ConnectFault::Refused,
        ErrorKind::TimedOut => ConnectFault::TimedOut,
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => ConnectFault::Unreachable,
        _ if is_out_of_descriptors(error) => ConnectFault::NoDescriptor,
        _ => ConnectFault::Other,
    }
}

/// Whether the process or the system has too many files open.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}
