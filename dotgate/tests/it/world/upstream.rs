//! A DNS-over-TLS upstream that does what a test's script says, and records what reached it.
//!
//! One thread per upstream serves all its connections from a poll loop; each upstream has a loopback address of
//! its own, so that it can stop listening and begin again on its port.

mod connection;
mod credentials;
mod script;
mod server;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use dotgate_testbed::certificates::TestAuthority;
use mio::Waker;

pub(crate) use self::credentials::{Certificate, Credentials};
pub(crate) use self::script::{End, Form, Opening, Script, Step};
use self::server::Server;
use super::message::Question;
use super::wait::BOUND;

/// The authentication domain name of all scripted upstreams.
pub(crate) const AUTHENTICATION_NAME: &str = "upstream.test";

/// What reached an upstream.
#[derive(Default)]
pub(crate) struct Record {
    /// Connections accepted.
    pub(crate) connections: u64,
    /// Handshakes in which the certificate was shown.
    pub(crate) full_handshakes: u64,
    /// Handshakes that resumed an earlier session.
    pub(crate) resumed_handshakes: u64,
    /// Handshakes that the forwarder or TLS ended.
    pub(crate) failed_handshakes: u64,
    /// Connections that ended, however.
    pub(crate) ended: u64,
    /// Message IDs that were used again on a connection before their answer.
    pub(crate) reused_ids: u64,
    /// The queries, each with the number of its connection, from 1.
    pub(crate) queries: Vec<(u64, Question)>,
    /// The first byte of each connection on which one came.
    pub(crate) first_bytes: Vec<u8>,
}

/// What a test tells an upstream.
enum Command {
    EndAll(End),
    FreezeAll,
    ReleaseAll,
    Listen,
    StopListening,
    Quit,
}

/// What an upstream's thread and its test share.
struct Shared {
    script: Mutex<Script>,
    record: Mutex<Record>,
    changed: Condvar,
}

/// A test that fails with a lock in its hands must not fail the end of its world as well.
impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A scripted upstream; it ends when it is dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    commands: Sender<(Command, SyncSender<()>)>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Starts one that answers rightly, with a certificate of this authority.
    pub(crate) fn start(authority: &TestAuthority) -> Upstream {
        let upstream = Upstream::start_deaf(authority);
        upstream.listen();
        upstream
    }

    /// The same with addresses of their own and one port, as a reload may add them to those of a start.
    pub(crate) fn start_at_one_port(count: usize, authority: &TestAuthority) -> Vec<Upstream> {
        let mut upstreams = vec![Upstream::start(authority)];
        while upstreams.len() < count {
            let address = (own_address(), upstreams[0].port()).into();
            let upstream = Upstream::start_deaf_on(address, authority);
            upstream.listen();
            upstreams.push(upstream);
        }
        upstreams
    }

    /// Starts one that does not listen yet: connections to it are refused.
    pub(crate) fn start_deaf(authority: &TestAuthority) -> Upstream {
        Upstream::start_deaf_at(own_address().into(), authority)
    }

    /// The same at an address that nobody else uses, on a port of the kernel's choice.
    pub(crate) fn start_deaf_at(ip: IpAddr, authority: &TestAuthority) -> Upstream {
        let address = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
        Upstream::start_deaf_on(address, authority)
    }

    /// The same at an address and a port that nobody else uses.
    pub(crate) fn start_deaf_on(address: SocketAddr, authority: &TestAuthority) -> Upstream {
        let credentials = Credentials::default();
        let shared = Arc::new(Shared {
            script: Mutex::new(Script::new(credentials.server_config(authority))),
            record: Mutex::default(),
            changed: Condvar::new(),
        });
        let (commands, orders) = channel();
        let (server, waker) = Server::new(address, Arc::clone(&shared), orders);
        let thread = std::thread::spawn(|| server.run());
        Upstream {
            address,
            shared,
            commands,
            waker,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it is written in `DNS_HOST`.
    pub(crate) fn written(&self) -> String {
        let (ip, port) = (self.address.ip(), self.address.port());
        match ip {
            IpAddr::V4(ip) => format!("{ip}@{port}#{AUTHENTICATION_NAME}"),
            IpAddr::V6(ip) => format!("[{ip}]@{port}#{AUTHENTICATION_NAME}"),
        }
    }

    /// The address it listens on.
    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes what it does from now on.
    pub(crate) fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.shared.script());
    }

    /// Shows another certificate to connections that open from now on.
    pub(crate) fn show(&self, credentials: &Credentials, authority: &TestAuthority) {
        let config = credentials.server_config(authority);
        self.script(|script| script.tls = config);
    }

    /// Looks at what reached it.
    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.shared.record()
    }

    /// How many queries reached it.
    pub(crate) fn queries(&self) -> usize {
        self.record().queries.len()
    }

    /// How many connections reached it.
    pub(crate) fn connections(&self) -> u64 {
        self.record().connections
    }

    /// How often a name was asked for.
    pub(crate) fn queries_for(&self, name: &str) -> usize {
        let record = self.record();
        record
            .queries
            .iter()
            .filter(|(_, question)| question.name == name)
            .count()
    }

    /// Waits until what reached it is as expected.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is_met: impl Fn(&Record) -> bool) {
        let record = self.record();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(record, BOUND, |record| !is_met(record));
        assert!(
            !waited.unwrap().1.timed_out(),
            "timed out waiting for {what}: {}",
            self.describe()
        );
    }

    /// Waits until this many queries reached it.
    #[track_caller]
    pub(crate) fn wait_for_queries(&self, count: usize) {
        self.wait_until("queries", |record| record.queries.len() >= count);
    }

    /// Ends all open connections in one way.
    pub(crate) fn end_all(&self, end: End) {
        self.send(Command::EndAll(end));
    }

    /// Reads and writes nothing more on the connections that are open now.
    pub(crate) fn freeze_all(&self) {
        self.send(Command::FreezeAll);
    }

    /// Continues with every query that is withheld.
    pub(crate) fn release_all(&self) {
        self.send(Command::ReleaseAll);
    }

    /// Takes connections from now on.
    pub(crate) fn listen(&self) {
        self.send(Command::Listen);
    }

    /// Dies, as a process does: connections are reset, new ones refused.
    pub(crate) fn kill(&self) {
        self.send(Command::StopListening);
        self.send(Command::EndAll(End::Reset));
    }

    /// One line about what reached it.
    pub(crate) fn describe(&self) -> String {
        let record = self.record();
        format!(
            "{} connections, {}+{} handshakes ({} failed), {} ended, {} queries",
            record.connections,
            record.full_handshakes,
            record.resumed_handshakes,
            record.failed_handshakes,
            record.ended,
            record.queries.len()
        )
    }

    fn send(&self, command: Command) {
        let (done, wait) = sync_channel(1);
        self.commands.send((command, done)).unwrap();
        self.waker.wake().unwrap();
        wait.recv_timeout(BOUND)
            .expect("the upstream's thread has ended");
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let (done, _) = sync_channel(1);
        if self.commands.send((Command::Quit, done)).is_ok() && self.waker.wake().is_ok() {
            let ended = self.thread.take().map(JoinHandle::join);
            if !std::thread::panicking() {
                assert!(
                    !matches!(ended, Some(Err(_))),
                    "the upstream's thread failed"
                );
            }
        }
    }
}

/// A loopback address that no other upstream of this process has.
pub(crate) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 77, 0, 0)) + number)
}
