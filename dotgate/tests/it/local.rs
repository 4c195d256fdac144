//! Local data of the built binary: records of the settings and a hosts file, answered without an upstream, watched, and
//! explained.

use std::fs;
use std::net::Ipv4Addr;

use domain::base::iana::Rcode;
use dotgate_testbed::certificates::TestAuthority;

use crate::world::message::{QueryType, address_of};
use crate::world::program::{Program, command};
use crate::world::upstream::Upstream;

const NAS: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 10);

#[test]
fn names_of_the_settings_and_of_a_watched_hosts_file_are_answered_and_no_upstream_hears_of_them() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, "192.168.1.10 nas.home.arpa nas\n").unwrap();
    let records =
        "*.lab.test A 192.168.1.10; alias.test CNAME www.test; nas.home.arpa TXT \"a; b\"";
    let variables = [
        ("DOTGATE_LOCAL_RECORDS", records),
        ("DOTGATE_LOCAL_HOSTS_FILE", hosts.to_str().unwrap()),
    ];
    let program = Program::serve(&authority, &upstream.written(), &variables);
    let mut client = program.udp().expecting(NAS);
    for name in ["nas.home.arpa", "NAS", "x.y.lab.test"] {
        let answer = client.ask(name);
        assert_eq!(
            (answer.rcode, &answer.addresses[..]),
            (Rcode::NOERROR, &[NAS][..]),
            "{name}"
        );
        assert_eq!(answer.ttl, Some(60));
    }
    assert_eq!(client.ask_for("nas.home.arpa", QueryType::Text).texts, 1);
    assert_eq!(
        client.ask_for("x.lab.test", QueryType::Text).rcode,
        Rcode::NOERROR
    );
    assert_eq!(upstream.queries(), 0);
    // The alias leads to a name that the upstream knows.
    let target = address_of("www.test");
    let alias = program.udp().expecting(target).ask("alias.test");
    assert_eq!(alias.addresses, [target]);
    assert_eq!(upstream.queries(), 1);
    // A broken file is refused as a whole, with the line; what is served stays.
    fs::write(&hosts, "192.168.1.11 nas.home.arpa\n192.168.1 other\n").unwrap();
    program.wait_for_line("hosts:2: 192.168.1 is not an IP address");
    assert_eq!(client.ask("nas.home.arpa").addresses, [NAS]);
    fs::write(&hosts, "192.168.1.11 nas.home.arpa\n").unwrap();
    program.wait_for_line("configuration reloaded");
    let other = Ipv4Addr::new(192, 168, 1, 11);
    let mut client = program.udp().expecting(other);
    assert_eq!(client.ask("nas.home.arpa").addresses, [other]);
}

#[test]
fn check_counts_local_data_and_query_says_what_answers() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, "# home\n192.168.1.10 nas.home.arpa\n").unwrap();
    let variables = [
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("DNS_HOST", "192.0.2.1#dot.test"),
        ("DNS_PORT", "853"),
        ("DOTGATE_LOCAL_RECORDS", "*.lab.test A 10.0.0.1"),
        ("DOTGATE_LOCAL_HOSTS_FILE", hosts.to_str().unwrap()),
    ];
    let run = |arguments: &[&str]| {
        let output = command(&variables).args(arguments).output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.code(),
            out,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (status, out, err) = run(&["check"]);
    assert_eq!(status, Some(0), "{err}");
    for line in [
        "hosts: 1 names with an address",
        "local data: 4 names (reverse names included), 3 records, ",
    ] {
        assert!(out.contains(line), "{out}");
    }
    let (status, out, _) = run(&["query", "nas.home.arpa"]);
    let line = format!("local data: {}:2: 192.168.1.10\n", hosts.display());
    assert!(status == Some(0) && out.contains(&line), "{out}");
    let (status, out, _) = run(&["query", "-x", "192.168.1.10"]);
    assert!(status == Some(0) && out.contains(&line), "{out}");
    let (_, out, _) = run(&["query", "x.lab.test"]);
    assert!(
        out.contains("local data: DOTGATE_LOCAL_RECORDS: *.lab.test A 10.0.0.1\n"),
        "{out}"
    );
    let file = folder.path().join("dotgate.toml");
    let table = "[[record]]\nname = \"nas.lab.test\"\ntype = \"A\"\ndata = \"10.0.0.2\"\n";
    fs::write(&file, table).unwrap();
    let of_file = [
        &variables[..4],
        &[("DOTGATE_CONFIG_FILE", file.to_str().unwrap())],
    ]
    .concat();
    let output = command(&of_file).args(["query", "nas.lab.test"]).output();
    let out = String::from_utf8(output.unwrap().stdout).unwrap();
    let line = format!(
        "local data: {}:1: nas.lab.test A 10.0.0.2\n",
        file.display()
    );
    assert!(out.contains(&line), "{out}");
    fs::write(&hosts, "nas.home.arpa 192.168.1.10\n").unwrap();
    let (status, _, err) = run(&["check"]);
    assert_eq!(status, Some(2));
    assert!(
        err.contains("hosts:1: nas.home.arpa is not an IP address"),
        "{err}"
    );
}
