//! Which upstream has which ID in the engines, over all configurations of the process.

use std::collections::VecDeque;
use std::sync::Arc;

use dotgate_config::{Config, GroupConfig, UpstreamConfig};
use dotgate_core::{UpstreamId, limits};
use dotgate_tls::Roots;

use super::error::StartError;
use crate::clock::now;
use crate::upstreams::{Group, Groups, RouteNumbers, Upstream, Upstreams};

/// Which upstream has which ID in the engines.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    labels: Vec<String>,
    /// Those that no upstream has, the one left longest ago first: what was in flight there has ended long since.
    free: VecDeque<UpstreamId>,
    /// How often IDs were assigned.
    pub(super) generation: u32,
    routes: RouteNumbers,
}

impl Default for Slots {
    fn default() -> Slots {
        Slots {
            labels: vec![String::new(); limits::UPSTREAM_IDS],
            free: (0..limits::UPSTREAM_IDS as u8).map(UpstreamId).collect(),
            generation: 0,
            routes: RouteNumbers::default(),
        }
    }
}

impl Slots {
    /// Makes the upstreams and the groups of a configuration.
    pub(super) fn assign_all(
        self,
        upstreams: &[Arc<Upstream>],
        groups: &[Arc<Group>],
        config: &Config,
        roots: &Roots,
    ) -> Result<((Upstreams, Groups), Slots), StartError> {
        let (upstreams, mut slots) = self.assign(upstreams, config.upstreams(), roots)?;
        let groups = slots.routes.assign(groups, config.groups(), &upstreams);
        let groups = groups.ok_or(StartError::RoutesUsedUp)?;
        Ok(((upstreams, groups), slots))
    }

    /// Makes the upstreams of a configuration, in their order. Of the current ones those that are the same
    /// stay; the IDs of the others become free.
    pub(super) fn assign(
        mut self,
        before: &[Arc<Upstream>],
        configured: &[UpstreamConfig],
        roots: &Roots,
    ) -> Result<(Upstreams, Slots), StartError> {
        let mut upstreams = Vec::new();
        for config in configured {
            let same = before.iter().find(|upstream| upstream.is_of(config, roots));
            let upstream = match same {
                Some(upstream) => Arc::clone(upstream),
                None => {
                    let made = self.make(config, roots)?;
                    let mut before = before.iter();
                    if let Some(before) = before.find(|it| it.label() == made.label()) {
                        made.learn_from(before, now());
                    }
                    Arc::new(made)
                }
            };
            upstreams.push(upstream);
        }
        let is_left = |upstream: &&Arc<Upstream>| {
            let mut used = upstreams.iter();
            !used.any(|it| it.id() == upstream.id())
        };
        let left = before.iter().filter(is_left);
        self.free.extend(left.map(|upstream| upstream.id()));
        self.generation = self.generation.wrapping_add(1);
        Ok((upstreams.into(), self))
    }

    /// Adds the group of a portal window to the current ones.
    pub(super) fn with_portal(
        mut self,
        upstreams: &[Arc<Upstream>],
        groups: &[Arc<Group>],
        portal: &GroupConfig,
    ) -> Result<((Upstreams, Groups), Slots), StartError> {
        let mut all = upstreams.to_vec();
        for config in &portal.upstreams {
            if upstreams.iter().all(|upstream| upstream.config() != config) {
                // Without TLS it validates nothing; there always is an upstream that has trust anchors.
                let Some(first) = upstreams.first() else {
                    continue;
                };
                all.push(Arc::new(self.make(config, first.roots())?));
            }
        }
        let portal = self.routes.portal(portal, &all);
        let portal = portal.ok_or(StartError::RoutesUsedUp)?;
        let groups = groups.iter().cloned().chain([portal]);
        self.generation = self.generation.wrapping_add(1);
        Ok(((all.into(), groups.collect()), self))
    }

    /// Takes the group of a portal window away, with the upstream that no other group has.
    pub(super) fn without_portal(
        mut self,
        upstreams: &[Arc<Upstream>],
        groups: &[Arc<Group>],
    ) -> ((Upstreams, Groups), Slots) {
        let groups = groups.iter().filter(|group| !group.is_portal());
        let groups: Vec<Arc<Group>> = groups.cloned().collect();
        let is_used = |upstream: &&Arc<Upstream>| {
            let mut configured = groups.iter().flat_map(|group| group.upstreams());
            configured.any(|it| it.id() == upstream.id())
        };
        let (used, left): (Vec<_>, Vec<_>) = upstreams.iter().partition(is_used);
        self.free.extend(left.iter().map(|upstream| upstream.id()));
        self.generation = self.generation.wrapping_add(1);
        let used = used.into_iter().cloned().collect();
        ((used, groups.into()), self)
    }

    /// There is always a free ID: half of them are enough for all upstreams.
    fn make(&mut self, config: &UpstreamConfig, roots: &Roots) -> Result<Upstream, StartError> {
        let id = self.free.pop_front().unwrap_or(UpstreamId(0));
        if let Some(label) = self.labels.get_mut(id.index()) {
            label.clone_from(&config.label);
        }
        Upstream::new(id, config, roots).map_err(|source| StartError::Tls {
            label: config.label.clone(),
            source,
        })
    }

    pub(super) fn label(&self, id: UpstreamId) -> &str {
        self.labels
            .get(id.index())
            .map_or("unknown", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dotgate_config::Environment;
    use dotgate_testbed::certificates::TestAuthority;

    /// As many upstreams as there may be, all in this network.
    fn configured(network: u8) -> Vec<UpstreamConfig> {
        let hosts = (1..=limits::UPSTREAMS).map(|host| format!("192.0.{network}.{host}"));
        let hosts: Vec<String> = hosts.collect();
        let mut groups = hosts
            .chunks(limits::GROUP_UPSTREAMS)
            .map(|group| group.join(","));
        let default = groups.next().unwrap();
        let routes = groups.enumerate();
        let routes = routes.map(|(number, group)| format!("n{number}.example={group}"));
        let routes: Vec<String> = routes.collect();
        let environment: Environment = [
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("DNS_HOST", &default),
            ("DNS_PORT", "853"),
            ("DOTGATE_ROUTES", &routes.join(" ")),
        ]
        .into_iter()
        .collect();
        let config = dotgate_config::load(&environment, None).unwrap().config;
        config.upstreams().to_vec()
    }

    #[test]
    fn new_upstreams_never_take_the_ids_of_those_they_replace() {
        let authority = TestAuthority::new().unwrap();
        let roots = Roots::trusting(authority.certificate()).unwrap();
        let mut slots = Slots::default();
        let mut before: Upstreams = [].into();
        for change in 0..6 {
            let configured = configured(change % 3);
            let assigned = slots.assign(&before, &configured, &roots).unwrap();
            let upstreams = assigned.0;
            slots = assigned.1;
            for upstream in upstreams.iter() {
                assert!(before.iter().all(|it| it.id() != upstream.id()));
                assert_eq!(slots.label(upstream.id()), upstream.label());
            }
            before = upstreams;
        }
    }

    #[test]
    fn what_was_learned_of_an_upstream_stays_when_its_settings_change() {
        let authority = TestAuthority::new().unwrap();
        let roots = Roots::trusting(authority.certificate()).unwrap();
        let configured = configured(1);
        let (before, slots) = Slots::default().assign(&[], &configured, &roots).unwrap();
        let until = now() + limits::CLASSICAL_FOR / 2;
        before[0].handshakes().restore(now(), until);
        let others = Roots::trusting(TestAuthority::new().unwrap().certificate()).unwrap();
        let (after, _) = slots.assign(&before, &configured, &others).unwrap();
        assert!(!Arc::ptr_eq(&before[0], &after[0]));
        assert_eq!(after[0].handshakes().classical_until(now()), Some(until));
        assert_eq!(after[1].handshakes().classical_until(now()), None);
    }

    #[test]
    fn an_upstream_that_is_the_same_stays_wherever_it_stands() {
        let authority = TestAuthority::new().unwrap();
        let roots = Roots::trusting(authority.certificate()).unwrap();
        let mut configured = configured(2);
        let (before, slots) = Slots::default().assign(&[], &configured, &roots).unwrap();
        configured.reverse();
        let (after, slots) = slots.assign(&before, &configured, &roots).unwrap();
        for (upstream, same) in after.iter().zip(before.iter().rev()) {
            assert!(Arc::ptr_eq(upstream, same));
        }
        let others = Roots::trusting(TestAuthority::new().unwrap().certificate()).unwrap();
        let (others, _) = slots.assign(&after, &configured, &others).unwrap();
        assert!(
            others
                .iter()
                .all(|it| after.iter().all(|old| old.id() != it.id()))
        );
    }
}
