//! How long forwarders take to start, and what memory they hold.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::Error;
use crate::error::Action;
use crate::forwarder::{self, Forwarder, Running, Surroundings};
use crate::load::idle::IdleClients;
use crate::load::streams::Layer;
use crate::load::{self, Load, Names, Pace, Stop};
use crate::upstream::UpstreamProcess;
use crate::usage::Usage;

/// Names asked for to see what memory their entries take.
const ENTRIES: u64 = 100_000;
/// How long that takes at most.
const ENTRIES_MAX: Duration = Duration::from_secs(60);
/// Client connections whose memory is measured, and those that are opened before, so that what the first ones need counts
/// for none.
const CONNECTIONS: usize = 2_000;
const CONNECTIONS_BEFORE: usize = 100;
/// What the limits on connections are set to, where there are any: some close idle ones as they get near it.
const CONNECTIONS_MAX: usize = 2_500;

/// A forwarder, and what of it is measured.
pub(super) struct Measurand {
    pub(super) forwarder: Forwarder,
    pub(super) has_cache: bool,
    pub(super) serves_tls: bool,
}

/// The starts of a forwarder, and its memory.
pub(super) struct Footprint {
    name: &'static str,
    /// From the start of its process to the first response that an upstream gave.
    starts: Vec<Duration>,
    /// Just after that, in bytes.
    idle: Option<u64>,
    /// How much more it is after so many names.
    entries: Value,
    /// How much more it is with a thousand more client connections that are idle.
    over_tcp: Value,
    over_tls: Value,
}

/// What a cell shows.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Value {
    /// Memory, in bytes.
    Bytes(u64),
    /// Why there is none.
    None(&'static str),
    /// How many names were answered in the time for all.
    OnlyNames(u64),
    /// How many connections are still open, of how many: the forwarder has closed some.
    StillOpen(usize, usize),
}

const DID_NOT_START: Value = Value::None("did not start");
const ENDED: Value = Value::None("ended");

/// Starts each forwarder so often, fills the cache of those that have one, and opens connections.
pub(super) fn measure(
    measurands: &[Measurand],
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
        connections: forwarder::CLIENT_CONNECTIONS,
    };
    let with_tcp = Surroundings {
        connections: CONNECTIONS_MAX,
        ..around
    };
    let with_tls = Surroundings {
        certificate: Some(upstream.certificate()),
        ..with_tcp
    };
    let mut all = Vec::new();
    for measurand in measurands {
        let mut footprint = starts(measurand, &around, rounds)?;
        let tcp = start(&measurand.forwarder, &with_tcp)?;
        footprint.over_tcp = or_ended(connections(tcp, Running::address, Layer::Tcp))?;
        if measurand.serves_tls {
            let tls = start(&measurand.forwarder, &with_tls)?;
            let layer = Layer::Tls(upstream.ca_file());
            footprint.over_tls = or_ended(connections(tls, Running::tls_address, layer))?;
        }
        writeln!(output, "{}", footprint.row().trim()).to("write the result")?;
        all.push(footprint);
    }
    Ok(all)
}

/// `None` if it does not start.
fn start(forwarder: &Forwarder, around: &Surroundings<'_>) -> Result<Option<Running>, Error> {
    match forwarder.start(around) {
        Err(Error::NotReady { .. }) => Ok(None),
        outcome => outcome,
    }
}

/// The value, or that the forwarder ended before it was measured.
fn or_ended(value: Result<Value, Error>) -> Result<Value, Error> {
    match value {
        Err(error) if error.is_of_a_forwarder() => Ok(ENDED),
        outcome => outcome,
    }
}

/// The time to start, and the memory after the last start, without and with a cache that is filled.
fn starts(
    measurand: &Measurand,
    around: &Surroundings<'_>,
    rounds: u32,
) -> Result<Footprint, Error> {
    let mut footprint = Footprint {
        name: measurand.forwarder.name(),
        starts: Vec::new(),
        idle: None,
        entries: Value::None("has no cache"),
        over_tcp: DID_NOT_START,
        over_tls: Value::None("serves no clients over TLS"),
    };
    for round in 1..=rounds {
        let Some(running) = start(&measurand.forwarder, around)? else {
            continue;
        };
        footprint.starts.push(running.started_in());
        if round < rounds {
            continue;
        }
        let idle = match Usage::of_group(running.pid()) {
            Err(error) if error.is_of_a_forwarder() => continue,
            outcome => outcome?.resident,
        };
        footprint.idle = Some(idle);
        if measurand.has_cache {
            footprint.entries = or_ended(entries(&running, idle))?;
        }
    }
    footprint.starts.sort_unstable();
    Ok(footprint)
}

/// What all names take, from so much memory on.
fn entries(running: &Running, idle: u64) -> Result<Value, Error> {
    let outcome = load::run(&Load {
        target: running.address(),
        sockets: 32,
        pace: Pace::Window(256),
        stop: Stop::QueriesWithin(ENTRIES, ENTRIES_MAX),
        timeout: Duration::from_secs(2),
        seed: 1,
        names: Names::Unique,
        measured: None,
    })?;
    let resident = Usage::of_group(running.pid())?.resident;
    Ok(if outcome.sent < ENTRIES {
        Value::OnlyNames(outcome.tally.answered)
    } else {
        Value::Bytes(resident.saturating_sub(idle))
    })
}

/// What a thousand connections take that have asked one query each.
fn connections(
    running: Option<Running>,
    address: fn(&Running) -> std::net::SocketAddr,
    layer: Layer<'_>,
) -> Result<Value, Error> {
    let Some(running) = running else {
        return Ok(DID_NOT_START);
    };
    let mut clients = IdleClients::new(address(&running), layer)?;
    clients.open(CONNECTIONS_BEFORE)?;
    let before = Usage::of_group(running.pid())?.resident;
    clients.open(CONNECTIONS)?;
    let after = Usage::of_group(running.pid())?.resident;
    let growth = after.saturating_sub(before);
    Ok(
        match (clients.retain_open(), CONNECTIONS_BEFORE + CONNECTIONS) {
            (still_open, opened) if still_open == opened => {
                Value::Bytes(growth * 1_000 / CONNECTIONS as u64)
            }
            (still_open, opened) => Value::StillOpen(still_open, opened),
        },
    )
}

/// A column of the table: its title, the value in a row, and its decimals.
type Column = (&'static str, fn(&Footprint) -> Value, usize);

/// Those with memory, in units of MiB.
const COLUMNS: [Column; 4] = [
    (
        "idle, MiB",
        |it| it.idle.map_or(DID_NOT_START, Value::Bytes),
        1,
    ),
    ("100,000 entries, MiB", |it| it.entries.clone(), 1),
    ("1,000 connections, MiB", |it| it.over_tcp.clone(), 2),
    (
        "1,000 connections over TLS, MiB",
        |it| it.over_tls.clone(),
        2,
    ),
];

fn mebibytes(bytes: u64, decimals: usize) -> String {
    let value = bytes as f64 / f64::from(1 << 20);
    format!("{value:.decimals$}")
}

impl Footprint {
    fn row(&self) -> String {
        let start = self.start().map_or_else(
            || "did not start".to_owned(),
            |it| it.as_millis().to_string(),
        );
        let mut text = format!("| {} | {start} |", self.name);
        for (_, value, decimals) in COLUMNS {
            let cell = match value(self) {
                Value::Bytes(bytes) => mebibytes(bytes, decimals),
                Value::None(why) => why.to_owned(),
                Value::OnlyNames(answered) => {
                    format!("only {answered} in {} s", ENTRIES_MAX.as_secs())
                }
                Value::StillOpen(0, _) => "closes them".to_owned(),
                Value::StillOpen(still_open, opened) => format!("keeps {still_open} of {opened}"),
            };
            // Writing to a String cannot fail.
            _ = write!(text, " {cell} |");
        }
        text.push('\n');
        text
    }

    /// The median.
    fn start(&self) -> Option<Duration> {
        self.starts.get(self.starts.len() / 2).copied()
    }
}

/// The section of the page.
pub(super) fn section(footprints: &[Footprint]) -> String {
    let mut text = format!(
        "\n### Start and memory\n\n\
         From the start of the process to the first response from the upstream, in steps of 2 ms, the median of the starts. A \
         program from a tree starts through `unshare` and `chroot`, which is a few milliseconds of it. Memory is resident (of \
         what processes share, each has its part; the kernel's is not in it): after the first response, what 100,000 names add \
         to it, and what 1,000 client connections add to it that have asked one query each and are idle. {} \
         are opened, one after another, of which the first {CONNECTIONS_BEFORE} do not count, from several addresses, over TCP and, \
         with a full handshake each, over TLS; \
         *closes them* and *keeps* mean that a forwarder closed connections before the last one was open, and *only* that it answered no \
         more names in {} s. What a forwarder \
         takes for connections at its start does not count: Unbound has buffers for as many over TCP as its limit allows.\n\n\
         | | start, ms |",
        CONNECTIONS_BEFORE + CONNECTIONS,
        ENTRIES_MAX.as_secs(),
    );
    for (title, ..) in COLUMNS {
        // Writing to a String cannot fail.
        _ = write!(text, " {title} |");
    }
    _ = writeln!(text, "\n|---|---|{}", "---|".repeat(COLUMNS.len()));
    text.extend(footprints.iter().map(Footprint::row));
    text
}

/// Where others have a lower value than dotgate, which is first: an item of a list, or nothing.
pub(super) fn where_others_are_better(footprints: &[Footprint]) -> String {
    let Some((dotgate, others)) = footprints.split_first() else {
        return String::new();
    };
    let mut parts = Vec::new();
    let millis = |it: &Footprint| Some((it.start()?.as_millis(), it.name));
    let start = others.iter().filter_map(millis).collect();
    if let Some((own, _)) = millis(dotgate) {
        parts.extend(part("start, ms", own, start, |it| it.to_string()));
    }
    for (title, value, decimals) in COLUMNS {
        let bytes = |it: &Footprint| match value(it) {
            Value::Bytes(bytes) => Some((bytes, it.name)),
            _ => None,
        };
        let values = others.iter().filter_map(bytes).collect();
        if let Some((own, _)) = bytes(dotgate) {
            parts.extend(part(title, own, values, |it| mebibytes(*it, decimals)));
        }
    }
    if parts.is_empty() {
        return String::new();
    }
    format!(
        "* In [start and memory](#start-and-memory): {}.\n",
        parts.join("; ")
    )
}

/// The values that are shown as less than dotgate's, the least first.
fn part<T: Ord>(
    title: &str,
    own: T,
    mut values: Vec<(T, &'static str)>,
    shown: impl Fn(&T) -> String,
) -> Option<String> {
    values.retain(|(value, _)| *value < own && shown(value) != shown(&own));
    values.sort_unstable();
    let less: Vec<String> = values
        .iter()
        .map(|(value, name)| format!("{name} {}", shown(value)))
        .collect();
    let own = shown(&own);
    (!less.is_empty()).then(|| format!("*{title}*: {} (dotgate {own})", less.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footprint(name: &'static str, start: u64, idle: u64) -> Footprint {
        Footprint {
            name,
            starts: [start / 2, start, start * 2]
                .map(Duration::from_millis)
                .to_vec(),
            idle: Some(idle << 20),
            entries: Value::None("has no cache"),
            over_tcp: Value::Bytes(3 << 18),
            over_tls: Value::None("serves no clients over TLS"),
        }
    }

    #[test]
    fn a_row_has_the_median_start_and_says_what_is_not_there() {
        let mut footprint = footprint("stubby", 8, 3);
        assert_eq!(
            footprint.row(),
            "| stubby | 8 | 3.0 | has no cache | 0.75 | serves no clients over TLS |\n"
        );
        footprint.starts.clear();
        footprint.idle = None;
        footprint.entries = Value::Bytes(1 << 19);
        footprint.over_tcp = Value::StillOpen(0, 2_100);
        footprint.over_tls = Value::StillOpen(150, 2_100);
        assert_eq!(
            footprint.row(),
            "| stubby | did not start | did not start | 0.5 | closes them | keeps 150 of 2100 |\n"
        );
        footprint.entries = Value::OnlyNames(70_000);
        footprint.over_tcp = or_ended(Err(Error::NoUsage { pid: 1 })).unwrap();
        assert_eq!(
            footprint.row(),
            "| stubby | did not start | did not start | only 70000 in 60 s | ended | keeps 150 of 2100 |\n"
        );
        assert!(or_ended(Err(Error::NoForwarder)).is_err());
    }

    #[test]
    fn the_section_has_a_row_for_each_as_wide_as_its_head() {
        let text = section(&[footprint("dotgate", 8, 3), footprint("bind", 4, 30)]);
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), 4, "{text}");
        assert!(
            rows.iter().all(|row| row.matches('|').count() == 7),
            "{text}"
        );
    }

    #[test]
    fn where_others_are_better_comes_from_the_data() {
        let others = [
            footprint("dotgate", 8, 13),
            footprint("bind", 7, 20),
            footprint("stubby", 4, 12),
            footprint("smartdns", 8, 13),
        ];
        assert_eq!(
            where_others_are_better(&others),
            "* In [start and memory](#start-and-memory): *start, ms*: stubby 4, bind 7 (dotgate 8); *idle, MiB*: stubby 12.0 \
             (dotgate 13.0).\n"
        );
        assert_eq!(where_others_are_better(&others[..1]), "");
        assert_eq!(where_others_are_better(&[]), "");
        // Nothing closed is less than something that is still_open.
        let closing = Footprint {
            over_tcp: Value::StillOpen(0, 2_100),
            ..footprint("bind", 8, 13)
        };
        assert_eq!(
            where_others_are_better(&[footprint("dotgate", 8, 13), closing]),
            ""
        );
    }

    #[test]
    fn connections_that_stay_open_are_measured_and_those_that_do_not_start_are_not() {
        assert_eq!(
            connections(None, Running::address, Layer::Tcp).unwrap(),
            DID_NOT_START
        );
    }
}
