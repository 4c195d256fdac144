//! Signals whose default action would end the process although senders do not intend that.
//!
//! Not on the path of a query. The numbers differ between systems and processors.

/// Asks for a report: SIGUSR1, as to dnsmasq, `dd` and others.
pub const REPORT: i32 = libc::SIGUSR1;

/// Signals without a meaning here, with their names: other programs' way to rotate a log or to read a file again, a
/// timer that the process before this one left running, a power failure that others act on.
pub const MEANINGLESS: &[(i32, &str)] = &[
    (libc::SIGUSR2, "SIGUSR2"),
    (libc::SIGALRM, "SIGALRM"),
    (libc::SIGVTALRM, "SIGVTALRM"),
    (libc::SIGPROF, "SIGPROF"),
    #[cfg(target_os = "linux")]
    (libc::SIGIO, "SIGIO"),
    #[cfg(target_os = "linux")]
    (libc::SIGPWR, "SIGPWR"),
    #[cfg(all(
        target_os = "linux",
        not(any(target_arch = "mips", target_arch = "mips64", target_arch = "sparc64"))
    ))]
    (libc::SIGSTKFLT, "SIGSTKFLT"),
];
