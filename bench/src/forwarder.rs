//! The forwarders compared, each set up for the same work and as fast as its manual tells.
//!
//! All get two workers or threads, share the port between them, and check the upstream's certificate
//! and name. dotgate keeps its cache as it comes; a [`Peer`] gets one if names are asked
//! again, large enough and without refresh. The echo and the relay are no forwarders but the floors below all.

mod peer;

pub use peer::{Installations, Location, OTHER_UPSTREAM, PEERS, Peer};

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use dotgate_net::boottime_nanos;

use crate::Error;
use crate::error::Action;
use crate::message::{self, Name, Verdict};
use crate::upstream::AUTHENTICATION_NAME;

/// Workers or threads of each forwarder.
pub const WORKERS: usize = 2;

/// Connections of clients that a load has at most, with room for more.
pub const CLIENT_CONNECTIONS: usize = 200;

/// How long a forwarder has to answer its first query.
const START_LIMIT: Duration = Duration::from_secs(15);
/// How long to wait for a response while it starts, before the next query.
const START_ATTEMPT: Duration = Duration::from_millis(2);

/// A program that forwards plain DNS to DNS over TLS, or stands for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Forwarder {
    /// dotgate: the path of a release binary.
    Dotgate(PathBuf),
    /// The same with its cache switched off.
    DotgateUncached(PathBuf),
    /// This program's own [`crate::echo`].
    Echo,
    /// This program's own [`crate::relay`].
    Relay,
    /// The echo with io_uring: the path of the program of `bench/uring`.
    Uring(PathBuf),
    /// A program that others wrote, and where it is.
    Peer(&'static Peer, Location),
}

/// Where a forwarder finds its upstream, and its files.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The upstream's address.
    pub upstream: SocketAddr,
    /// The authority of its certificate.
    pub ca_file: &'a Path,
    /// A folder for configuration and log files.
    pub folder: &'a Path,
    /// Whether peers are to answer from a cache.
    pub with_caches: bool,
    /// The PEM file with certificate and key for clients over TLS, if there are such.
    pub certificate: Option<&'a Path>,
    /// How many connections of clients it has to take at a time.
    pub connections: usize,
}

/// A forwarder that runs, in a process group of its own; dropping it ends the group.
pub struct Running {
    child: Child,
    address: SocketAddr,
    tls_address: SocketAddr,
    started_in: Duration,
}

impl Running {
    /// The process, which is the leader of its group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it takes queries over UDP and TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it takes queries over TLS, if it was to.
    #[must_use]
    pub fn tls_address(&self) -> SocketAddr {
        self.tls_address
    }

    /// How long it took from its start to its first response.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.started_in
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        // A group whose processes have all ended is as good.
        if rustix::process::kill_process_group(group, rustix::process::Signal::KILL).is_ok() {
            drop(self.child.wait());
        }
    }
}

/// Kills a process and waits for its end. It may have ended already.
pub(crate) fn end(child: &mut Child) {
    if child.kill().is_ok() {
        drop(child.wait());
    }
}

impl Forwarder {
    /// The name shown.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Forwarder::Dotgate(_) => "dotgate",
            Forwarder::DotgateUncached(_) => "dotgate-uncached",
            Forwarder::Echo => "echo",
            Forwarder::Relay => "relay",
            Forwarder::Uring(_) => "uring",
            Forwarder::Peer(peer, _) => peer.name,
        }
    }

    /// Starts it on a free port and waits until it answers. `None` if it is not installed.
    ///
    /// # Errors
    /// [`Error::NotReady`] if it does not answer within 15 s; its output is in
    /// `folder/NAME.log`.
    pub fn start(&self, surroundings: &Surroundings<'_>) -> Result<Option<Running>, Error> {
        let (address, tls_address) = (free_address()?, free_address()?);
        let log = File::create(surroundings.folder.join(format!("{}.log", self.name())))
            .to("make a log file")?;
        let mut command = self.command(surroundings, address, tls_address)?;
        command.stdin(Stdio::null()).process_group(0);
        command
            .stdout(log.try_clone().to("share a log file")?)
            .stderr(log);
        let start = boottime_nanos();
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).to("start a forwarder"),
        };
        let mut running = Running {
            child,
            address,
            tls_address,
            started_in: Duration::ZERO,
        };
        wait_until_it_answers(self.name(), address, &mut running.child)?;
        running.started_in = Duration::from_nanos(boottime_nanos() - start);
        Ok(Some(running))
    }

    fn command(
        &self,
        around: &Surroundings<'_>,
        address: SocketAddr,
        tls_address: SocketAddr,
    ) -> Result<Command, Error> {
        Ok(match self {
            Forwarder::Dotgate(program) => {
                let mut command = Command::new(program);
                command.envs(dotgate_environment(around, address));
                if let Some(certificate) = around.certificate {
                    command
                        .env("DOTGATE_DOT_LISTEN", tls_address.to_string())
                        .env("DOTGATE_SERVER_CERTIFICATE_FILE", certificate);
                }
                command
            }
            Forwarder::DotgateUncached(program) => {
                let mut command = Command::new(program);
                command
                    .envs(dotgate_environment(around, address))
                    .env("DOTGATE_CACHE_SIZE", "0");
                command
            }
            Forwarder::Echo => {
                let mut command = Command::new(env::current_exe().to("find this program")?);
                command.args(["echo", "--listen", &address.to_string()]);
                command
            }
            Forwarder::Relay => {
                let mut command = Command::new(env::current_exe().to("find this program")?);
                command.args(["relay", "--listen", &address.to_string()]);
                command.args(["--upstream", &around.upstream.to_string(), "--ca-file"]);
                command.arg(around.ca_file);
                command
            }
            Forwarder::Uring(program) => {
                let mut command = Command::new(program);
                command.args(["--listen", &address.to_string()]);
                command
            }
            Forwarder::Peer(peer, place) => peer.command(place, around, [address, tls_address])?,
        })
    }
}

/// Waits until the process that was started answers a query at `address`.
pub(crate) fn wait_until_it_answers(
    name: &'static str,
    address: SocketAddr,
    child: &mut Child,
) -> Result<(), Error> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).to("bind a client")?;
    socket.connect(address).to("connect a client")?;
    socket
        .set_read_timeout(Some(START_ATTEMPT))
        .to("set a timeout")?;
    let deadline = boottime_nanos() + START_LIMIT.as_nanos() as u64;
    let mut number = 0;
    while boottime_nanos() < deadline && child.try_wait().to("look after a forwarder")?.is_none() {
        // A new name each time, which no measurement uses.
        number += 1;
        let name = Name {
            seed: u32::MAX,
            socket: 0,
            number,
        };
        let mut response = [0; 512];
        // While it is not there, the system says so at once.
        let received = socket
            .send(&message::query(number as u16, name))
            .and_then(|_| socket.recv(&mut response));
        match received {
            Ok(length) => {
                let response = message::response(&response[..length]);
                if response.is_some_and(|it| it.verdict == Verdict::Answered) {
                    return Ok(());
                }
            }
            Err(_) => thread::sleep(START_ATTEMPT),
        }
    }
    Err(Error::NotReady {
        name,
        seconds: START_LIMIT.as_secs(),
    })
}

/// An address whose port is free for UDP and TCP alike.
pub(crate) fn free_address() -> Result<SocketAddr, Error> {
    const TRIES: usize = 16;
    let find = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = socket.local_addr()?;
        TcpListener::bind(address).map(|_| address)
    };
    let mut found = find();
    for _ in 1..TRIES {
        if found.is_ok() {
            break;
        }
        found = find();
    }
    found.to("find a free port")
}

pub(crate) fn dotgate_environment(
    around: &Surroundings<'_>,
    address: SocketAddr,
) -> [(&'static str, OsString); 8] {
    let upstream = format!("{}#{AUTHENTICATION_NAME}", around.upstream.ip());
    [
        ("HOST", address.ip().to_string().into()),
        ("PORT", address.port().to_string().into()),
        ("DNS_HOST", upstream.into()),
        ("DNS_PORT", around.upstream.port().to_string().into()),
        ("SSL_CERT_FILE", around.ca_file.into()),
        ("DOTGATE_SERVER_WORKERS", WORKERS.to_string().into()),
        // All clients of a measurement have one address.
        ("DOTGATE_QUERY_IN_FLIGHT_PER_CLIENT_MAX", "20000".into()),
        // Another instance of this host may have the port.
        ("DOTGATE_ADMIN_LISTEN", "off".into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(folder: &Path) -> Surroundings<'_> {
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, 853));
        Surroundings {
            upstream,
            ca_file: Path::new("ca.pem"),
            folder,
            with_caches: false,
            certificate: None,
            connections: CLIENT_CONNECTIONS,
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_left_out_and_one_that_ends_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Forwarder::Dotgate(folder.path().join("missing"));
        assert!(missing.start(&around(folder.path())).unwrap().is_none());
        let ends_at_once = Forwarder::Dotgate(PathBuf::from("true"));
        let error = ends_at_once.start(&around(folder.path())).err();
        assert!(
            matches!(
                error,
                Some(Error::NotReady {
                    name: "dotgate",
                    ..
                })
            ),
            "{error:?}"
        );
    }

    #[test]
    fn dotgate_gets_two_workers_and_checks_the_upstreams_name() {
        let around = around(Path::new("folder"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 5300));
        let dotgate = dotgate_environment(&around, address)
            .map(|(name, value)| format!("{name}={}", value.to_string_lossy()));
        let expected = [
            "HOST=127.0.0.1",
            "PORT=5300",
            "DNS_HOST=127.0.0.1#dot.test",
            "DNS_PORT=853",
            "SSL_CERT_FILE=ca.pem",
            "DOTGATE_SERVER_WORKERS=2",
            "DOTGATE_QUERY_IN_FLIGHT_PER_CLIENT_MAX=20000",
            "DOTGATE_ADMIN_LISTEN=off",
        ];
        assert_eq!(dotgate, expected);
    }
}
