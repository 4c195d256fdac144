//! The comparison: forwarders in turns, the same load, one table.
//!
//! Each round runs every forwarder once, so that whatever else the machine does meets all of them
//! alike. Only one runs at a time, freshly started and warmed up.

mod table;

pub use table::line;

use std::io::Write;
use std::time::Duration;

use crate::Error;
use crate::error::Action;
use crate::forwarder::{Forwarder, Surroundings};
use crate::load::{self, Load, Outcome, Pace, Stop};
use crate::upstream::UpstreamProcess;

/// What to compare, and how long.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The forwarders; the first is what the others are compared with.
    pub forwarders: Vec<Forwarder>,
    /// The loads, one table each.
    pub paces: Vec<Pace>,
    /// Rounds per load; the table shows the median.
    pub rounds: u32,
    /// Length of one run.
    pub run: Duration,
    /// Load before each run that is not measured.
    pub warm_up: Duration,
    /// Client sockets.
    pub sockets: u16,
    /// A query not answered for so long is lost.
    pub timeout: Duration,
}

/// One forwarder's runs under one load.
struct Runs {
    name: &'static str,
    outcomes: Vec<Outcome>,
}

/// Runs a comparison and writes its progress and tables to `output`.
///
/// A forwarder that is not installed is named and left out.
///
/// # Errors
/// Where a part does not start or a socket fails; [`Error::NoForwarder`] if none is there.
pub fn run(comparison: &Comparison, output: &mut dyn Write) -> Result<(), Error> {
    let folder = tempfile::tempdir().to("make a folder")?;
    let upstream = UpstreamProcess::start(folder.path())?;
    let around = Surroundings {
        upstream: upstream.address(),
        ca_file: upstream.ca_file(),
        folder: folder.path(),
    };
    let mut present = Vec::new();
    for forwarder in &comparison.forwarders {
        match forwarder.start(&around) {
            Ok(Some(_)) => present.push(forwarder),
            Ok(None) => writeln!(output, "{}: not installed, left out", forwarder.name())
                .to("write the result")?,
            Err(error) => {
                // Its own words say best why.
                let log = folder.path().join(format!("{}.log", forwarder.name()));
                let words = std::fs::read_to_string(log).unwrap_or_default();
                writeln!(output, "{words}").to("write the result")?;
                return Err(error);
            }
        }
    }
    if present.is_empty() {
        return Err(Error::NoForwarder);
    }
    for pace in &comparison.paces {
        let runs = rounds(comparison, &present, *pace, &around, output)?;
        table::write(*pace, &runs, output).to("write the result")?;
    }
    Ok(())
}

fn rounds(
    comparison: &Comparison,
    forwarders: &[&Forwarder],
    pace: Pace,
    around: &Surroundings<'_>,
    output: &mut dyn Write,
) -> Result<Vec<Runs>, Error> {
    let mut runs: Vec<Runs> = forwarders
        .iter()
        .map(|forwarder| Runs {
            name: forwarder.name(),
            outcomes: Vec::new(),
        })
        .collect();
    for round in 1..=comparison.rounds {
        for (forwarder, runs) in forwarders.iter().zip(&mut runs) {
            let Some(running) = forwarder.start(around)? else {
                continue;
            };
            let load = Load {
                target: running.address(),
                sockets: comparison.sockets,
                pace,
                stop: Stop::After(comparison.warm_up),
                timeout: comparison.timeout,
                seed: 0,
                pid: None,
            };
            load::run(&load)?;
            let stop = Stop::After(comparison.run);
            let outcome = load::run(&Load {
                stop,
                seed: 1,
                pid: Some(running.pid()),
                ..load
            })?;
            writeln!(output, "round {round} {}: {}", runs.name, line(&outcome))
                .and_then(|()| output.flush())
                .to("write the result")?;
            runs.outcomes.push(outcome);
        }
    }
    Ok(runs)
}
