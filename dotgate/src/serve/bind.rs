//! Listeners: one UDP and one TCP socket per address and worker, sharing the port.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use dotgate_net::{BindOptions, UdpSocket};

use crate::config::ServerConfig;

/// Connections that may wait to be accepted; the kernel caps it.
const BACKLOG: i32 = 1_024;

/// How often a port that the system chose for UDP may turn out to be taken for TCP.
const PORT_TRIES: usize = 16;

/// Why a listener could not be bound.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
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
                 To share the port with a running dotgate on purpose, set DOTGATE_SERVER_TAKE_OVER=true.",
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

fn is_resolveds(address: SocketAddr) -> bool {
    let stubs = [Ipv4Addr::new(127, 0, 0, 53), Ipv4Addr::new(127, 0, 0, 54)];
    address.port() == 53
        && match address.ip() {
            IpAddr::V4(ip) => stubs.contains(&ip) || ip.is_unspecified(),
            IpAddr::V6(_) => false,
        }
}

/// The listeners of all workers.
pub(super) struct Listeners {
    pub(super) per_worker: Vec<(Vec<UdpSocket>, Vec<TcpListener>)>,
    /// What they are bound to.
    pub(super) addresses: Vec<SocketAddr>,
}

impl Listeners {
    /// Binds all of them, after making sure that nobody else has the ports.
    pub(super) fn bind(config: &ServerConfig) -> Result<Listeners, BindError> {
        let at = |address: SocketAddr| move |source| BindError { address, source };
        if !config.take_over {
            for &address in config.listen.iter().filter(|address| address.port() != 0) {
                dotgate_net::tcp::probe_bind(address).map_err(at(address))?;
            }
        }
        let options = BindOptions {
            share_port: true,
            receive_buffer_bytes: usize::try_from(config.udp_receive_buffer.0)
                .unwrap_or(usize::MAX),
        };
        let mut addresses = Vec::new();
        let mut port = None;
        let mut first = (Vec::new(), Vec::new());
        for &address in &config.listen {
            // One port for all addresses: the one that the system chose for the first.
            let address = SocketAddr::new(address.ip(), port.unwrap_or(address.port()));
            let (udp, tcp) = bind_pair(address, &options).map_err(at(address))?;
            let bound = udp.local_addr().map_err(at(address))?;
            port = Some(bound.port());
            addresses.push(bound);
            first.0.push(udp);
            first.1.push(tcp);
        }
        let mut per_worker = vec![first];
        for _ in 1..config.workers.get() {
            let mut sockets = (Vec::new(), Vec::new());
            for &address in &addresses {
                sockets
                    .0
                    .push(UdpSocket::bind(address, &options).map_err(at(address))?);
                sockets
                    .1
                    .push(dotgate_net::tcp::listen(address, true, BACKLOG).map_err(at(address))?);
            }
            per_worker.push(sockets);
        }
        Ok(Listeners {
            per_worker,
            addresses,
        })
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
