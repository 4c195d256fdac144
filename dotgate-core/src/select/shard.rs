//! Sharding: all questions of one registrable domain go to one operator.
//!
//! Rendezvous hashing: each operator has a score for each domain, and the highest score comes first. A domain moves only
//! if its operator fails, to the next score, and moves back with it; the domains of all others stay where they are. The
//! scores are keyed, so that who does not know the key cannot tell who is asked about a domain. They are the same in all
//! workers and processes with the same key, and must stay the same in later versions.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::order::Sequence;
use crate::attempts::Attempts;
use crate::counters::labels::Strategy;
use crate::domain::registrable;
use crate::keys::UpstreamId;
use crate::settings::{GroupSettings, ShardKey};

fn hash(key: ShardKey, bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(&key.0);
    hasher.write(bytes);
    hasher.finish()
}

/// What operators are hashed to, by the place of their upstreams.
pub(super) fn operators(key: ShardKey, group: &GroupSettings) -> Vec<u64> {
    let upstreams = group.upstreams.iter();
    upstreams
        .map(|upstream| hash(key, upstream.operator.as_bytes()))
        .collect()
}

/// The operators in the order of their scores for the domain of a name; upstreams of one operator as configured.
pub(super) fn order(key: ShardKey, operators: &[u64], name: &[u8]) -> Sequence {
    let name = match dotgate_wire::planted!("names-are-sharded-one-by-one") {
        true => name,
        false => registrable(name),
    };
    let domain = hash(key, name);
    let score = |operator: u64| {
        let mut hasher = SipHasher24::new_with_key(&key.0);
        hasher.write_u64(domain);
        hasher.write_u64(operator);
        hasher.finish()
    };
    // The complement, for the lowest rank comes first.
    Sequence::by_rank(operators.len(), |place| {
        operators.get(place).map_or(0, |operator| !score(*operator))
    })
}

/// Whether an upstream may learn of a question that its own operator has not failed: where names are sharded, that
/// operator's upstreams alone.
pub(crate) fn may_learn(attempts: &Attempts, upstream: UpstreamId) -> bool {
    let group = &attempts.group;
    if group.strategy != Strategy::Shard
        || dotgate_wire::planted!("other-operators-learn-of-shards")
    {
        return true;
    }
    let Some(order) = attempts.order else {
        return false;
    };
    let own = group.upstreams.get(order.first());
    let mut upstreams = group.upstreams.iter();
    let asked = upstreams.find(|it| it.id == upstream);
    own.zip(asked)
        .is_some_and(|(own, asked)| own.operator == asked.operator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::RouteId;
    use crate::settings::UpstreamSettings;
    use dotgate_message::wire_name as wire;

    const KEY: ShardKey = ShardKey(*b"0123456789abcdef");

    fn group(operators: &[&str]) -> GroupSettings {
        let upstreams = operators.iter().enumerate().map(|(place, operator)| {
            let id = UpstreamId(place as u8);
            UpstreamSettings {
                operator: (*operator).into(),
                ..UpstreamSettings::new(id, "label")
            }
        });
        GroupSettings::new(RouteId::DEFAULT, "default", upstreams.collect())
    }

    /// The operators for the domain of a name.
    fn listed(key: ShardKey, names: &[&'static str], name: &str) -> Vec<&'static str> {
        let hashes = operators(key, &group(names));
        let order = order(key, &hashes, &wire(name));
        order
            .places(names.len())
            .map(|place| names[place])
            .collect()
    }

    #[test]
    fn names_of_one_domain_have_one_operator_whatever_its_place_is() {
        let three = ["dns.quad9.net", "one.one.one.one", "dns.google"];
        for number in 0..200 {
            let domain = format!("d{number}.co.uk");
            let found = listed(KEY, &three, &domain);
            assert_eq!(listed(KEY, &three, &format!("www.a.{domain}")), found);
            let moved = ["dns.google", "dns.quad9.net", "one.one.one.one"];
            assert_eq!(listed(KEY, &moved, &domain), found);
        }
    }

    #[test]
    fn an_operator_that_is_added_or_removed_moves_its_own_domains_alone() {
        let (three, two) = (["a", "b", "c"], ["a", "b"]);
        let mut moved = 0;
        for number in 0..3_000 {
            let domain = format!("d{number}.example");
            let (with, without) = (listed(KEY, &three, &domain), listed(KEY, &two, &domain));
            match with[0] {
                "c" => {
                    moved += 1;
                    assert_eq!(with[1], without[0], "{domain}");
                }
                _ => assert_eq!(with[0], without[0], "{domain}"),
            }
        }
        assert!((900..1_100).contains(&moved), "{moved}");
    }

    #[test]
    fn upstreams_of_one_operator_stay_together() {
        let group = group(&["a", "b", "a", "c"]);
        let hashes = operators(KEY, &group);
        for number in 0..100 {
            let order = order(KEY, &hashes, &wire(&format!("d{number}.example")));
            let places: Vec<usize> = order.places(4).collect();
            let of_a = places.iter().position(|place| *place == 0).unwrap();
            assert_eq!(places[of_a + 1], 2, "{places:?}");
        }
    }

    /// A change of these would show each operator the domains of all others.
    #[test]
    fn scores_are_those_of_the_first_version() {
        let three = ["dns.quad9.net", "one.one.one.one", "dns.google"];
        let other_key = ShardKey(*b"fedcba9876543210");
        let first = |key| {
            let domains = (0..12).map(|number| format!("d{number}.example"));
            let firsts = domains.map(|domain| listed(key, &three, &domain)[0]);
            let letters = firsts.map(|operator| operator.split('.').nth(1).unwrap());
            letters.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            first(KEY),
            "google quad9 quad9 google google one google google quad9 quad9 quad9 one"
        );
        assert_eq!(
            first(other_key),
            "google google quad9 one google one google quad9 quad9 google google one"
        );
    }

    /// The figures of docs/upstreams.md: `cargo test -p dotgate-core one_operator_learns -- --nocapture` prints them.
    #[test]
    fn what_one_operator_learns_of_ten_thousand_domains() {
        const DOMAINS: usize = 10_000;
        /// Domains that one page of the web needs.
        const PAGE: usize = 10;
        let all = ["a", "b", "c", "d", "e"];
        for count in 2..=all.len() {
            let names = &all[..count];
            let is_first = |number| listed(KEY, names, &format!("d{number}.example"))[0] == "a";
            let seen: Vec<bool> = (0..DOMAINS).map(is_first).collect();
            let domains = seen.iter().filter(|seen| **seen).count();
            let pages = || seen.chunks(PAGE);
            let some = pages().filter(|page| page.contains(&true)).count();
            let whole = pages().filter(|page| !page.contains(&false)).count();
            println!(
                "measured: {count} operators: one is asked for {domains} of {DOMAINS} domains; of {} pages of {PAGE} domains \
                 for a part of {some}, for all of {whole}",
                DOMAINS / PAGE
            );
            let share = DOMAINS / count;
            assert!(domains.abs_diff(share) < share / 20, "{domains} of {share}");
        }
    }
}
