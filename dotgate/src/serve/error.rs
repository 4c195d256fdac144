//! Why serving could not begin.

use std::io;

use dotgate_tls::{RootsError, ServerTlsError, TlsSetupError};
use thiserror::Error;

use super::bind::BindError;
use crate::cookies::CookieFileError;
use crate::local::LocalError;
use crate::sandbox::SandboxError;
use crate::views::QueryLogError;

/// Why serving could not begin.
#[derive(Debug, Error)]
pub enum StartError {
    /// A listener could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An upstream is this program itself: every query would loop.
    #[error(
        "upstream {label} is an address of this host that dotgate itself listens on: its queries would loop\n  Use \
         another resolver in DNS_HOST or the route, or listen on single addresses in HOST."
    )]
    Loop {
        /// The upstream.
        label: String,
    },
    /// The local data cannot be used.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// What is not needed cannot be given up.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// No datagram can be received or sent.
    #[error(
        "the system does not let this process use UDP: {0}\n  Allow recvmsg and sendmsg (or recvmmsg and sendmmsg, \
         which are faster) in the filter of system calls (seccomp; SystemCallFilter= of systemd)."
    )]
    NoUdp(#[source] io::Error),
    /// Queries cannot be logged.
    #[error(transparent)]
    QueryLog(#[from] QueryLogError),
    /// Routes have changed so often that no number is left for another one.
    #[error("the routes have changed 65,534 times since the start: restart dotgate")]
    RoutesUsedUp,
    /// The access list depends on the networks of this host, which the system does not say.
    #[error(
        "find the networks of this host, which the access list depends on (localnets): {0}\n  Write their prefixes in \
         place of localnets, or allow sockets of the family AF_NETLINK."
    )]
    Networks(#[source] io::Error),
    /// There are no secrets for cookies.
    #[error(transparent)]
    Cookies(#[from] CookieFileError),
    /// The trust anchors could not be loaded.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// Clients cannot be served with TLS.
    #[error(transparent)]
    ServerTls(#[from] ServerTlsError),
    /// The TLS towards an upstream cannot be set up.
    #[error("upstream {label}: {source}")]
    Tls {
        /// The upstream.
        label: String,
        /// What is wrong.
        source: TlsSetupError,
    },
    /// The system refused a thread, a poll loop or randomness.
    #[error("start a worker: {0}")]
    Worker(#[source] io::Error),
}
