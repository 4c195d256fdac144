//! Responses that are not read: many TCP connections ask for a long answer and read nothing, while others are served.
//!
//! dotgate runs with the memory limit of the deployments. Looks for what the attack costs: resident memory of the
//! process, memory of the cgroup with the kernel's buffers, and what other clients lose. Needs the right to make a
//! cgroup (version 1 or 2), as root has.

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::Error;
use crate::cpu::Measured;
use crate::error::Action;
use crate::forwarder::{CLIENT_CONNECTIONS, Forwarder, Surroundings};
use crate::load::{self, Load, Names, Outcome, Pace, Stop};
use crate::message;
use crate::upstream::UpstreamProcess;
use crate::usage::Usage;

/// What the cgroup may use.
const MEMORY: u64 = 256 << 20;

/// What resident memory may grow by.
const GROWTH_MAX: u64 = 64 << 20;

/// What the slowest of a hundred innocent queries may take, in microseconds.
const P99_MAX: f64 = 5_000.0;

/// A receive buffer and a segment size with which the client's system takes next to nothing.
const RECEIVE_BUFFER: usize = 4 * 1024;
const SEGMENT: u32 = 1_400;

/// Queries of others per second.
const RATE: u32 = 200;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The phases of a run: before, during and after.
const PHASES: [(&str, Duration); 3] = [
    ("quiet", Duration::from_secs(6)),
    ("attack", Duration::from_secs(10)),
    ("after", Duration::from_secs(4)),
];

/// What to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unread {
    /// A release binary of dotgate.
    pub dotgate: PathBuf,
    /// How many connections read nothing.
    pub connections: u32,
    /// From how many addresses.
    pub addresses: u8,
    /// Queries on each connection.
    pub queries: u32,
}

/// Runs the attack and writes a line per phase to `output`.
///
/// # Errors
/// Where a part does not start, a socket fails or dotgate ends; [`Error::UnreadFailed`] if memory grew too much, or a query
/// of others was lost or slow.
pub fn run(unread: &Unread, output: &mut dyn Write) -> Result<(), Error> {
    let folder = tempfile::tempdir().to("make a folder")?;
    let cgroup = Cgroup::new()?;
    let upstream = UpstreamProcess::start(folder.path())?;
    let around = Surroundings {
        upstream: upstream.address(),
        ca_file: upstream.ca_file(),
        folder: folder.path(),
        with_caches: false,
        certificate: None,
        connections: CLIENT_CONNECTIONS,
    };
    let forwarder = Forwarder::Dotgate(cgroup.starter(folder.path(), &unread.dotgate)?);
    let dotgate = forwarder.start(&around)?.ok_or(Error::NoForwarder)?;
    let length = ask_once(dotgate.address())?;
    let before = Usage::of(dotgate.pid())?.resident;
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    writeln!(
        output,
        "a response of {length} bytes; RSS {:.1} MiB",
        mebibytes(before)
    )
    .to("write")?;
    let mut connections = Vec::new();
    let mut is_sound = true;
    for (number, (name, span)) in PHASES.into_iter().enumerate() {
        let is_over = AtomicBool::new(false);
        let (outcome, most) = thread::scope(|scope| {
            let watch = scope.spawn(|| watch(dotgate.pid(), &cgroup, &is_over));
            let others = scope.spawn(|| innocents(dotgate.address(), dotgate.pid(), number, span));
            match name {
                "attack" => connections = attack(unread, dotgate.address()),
                _ => connections.clear(),
            }
            let outcome = others.join();
            is_over.store(true, Ordering::Relaxed);
            (outcome, watch.join())
        });
        let outcome: Outcome = outcome.map_err(|_| Error::UnreadFailed)??;
        let (resident, used) = most.map_err(|_| Error::UnreadFailed)??;
        let growth = resident.saturating_sub(before);
        let failed = outcome.sent - outcome.tally.answered;
        let micros = |percent| outcome.tally.latency_micros(percent).unwrap_or(f64::NAN);
        writeln!(
            output,
            "{name}: {} connections; RSS grew by {:.1} MiB, cgroup {:.1} MiB; others: {} queries, {failed} lost or failed, \
             p50 {:.0} us, p99 {:.0} us, CPU {:.1} us/query",
            connections.len(),
            mebibytes(growth),
            mebibytes(used),
            outcome.sent,
            micros(50.0),
            micros(99.0),
            outcome.cpu_micros_per_query().unwrap_or(f64::NAN),
        )
        .to("write")?;
        is_sound &= growth < GROWTH_MAX && failed == 0 && micros(99.0) < P99_MAX;
    }
    if is_sound {
        Ok(())
    } else {
        Err(Error::UnreadFailed)
    }
}

/// The most that the process had resident, and that its cgroup used, until it is over.
fn watch(pid: u32, cgroup: &Cgroup, is_over: &AtomicBool) -> Result<(u64, u64), Error> {
    let mut most = (0, 0);
    while !is_over.load(Ordering::Relaxed) {
        let resident = Usage::of(pid)?.resident;
        most = (most.0.max(resident), most.1.max(cgroup.used()));
        thread::sleep(LOOK);
    }
    Ok(most)
}

/// Others ask for a new name each time.
fn innocents(target: SocketAddr, pid: u32, phase: usize, span: Duration) -> Result<Outcome, Error> {
    load::run(&Load {
        target,
        sockets: 16,
        pace: Pace::PerSecond(RATE),
        stop: Stop::After(span),
        timeout: Duration::from_secs(2),
        seed: 1 + phase as u32,
        names: Names::Unique,
        measured: Some(Measured::Process(pid)),
    })
}

/// The query for the long answer, framed.
fn long_query() -> Vec<u8> {
    dotgate_message::framed(&message::long_query())
}

/// Has the answer cached. Returns its length.
fn ask_once(target: SocketAddr) -> Result<usize, Error> {
    let ask = || -> io::Result<usize> {
        let mut stream = TcpStream::connect(target)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(&long_query())?;
        Ok(message::read_framed(&mut stream)?.len())
    };
    ask().to("ask for the long answer")
}

/// Opens the connections and sends the queries. A connection that is not taken is left out.
fn attack(unread: &Unread, target: SocketAddr) -> Vec<Socket> {
    let queries = long_query().repeat(unread.queries as usize);
    let open = |number: u32| -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_tcp_mss(SEGMENT)?;
        let host = 1 + (number % u32::from(unread.addresses)) as u8;
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, 6, host), 0));
        socket.bind(&source.into())?;
        socket.connect_timeout(&target.into(), Duration::from_secs(1))?;
        socket.send(&queries)?;
        Ok(socket)
    };
    (0..unread.connections)
        .filter_map(|number| open(number).ok())
        .collect()
}

/// A cgroup with a memory limit, removed at the end.
struct Cgroup {
    folder: PathBuf,
    usage: &'static str,
}

impl Cgroup {
    fn new() -> Result<Cgroup, Error> {
        let version_1 = Path::new("/sys/fs/cgroup/memory");
        let (root, limit, usage) = match version_1.is_dir() {
            true => (version_1, "memory.limit_in_bytes", "memory.usage_in_bytes"),
            false => (Path::new("/sys/fs/cgroup"), "memory.max", "memory.current"),
        };
        let folder = root.join(format!("dotgate-bench-{}", std::process::id()));
        fs::create_dir(&folder).to("make a cgroup (this needs root)")?;
        let cgroup = Cgroup { folder, usage };
        fs::write(cgroup.folder.join(limit), MEMORY.to_string()).to("limit the cgroup's memory")?;
        Ok(cgroup)
    }

    /// A script that becomes the program inside the cgroup.
    fn starter(&self, folder: &Path, program: &Path) -> Result<PathBuf, Error> {
        let program = program.canonicalize().to("find dotgate")?;
        let path = folder.join("start.sh");
        let procs = self.folder.join("cgroup.procs");
        let script = format!(
            "#!/bin/sh\necho $$ >'{}' && exec '{}' \"$@\"\n",
            procs.display(),
            program.display()
        );
        fs::write(&path, script).to("write a script")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .to("make a script executable")?;
        Ok(path)
    }

    /// What it uses now, in bytes, with the kernel's buffers.
    fn used(&self) -> u64 {
        let text = fs::read_to_string(self.folder.join(self.usage)).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    }
}

impl Drop for Cgroup {
    /// It goes once its process has ended; a moment may pass until the system knows.
    fn drop(&mut self) {
        for _ in 0..20 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            thread::sleep(LOOK);
        }
    }
}
