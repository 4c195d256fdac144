//! A DNS-over-TLS server on loopback that does with each query what a script says, and records what it received.
//!
//! One thread serves all connections of a server in a poll loop. By default, the script sends the right response to each
//! query; what is right is up to the server's [`Answer`]. Tests let the script delay, change or withhold responses and end
//! connections. `dotgate demo` uses the same server with a zone, and with [`Limits`]. RFC 7858, RFC 7766.

mod channel;
mod connection;
mod credentials;
mod forms;
mod query;
mod script;
mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::Waker;
use thiserror::Error;

use self::server::Server;
use crate::certificates::CertificateError;

pub use self::credentials::{Certificate, Credentials};
pub use self::forms::{Answer, address_of, answer_with_address};
pub use self::query::ReceivedQuery;
pub use self::script::{End, Form, Limits, Opening, Script, Step};

/// How long a command may take. Only a thread that has ended does not reach it.
const COMMAND_MAX: Duration = Duration::from_secs(30);

/// Why a server cannot start or continue.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// A name is invalid, or there is no randomness.
    #[error("no certificate can be made: {0}")]
    Certificate(#[from] CertificateError),
    /// rustls does not accept the configuration.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// There is no socket or thread.
    #[error("no socket or thread on loopback: {0}")]
    Io(#[from] io::Error),
    /// The thread of the server has ended.
    #[error("the thread of the server has ended")]
    Ended,
}

/// What a server received.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// Connections accepted, those beyond the limit not included.
    pub connections: u64,
    /// Handshakes with a certificate.
    pub full_handshakes: u64,
    /// Handshakes that resumed an earlier session.
    pub resumed_handshakes: u64,
    /// Handshakes that failed.
    pub failed_handshakes: u64,
    /// Connections that ended.
    pub ended: u64,
    /// Message IDs that were used again on a connection before the response.
    pub reused_ids: u64,
    /// Messages that are no queries with one question.
    pub invalid: u64,
    /// Messages received, those that are not recorded included.
    pub received: usize,
    /// The queries, each with the number of its connection, from 1.
    pub queries: Vec<(u64, ReceivedQuery)>,
    /// The first byte of each connection on which there was one.
    pub first_bytes: Vec<u8>,
}

/// What the owner of a server has it do.
#[derive(Debug)]
enum Command {
    EndAll(End),
    FreezeAll,
    ReleaseAll,
    Listen,
    StopListening,
    Quit,
}

/// A command, and the channel for its outcome.
type Ordered = (Command, SyncSender<io::Result<()>>);

/// What the thread of a server and its owner share.
#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    record: Mutex<Record>,
    changed: Condvar,
}

/// A test that panics while it has a lock must not make the thread of the server panic as well.
impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A scripted server. It ends when it is dropped: its connections are closed, and its port is free.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    commands: Sender<Ordered>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Starts a server that listens. If the port is 0, the system selects one.
    ///
    /// # Errors
    /// [`UpstreamError::Io`] if the address cannot be bound, or there is no thread.
    pub fn start(address: SocketAddr, script: Script) -> Result<Self, UpstreamError> {
        Self::start_with(address, script, true)
    }

    /// Starts a server that does not listen yet, so that connections to it are refused. If the port is 0, the system
    /// selects one that is free now.
    ///
    /// # Errors
    /// [`UpstreamError::Io`] if the address cannot be bound, or there is no thread.
    pub fn start_refusing(address: SocketAddr, script: Script) -> Result<Self, UpstreamError> {
        let address = match address.port() {
            0 => TcpListener::bind(address)?.local_addr()?,
            _ => address,
        };
        Self::start_with(address, script, false)
    }

    fn start_with(
        address: SocketAddr,
        script: Script,
        listens: bool,
    ) -> Result<Self, UpstreamError> {
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            record: Mutex::default(),
            changed: Condvar::new(),
        });
        let (commands, ordered) = channel();
        let (mut server, waker) = Server::new(address, Arc::clone(&shared), ordered)?;
        if listens {
            server.listen()?;
        }
        let address = server.address();
        let thread = thread::Builder::new()
            .name("testbed-upstream".to_owned())
            .spawn(|| server.run())?;
        Ok(Self {
            address,
            shared,
            commands,
            waker,
            thread: Some(thread),
        })
    }

    /// The address and port at which it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the script. Queries that were received before continue with their steps.
    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.shared.script());
    }

    /// What it has received so far. The server waits while this is borrowed.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.shared.record()
    }

    /// Waits until a condition is met, at most for `bound`. Returns whether it is met.
    pub fn wait_until(&self, bound: Duration, is_met: impl Fn(&Record) -> bool) -> bool {
        let record = self.record();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(record, bound, |record| !is_met(record));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Accepts connections from now on.
    ///
    /// # Errors
    /// [`UpstreamError::Io`] if the port is not free, [`UpstreamError::Ended`].
    pub fn listen(&self) -> Result<(), UpstreamError> {
        self.send(Command::Listen)
    }

    /// Ends all open connections.
    ///
    /// # Errors
    /// [`UpstreamError::Ended`].
    pub fn end_all(&self, end: End) -> Result<(), UpstreamError> {
        self.send(Command::EndAll(end))
    }

    /// Reads and writes nothing more on the connections that are open now.
    ///
    /// # Errors
    /// [`UpstreamError::Ended`].
    pub fn freeze_all(&self) -> Result<(), UpstreamError> {
        self.send(Command::FreezeAll)
    }

    /// Continues with the queries that [`Step::Hold`] withholds.
    ///
    /// # Errors
    /// [`UpstreamError::Ended`].
    pub fn release_all(&self) -> Result<(), UpstreamError> {
        self.send(Command::ReleaseAll)
    }

    /// Resets all connections and refuses new ones, like a process that is killed.
    ///
    /// # Errors
    /// [`UpstreamError::Ended`].
    pub fn kill(&self) -> Result<(), UpstreamError> {
        self.send(Command::StopListening)?;
        self.send(Command::EndAll(End::Reset))
    }

    /// Ends the thread. Returns whether it ended without a panic.
    pub fn stop(&mut self) -> bool {
        let Some(thread) = self.thread.take() else {
            return true;
        };
        // A thread that has ended takes no command.
        drop(self.send(Command::Quit));
        thread.join().is_ok()
    }

    fn send(&self, command: Command) -> Result<(), UpstreamError> {
        let (done, outcome) = sync_channel(1);
        let sent = self.commands.send((command, done));
        sent.map_err(|_| UpstreamError::Ended)?;
        self.waker.wake()?;
        match outcome.recv_timeout(COMMAND_MAX) {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(UpstreamError::Ended),
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
    }
}
