//! The admin endpoint: HTTP on an address of its own, for probes, operators and metrics.
//!
//! Not on the path of a query: it runs on the control thread, and reads what the workers write anyway: it never
//! waits for one and never costs a query anything. `routes` says what is where, `endpoint` what all connections
//! share, `client` is the other end, for the commands that ask.
//! Bounds of connections, sizes and times are in `connections`. HTTP/1.1 (RFC 9112), and HTTP/1.0 for the probes of
//! balancers; TLS belongs in front.

mod body;
mod cache;
pub mod client;
mod connections;
mod endpoint;
pub(crate) mod failures;
mod groups;
mod host;
pub mod listeners;
mod live;
mod local;
pub mod openapi;
mod overview;
mod page;
pub(crate) mod percent;
mod portal;
mod queries;
mod refusal;
mod response;
mod routes;
mod socket;
mod status;
mod token;
mod traffic;
mod upstreams;
mod volatile;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dotgate_config::{AdminConfig, ScopedSocketAddress};

use crate::log::message::say;
use dotgate_net::Presence;
use dotgate_net::presence::is_absence;
use dotgate_net::tcp::listen_when;
use thiserror::Error;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

pub use self::body::Flush;
pub use self::cache::{CacheEntry, CacheReport};
use self::connections::{Connections, accept, accept_unix};
use self::endpoint::Endpoint;
pub use self::endpoint::{Access, readiness_line};
pub use self::failures::{FailureReport, FailuresReport, IncidentReport, UpstreamFailures};
pub(crate) use self::groups::GroupReport;
pub use self::overview::Overview;
pub(crate) use self::overview::Span;
use self::page::keep_current;
pub use self::portal::{PortalOpening, PortalReport};
pub(crate) use self::response::ErrorBody;
use self::socket::{Socket, SocketFile};
pub use self::token::{Token, TokenError};
pub use self::upstreams::{UpstreamReport, health_line, reports as upstream_reports};
pub use self::volatile::{OwnerReport, RoutesReport, RoutesSetting};
use crate::clock::now;
use crate::running::{HISTORY_TICK, Running};
use crate::take_over::{Inherited, Role, ToHandOver};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// How often an address that this host does not have yet is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// Why the admin endpoint could not be opened.
#[derive(Debug, Error)]
pub enum AdminError {
    /// An address cannot be had.
    #[error("admin endpoint on {address}: {source}{}", Advice { port: address.port(), kind: source.kind() })]
    Bind {
        /// The address.
        address: ScopedSocketAddress,
        /// The system's words.
        source: io::Error,
    },
    /// The Unix socket cannot be had.
    #[error(
        "DOTGATE_ADMIN_SOCKET: {path}: {source}\n  It must be in a folder that exists, and that only this user or root \
         may write to, such as systemd's RuntimeDirectory."
    )]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// What to do about an address that cannot be had.
struct Advice {
    port: u16,
    kind: ErrorKind,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ErrorKind::AddrInUse => write!(
                f,
                "\n  Another process has this port, perhaps a second dotgate. `ss -ltnp 'sport = :{}'` names it. \
                 Set DOTGATE_ADMIN_LISTEN to another ADDR:PORT for this one, or to off.",
                self.port
            ),
            ErrorKind::PermissionDenied => write!(
                f,
                "\n  Ports below 1024 need a privilege; set DOTGATE_ADMIN_LISTEN to a higher one."
            ),
            _ => Ok(()),
        }
    }
}

/// The admin endpoint, bound and not yet served; nowhere by default.
#[derive(Debug, Default)]
pub struct Admin {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    /// Those that this host does not have yet, and that cannot be bound ahead.
    awaited: Vec<ScopedSocketAddress>,
    socket: Option<Socket>,
    /// The file of a socket of the process before this one that is not used here.
    left: Option<SocketFile>,
    access: Access,
}

impl Admin {
    /// Takes the listeners of the process before this one, and binds the others. An address that this host does not
    /// have yet is bound ahead, or later.
    ///
    /// # Errors
    /// [`AdminError`] for the first thing that cannot be had.
    pub fn bind(config: &AdminConfig, inherited: &mut Inherited) -> Result<Admin, AdminError> {
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        let mut awaited = Vec::new();
        for address in &config.listen {
            match bind(address, inherited) {
                Ok((listener, bound)) => {
                    listeners.push(listener);
                    addresses.push(bound);
                }
                Err(reason) if is_absence(&reason) => {
                    log_awaited(address, &reason);
                    awaited.push(address.clone());
                }
                Err(source) => {
                    let address = address.clone();
                    return Err(AdminError::Bind { address, source });
                }
            }
        }
        let bound = Socket::bind(config.socket.as_ref(), inherited);
        let (socket, left) = bound.map_err(|source| AdminError::Socket {
            path: config.socket.iter().map(|it| it.path.as_path()).collect(),
            source,
        })?;
        Ok(Admin {
            access: Access::load(config),
            socket,
            left,
            listeners,
            addresses,
            awaited,
        })
    }

    /// Its listening addresses; port 0 is replaced by the port that the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A second descriptor of every listener, to hand over to the process after this one.
    ///
    /// # Errors
    /// Where the system has no descriptor left.
    pub fn second_descriptors(&self) -> io::Result<Vec<(Role, OwnedFd)>> {
        let listeners = self.listeners.iter().zip(&self.addresses);
        let second = |(listener, address): (&TcpListener, &SocketAddr)| {
            Ok((Role::Admin(*address), listener.try_clone()?.into()))
        };
        let socket = self.socket.iter().map(Socket::second_descriptor);
        listeners.map(second).chain(socket).collect()
    }

    /// Where its Unix socket is, if it has one.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_ref().map(|socket| socket.file.path())
    }

    /// Serves until the runtime ends. Call it inside one. Listeners of addresses that come later are added to those
    /// that are to be handed over, if any are.
    ///
    /// # Errors
    /// The system's: the runtime cannot watch a listener.
    pub fn serve(
        self,
        running: &Arc<Running>,
        to_hand_over: Option<&ToHandOver>,
    ) -> io::Result<Serving> {
        let socket = self.socket.as_ref().map(|it| it.file.path().to_owned());
        let endpoint = Arc::new(Endpoint::new(Arc::clone(running), self.access, socket));
        let connections = Arc::new(Connections::default());
        // It ends with the runtime.
        tokio::spawn(keep_history(Arc::clone(running)));
        tokio::spawn(keep_current(Arc::clone(&endpoint)));
        let mut accepting = Vec::new();
        for listener in self.listeners {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let (endpoint, connections) = (Arc::clone(&endpoint), Arc::clone(&connections));
            // It ends with the runtime.
            let task = tokio::spawn(accept(listener, endpoint, connections));
            accepting.push(task.abort_handle());
        }
        for address in self.awaited {
            let (endpoint, connections) = (Arc::clone(&endpoint), Arc::clone(&connections));
            let to_hand_over = to_hand_over.cloned();
            let task = tokio::spawn(async move {
                let listener = wait_for(&address, to_hand_over).await;
                accept(listener, endpoint, connections).await;
            });
            accepting.push(task.abort_handle());
        }
        let mut file = None;
        if let Some(mut socket) = self.socket {
            socket.listener.set_nonblocking(true)?;
            let listener = tokio::net::UnixListener::from_std(socket.listener)?;
            let (endpoint, connections) = (Arc::clone(&endpoint), Arc::clone(&connections));
            let task = tokio::spawn(accept_unix(listener, endpoint, connections));
            accepting.push(task.abort_handle());
            socket.file.own();
            file = Some(socket.file);
        }
        if let Some(mut left) = self.left {
            left.own();
        }
        Ok(Serving {
            accepting,
            endpoint,
            file,
        })
    }
}

/// Looks at the counters regularly, so that the page can show the last day.
async fn keep_history(running: Arc<Running>) {
    let mut ticks = interval(HISTORY_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        running.history().look(&running, now());
    }
}

/// The admin endpoint while it is served.
#[derive(Debug)]
pub struct Serving {
    accepting: Vec<AbortHandle>,
    endpoint: Arc<Endpoint>,
    file: Option<SocketFile>,
}

impl Serving {
    /// Switches to other names and another token; open connections stay.
    pub fn set_access(&self, access: Access) {
        self.endpoint.set_access(access);
    }

    /// Leaves new connections to the process that replaces this one; those that are open are served.
    pub fn stop_accepting(&mut self) {
        if let Some(file) = &mut self.file {
            file.leave();
        }
        for task in &self.accepting {
            task.abort();
        }
    }
}

fn bind(
    address: &ScopedSocketAddress,
    inherited: &mut Inherited,
) -> io::Result<(TcpListener, SocketAddr)> {
    let resolved = address.resolve()?;
    let listen = |presence| listen_when(resolved, false, BACKLOG, presence);
    let listener = match inherited.take(Role::Admin(resolved)).pop() {
        Some(descriptor) => dotgate_net::tcp::adopt(descriptor)?,
        None => listen(Presence::Required).or_else(|reason| {
            if !is_absence(&reason) {
                return Err(reason);
            }
            match listen(Presence::Ahead) {
                Ok(listener) => {
                    log_awaited(address, &reason);
                    Ok(listener)
                }
                Err(error) if error.kind() == ErrorKind::AddrInUse => Err(error),
                Err(_) => Err(reason),
            }
        })?,
    };
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

fn log_awaited(address: &ScopedSocketAddress, reason: &io::Error) {
    say!(ADMIN_AWAITED, address = %address, reason = %reason);
}

/// Waits until this host has an address that could not be bound ahead.
async fn wait_for(
    address: &ScopedSocketAddress,
    to_hand_over: Option<ToHandOver>,
) -> tokio::net::TcpListener {
    let mut last = String::new();
    loop {
        sleep(LOOK).await;
        let bound = bind(address, &mut Inherited::default());
        let watched = bound.and_then(|(listener, bound)| {
            listener.set_nonblocking(true)?;
            let second = listener.try_clone()?.into();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            Ok((listener, (Role::Admin(bound), second)))
        });
        match watched {
            Ok((listener, second)) => {
                say!(ADMIN_FOUND, address = %address);
                if let Some(to_hand_over) = to_hand_over {
                    to_hand_over.add(vec![second]);
                }
                return listener;
            }
            Err(reason) => {
                let reason = reason.to_string();
                if reason != last {
                    say!(ADMIN_UNUSABLE, address = %address, reason = reason);
                }
                last = reason;
            }
        }
    }
}

#[cfg(test)]
mod tests;
