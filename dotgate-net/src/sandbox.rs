//! What a process gives up before it serves: files, TCP ports and system calls that it does not need.
//!
//! Not on the path of a query: applied once, after everything is bound and before the first worker starts. Landlock
//! restricts the calling thread and those that it starts; the filter of system calls and `no_new_privs` hold for all
//! threads. Nothing can be given back. *Not restricted*: UDP, which no version of Landlock here knows.
//! Linux alone: elsewhere nothing holds.

#[cfg(target_os = "linux")]
mod linux;
mod trial;

use std::collections::BTreeSet;
use std::path::PathBuf;

pub use self::trial::is_refused;

/// What a process still needs.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Needs {
    /// Folders and files that it reads, with all that is in them.
    pub read: BTreeSet<PathBuf>,
    /// Folders in which it makes, writes, replaces and removes files.
    pub write: BTreeSet<PathBuf>,
    /// Folders from which it removes its sockets.
    pub remove: BTreeSet<PathBuf>,
    /// TCP ports that it may still listen on.
    pub listen: BTreeSet<u16>,
    /// TCP ports that it connects to.
    pub connect: BTreeSet<u16>,
    /// Whether it speaks to a Unix socket without a file.
    pub abstract_sockets: bool,
}

/// A part of the sandbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Files that are not needed cannot be opened, and none can be executed.
    Files,
    /// TCP connections are made to, and accepted at, the ports that are needed alone.
    TcpPorts,
    /// Processes outside of the sandbox get no signal.
    Signals,
    /// System calls of no use to a forwarder fail.
    SystemCalls,
    /// No program that it could execute would have other rights.
    NoNewPrivileges,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 5] = [
        Part::Files,
        Part::TcpPorts,
        Part::Signals,
        Part::SystemCalls,
        Part::NoNewPrivileges,
    ];

    /// The word for it in metrics and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Part::Files => "files",
            Part::TcpPorts => "tcp_ports",
            Part::Signals => "signals",
            Part::SystemCalls => "system_calls",
            Part::NoNewPrivileges => "no_new_privileges",
        }
    }
}

/// Which parts hold.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Enforced {
    /// The version of Landlock; 0 without.
    pub landlock: u32,
    parts: Vec<Part>,
    /// Why others do not.
    pub missing: Vec<(Part, String)>,
}

impl Enforced {
    /// Whether this part holds.
    #[must_use]
    pub fn holds(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    fn note(&mut self, part: Part, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.parts.push(part),
            Err(reason) => self.missing.push((part, reason)),
        }
    }
}

/// Restricts this process to what it needs, as far as the system can do that.
#[cfg(target_os = "linux")]
#[must_use]
pub fn enter(needs: &Needs) -> Enforced {
    let mut enforced = Enforced::default();
    let landlock = linux::restrict_thread(needs);
    enforced.landlock = *landlock.as_ref().unwrap_or(&0);
    for (part, version) in [
        (Part::Files, linux::FILES),
        (Part::TcpPorts, linux::PORTS),
        (Part::Signals, linux::SCOPES),
    ] {
        let outcome = match &landlock {
            Ok(0) => Err(
                "no Landlock: the kernel has none, it is not enabled (lsm=), or a filter of system calls denies it"
                    .to_owned(),
            ),
            Ok(found) if *found < version => Err(format!(
                "the kernel has version {found} of Landlock, and this needs version {version}"
            )),
            Ok(_) => Ok(()),
            Err(reason) => Err(reason.clone()),
        };
        enforced.note(part, outcome);
    }
    let filtered = linux::filter_calls();
    enforced.note(Part::SystemCalls, filtered);
    enforced.note(Part::NoNewPrivileges, linux::no_new_privileges());
    enforced
}

/// There is no sandbox on this system.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn enter(_: &Needs) -> Enforced {
    let mut enforced = Enforced::default();
    for part in Part::ALL {
        enforced.note(part, Err("only Linux has it".to_owned()));
    }
    enforced
}

/// Takes every file and TCP port from the calling thread, which was started before the sandbox.
pub fn seal_thread() {
    #[cfg(target_os = "linux")]
    // A kernel that cannot do it is reported for the process.
    drop(linux::restrict_thread(&Needs::default()));
}
