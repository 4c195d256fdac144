//! The report: every forwarder that is installed, under every workload, as a page with tables and plots.
//!
//! The forwarders run in turns, in each round once, so that whatever else the machine does affects all of them. The page
//! says what machine, versions and configurations the figures are from, and which forwarders were missing.

mod page;
mod plot;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::Error;
use crate::compare::{self, Comparison, Warm};
use crate::error::Action;
use crate::forwarder::{Forwarder, Installations, Location, PEERS, Peer};
use crate::load::{Pace, Popularity};

/// What to report, and how long to measure.
#[derive(Clone, Debug)]
pub struct ReportPlan {
    /// A release binary of dotgate.
    pub dotgate: PathBuf,
    /// Where other forwarders are.
    pub installations: Installations,
    /// Forwarders that are not measured.
    pub without: Vec<String>,
    /// The folder of the page and the plots; it is made.
    pub output: PathBuf,
    /// Runs per forwarder and workload.
    pub rounds: u32,
    /// Length of a run.
    pub run: Duration,
}

/// A load, and what a reader calls it.
struct Workload {
    file: &'static str,
    title: &'static str,
    kind: Kind,
    pace: Pace,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Names that the cache has.
    Hits,
    /// Names that were never asked.
    Forwarded,
}

/// Queries in flight when saturated.
const WINDOW: usize = 256;
/// Names that caches have.
const NAMES: u32 = 10_000;

const WORKLOADS: [Workload; 6] = [
    Workload {
        file: "hits-saturated",
        title: "Cache hits, saturated",
        kind: Kind::Hits,
        pace: Pace::Window(WINDOW),
    },
    Workload {
        file: "hits-20k",
        title: "Cache hits, 20,000 queries per second",
        kind: Kind::Hits,
        pace: Pace::PerSecond(20_000),
    },
    Workload {
        file: "forwarded-saturated",
        title: "Forwarded, saturated",
        kind: Kind::Forwarded,
        pace: Pace::Window(WINDOW),
    },
    Workload {
        file: "forwarded-1k",
        title: "Forwarded, 1,000 queries per second",
        kind: Kind::Forwarded,
        pace: Pace::PerSecond(1_000),
    },
    Workload {
        file: "forwarded-5k",
        title: "Forwarded, 5,000 queries per second",
        kind: Kind::Forwarded,
        pace: Pace::PerSecond(5_000),
    },
    Workload {
        file: "forwarded-20k",
        title: "Forwarded, 20,000 queries per second",
        kind: Kind::Forwarded,
        pace: Pace::PerSecond(20_000),
    },
];

/// A peer that is installed, with its version.
struct Installed {
    peer: &'static Peer,
    location: Location,
    version: String,
}

/// Measures, writes progress to `output`, and writes the page `benchmarks.md` and its plots
/// `benchmarks/*.svg` to the folder.
///
/// # Errors
/// As [`compare::measure`], and if the folder cannot be written.
pub fn run(report: &ReportPlan, output: &mut dyn Write) -> Result<(), Error> {
    let is_wanted = |name: &str| !report.without.iter().any(|without| without == name);
    let mut installed = Vec::new();
    for peer in PEERS.iter().filter(|peer| is_wanted(peer.name)) {
        match peer.find(&report.installations) {
            Some(location) => installed.push(Installed {
                version: peer
                    .version(&location)
                    .unwrap_or_else(|| "unknown".to_owned()),
                peer,
                location,
            }),
            None => writeln!(
                output,
                "{}: not installed ({}), left out",
                peer.name, peer.install
            )
            .to("write the result")?,
        }
    }
    let mut results = Vec::new();
    for kind in [Kind::Hits, Kind::Forwarded] {
        results.extend(compare::measure(
            &comparison(report, kind, &installed),
            output,
        )?);
    }
    let plots = report.output.join("benchmarks");
    fs::create_dir_all(&plots).to("make the folder of the report")?;
    for (workload, measurement) in WORKLOADS.iter().zip(&results) {
        let file = plots.join(format!("{}.svg", workload.file));
        fs::write(file, plot::bars(workload.title, &measurement.runs)).to("write a plot")?;
    }
    let page = page::page(report, &installed, &results)?;
    let file = report.output.join("benchmarks.md");
    fs::write(&file, page).to("write the report")?;
    writeln!(output, "\n{}", file.display()).to("write the result")
}

/// All workloads of one kind.
fn comparison(report: &ReportPlan, kind: Kind, installed: &[Installed]) -> Comparison {
    let mut forwarders = vec![Forwarder::Dotgate(report.dotgate.clone()), Forwarder::Echo];
    let peers = installed
        .iter()
        .filter(|it| kind == Kind::Forwarded || it.peer.has_cache);
    forwarders.extend(peers.map(|it| Forwarder::Peer(it.peer, it.location.clone())));
    Comparison {
        forwarders,
        paces: WORKLOADS
            .iter()
            .filter(|workload| workload.kind == kind)
            .map(|workload| workload.pace)
            .collect(),
        warm: (kind == Kind::Hits).then_some(Warm {
            names: NAMES,
            popularity: Popularity::Uniform,
        }),
        rounds: report.rounds,
        run: report.run,
        warm_up: Duration::from_secs(1),
        sockets: 32,
        timeout: Duration::from_secs(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_in_the_order_in_which_they_are_measured() {
        let kinds: Vec<bool> = WORKLOADS
            .iter()
            .map(|workload| workload.kind == Kind::Hits)
            .collect();
        assert!(kinds.is_sorted_by(|one, next| one >= next));
    }

    #[test]
    fn a_peer_without_a_cache_is_not_measured_with_one() {
        let report = ReportPlan {
            dotgate: PathBuf::from("dotgate"),
            installations: Installations::default(),
            without: Vec::new(),
            output: PathBuf::new(),
            rounds: 1,
            run: Duration::from_secs(1),
        };
        let installed: Vec<Installed> = PEERS
            .iter()
            .map(|peer| Installed {
                peer,
                location: Location::File(PathBuf::new()),
                version: String::new(),
            })
            .collect();
        let names = |kind| -> Vec<&str> {
            comparison(&report, kind, &installed)
                .forwarders
                .iter()
                .map(Forwarder::name)
                .collect()
        };
        assert!(!names(Kind::Hits).contains(&"stubby"));
        assert!(names(Kind::Forwarded).contains(&"stubby"));
        assert_eq!(names(Kind::Hits).first(), Some(&"dotgate"));
    }
}
