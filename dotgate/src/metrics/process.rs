//! Metrics of this process from `/proc`; none on a system without it.

use std::fs;

/// Clock ticks per second in `/proc/*/stat`: `USER_HZ`, 100 on every architecture Linux has today.
const TICKS: f64 = 100.0;

/// The standard metrics of a process, each absent where the system does not report it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Process {
    /// Time spent on a CPU by all threads, for us and in the kernel, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Memory that is not swapped out, in bytes.
    pub resident_bytes: Option<u64>,
    /// Address space, in bytes.
    pub virtual_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// How many may be open.
    pub max_fds: Option<u64>,
    /// When it started, in seconds since 1970.
    pub start_seconds: Option<f64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl Process {
    /// Asks the system.
    pub fn read() -> Process {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let open_fds = fs::read_dir("/proc/self/fd").ok();
        Process {
            // The folder is itself open while it is read.
            open_fds: open_fds.map(|entries| (entries.count() as u64).saturating_sub(1)),
            ..Process::of(
                &file("/proc/self/stat"),
                &file("/proc/self/status"),
                &file("/proc/self/limits"),
                &file("/proc/stat"),
            )
        }
    }

    fn of(stat: &str, status: &str, limits: &str, system: &str) -> Process {
        // The name of the program, in parentheses, may itself hold blanks: fields are counted behind it.
        let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        // proc_pid_stat(5): the state is field 3 and stands first here.
        let field = |number: usize| -> Option<f64> { fields.get(number - 3)?.parse().ok() };
        let user_and_system = || Some((field(14)? + field(15)?) / TICKS);
        let boot = system.lines().find_map(|line| line.strip_prefix("btime "));
        let boot: Option<f64> = boot.and_then(|text| text.trim().parse().ok());
        let limit = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"));
        Process {
            cpu_seconds: user_and_system(),
            resident_bytes: kibibytes(status, "VmRSS:"),
            virtual_bytes: kibibytes(status, "VmSize:"),
            open_fds: None,
            max_fds: limit.and_then(|text| text.split_whitespace().next()?.parse().ok()),
            start_seconds: field(22).and_then(|ticks| Some(boot? + ticks / TICKS)),
            threads: field(20).map(|count| count as u64),
        }
    }
}

/// A line such as `VmRSS:      5096 kB`, in bytes.
fn kibibytes(status: &str, key: &str) -> Option<u64> {
    let text = status.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = text.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_files_are_read_by_their_fields() {
        let stat =
            "4242 (a ) b) S 1 4242 4242 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 7 0 12345 10 11 12";
        let status = "Name:\tdotgate\nVmSize:\t   12 kB\nVmRSS:\t    4 kB\n";
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  524288  files\n";
        let process = Process::of(stat, status, limits, "cpu 1\nbtime 1700000000\n");
        assert_eq!(
            process,
            Process {
                cpu_seconds: Some(2.0),
                resident_bytes: Some(4_096),
                virtual_bytes: Some(12_288),
                open_fds: None,
                max_fds: Some(1_024),
                start_seconds: Some(1_700_000_123.45),
                threads: Some(7),
            }
        );
        assert_eq!(Process::of("", "", "", ""), Process::default());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_reported() {
        let process = Process::read();
        assert!(process.resident_bytes > Some(0), "{process:?}");
        assert!(process.open_fds > Some(0) && process.open_fds < process.max_fds);
        assert!(process.cpu_seconds.is_some() && process.start_seconds > Some(1.5e9));
    }
}
