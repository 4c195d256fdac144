use super::*;
use crate::tests::loaded;
use crate::{Config, Environment};

const TWO: &str = "9.9.9.9#dns.quad9.net,1.1.1.1#one.one.one.one";
const KEY: &str = "000102030405060708090a0b0c0d0eFF";

fn load(host: &str, more: &[(&str, &str)]) -> Result<Config, String> {
    loaded(&[&[("DNS_HOST", host)][..], more].concat())
}

fn default_group(config: &Config) -> &GroupConfig {
    config.groups().first().unwrap()
}

fn weights_of(group: &GroupConfig) -> Vec<u8> {
    group.weights.iter().map(|weight| weight.get()).collect()
}

#[test]
fn the_strategy_is_ordered_unless_another_one_is_written() {
    let config = load(TWO, &[]).unwrap();
    assert_eq!(default_group(&config).strategy, Strategy::Ordered);
    for (word, strategy) in [
        ("fastest", Strategy::Fastest),
        ("Round-Robin", Strategy::RoundRobin),
    ] {
        let config = load(TWO, &[("DOTGATE_DNS_STRATEGY", word)]).unwrap();
        assert_eq!(default_group(&config).strategy, strategy);
    }
    let fault = load(TWO, &[("DOTGATE_DNS_STRATEGY", "roundrobin")]).unwrap_err();
    assert!(fault.contains("write round-robin"), "{fault}");
}

#[test]
fn a_route_has_a_strategy_of_its_own() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "\
        [server]\nhost = \"127.0.0.1\"\nport = 5300\n\
        [dns]\nhost = \"9.9.9.9\"\nport = 853\nstrategy = \"fastest\"\n\
        [[route]]\nsuffixes = [\"a.example\"]\nupstreams = [\"192.0.2.1;weight=3\", \"192.0.2.2\"]\n\
        strategy = \"round-robin\"\n\
        [[route]]\nsuffixes = [\"b.example\"]\nupstreams = [\"192.0.2.1\"]\n";
    std::fs::write(file.path(), text).unwrap();
    let loaded = crate::load(&Environment::default(), Some(file.path()));
    let config = loaded.unwrap().config;
    let groups = config.groups().iter();
    let found: Vec<_> = groups
        .map(|group| (group.strategy, weights_of(group)))
        .collect();
    let expected = [
        (Strategy::Fastest, vec![1]),
        (Strategy::RoundRobin, vec![3, 1]),
        (Strategy::Ordered, vec![1]),
    ];
    assert_eq!(found, expected);
    // It is the same upstream, whatever its weight is.
    assert_eq!(config.upstreams().len(), 3);
}

#[test]
fn weights_are_for_turns() {
    let hosts = "9.9.9.9;weight=3,1.1.1.1";
    let fault = load(hosts, &[]).unwrap_err();
    let line =
        "group default: an upstream has a weight, which applies only to the strategy round-robin";
    assert!(fault.contains(line), "{fault}");
    let config = load(hosts, &[("DOTGATE_DNS_STRATEGY", "round-robin")]).unwrap();
    assert_eq!(weights_of(default_group(&config)), [3, 1]);
    for weight in ["0", "101", "-1", "", "1.5"] {
        let host = format!("9.9.9.9;weight={weight}");
        let fault = load(&host, &[]).unwrap_err();
        assert!(fault.contains("is not a weight from 1 to 100"), "{fault}");
    }
}

#[test]
fn names_are_sharded_with_a_key_among_operators() {
    let shard = ("DOTGATE_DNS_STRATEGY", "shard");
    let config = load(TWO, &[shard, ("DOTGATE_DNS_SHARD_KEY", KEY)]).unwrap();
    let key = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff];
    assert_eq!(config.shard_key(), ShardKey(key));
    let fault = load(TWO, &[shard]).unwrap_err();
    let line = "group default: the strategy shard needs DOTGATE_DNS_SHARD_KEY";
    assert!(fault.contains(line), "{fault}");
    let fault = load(TWO, &[shard, ("DOTGATE_DNS_SHARD_KEY", "secret")]).unwrap_err();
    assert!(fault.contains("not 32 hexadecimal digits"), "{fault}");
    let zeros = "0".repeat(32);
    let fault = load(TWO, &[shard, ("DOTGATE_DNS_SHARD_KEY", &zeros)]).unwrap_err();
    assert!(fault.contains("a key of zeros is not random"), "{fault}");
    let with_key = [shard, ("DOTGATE_DNS_SHARD_KEY", KEY)];
    let one = "9.9.9.9#dns.quad9.net,9.9.9.11#dns11.quad9.net";
    let fault = load(one, &with_key).unwrap_err();
    assert!(
        fault.contains("all upstreams belong to quad9.net"),
        "{fault}"
    );
    // Two addresses with nothing that says whose they are may be of two operators.
    assert!(load("192.0.2.1,192.0.2.2", &with_key).is_ok());
}

#[test]
fn the_budget_of_hedging_is_a_percentage() {
    assert_eq!(load(TWO, &[]).unwrap().hedge_percent(), 3);
    for (text, percent) in [("0%", 0), ("0", 0), ("7", 7), ("50%", 50)] {
        let config = load(TWO, &[("DOTGATE_DNS_HEDGE", text)]).unwrap();
        assert_eq!(config.hedge_percent(), percent);
    }
    for text in ["51%", "-1", "1.5%", "3 %", "%", "off", "256"] {
        let fault = load(TWO, &[("DOTGATE_DNS_HEDGE", text)]).unwrap_err();
        let expected = "a percentage from 0% to 50%, such as 3%";
        assert!(fault.contains(expected), "{text}: {fault}");
    }
}

#[test]
fn the_budget_of_hedging_in_a_file_may_be_a_number() {
    for (text, percent) in [("\"5%\"", 5), ("0", 0)] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "[server]\nhost = \"127.0.0.1\"\nport = 5300\n[dns]\nhost = \"9.9.9.9\"\nport = 853\nhedge = {text}\n"
        );
        std::fs::write(file.path(), text).unwrap();
        let loaded = crate::load(&Environment::default(), Some(file.path()));
        assert_eq!(loaded.unwrap().config.hedge_percent(), percent);
    }
}
