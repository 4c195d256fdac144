//! The comparison: forwarders in turns, the same load, one table.
//!
//! Each round runs every forwarder once, so that whatever else the machine does meets all of them
//! alike. Only one runs at a time, freshly started and warmed up. Either no name is asked twice, or
//! the caches are *warm*: each of some names was asked before the run, until none of them went to the
//! upstream any more, which counts what the run itself sends there.

mod stage;
mod table;

pub use table::{line, median_of};

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::time::Duration;

use crate::Error;
use crate::error::Action;
use crate::forwarder::{CLIENT_CONNECTIONS, Forwarder, Location, OTHER_UPSTREAM, Surroundings};
use crate::load::{Outcome, Pace, Popularity};
use crate::upstream::{Behavior, UpstreamProcess};
use stage::Stage;

/// Names of the mix.
pub const MIXED_NAMES: u32 = 1_000_000;

/// How long the upstream is away where it restarts.
pub const DOWN: Duration = Duration::from_secs(1);

/// Names that caches know before a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Warm {
    /// How many, at least 1.
    pub names: u32,
    /// How often each is asked for.
    pub popularity: Popularity,
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Traffic {
    /// No name twice: no cache can answer.
    Unique,
    /// Names that caches know.
    Cached(Warm),
    /// Those of [`crate::message::mix`], by Zipf's law, of which caches know what the load before the run left there.
    Mixed,
}

/// What clients use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP, with connections that stay open.
    Tcp,
    /// TCP, with a connection for each query.
    TcpOnce,
    /// TLS, with connections that stay open.
    Tls,
}

/// What to compare, and how long.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The forwarders; the first is what the others are compared with.
    pub forwarders: Vec<Forwarder>,
    /// The loads, one table each.
    pub paces: Vec<Pace>,
    /// What is asked for.
    pub traffic: Traffic,
    /// What clients use.
    pub transport: Transport,
    /// How the upstream answers.
    pub behavior: Behavior,
    /// Where Unbound is, if it is to be the upstream.
    pub other_upstream: Option<Location>,
    /// Whether the upstream is killed in each run, and started again after [`DOWN`].
    pub restarts: bool,
    /// Whether system calls are counted, in a run of their own.
    pub counts_calls: bool,
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
#[derive(Clone, PartialEq, Debug)]
pub struct Runs {
    /// The forwarder.
    pub name: &'static str,
    /// What came of each run.
    pub outcomes: Vec<Outcome>,
    /// Queries that all runs sent to the upstream.
    pub forwarded: u64,
    /// The most memory that its processes held at the end of a run, in bytes.
    pub resident: u64,
    /// System calls per query answered, if they were counted.
    pub calls: Option<f64>,
}

impl Runs {
    pub(crate) fn new(name: &'static str) -> Runs {
        Runs {
            name,
            outcomes: Vec::new(),
            forwarded: 0,
            resident: 0,
            calls: None,
        }
    }
}

/// All forwarders' runs under one load.
#[derive(Clone, PartialEq, Debug)]
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
    let upstream = UpstreamProcess::start_with(folder.path(), comparison.behavior)?;
    let (address, ca_file) = (upstream.address(), upstream.ca_file().to_owned());
    let certificate = upstream.certificate().to_owned();
    let mut around = Surroundings {
        upstream: address,
        ca_file: &ca_file,
        folder: folder.path(),
        with_caches: comparison.traffic != Traffic::Unique,
        certificate: (comparison.transport == Transport::Tls).then_some(&*certificate),
        connections: CLIENT_CONNECTIONS,
    };
    // It ends with this function.
    let other = match &comparison.other_upstream {
        None => None,
        Some(location) => {
            let with_certificate = Surroundings {
                certificate: Some(&certificate),
                ..around
            };
            Forwarder::Peer(&OTHER_UPSTREAM, location.clone()).start(&with_certificate)?
        }
    };
    if let Some(other) = &other {
        around.upstream = other.tls_address();
    }
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
    let drawn = match comparison.traffic {
        Traffic::Unique => Vec::new(),
        Traffic::Cached(warm) => {
            writeln!(output, "{} names, warm, {:?}", warm.names, warm.popularity)
                .to("write the result")?;
            warm.popularity.draw(warm.names)
        }
        Traffic::Mixed => Popularity::Zipf.draw(MIXED_NAMES),
    };
    let stage = Stage {
        comparison,
        upstream: Mutex::new(upstream),
        around,
        drawn,
    };
    let measured = comparison.paces.iter().map(|pace| {
        let runs = stage.rounds(&present, *pace, output)?;
        Ok(Measurement { pace: *pace, runs })
    });
    measured.collect()
}
