//! The soak: dotgate under a steady high load for long, with an upstream that is killed and started
//! again, and a line every minute.
//!
//! Looks for what grows with time: memory, descriptors, CPU time per query; and for what a restart
//! of the upstream costs: queries lost, SERVFAIL. It says at the end whether all of it held.

mod memory;
mod stream;

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::error::Action;
use crate::forwarder::{CLIENT_CONNECTIONS, Forwarder, Running, Surroundings};
use crate::load::{self, Load, Names, Outcome, Pace, Stop};
use crate::upstream::UpstreamProcess;
use crate::usage::Usage;
use crate::{Error, cpu};
use memory::Memory;
use stream::Streams;

/// Client sockets over UDP, and connections over TCP.
const SOCKETS: u16 = 32;
const CONNECTIONS: u16 = 8;

/// Of so many queries one is sent over TCP.
const ONE_OVER_TCP: u32 = 5;

/// A query not answered for so long is lost; dotgate's own deadline is 4 s.
const TIMEOUT: Duration = Duration::from_secs(6);

/// How often memory is looked at, and whether a restart is due.
const LOOK: Duration = Duration::from_millis(250);

/// What to soak, and how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Soak {
    /// A release binary of dotgate.
    pub dotgate: PathBuf,
    /// How many lines, which are minutes.
    pub minutes: u32,
    /// Queries per second.
    pub rate: u32,
    /// The pause between two restarts of the upstream.
    pub restart_every: Duration,
}

/// What the clients of one minute saw.
struct Minute {
    udp: Outcome,
    tcp: Outcome,
    cpu_nanos: u64,
    restarts: u64,
    usage: Usage,
}

impl Minute {
    fn sum(&self, of: impl Fn(&Outcome) -> u64) -> u64 {
        of(&self.udp) + of(&self.tcp)
    }

    fn answered(&self) -> u64 {
        self.sum(|outcome| outcome.tally.answered)
    }

    /// Queries that did not get their answer, and datagrams that answer none.
    fn failures(&self) -> u64 {
        self.sum(|outcome| outcome.sent - outcome.tally.answered + outcome.tally.wrong)
    }

    fn line(&self) -> String {
        format!(
            "{} answered ({} over TCP), {} lost, {} SERVFAIL, {} other, {} late, {} wrong; \
             RSS {:.1} MiB, {} descriptors; CPU {:.2} us/query; {} restarts of the upstream",
            self.answered(),
            self.tcp.tally.answered,
            self.sum(Outcome::lost),
            self.sum(|outcome| outcome.tally.server_failures),
            self.sum(|outcome| outcome.tally.other),
            self.sum(|outcome| outcome.tally.late),
            self.sum(|outcome| outcome.tally.wrong),
            self.usage.resident as f64 / f64::from(1 << 20),
            self.usage.descriptors,
            self.cpu_nanos as f64 / 1e3 / self.answered().max(1) as f64,
            self.restarts,
        )
    }
}

/// Runs a soak and writes a line per minute, and its verdict, to `output`.
///
/// # Errors
/// Where a part does not start, a socket fails or dotgate ends; [`Error::SoakFailed`] if a query
/// was not answered or memory grew.
pub fn run(soak: &Soak, output: &mut dyn Write) -> Result<(), Error> {
    let folder = tempfile::tempdir().to("make a folder")?;
    let mut upstream = UpstreamProcess::start(folder.path())?;
    let ca_file = upstream.ca_file().to_owned();
    let around = Surroundings {
        upstream: upstream.address(),
        ca_file: &ca_file,
        folder: folder.path(),
        with_caches: false,
        certificate: None,
        connections: CLIENT_CONNECTIONS,
    };
    let forwarder = Forwarder::Dotgate(soak.dotgate.clone());
    let dotgate = forwarder.start(&around)?.ok_or(Error::NoForwarder)?;
    let is_over = AtomicBool::new(false);
    let restarts = AtomicU64::new(0);
    let mut failures = 0;
    let memory = thread::scope(|scope| {
        let watch = scope.spawn(|| watch(soak, &mut upstream, dotgate.pid(), &is_over, &restarts));
        let mut soaked = Ok(());
        for number in 1..=soak.minutes {
            let reported = minute(soak, &dotgate, number, &restarts).and_then(|minute| {
                failures += minute.failures();
                writeln!(output, "minute {number}: {}", minute.line())
                    .and_then(|()| output.flush())
                    .to("write the result")
            });
            if reported.is_err() || watch.is_finished() {
                soaked = reported;
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let memory = watch.join().unwrap_or(Err(Error::SoakFailed));
        soaked.and(memory)
    })?;
    let verdict = memory.verdict();
    let is_flat = verdict.as_ref().is_some_and(memory::Verdict::is_flat);
    writeln!(output, "queries without their answer: {failures}").to("write the result")?;
    match verdict {
        Some(verdict) => writeln!(output, "memory: {verdict}"),
        None => writeln!(output, "memory: not looked at often enough"),
    }
    .to("write the result")?;
    if failures == 0 && is_flat {
        Ok(())
    } else {
        Err(Error::SoakFailed)
    }
}

/// Restarts the upstream now and then, and notes dotgate's memory.
fn watch(
    soak: &Soak,
    upstream: &mut UpstreamProcess,
    pid: u32,
    is_over: &AtomicBool,
    restarts: &AtomicU64,
) -> Result<Memory, Error> {
    let mut memory = Memory::default();
    let mut since_restart = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(LOOK);
        memory.note(Usage::of(pid)?.resident);
        since_restart += LOOK;
        if since_restart >= soak.restart_every {
            since_restart = Duration::ZERO;
            upstream.restart()?;
            restarts.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(memory)
}

/// A minute of load over both transports.
fn minute(
    soak: &Soak,
    dotgate: &Running,
    number: u32,
    restarts: &AtomicU64,
) -> Result<Minute, Error> {
    const LENGTH: Duration = Duration::from_secs(60);
    let over_tcp = soak.rate / ONE_OVER_TCP;
    let streams = Streams {
        target: dotgate.address(),
        connections: CONNECTIONS,
        rate: over_tcp,
        length: LENGTH,
        timeout: TIMEOUT,
        seed: number,
        // The sockets of the other load come before.
        first_socket: SOCKETS,
    };
    let datagrams = Load {
        target: dotgate.address(),
        sockets: SOCKETS,
        pace: Pace::PerSecond(soak.rate - over_tcp),
        stop: Stop::After(LENGTH),
        timeout: TIMEOUT,
        seed: number,
        names: Names::Unique,
        measured: None,
    };
    let restarts_before = restarts.load(Ordering::Relaxed);
    let cpu_before = cpu::process_nanos(dotgate.pid())?;
    let (udp, tcp) = thread::scope(|scope| {
        let tcp = scope.spawn(|| stream::run(&streams));
        let udp = load::run(&datagrams);
        (udp, tcp.join())
    });
    Ok(Minute {
        udp: udp?,
        tcp: tcp.map_err(|_| Error::SoakFailed)?,
        cpu_nanos: cpu::process_nanos(dotgate.pid())? - cpu_before,
        restarts: restarts.load(Ordering::Relaxed) - restarts_before,
        usage: Usage::of(dotgate.pid())?,
    })
}
