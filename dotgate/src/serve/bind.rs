//! Listeners: at least one UDP and one TCP socket per address and worker, sharing the port.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use dotgate_net::{BindOptions, UdpSocket};

use crate::config::{ScopedSocketAddress, ServerConfig};
use crate::take_over::{Inherited, Role};

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
                "\n  systemd-resolved holds {address}. Listen on this host's own address instead \
                 (HOST=192.0.2.1), or set DNSStubListener=no in /etc/systemd/resolved.conf."
            ),
            ErrorKind::AddrInUse => write!(
                out,
                "\n  Another process has this port, perhaps a second dotgate. `ss -lunpt 'sport = :{}'` names it. \
                 To take over from a running dotgate, give both the same DOTGATE_SERVER_TAKE_OVER_SOCKET.",
                address.port()
            ),
            ErrorKind::PermissionDenied if address.port() < 1024 => write!(
                out,
                "\n  Ports below 1024 need a right. Use a higher PORT (5300), or grant it: \
                 `setcap cap_net_bind_service=+ep dotgate`, AmbientCapabilities=CAP_NET_BIND_SERVICE in a \
                 systemd unit, or `sysctl net.ipv4.ip_unprivileged_port_start=53`."
            ),
            ErrorKind::AddrNotAvailable => {
                write!(
                    out,
                    "\n  HOST must hold addresses of this host; `ip address` lists them."
                )
            }
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
type Sockets = (Vec<UdpSocket>, Vec<TcpListener>);

/// The listeners of all workers.
pub(super) struct Listeners {
    pub(super) per_worker: Vec<Sockets>,
    /// What they are bound to.
    pub(super) addresses: Vec<SocketAddr>,
}

impl Listeners {
    /// Takes those of the process before this one, and binds the others: after making sure that nobody else has
    /// the ports, unless there is such a process, which has them until it ends.
    ///
    /// All inherited sockets of an address are kept, also where there are fewer workers: the kernel goes on to
    /// spread packets over them, and one that was closed would take its queue with it.
    pub(super) fn bind(
        config: &ServerConfig,
        inherited: &mut Inherited,
    ) -> Result<Listeners, BindError> {
        let at = |address: &ScopedSocketAddress| {
            let address = address.clone();
            move |source| BindError { address, source }
        };
        if inherited.is_empty() {
            for address in config.listen.iter().filter(|address| address.port() != 0) {
                let resolved = address.resolve().map_err(io::Error::from);
                resolved
                    .and_then(dotgate_net::tcp::probe_bind)
                    .map_err(at(address))?;
            }
        }
        let options = BindOptions {
            share_port: true,
            receive_buffer_bytes: usize::try_from(config.udp_receive_buffer.0)
                .unwrap_or(usize::MAX),
        };
        let workers = config.workers.get();
        let mut addresses = Vec::new();
        let mut port = None;
        let mut per_worker: Vec<Sockets> = Vec::new();
        per_worker.resize_with(workers, Sockets::default);
        for address in &config.listen {
            // One port for all addresses: the one that the system chose for the first.
            let address = &address.at_port(port.unwrap_or(address.port()));
            let resolved = address.resolve().map_err(io::Error::from);
            let resolved = resolved.map_err(at(address))?;
            let (udp, tcp) =
                sockets_at(resolved, workers, &options, inherited).map_err(at(address))?;
            let first = udp.first().map(UdpSocket::local_addr);
            let bound = first.unwrap_or(Ok(resolved)).map_err(at(address))?;
            port = Some(bound.port());
            addresses.push(bound);
            for (number, socket) in udp.into_iter().enumerate() {
                if let Some(own) = per_worker.get_mut(number % workers) {
                    own.0.push(socket);
                }
            }
            for (number, listener) in tcp.into_iter().enumerate() {
                if let Some(own) = per_worker.get_mut(number % workers) {
                    own.1.push(listener);
                }
            }
        }
        Ok(Listeners {
            per_worker,
            addresses,
        })
    }

    /// A second descriptor of every socket, to hand over to the process after this one.
    pub(super) fn second_descriptors(&self) -> io::Result<Vec<(Role, OwnedFd)>> {
        let mut descriptors = Vec::new();
        for (udp, tcp) in &self.per_worker {
            for socket in udp {
                let role = Role::Udp(socket.local_addr()?);
                descriptors.push((role, socket.second_descriptor()?));
            }
            for listener in tcp {
                let role = Role::Tcp(listener.local_addr()?);
                descriptors.push((role, listener.try_clone()?.into()));
            }
        }
        Ok(descriptors)
    }
}

impl Listeners {
    /// The smallest receive buffer that the system granted.
    pub(super) fn receive_buffer_bytes(&self) -> usize {
        let sockets = self.per_worker.iter().flat_map(|(udp, _)| udp);
        sockets
            .filter_map(|socket| socket.receive_buffer_bytes().ok())
            .min()
            .unwrap_or_default()
    }
}

/// The sockets of one address: those inherited, and as many more as there are workers without one.
fn sockets_at(
    address: SocketAddr,
    workers: usize,
    options: &BindOptions,
    inherited: &mut Inherited,
) -> io::Result<Sockets> {
    let mut udp = Vec::new();
    for descriptor in inherited.take(Role::Udp(address)) {
        udp.push(UdpSocket::adopt(descriptor, options)?);
    }
    let mut tcp = Vec::new();
    for descriptor in inherited.take(Role::Tcp(address)) {
        tcp.push(dotgate_net::tcp::adopt(descriptor)?);
    }
    let mut bound = address;
    if udp.is_empty() && tcp.is_empty() {
        let pair = bind_pair(address, options)?;
        bound = pair.0.local_addr()?;
        udp.push(pair.0);
        tcp.push(pair.1);
    }
    while udp.len() < workers {
        udp.push(UdpSocket::bind(bound, options)?);
    }
    while tcp.len() < workers {
        tcp.push(dotgate_net::tcp::listen(bound, true, BACKLOG)?);
    }
    Ok((udp, tcp))
}

/// Binds UDP, and TCP to the same port.
fn bind_pair(address: SocketAddr, options: &BindOptions) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 0;
    loop {
        tries += 1;
        let udp = UdpSocket::bind(address, options)?;
        match dotgate_net::tcp::listen(udp.local_addr()?, true, BACKLOG) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error)
                if address.port() == 0
                    && error.kind() == ErrorKind::AddrInUse
                    && tries < PORT_TRIES => {}
            Err(error) => return Err(error),
        }
    }
}
