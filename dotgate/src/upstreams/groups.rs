//! The groups of upstreams as all workers share them, and the numbers of their routes.

use std::sync::Arc;

use dotgate_config::{GroupConfig, Suffix};
use dotgate_core::{
    GroupCounters, GroupSettings, HealthState, RouteId, RouteTable, Strategy, Transport,
    UpstreamSettings,
};
use dotgate_wire::{Question, rclass, rtype};

use super::Upstream;

/// All groups, that of the default route first.
pub type Groups = Arc<[Arc<Group>]>;

/// One group of upstreams, with the names that are asked there.
#[derive(Debug)]
pub struct Group {
    config: GroupConfig,
    route: RouteId,
    upstreams: Vec<Arc<Upstream>>,
    counters: Arc<GroupCounters>,
}

impl Group {
    /// How logs and metrics call it.
    pub fn label(&self) -> &str {
        &self.config.label
    }

    /// The names that are asked there; none for the default group, which has all others.
    pub fn suffixes(&self) -> &[Suffix] {
        &self.config.suffixes
    }

    /// Its upstreams, as configured.
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// The route that leads to it.
    pub(crate) fn route(&self) -> RouteId {
        self.route
    }

    /// Whether it is the group of the default route.
    pub fn is_default(&self) -> bool {
        self.route == RouteId::DEFAULT
    }

    /// Whether it is that of a portal window.
    pub(crate) fn is_portal(&self) -> bool {
        self.config.is_portal
    }

    /// Whether an upstream of it is not down.
    pub fn is_up(&self) -> bool {
        let mut upstreams = self.upstreams.iter();
        upstreams.any(|upstream| upstream.health().state() != HealthState::Down)
    }

    /// Which upstream is asked first.
    pub fn strategy(&self) -> Strategy {
        self.config.strategy
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<GroupCounters> {
        &self.counters
    }

    /// The data for engines.
    pub(crate) fn settings(&self) -> GroupSettings {
        let mut zones = self.suffixes().iter().flat_map(Suffix::zones);
        let zone = zones.next();
        let weights = self.config.weights.iter();
        let upstreams = self.upstreams.iter().zip(weights);
        let upstreams = upstreams.map(|(upstream, weight)| UpstreamSettings {
            weight: *weight,
            probe: zone.and_then(|zone| probe_in(zone, upstream)),
            ..upstream.settings()
        });
        GroupSettings {
            route: self.route,
            label: self.label().into(),
            upstreams: upstreams.collect(),
            strategy: self.config.strategy,
            is_public: self.config.is_public,
            dns64: self.config.dns64,
            counters: Arc::clone(&self.counters),
        }
    }
}

/// The probe of a plain upstream of a route: its zone, for the server may know nothing else and not answer at all.
fn probe_in(zone: &[u8], upstream: &Upstream) -> Option<Question> {
    match upstream.config().transport() {
        Transport::Dot => None,
        Transport::Plain => Question::new(zone, rtype::NS, rclass::IN),
    }
}

/// What engines need to know to find the group of a name.
pub(crate) fn route_table(groups: &Groups) -> RouteTable {
    let numbered = groups.iter().enumerate();
    let (portal, routes): (Vec<_>, Vec<_>) = numbered.partition(|(_, group)| group.is_portal());
    let table = RouteTable::new(routes.into_iter().flat_map(|(place, group)| {
        let zones = group.suffixes().iter().flat_map(Suffix::zones);
        zones.map(move |zone| (zone.clone(), place))
    }));
    portal.into_iter().fold(table, |table, (place, group)| {
        let zones = group.suffixes().iter().flat_map(Suffix::zones);
        table.with_portal(place, zones.map(|zone| &**zone))
    })
}

/// Which numbers routes have had. A group has the same one as long as its label, its upstreams and its DNS64 are the same, and
/// no other group ever has it: what was cached for a group is out of reach once it means something else.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RouteNumbers {
    last: u16,
}

impl RouteNumbers {
    /// The most numbers that routes may have had.
    const MOST: u16 = u16::MAX - 1;

    /// Makes the groups of a configuration. Of the current ones those that are the same stay. None if there is
    /// no number left.
    pub(crate) fn assign(
        &mut self,
        before: &[Arc<Group>],
        configured: &[GroupConfig],
        upstreams: &[Arc<Upstream>],
    ) -> Option<Groups> {
        let mut groups = Vec::new();
        for (place, config) in configured.iter().enumerate() {
            let is_same = |group: &&Arc<Group>| {
                let guard = &group.config;
                guard.label == config.label
                    && guard.upstreams == config.upstreams
                    && guard.dns64 == config.dns64
            };
            let same = match place {
                0 => before.first(),
                _ => before.iter().skip(1).find(is_same),
            };
            let route = match (same, place) {
                (Some(same), _) => same.route,
                (None, 0) => RouteId::DEFAULT,
                (None, _) => self.next()?,
            };
            let in_order = config.upstreams.iter().filter_map(|config| {
                let mut all = upstreams.iter();
                all.find(|upstream| upstream.config() == config).cloned()
            });
            groups.push(Arc::new(Group {
                config: config.clone(),
                route,
                upstreams: in_order.collect(),
                counters: same
                    .map(|same| Arc::clone(&same.counters))
                    .unwrap_or_default(),
            }));
        }
        Some(groups.into())
    }

    /// Makes the group of a portal window. None if there is no number left.
    pub(crate) fn portal(
        &mut self,
        config: &GroupConfig,
        upstreams: &[Arc<Upstream>],
    ) -> Option<Arc<Group>> {
        let in_order = config.upstreams.iter().filter_map(|config| {
            let mut all = upstreams.iter();
            all.find(|upstream| upstream.config() == config).cloned()
        });
        Some(Arc::new(Group {
            config: config.clone(),
            route: self.next()?,
            upstreams: in_order.collect(),
            counters: Arc::default(),
        }))
    }

    fn next(&mut self) -> Option<RouteId> {
        self.last = self
            .last
            .checked_add(1)
            .filter(|last| *last <= Self::MOST)?;
        Some(RouteId(self.last))
    }
}
