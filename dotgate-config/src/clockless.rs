//! The group of the names that are asked while the system's clock is not set.
//! It is above groups: a router without a battery starts in 1970, judges every certificate as not yet valid, and needs
//! DNS to find the servers that tell the time. A pin needs no clock. Names of a route never get here: they would leave
//! their group.

use dotgate_core::limits;

use super::from_spec::Config;
use super::identity::{Authentication, Identity};
use super::kinds::Suffix;
use super::routes::GroupConfig;
use super::upstream::UpstreamConfig;

/// How logs and metrics call the group.
const LABEL: &str = "clockless";

impl Config {
    /// Returns this configuration as it holds while the system's clock is not set: with a group more if there are names
    /// for it and if an upstream of the default route has pins, and if there is room for it.
    #[must_use]
    pub fn without_clock(mut self) -> Config {
        let Some(group) = self.new_clockless_group() else {
            return self;
        };
        let other = group
            .upstreams
            .iter()
            .filter(|it| !self.upstreams.contains(it));
        let other: Vec<UpstreamConfig> = other.cloned().collect();
        if self.groups.len() < limits::GROUPS
            && self.upstreams.len() + other.len() <= limits::UPSTREAMS
        {
            self.upstreams.extend(other);
            self.groups.push(group);
        }
        self
    }

    /// Returns that group, if it was added.
    pub fn clockless_group(&self) -> Option<&GroupConfig> {
        let mut groups = self.groups.iter();
        groups.find(|group| group.upstreams.iter().any(needs_no_clock))
    }

    fn new_clockless_group(&self) -> Option<GroupConfig> {
        let default = self.groups.first()?;
        let suffixes = self.tls.clockless_names.iter();
        let suffixes: Vec<Suffix> = suffixes.filter(|it| !self.is_routed(it)).cloned().collect();
        let upstreams: Vec<UpstreamConfig> =
            default.upstreams.iter().filter_map(of_pins_alone).collect();
        let is_of_use = !suffixes.is_empty() && upstreams.iter().any(needs_no_clock);
        is_of_use.then(|| GroupConfig {
            label: LABEL.to_owned(),
            suffixes,
            upstreams,
            ..default.clone()
        })
    }

    /// Whether the names below `suffix`, or all of a domain above it, belong to a route.
    fn is_routed(&self, suffix: &Suffix) -> bool {
        let mut routed = self.groups.iter().flat_map(|group| &group.suffixes);
        routed.any(|route| route.has(suffix) || suffix.has(route))
    }
}

fn needs_no_clock(upstream: &UpstreamConfig) -> bool {
    let authentication = upstream.authentication.as_ref();
    authentication.is_some_and(|authentication| authentication.pin_without_clock)
}

/// The upstream with its pins alone, as long as there is no clock; none for one without pins, or without TLS.
fn of_pins_alone(upstream: &UpstreamConfig) -> Option<UpstreamConfig> {
    let authentication = upstream.authentication.as_ref()?;
    if !authentication.strict || authentication.pins.is_empty() {
        return None;
    }
    match authentication.identity {
        // It needs no clock anyway.
        Identity::PinOnly => Some(upstream.clone()),
        Identity::Name(_) | Identity::Address(_) => Some(UpstreamConfig {
            authentication: Some(Authentication {
                pin_without_clock: true,
                ..authentication.clone()
            }),
            label: format!("{};{LABEL}", upstream.label),
            ..upstream.clone()
        }),
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::config;

    const PIN: &str = "pin=sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    fn clockless(settings: &[(&str, &str)]) -> Option<(Vec<String>, Vec<String>)> {
        let before = config(settings);
        let groups = before.groups().len();
        let config = before.without_clock();
        let group = config.groups().get(groups)?;
        assert!(
            group
                .upstreams
                .iter()
                .all(|it| config.upstreams().contains(it))
        );
        Some((
            group.suffixes.iter().map(ToString::to_string).collect(),
            group.upstreams.iter().map(|it| it.label.clone()).collect(),
        ))
    }

    #[test]
    fn upstreams_with_pins_are_asked_for_the_names_of_time_servers() {
        let host = format!("192.0.2.1#a.example;{PIN},192.0.2.2#b.example,192.0.2.3;{PIN}");
        let (names, upstreams) = clockless(&[("DNS_HOST", &host)]).unwrap();
        assert_eq!(names.first().map(String::as_str), Some("pool.ntp.org"));
        assert_eq!(upstreams.len(), 2, "{upstreams:?}");
        assert!(upstreams[0].ends_with(";clockless"), "{upstreams:?}");
        assert!(!upstreams[1].ends_with(";clockless"), "{upstreams:?}");
    }

    #[test]
    fn without_a_pin_or_a_name_nothing_changes() {
        let pinned = format!("192.0.2.1#a.example;{PIN}");
        assert_eq!(clockless(&[("DNS_HOST", "192.0.2.1#a.example")]), None);
        let none = ("DOTGATE_TLS_CLOCKLESS_NAMES", "off");
        assert_eq!(clockless(&[("DNS_HOST", &pinned), none]), None);
        let insecure = ("DOTGATE_TLS_AUTHENTICATION", "insecure-opportunistic");
        assert_eq!(
            clockless(&[("DNS_HOST", "192.0.2.1#a.example"), insecure]),
            None
        );
    }

    #[test]
    fn a_name_of_a_route_stays_there() {
        let pinned = format!("192.0.2.1#a.example;{PIN}");
        let names = (
            "DOTGATE_TLS_CLOCKLESS_NAMES",
            "ntp.corp.example,time.example,lab.example",
        );
        let routes = "corp.example=plain:192.0.2.9 private.lab.example=plain:192.0.2.9";
        let settings = [("DNS_HOST", &*pinned), names, ("DOTGATE_ROUTES", routes)];
        let (names, _) = clockless(&settings).unwrap();
        assert_eq!(names, ["time.example"]);
    }
}
