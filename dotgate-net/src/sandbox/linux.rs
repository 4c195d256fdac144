//! Landlock and the filter of system calls, by the crates of their maintainers.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, Scope,
};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::Needs;

/// The newest version that was tried. What later ones restrict is not asked for.
const NEWEST: ABI = ABI::V7;

/// The version that restricts all of files that is of use here: truncating is of version 3.
pub(super) const FILES: u32 = 3;
/// The version that restricts TCP ports.
pub(super) const PORTS: u32 = 4;
/// The version that restricts signals and sockets without a file.
pub(super) const SCOPES: u32 = 6;

/// Calls that a forwarder never makes, and that an attacker in the process would make first: to execute a program, to
/// look into other processes, to mount, to change the kernel or the time, and to pass this filter by.
const DENIED: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_personality,
];

/// Families of sockets that a forwarder has.
const FAMILIES: [libc::c_int; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// Restricts the calling thread, and returns the version of Landlock; 0 without.
pub(super) fn restrict_thread(needs: &Needs) -> Result<u32, String> {
    let status = rules(needs).and_then(RulesetCreated::restrict_self);
    let status = status.map_err(|error| error.to_string())?;
    Ok(match status.landlock {
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
        LandlockStatus::Available { effective_abi, .. } => effective_abi as u32,
    })
}

fn rules(needs: &Needs) -> Result<RulesetCreated, RulesetError> {
    let replace = AccessFs::ReadFile
        | AccessFs::WriteFile
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
        | AccessFs::Truncate;
    let mut scopes = Scope::from_all(NEWEST);
    if needs.abstract_sockets {
        scopes.remove(Scope::AbstractUnixSocket);
    }
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(scopes)?
        .create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for (paths, access) in [
        (&needs.read, read),
        (&needs.write, read | replace),
        (&needs.remove, AccessFs::RemoveFile.into()),
    ] {
        for path in paths {
            rules = allow(rules, path, access)?;
        }
    }
    for (ports, access) in [
        (&needs.listen, AccessNet::BindTcp),
        (&needs.connect, AccessNet::ConnectTcp),
    ] {
        for port in ports {
            rules = rules.add_rule(NetPort::new(*port, access))?;
        }
    }
    Ok(rules)
}

/// Allows what is at and below a path. Nothing can be read where there is nothing.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let access = if path.is_dir() {
        access
    } else {
        access & AccessFs::from_file(NEWEST)
    };
    match PathFd::new(path) {
        Ok(descriptor) => rules.add_rule(PathBeneath::new(descriptor, access)),
        Err(_) => Ok(rules),
    }
}

/// Has calls of no use to a forwarder fail, in all threads.
pub(super) fn filter_calls() -> Result<(), String> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = DENIED
        .iter()
        .map(|call| (number(*call), Vec::new()))
        .collect();
    let other = |family: &libc::c_int| {
        let family = u64::try_from(*family).unwrap_or_default();
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)
    };
    let others: Result<Vec<_>, _> = FAMILIES.iter().map(other).collect();
    let failed = |error: seccompiler::BackendError| error.to_string();
    let others = SeccompRule::new(others.map_err(failed)?).map_err(failed)?;
    rules.insert(number(libc::SYS_socket), vec![others]);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        std::env::consts::ARCH.try_into().map_err(no_filter)?,
    );
    let program: seccompiler::BpfProgram = filter.and_then(TryInto::try_into).map_err(failed)?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| error.to_string())
}

/// The number of a call, which has 32 bits on some processors.
fn number(call: impl Into<i64>) -> i64 {
    call.into()
}

fn no_filter(_: seccompiler::BackendError) -> String {
    let processor = std::env::consts::ARCH;
    format!("dotgate has no filter of system calls for this processor ({processor})")
}

/// Makes sure of what both have asked for already, where the system has them.
pub(super) fn no_new_privileges() -> Result<(), String> {
    // SAFETY: the call takes numbers alone.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error().to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::symlink;

    use super::*;

    /// Runs in a thread of its own, which alone is restricted.
    fn within(needs: &Needs, check: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let checked = scope.spawn(|| {
                let version = restrict_thread(needs).unwrap();
                if version >= SCOPES {
                    check();
                }
                version
            });
            let version = checked.join().unwrap();
            if version < SCOPES {
                eprintln!("skipped: the kernel has version {version} of Landlock");
                let no_skip = std::env::var("DOTGATE_TEST_NO_SKIP").unwrap_or_default();
                assert!(!no_skip.contains("sandbox"), "not to be skipped");
            }
        });
    }

    #[test]
    fn only_files_that_are_needed_are_opened_also_after_they_were_replaced() {
        let folder = std::env::temp_dir().join(format!("dotgate-sandbox-{}", std::process::id()));
        let [own, state, other] = ["own", "state", "other"].map(|name| folder.join(name));
        for folder in [&own, &state, &other] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("file"), "content").unwrap();
        }
        let needs = Needs {
            read: [own.clone()].into(),
            write: [state.clone()].into(),
            ..Needs::default()
        };
        fs::write(own.join("new"), "replaced").unwrap();
        fs::rename(own.join("new"), own.join("file")).unwrap();
        symlink(other.join("file"), own.join("link")).unwrap();
        within(&needs, || {
            let refused = |result: io::Result<()>| {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
            };
            let read = |path: &Path| fs::read_to_string(path).map(drop);
            assert_eq!(fs::read_to_string(own.join("file")).unwrap(), "replaced");
            refused(read(&own.join("link")));
            refused(read(&other.join("file")));
            refused(fs::write(own.join("file"), "written"));
            refused(fs::remove_file(own.join("file")));
            fs::write(state.join("new"), "state").unwrap();
            fs::rename(state.join("new"), state.join("file")).unwrap();
            fs::remove_file(state.join("file")).unwrap();
            refused(fs::create_dir(state.join("folder")));
        });
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_ports_that_are_needed_are_connected_to_and_none_is_bound() {
        let listeners = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
        let [needed, other] = listeners.each_ref().map(|it| it.local_addr().unwrap());
        let needs = Needs {
            connect: [needed.port()].into(),
            ..Needs::default()
        };
        within(&needs, || {
            TcpStream::connect(needed).unwrap();
            let refused = TcpStream::connect(other).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
            let refused = TcpListener::bind(("127.0.0.1", 0)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        });
    }
}
