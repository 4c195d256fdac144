//! Lists and rebinding protection of the built binary: files are watched, a broken one is refused with its line, and a
//! change holds at once, whatever is cached.

use std::fs;

use domain::base::iana::Rcode;
use dotgate_testbed::certificates::TestAuthority;

use crate::world::http::get;
use crate::world::message::address_of;
use crate::world::program::{Program, command};
use crate::world::upstream::Upstream;

/// RFC 8914 sections 4.16 and 4.18.
const BLOCKED: u16 = 15;
const FILTERED: u16 = 17;

#[test]
fn names_of_watched_lists_are_blocked_at_once_and_a_broken_list_changes_nothing() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("hosts"), "127.0.0.1 localhost\n0.0.0.0 ads.test\n").unwrap();
    fs::write(at("zone"), "$TTL 30\n*.walled.test CNAME garden.test.\n").unwrap();
    fs::write(at("allow"), "good.ads.test\n").unwrap();
    let files = format!("{},{}", at("hosts").display(), at("zone").display());
    let variables = [
        ("DOTGATE_LOCAL_BLOCK_FILE", files.as_str()),
        ("DOTGATE_LOCAL_ALLOW_FILE", at("allow").to_str().unwrap()),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    let variables: Vec<(&str, &str)> = variables.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let program = Program::serve(&authority, &upstream.written(), &variables);
    let mut client = program.udp();
    for name in ["ads.test", "x.ADS.test"] {
        let blocked = client.ask(name);
        let ede = blocked.ede.as_ref().map(|(code, _)| *code);
        assert_eq!(
            (blocked.rcode, ede),
            (Rcode::NXDOMAIN, Some(BLOCKED)),
            "{name}"
        );
    }
    assert_eq!(upstream.queries(), 0);
    client.ask("www.good.ads.test").assert_right();
    let garden = address_of("garden.test");
    let walled = program.udp().expecting(garden).ask("x.walled.test");
    assert_eq!(walled.addresses, [garden]);
    // A name in the cache is blocked with the reload, and is served again with the next one.
    client.ask("news.test").assert_right();
    let asked = upstream.queries();
    fs::write(at("hosts"), "0.0.0.0 ads.test\nnews.test\n").unwrap();
    program.wait_for_line("configuration reloaded");
    assert_eq!(client.ask("news.test").rcode, Rcode::NXDOMAIN);
    fs::write(at("hosts"), "0.0.0.0 ads.test\nnot a name\n").unwrap();
    program.wait_for_line("hosts:2: not is followed by more");
    assert_eq!(client.ask("news.test").rcode, Rcode::NXDOMAIN);
    fs::write(at("hosts"), "0.0.0.0 other.test\n").unwrap();
    program.wait_for_line("configuration reloaded");
    client.ask("news.test").assert_right();
    assert_eq!(upstream.queries(), asked, "what was cached is right again");
    client.ask("ads.test").assert_right();
    assert_eq!(client.ask("other.test").rcode, Rcode::NXDOMAIN);
    let metrics = get(program.admin(), "/metrics").body;
    for line in [
        "dotgate_filtered_total{reason=\"block_list\"} 5\n",
        "dotgate_filtered_total{reason=\"redirect\"} 1\n",
        "dotgate_listed_names 3\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[test]
fn private_addresses_from_public_upstreams_are_replaced_except_where_they_are_right() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let variables = [
        ("DOTGATE_LOCAL_REBIND_PROTECT", "nxdomain"),
        ("DOTGATE_LOCAL_REBIND_EXCEPT", "vpn.test"),
    ];
    let program = Program::serve(&authority, &upstream.written(), &variables);
    let mut client = program.udp();
    let is_private = |name: &String| address_of(name).is_private();
    let mut names = (0..).map(|n| format!("host{n}.test"));
    let attacker = names.find(is_private).unwrap();
    for _ in 0..2 {
        let denied = client.ask(&attacker);
        let ede = denied.ede.as_ref().map(|(code, _)| *code);
        assert_eq!((denied.rcode, ede), (Rcode::NXDOMAIN, Some(FILTERED)));
    }
    assert_eq!(upstream.queries_for(&attacker), 1, "the verdict is cached");
    let mut names = (0..).map(|n| format!("host{n}.vpn.test"));
    client.ask(&names.find(is_private).unwrap()).assert_right();
    let mut names = (0..).map(|n| format!("host{n}.test"));
    let public = names.find(|name| !is_private(name)).unwrap();
    client.ask(&public).assert_right();
}

#[test]
fn check_counts_lists_and_query_says_which_line_speaks_of_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list");
    fs::write(&list, "# ads\nads.test\nwww.ads.test\n").unwrap();
    let variables = [
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("DNS_HOST", "192.0.2.1#dot.test"),
        ("DNS_PORT", "853"),
        ("DOTGATE_LOCAL_BLOCK_FILE", list.to_str().unwrap()),
    ];
    let run = |arguments: &[&str]| {
        let output = command(&variables).args(arguments).output().unwrap();
        let texts = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        (output.status.code(), texts)
    };
    let (status, [out, err]) = run(&["check"]);
    assert_eq!(status, Some(0), "{err}");
    for line in ["list: 2 entries\n", "lists: 2 names, "] {
        assert!(out.contains(line), "{out}");
    }
    let (_, [out, _]) = run(&["query", "www.ads.test"]);
    let place = |line| format!("list: {}:{line}: listed\n", list.display());
    assert!(out.contains(&(place(3) + &place(2))), "{out}");
    fs::write(&list, "ads.test\n||x.test^\n").unwrap();
    let (status, [_, err]) = run(&["check"]);
    assert_eq!(status, Some(2));
    assert!(err.contains("list:2: ||x.test^ is Adblock syntax"), "{err}");
}

#[test]
fn a_route_that_is_to_be_protected_must_be_there() {
    let variables = [
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("DNS_HOST", "192.0.2.1#dot.test"),
        ("DNS_PORT", "853"),
        ("DOTGATE_LOCAL_REBIND_ROUTES", "corp.test"),
    ];
    let output = command(&variables).arg("check").output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(err.contains("no route has the suffix corp.test"), "{err}");
}
