//! `dotgate check --sandbox`: enters the sandbox of the configuration and tries what it forbids, in this process, which
//! ends afterwards. So it reports what holds on this kernel and under this service manager or container runtime.

use std::io::{self, Write};
use std::path::PathBuf;

use dotgate_config::{Environment, Loaded, SandboxPolicy};
use dotgate_net::sandbox::{Part, enter, is_refused};

use crate::credentials::Credentials;
use crate::sandbox::Plan;

/// Writes what the process may still do, and a line for each part. True if all of them hold.
pub(super) fn report(
    loaded: &Loaded,
    files: Vec<PathBuf>,
    environment: &Environment,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let credentials = Credentials::of(environment, None);
    let plan = Plan::new(&loaded.config, files, credentials.folder(), environment);
    writeln!(out, "\nsandbox: {}", word(plan.policy()))?;
    if plan.policy() == SandboxPolicy::Off {
        return Ok(false);
    }
    writeln!(out, "{plan}")?;
    let enforced = enter(plan.needs());
    let mut is_whole = true;
    for part in Part::ALL {
        let reason = enforced
            .missing
            .iter()
            .find(|(missing, _)| *missing == part);
        let outcome = match (is_refused(part, plan.needs()), reason) {
            (true, None) => "enforced",
            (_, Some((_, reason))) => reason,
            (false, None) => "not enforced, though the system reports that it is",
        };
        is_whole &= outcome == "enforced";
        writeln!(out, "{}: {outcome}", part.word())?;
    }
    out.flush()?;
    Ok(is_whole)
}

fn word(policy: SandboxPolicy) -> &'static str {
    dotgate_config::Word::word(policy)
}
