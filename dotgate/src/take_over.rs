//! Replacing the running process on one host: the new one gets its listening sockets and serves, then the old one
//! stops reading them and ends. The sockets themselves live on, so no packet in their queues is lost.
//!
//! Serves `serve`: `predecessor` is the new process's side, `succession` the old one's. They talk in lines
//! over a Unix socket; the new one begins:
//!
//! ```text
//! new: dotgate take-over 1
//! old: udp 192.0.2.1:53           one line for each socket, which travels with it
//! old: tcp 192.0.2.1:53
//! old: admin-socket               the Unix socket of the admin endpoint, if it has one
//! old: take-over                  the Unix socket itself
//! old: watchdog 30000000          interval of the service manager's watchdog in microseconds, if there is one
//! old: credentials /run/credentials/dotgate.service     the folder of the secrets that the service manager gave it, if any
//! old: credential admin-token     one line for each file in it, which travels with it
//! old: cookie-secret 00112233445566778899aabbccddeeff         with which it makes cookies for clients
//! old: end
//! new: keeps 192.0.2.1:53         one line for each address it continues to serve
//! new: serving                    its workers read the sockets, as those of the old one do
//! old: yours                      it has written its cache into the snapshot, and stops reading them
//! ```
//!
//! Each line of the old process up to `end` travels with a descriptor, so that a new process can pass over lines that
//! it does not know; those of `watchdog`, `credentials` and `cookie-secret` have no meaning.
//!
//! Until `serving` the old process continues unchanged, even if the new one fails. In place of a
//! line it may say why not: `busy`, `refused`, `unknown`, `late`. Nothing here touches a query.

mod predecessor;
mod routes;
mod succession;
mod trust;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;

pub use self::predecessor::{Inherited, Predecessor};
pub use self::succession::{Handover, Legacy, Successor, Successors};
pub use self::trust::FolderFault;
pub(crate) use self::trust::{folder_fault, is_trusted, remove_socket};

/// The new process's first line. Another number is another language.
const GREETING: &str = "dotgate take-over 1";

/// Before the time that the service manager's watchdog waits, which it tells only the process that it starts itself.
const WATCHDOG: &str = "watchdog ";

/// Before the folder of credentials, which the service manager shows only to a process that it starts itself.
const CREDENTIALS: &str = "credentials ";

/// Before the name of a file in that folder.
const CREDENTIAL: &str = "credential ";

/// Before the secret that cookies of clients are made with.
const COOKIE_SECRET: &str = "cookie-secret ";

/// Before the routes of one owner: owner, when they expire, and the routes.
const ROUTES: &str = "routes ";

/// How long one side waits for the other.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Bytes of a line, of which the longest has the routes of an owner.
const LINE_MAX: usize = 8192;

/// Why a process could not take over from the running one, or let itself be replaced.
#[derive(Debug, Error)]
pub enum TakeOverError {
    /// The system refused the connection.
    #[error(
        "connect to the running dotgate at {path}: {source}\n  It serves its own user and root there: start as \
         that user, or as root."
    )]
    Connect {
        /// The Unix socket.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Others may put a socket at the path.
    #[error(
        "DOTGATE_SERVER_TAKE_OVER_SOCKET: {path}: {fault}\n  Whoever can put a socket there could answer the clients of \
         this process. Use a folder of this user's that nobody else may write to, such as systemd's RuntimeDirectory."
    )]
    Folder {
        /// The Unix socket.
        path: PathBuf,
        /// What is wrong with its folder.
        fault: FolderFault,
    },
    /// The process at the path is of another user.
    #[error(
        "the process that listens at {path} belongs to user {user}\n  Sockets are taken over from a process of this \
         user or of root only: start as user {user}, or stop that process."
    )]
    Stranger {
        /// The Unix socket.
        path: PathBuf,
        /// Whose process it is.
        user: u32,
    },
    /// A socket that was handed over is not what was said of it.
    #[error(
        "the process at {path} handed over a socket that is not \"{role}\"; stop it, then start this one"
    )]
    WrongSocket {
        /// The Unix socket.
        path: PathBuf,
        /// What was said of it.
        role: Role,
    },
    /// The running process said no, or nothing.
    #[error("take over from the running dotgate at {path}: {answer}")]
    Answered {
        /// The Unix socket.
        path: PathBuf,
        /// What it said.
        answer: Refusal,
    },
    /// The running process listens elsewhere: it is no predecessor but a neighbour.
    #[error(
        "the dotgate at {path} listens on none of the addresses of this one and keeps running\n  Give each its own \
         DOTGATE_SERVER_TAKE_OVER_SOCKET, or stop that one first."
    )]
    Neighbour {
        /// The Unix socket.
        path: PathBuf,
    },
    /// There is no process to replace.
    #[error(
        "no dotgate listens at {path}, so there is none to replace\n  Start one, with `dotgate` or `systemctl start \
         dotgate`. If one is running, it has another DOTGATE_SERVER_TAKE_OVER_SOCKET."
    )]
    Nobody {
        /// The Unix socket.
        path: PathBuf,
    },
    /// The Unix socket could not be made.
    #[error(
        "listen on {path}: {source}\n  DOTGATE_SERVER_TAKE_OVER_SOCKET must be in a folder that exists and that \
         this user may write to, such as systemd's RuntimeDirectory."
    )]
    Listen {
        /// The Unix socket.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// Why the running process does not hand over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Another new process is in the middle of it.
    Busy,
    /// The new process belongs to another user.
    Refused,
    /// It does not know this greeting.
    Unknown,
    /// The new process took too long.
    Late,
    /// It sent an unknown line, or nothing in time.
    NoResponse,
}

impl Refusal {
    const ALL: [Refusal; 5] = [
        Refusal::Busy,
        Refusal::Refused,
        Refusal::Unknown,
        Refusal::Late,
        Refusal::NoResponse,
    ];

    /// The line that says so; empty for what is never said.
    fn line(self) -> &'static str {
        match self {
            Refusal::Busy => "busy",
            Refusal::Refused => "refused",
            Refusal::Unknown => "unknown",
            Refusal::Late => "late",
            Refusal::NoResponse => "",
        }
    }

    fn of_line(line: &str) -> Refusal {
        let said = Refusal::ALL.into_iter().find(|it| it.line() == line);
        said.unwrap_or(Refusal::NoResponse)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Busy => "another process is taking over from it at this moment; try again when that one serves",
            Refusal::Refused => "it belongs to another user; start as that user, or as root",
            Refusal::Unknown => "it speaks another version of the take-over; stop it, then start this one",
            Refusal::Late => "this process took too long to serve; the other one keeps running",
            Refusal::NoResponse => "it does not answer as dotgate does; stop it, then start this one",
        })
    }
}

/// What a socket that is handed over is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Queries over UDP to this address.
    Udp(SocketAddr),
    /// Connections of clients to this address.
    Tcp(SocketAddr),
    /// Requests to the admin endpoint at this address.
    Admin(SocketAddr),
    /// Requests to the admin endpoint at its Unix socket.
    AdminSocket,
    /// The next process that takes over.
    TakeOver,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Udp(address) => write!(f, "udp {address}"),
            Role::Tcp(address) => write!(f, "tcp {address}"),
            Role::Admin(address) => write!(f, "admin {address}"),
            Role::AdminSocket => f.write_str("admin-socket"),
            Role::TakeOver => f.write_str("take-over"),
        }
    }
}

/// The sockets for the process that replaces this one. Some are added while this process runs.
#[derive(Clone, Debug, Default)]
pub struct ToHandOver(Arc<Mutex<Vec<HandedOver>>>);

/// A socket to hand over.
type HandedOver = (Role, Arc<OwnedFd>);

impl ToHandOver {
    /// Begins with these.
    pub fn new(sockets: Vec<(Role, OwnedFd)>) -> ToHandOver {
        let all = ToHandOver::default();
        all.add(sockets);
        all
    }

    /// Adds some.
    pub fn add(&self, sockets: Vec<(Role, OwnedFd)>) {
        let shared = sockets
            .into_iter()
            .map(|(role, descriptor)| (role, Arc::new(descriptor)));
        self.locked().extend(shared);
    }

    /// Those that there are now.
    fn all(&self) -> Vec<HandedOver> {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<HandedOver>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line is of no known role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRole;

impl FromStr for Role {
    type Err = NoRole;

    fn from_str(line: &str) -> Result<Role, NoRole> {
        let address = |text: &str| text.parse().map_err(|_| NoRole);
        match line.split_once(' ') {
            Some(("udp", text)) => address(text).map(Role::Udp),
            Some(("tcp", text)) => address(text).map(Role::Tcp),
            Some(("admin", text)) => address(text).map(Role::Admin),
            None if line == "take-over" => Ok(Role::TakeOver),
            None if line == "admin-socket" => Ok(Role::AdminSocket),
            Some(_) | None => Err(NoRole),
        }
    }
}

/// Takes the first whole line out of what was received; `InvalidData` for one that is too long or no text.
fn next_line(received: &mut Vec<u8>) -> io::Result<Option<String>> {
    let Some(length) = received.iter().position(|byte| *byte == b'\n') else {
        return if received.len() > LINE_MAX {
            Err(io::ErrorKind::InvalidData.into())
        } else {
            Ok(None)
        };
    };
    let line = received.drain(..=length).take(length).collect();
    String::from_utf8(line)
        .map(Some)
        .map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests;
