//! Routes: which names go to which group of upstreams, from the one-line form or from `[[route]]` tables.
//! It is above single upstreams and under `Config`. A suffix is a domain name or an address prefix, which stands for its
//! reverse zones. What is refused here would send a name to two groups, or to nobody.

use std::collections::HashMap;
use std::num::NonZeroU8;

use dotgate_core::{Dns64Prefix, GroupSettings, Strategy, limits};

use super::kinds::{
    RouteSpec, SUFFIXES_MAX, Suffix, read_dns64, read_suffixes, read_upstreams, read_word,
};
use super::origin::Origin;
use super::problem::{Problem, RoutesFault};
use super::reader::Reader;
use super::setting::AnySetting;
use super::settings::{
    DNS_HOST, ROUTE_DNS64, ROUTE_STRATEGY, ROUTE_SUFFIXES, ROUTE_UPSTREAMS, ROUTES,
};
use super::spec::{KeyTable, Lookup};
use super::strategies;
use super::upstream::{UpstreamConfig, UpstreamSpec};

/// A group of upstreams, and what is asked there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// How logs, metrics and `dotgate check` call it: the first suffix of its route, or `default`.
    pub label: String,
    /// The names that are asked there; none for the default group, which has all others.
    pub suffixes: Vec<Suffix>,
    /// Its upstreams, in order of preference.
    pub upstreams: Vec<UpstreamConfig>,
    /// The share of each in the queries, where they take turns.
    pub weights: Vec<NonZeroU8>,
    /// Which of them is asked first.
    pub strategy: Strategy,
    /// Whether its answers are checked for private addresses, if any are.
    pub is_public: bool,
    /// The prefix of AAAA records that are made of A records where there are none; none if none are made.
    pub dns64: Option<Dns64Prefix>,
    /// Whether it is that of a portal window, whose names yield to those of all routes.
    pub is_portal: bool,
}

impl GroupConfig {
    /// The group of the default route.
    pub(super) fn of_default_route(
        upstreams: Vec<UpstreamConfig>,
        weights: Vec<NonZeroU8>,
        strategy: Strategy,
        dns64: Option<Dns64Prefix>,
    ) -> GroupConfig {
        GroupConfig {
            label: GroupSettings::DEFAULT_LABEL.to_owned(),
            suffixes: Vec::new(),
            upstreams,
            weights,
            strategy,
            is_public: true,
            dns64,
            is_portal: false,
        }
    }
}

/// A route and where it was written.
pub(super) type SourceRoute = (RouteSpec, Origin);

/// Reads the routes, or returns `None` after a problem.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Vec<SourceRoute>> {
    let spec = reader.spec;
    if let Lookup::Broken | Lookup::Value(_) = spec.lookup(&ROUTES) {
        let (routes, origin) = reader.value_with_origin(&ROUTES)?;
        let routes = routes.into_iter();
        return Some(routes.map(|route| (route, origin.clone())).collect());
    }
    let mut all = Some(Vec::new());
    for table in &spec.route_tables {
        match read_table(reader.problems, table) {
            Some(route) => {
                if let Some(routes) = &mut all {
                    routes.push((route, table.origin.clone()));
                }
            }
            None => all = None,
        }
    }
    all
}

/// Reads one table; all problems of it are found.
fn read_table(problems: &mut Vec<Problem>, table: &KeyTable) -> Option<RouteSpec> {
    let suffixes = table.read_required(problems, &ROUTE_SUFFIXES, read_suffixes);
    let upstreams = table.read_required(problems, &ROUTE_UPSTREAMS, read_upstreams);
    let dns64 = table.read(problems, &ROUTE_DNS64, read_dns64);
    let strategy = table.read(problems, &ROUTE_STRATEGY, read_word);
    Some(RouteSpec {
        suffixes: suffixes?,
        upstreams: upstreams?,
        dns64: dns64?.flatten(),
        strategy: strategy?.unwrap_or(Strategy::Ordered),
    })
    .filter(|_| !table.is_broken)
}

/// Finds suffixes that are there twice, and more routes or suffixes than there may be.
pub(super) fn refuse_contradictions(reader: &mut Reader<'_>, routes: &[SourceRoute]) {
    let mut known: HashMap<&[u8], (&RouteSpec, &Origin)> = HashMap::new();
    let mut refuse = |origin: &Origin, fault| {
        let origin = origin.clone();
        reader.problems.push(Problem::Routes { origin, fault });
    };
    // One is the default group.
    let most = limits::GROUPS - 1;
    if let Some((_, origin)) = routes.get(most) {
        let found = routes.len();
        refuse(origin, RoutesFault::TooManyRoutes { found, most });
    }
    for (route, origin) in routes {
        for suffix in &route.suffixes {
            let earlier = suffix
                .zones
                .iter()
                .filter_map(|zone| known.insert(zone, (route, origin)));
            // Of a prefix with several zones one is enough.
            if let Some((other, other_origin)) = earlier.last() {
                let fault = RoutesFault::Duplicate {
                    suffix: suffix.to_string(),
                    route: label(route),
                    other: label(other),
                    other_origin: other_origin.clone(),
                };
                refuse(origin, fault);
            }
        }
        if known.len() > SUFFIXES_MAX {
            let most = SUFFIXES_MAX;
            refuse(origin, RoutesFault::TooManySuffixes { most });
            return;
        }
    }
}

/// The groups of the default route and of these routes, each with where it was written. `from_specs` makes the meaning of
/// the upstreams of one group.
pub(super) fn groups(
    default: GroupConfig,
    routes: &[SourceRoute],
    mut from_specs: impl FnMut(Vec<(UpstreamSpec, Origin)>) -> Vec<UpstreamConfig>,
) -> Vec<(GroupConfig, Origin)> {
    let mut groups = vec![(default, Origin::Default)];
    for (route, origin) in routes {
        let weights = strategies::weights(&route.upstreams);
        let specs = route.upstreams.iter().cloned();
        let group = GroupConfig {
            label: label(route),
            suffixes: route.suffixes.clone(),
            upstreams: from_specs(specs.map(|spec| (spec, origin.clone())).collect()),
            weights,
            strategy: route.strategy,
            is_public: false,
            dns64: route.dns64,
            is_portal: false,
        };
        groups.push((group, origin.clone()));
    }
    groups
}

/// How the group of a route is called.
fn label(route: &RouteSpec) -> String {
    let first = route.suffixes.first().map(Suffix::to_string);
    match first.unwrap_or_default() {
        // So that it is not taken for the default group.
        name if name == GroupSettings::DEFAULT_LABEL => format!("{name}."),
        name => name,
    }
}

/// All upstreams of these groups, each once. Finds upstreams that differ in nothing but their pins or client
/// certificate, and too many.
pub(super) fn all_upstreams(
    reader: &mut Reader<'_>,
    groups: &[(GroupConfig, Origin)],
) -> Vec<UpstreamConfig> {
    let mut all: Vec<UpstreamConfig> = Vec::new();
    for (group, origin) in groups {
        for upstream in &group.upstreams {
            if all.contains(upstream) {
                continue;
            }
            if all.iter().any(|other| other.label == upstream.label) {
                let (origin, label) = (origin.clone(), upstream.label.clone());
                let fault = RoutesFault::OtherAuthentication { label };
                reader.problems.push(Problem::Routes { origin, fault });
            }
            all.push(upstream.clone());
            if all.len() == limits::UPSTREAMS + 1 {
                let (origin, most) = (origin.clone(), limits::UPSTREAMS);
                let fault = RoutesFault::TooManyUpstreams { most };
                reader.problems.push(Problem::Routes { origin, fault });
            }
        }
    }
    all
}

/// What the file's tables of upstreams or routes say in place of a setting, in its one-line form.
pub(super) fn shown_tables(groups: &[GroupConfig], subject: AnySetting) -> String {
    let labels = |group: &GroupConfig| {
        let labels = group.upstreams.iter().map(|upstream| &*upstream.label);
        labels.collect::<Vec<&str>>().join(",")
    };
    let mut groups = groups.iter();
    let default = groups.next().map(labels).unwrap_or_default();
    if subject.entry().variable() == DNS_HOST.entry.variable() {
        return default;
    }
    let routes = groups.map(|group| {
        let suffixes: Vec<String> = group.suffixes.iter().map(Suffix::to_string).collect();
        format!("{}={}", suffixes.join(","), labels(group))
    });
    routes.collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests;
