use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use dotgate_message::wire_name as wire;

fn lists(entries: &[(&str, ListScope, ListAction)]) -> Lists {
    let mut builder = ListsBuilder::new(7);
    for (name, scope, action) in entries {
        builder.add(&wire(name), *scope, action.clone()).unwrap();
    }
    builder.finish()
}

use ListAction::{Allow, Block, Deny, Pass, Redirect};
use ListScope::{Below, Exact, Subtree};

#[test]
fn an_entry_stands_for_its_name_for_what_lies_below_or_for_both() {
    let lists = lists(&[
        ("exact.test", Exact, Block),
        ("below.test", Below, Block),
        ("both.test", Subtree, Block),
    ]);
    let blocked = |name: &str| matches!(lists.find(&wire(name)), Listed::Denied(None, _));
    for (name, is_blocked) in [
        ("exact.test", true),
        ("www.exact.test", false),
        ("below.test", false),
        ("www.below.test", true),
        ("a.b.below.test", true),
        ("both.test", true),
        ("a.b.both.test", true),
        ("test", false),
        ("", false),
        ("notboth.test", false),
        ("both.test.example", false),
    ] {
        assert_eq!(blocked(name), is_blocked, "{name}");
    }
    let both = lists.find(&wire("a.both.test"));
    assert_eq!(both, Listed::Denied(None, wire("both.test").len()));
}

#[test]
fn the_longest_suffix_decides_unless_one_is_allowed() {
    let target = wire("garden.example");
    let lists = lists(&[
        ("test", Subtree, Block),
        ("a.test", Subtree, Deny(Substitute::NoData)),
        ("pass.a.test", Subtree, Pass),
        ("not.pass.a.test", Exact, Deny(Substitute::Refused)),
        ("allowed.test", Subtree, Allow),
        ("b.allowed.test", Subtree, Block),
        ("walled.test", Subtree, Redirect(target.clone().into())),
    ]);
    let denied = |how, suffix: &str| Listed::Denied(how, wire(suffix).len());
    for (name, expected) in [
        ("x.test", denied(None, "test")),
        ("x.a.test", denied(Some(Substitute::NoData), "a.test")),
        ("pass.a.test", Listed::Allowed),
        ("x.pass.a.test", Listed::Allowed),
        (
            "not.pass.a.test",
            denied(Some(Substitute::Refused), "not.pass.a.test"),
        ),
        ("x.not.pass.a.test", Listed::Allowed),
        ("allowed.test", Listed::Allowed),
        ("x.b.allowed.test", Listed::Allowed),
        ("walled.test", Listed::Redirected(&target)),
        ("x.walled.test", Listed::Redirected(&target)),
        ("example", Listed::No),
    ] {
        assert_eq!(lists.find(&wire(name)), expected, "{name}");
    }
}

#[test]
fn of_two_entries_for_one_name_the_first_counts_and_an_allowed_one_always() {
    let lists = lists(&[
        ("a.test", Exact, Deny(Substitute::NoData)),
        ("a.test", Subtree, Redirect(wire("x.test").into())),
        ("b.test", Subtree, Block),
        ("b.test", Subtree, Allow),
        ("c.test", Subtree, Allow),
        ("c.test", Subtree, Block),
    ]);
    assert!(matches!(
        lists.find(&wire("a.test")),
        Listed::Denied(Some(Substitute::NoData), _)
    ));
    assert_eq!(
        lists.find(&wire("x.a.test")),
        Listed::Redirected(&wire("x.test"))
    );
    for name in ["b.test", "x.b.test", "c.test", "x.c.test"] {
        assert_eq!(lists.find(&wire(name)), Listed::Allowed, "{name}");
    }
    assert_eq!(lists.count().names, 3);
}

#[test]
fn the_root_and_names_as_long_as_they_can_be_are_found() {
    let root = lists(&[("", Below, Block), ("", Exact, Pass)]);
    assert_eq!(root.find(&wire("x")), Listed::Denied(None, 1));
    assert_eq!(root.find(&wire("")), Listed::Allowed);
    let longest = "x.".repeat(127);
    let found = lists(&[(&longest, Exact, Block)]);
    assert_eq!(found.find(&wire(&longest)), Listed::Denied(None, 255));
    assert_eq!(found.find(&wire(&longest[2..])), Listed::No);
}

#[test]
fn memory_is_counted_and_bounded() {
    let mut builder = ListsBuilder::new(7);
    for number in 0..10_000 {
        let name = wire(&format!("host{number}.example"));
        builder.add(&name, Subtree, Block).unwrap();
    }
    let count = builder.finish().count();
    assert_eq!(count.names, 10_000);
    // A name of 18 bytes, its byte, and a table of at most 16,384 places of five bytes.
    assert!(
        (27 * 10_000..32 * 10_000).contains(&count.bytes),
        "{count:?}"
    );
}

/// What lists say, by comparison of every suffix.
fn model(entries: &BTreeMap<Vec<u8>, [Option<u8>; 2]>, name: &[u8]) -> (bool, Option<u8>) {
    let mut suffix = name;
    let mut found = (false, None);
    loop {
        let side = usize::from(suffix.len() < name.len());
        let code = entries.get(suffix).and_then(|codes| codes[side]);
        if let Some(code) = code {
            found.0 |= code == code::ALLOW;
            found.1 = found.1.or(Some(code));
        }
        match suffix {
            [0] | [] => return found,
            [length, ..] => suffix = &suffix[1 + usize::from(*length)..],
        }
    }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let label = vec(prop_oneof![Just(b'a'), Just(b'b'), Just(1_u8)], 1..=3);
    vec(label, 0..=4).prop_map(|labels| {
        let mut name = Vec::new();
        for label in labels {
            name.push(label.len() as u8);
            name.extend(label);
        }
        name.push(0);
        name
    })
}

fn entry() -> impl Strategy<Value = (Vec<u8>, ListScope, ListAction)> {
    let scope = prop_oneof![Just(Exact), Just(Below), Just(Subtree)];
    let action = prop_oneof![
        Just(Allow),
        Just(Pass),
        Just(Block),
        Just(Deny(Substitute::NoData))
    ];
    (name(), scope, action)
}

proptest! {
    #[test]
    fn lists_say_what_comparison_says(
        added in vec(entry(), 0..60),
        names in vec(name(), 1..60),
    ) {
        let mut builder = ListsBuilder::new(7);
        let mut entries: BTreeMap<Vec<u8>, [Option<u8>; 2]> = BTreeMap::new();
        for (name, scope, action) in added {
            let code = code_of(&action);
            let sides = entries.entry(name.clone()).or_default();
            for (side, of) in sides.iter_mut().zip([Exact, Below]) {
                if (scope == of || scope == Subtree) && (side.is_none() || code == code::ALLOW) {
                    *side = Some(code);
                }
            }
            builder.add(&name, scope, action).unwrap();
        }
        let lists = builder.finish();
        for name in names {
            let expected = match model(&entries, &name) {
                (true, _) => Listed::Allowed,
                (false, Some(code::PASS)) => Listed::Allowed,
                (false, Some(code)) => {
                    let Listed::Denied(how, length) = lists.find(&name) else {
                        panic!("{name:?}");
                    };
                    prop_assert_eq!(how, substitute_of(code));
                    Listed::Denied(how, length)
                }
                (false, None) => Listed::No,
            };
            prop_assert_eq!(lists.find(&name), expected);
        }
    }
}
