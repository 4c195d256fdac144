//! What can go wrong in a measurement.

use std::io;

use dotgate_testbed::certificates::CertificateError;

/// Why a measurement could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket, file or process failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The upstream's certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The upstream's TLS settings were refused.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The process is gone, or this is not Linux.
    #[error("process {pid} has no readable CPU time in /proc")]
    NoCpuTime {
        /// The process asked for.
        pid: u32,
    },
    /// The upstream process ended without saying where it listens.
    #[error("the upstream did not start")]
    UpstreamNotStarted,
    /// A forwarder did not answer in time.
    #[error("{name} gave no answer within {seconds} s of its start")]
    NotReady {
        /// The forwarder.
        name: &'static str,
        /// How long it was waited for, in seconds.
        seconds: u64,
    },
    /// Nothing to compare is installed.
    #[error("no forwarder could be started")]
    NoForwarder,
    /// The process is gone, or this is not Linux.
    #[error("process {pid} has no readable memory or descriptors in /proc")]
    NoUsage {
        /// The process asked for.
        pid: u32,
    },
    /// A soak found what it was looking for.
    #[error("the soak failed: see its last lines")]
    SoakFailed,
    /// A query was lost, or a process that was replaced did not end well.
    #[error("the replacing failed: see its last lines")]
    ReplaceFailed,
    /// A query was lost, or an instance did not get ready or did not end well.
    #[error("the rolling restarts failed: see their last lines")]
    RollFailed,
    /// Memory grew too much, or a query of others was lost or slow.
    #[error("the attack with unread responses did harm: see the last lines")]
    UnreadFailed,
}

impl Error {
    /// Whether a forwarder did not start or has ended, so that the others can still be measured.
    pub(crate) fn is_of_a_forwarder(&self) -> bool {
        match self {
            Error::NotReady { .. } | Error::NoCpuTime { .. } | Error::NoUsage { .. } => true,
            Error::Io { .. }
            | Error::Certificate(_)
            | Error::Tls(_)
            | Error::UpstreamNotStarted
            | Error::NoForwarder
            | Error::SoakFailed
            | Error::ReplaceFailed
            | Error::RollFailed
            | Error::UnreadFailed => false,
        }
    }
}

/// Names what was tried where a system call fails.
pub(crate) trait Action<T> {
    /// Adds what was tried, an infinitive, to the error.
    fn to(self, action: &'static str) -> Result<T, Error>;
}

impl<T> Action<T> for io::Result<T> {
    fn to(self, action: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Io { action, source })
    }
}
