//! Descriptors held ready for sessions to upstreams, so that clients can never take the last ones.
//!
//! Before a client's connection is accepted, as many as are missing are taken again; while that fails nobody is
//! accepted. One is let go when the system has none left for a session.

use std::os::fd::OwnedFd;

/// Descriptors that are held: a worker opens seldom more sessions than these before others have ended.
pub(super) const SPARE: usize = 4;

#[derive(Default)]
pub(super) struct Spare(Vec<OwnedFd>);

impl Spare {
    /// As many as the system has left.
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
