//! Every metric once: its name, kind, labels, what it is and what it tells an operator.
//!
//! The page for scrapers, `docs/metrics.md` and the tests are made from it. All labels are closed sets or the
//! upstreams of the settings, so the number of series has a bound. No query name and no client address is a label.

use dotgate_core::{BUCKETS_MICROS, Count, WAITED, limits};

use super::families::{OfCache, OfClients, OfGroup, OfProcess, OfUpstream, alone};

/// What kind of metric one is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It only grows, until the program restarts.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations, by buckets.
    Histogram,
    /// Always 1; its labels are what it says.
    Info,
}

/// A label and the values it may have.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// The values of a label.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// Each with what it stands for.
    Closed(&'static [(&'static str, &'static str)]),
    /// Those of [`WAITED`].
    Waited,
    /// The groups of the settings, as they are named in logs.
    Groups,
    /// The upstreams of the settings, as they are named in logs.
    Upstreams,
    /// One text, fixed when the program is built.
    Text,
}

impl Values {
    /// How many there can be.
    pub const fn most(self) -> usize {
        match self {
            Values::Closed(values) => values.len(),
            Values::Waited => WAITED.len(),
            Values::Groups => limits::GROUPS,
            Values::Upstreams => limits::UPSTREAMS,
            Values::Text => 1,
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Where its numbers come from.
    pub source: Source,
    /// The name without the `_total` that samples of a counter have.
    pub name: String,
    /// What kind it is.
    pub kind: Kind,
    /// `seconds` or `bytes`, which the name ends with.
    pub unit: Option<&'static str>,
    /// Its labels.
    pub labels: &'static [Label],
    /// What it is.
    pub help: &'static str,
    /// What an operator learns from it.
    pub tells: &'static str,
}

/// Where the numbers of a metric come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Counters and gauges of clients.
    Clients(OfClients),
    /// Counters and gauges of each group.
    Groups(OfGroup),
    /// Counters and gauges of each upstream.
    Upstreams(OfUpstream),
    /// The cache.
    Cache(OfCache),
    /// The system.
    Process(OfProcess),
    /// A plain count of the workers.
    Count(Count),
}

impl Metric {
    /// The name of its samples.
    pub fn sample_name(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{}_total", self.name),
            Kind::Gauge | Kind::Histogram | Kind::Info => self.name.clone(),
        }
    }

    /// How many series it can have.
    pub fn most_series(&self) -> usize {
        let of_each = match self.kind {
            Kind::Counter | Kind::Gauge | Kind::Info => 1,
            // The buckets, the one without a bound, sum and count.
            Kind::Histogram => BUCKETS_MICROS.len() + 3,
        };
        let combinations = self.labels.iter().map(|label| label.values.most());
        of_each * combinations.product::<usize>()
    }
}

/// Every metric there can be, in the order of the page.
pub fn table() -> Vec<Metric> {
    let clients = OfClients::ALL.iter().map(|family| family.metric());
    let groups = OfGroup::ALL.iter().map(|family| family.metric());
    let upstreams = OfUpstream::ALL.iter().map(|family| family.metric());
    let cache = OfCache::ALL.iter().map(|family| family.metric());
    let process = OfProcess::ALL.iter().map(|family| family.metric());
    let counts = Count::ALL.iter().filter_map(|count| alone(*count));
    clients
        .chain(cache)
        .chain(groups)
        .chain(upstreams)
        .chain(counts)
        .chain(process)
        .collect()
}

pub(super) fn row(
    source: Source,
    name: String,
    kind: Kind,
    labels: &'static [Label],
    help: &'static str,
    tells: &'static str,
) -> Metric {
    let unit = ["seconds", "bytes"]
        .into_iter()
        .find(|unit| name.ends_with(unit));
    Metric {
        source,
        name,
        kind,
        unit,
        labels,
        help,
        tells,
    }
}
