//! How long forwarders take to start, and what memory they hold.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::Error;
use crate::error::Action;
use crate::forwarder::{Forwarder, Surroundings};
use crate::load::{self, Load, Names, Pace, Stop};
use crate::upstream::UpstreamProcess;
use crate::usage::Usage;

/// Names asked for to see what memory their entries take.
const ENTRIES: u64 = 100_000;

/// The starts of a forwarder, and its memory.
pub(super) struct Footprint {
    name: &'static str,
    /// From the start of its process to the first response that an upstream gave.
    starts: Vec<Duration>,
    /// Just after that, in bytes.
    idle: u64,
    /// How much more it is after so many names.
    entries: Option<u64>,
}

/// Starts each forwarder so often, and fills the cache of those that have one.
pub(super) fn measure(
    forwarders: &[(Forwarder, bool)],
    rounds: u32,
    output: &mut dyn Write,
) -> Result<Vec<Footprint>, Error> {
    let folder = tempfile::tempdir().to("make a folder")?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).to("share a folder")?;
    let upstream = UpstreamProcess::start(folder.path())?;
    let around = Surroundings {
        upstream: upstream.address(),
        ca_file: upstream.ca_file(),
        folder: folder.path(),
        with_caches: true,
        certificate: None,
    };
    let mut all = Vec::new();
    for (forwarder, has_cache) in forwarders {
        let mut footprint = Footprint {
            name: forwarder.name(),
            starts: Vec::new(),
            idle: 0,
            entries: None,
        };
        for round in 1..=rounds {
            let running = match forwarder.start(&around) {
                Ok(Some(running)) => running,
                Ok(None) | Err(Error::NotReady { .. }) => continue,
                Err(error) => return Err(error),
            };
            footprint.starts.push(running.started_in());
            if round < rounds {
                continue;
            }
            footprint.idle = Usage::of_group(running.pid())?.resident;
            if *has_cache {
                load::run(&Load {
                    target: running.address(),
                    sockets: 32,
                    pace: Pace::Window(256),
                    stop: Stop::Queries(ENTRIES),
                    timeout: Duration::from_secs(2),
                    seed: 1,
                    names: Names::Unique,
                    measured: None,
                })?;
                let resident = Usage::of_group(running.pid())?.resident;
                footprint.entries = Some(resident.saturating_sub(footprint.idle));
            }
        }
        footprint.starts.sort_unstable();
        writeln!(output, "{}", footprint.row().trim()).to("write the result")?;
        all.push(footprint);
    }
    Ok(all)
}

impl Footprint {
    fn row(&self) -> String {
        let middle = self.starts.get(self.starts.len() / 2);
        let start = middle.map_or_else(
            || "did not start".to_owned(),
            |it| it.as_millis().to_string(),
        );
        let mebibytes = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
        format!(
            "| {} | {start} | {} | {} |\n",
            self.name,
            mebibytes(self.idle),
            self.entries
                .map_or_else(|| "has no cache".to_owned(), mebibytes),
        )
    }
}

/// The section of the page.
pub(super) fn section(footprints: &[Footprint]) -> String {
    let mut text = String::from(
        "\n### Start and memory\n\n\
         From the start of the process to the first response from the upstream, in steps of 2 ms, the median of the starts. A \
         program from a tree starts through `unshare` and `chroot`, which is a few milliseconds of it. Memory is resident (of \
         what processes share, each has its part), after the first response, and what 100,000 names add to it.\n\n\
         | | start, ms | idle, MiB | 100,000 entries, MiB |\n|---|---|---|---|\n",
    );
    for footprint in footprints {
        // Writing to a String cannot fail.
        _ = write!(text, "{}", footprint.row());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_median_start_and_says_what_is_not_there() {
        let mut footprint = Footprint {
            name: "stubby",
            starts: [4, 8, 12].map(Duration::from_millis).to_vec(),
            idle: 3 << 20,
            entries: None,
        };
        assert_eq!(footprint.row(), "| stubby | 8 | 3.0 | has no cache |\n");
        footprint.starts.clear();
        footprint.entries = Some(1 << 19);
        assert_eq!(footprint.row(), "| stubby | did not start | 3.0 | 0.5 |\n");
    }
}
