//! What the pages tell people to type works: every command is run or says where it is, every configuration is one
//! that dotgate accepts, and every link leads somewhere.
//!
//! Commands run as they are printed, in a network and a file system of their own (`place`): with the resolvers of the
//! README on loopback, port 53 and 9153 free, and `/etc/dotgate` written by the test. A command that no row of
//! `fates::FATES` knows fails the test.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a part of a test that cannot go on fails the test"
)]

mod fates;
mod links;
mod page;
mod place;

#[expect(
    dead_code,
    unused_imports,
    reason = "parts of it are for the other tests alone"
)]
#[path = "../it"]
mod shared {
    pub(crate) mod world;
}

use std::collections::BTreeSet;
use std::path::Path;

use dotgate_config::Environment;
use serde_json::Value;
use shared::world;

use self::fates::{FATES, Fate, fate};
use self::page::{Page, root};
use self::place::Place;

/// What is set where a snippet does not set it.
const BASE: [(&str, &str, &str, &str); 4] = [
    ("HOST", "127.0.0.1", "server", "host"),
    ("PORT", "5300", "server", "port"),
    ("DNS_HOST", "192.0.2.1", "dns", "host"),
    ("DNS_PORT", "853", "dns", "port"),
];

#[test]
fn every_command_has_a_fate_and_every_fate_a_command() {
    let mut used = BTreeSet::new();
    let mut count = 0;
    for page in page::all() {
        for command in page.commands() {
            let known = fate(&page.name, &command);
            let (row, _) = known
                .unwrap_or_else(|| panic!("{}: add a row for {command:?} to FATES", page.name));
            used.insert(row);
            count += 1;
        }
    }
    assert!(count > 40, "{count} commands: the pages are read wrongly");
    let unused: Vec<&str> = (0..FATES.len())
        .filter(|row| !used.contains(row))
        .map(|row| FATES[row].1)
        .collect();
    assert_eq!(unused, [""; 0], "no page has such a command");
    for (_, _, fate) in FATES {
        if let Fate::Elsewhere(file) = fate {
            assert!(root().join(file).is_file(), "{file}");
        }
    }
}

#[test]
fn every_command_of_dotgate_is_one_that_it_knows() {
    for page in page::all() {
        for command in page.commands() {
            let words = command
                .split_whitespace()
                .map(|word| word.trim_matches('\''));
            let mut words = words.skip_while(|word| word.contains('=') && !word.starts_with('-'));
            let program = words.next().unwrap_or_default();
            if program.rsplit('/').next() != Some("dotgate") {
                continue;
            }
            let words = words.take_while(|word| !["|", ">", "<"].contains(word));
            let words = words.map(|word| word.replace("NAME", "example.org").into());
            let parsed = dotgate::cli::parse(["dotgate".into()].into_iter().chain(words));
            assert!(
                parsed.is_ok(),
                "{}: {command}: {}",
                page.name,
                parsed.unwrap_err()
            );
        }
    }
}

#[test]
fn the_commands_of_the_pages_work_as_they_are_printed() {
    let test = "the_commands_of_the_pages_work_as_they_are_printed";
    let Some(mut place) = Place::enter(test) else {
        return;
    };
    let pages = page::all();
    let of = |wanted: fn(&Fate) -> bool| -> Vec<(&Page, String)> {
        let commands = pages
            .iter()
            .flat_map(|page| page.commands().into_iter().map(move |it| (page, it)));
        let is_wanted = |(page, command): &(&Page, String)| {
            fate(&page.name, command).is_some_and(|(_, fate)| wanted(fate))
        };
        commands.filter(is_wanted).collect()
    };
    for (page, command) in of(|fate| matches!(fate, Fate::Prepares)) {
        place.run(&page.name, &command);
    }
    let serving = of(|fate| matches!(fate, Fate::Serves));
    assert_eq!(serving.len(), 1);
    place.serve(&serving[0].1);
    let running = of(|fate| matches!(fate, Fate::Runs));
    assert!(running.len() > 15, "{running:?}");
    for (page, command) in running {
        place.run(&page.name, &command);
    }
}

#[test]
fn every_configuration_on_the_pages_is_accepted() {
    let Some(place) = Place::enter("every_configuration_on_the_pages_is_accepted") else {
        return;
    };
    let mut count = 0;
    for page in page::all() {
        for snippet in page.blocks("toml") {
            let table: toml::Table = snippet
                .parse()
                .unwrap_or_else(|error| panic!("{}: {error}\n{snippet}", page.name));
            let has = |section: &str, key: &str| {
                let has_key = table.get(section).is_some_and(|it| it.get(key).is_some());
                has_key || key == "host" && section == "dns" && table.contains_key("upstream")
            };
            let missing = BASE
                .iter()
                .filter(|(_, _, section, key)| !has(section, key));
            let variables = missing.map(|(name, value, ..)| (*name, *value)).collect();
            place.check(&page.name, Some(&snippet), variables);
            count += 1;
        }
        for snippet in page.blocks("env") {
            let set = snippet.lines().filter_map(|line| line.split_once('='));
            let set: Vec<(&str, &str)> = set.collect();
            let is_set = |name: &str| set.iter().any(|(other, _)| *other == name);
            let base = BASE.iter().filter(|(name, ..)| !is_set(name));
            let base = base.map(|(name, value, ..)| (*name, *value));
            place.check(&page.name, None, base.chain(set.iter().copied()).collect());
            count += 1;
        }
    }
    assert!(count > 6, "{count} snippets");
}

#[test]
fn every_value_on_the_page_of_resolvers_is_one_of_dns_host() {
    let page = Page::read("docs/resolvers.md");
    let rows = page.text.lines().filter(|line| line.starts_with("| "));
    let values: Vec<&str> = rows
        .filter_map(|row| row.split('`').nth(1))
        .filter(|value| value.contains('#'))
        .collect();
    assert!(values.len() >= 10, "{values:?}");
    for value in values {
        let base = BASE.iter().map(|(name, value, ..)| (*name, *value));
        let base = base.filter(|(name, _)| *name != "DNS_HOST");
        let environment: Environment = base.chain([("DNS_HOST", value)]).collect();
        let loaded = dotgate_config::load(&environment, None);
        let loaded = loaded.unwrap_or_else(|problems| panic!("{value}: {problems}"));
        let upstreams = value.split(',').count();
        assert_eq!(loaded.config.upstreams().len(), upstreams, "{value}");
    }
}

#[test]
fn every_json_on_the_pages_can_be_read() {
    for page in page::all() {
        for block in page.blocks("json") {
            let values = serde_json::Deserializer::from_str(&block).into_iter::<Value>();
            for value in values {
                assert!(value.is_ok(), "{}: {value:?}\n{block}", page.name);
            }
        }
    }
}

#[test]
fn every_block_says_its_language() {
    const LANGUAGES: [&str; 14] = [
        "console",
        "corefile",
        "dockerfile",
        "env",
        "haproxy",
        "ini",
        "json",
        "promql",
        "sh",
        "text",
        "toml",
        "unbound",
        "yaml",
        "mermaid",
    ];
    for page in page::all() {
        for language in page.languages() {
            assert!(
                LANGUAGES.contains(&language.as_str()),
                "{}: {language:?}",
                page.name
            );
        }
    }
}

#[test]
fn every_link_leads_to_a_file_and_every_anchor_to_a_heading() {
    let broken = links::broken();
    assert_eq!(broken, [""; 0]);
}

#[test]
fn the_table_of_contents_of_the_site_has_every_page_once() {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let entries: BTreeSet<&str> = links::targets(&summary).collect();
    assert_eq!(entries.len(), links::targets(&summary).count());
    let files = std::fs::read_dir(root().join("docs")).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<String> = names
        .filter(|name| name.ends_with(".md") && name != "SUMMARY.md")
        .collect();
    assert_eq!(entries, pages.iter().map(String::as_str).collect());
}

#[test]
fn the_script_for_login_pages_takes_dotgate_out_of_the_way_and_puts_it_back() {
    let test = "the_script_for_login_pages_takes_dotgate_out_of_the_way_and_puts_it_back";
    let Some(place) = Place::enter(test) else {
        return;
    };
    let active = Path::new("/etc/systemd/resolved.conf.d/dotgate.conf");
    let restarts = place.stand_in("systemctl");
    let page = "docs/laptop.md";
    let install = format!(
        "install -D deploy/laptop/resolved.conf {}",
        active.display()
    );
    place.run(page, &install);
    for (state, is_active, count) in [
        ("LIMITED", true, 0),
        ("PORTAL", false, 1),
        ("PORTAL", false, 1),
        ("FULL", true, 2),
        ("FULL", true, 2),
    ] {
        let script = "deploy/laptop/90-dotgate wlan0 connectivity-change";
        place.run(page, &format!("CONNECTIVITY_STATE={state} {script}"));
        assert_eq!(active.exists(), is_active, "{state}");
        let calls = std::fs::read_to_string(&restarts).unwrap_or_default();
        assert_eq!(calls.lines().count(), count, "{state}: {calls}");
    }
    place.run(
        page,
        "CONNECTIVITY_STATE=PORTAL deploy/laptop/90-dotgate wlan0 up",
    );
    assert!(active.exists());
}
