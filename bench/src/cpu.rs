//! A process's CPU time, from `/proc/PID/stat` (`proc_pid_stat(5)`). Linux only.

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
        assert_eq!(ticks("77 (short) S 1 2"), None);
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
