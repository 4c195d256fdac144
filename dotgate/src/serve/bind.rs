//! Listeners: at least one UDP and one TCP socket per address and worker, sharing the port; TCP alone for TLS, UDP alone for
//! QUIC.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use dotgate_config::{Listener, ScopedSocketAddress, ServerConfig};
use dotgate_core::StreamKind;
use dotgate_net::presence::{is_absence, look_for};
use dotgate_net::tcp::{
    adopt, listen_first, listen_when, probe_bind, probe_bind_datagram, probe_bind_stream,
};
use dotgate_net::{BindOptions, Presence, UdpSocket};

use crate::take_over::{Inherited, Role};
use crate::worker::StreamListener;

/// Connections that may wait to be accepted; the kernel caps it.
const BACKLOG: i32 = 1_024;

/// How often a port that the system chose for UDP may turn out to be taken for TCP.
const PORT_TRIES: usize = 16;

/// Why a listener could not be bound.
#[derive(Debug)]
pub struct BindError {
    address: ScopedSocketAddress,
    source: io::Error,
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        write!(out, "listen on {address}: {}", self.source)?;
        match self.source.kind() {
            ErrorKind::AddrInUse if is_resolveds(address) => write!(
                out,
                "\n  systemd-resolved uses {address}. Listen on this host's own address instead (HOST=192.0.2.1), or \
                 set DNSStubListener=no in /etc/systemd/resolved.conf."
            ),
            ErrorKind::AddrInUse => write!(
                out,
                "\n  Another process uses this port, perhaps a second dotgate. `ss -lunpt 'sport = :{}'` names it. To \
                 take over from a running dotgate, give both the same DOTGATE_SERVER_TAKE_OVER_SOCKET.",
                address.port()
            ),
            ErrorKind::PermissionDenied if address.port() < 1024 => write!(
                out,
                "\n  Ports below 1024 need a privilege. Use a higher PORT (5300), or grant it: `setcap \
                 cap_net_bind_service=+ep dotgate`, AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit, or \
                 `sysctl net.ipv4.ip_unprivileged_port_start=53`."
            ),
            _ => Ok(()),
        }
    }
}

fn is_resolveds(address: &ScopedSocketAddress) -> bool {
    let stubs = [Ipv4Addr::new(127, 0, 0, 53), Ipv4Addr::new(127, 0, 0, 54)];
    address.port() == 53
        && match address.ip() {
            IpAddr::V4(ip) => stubs.contains(&ip) || ip.is_unspecified(),
            IpAddr::V6(_) => false,
        }
}

/// A worker's sockets.
#[derive(Default)]
pub(super) struct Sockets {
    pub(super) udp: Vec<UdpSocket>,
    pub(super) streams: Vec<StreamListener>,
    pub(super) quic: Vec<UdpSocket>,
}

/// The listeners of all workers.
pub(super) struct Listeners {
    pub(super) per_worker: Vec<Sockets>,
    /// What they are bound to.
    pub(super) addresses: Vec<(Listener, SocketAddr)>,
    /// Those that this host does not have now.
    pub(super) awaited: Vec<Awaited>,
}

/// A listening address that this host does not have now.
#[derive(Clone, Debug)]
pub(super) struct Awaited {
    pub(super) listener: Listener,
    pub(super) address: ScopedSocketAddress,
    /// Its sockets are bound already.
    pub(super) is_bound: bool,
    /// Why it cannot be listened on.
    pub(super) reason: String,
}

/// How the sockets of every address are bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    /// There are at least as many sockets for each address.
    workers: usize,
    options: BindOptions,
}

/// The sockets of one address.
pub(super) struct Bound {
    pub(super) listener: Listener,
    pub(super) address: SocketAddr,
    pub(super) udp: Vec<UdpSocket>,
    pub(super) streams: Vec<StreamListener>,
    /// For datagrams of QUIC.
    pub(super) quic: Vec<UdpSocket>,
}

impl Listeners {
    /// Takes those of the process before this one, and binds the others: after making sure that nobody else has
    /// the ports, unless there is such a process, which has them until it ends. An address that this host does not
    /// have is bound ahead where the system can do that, and is awaited in any case.
    ///
    /// All inherited sockets of an address are kept, also where there are fewer workers: the kernel continues to
    /// spread packets over them, and one that was closed would take its queue with it.
    pub(super) fn bind(
        config: &ServerConfig,
        inherited: &mut Inherited,
    ) -> Result<Listeners, BindError> {
        let at = |address: &ScopedSocketAddress| {
            let address = address.clone();
            move |source| BindError { address, source }
        };
        let is_first = inherited.is_empty();
        let mut absences = Vec::new();
        for (listener, address) in config.listeners() {
            // Before the first bind: listeners of our own may overlap.
            let is_probed = is_first && address.port() != 0;
            absences.push(absence(listener, address, is_probed).map_err(at(address))?);
        }
        let binding = Binding::new(config);
        let mut listeners = Listeners {
            per_worker: Vec::new(),
            addresses: Vec::new(),
            awaited: Vec::new(),
        };
        listeners
            .per_worker
            .resize_with(binding.workers, Sockets::default);
        let mut chosen: Option<(Listener, u16)> = None;
        for ((listener, address), absence) in config.listeners().zip(absences) {
            // If the port is the system's choice, all plain addresses get the one that it chose for the first.
            let port = chosen.filter(|(of, _)| *of == listener && address.port() == 0);
            let address = &address.at_port(port.map_or(address.port(), |(_, port)| port));
            let presence = absence
                .as_ref()
                .map_or(Presence::Required, |_| Presence::Ahead);
            let bound = binding.sockets_at(listener, address, presence, inherited);
            let is_bound = match (bound, absence.is_some()) {
                (Ok(bound), _) => {
                    chosen = Some((listener, bound.address.port()));
                    listeners.add(bound);
                    true
                }
                (Err(error), true) if !is_taken(&error) => false,
                (Err(error), _) => return Err(at(address)(error)),
            };
            if let Some(reason) = absence {
                let reason = reason.to_string();
                let port = chosen.filter(|(of, _)| *of == listener && address.port() == 0);
                let address = address.at_port(port.map_or(address.port(), |(_, port)| port));
                listeners.awaited.push(Awaited {
                    listener,
                    address,
                    is_bound,
                    reason,
                });
            }
        }
        Ok(listeners)
    }

    fn add(&mut self, bound: Bound) {
        self.addresses.push((bound.listener, bound.address));
        let workers = self.per_worker.len().max(1);
        for (number, socket) in bound.udp.into_iter().enumerate() {
            if let Some(own) = self.per_worker.get_mut(number % workers) {
                own.udp.push(socket);
            }
        }
        for (number, socket) in bound.quic.into_iter().enumerate() {
            if let Some(own) = self.per_worker.get_mut(number % workers) {
                own.quic.push(socket);
            }
        }
        for (number, listener) in bound.streams.into_iter().enumerate() {
            if let Some(own) = self.per_worker.get_mut(number % workers) {
                own.streams.push(listener);
            }
        }
    }

    /// A second descriptor of every socket, to hand over to the process after this one.
    pub(super) fn second_descriptors(&self) -> io::Result<Vec<(Role, OwnedFd)>> {
        let mut descriptors = Vec::new();
        for Sockets { udp, streams, quic } in &self.per_worker {
            descriptors.extend(second_descriptors(udp.iter().chain(quic), streams)?);
        }
        Ok(descriptors)
    }

    /// The smallest receive buffer that the system granted.
    pub(super) fn receive_buffer_bytes(&self) -> usize {
        let sockets = self.per_worker.iter();
        let sockets = sockets.flat_map(|own| own.udp.iter().chain(&own.quic));
        sockets
            .filter_map(|socket| socket.receive_buffer_bytes().ok())
            .min()
            .unwrap_or_default()
    }
}

impl Binding {
    pub(super) fn new(config: &ServerConfig) -> Binding {
        let receive_buffer_bytes = usize::try_from(config.udp_receive_buffer.0);
        Binding {
            workers: config.workers.get(),
            options: BindOptions {
                share_port: true,
                receive_buffer_bytes: receive_buffer_bytes.unwrap_or(usize::MAX),
            },
        }
    }

    /// The sockets of one address: those inherited, and as many more as there are workers without one. Sockets of the service
    /// manager are of another user, with whom the kernel lets nobody share a port: then there are no more than these.
    pub(super) fn sockets_at(
        &self,
        listener: Listener,
        address: &ScopedSocketAddress,
        presence: Presence,
        inherited: &mut Inherited,
    ) -> io::Result<Bound> {
        match listener {
            Listener::Plain => self.plain_at(address, presence, inherited),
            Listener::Dot => {
                self.encrypted_at((listener, StreamKind::Dot), address, presence, inherited)
            }
            Listener::Doh => {
                self.encrypted_at((listener, StreamKind::Doh), address, presence, inherited)
            }
            Listener::Doq => self.quic_at(address, presence, inherited),
        }
    }

    fn encrypted_at(
        &self,
        (listener, kind): (Listener, StreamKind),
        address: &ScopedSocketAddress,
        presence: Presence,
        inherited: &mut Inherited,
    ) -> io::Result<Bound> {
        let mut bound = address.resolve()?;
        let mut streams = inherited_streams(bound, kind, inherited)?;
        let is_inherited = !streams.is_empty();
        while streams.len() < self.workers {
            match listen_when(bound, true, BACKLOG, presence) {
                Ok(socket) => {
                    bound = socket.local_addr()?;
                    streams.push(StreamListener { kind, socket });
                }
                Err(error) if is_inherited && is_taken(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Bound {
            listener,
            address: bound,
            udp: Vec::new(),
            streams,
            quic: Vec::new(),
        })
    }

    fn quic_at(
        &self,
        address: &ScopedSocketAddress,
        presence: Presence,
        inherited: &mut Inherited,
    ) -> io::Result<Bound> {
        let mut bound = address.resolve()?;
        let mut quic = Vec::new();
        for descriptor in inherited.take(Role::Udp(bound)) {
            quic.push(UdpSocket::adopt(descriptor, &self.options)?);
        }
        while quic.len() < self.workers {
            let socket = UdpSocket::bind_when(bound, &self.options, presence)?;
            bound = socket.local_addr()?;
            quic.push(socket);
        }
        Ok(Bound {
            listener: Listener::Doq,
            address: bound,
            udp: Vec::new(),
            streams: Vec::new(),
            quic,
        })
    }

    fn plain_at(
        &self,
        address: &ScopedSocketAddress,
        presence: Presence,
        inherited: &mut Inherited,
    ) -> io::Result<Bound> {
        let kind = StreamKind::Tcp;
        let resolved = address.resolve()?;
        let options = &self.options;
        let mut udp = Vec::new();
        for descriptor in inherited.take(Role::Udp(resolved)) {
            udp.push(UdpSocket::adopt(descriptor, options)?);
        }
        let mut streams = inherited_streams(resolved, kind, inherited)?;
        let mut bound = resolved;
        let are_inherited = (!udp.is_empty(), !streams.is_empty());
        if udp.is_empty() && streams.is_empty() {
            let pair = bind_pair(resolved, options, presence)?;
            bound = pair.0.local_addr()?;
            udp.push(pair.0);
            streams.push(pair.1);
        }
        while udp.len() < self.workers {
            match UdpSocket::bind_when(bound, options, presence) {
                Ok(socket) => udp.push(socket),
                Err(error) if are_inherited.0 && is_taken(&error) => break,
                Err(error) => return Err(error),
            }
        }
        while streams.len() < self.workers {
            match listen_when(bound, true, BACKLOG, presence) {
                Ok(socket) => streams.push(StreamListener { kind, socket }),
                Err(error) if are_inherited.1 && is_taken(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Bound {
            listener: Listener::Plain,
            address: bound,
            udp,
            streams,
            quic: Vec::new(),
        })
    }
}

impl Bound {
    /// A second descriptor of every socket, to hand over to the process after this one.
    pub(super) fn second_descriptors(&self) -> io::Result<Vec<(Role, OwnedFd)>> {
        second_descriptors(self.udp.iter().chain(&self.quic), &self.streams)
    }
}

/// The listening sockets that the process before this one had at an address, with or without TLS.
fn inherited_streams(
    address: SocketAddr,
    kind: StreamKind,
    inherited: &mut Inherited,
) -> io::Result<Vec<StreamListener>> {
    let descriptors = inherited.take(Role::Tcp(address)).into_iter();
    let sockets = descriptors.map(|descriptor| {
        let socket = adopt(descriptor)?;
        Ok(StreamListener { kind, socket })
    });
    sockets.collect()
}

fn second_descriptors<'s>(
    udp: impl Iterator<Item = &'s UdpSocket>,
    streams: &[StreamListener],
) -> io::Result<Vec<(Role, OwnedFd)>> {
    let mut descriptors = Vec::new();
    for socket in udp {
        let role = Role::Udp(socket.local_addr()?);
        descriptors.push((role, socket.second_descriptor()?));
    }
    for StreamListener { socket, .. } in streams {
        let role = Role::Tcp(socket.local_addr()?);
        descriptors.push((role, socket.try_clone()?.into()));
    }
    Ok(descriptors)
}

/// Why this host does not have the address now, if so; fails if it cannot be listened on.
fn absence(
    listener: Listener,
    address: &ScopedSocketAddress,
    is_probed: bool,
) -> io::Result<Option<io::Error>> {
    let resolved = match address.resolve() {
        Ok(resolved) => resolved,
        Err(no_interface) => return Ok(Some(no_interface.into())),
    };
    let absence = match look_for(resolved) {
        Err(error) if is_absence(&error) => Some(error),
        outcome => outcome.map(|()| None)?,
    };
    if is_probed {
        let presence = absence
            .as_ref()
            .map_or(Presence::Required, |_| Presence::Ahead);
        let probed = match listener {
            Listener::Plain => probe_bind(resolved, presence),
            Listener::Dot | Listener::Doh => probe_bind_stream(resolved, presence),
            Listener::Doq => probe_bind_datagram(resolved, presence),
        };
        match probed {
            Err(error) if absence.is_none() || is_taken(&error) => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(absence)
}

/// Whether waiting for the address would not help.
fn is_taken(error: &io::Error) -> bool {
    [ErrorKind::AddrInUse, ErrorKind::PermissionDenied].contains(&error.kind())
}

/// Binds UDP, and TCP to the same port. A port that the system chooses is one that nobody has: other programs may share
/// theirs, as this one does, and half of the connections would reach them.
fn bind_pair(
    address: SocketAddr,
    options: &BindOptions,
    presence: Presence,
) -> io::Result<(UdpSocket, StreamListener)> {
    let is_chosen = address.port() == 0;
    let mut tries = 0;
    loop {
        tries += 1;
        let udp = UdpSocket::bind_when(address, options, presence)?;
        let bound = udp.local_addr()?;
        let listening = if is_chosen {
            listen_first(bound, BACKLOG, presence)
        } else {
            listen_when(bound, true, BACKLOG, presence)
        };
        match listening {
            Ok(socket) => {
                let kind = StreamKind::Tcp;
                return Ok((udp, StreamListener { kind, socket }));
            }
            Err(error)
                if is_chosen && error.kind() == ErrorKind::AddrInUse && tries < PORT_TRIES => {}
            Err(error) => return Err(error),
        }
    }
}
