//! The forwarders compared, each set up for the same work and as fast as its manual tells.
//!
//! All get two workers or threads, share the port between them, and check the upstream's certificate
//! and name. dotgate keeps its cache as it comes; dnsdist and Unbound get one where names are asked
//! again, large enough and without refresh, and none where no name is asked twice. The echo, next to
//! them, is no forwarder but the floor below all.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Error;
use crate::error::Action;
use crate::load::{self, Load, Names, Pace, Stop};
use crate::upstream::AUTHENTICATION_NAME;

/// Workers or threads of each forwarder.
pub const WORKERS: usize = 2;

/// How long a forwarder has to answer its first query.
const START_LIMIT: Duration = Duration::from_secs(15);
/// One attempt to get an answer while it starts.
const START_ATTEMPT: Duration = Duration::from_millis(250);

/// A program that forwards plain DNS to DNS over TLS, or stands for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Forwarder {
    /// dotgate: the path of a release binary.
    Dotgate(PathBuf),
    /// The same with its cache switched off.
    DotgateUncached(PathBuf),
    /// dnsdist (PowerDNS) as installed.
    Dnsdist,
    /// Unbound as installed.
    Unbound,
    /// This program's own [`crate::echo`].
    Echo,
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
    /// Whether dnsdist and Unbound are to answer from a cache.
    pub with_caches: bool,
}

/// A forwarder that runs; dropping it ends the process.
pub struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it takes queries over UDP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Kills a process and waits for its end. One that is gone already is as good.
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
            Forwarder::Dnsdist => "dnsdist",
            Forwarder::Unbound => "unbound",
            Forwarder::Echo => "echo",
        }
    }

    /// Starts it on a free port and waits until it answers. `None` if it is not installed.
    ///
    /// # Errors
    /// [`Error::NotReady`] if it does not answer within 15 s; its output is in
    /// `folder/NAME.log`.
    pub fn start(&self, surroundings: &Surroundings<'_>) -> Result<Option<Running>, Error> {
        let address = free_address()?;
        let log = File::create(surroundings.folder.join(format!("{}.log", self.name())))
            .to("make a log file")?;
        let mut command = self.command(surroundings, address)?;
        command.stdin(Stdio::null());
        command
            .stdout(log.try_clone().to("share a log file")?)
            .stderr(log);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).to("start a forwarder"),
        };
        let mut running = Running { child, address };
        wait_until_it_answers(self.name(), address, &mut running.child)?;
        Ok(Some(running))
    }

    fn command(&self, around: &Surroundings<'_>, address: SocketAddr) -> Result<Command, Error> {
        let configure = |text: String| -> Result<PathBuf, Error> {
            let path = around.folder.join(format!("{}.conf", self.name()));
            fs::write(&path, text).to("write a configuration")?;
            Ok(path)
        };
        Ok(match self {
            Forwarder::Dotgate(program) => {
                let mut command = Command::new(program);
                command.envs(dotgate_environment(around, address));
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
            Forwarder::Dnsdist => {
                let mut command = Command::new("dnsdist");
                let file = configure(dnsdist_configuration(around, address))?;
                command
                    .args(["--supervised", "--disable-syslog", "-C"])
                    .arg(file);
                command
            }
            Forwarder::Unbound => {
                let mut command = Command::new("unbound");
                command
                    .args(["-d", "-c"])
                    .arg(configure(unbound_configuration(around, address))?);
                command
            }
        })
    }
}

/// Waits until the process that was started answers a query at `address`.
pub(crate) fn wait_until_it_answers(
    name: &'static str,
    address: SocketAddr,
    child: &mut Child,
) -> Result<(), Error> {
    let attempts = START_LIMIT.as_millis() / START_ATTEMPT.as_millis();
    for attempt in 0..attempts {
        let outcome = load::run(&Load {
            target: address,
            sockets: 1,
            pace: Pace::Window(1),
            stop: Stop::Queries(1),
            timeout: START_ATTEMPT,
            // Names that no measurement uses.
            seed: u32::MAX - attempt as u32,
            names: Names::Unique,
            pid: None,
        })?;
        if outcome.tally.answered == 1 {
            return Ok(());
        }
        if child.try_wait().to("look after a forwarder")?.is_some() {
            break;
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

/// dnsdist 1.7 hands a query from its UDP thread over to a TCP thread, which owns the sessions to
/// the upstream. It sends one query per session at a time unless `maxInFlight` says otherwise. What it
/// keeps of all traffic for inspection is switched off, which versions before 1.8 know as size 0.
fn dnsdist_configuration(around: &Surroundings<'_>, address: SocketAddr) -> String {
    let listener = format!("addLocal(\"{address}\", {{reusePort=true}})\n");
    let cache = if around.with_caches {
        "getPool(\"\"):setCache(newPacketCache(1000000, {numberOfShards=64}))\n"
    } else {
        ""
    };
    format!(
        "setSecurityPollSuffix(\"\")\n\
         setUDPMultipleMessagesVectorSize(32)\n\
         setUDPSocketBufferSizes(4194304, 4194304)\n\
         if setRingBuffersOptions == nil then setRingBuffersSize(0, 64) else \
         setRingBuffersOptions({{recordQueries=false, recordResponses=false}}) end\n\
         setMaxTCPClientThreads({WORKERS})\n\
         setTCPInternalPipeBufferSize(1048576)\n\
         setMaxTCPQueuedConnections(100000)\n\
         {}{cache}\
         newServer({{address=\"{}\", tls=\"openssl\", subjectName=\"{AUTHENTICATION_NAME}\", \
         caStore=\"{}\", validateCertificates=true, maxInFlight=1000, \
         checkName=\"health.example.com.\"}})\n",
        listener.repeat(WORKERS),
        around.upstream,
        around.ca_file.display(),
    )
}

/// Unbound closes a session after 200 queries unless `max-reuse-tcp-queries` says otherwise, and
/// would pay for a handshake every time. What is not said here is its default: no refresh of what is
/// asked for often, no log, no statistics. Slabs as its guide to speed says, a few per thread.
fn unbound_configuration(around: &Surroundings<'_>, address: SocketAddr) -> String {
    let forward_no_cache = if around.with_caches { "no" } else { "yes" };
    format!(
        "server:\n\
         \x20 interface: {}@{}\n\
         \x20 num-threads: {WORKERS}\n\
         \x20 so-reuseport: yes\n\
         \x20 module-config: \"iterator\"\n\
         \x20 tls-cert-bundle: \"{}\"\n\
         \x20 do-not-query-localhost: no\n\
         \x20 msg-cache-size: 128m\n\
         \x20 rrset-cache-size: 256m\n\
         \x20 msg-cache-slabs: 4\n\
         \x20 rrset-cache-slabs: 4\n\
         \x20 infra-cache-slabs: 4\n\
         \x20 prefetch: no\n\
         \x20 rrset-roundrobin: no\n\
         \x20 verbosity: 0\n\
         \x20 so-rcvbuf: 4m\n\
         \x20 num-queries-per-thread: 4096\n\
         \x20 outgoing-num-tcp: 10\n\
         \x20 max-reuse-tcp-queries: 1000000\n\
         \x20 outgoing-range: 8192\n\
         \x20 username: \"\"\n\
         \x20 chroot: \"\"\n\
         \x20 pidfile: \"\"\n\
         \x20 use-syslog: no\n\
         remote-control:\n\
         \x20 control-enable: no\n\
         forward-zone:\n\
         \x20 name: \".\"\n\
         \x20 forward-tls-upstream: yes\n\
         \x20 forward-no-cache: {forward_no_cache}\n\
         \x20 forward-addr: {}@{}#{AUTHENTICATION_NAME}\n",
        address.ip(),
        address.port(),
        around.ca_file.display(),
        around.upstream.ip(),
        around.upstream.port(),
    )
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
    fn others_answer_from_a_cache_only_where_names_are_asked_again() {
        let cold = around(Path::new("folder"));
        let warm = Surroundings {
            with_caches: true,
            ..cold
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 5300));
        assert!(dnsdist_configuration(&warm, address).contains("setCache("));
        assert!(!dnsdist_configuration(&cold, address).contains("setCache("));
        assert!(unbound_configuration(&warm, address).contains("forward-no-cache: no\n"));
        assert!(unbound_configuration(&cold, address).contains("forward-no-cache: yes\n"));
    }

    #[test]
    fn every_forwarder_gets_two_workers_and_checks_the_upstreams_name() {
        let around = around(Path::new("folder"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 5300));
        let dnsdist = dnsdist_configuration(&around, address);
        let listener = "addLocal(\"127.0.0.1:5300\", {reusePort=true})\n";
        assert_eq!(dnsdist.matches(listener).count(), 2);
        assert!(dnsdist.contains("subjectName=\"dot.test\", caStore=\"ca.pem\""));
        assert!(dnsdist.contains("validateCertificates=true, maxInFlight=1000"));
        let unbound = unbound_configuration(&around, address);
        assert!(unbound.contains("\n  interface: 127.0.0.1@5300\n  num-threads: 2\n"));
        assert!(unbound.contains("\n  forward-addr: 127.0.0.1@853#dot.test\n"));
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
