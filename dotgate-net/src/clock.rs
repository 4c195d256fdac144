//! The clock of the whole program.
//!
//! A worker reads it at the start of a turn and once after its flush, and tells the core; nothing
//! else asks for the time. It never goes back and counts the time the machine was suspended,
//! which `std::time::Instant` does not on Linux: a query's deadline, a session's idle time and a
//! record's TTL continue while a laptop sleeps. It has no relation to the time of day.

/// CLOCK_BOOTTIME counts suspend.
#[cfg(target_os = "linux")]
const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
/// On macOS the monotonic clock counts suspend by itself.
#[cfg(not(target_os = "linux"))]
const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Reads the time since the machine started, suspend included, in nanoseconds.
///
/// One vDSO read, no system call, on x86-64 and arm64 Linux.
#[must_use]
pub fn boottime_nanos() -> u64 {
    read(CLOCK)
}

/// Reads CLOCK_MONOTONIC, in nanoseconds: what a service manager compares times with. Nothing else does.
#[must_use]
pub fn monotonic_nanos() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec for the kernel to write, and the call keeps no pointer.
    // It cannot fail: the clocks exist since Linux 2.6.39 and macOS 10.12.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    // Neither part is ever negative; 2^64 nanoseconds are 584 years.
    (time.tv_sec as u64)
        .wrapping_mul(NANOS_PER_SECOND)
        .wrapping_add(time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_forward_and_never_back() {
        let start = boottime_nanos();
        assert!(start > 0);
        let mut last = start;
        while last == start {
            let now = boottime_nanos();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn the_monotonic_clock_is_not_ahead_of_the_one_that_counts_suspend() {
        assert!(monotonic_nanos() <= boottime_nanos());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_clock_agrees_with_the_kernels_uptime_which_counts_suspend() {
        let before = boottime_nanos();
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let after = boottime_nanos();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let uptime = (seconds * 1e9) as u64;
        // The file has hundredths of a second, cut off.
        assert!(uptime + 20_000_000 >= before, "{uptime} is before {before}");
        assert!(uptime <= after, "{uptime} is after {after}");
    }
}
