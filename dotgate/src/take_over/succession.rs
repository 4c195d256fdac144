//! The running process's side: listens for the one that replaces it and hands its sockets over.
//!
//! A task of the control thread. It serves one new process at a time, of the same user or of root; until that one
//! says `serving`, nothing changes for anybody.

use std::fmt::Display;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::log::message::say;
use dotgate_net::descriptors;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};

use crate::cookies::{Cookies, to_hex};
use crate::credentials::Credentials;
use crate::learned::StateFile;
use crate::running::Running;
use crate::snapshot::Snapshot;

use super::routes::to_line;
use super::trust::{is_trusted, remove_socket};
use super::{
    COOKIE_SECRET, CREDENTIAL, CREDENTIALS, GREETING, Inherited, ROUTES, Refusal, Role,
    TakeOverError, ToHandOver, WAIT_MAX, WATCHDOG, next_line,
};

/// Addresses that a new process may keep: as many as it may listen on.
const KEPT_MAX: usize = 64;

/// The pause after the system refused a connection.
const PAUSE: Duration = Duration::from_millis(250);

/// The Unix socket for the next process, on which no connection is accepted yet.
#[derive(Debug)]
pub struct Handover {
    listener: StdListener,
    file: SocketFile,
}

/// Who replaces this process: at most one, once.
#[derive(Debug)]
pub struct Successors {
    task: JoinHandle<()>,
    serving: mpsc::Receiver<Successor>,
    file: SocketFile,
}

/// The process that serves from now on.
#[derive(Clone, Debug)]
pub struct Successor {
    process: Option<i32>,
    addresses: Arc<[SocketAddr]>,
}

/// What the next process gets from this one.
#[derive(Debug)]
pub struct Legacy {
    /// The listening sockets.
    pub sockets: ToHandOver,
    /// How long the service manager's watchdog waits.
    pub watchdog: Option<Duration>,
    /// Secrets that the service manager gave this process.
    pub credentials: Credentials,
    /// The secrets of cookies.
    pub cookies: Cookies,
    /// What has the routes that programs have set.
    pub running: Arc<Running>,
    /// What is saved for the next process.
    pub snapshot: Option<Snapshot>,
    /// What is learned about upstreams, which is saved before the next process reads it.
    pub state_file: Option<StateFile>,
}

/// The socket's place among the files. It is removed with its last owner.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    is_own: bool,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_own {
            // Somebody may have removed it, or put something else there, which stays.
            drop(remove_socket(&self.path));
        }
    }
}

impl Handover {
    /// Listens at `path`, or takes the listener of the process before this one, whose own it remains until
    /// [`Handover::serve`]. A socket of this user that a process which was killed left there is removed.
    ///
    /// # Errors
    /// [`TakeOverError::Listen`].
    pub fn bind(path: &Path, inherited: &mut Inherited) -> Result<Handover, TakeOverError> {
        let inherited = inherited.take(Role::TakeOver).pop();
        let is_own = inherited.is_none();
        let listener = inherited.map_or_else(|| bind(path), |it| Ok(StdListener::from(it)));
        let listener = listener
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|source| TakeOverError::Listen {
                path: path.to_owned(),
                source,
            })?;
        let file = SocketFile {
            path: path.to_owned(),
            is_own,
        };
        Ok(Handover { listener, file })
    }

    /// Passes `legacy` to the process that replaces this one, from now on. Call it inside a runtime.
    ///
    /// # Errors
    /// The system's: the runtime cannot watch the socket.
    pub fn serve(self, legacy: Legacy) -> io::Result<Successors> {
        let Handover { listener, mut file } = self;
        let listener = UnixListener::from_std(listener)?;
        file.is_own = true;
        let (reported, serving) = mpsc::channel(1);
        Ok(Successors {
            task: tokio::spawn(serve(listener, legacy, reported)),
            serving,
            file,
        })
    }
}

impl Successors {
    /// Waits for the process that replaces this one. It serves already and believes to be alone.
    pub async fn next(&mut self) -> Successor {
        match self.serving.recv().await {
            Some(successor) => {
                self.file.is_own = false;
                successor
            }
            None => std::future::pending().await,
        }
    }
}

impl Drop for Successors {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Successor {
    /// Its process ID, where the system tells.
    pub fn process(&self) -> Option<i32> {
        self.process
    }

    /// The addresses it serves.
    pub fn addresses(&self) -> &Arc<[SocketAddr]> {
        &self.addresses
    }
}

fn bind(path: &Path) -> io::Result<StdListener> {
    remove_socket(path)?;
    let listener = StdListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Hands over to one process after the other, until one of them serves.
async fn serve(listener: UnixListener, legacy: Legacy, reported: mpsc::Sender<Successor>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                say!(TAKEOVER_UNHEARD, reason = %error);
                sleep(PAUSE).await;
                continue;
            }
        };
        let process = match admit(&stream) {
            Ok(process) => process,
            Err(refusal) => {
                say!(TAKEOVER_DENIED);
                refuse(&stream, refusal).await;
                continue;
            }
        };
        say!(TAKEOVER_BEGUN, process = process);
        let mut hand_over = pin!(leave_to(&stream, &legacy, &listener));
        let outcome = loop {
            tokio::select! {
                outcome = &mut hand_over => break outcome,
                other = listener.accept() => if let Ok((other, _)) = other {
                    refuse(&other, Refusal::Busy).await;
                },
            }
        };
        if !matches!(outcome, Ok(Ok(_))) {
            legacy.running.handover().cancel();
        }
        match outcome {
            Ok(Ok(addresses)) => {
                // Without a control thread this process ends anyway.
                drop(reported.send(Successor { process, addresses }).await);
                return;
            }
            Ok(Err(error)) => {
                say!(TAKEOVER_FAILED, reason = %error);
            }
            Err(_) => {
                say!(TAKEOVER_LATE);
                refuse(&stream, Refusal::Late).await;
            }
        }
    }
}

/// The process at the other end, if it may ask: the same user's, or root's.
fn admit(stream: &UnixStream) -> Result<Option<i32>, Refusal> {
    let peer = stream.peer_cred().map_err(|_| Refusal::Refused)?;
    if is_trusted(peer.uid()) {
        Ok(peer.pid())
    } else {
        Err(Refusal::Refused)
    }
}

/// Hands over, and once the new process serves, leaves to it the cache and then the clients: until it has that word
/// both serve.
async fn leave_to(
    stream: &UnixStream,
    legacy: &Legacy,
    listener: &UnixListener,
) -> Result<io::Result<Arc<[SocketAddr]>>, Elapsed> {
    let addresses = match timeout(WAIT_MAX, hand_over(stream, legacy, listener)).await? {
        Ok(addresses) => addresses,
        Err(error) => return Ok(Err(error)),
    };
    if let Some(snapshot) = &legacy.snapshot {
        // Bounded by less than the other one's timeout.
        snapshot.save().await;
    }
    // A process that has ended since cannot be notified, and then it is none that serves.
    let said = timeout(WAIT_MAX, say(stream, "yours")).await?;
    Ok(said.map(|()| addresses))
}

/// Hands the sockets over; returns when the new process serves these addresses.
async fn hand_over(
    stream: &UnixStream,
    legacy: &Legacy,
    listener: &UnixListener,
) -> io::Result<Arc<[SocketAddr]>> {
    let mut received = Vec::new();
    if hear(stream, &mut received).await? != GREETING {
        refuse(stream, Refusal::Unknown).await;
        return Err(io::ErrorKind::InvalidData.into());
    }
    legacy.running.handover().begin();
    if let Some(file) = &legacy.state_file {
        file.save().await;
    }
    for (role, descriptor) in legacy.sockets.all() {
        send(stream, &role, &descriptor).await?;
    }
    let own = listener.as_fd().try_clone_to_owned()?;
    send(stream, &Role::TakeOver, &own).await?;
    if let Some(watchdog) = legacy.watchdog {
        let line = format!("{WATCHDOG}{}", watchdog.as_micros());
        send(stream, &line, &own).await?;
    }
    let line = format!("{COOKIE_SECRET}{}", to_hex(&legacy.cookies.active()));
    send(stream, &line, &own).await?;
    for owned in legacy.running.routes().all().iter() {
        send(stream, &format!("{ROUTES}{}", to_line(owned)), &own).await?;
    }
    match legacy.credentials.to_hand_over() {
        Ok(Some(credentials)) => {
            let line = format!("{CREDENTIALS}{}", credentials.folder().display());
            send(stream, &line, &own).await?;
            for (name, file) in credentials.files() {
                send(stream, &format!("{CREDENTIAL}{name}"), file).await?;
            }
        }
        Ok(None) => {}
        // The new process fails if it needs them.
        Err(error) => say!(CREDENTIALS_NOT_HANDED_OVER, reason = %error),
    }
    say(stream, "end").await?;
    let mut addresses = Vec::new();
    loop {
        let line = hear(stream, &mut received).await?;
        match line.strip_prefix("keeps ").map(str::parse) {
            Some(Ok(address)) if addresses.len() < KEPT_MAX => addresses.push(address),
            None if line == "serving" => return Ok(addresses.into()),
            Some(_) | None => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

async fn send(stream: &UnixStream, line: &impl Display, descriptor: &OwnedFd) -> io::Result<()> {
    let line = format!("{line}\n");
    stream
        .async_io(Interest::WRITABLE, || {
            descriptors::send(stream, line.as_bytes(), descriptor.as_fd())
        })
        .await
}

async fn say(stream: &UnixStream, line: &str) -> io::Result<()> {
    let line = format!("{line}\n");
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(length) => rest = rest.get(length..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn refuse(stream: &UnixStream, refusal: Refusal) {
    // A process that does not wait for the reason does not need it.
    drop(say(stream, refusal.line()).await);
}

async fn hear(stream: &UnixStream, received: &mut Vec<u8>) -> io::Result<String> {
    loop {
        if let Some(line) = next_line(received)? {
            return Ok(line);
        }
        stream.readable().await?;
        let mut buffer = [0; 512];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => received.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
