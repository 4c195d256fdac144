//! Routes that a program sets while dotgate runs, such as the hook of a VPN: they are added to the routes of the
//! configuration, and no file has them.
//!
//! It is above `Config`. A suffix of the configuration stays where it is, and so does that of another owner. Routes whose
//! owner let their time pass have no upstreams: their names fail, and are sent to nobody else.

use std::fmt;
use std::str::FromStr;

use dotgate_core::limits;

use super::fault::Fault;
use super::from_spec::{Config, written};
use super::kinds::{Kind as _, RouteSpec, Routes, Suffix};
use super::origin::Origin;
use super::problem::{Problem, Problems, RoutesFault};
use super::reader::Reader;
use super::routes::{self, GroupConfig, SourceRoute};
use super::spec::Spec;
use super::{strategies, upstreams};

/// Who set routes, such as the interface of a VPN: 1 to 64 letters, digits and `._:@-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteOwner(String);

/// The text is no [`RouteOwner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an owner is 1 to 64 letters, digits and ._:@-, such as tun0")]
pub struct NoRouteOwner;

impl FromStr for RouteOwner {
    type Err = NoRouteOwner;

    fn from_str(text: &str) -> Result<RouteOwner, NoRouteOwner> {
        const MOST: usize = 64;
        let is_part = |it: char| it.is_ascii_alphanumeric() || "._:@-".contains(it);
        let is_one = (1..=MOST).contains(&text.len()) && text.chars().all(is_part);
        is_one
            .then(|| RouteOwner(text.to_owned()))
            .ok_or(NoRouteOwner)
    }
}

impl fmt::Display for RouteOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All routes of one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolatileRoutes {
    owner: RouteOwner,
    text: String,
    routes: Vec<RouteSpec>,
    is_expired: bool,
}

impl VolatileRoutes {
    /// Reads routes in the form of `DOTGATE_ROUTES`; at least one.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn read(owner: RouteOwner, text: &str) -> Result<VolatileRoutes, Fault> {
        let text = text.trim();
        let routes = Routes.read(text)?;
        if routes.is_empty() {
            return Err(Fault::Empty);
        }
        Ok(VolatileRoutes {
            owner,
            text: text.to_owned(),
            routes,
            is_expired: false,
        })
    }

    /// The same once their time is over.
    #[must_use]
    pub fn expired(self) -> VolatileRoutes {
        VolatileRoutes {
            is_expired: true,
            ..self
        }
    }

    /// Whether their time is over, so that their names fail.
    pub fn is_expired(&self) -> bool {
        self.is_expired
    }

    /// Who set them.
    pub fn owner(&self) -> &RouteOwner {
        &self.owner
    }

    /// The routes as they were written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Config {
    /// Returns this configuration with these routes in addition.
    ///
    /// # Errors
    /// All that keeps them from being added.
    pub fn with_volatile_routes(&self, all: &[VolatileRoutes]) -> Result<Config, Problems> {
        let mut problems = Vec::new();
        let config = self.add(all, &mut problems);
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            Some(_) | None => Err(Problems::new(problems)),
        }
    }

    fn add(&self, all: &[VolatileRoutes], problems: &mut Vec<Problem>) -> Option<Config> {
        let nothing_else = Spec::default();
        let mut reader = Reader {
            spec: &nothing_else,
            problems,
        };
        let sources = all.iter().flat_map(|owned| {
            let origin = Origin::Owner(owned.owner.to_string());
            let routes = owned.routes.iter();
            routes.map(move |route| (route.clone(), origin.clone()))
        });
        let sources: Vec<SourceRoute> = sources.collect();
        if self.bootstrap().is_empty() {
            upstreams::refuse_names_without_bootstrap(&mut reader, written(&[], &sources));
        }
        routes::refuse_contradictions(&mut reader, &sources);
        refuse_taken(&mut reader, &sources, &self.groups);
        let listeners = self.server().addresses();
        let default = self.groups.first()?.clone();
        let added = routes::groups(default, &sources, |specs| {
            let port = self.default_port;
            upstreams::from_specs(&mut reader, specs, port, &self.tls, &listeners)
        });
        // The first one is the default group, which was judged with the settings.
        let added = added.get(1..).unwrap_or_default();
        strategies::refuse_useless(&mut reader, added, self.shard_key());
        let expired = all
            .iter()
            .flat_map(|owned| owned.routes.iter().map(|_| owned.is_expired));
        let added = added.iter().cloned().zip(expired);
        let added = added.map(|((group, origin), is_expired)| match is_expired {
            true => (without_upstreams(group), origin),
            false => (group, origin),
        });
        let configured = self.groups.iter().cloned();
        let groups = configured.map(|group| (group, Origin::Default));
        let groups: Vec<(GroupConfig, Origin)> = groups.chain(added).collect();
        if groups.len() > limits::GROUPS
            && let Some((_, origin)) = sources.last()
        {
            let (found, most) = (groups.len() - 1, limits::GROUPS - 1);
            let fault = RoutesFault::TooManyRoutes { found, most };
            let origin = origin.clone();
            reader.problems.push(Problem::Routes { origin, fault });
        }
        let upstreams = routes::all_upstreams(&mut reader, &groups);
        let mut config = self.clone();
        config.upstreams = upstreams;
        config.groups = groups.into_iter().map(|(group, _)| group).collect();
        Some(config)
    }
}

fn without_upstreams(group: GroupConfig) -> GroupConfig {
    GroupConfig {
        upstreams: Vec::new(),
        weights: Vec::new(),
        ..group
    }
}

/// Finds suffixes that the configuration has a group for.
fn refuse_taken(reader: &mut Reader<'_>, sources: &[SourceRoute], configured: &[GroupConfig]) {
    let is_same = |one: &Suffix, other: &Suffix| {
        let mut zones = one.zones().iter();
        zones.any(|zone| other.zones().contains(zone))
    };
    for (route, origin) in sources {
        for suffix in &route.suffixes {
            let mut groups = configured.iter();
            let taken = groups.find(|group| group.suffixes.iter().any(|it| is_same(it, suffix)));
            if let Some(group) = taken {
                let fault = RoutesFault::Configured {
                    suffix: suffix.to_string(),
                    group: group.label.clone(),
                };
                let origin = origin.clone();
                reader.problems.push(Problem::Routes { origin, fault });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[(&str, &str)]) -> Config {
        let base = [
            ("DNS_PORT", "8853"),
            ("DOTGATE_ROUTES", "lan=plain:192.0.2.9"),
        ];
        crate::tests::config(&[&base[..], settings].concat())
    }

    fn routes(owner: &str, text: &str) -> VolatileRoutes {
        VolatileRoutes::read(owner.parse().unwrap(), text).unwrap()
    }

    /// What is wrong with these routes.
    fn problem(all: &[VolatileRoutes]) -> String {
        let refused = config(&[]).with_volatile_routes(all).unwrap_err();
        let problems: Vec<String> = refused.iter().map(Problem::to_string).collect();
        problems.join("\n")
    }

    #[test]
    fn routes_of_owners_follow_those_of_the_configuration() {
        let all = [
            routes(
                "tun0",
                "corp.example,10.0.0.0/8=plain:10.0.0.53 lab=10.0.0.54",
            ),
            routes("wg0", "home.example=plain:10.1.0.1"),
        ];
        let config = config(&[]).with_volatile_routes(&all).unwrap();
        let labels: Vec<&str> = config.groups().iter().map(|it| &*it.label).collect();
        assert_eq!(
            labels,
            ["default", "lan", "corp.example", "lab", "home.example"]
        );
        let upstreams: Vec<&str> = config.upstreams().iter().map(|it| &*it.label).collect();
        assert_eq!(
            upstreams,
            [
                "192.0.2.1@8853",
                "plain:192.0.2.9@53",
                "plain:10.0.0.53@53",
                "10.0.0.54@8853",
                "plain:10.1.0.1@53"
            ]
        );
    }

    #[test]
    fn the_strategy_of_the_settings_is_not_judged_again() {
        let settings = [
            ("DNS_HOST", "192.0.2.1,192.0.2.2"),
            ("DOTGATE_DNS_STRATEGY", "shard"),
            ("DOTGATE_DNS_SHARD_KEY", "000102030405060708090a0b0c0d0e0f"),
        ];
        for all in [vec![], vec![routes("tun0", "corp.example=10.0.0.53")]] {
            let with = config(&settings).with_volatile_routes(&all).unwrap();
            assert_eq!(with.groups().len(), 2 + all.len());
        }
    }

    #[test]
    fn expired_routes_keep_their_names_and_have_nobody_to_ask() {
        let config = config(&[])
            .with_volatile_routes(&[routes("tun0", "corp.example=plain:10.0.0.53").expired()])
            .unwrap();
        let group = &config.groups()[2];
        assert_eq!(group.suffixes[0].to_string(), "corp.example");
        assert_eq!((group.upstreams.len(), group.weights.len()), (0, 0));
        assert_eq!(config.upstreams().len(), 2);
    }

    #[test]
    fn a_suffix_has_one_route_and_a_name_of_an_upstream_needs_a_resolver() {
        let one = routes("tun0", "corp.example=10.0.0.53");
        assert_eq!(
            problem(&[routes("tun0", "LAN=10.0.0.53")]),
            "routes of tun0: the settings have a route for lan (group lan)\n  to do: remove lan from these routes, or from the settings"
        );
        let twice = problem(&[one.clone(), routes("wg0", "corp.example=10.0.0.54")]);
        assert!(twice.contains("corp.example"), "{twice}");
        assert!(twice.contains("routes of tun0"), "{twice}");
        assert!(twice.contains("routes of wg0"), "{twice}");
        let named = problem(&[routes("tun0", "corp.example=dns.corp.example")]);
        assert!(named.contains("DOTGATE_BOOTSTRAP_ADDRESSES"), "{named}");
        let own = problem(&[routes("tun0", "corp.example=plain:127.0.0.1@5300")]);
        assert!(own.contains("127.0.0.1"), "{own}");
        let many: Vec<String> = (0..limits::GROUPS)
            .map(|n| format!("n{n}=10.0.0.1"))
            .collect();
        let many = problem(&[routes("tun0", &many.join(" "))]);
        assert!(many.contains("routes"), "{many}");
    }

    #[test]
    fn owners_and_routes_are_read_or_refused() {
        for right in ["tun0", "wg-home.1", "a:b@c_d"] {
            assert_eq!(right.parse::<RouteOwner>().unwrap().to_string(), right);
        }
        for wrong in ["", "a b", "tun0\n", "ü", &"a".repeat(65)] {
            assert!(wrong.parse::<RouteOwner>().is_err(), "{wrong:?}");
        }
        let owner = || "tun0".parse().unwrap();
        for wrong in ["", "  ", "corp.example", ".=10.0.0.1", "corp=", "=10.0.0.1"] {
            assert!(VolatileRoutes::read(owner(), wrong).is_err(), "{wrong:?}");
        }
    }
}
