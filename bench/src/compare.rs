//! The comparison: forwarders in turns, the same load, one table.
//!
//! Each round runs every forwarder once, so that whatever else the machine does meets all of them
//! alike. Only one runs at a time, freshly started and warmed up. Either no name is asked twice, or
//! the caches are *warm*: each of some names was asked before the run, until none of them went to the
//! upstream any more, which counts what the run itself sends there.

mod table;

pub use table::{line, median_of};

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::Error;
use crate::cpu::Measured;
use crate::error::Action;
use crate::forwarder::{Forwarder, Running, Surroundings};
use crate::load::{self, Load, Names, Outcome, Pace, Popularity, Stop};
use crate::upstream::UpstreamProcess;
use crate::usage::Usage;

/// Times all names are asked to warm a cache; one that does not answer from it then has none.
const WARMING_PASSES: u32 = 5;
/// Queries in flight then.
const WARMING_WINDOW: usize = 256;

/// The measurement that names of a run belong to, and those of the load before one of unique names.
const SEED: u32 = 1;
const WARM_UP_SEED: u32 = 0;

/// Names that caches know before a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Warm {
    /// How many, at least 1.
    pub names: u32,
    /// How often each is asked for.
    pub popularity: Popularity,
}

/// What to compare, and how long.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The forwarders; the first is what the others are compared with.
    pub forwarders: Vec<Forwarder>,
    /// The loads, one table each.
    pub paces: Vec<Pace>,
    /// What caches know; `None` if no name is asked twice.
    pub warm: Option<Warm>,
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
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Runs {
    /// The forwarder.
    pub name: &'static str,
    /// What came of each run.
    pub outcomes: Vec<Outcome>,
    /// Queries that all runs sent to the upstream.
    pub forwarded: u64,
    /// The most memory that its processes held at the end of a run, in bytes.
    pub resident: u64,
}

/// All forwarders' runs under one load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Measurement {
    /// The load.
    pub pace: Pace,
    /// The runs, in the order of [`Comparison::forwarders`], without those that could not be started.
    pub runs: Vec<Runs>,
}

/// Runs a comparison and writes its progress and tables to `output`.
///
/// # Errors
/// As [`measure`].
pub fn run(comparison: &Comparison, output: &mut dyn Write) -> Result<(), Error> {
    for measurement in measure(comparison, output)? {
        table::write(measurement.pace, &measurement.runs, output).to("write the result")?;
    }
    Ok(())
}

/// Runs a comparison and writes its progress to `output`.
///
/// A forwarder that is not installed, or does not start, is named and left out.
///
/// # Errors
/// Where a part does not start or a socket fails; [`Error::NoForwarder`] if none is there.
pub fn measure(comparison: &Comparison, output: &mut dyn Write) -> Result<Vec<Measurement>, Error> {
    let folder = tempfile::tempdir().to("make a folder")?;
    // Some forwarders give up root before they read their files.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).to("share a folder")?;
    let upstream = UpstreamProcess::start(folder.path())?;
    let around = Surroundings {
        upstream: upstream.address(),
        ca_file: upstream.ca_file(),
        folder: folder.path(),
        with_caches: comparison.warm.is_some(),
    };
    let mut present = Vec::new();
    for forwarder in &comparison.forwarders {
        match forwarder.start(&around) {
            Ok(Some(_)) => present.push(forwarder),
            Ok(None) => writeln!(output, "{}: not installed, left out", forwarder.name())
                .to("write the result")?,
            Err(error @ Error::NotReady { .. }) => {
                // Its own words say best why.
                let log = folder.path().join(format!("{}.log", forwarder.name()));
                let words = fs::read_to_string(log).unwrap_or_default();
                writeln!(output, "{words}{error}: left out").to("write the result")?;
            }
            Err(error) => return Err(error),
        }
    }
    if present.is_empty() {
        return Err(Error::NoForwarder);
    }
    let drawn = comparison.warm.map(|warm| {
        let all: Vec<u32> = (0..warm.names).collect();
        (all, warm.popularity.draw(warm.names))
    });
    let stage = Stage {
        comparison,
        upstream: &upstream,
        around,
        drawn,
    };
    if let Some(warm) = comparison.warm {
        writeln!(output, "{} names, warm, {:?}", warm.names, warm.popularity)
            .to("write the result")?;
    }
    let measured = comparison.paces.iter().map(|pace| {
        let runs = stage.rounds(&present, *pace, output)?;
        Ok(Measurement { pace: *pace, runs })
    });
    measured.collect()
}

/// Where forwarders are measured.
struct Stage<'a> {
    comparison: &'a Comparison,
    upstream: &'a UpstreamProcess,
    around: Surroundings<'a>,
    /// Of a warm cache, all names, and those drawn for a run.
    drawn: Option<(Vec<u32>, Vec<u32>)>,
}

impl Stage<'_> {
    fn rounds(
        &self,
        forwarders: &[&Forwarder],
        pace: Pace,
        output: &mut dyn Write,
    ) -> Result<Vec<Runs>, Error> {
        let mut runs: Vec<Runs> = forwarders
            .iter()
            .map(|forwarder| Runs {
                name: forwarder.name(),
                outcomes: Vec::new(),
                forwarded: 0,
                resident: 0,
            })
            .collect();
        for round in 1..=self.comparison.rounds {
            for (forwarder, runs) in forwarders.iter().zip(&mut runs) {
                let Some(running) = forwarder.start(&self.around)? else {
                    continue;
                };
                write!(output, "round {round} {}: ", runs.name).to("write the result")?;
                if !self.warm(&running, pace)? {
                    write!(output, "not warm; ").to("write the result")?;
                }
                let before = self.upstream.answered()?;
                let outcome = load::run(&self.load(&running, pace))?;
                let forwarded = self.upstream.answered()? - before;
                writeln!(output, "{}; {forwarded} to the upstream", line(&outcome))
                    .and_then(|()| output.flush())
                    .to("write the result")?;
                runs.forwarded += forwarded;
                runs.resident = runs.resident.max(Usage::of_group(running.pid())?.resident);
                runs.outcomes.push(outcome);
            }
        }
        Ok(runs)
    }

    /// The load that is measured.
    fn load(&self, running: &Running, pace: Pace) -> Load<'_> {
        Load {
            target: running.address(),
            sockets: self.comparison.sockets,
            pace,
            stop: Stop::After(self.comparison.run),
            timeout: self.comparison.timeout,
            seed: SEED,
            names: match &self.drawn {
                None => Names::Unique,
                Some((_, drawn)) => Names::Listed(drawn),
            },
            measured: Some(Measured::Group(running.pid())),
        }
    }

    /// Puts the load on a forwarder that is not measured. Whether its cache knows all names then.
    fn warm(&self, running: &Running, pace: Pace) -> Result<bool, Error> {
        let mut is_warm = true;
        let mut load = Load {
            stop: Stop::After(self.comparison.warm_up),
            measured: None,
            ..self.load(running, pace)
        };
        match &self.drawn {
            None => load.seed = WARM_UP_SEED,
            Some((all, _)) => is_warm = self.ask_until_none_is_forwarded(all, &load)?,
        }
        load::run(&load)?;
        Ok(is_warm)
    }

    /// Asks for all names, again and again. Whether the last pass sent none to the upstream.
    fn ask_until_none_is_forwarded(&self, all: &[u32], load: &Load<'_>) -> Result<bool, Error> {
        for _ in 0..WARMING_PASSES {
            let before = self.upstream.answered()?;
            load::run(&Load {
                pace: Pace::Window(WARMING_WINDOW),
                stop: Stop::Queries(all.len() as u64),
                names: Names::Listed(all),
                ..*load
            })?;
            if self.upstream.answered()? == before {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
