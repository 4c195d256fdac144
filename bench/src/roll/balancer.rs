//! A balancer that honours readiness: it forwards UDP as a NAT does, by flow, and asks every instance's `/readyz`.
//!
//! A new flow (a client's address and port) goes to an instance that is ready, chosen by a hash of the flow. Later
//! packets of the flow go to the same instance, as connection tracking does, whether that still is ready or not:
//! until it has ended, or, where [`Flows::Cleared`] says so, until it is not ready. What it never does: keep packets,
//! send them twice, or tell an instance anything.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dotgate_net::{BindOptions, boottime_nanos};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::Error;
use crate::error::Action;

/// A flow without a packet for so long is forgotten; longer than any query waits.
const IDLE: Duration = Duration::from_secs(6);
/// How often forgotten flows are looked for, and the longest time one turn waits.
const TURN: Duration = Duration::from_millis(200);
/// What an instance has to say that it is ready.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
const LISTENER: Token = Token(usize::MAX);
const DATAGRAM_BYTES: usize = 4_096;
/// Queries may wait here while the machine is busy with something else.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// What becomes of the flows of an instance that is not ready any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flows {
    /// They stay with it until it has ended.
    Stay,
    /// They are forgotten: the next packet chooses again, and what is in flight comes back to nobody. So does
    /// kube-proxy, which deletes the entries of connection tracking.
    Cleared,
}

/// How the balancer sees who is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probing {
    /// Time between two probes of an instance.
    pub every: Duration,
    /// Probes that must fail in a row.
    pub failures: u32,
    /// What becomes of flows then.
    pub flows: Flows,
}

/// An instance as the balancer knows it.
#[derive(Clone, Copy, Debug)]
struct Instance {
    number: u32,
    dns: SocketAddr,
    admin: SocketAddr,
    failed: u32,
    is_ready: bool,
}

#[derive(Debug)]
struct Shared {
    instances: Mutex<Vec<Instance>>,
    is_over: AtomicBool,
}

impl Shared {
    fn instances(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// The balancer while it runs; dropping it ends its threads.
#[derive(Debug)]
pub(super) struct Balancer {
    address: SocketAddr,
    socket: dotgate_net::UdpSocket,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Balancer {
    /// Listens on a port of loopback, with no instance behind it.
    pub(super) fn start(probing: Probing) -> Result<Balancer, Error> {
        let options = BindOptions {
            share_port: false,
            receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
        };
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let socket = dotgate_net::UdpSocket::bind(any_port, &options).to("bind the balancer")?;
        let address = socket.local_addr().to("learn the balancer's address")?;
        let forwarding = Forwarding::new(&socket, probing.flows)?;
        let shared = Arc::new(Shared {
            instances: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let (probed, forwarded) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            thread::spawn(move || probe_all(&probed, probing)),
            thread::spawn(move || forwarding.run(&forwarded)),
        ];
        Ok(Balancer {
            address,
            socket,
            shared,
            threads,
        })
    }

    /// Where clients send their queries.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Queries that the kernel dropped since the balancer was too slow: lost before any instance saw them.
    pub(super) fn dropped(&self) -> u64 {
        self.socket.dropped_datagrams().unwrap_or(0).into()
    }

    /// Takes an instance on, which gets flows once it says that it is ready.
    pub(super) fn add(&self, number: u32, dns: SocketAddr, admin: SocketAddr) {
        self.shared.instances().push(Instance {
            number,
            dns,
            admin,
            failed: 0,
            is_ready: false,
        });
    }

    /// Whether an instance gets new flows.
    pub(super) fn is_ready(&self, number: u32) -> bool {
        let instances = self.shared.instances();
        instances
            .iter()
            .any(|instance| instance.number == number && instance.is_ready)
    }

    /// Removes an instance that has ended, with its flows.
    pub(super) fn remove(&self, number: u32) {
        self.shared
            .instances()
            .retain(|instance| instance.number != number);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn probe_all(shared: &Shared, probing: Probing) {
    while !shared.is_over() {
        let instances = shared.instances().clone();
        for instance in instances {
            let says_ready = says_ready(instance.admin).unwrap_or(false);
            let mut instances = shared.instances();
            let known = instances
                .iter_mut()
                .find(|known| known.number == instance.number);
            if let Some(known) = known {
                known.failed = if says_ready { 0 } else { known.failed + 1 };
                known.is_ready = says_ready || known.is_ready && known.failed < probing.failures;
            }
        }
        thread::sleep(probing.every);
    }
}

/// Asks `/readyz`; an error counts as no.
fn says_ready(admin: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&admin, PROBE_TIMEOUT)?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut status = [0; b"HTTP/1.1 200".len()];
    stream.read_exact(&mut status)?;
    Ok(status == *b"HTTP/1.1 200")
}

/// A client's address and port, and who answers it.
struct Flow {
    client: SocketAddr,
    instance: u32,
    socket: UdpSocket,
    last_used: u64,
}

struct Forwarding {
    flows_are: Flows,
    poll: Poll,
    listener: UdpSocket,
    by_client: HashMap<SocketAddr, usize>,
    /// By token.
    flows: Vec<Option<Flow>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

impl Forwarding {
    fn new(socket: &dotgate_net::UdpSocket, flows_are: Flows) -> Result<Forwarding, Error> {
        let poll = Poll::new().to("make a poll")?;
        let descriptor = socket
            .second_descriptor()
            .to("share the balancer's socket")?;
        let mut listener = UdpSocket::from_std(descriptor.into());
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)
            .to("poll the balancer's socket")?;
        Ok(Forwarding {
            flows_are,
            poll,
            listener,
            by_client: HashMap::new(),
            flows: Vec::new(),
            free: Vec::new(),
            buffer: vec![0; DATAGRAM_BYTES],
        })
    }

    /// Forwards until the end. A packet that cannot be sent is lost, and its client will count it.
    fn run(mut self, shared: &Shared) {
        let mut events = Events::with_capacity(1024);
        let mut looked_at = boottime_nanos();
        while !shared.is_over() {
            if self.poll.poll(&mut events, Some(TURN)).is_err() {
                continue;
            }
            let instances = shared.instances().clone();
            if self.flows_are == Flows::Cleared {
                self.forget(|flow| !instances.iter().any(|one| has(one, flow) && one.is_ready));
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.take_queries(&instances),
                    Token(slot) => self.take_responses(slot),
                }
            }
            let now = boottime_nanos();
            if now - looked_at > TURN.as_nanos() as u64 {
                looked_at = now;
                self.forget(|flow| now - flow.last_used > IDLE.as_nanos() as u64);
            }
        }
    }

    fn take_queries(&mut self, instances: &[Instance]) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Ok((length, client)) = self.listener.recv_from(&mut buffer) {
            let Some(slot) = self.flow_of(client, instances) else {
                continue;
            };
            if let Some(flow) = &mut self.flows[slot] {
                flow.last_used = boottime_nanos();
                // Refused if the instance has just ended: lost.
                drop(flow.socket.send(&buffer[..length]));
            }
        }
        self.buffer = buffer;
    }

    fn take_responses(&mut self, slot: usize) {
        let Some(flow) = self.flows.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        loop {
            match flow.socket.recv(&mut self.buffer) {
                Ok(length) => {
                    drop(self.listener.send_to(&self.buffer[..length], flow.client));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(_) => return,
            }
        }
    }

    /// The flow of a client, as long as its instance is there; else a new one, if an instance is ready.
    fn flow_of(&mut self, client: SocketAddr, instances: &[Instance]) -> Option<usize> {
        if let Some(slot) = self.by_client.get(&client).copied() {
            let flow = self.flows[slot].as_ref()?;
            if instances.iter().any(|instance| has(instance, flow)) {
                return Some(slot);
            }
            self.remove(slot);
        }
        let ready: Vec<&Instance> = instances.iter().filter(|one| one.is_ready).collect();
        let mut hasher = DefaultHasher::new();
        client.hash(&mut hasher);
        let place = hasher.finish().checked_rem(ready.len() as u64)? as usize;
        let chosen = ready.get(place)?;
        let mut socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).ok()?;
        socket.connect(chosen.dns).ok()?;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.flows.push(None);
            self.flows.len() - 1
        });
        let registry = self.poll.registry();
        registry
            .register(&mut socket, Token(slot), Interest::READABLE)
            .ok()?;
        self.flows[slot] = Some(Flow {
            client,
            instance: chosen.number,
            socket,
            last_used: boottime_nanos(),
        });
        self.by_client.insert(client, slot);
        Some(slot)
    }

    fn forget(&mut self, is_over: impl Fn(&Flow) -> bool) {
        for slot in 0..self.flows.len() {
            if self.flows[slot].as_ref().is_some_and(&is_over) {
                self.remove(slot);
            }
        }
    }

    /// Closing the socket also ends its registration.
    fn remove(&mut self, slot: usize) {
        if let Some(flow) = self.flows[slot].take() {
            self.by_client.remove(&flow.client);
            self.free.push(slot);
        }
    }
}

fn has(instance: &Instance, flow: &Flow) -> bool {
    instance.number == flow.instance
}
