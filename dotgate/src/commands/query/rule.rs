//! The rule that decides who answers a name: local data, a rule for names of special use, or a route.

use std::io::{self, Write};

use dotgate_config::{Config, Escaped, GroupConfig};
use dotgate_core::{LocalZone, special_use};
use dotgate_wire::{Question, rclass};
use serde::Serialize;

use super::client::QueryParameters;
use crate::filter;
use crate::local;

/// The rule, as far as it is known before the query is sent.
#[derive(Debug, Default, Serialize)]
pub(super) struct Rule {
    /// The records and lines of local data, each with its place.
    local_data: Vec<String>,
    /// The lines of lists that speak of it.
    lists: Vec<String>,
    special_use: Option<SpecialUse>,
    route: Option<RouteRule>,
}

#[derive(Debug, Serialize)]
struct SpecialUse {
    name: &'static str,
    reference: &'static str,
}

#[derive(Debug, Serialize)]
struct RouteRule {
    /// As in the settings; `.` is the default route.
    suffix: String,
    group: String,
    /// The place of the group in the settings.
    #[serde(skip)]
    place: usize,
}

impl Rule {
    pub(super) fn of(config: &Config, asked: &QueryParameters, is_forwarded: bool) -> Rule {
        let lists = filter::rules_for(&config.local().filter, asked.name.as_slice());
        let rule = Rule::without_lists(config, asked, is_forwarded);
        Rule { lists, ..rule }
    }

    fn without_lists(config: &Config, asked: &QueryParameters, is_forwarded: bool) -> Rule {
        let local_data = local::rules_for(config.local(), asked.name.as_slice());
        if !local_data.is_empty() {
            let rule = Rule::default();
            return Rule { local_data, ..rule };
        }
        let name = asked.name.as_slice().to_ascii_lowercase();
        let Some(question) = Question::new(&name, asked.record_type.to_int(), rclass::IN) else {
            return Rule::default();
        };
        if is_forwarded {
            let route = Some(route_of(config, &question));
            let rule = Rule::default();
            return Rule { route, ..rule };
        }
        Rule {
            special_use: special_use(&question).map(SpecialUse::of),
            ..Rule::default()
        }
    }

    /// The upstreams that the name is sent to; none if local data leads to another name.
    pub(super) fn group<'c>(&self, config: &'c Config) -> Option<&'c GroupConfig> {
        config.groups().get(self.route.as_ref()?.place)
    }

    /// Writes it in lines for a person. The default route is left out if there is no other.
    pub(super) fn write(&self, config: &Config, out: &mut dyn Write) -> io::Result<()> {
        let route = self.route.as_ref().filter(|_| config.groups().len() > 1);
        for place in &self.local_data {
            writeln!(out, "local data: {}", Escaped(place))?;
        }
        for place in &self.lists {
            writeln!(out, "list: {}", Escaped(place))?;
        }
        if let Some(SpecialUse { name, reference }) = &self.special_use {
            writeln!(out, "special-use name: {name} ({reference})")?;
        }
        if let Some(RouteRule { suffix, group, .. }) = route {
            writeln!(out, "route {suffix}: group {group}")?;
        }
        let has_lines = !self.local_data.is_empty() || !self.lists.is_empty();
        let is_empty = !has_lines && self.special_use.is_none() && route.is_none();
        if is_empty { Ok(()) } else { writeln!(out) }
    }
}

impl SpecialUse {
    fn of(zone: LocalZone) -> SpecialUse {
        SpecialUse {
            name: zone.label(),
            reference: zone.reference(),
        }
    }
}

/// The route with the longest suffix of this name.
fn route_of(config: &Config, question: &Question) -> RouteRule {
    let groups = config.groups().iter().enumerate();
    let suffixes = groups.flat_map(|(place, group)| {
        let zones = group.suffixes.iter();
        let zones = zones.flat_map(|suffix| suffix.zones().iter().map(move |zone| (suffix, zone)));
        zones.map(move |(suffix, zone)| (zone.len(), suffix.to_string(), place, zone))
    });
    let matching = suffixes.filter(|(_, _, _, zone)| question.is_at_or_below(zone));
    let longest = matching.max_by_key(|(length, ..)| *length);
    let (suffix, place) = longest.map_or_else(
        || (".".to_owned(), 0),
        |(_, suffix, place, _)| (suffix, place),
    );
    let group = config.groups().get(place);
    RouteRule {
        suffix,
        group: group.map(|group| group.label.clone()).unwrap_or_default(),
        place,
    }
}
