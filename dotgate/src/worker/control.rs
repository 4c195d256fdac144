//! The setup of a worker, its commands and its events: its side towards the control thread.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dotgate_core::{
    Count, Counters, LogDetail, Settings, Shared, StreamKind, UpstreamId, WorkerId,
};
use dotgate_net::UdpSocket;
use dotgate_tls::ServerTls;

use super::mailbox::Message;
use super::pulse::Heartbeat;
use crate::upstreams::Upstreams;
use crate::views::{RecordSender, TapSender};

/// What the control thread asks of a worker.
#[derive(Clone, Debug)]
pub enum WorkerCommand {
    /// Note the time of every packet from now on.
    Drain,
    /// The same, and take no more from the sockets of these addresses, which another process reads.
    HandOver(Arc<[SocketAddr]>),
    /// Take no more queries, finish those in flight, close everything, end.
    Finish,
    /// Serve these sockets, too.
    Listen(Arc<LateSockets>),
    /// Open a session to this upstream, if there is none.
    OpenFirstSession(UpstreamId),
    /// Find out whether this upstream answers.
    Probe(UpstreamId),
    /// Test all sessions: the network changed.
    Recheck,
    /// Switch to other settings.
    Reconfigure(Arc<Reconfiguration>),
    /// Fail as a bug would.
    #[cfg(test)]
    Panic,
    /// Block until `STANDING` is free.
    #[cfg(test)]
    StandStill,
}

/// Other settings, for all workers.
#[derive(Debug)]
pub struct Reconfiguration {
    /// The engine's settings.
    pub settings: Arc<Settings>,
    /// The upstreams that they name.
    pub upstreams: Upstreams,
    /// TLS for clients that connect from now on; none if it stays.
    pub tls: Option<ServerTls>,
}

/// A worker's sockets of an address that was not there at the start.
#[derive(Debug)]
pub struct LateSockets {
    /// For datagrams, where there are any.
    pub udp: Option<Arc<UdpSocket>>,
    /// For connections; the worker takes it out.
    pub streams: Mutex<Option<StreamListener>>,
    /// For datagrams of QUIC.
    pub quic: Option<Arc<UdpSocket>>,
}

/// A listening socket, with what its clients speak.
#[derive(Debug)]
pub struct StreamListener {
    /// What they speak.
    pub kind: StreamKind,
    /// The socket.
    pub socket: TcpListener,
}

/// Held by a test that wants a worker to be stuck.
#[cfg(test)]
pub(crate) static STANDING: Mutex<()> = Mutex::new(());

/// What a worker reports to the control thread, which logs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WorkerEvent {
    /// The engine saw something rare.
    Event(dotgate_core::Event),
    /// A session became open.
    SessionOpened(SessionOpened),
    /// A session failed, in the words of its TLS or of the system.
    SessionFailed {
        /// The upstream.
        upstream: UpstreamId,
        /// What happened.
        reason: String,
    },
    /// None of the pins whose mismatch is to be reported matched.
    PinMismatch {
        /// The upstream.
        upstream: UpstreamId,
        /// The pin of its key.
        pin: [u8; 32],
    },
    /// No file descriptor was left for a client's connection.
    AcceptPaused,
    /// The system accepts no connections, in its words. Said once for each reason.
    AcceptRefused {
        /// What happened.
        reason: String,
    },
    /// The system gives no datagrams, in its words. Said once.
    ReceiveRefused {
        /// What happened.
        reason: String,
    },
    /// Sockets of an address that was not there at the start cannot be watched, in the system's words.
    NotListening {
        /// What happened.
        reason: String,
    },
    /// A bug: worker panicked and was restarted, and what was in flight got SERVFAIL.
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The poll loop failed.
    Broken {
        /// The system's words.
        reason: String,
    },
}

/// A session that became open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionOpened {
    /// The upstream.
    pub upstream: UpstreamId,
    /// The TLS version.
    pub tls: &'static str,
    /// The key exchange's group.
    pub key_exchange: Option<String>,
    /// Whether it resumed an earlier one.
    pub resumed: bool,
    /// How long connection and handshake took.
    pub time: Duration,
}

/// Takes the reports of all workers; a full one drops them, counted.
pub type WorkerEvents = tokio::sync::mpsc::Sender<(WorkerId, WorkerEvent)>;

/// What a worker is made of.
pub struct WorkerSetup {
    /// Its number, for reports.
    pub id: WorkerId,
    /// The engine's settings.
    pub settings: Arc<Settings>,
    /// What all workers share of the path of a query.
    pub shared: Shared,
    /// The upstreams' addresses and TLS, shared with all workers.
    pub upstreams: Upstreams,
    /// Its own counters.
    pub counters: Arc<Counters>,
    /// Where it shows that it turns.
    pub pulse: Arc<Heartbeat>,
    /// Its UDP sockets.
    pub udp: Vec<Arc<UdpSocket>>,
    /// Its listeners for connections.
    pub streams: Vec<StreamListener>,
    /// Its UDP sockets for QUIC.
    pub quic: Vec<Arc<UdpSocket>>,
    /// TLS for clients, if any speak it.
    pub tls: Option<ServerTls>,
    /// How datagrams are read and written.
    pub udp_path: dotgate_net::UdpPath,
    /// Where orders come from.
    pub commands: Receiver<WorkerCommand>,
    /// Where other workers' flight messages come from.
    pub messages: Receiver<Message>,
    /// Where the records of queries go.
    pub records: RecordSender,
    /// Where copies of messages go.
    pub copies: TapSender,
    /// Where reports go.
    pub reports: WorkerEvents,
    /// When any worker last received a packet, in nanoseconds of the boot-time clock; kept while draining.
    pub last_packet: Arc<AtomicU64>,
}

/// The way to the log.
pub(super) struct ReportSender {
    pub(super) id: WorkerId,
    pub(super) reports: WorkerEvents,
    pub(super) counters: Arc<Counters>,
}

impl ReportSender {
    /// What is of use at `debug` and `trace` alone leaves half of the room to what an operator must not miss.
    pub(super) fn send(&self, report: WorkerEvent) {
        let is_detail =
            matches!(&report, WorkerEvent::Event(event) if event.detail() > LogDetail::Usual);
        let is_half_full = self.reports.capacity() < self.reports.max_capacity() / 2;
        if is_detail && is_half_full || self.reports.try_send((self.id, report)).is_err() {
            self.counters.add(Count::EventsDropped);
        }
    }
}
