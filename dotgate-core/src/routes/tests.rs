use dotgate_wire::{rclass, rtype};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn wire(name: &str) -> Box<[u8]> {
    dotgate_message::wire_name(name).into()
}

fn question(name: &[u8]) -> Question {
    Question::new(name, rtype::A, rclass::IN).unwrap()
}

fn table(suffixes: &[&str]) -> RouteTable {
    let numbered = suffixes.iter().enumerate();
    RouteTable::new(numbered.map(|(number, suffix)| (wire(suffix), number + 1)))
}

fn group(table: &RouteTable, name: &str) -> usize {
    table.find(&question(&wire(name))).group
}

#[test]
fn the_longest_suffix_wins_and_ends_at_a_label() {
    let table = table(&["corp.example", "lab.corp.example", "local", "a.b"]);
    for (name, expected) in [
        ("corp.example", 1),
        ("www.corp.example", 1),
        ("WWW.Corp.EXAMPLE", 1),
        ("lab.corp.example", 2),
        ("x.y.lab.corp.example", 2),
        ("local", 3),
        ("printer.local", 3),
        ("a.b", 4),
        ("example", 0),
        ("b", 0),
        ("mycorp.example", 0),
        ("corp.example.org", 0),
        ("lab-corp.example", 0),
        ("www.my\u{5}local", 0),
        ("", 0),
    ] {
        assert_eq!(group(&table, name), expected, "{name}");
    }
    let found = table.find(&question(&wire("www.corp.example")));
    assert_eq!(found.suffix_len, wire("corp.example").len());
}

#[test]
fn without_routes_every_name_is_of_the_default_group() {
    let table = RouteTable::default();
    assert_eq!(group(&table, "www.example.org"), 0);
    assert!(table.suffixes().is_empty());
}

#[test]
fn a_portal_window_gets_names_that_no_route_has_and_with_the_root_all_of_them() {
    let names = ["check.example", "check.corp.example", "example.net"].map(wire);
    let checks = table(&["corp.example", "lab.example.net"]);
    let checks = checks.with_portal(9, names.iter().map(|name| &**name));
    for (name, expected) in [
        ("check.example", 9),
        ("a.check.example", 9),
        ("example.net", 9),
        ("check.corp.example", 1),
        ("lab.example.net", 2),
        ("www.example", 0),
    ] {
        assert_eq!(group(&checks, name), expected, "{name}");
    }
    for routes in [&["corp.example"][..], &[]] {
        let all = table(routes).with_portal(9, [&[0][..]]);
        assert_eq!(group(&all, "www.example"), 9);
        assert_eq!(group(&all, ""), 9);
        let expected = if routes.is_empty() { 9 } else { 1 };
        assert_eq!(group(&all, "www.corp.example"), expected);
    }
}

#[test]
fn suffixes_are_listed_in_the_order_of_matching() {
    let table = table(&["example", "a.example", "b.a.example", "net"]);
    let listed = table.suffixes();
    let place = |suffix: &str| listed.iter().position(|(name, _)| **name == *wire(suffix));
    assert!(place("b.a.example") < place("a.example") && place("a.example") < place("example"));
    assert_eq!(listed.len(), 4);
}

#[test]
fn labels_of_every_length_and_names_as_long_as_they_can_be_are_found() {
    for length in 1..=63 {
        let label = "x".repeat(length);
        let suffix = format!("{label}.example");
        let table = table(&[&suffix]);
        assert_eq!(group(&table, &suffix), 1, "{length}");
        assert_eq!(group(&table, &format!("www.{suffix}")), 1);
        assert_eq!(
            group(
                &table,
                &format!("x{label}.example").replace(&"x".repeat(64), "y")
            ),
            0
        );
    }
    let longest = "x.".repeat(127);
    assert_eq!(group(&table(&["x"]), &longest), 1);
    assert_eq!(group(&table(&[&longest]), &longest), 1);
}

/// A name that has the hash of a suffix, or seems to, is searched for by comparison.
#[test]
fn a_name_with_the_hash_of_another_one_goes_where_it_belongs() {
    let table = table(&["corp.example", "example", "other.test"]);
    for (name, expected) in [("www.corp.example", 1), ("x.example", 2), ("test", 0)] {
        let name = padded(&wire(name));
        let found = table.search_by_comparison(&Labels::of(&name, &mut Starts::new()));
        assert_eq!(found.group, expected);
    }
}

/// What the table must find, by comparison of every end of the name.
fn model(routes: &[(Box<[u8]>, usize)], name: &[u8]) -> usize {
    let bytes = padded(name);
    let mut room = Starts::new();
    let labels = Labels::of(&bytes, &mut room);
    let mut ends = labels.starts().map(|start| labels.from(start));
    ends.find_map(|end| routes.iter().find(|(suffix, _)| **suffix == *end))
        .map_or(0, |(_, group)| *group)
}

fn name() -> impl Strategy<Value = Box<[u8]>> {
    // Few letters, so that names meet; also the bytes that look like lengths.
    let label = vec(
        prop_oneof![Just(b'a'), Just(b'b'), Just(1_u8), Just(0_u8)],
        1..=10,
    );
    vec(label, 1..=5).prop_map(|labels| {
        let mut name = Vec::new();
        for label in labels {
            name.push(label.len() as u8);
            name.extend(label);
        }
        name.push(0);
        name.into()
    })
}

proptest! {
    #[test]
    fn the_table_finds_what_comparison_finds(
        suffixes in vec(name(), 0..200),
        names in vec(name(), 1..50),
        below in vec((name(), any::<prop::sample::Index>()), 0..50),
    ) {
        let routes: Vec<(Box<[u8]>, usize)> =
            suffixes.iter().enumerate().map(|(place, suffix)| (suffix.clone(), place + 1)).collect();
        let table = RouteTable::new(routes.clone());
        let mut asked: Vec<Box<[u8]>> = names;
        for (name, place) in below {
            if !suffixes.is_empty() {
                let suffix = place.get(&suffixes);
                asked.push([&name[..name.len() - 1], suffix].concat().into());
            }
        }
        for name in asked {
            prop_assert_eq!(table.find(&question(&name)).group, model(&routes, &name));
        }
    }
}
