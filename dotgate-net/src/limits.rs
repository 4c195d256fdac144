//! The limit on open descriptors, raised once when the program starts.
//!
//! Not on the path of a query. It never lowers a limit and never touches the hard one.

use std::io;

/// The most descriptors a process may ask for, given its hard limit.
#[cfg(not(target_os = "macos"))]
fn attainable(hard_limit: libc::rlim_t) -> libc::rlim_t {
    hard_limit
}

/// macOS grants OPEN_MAX descriptors at most, whatever the hard limit says.
#[cfg(target_os = "macos")]
fn attainable(hard_limit: libc::rlim_t) -> libc::rlim_t {
    hard_limit.min(10_240)
}

/// A limit as a number of descriptors. FreeBSD's are signed, and those of some systems have 32 bits.
fn descriptors(limit: impl TryInto<u64>) -> u64 {
    limit.try_into().unwrap_or(0)
}

/// Raises the soft limit on open descriptors (`RLIMIT_NOFILE`) to the hard limit and returns the
/// soft limit that applies afterwards, in descriptors.
///
/// # Errors
/// The system's error if the limit cannot be read or raised.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit for the kernel to write, and the call keeps no pointer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let wanted = attainable(limit.rlim_max);
    if limit.rlim_cur < wanted {
        limit.rlim_cur = wanted;
        // SAFETY: `limit` is a valid rlimit the kernel only reads, and the call keeps no pointer.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(descriptors(limit.rlim_cur))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> (libc::rlim_t, libc::rlim_t) {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: `limit` is a valid rlimit for the kernel to write.
        assert_eq!(0, unsafe {
            libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit)
        });
        (limit.rlim_cur, limit.rlim_max)
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one_and_stays_there() {
        let (_, hard) = limits();
        let lowered = libc::rlimit {
            rlim_cur: hard.min(256),
            rlim_max: hard,
        };
        // SAFETY: `lowered` is a valid rlimit the kernel only reads.
        assert_eq!(0, unsafe {
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const lowered)
        });
        let raised = raise_descriptor_limit().unwrap();
        let attained = attainable(hard);
        assert_eq!(raised, descriptors(attained));
        assert_eq!(limits(), (attained, hard));
        assert_eq!(raise_descriptor_limit().unwrap(), raised);
    }
}
