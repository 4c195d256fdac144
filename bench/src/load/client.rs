//! The sockets of a load: what is out on each, sending, and receiving.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dotgate_net::{
    BATCH, BindOptions, LocalAddress, Outgoing, ReceiveBatch, SendBatch, UdpPath, UdpSocket,
    boottime_nanos,
};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::{Load, Names, Tally};
use crate::Error;
use crate::error::Action;
use crate::message::{self, EDNS_QUERY_BYTES, Response};

/// So many responses may wait in a client's socket; far more than any window asks for.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// How long one wait for responses lasts at most.
const POLL: Duration = Duration::from_millis(10);
const MESSAGE_IDS: usize = 1 << 16;
/// No query with this ID is out.
const NOT_OUT: u64 = 0;

struct Client {
    socket: UdpSocket,
    /// The queries by their ID. IDs come in turn: one is used again after 65,536 queries of this
    /// socket.
    queries: Vec<Sent>,
}

/// What was sent last with one message ID; at first nothing.
#[derive(Default)]
struct Sent {
    /// When, or [`NOT_OUT`].
    at: AtomicU64,
    /// The number of the name asked for.
    number: AtomicU64,
}

/// All client sockets. The sender writes down what it sends; the receiver strikes it out.
pub(super) struct Clients {
    clients: Vec<Client>,
}

impl Clients {
    pub(super) fn bind(load: &Load<'_>) -> Result<Clients, Error> {
        let ip: IpAddr = match load.target {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let options = BindOptions {
            share_port: false,
            receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
        };
        let client = |_| {
            let socket = UdpSocket::bind(SocketAddr::new(ip, 0), &options).to("bind a client")?;
            let queries = (0..MESSAGE_IDS).map(|_| Sent::default()).collect();
            Ok(Client { socket, queries })
        };
        let clients = (0..load.sockets.max(1))
            .map(client)
            .collect::<Result<_, Error>>()?;
        Ok(Clients { clients })
    }
}

/// Sends queries for the names of a load.
pub(super) struct Sender<'a> {
    clients: &'a Clients,
    target: SocketAddr,
    seed: u32,
    names: Names<'a>,
    batch: SendBatch,
    queries: [[u8; EDNS_QUERY_BYTES]; BATCH],
    query_length: usize,
    /// Queries sent from each socket.
    sent_from: Vec<u64>,
    sent: u64,
    unsent: u64,
    /// What was sent in this order, to find what is lost: time, socket, message ID.
    history: VecDeque<(u64, usize, u16)>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(load: &Load<'a>, clients: &'a Clients) -> Self {
        Sender {
            clients,
            target: load.target,
            seed: load.seed,
            names: load.names,
            batch: SendBatch::new(UdpPath::default()),
            queries: [[0; EDNS_QUERY_BYTES]; BATCH],
            query_length: 0,
            sent_from: vec![0; clients.clients.len()],
            sent: 0,
            unsent: 0,
            history: VecDeque::new(),
        }
    }

    /// Queries sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Those among them that this machine's kernel did not take.
    pub(super) fn unsent(&self) -> u64 {
        self.unsent
    }

    /// Sends up to `count` and at most [`BATCH`] queries from one socket and returns how many. One
    /// that the kernel does not take counts as sent: its client stays without an answer.
    pub(super) fn send(&mut self, socket: usize, count: usize) -> usize {
        let count = count.min(BATCH);
        let client = &self.clients.clients[socket];
        let now = boottime_nanos();
        for query in &mut self.queries[..count] {
            let id = self.sent_from[socket] as u16;
            let name = self
                .names
                .name(self.seed, socket as u16, self.sent_from[socket], self.sent);
            self.query_length = self.names.write(id, name, query);
            let sent = &client.queries[usize::from(id)];
            sent.number.store(name.number, Ordering::Relaxed);
            sent.at.store(now, Ordering::Relaxed);
            self.history.push_back((now, socket, id));
            self.sent_from[socket] += 1;
            self.sent += 1;
        }
        let outgoing = self.queries[..count].iter().map(|bytes| Outgoing {
            peer: self.target,
            local: LocalAddress::default(),
            bytes: &bytes[..self.query_length],
        });
        let sent = self.batch.send(&client.socket, outgoing);
        self.unsent += (sent.refused + sent.dropped) as u64;
        count
    }

    /// Gives up the queries sent before `deadline` and tells the socket of each.
    pub(super) fn forget_before(&mut self, deadline: u64, mut forgotten: impl FnMut(usize)) {
        while let Some(&(sent_at, socket, id)) = self.history.front() {
            let entry = &self.clients.clients[socket].queries[usize::from(id)];
            let is_out = entry.at.load(Ordering::Relaxed) == sent_at;
            if is_out && sent_at >= deadline {
                return;
            }
            if is_out {
                entry.at.store(NOT_OUT, Ordering::Relaxed);
                forgotten(socket);
            }
            self.history.pop_front();
        }
    }
}

/// Receives and judges responses.
pub(super) struct Receiver<'a> {
    clients: &'a Clients,
    target: SocketAddr,
    seed: u32,
    names: Names<'a>,
    timeout_nanos: u64,
    poll: Poll,
    events: Events,
    batch: ReceiveBatch,
    tally: Tally,
    last_response: u64,
}

impl<'a> Receiver<'a> {
    pub(super) fn new(load: &Load<'a>, clients: &'a Clients) -> Result<Self, Error> {
        let poll = Poll::new().to("make a poll")?;
        for (index, client) in clients.clients.iter().enumerate() {
            let descriptor = client.socket.as_raw_fd();
            poll.registry()
                .register(&mut SourceFd(&descriptor), Token(index), Interest::READABLE)
                .to("poll a client")?;
        }
        Ok(Receiver {
            clients,
            target: load.target,
            seed: load.seed,
            names: load.names,
            timeout_nanos: super::timeout_nanos(load),
            poll,
            events: Events::with_capacity(clients.clients.len()),
            batch: ReceiveBatch::new(UdpPath::default()),
            tally: Tally::default(),
            last_response: 0,
        })
    }

    /// Queries that got a response in time, so far.
    pub(super) fn in_time(&self) -> u64 {
        self.tally.in_time()
    }

    /// Waits for responses, at most 10 ms, and tells the socket of each query that is not out any more.
    pub(super) fn receive(&mut self, mut completed: impl FnMut(usize)) -> Result<(), Error> {
        match self.poll.poll(&mut self.events, Some(POLL)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome.to("poll")?,
        }
        for event in &self.events {
            let socket = event.token().0;
            loop {
                let count = self
                    .batch
                    .receive(&self.clients.clients[socket].socket)
                    .to("receive")?;
                let now = boottime_nanos();
                for datagram in self.batch.datagrams() {
                    let is_from_target = datagram.peer == self.target;
                    let bytes = if is_from_target { datagram.bytes } else { &[] };
                    let queries = &self.clients.clients[socket].queries;
                    let response = message::response(bytes).filter(|response| {
                        let asked = &queries[usize::from(response.id)].number;
                        response.name.seed == self.seed
                            && response.name.socket == self.names.socket(socket as u16)
                            && response.name.number == asked.load(Ordering::Relaxed)
                    });
                    match self.tally.count(response, queries, now, self.timeout_nanos) {
                        Counted::InTime => {
                            self.last_response = now;
                            completed(socket);
                        }
                        Counted::Late => completed(socket),
                        Counted::NotOut => {}
                    }
                }
                if count < BATCH {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The counts, and when the last response in time came. `sending_ended` ends the time without an answer, too.
    pub(super) fn finish(mut self, start: u64, sending_ended: u64) -> (Tally, u64) {
        let last_answer = self.tally.last_answer.unwrap_or(start);
        let gap = sending_ended.saturating_sub(last_answer);
        self.tally.gap = self.tally.gap.max(gap);
        self.tally.latencies.sort_unstable();
        (self.tally, self.last_response)
    }
}

/// What a datagram is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Counted {
    /// The response in time to a query that is out.
    InTime,
    /// The response to a query that is lost, but was still counted as out.
    Late,
    /// No response to a query that is out.
    NotOut,
}

impl Tally {
    /// Counts one datagram. A query that it answers is not out any more.
    fn count(
        &mut self,
        response: Option<Response>,
        queries: &[Sent],
        now: u64,
        timeout_nanos: u64,
    ) -> Counted {
        let Some(response) = response else {
            self.wrong += 1;
            return Counted::NotOut;
        };
        let sent_at = queries[usize::from(response.id)]
            .at
            .swap(NOT_OUT, Ordering::Relaxed);
        let latency = now.saturating_sub(sent_at);
        if sent_at == NOT_OUT {
            self.late += 1;
            return Counted::NotOut;
        }
        if latency > timeout_nanos {
            self.late += 1;
            return Counted::Late;
        }
        self.count_in_time(response.verdict, latency, now);
        Counted::InTime
    }
}
