//! Which of the two paths the system lets datagrams go: old kernels of routers lack the batched calls, and filters of
//! system calls (seccomp(2)) refuse what they do not know.
//!
//! Found out once, before anything is served, on a pair of Unix sockets: no firewall has a say there. A filter that is
//! put in place later is none that this program puts in place.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use super::UdpPath;
use super::slots::Slots;

/// What was found out.
#[derive(Debug)]
pub struct FoundPath {
    /// The path that works.
    pub path: UdpPath,
    /// Why it is not the batched one, where the system would be expected to have it.
    pub refused: Option<io::Error>,
}

impl UdpPath {
    /// Finds out which path works.
    ///
    /// # Errors
    /// The system's where neither does: no datagram can be received or sent.
    pub fn find() -> io::Result<FoundPath> {
        let path = UdpPath::default();
        let Err(refused) = try_out(path) else {
            let refused = None;
            return Ok(FoundPath { path, refused });
        };
        let path = UdpPath::Portable;
        try_out(path)?;
        Ok(FoundPath {
            path,
            refused: Some(refused),
        })
    }
}

/// Sends and receives one byte; fails only if a call is refused as such.
fn try_out(path: UdpPath) -> io::Result<()> {
    // Where there are no such sockets, nothing is known, and the first datagrams will tell.
    let Ok((near, far)) = UnixDatagram::pair() else {
        return Ok(());
    };
    let mut byte = [0_u8; 1];
    let mut slots = Slots::new();
    slots.set_payload(0, byte.as_mut_ptr(), byte.len());
    slots.set_no_addresses(0);
    // SAFETY: the slot's payload is `byte`, which lives until the end of this function and is not touched meanwhile.
    let sent = unsafe { slots.send(path, near.as_raw_fd(), 0..1) };
    refusal(sent, "send")?;
    slots.reset(0);
    // SAFETY: as above.
    let received = unsafe { slots.receive(path, far.as_raw_fd(), 0..1, false) };
    refusal(received, "receive")
}

/// Passes on an error that says that the call does not exist or is forbidden.
fn refusal(outcome: io::Result<usize>, what: &str) -> io::Result<()> {
    match outcome {
        Err(error) if is_refusal(&error) => Err(io::Error::new(
            error.kind(),
            format!("{what} datagrams: {error}"),
        )),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether an error says that the system does not have a call, or that a filter forbids it.
#[must_use]
pub fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOSYS | libc::EPERM | libc::EACCES | libc::EOPNOTSUPP)
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    /// Refuses these calls in this thread with this error, until it ends.
    fn refuse(calls: &[libc::c_long], error: libc::c_int) {
        let statement = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        };
        // The number of the call is the first field of seccomp_data.
        let mut filter = vec![statement(
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            0,
            0,
            0,
        )];
        for call in calls {
            let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
            filter.push(statement(equal, *call as u32, 0, 1));
            let outcome = libc::SECCOMP_RET_ERRNO | error as u32;
            filter.push(statement(libc::BPF_RET | libc::BPF_K, outcome, 0, 0));
        }
        let allow = libc::BPF_RET | libc::BPF_K;
        filter.push(statement(allow, libc::SECCOMP_RET_ALLOW, 0, 0));
        let program = libc::sock_fprog {
            len: filter.len() as u16,
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: the first call takes plain numbers; the second one reads the program and its filter, which live
        // until it returns.
        unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            let mode = libc::SECCOMP_MODE_FILTER;
            assert_eq!(
                libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program),
                0
            );
        }
    }

    fn found_without(calls: &[libc::c_long], error: libc::c_int) -> io::Result<FoundPath> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                refuse(calls, error);
                UdpPath::find()
            });
            thread
                .join()
                .unwrap_or_else(|_| Err(ErrorKind::Other.into()))
        })
    }

    #[test]
    fn the_batched_path_is_taken_where_the_system_has_it() {
        let found = UdpPath::find().unwrap();
        assert_eq!(found.path, UdpPath::Batched);
        assert!(found.refused.is_none());
    }

    #[test]
    fn a_refused_batched_call_leads_to_the_portable_path() {
        for (calls, error, words) in [
            (
                &[libc::SYS_recvmmsg][..],
                libc::ENOSYS,
                "receive datagrams: ",
            ),
            (&[libc::SYS_sendmmsg], libc::EPERM, "send datagrams: "),
            (
                &[libc::SYS_recvmmsg, libc::SYS_sendmmsg],
                libc::EACCES,
                "send datagrams: ",
            ),
        ] {
            let found = found_without(calls, error).unwrap();
            assert_eq!(found.path, UdpPath::Portable);
            let refused = found.refused.unwrap().to_string();
            assert!(refused.starts_with(words), "{refused}");
        }
    }

    #[test]
    fn with_no_path_at_all_there_is_an_error() {
        for calls in [
            &[libc::SYS_recvmmsg, libc::SYS_recvmsg][..],
            &[libc::SYS_sendmmsg, libc::SYS_sendmsg],
        ] {
            assert!(found_without(calls, libc::EPERM).is_err());
        }
    }
}
