//! A process's memory and descriptors, from `/proc/PID` (`proc_pid_status(5)`, `proc_pid_fd(5)`). Linux only.

use std::fs;

use crate::{Error, cpu};

/// What a process holds at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub resident: u64,
    /// Open descriptors.
    pub descriptors: usize,
}

impl Usage {
    /// Looks at a process.
    ///
    /// # Errors
    /// [`Error::NoUsage`] if there is no such process.
    pub fn of(pid: u32) -> Result<Usage, Error> {
        let look = || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
            let resident = resident(&status)?;
            Some(Usage {
                resident,
                descriptors,
            })
        };
        look().ok_or(Error::NoUsage { pid })
    }

    /// Looks at all processes of the group that a process leads. Of memory that processes share, each has its part, where
    /// the system says how much that is.
    ///
    /// # Errors
    /// [`Error::NoUsage`] if there is no such group.
    pub fn of_group(leader: u32) -> Result<Usage, Error> {
        let members = cpu::members(leader).into_iter().filter_map(|pid| {
            let usage = Usage::of(pid).ok()?;
            let resident = proportional(pid).unwrap_or(usage.resident);
            Some(Usage { resident, ..usage })
        });
        let sum = members.reduce(|sum, usage| Usage {
            resident: sum.resident + usage.resident,
            descriptors: sum.descriptors + usage.descriptors,
        });
        sum.ok_or(Error::NoUsage { pid: leader })
    }
}

/// The proportional set size (`proc_pid_smaps(5)`).
fn proportional(pid: u32) -> Option<u64> {
    line_of(
        &fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?,
        "Pss:",
    )
}

fn resident(status: &str) -> Option<u64> {
    line_of(status, "VmRSS:")
}

/// The value of a line, which counts in units of 1,024 bytes.
fn line_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_its_line() {
        let status = "Name:\ta\nVmHWM:\t  9000 kB\nVmRSS:\t  8192 kB\nThreads:\t3\n";
        assert_eq!(resident(status), Some(8_192 * 1_024));
        assert_eq!(resident("Name:\ta\n"), None);
    }

    #[test]
    fn what_is_opened_here_is_seen() {
        let pid = std::process::id();
        let before = Usage::of(pid).unwrap();
        let files: Vec<_> = (0..64).map(|_| std::io::pipe().unwrap()).collect();
        let with_pipes = Usage::of(pid).unwrap();
        drop(files);
        assert!(before.resident > 1_024 * 1_024);
        // Other tests open and close a few meanwhile.
        assert!(with_pipes.descriptors >= before.descriptors + 64);
        assert!(matches!(
            Usage::of(u32::MAX),
            Err(Error::NoUsage { pid: u32::MAX })
        ));
    }
}
