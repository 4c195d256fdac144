//! Replacing and reloading: dotgate at a fixed rate below saturation while its process is replaced and its settings
//! are read again, in turns, evenly spread over the load.
//!
//! Clients ask once and never again, so what is lost is lost. It says after each change what came of it, and at the
//! end how many queries got no answer; one is a failure.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use dotgate_net::boottime_nanos;

use crate::error::Action;
use crate::forwarder::{
    CLIENT_CONNECTIONS, Surroundings, dotgate_environment, end, free_address, wait_until_it_answers,
};
use crate::load::{self, Load, Names, Pace, Stop};
use crate::upstream::{AUTHENTICATION_NAME, UpstreamProcess};
use crate::{Error, compare};

/// Client sockets: enough for the kernel to spread them over all of dotgate's.
const SOCKETS: u16 = 32;

/// A query not answered for so long is lost; dotgate's own deadline is 4 s.
const TIMEOUT: Duration = Duration::from_secs(6);

/// What a process has to end after another one took over.
const ENDING: Duration = Duration::from_secs(30);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(10);

/// What to do under load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replace {
    /// The release binaries that follow one another in turns; at least one.
    pub programs: Vec<PathBuf>,
    /// Queries in all.
    pub queries: u64,
    /// Queries per second.
    pub rate: u32,
    /// How often the process is replaced.
    pub replacements: u32,
    /// How often its file of settings is changed and it gets SIGHUP.
    pub reloads: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    Replace,
    Reload,
}

impl Replace {
    /// All changes, those of either kind spread evenly.
    fn changes(&self) -> Vec<Change> {
        let (replacements, reloads) = (u64::from(self.replacements), u64::from(self.reloads));
        let all = replacements + reloads;
        let replaced_by = |count: u64| (count * replacements).div_ceil(all.max(1));
        let change = |number| {
            if replaced_by(number + 1) > replaced_by(number) {
                Change::Replace
            } else {
                Change::Reload
            }
        };
        (0..all).map(change).collect()
    }
}

/// Runs the load and all changes, and writes a line for each and the result to `output`.
///
/// # Errors
/// Where a part does not start or a socket fails; [`Error::ReplaceFailed`] if a query got no answer, or a process
/// that was replaced did not end well.
pub fn run(replace: &Replace, output: &mut (dyn Write + Send)) -> Result<(), Error> {
    let folder = tempfile::tempdir().to("make a folder")?;
    let upstream = UpstreamProcess::start(folder.path())?;
    let around = Surroundings {
        upstream: upstream.address(),
        ca_file: upstream.ca_file(),
        folder: folder.path(),
        with_caches: false,
        certificate: None,
        connections: CLIENT_CONNECTIONS,
    };
    let mut host = Host::start(replace, &around, free_address()?)?;
    let load = Load {
        target: host.address,
        sockets: SOCKETS,
        pace: Pace::PerSecond(replace.rate),
        stop: Stop::Queries(replace.queries),
        timeout: TIMEOUT,
        seed: 1,
        names: Names::Unique,
        measured: None,
    };
    let changes = replace.changes();
    let length = Duration::from_secs_f64(replace.queries as f64 / f64::from(replace.rate));
    let pause = length / (changes.len() as u32 + 1);
    let start = boottime_nanos();
    let (outcome, changed) = thread::scope(|scope| {
        let changing = scope.spawn(|| -> Result<(), Error> {
            for (number, change) in changes.iter().enumerate() {
                let due = pause * (number as u32 + 1);
                let now = || Duration::from_nanos(boottime_nanos() - start);
                thread::sleep(due.saturating_sub(now()));
                let reported = host.carry_out(*change)?;
                writeln!(output, "{:.1} s: {reported}", now().as_secs_f64())
                    .and_then(|()| output.flush())
                    .to("write the result")?;
            }
            Ok(())
        });
        let outcome = load::run(&load);
        (outcome, changing.join())
    });
    let outcome = outcome?;
    changed.map_err(|_| Error::ReplaceFailed)??;
    writeln!(output, "{}", compare::line(&outcome)).to("write the result")?;
    writeln!(
        output,
        "{} replacements and {} reloads: {} of {} queries lost, {} SERVFAIL, {} other",
        replace.replacements,
        replace.reloads,
        outcome.lost(),
        outcome.sent,
        outcome.tally.server_failures,
        outcome.tally.other,
    )
    .to("write the result")?;
    if outcome.tally.answered == outcome.sent {
        Ok(())
    } else {
        Err(Error::ReplaceFailed)
    }
}

/// A host on which one dotgate follows the other.
struct Host<'a> {
    replace: &'a Replace,
    around: &'a Surroundings<'a>,
    address: SocketAddr,
    running: Child,
    started: usize,
    reloaded: usize,
}

impl Host<'_> {
    fn start<'a>(
        replace: &'a Replace,
        around: &'a Surroundings<'a>,
        address: SocketAddr,
    ) -> Result<Host<'a>, Error> {
        write_settings(around, 0)?;
        let running = spawn(replace, around, address, 0)?;
        let mut host = Host {
            replace,
            around,
            address,
            running,
            started: 1,
            reloaded: 0,
        };
        wait_until_it_answers("dotgate", address, &mut host.running)?;
        Ok(host)
    }

    fn carry_out(&mut self, change: Change) -> Result<String, Error> {
        match change {
            Change::Replace => {
                let start = boottime_nanos();
                let next = spawn(self.replace, self.around, self.address, self.started)?;
                self.started += 1;
                let mut old = std::mem::replace(&mut self.running, next);
                let status = wait_for_end(&mut old)?;
                let seconds = (boottime_nanos() - start) as f64 / 1e9;
                if !status.success() {
                    return Err(Error::ReplaceFailed);
                }
                Ok(format!(
                    "replaced; the old process ended with {status} after {seconds:.1} s"
                ))
            }
            Change::Reload => {
                self.reloaded += 1;
                write_settings(self.around, self.reloaded)?;
                let pid = rustix::process::Pid::from_child(&self.running);
                rustix::process::kill_process(pid, rustix::process::Signal::HUP)
                    .map_err(io::Error::from)
                    .to("send SIGHUP")?;
                Ok("upstream changed, SIGHUP sent".to_owned())
            }
        }
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        end(&mut self.running);
    }
}

/// Settings that differ from one reload to the next: another upstream each time, as far as dotgate can tell, for it is
/// authenticated by its name or by its address.
fn write_settings(around: &Surroundings<'_>, number: usize) -> Result<(), Error> {
    let upstream = around.upstream.ip();
    let upstream = match number % 2 {
        0 => format!("{upstream}#{AUTHENTICATION_NAME}"),
        _ => upstream.to_string(),
    };
    let text = format!("[dns]\nhost = [\"{upstream}\"]\n");
    fs::write(around.folder.join("dotgate.toml"), text).to("write a configuration")
}

fn spawn(
    replace: &Replace,
    around: &Surroundings<'_>,
    address: SocketAddr,
    number: usize,
) -> Result<Child, Error> {
    let log = log_file(around.folder)?;
    let mut command = Command::new(&replace.programs[number % replace.programs.len()]);
    command.envs(dotgate_environment(around, address));
    // The file has it, so that it can change.
    command.env_remove("DNS_HOST");
    command.env(
        "DOTGATE_SERVER_TAKE_OVER_SOCKET",
        around.folder.join("take-over.sock"),
    );
    command
        .arg("--config")
        .arg(around.folder.join("dotgate.toml"));
    command.stdin(Stdio::null());
    command.stdout(log.try_clone().to("share a log file")?);
    command.stderr(log);
    command.spawn().to("start dotgate")
}

fn log_file(folder: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    let path = folder.join("dotgate.log");
    options
        .append(true)
        .create(true)
        .open(path)
        .to("open a log file")
}

fn wait_for_end(child: &mut Child) -> Result<ExitStatus, Error> {
    let given_up = boottime_nanos() + ENDING.as_nanos() as u64;
    while boottime_nanos() < given_up {
        if let Some(status) = child.try_wait().to("look after a process")? {
            return Ok(status);
        }
        thread::sleep(LOOK);
    }
    end(child);
    Err(Error::ReplaceFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_both_kinds_are_spread_evenly() {
        let replace = |replacements, reloads| Replace {
            programs: Vec::new(),
            queries: 1,
            rate: 1,
            replacements,
            reloads,
        };
        let turns = [Change::Replace, Change::Reload].repeat(10);
        assert_eq!(replace(10, 10).changes(), turns);
        assert_eq!(replace(2, 0).changes(), [Change::Replace; 2]);
        assert_eq!(replace(0, 0).changes(), []);
        let changes = replace(1, 3).changes();
        let replaced = changes.iter().filter(|change| **change == Change::Replace);
        assert_eq!((changes.len(), replaced.count()), (4, 1));
    }
}
