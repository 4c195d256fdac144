//! The report: every forwarder that is installed, under every workload, as a page with tables and plots.
//!
//! The forwarders run in turns, in each round once, so that whatever else the machine does affects all of them. The page
//! says what machine, versions and configurations the figures are from, and which forwarders were missing.

mod digest;
mod footprint;
mod page;
mod plot;
mod workloads;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::Error;
use crate::compare::{self, Comparison, Measurement, Traffic, Transport};
use crate::error::Action;
use crate::forwarder::{Forwarder, Installations, Location, OTHER_UPSTREAM, PEERS, Peer};
use footprint::Measurand;
use workloads::{Special, WORKLOADS, Workload};

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
    /// A page with a place for a few figures.
    pub readme: Option<PathBuf>,
    /// Runs per forwarder and workload.
    pub rounds: u32,
    /// Length of a run.
    pub run: Duration,
    /// The workloads that are measured, by name; all if there is none.
    pub workloads: Vec<String>,
}

/// The workload of starts and memory, which is none of the table's.
const FOOTPRINT: &str = "footprint";

/// The names of all workloads.
#[must_use]
pub fn workload_names() -> Vec<&'static str> {
    let names = WORKLOADS.iter().map(|workload| workload.file);
    names.chain([FOOTPRINT]).collect()
}

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
    for workload in WORKLOADS.iter().filter(|it| report.wants(it.file)) {
        writeln!(output, "\n{}", workload.title).to("write the result")?;
        let Some(comparison) = comparison(report, workload, &installed) else {
            writeln!(output, "Unbound is not installed, left out").to("write the result")?;
            continue;
        };
        let measured = compare::measure(&comparison, output)?;
        results.extend(measured.into_iter().map(|it| (workload, it)));
    }
    let footprints = if report.wants(FOOTPRINT) {
        let peers = installed.iter().map(|it| Measurand {
            forwarder: Forwarder::Peer(it.peer, it.location.clone()),
            has_cache: it.peer.has_cache,
            serves_tls: it.peer.serves_tls,
        });
        let mut measurands = vec![Measurand {
            forwarder: Forwarder::Dotgate(report.dotgate.clone()),
            has_cache: true,
            serves_tls: true,
        }];
        measurands.extend(peers);
        footprint::measure(&measurands, report.rounds, output)?
    } else {
        Vec::new()
    };
    let page = page::page(report, &installed, &results, &footprints)?;
    write(report, &results, &page)?;
    writeln!(output, "\n{}", report.output.display()).to("write the result")
}

/// Writes the page and its plots.
fn write(
    report: &ReportPlan,
    results: &[(&Workload, Measurement)],
    page: &str,
) -> Result<(), Error> {
    let plots = report.output.join("benchmarks");
    fs::create_dir_all(&plots).to("make the folder of the report")?;
    for (workload, measurement) in results {
        let file = plots.join(format!("{}.svg", workload.file));
        let text = plot::bars(workload.title, workload.figure, &measurement.runs);
        fs::write(file, text).to("write a plot")?;
    }
    fs::write(report.output.join("benchmarks.md"), page).to("write the report")?;
    let Some(file) = &report.readme else {
        return Ok(());
    };
    let before = fs::read_to_string(file).to("read the page for the figures")?;
    match digest::fill(&before, results) {
        Some(after) => fs::write(file, after).to("write the figures"),
        None => Ok(()),
    }
}

impl ReportPlan {
    fn wants(&self, workload: &str) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|it| it == workload)
    }
}

/// Why a forwarder has no part in a workload.
fn missing(peer: &Peer, workload: &Workload) -> Option<&'static str> {
    match workload.traffic {
        Traffic::Cached(_) if !peer.has_cache => Some("has no cache"),
        _ if workload.transport == Transport::Tls && !peer.serves_tls => {
            Some("serves no clients over TLS")
        }
        _ => None,
    }
}

/// One workload; `None` if its upstream is not installed.
fn comparison(
    report: &ReportPlan,
    workload: &Workload,
    installed: &[Installed],
) -> Option<Comparison> {
    let mut forwarders = vec![Forwarder::Dotgate(report.dotgate.clone())];
    forwarders.extend(floor(workload));
    let peers = installed
        .iter()
        .filter(|it| missing(it.peer, workload).is_none());
    forwarders.extend(peers.map(|it| Forwarder::Peer(it.peer, it.location.clone())));
    let restarts = workload.special == Special::Restart;
    let other_upstream = match workload.special {
        Special::OtherUpstream => Some(OTHER_UPSTREAM.find(&report.installations)?),
        Special::No | Special::Restart => None,
    };
    Some(Comparison {
        forwarders,
        paces: vec![workload.pace],
        traffic: workload.traffic,
        transport: workload.transport,
        behavior: workload.behavior,
        other_upstream,
        restarts,
        counts_calls: workload.counts_calls,
        rounds: if workload.is_short {
            report.rounds.div_ceil(3)
        } else {
            report.rounds
        },
        run: if restarts {
            report.run.max(RESTART_RUN)
        } else {
            report.run
        },
        warm_up: WARM_UP,
        sockets: 32,
        timeout: Duration::from_secs(if restarts { 5 } else { 2 }),
    })
}

/// What a workload costs at least, where there is a program that shows it.
fn floor(workload: &Workload) -> Option<Forwarder> {
    match (workload.traffic, workload.transport) {
        (_, Transport::Tcp | Transport::TcpOnce | Transport::Tls) | (Traffic::Mixed, _) => None,
        (Traffic::Cached(_), Transport::Udp) => Some(Forwarder::Echo),
        // Its sessions end with the upstream.
        (Traffic::Unique, Transport::Udp) if workload.special == Special::Restart => None,
        (Traffic::Unique, Transport::Udp) => Some(Forwarder::Relay),
    }
}

/// Load before a run that is not measured, and the least length of a run in which the upstream restarts.
const WARM_UP: Duration = Duration::from_millis(500);
const RESTART_RUN: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> ReportPlan {
        ReportPlan {
            dotgate: PathBuf::from("dotgate"),
            installations: Installations::default(),
            without: Vec::new(),
            output: PathBuf::new(),
            readme: None,
            rounds: 3,
            run: Duration::from_secs(1),
            workloads: Vec::new(),
        }
    }

    #[test]
    fn a_workload_has_only_those_that_offer_it_and_the_floor_below_it() {
        let installed: Vec<Installed> = PEERS
            .iter()
            .map(|peer| Installed {
                peer,
                location: Location::File(PathBuf::new()),
                version: String::new(),
            })
            .collect();
        let names = |file: &str| -> Vec<&str> {
            let workload = WORKLOADS.iter().find(|it| it.file == file).unwrap();
            let comparison = comparison(&plan(), workload, &installed).unwrap();
            comparison.forwarders.iter().map(Forwarder::name).collect()
        };
        assert_eq!(names("hits-saturated")[..2], ["dotgate", "echo"]);
        assert_eq!(names("forwarded-5k")[..2], ["dotgate", "relay"]);
        assert_eq!(names("restart")[..2], ["dotgate", "dnsdist"]);
        for (file, has_stubby) in [
            ("hits-saturated", false),
            ("hits-tls", false),
            ("mix-5k", true),
        ] {
            assert_eq!(names(file).contains(&"stubby"), has_stubby, "{file}");
        }
    }

    #[test]
    fn workloads_can_be_chosen() {
        let mut plan = plan();
        assert!(workload_names().into_iter().all(|name| plan.wants(name)));
        plan.workloads.push("mix-5k".to_owned());
        assert!(plan.wants("mix-5k") && !plan.wants(FOOTPRINT));
    }
}
