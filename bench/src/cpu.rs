//! The CPU time of processes, from `/proc/PID/stat` (`proc_pid_stat(5)`). Linux only.

use std::fs;

use crate::Error;

/// Linux tells times to programs in hundredths of a second, whatever its own tick is.
const NANOS_PER_TICK: u64 = 10_000_000;

/// Returns the user and system time that all threads of the process have used, in nanoseconds,
/// in steps of 10 ms.
///
/// # Errors
/// [`Error::NoCpuTime`] if there is no such process.
pub fn process_nanos(pid: u32) -> Result<u64, Error> {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| ticks(&stat))
        .map(|ticks| ticks * NANOS_PER_TICK)
        .ok_or(Error::NoCpuTime { pid })
}

/// What processes' CPU time is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measured {
    /// One process.
    Process(u32),
    /// All processes of a group, by the process that leads it.
    Group(u32),
}

/// What processes used.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Used {
    /// User and system time, in nanoseconds, in steps of 10 ms.
    pub nanos: u64,
    /// How often their threads went to sleep. Those of threads that have ended do not count.
    pub sleeps: u64,
}

impl std::ops::Sub for Used {
    type Output = Used;

    fn sub(self, before: Used) -> Used {
        Used {
            nanos: self.nanos.saturating_sub(before.nanos),
            sleeps: self.sleeps.saturating_sub(before.sleeps),
        }
    }
}

impl Measured {
    /// Returns what was used so far.
    ///
    /// # Errors
    /// [`Error::NoCpuTime`] if there is no such process.
    pub fn used(self) -> Result<Used, Error> {
        let sleeps = match self {
            Measured::Process(pid) => sleeps(pid),
            Measured::Group(pid) => members(pid).into_iter().map(sleeps).sum(),
        };
        let nanos = self.nanos()?;
        Ok(Used { nanos, sleeps })
    }

    /// Returns the time used so far, in nanoseconds, in steps of 10 ms. Processes that have ended do not count.
    ///
    /// # Errors
    /// [`Error::NoCpuTime`] if there is no such process.
    pub fn nanos(self) -> Result<u64, Error> {
        match self {
            Measured::Process(pid) => process_nanos(pid),
            Measured::Group(pid) => group_nanos(pid),
        }
    }
}

/// Voluntary context switches of all threads of a process.
fn sleeps(pid: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0;
    };
    let of_thread = |status: String| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    };
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok())
        .filter_map(of_thread)
        .sum()
}

fn group_nanos(leader: u32) -> Result<u64, Error> {
    let times = members(leader)
        .into_iter()
        .filter_map(|pid| process_nanos(pid).ok());
    times
        .reduce(|sum, nanos| sum + nanos)
        .ok_or(Error::NoCpuTime { pid: leader })
}

/// The processes of the group that `leader` leads.
pub(crate) fn members(leader: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_member = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        stat.and_then(|stat| group(&stat)) == Some(leader)
    };
    pids.filter(is_member).collect()
}

/// The process group, field 5.
fn group(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(2)?.parse().ok()
}

/// The sum of utime and stime, fields 14 and 15. The second field, the program's name, may hold
/// anything, blanks and parentheses included, and ends with the last parenthesis.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "77 (a ) b) S 1 2 3 4 5 6 7 8 9 10 1200 34 0 0 20 0 1 0 100";
        assert_eq!(ticks(stat), Some(1234));
        assert_eq!(group(stat), Some(2));
        assert_eq!(ticks("77 (short) S 1 2"), None);
    }

    #[test]
    fn a_group_counts_all_its_processes() {
        use std::os::unix::process::CommandExt;
        let burn = "i=0; while :; do i=$((i + 1)); done";
        let mut child = std::process::Command::new("sh")
            .args(["-c", &format!("({burn}) & ({burn}) & wait")])
            .process_group(0)
            .spawn()
            .unwrap();
        let group = Measured::Group(child.id());
        // The shell itself waits: what is counted comes from its children.
        while group.nanos().unwrap() < 10 * NANOS_PER_TICK {
            std::thread::yield_now();
        }
        assert!(Measured::Process(child.id()).nanos().unwrap() < group.nanos().unwrap());
        let leader = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process_group(leader, rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(matches!(
            Measured::Group(u32::MAX).nanos(),
            Err(Error::NoCpuTime { .. })
        ));
    }

    #[test]
    fn a_thread_that_waits_sleeps() {
        let this = Measured::Process(std::process::id());
        let before = this.used().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || for () in receiver {});
        let mut used = Used::default();
        while used.sleeps < 20 {
            sender.send(()).unwrap();
            std::thread::yield_now();
            used = this.used().unwrap() - before;
        }
        drop(sender);
        thread.join().unwrap();
    }

    #[test]
    fn work_done_here_is_seen() {
        let pid = std::process::id();
        let before = process_nanos(pid).unwrap();
        let mut sum = 0u64;
        while process_nanos(pid).unwrap() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(matches!(
            process_nanos(u32::MAX),
            Err(Error::NoCpuTime { pid: u32::MAX })
        ));
    }
}
