//! Rolling restarts: a few instances behind a balancer, at a fixed rate below saturation, all replaced again and again.
//!
//! As a Deployment does it with one instance more than it wants: start a new one, wait until it is ready and a
//! while longer, tell an old one to stop, and go on with the next while that one drains. Clients ask once and
//! never again, so what is lost is lost.

mod balancer;
mod clients;

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dotgate_net::boottime_nanos;
use rustix::process::{Pid, Signal, kill_process};

use crate::Error;
use crate::error::Action;
use crate::forwarder::{CLIENT_CONNECTIONS, Surroundings, dotgate_environment, end};
use crate::upstream::Upstream;
use balancer::Balancer;
pub use balancer::{Flows, Probing};
use clients::Clients;
pub use clients::{Asking, Counts, Kind, Outcome};

/// What an instance has to get ready, or to end.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often it is checked whether an instance has started or ended.
const LOOK: Duration = Duration::from_millis(5);

/// What to do under load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Roll {
    /// A binary.
    pub dotgate: PathBuf,
    /// Instances that are wanted.
    pub instances: u32,
    /// How often all of them are replaced.
    pub rollouts: u32,
    /// How long a new one is ready before an old one goes (`minReadySeconds`).
    pub min_ready: Duration,
    /// `DOTGATE_SERVER_DRAIN_MAX`.
    pub drain_max: Duration,
    /// How the balancer sees who is ready.
    pub probing: Probing,
    /// What clients do.
    pub asking: Asking,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rolled {
    /// Queries, by the kind of their flow.
    pub outcome: Outcome,
    /// How long each instance lived after the signal to stop.
    pub drains: Vec<Duration>,
    /// Those among the queries that were dropped before the balancer, by a machine that was busy.
    pub dropped: u64,
}

impl Rolled {
    /// Queries without an answer from flows that end; those of endless ones are reported and not counted.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        let [short, long, _] = self.outcome;
        short.sent + long.sent - short.answered - long.answered
    }
}

/// Runs clients and rollouts, and writes a line for each rollout and the result to `output`.
///
/// # Errors
/// Where a part does not start or a socket fails; [`Error::RollFailed`] if an instance did not get ready or did not
/// end well.
pub fn run(roll: &Roll, output: &mut (dyn Write + Send)) -> Result<Rolled, Error> {
    dotgate_net::raise_descriptor_limit().to("raise the limit on descriptors")?;
    let folder = tempfile::tempdir().to("make a folder")?;
    let ca_file = folder.path().join("ca.pem");
    let upstream = Upstream::bind((Ipv4Addr::LOCALHOST, 0).into(), &ca_file, None)?;
    let around = Surroundings {
        upstream: upstream.local_addr()?,
        ca_file: &ca_file,
        folder: folder.path(),
        with_caches: false,
        certificate: None,
        connections: CLIENT_CONNECTIONS,
    };
    // Its thread ends with the process.
    thread::spawn(move || upstream.run());
    let balancer = Balancer::start(roll.probing)?;
    let mut fleet = Fleet::start(roll, &around, &balancer)?;
    let clients = Clients::new(roll.asking, balancer.address())?;
    let is_rolled = AtomicBool::new(false);
    let (outcome, rolling) = thread::scope(|scope| {
        let rolling = scope.spawn(|| {
            let outcome = fleet.roll_all(output);
            is_rolled.store(true, Ordering::Release);
            outcome
        });
        let outcome = clients.run(|| !is_rolled.load(Ordering::Acquire));
        (outcome, rolling.join())
    });
    rolling.map_err(|_| Error::RollFailed)??;
    let rolled = Rolled {
        outcome: outcome?,
        drains: std::mem::take(&mut fleet.drains),
        dropped: balancer.dropped(),
    };
    write_result(&rolled, output).to("write the result")?;
    Ok(rolled)
}

fn write_result(rolled: &Rolled, output: &mut dyn Write) -> io::Result<()> {
    for kind in Kind::ALL {
        let counts = rolled.outcome[kind as usize];
        writeln!(
            output,
            "{kind:?} flows: {} queries, {} answered, {} failed, {} lost",
            counts.sent, counts.answered, counts.failed, counts.lost
        )?;
    }
    let longest = rolled.drains.iter().max().copied().unwrap_or_default();
    let shortest = rolled.drains.iter().min().copied().unwrap_or_default();
    writeln!(
        output,
        "{} instances replaced, each drained for {:.1} to {:.1} s; {} queries of flows that end got no answer, {} were dropped \
         before the balancer",
        rolled.drains.len(),
        shortest.as_secs_f64(),
        longest.as_secs_f64(),
        rolled.unanswered(),
        rolled.dropped
    )
}

/// One instance; dropping it ends the process.
struct Instance {
    number: u32,
    child: Child,
    /// When it was stopped.
    stopped_at: u64,
}

impl Drop for Instance {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// All instances behind the balancer.
struct Fleet<'a> {
    roll: &'a Roll,
    around: &'a Surroundings<'a>,
    balancer: &'a Balancer,
    started: u32,
    serving: Vec<Instance>,
    ending: Vec<Instance>,
    drains: Vec<Duration>,
}

impl<'a> Fleet<'a> {
    fn start(
        roll: &'a Roll,
        around: &'a Surroundings<'a>,
        balancer: &'a Balancer,
    ) -> Result<Fleet<'a>, Error> {
        let mut fleet = Fleet {
            roll,
            around,
            balancer,
            started: 0,
            serving: Vec::new(),
            ending: Vec::new(),
            drains: Vec::new(),
        };
        for _ in 0..roll.instances {
            fleet.start_one()?;
        }
        Ok(fleet)
    }

    fn roll_all(&mut self, output: &mut dyn Write) -> Result<(), Error> {
        let start = boottime_nanos();
        for number in 1..=self.roll.rollouts {
            for _ in 0..self.roll.instances {
                self.start_one()?;
                let until = boottime_nanos() + self.roll.min_ready.as_nanos() as u64;
                self.wait(|_| boottime_nanos() >= until)?;
                let mut old = self.serving.remove(0);
                old.stopped_at = boottime_nanos();
                kill_process(Pid::from_child(&old.child), Signal::TERM)
                    .map_err(io::Error::from)
                    .to("send SIGTERM")?;
                self.ending.push(old);
            }
            let seconds = (boottime_nanos() - start) as f64 / 1e9;
            writeln!(output, "{seconds:.1} s: rollout {number} done")
                .and_then(|()| output.flush())
                .to("write the result")?;
        }
        self.wait(|fleet| fleet.ending.is_empty())
    }

    /// Starts an instance and waits until the balancer sends to it.
    fn start_one(&mut self) -> Result<(), Error> {
        self.started += 1;
        let number = self.started;
        let mut command = Command::new(&self.roll.dotgate);
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // Not the variables of the test run, which dotgate would reject.
        command.env_clear();
        command.envs(dotgate_environment(self.around, any_port));
        command.env("DOTGATE_ADMIN_LISTEN", any_port.to_string());
        command.env(
            "DOTGATE_SERVER_DRAIN_MAX",
            format!("{}ms", self.roll.drain_max.as_millis()),
        );
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::piped()).spawn();
        let mut instance = Instance {
            number,
            child: child.to("start dotgate")?,
            stopped_at: 0,
        };
        let (dns, admin) = listening(&mut instance.child).ok_or(Error::RollFailed)?;
        self.balancer.add(number, dns, admin);
        self.serving.push(instance);
        self.wait(|fleet| fleet.balancer.is_ready(number))
    }

    /// Waits for something, while instances that end are taken from the balancer.
    fn wait(&mut self, is_met: impl Fn(&Fleet<'_>) -> bool) -> Result<(), Error> {
        let given_up = boottime_nanos() + WAIT_MAX.as_nanos() as u64;
        while !is_met(self) {
            if boottime_nanos() > given_up {
                return Err(Error::RollFailed);
            }
            self.take_ended()?;
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn take_ended(&mut self) -> Result<(), Error> {
        let mut place = 0;
        while let Some(instance) = self.ending.get_mut(place) {
            let Some(status) = instance.child.try_wait().to("look after a process")? else {
                place += 1;
                continue;
            };
            self.balancer.remove(instance.number);
            let drained = boottime_nanos() - instance.stopped_at;
            self.drains.push(Duration::from_nanos(drained));
            self.ending.swap_remove(place);
            if !status.success() {
                return Err(Error::RollFailed);
            }
        }
        Ok(())
    }
}

/// Where a process that was just started listens for queries and for probes, as it logs when it serves. `None` if
/// it ends before.
fn listening(child: &mut Child) -> Option<(SocketAddr, SocketAddr)> {
    let mut log = BufReader::new(child.stderr.take()?);
    let mut line = String::new();
    while !line.contains("serving DNS") {
        line.clear();
        if log.read_line(&mut line).ok()? == 0 {
            return None;
        }
    }
    // What it says later must go somewhere, or it is lost line by line.
    thread::spawn(move || io::copy(&mut log, &mut io::sink()));
    let after = |words: &str| {
        let (_, behind) = line.split_once(words)?;
        behind.split(['"', ',']).next()?.parse().ok()
    };
    Some((after("listen=\"")?, after("admin=\"")?))
}
