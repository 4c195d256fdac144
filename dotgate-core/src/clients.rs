//! Clients: their queries in, their responses out, and what each of them may have.
//!
//! It is at both ends of the path: stages `query` and `admit` on the way in, `respond` on the way out. It owns the
//! responses by UDP, the connections, the quotas and the log messages about limits, and has no access to the questions in
//! flight. `clients::receive` accepts messages, `clients::deliver` writes responses, `clients::streams` serves connections,
//! `clients::cookies` checks DNS cookies, `clients::limit_log` reports what was rejected, and `clients::records` makes the
//! records of single queries.

mod cookies;
mod deliver;
mod limit_log;
mod local;
mod proxied;
mod rates;
mod receive;
mod records;
mod streams;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use dotgate_wire::{Query, ResponseCookie, write_shortened};

pub(crate) use self::deliver::{Failed, Relayed};
use self::limit_log::LimitLog;
pub(crate) use self::local::Local;
pub use self::proxied::StreamHeader;
use crate::admit::{ClientId, MalformedClients, Quotas, Rates};
use crate::cookies::WallClock;
use crate::counters::Count;
use crate::counters::labels::{ClientTransport, Limit};
use crate::exchange::{Client, Waiter};
use crate::keys::{StreamKey, WorkerId};
use crate::memory::ClientMemory;
use crate::moment::{Moment, earlier};
use crate::outbox::{Action, Event, LogDetail, Outbox, OutgoingDatagram};
use crate::path_limits::PathLimits;
use crate::record::QueryRecord;
use crate::respond::{ClientParameters, Transport};
use crate::settings::Settings;
use crate::stream::Streams;
use crate::tally::Tally;
use crate::tap::Tap;

/// A client's query that may be asked.
pub(crate) struct Request<'m> {
    pub(crate) client: Client,
    pub(crate) peer: IpAddr,
    pub(crate) query: Query<'m>,
    pub(crate) parameters: ClientParameters,
    /// The local CNAME records that led it to another name, in the form that a cache stores.
    pub(crate) alias: Option<Arc<[u8]>>,
}

/// What became of a client's message that goes no further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Handled {
    /// It was answered, or waits.
    Answered,
    /// It was answered with FORMERR, NOTIMP or BADVERS.
    Rejected {
        /// Whether it ended before all that its header counts.
        is_cut_short: bool,
    },
    /// It deserves no response.
    Ignored,
    /// It has what its transport forbids: the connection is closed.
    Forbidden,
    /// Its client may not ask, and gets no response.
    Unwelcome,
}

/// The clients of one worker: their datagrams and connections, and the records of their queries.
///
/// A driver reports here what concerns clients alone. What may bring queries goes through [`Engine`](crate::Engine).
pub struct Clients {
    settings: Arc<Settings>,
    tally: Tally,
    worker: WorkerId,
    memory: Arc<ClientMemory>,
    quotas: Arc<Quotas>,
    malformed: Arc<MalformedClients>,
    rates: Arc<Rates>,
    wall_clock: Arc<WallClock>,
    /// The cookie for the response to the query that is taken, if that has one.
    cookie: Option<ResponseCookie>,
    /// Queries above a rate whose source may be forged, of which some get a response.
    shed: u32,
    streams: Streams,
    /// Of the settings: whether there are balancers that name their clients, or rates of queries.
    examines_datagrams: bool,
    /// The addresses of the driver's UDP sockets, by number.
    listeners: Vec<IpAddr>,
    /// What the links to clients carry.
    path_limits: PathLimits,
    outbox: Outbox,
    /// Room for shorter responses, empty but while these are made.
    shortened: Outbox,
    /// The answer that responses last waited for: others that wait for it share it.
    deferred: Weak<[u8]>,
    /// Connections with something to write.
    dirty: Vec<StreamKey>,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    limit_log: LimitLog,
    log_detail: LogDetail,
    /// Where messages are copied.
    tap: Tap,
    /// Whether somebody reads the records of queries.
    is_recording: bool,
    /// Those of this turn, and places for more.
    records: Vec<QueryRecord>,
    /// How many there are.
    recorded: usize,
    /// The local answer under way.
    local: Vec<u8>,
    /// Local answers served, which give addresses in another order each time.
    turn: u32,
}

impl Clients {
    pub(crate) fn new(
        worker: WorkerId,
        (settings, tally): (Arc<Settings>, Tally),
        memory: Arc<ClientMemory>,
        (quotas, malformed, rates): (Arc<Quotas>, Arc<MalformedClients>, Arc<Rates>),
        (wall_clock, keys): (Arc<WallClock>, (u64, u64)),
    ) -> Clients {
        Clients {
            tally,
            worker,
            quotas,
            malformed,
            rates,
            wall_clock,
            cookie: None,
            shed: 0,
            streams: Streams::new(&settings, keys, worker, Arc::clone(&memory)),
            examines_datagrams: examines_datagrams(&settings),
            listeners: Vec::new(),
            path_limits: PathLimits::default(),
            outbox: Outbox::default(),
            shortened: Outbox::default(),
            deferred: Weak::<[u8; 0]>::new(),
            dirty: Vec::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            limit_log: LimitLog::default(),
            log_detail: LogDetail::Usual,
            tap: Tap::default(),
            is_recording: false,
            records: Vec::new(),
            recorded: 0,
            local: Vec::new(),
            turn: 0,
            memory,
            settings,
        }
    }

    /// Uses other settings from now on.
    pub(crate) fn reconfigure(&mut self, settings: &Arc<Settings>) {
        self.streams.reconfigure(settings);
        self.examines_datagrams = examines_datagrams(settings);
        self.settings = Arc::clone(settings);
    }

    /// How much the log is to say from now on.
    pub fn set_log_detail(&mut self, detail: LogDetail) {
        self.log_detail = detail;
    }

    /// The queries that may be in flight: what is set, as far as the memory for clients goes.
    pub(crate) fn queries_max(&self) -> usize {
        self.settings.queries_max.min(self.memory.queries_max())
    }

    /// Counts one more query of this client that waits, unless it has as many as one may have.
    pub(crate) fn take_quota(&mut self, client: Client, peer: IpAddr) -> Result<ClientId, Limit> {
        let id = ClientId::of(peer);
        let is_exempt =
            self.settings.exempt.allows(peer) || dotgate_wire::planted!("quota-is-ignored");
        let max = match is_exempt {
            true => usize::MAX,
            false => self.settings.queries_per_client_max,
        };
        if self.quotas.take(id, client.via(), max) {
            Ok(id)
        } else {
            Err(Limit::QueriesPerClient)
        }
    }

    /// Gives back what `take_quota` took, for a query that does not wait after all, or no more.
    pub(crate) fn release_quota(&self, id: ClientId, client: Client) {
        if !dotgate_wire::planted!("quota-is-never-given-back") {
            self.quotas.release(id, client.via());
        }
    }

    /// A client's query waits from now on.
    pub(crate) fn on_waiting(&mut self, client: Client) {
        if let Client::Stream(key, _) = client
            && let Some(stream) = self.streams.get_mut(key)
        {
            stream.in_flight += 1;
        }
    }

    /// A client's query waits no more.
    fn on_answered(&mut self, waiter: &Waiter) {
        self.release_quota(waiter.client_id, waiter.client);
        if let Client::Stream(key, _) = waiter.client
            && let Some(stream) = self.streams.get_mut(key)
        {
            stream.in_flight = stream.in_flight.saturating_sub(1);
        }
    }

    /// The driver's UDP sockets are bound to these addresses, in the order of their numbers. To be called before their
    /// first datagram: entries of the access list may hold at one of them.
    pub fn set_datagram_listeners(&mut self, listeners: Vec<IpAddr>) {
        self.listeners = listeners;
    }

    /// The address of this host that a client asks, where that is known.
    fn local_address(&self, client: Client) -> Option<IpAddr> {
        match client {
            Client::Datagram(path) => {
                let listener = self.listeners.get(usize::from(path.socket));
                path.local_ip.or(listener.copied())
            }
            Client::Stream(key, _) => self.streams.get(key).and_then(|stream| stream.local),
        }
    }

    fn transport(&self, client: Client) -> Transport {
        match client {
            Client::Datagram(path) => {
                let max = self.settings.udp_response_max;
                let max = self.path_limits.limit(path.peer.ip(), max);
                Transport::Udp { max }
            }
            Client::Stream(key, kind) => Transport::Stream {
                idle: kind
                    .has_frames()
                    .then(|| self.streams.advertised_idle(key, kind)),
                is_encrypted: kind.is_encrypted(),
            },
        }
    }

    /// What a waiter's response depends on.
    fn parameters_of(&self, waiter: &Waiter) -> ClientParameters {
        ClientParameters {
            id: waiter.id,
            flags: waiter.flags,
            edns: waiter.edns,
            transport: self.transport(waiter.client),
        }
    }

    /// The responses to be sent by UDP, in the order made. Discard them with `clear_datagrams`.
    pub fn datagrams(&self) -> impl Iterator<Item = OutgoingDatagram<'_>> {
        self.outbox.iter()
    }

    /// How many responses wait to be sent by UDP.
    pub fn datagram_count(&self) -> usize {
        self.outbox.len()
    }

    /// Discards the responses that were sent, and reuses their space.
    pub fn clear_datagrams(&mut self) {
        self.outbox.clear();
    }

    /// Replaces the responses by those for clients to which the system did not send theirs: `refused` are numbers in
    /// the order of [`Self::datagrams`], with whether the response was too long for the link. Each is made as short as it
    /// can be, so that the client asks over TCP (RFC 2181 section 9). What cannot be shorter is left out.
    pub fn shorten_refused(&mut self, refused: &[(usize, bool)]) {
        for (number, is_too_long) in refused {
            let Some(datagram) = self.outbox.get(*number) else {
                continue;
            };
            let write = |out: &mut Vec<u8>| write_shortened(out, datagram.bytes);
            if !self.shortened.push_if(datagram.path, write) {
                continue;
            }
            self.tally.count(Count::DatagramsTruncated);
            if *is_too_long {
                let client = datagram.path.peer.ip();
                self.path_limits.note_too_long(client, datagram.bytes.len());
            }
        }
        self.outbox.clear();
        std::mem::swap(&mut self.outbox, &mut self.shortened);
    }

    /// The next thing for the driver to do; flushes come late.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next connection with something to write, then, if memory is scarce, that connections are to be measured.
    pub(crate) fn poll_late_action(&mut self) -> Option<Action> {
        let Some(key) = self.dirty.pop() else {
            let is_due = self.streams.take_wants_relief();
            return is_due.then_some(Action::MeasureStreams);
        };
        if let Some(stream) = self.streams.get_mut(key) {
            stream.is_dirty = false;
        }
        Some(Action::FlushStream(key))
    }

    /// The next event for the log.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Client connections.
    pub(crate) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Lets other workers read what the queries in flight cost.
    pub(crate) fn publish_queries(&self, queries: usize) {
        self.memory.set_queries(self.worker, queries);
    }

    /// When time changes something here.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        earlier(self.streams.next_deadline(), self.streams.relief_again())
    }

    /// Does everything that is due.
    pub(crate) fn on_timeout(&mut self, now: Moment) {
        self.expire_streams(now);
        self.streams.end_relief_pause(now);
    }
}

/// Whether anything but the access list decides about a datagram before it is read.
fn examines_datagrams(settings: &Settings) -> bool {
    !settings.proxies.is_empty() || settings.rates.has_queries()
}

impl Drop for Clients {
    /// What they cost goes with them, also after a bug.
    fn drop(&mut self) {
        self.memory.set_streams(self.worker, 0);
        self.memory.set_queries(self.worker, 0);
    }
}

impl Client {
    pub(crate) fn transport(self) -> ClientTransport {
        match self {
            Client::Datagram(_) => ClientTransport::Udp,
            Client::Stream(_, kind) => kind.transport(),
        }
    }
}
