//! The runs of a comparison: each forwarder freshly started, warmed up, and loaded.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use dotgate_net::boottime_nanos;

use super::{Comparison, DOWN, Runs, Traffic, Transport, line};
use crate::Error;
use crate::cpu::{self, Measured};
use crate::error::Action;
use crate::forwarder::{Forwarder, Running, Surroundings};
use crate::load::streams::{self, Layer, StreamLoad};
use crate::load::{self, Load, Names, Outcome, Pace, Stop};
use crate::upstream::UpstreamProcess;
use crate::usage::Usage;

/// Times all names are asked to warm a cache; one that does not answer from it then has none.
const WARMING_PASSES: u32 = 5;
/// Queries in flight then.
const WARMING_WINDOW: usize = 256;
/// How long that takes at most: a cache that is not warm by then does not get warm.
const WARMING_MAX: Duration = Duration::from_secs(20);

/// The measurement that names of a run belong to; of unique names, those of the load before it and after it.
const SEED: u32 = 1;
const WARM_UP_SEED: u32 = 0;
const COUNTING_SEED: u32 = 2;

/// How long system calls are counted.
const COUNTING: Duration = Duration::from_secs(1);

/// Where forwarders are measured.
pub(super) struct Stage<'a> {
    pub(super) comparison: &'a Comparison,
    pub(super) upstream: Mutex<UpstreamProcess>,
    pub(super) around: Surroundings<'a>,
    /// Numbers of the names drawn for a run.
    pub(super) drawn: Vec<u32>,
}

impl Stage<'_> {
    pub(super) fn rounds(
        &self,
        forwarders: &[&Forwarder],
        pace: Pace,
        output: &mut dyn Write,
    ) -> Result<Vec<Runs>, Error> {
        let mut runs: Vec<Runs> = forwarders
            .iter()
            .map(|forwarder| Runs::new(forwarder.name()))
            .collect();
        for round in 1..=self.comparison.rounds {
            for (forwarder, runs) in forwarders.iter().zip(&mut runs) {
                write!(output, "round {round} {}: ", runs.name).to("write the result")?;
                let counts_calls = round == self.comparison.rounds && self.comparison.counts_calls;
                match self.run(forwarder, pace, counts_calls, runs, output) {
                    Err(error) if error.is_of_a_forwarder() => {
                        writeln!(output, "{error}: no run").to("write the result")?;
                    }
                    outcome => outcome?,
                }
                output.flush().to("write the result")?;
            }
        }
        Ok(runs)
    }

    /// One run, with the system calls if they are to be counted.
    fn run(
        &self,
        forwarder: &Forwarder,
        pace: Pace,
        counts_calls: bool,
        runs: &mut Runs,
        output: &mut dyn Write,
    ) -> Result<(), Error> {
        let Some(running) = forwarder.start(&self.around)? else {
            return writeln!(output, "not installed").to("write the result");
        };
        if !self.warm(&running, pace)? {
            write!(output, "not warm; ").to("write the result")?;
        }
        let before = self.forwarded()?;
        let outcome = self.measure(&running, pace)?;
        let forwarded = self.forwarded()?.saturating_sub(before);
        // One that has ended has none.
        let resident = Usage::of_group(running.pid())?.resident;
        writeln!(output, "{}; {forwarded} to the upstream", line(&outcome))
            .to("write the result")?;
        runs.forwarded += forwarded;
        runs.resident = runs.resident.max(resident);
        runs.outcomes.push(outcome);
        if counts_calls {
            runs.calls = self.count_calls(&running, pace)?;
        }
        Ok(())
    }

    /// Queries that the upstream has answered.
    fn forwarded(&self) -> Result<u64, Error> {
        self.upstream
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .answered()
    }

    fn measure(&self, running: &Running, pace: Pace) -> Result<Outcome, Error> {
        if !self.comparison.restarts {
            return self.put(
                Stop::After(self.comparison.run),
                SEED,
                Some(Measured::Group(running.pid())),
                (running, pace),
            );
        }
        // A quarter before the upstream ends; the rest is for those who need long to find it again.
        let before = self.comparison.run / 4;
        thread::scope(|scope| {
            let restart = scope.spawn(|| {
                thread::sleep(before);
                let mut upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
                upstream.kill();
                thread::sleep(DOWN);
                upstream.restart()
            });
            let outcome = self.put(
                Stop::After(self.comparison.run),
                SEED,
                Some(Measured::Group(running.pid())),
                (running, pace),
            );
            restart.join().unwrap_or(Err(Error::UpstreamNotStarted))?;
            outcome
        })
    }

    /// Puts the load on a forwarder, with names of this seed if none is to be asked for twice.
    fn put(
        &self,
        stop: Stop,
        seed: u32,
        measured: Option<Measured>,
        (running, pace): (&Running, Pace),
    ) -> Result<Outcome, Error> {
        let (names, seed) = match self.comparison.traffic {
            Traffic::Unique => (Names::Unique, seed),
            Traffic::Cached(_) => (Names::Listed(&self.drawn), SEED),
            Traffic::Mixed => (Names::Mixed(&self.drawn), SEED),
        };
        let (layer, queries_per_connection) = match self.comparison.transport {
            Transport::Udp => {
                return load::run(&Load {
                    target: running.address(),
                    sockets: self.comparison.sockets,
                    pace,
                    stop,
                    timeout: self.comparison.timeout,
                    seed,
                    names,
                    measured,
                });
            }
            Transport::Tcp => (Layer::Tcp, u64::MAX),
            Transport::TcpOnce => (Layer::Tcp, 1),
            Transport::Tls => (Layer::Tls(self.around.ca_file), u64::MAX),
        };
        let window = match pace {
            Pace::Window(window) => window as u32 / u32::from(self.comparison.sockets.max(1)),
            Pace::PerSecond(_) => 1,
        };
        streams::run(&StreamLoad {
            target: match layer {
                Layer::Tcp => running.address(),
                Layer::Tls(_) => running.tls_address(),
            },
            layer,
            connections: self.comparison.sockets,
            window: window.max(1),
            queries_per_connection,
            stop,
            timeout: self.comparison.timeout,
            seed,
            names,
            measured,
        })
    }

    /// Puts the load on a forwarder that is not measured. Whether its cache knows all names then.
    fn warm(&self, running: &Running, pace: Pace) -> Result<bool, Error> {
        let mut is_warm = true;
        if let Traffic::Cached(warm) = self.comparison.traffic {
            let all: Vec<u32> = (0..warm.names).collect();
            is_warm = self.ask_until_none_is_forwarded(&all, running)?;
        }
        let stop = Stop::After(self.comparison.warm_up);
        self.put(stop, WARM_UP_SEED, None, (running, pace))?;
        Ok(is_warm)
    }

    /// Asks for all names, again and again. Whether the last pass sent none to the upstream.
    fn ask_until_none_is_forwarded(&self, all: &[u32], running: &Running) -> Result<bool, Error> {
        let start = boottime_nanos();
        for _ in 0..WARMING_PASSES {
            let elapsed = Duration::from_nanos(boottime_nanos() - start);
            let Some(rest) = WARMING_MAX.checked_sub(elapsed) else {
                return Ok(false);
            };
            let before = self.forwarded()?;
            if !self.ask_for_all(all, rest, running)? {
                return Ok(false);
            }
            if self.forwarded()? == before {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks for all names once; over TLS if that is what clients use, because some forwarders have a cache for that alone.
    /// Whether that was done within this time.
    fn ask_for_all(&self, all: &[u32], within: Duration, running: &Running) -> Result<bool, Error> {
        let (stop, names) = (
            Stop::QueriesWithin(all.len() as u64, within),
            Names::Listed(all),
        );
        let (sockets, timeout) = (self.comparison.sockets, self.comparison.timeout);
        if self.comparison.transport == Transport::Tls {
            let outcome = streams::run(&StreamLoad {
                target: running.tls_address(),
                layer: Layer::Tls(self.around.ca_file),
                connections: sockets,
                window: WARMING_WINDOW as u32 / u32::from(sockets.max(1)),
                queries_per_connection: u64::MAX,
                stop,
                timeout,
                seed: SEED,
                names,
                measured: None,
            })?;
            return Ok(outcome.sent == all.len() as u64);
        }
        let outcome = load::run(&Load {
            target: running.address(),
            sockets,
            pace: Pace::Window(WARMING_WINDOW),
            stop,
            timeout,
            seed: SEED,
            names,
            measured: None,
        })?;
        Ok(outcome.sent == all.len() as u64)
    }

    /// System calls of a forwarder per query answered, in a run of its own. `None` where `perf` is missing or refused.
    fn count_calls(&self, running: &Running, pace: Pace) -> Result<Option<f64>, Error> {
        let pids: Vec<String> = cpu::members(running.pid())
            .iter()
            .map(ToString::to_string)
            .collect();
        let seconds = (COUNTING * 2).as_secs_f64().to_string();
        let counter = Command::new("perf")
            .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p"])
            .args([&pids.join(","), "--", "sleep", &seconds])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(counter) = counter else {
            return Ok(None);
        };
        // It counts longer than the load lasts: before and after, a forwarder has next to nothing to do.
        let outcome = self.put(Stop::After(COUNTING), COUNTING_SEED, None, (running, pace))?;
        let output = counter.wait_with_output().to("count system calls")?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let calls = words
            .lines()
            .filter(|line| line.contains("sys_enter"))
            .find_map(|line| line.split(',').next()?.parse::<f64>().ok());
        let answered = outcome.tally.answered.max(1) as f64;
        Ok(calls.map(|calls| calls / answered))
    }
}
