//! Local data read from settings and files, and what is said about those that are wrong.

use std::fs;
use std::time::Duration;

use dotgate_config::{FilterConfig, read_record};
use dotgate_core::Substitute;

use super::*;

fn config(records: &[&str], hosts_file: Option<PathBuf>) -> LocalConfig {
    LocalConfig {
        records: records
            .iter()
            .map(|record| read_record(record).unwrap())
            .collect(),
        hosts_file,
        ttl: Duration::from_secs(60),
        filter: FilterConfig {
            block_files: Vec::new(),
            allow_files: Vec::new(),
            substitute: Substitute::NxDomain,
            rebinding: None,
            rebinding_except: Vec::new(),
            dns64: None,
        },
    }
}

/// What is said about a hosts file with this text.
fn hosts(text: &[u8]) -> Result<Local, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts");
    fs::write(&path, text).unwrap();
    let place = format!("{}/", folder.path().display());
    let loaded = Local::load(&config(&[], Some(path)));
    loaded.map_err(|error| error.to_string().replace(&place, ""))
}

#[test]
fn a_hosts_file_is_read_as_the_system_reads_it() {
    let text = "\u{feff}# hosts\r\n127.0.0.1\tlocalhost\r\n\r\n192.168.1.10  nas.home.arpa. NAS # the box\n::1 ip6-localhost\nfe80::1%lo0 localhost\nfd00::10 nas.home.arpa";
    let local = hosts(text.as_bytes()).unwrap();
    assert_eq!(local.hosts, 5);
    // localhost, nas.home.arpa, nas, ip6-localhost, two reverse names.
    assert_eq!(local.data().unwrap().names(), 6);
    assert!(hosts(b"").unwrap().data().is_none());
}

#[test]
fn a_wrong_line_has_the_file_refused_with_its_number() {
    for (text, reported) in [
        (
            &b"127.0.0.1 a\n10.0.0 b"[..],
            "hosts:2: 10.0.0 is not an IP address\n  expected: ADDRESS NAME [NAME]..., as in 192.168.1.10 nas.home.arpa",
        ),
        (
            b"\n\n10.0.0.1 # nothing\n",
            "hosts:3: the address has no name\n  expected: ADDRESS NAME [NAME]..., as in 192.168.1.10 nas.home.arpa",
        ),
        (
            b"10.0.0.1 a..b",
            "hosts:1: a..b is not a name: a label is empty\n  expected: labels of letters, digits, - and _, at most 63 of them, with dots between them",
        ),
        (
            b"10.0.0.1 *.b",
            "hosts:1: *.b is not a name: it has other characters\n  expected: labels of letters, digits, - and _, at most 63 of them, with dots between them",
        ),
        (
            b"10.0.0.1 b\xc3\xbcro",
            "hosts:1: b\u{fc}ro is not a name: names with other letters are written in their ASCII form (xn--...)\n  expected: labels of letters, digits, - and _, at most 63 of them, with dots between them",
        ),
        (
            b"\xff\xfe\0",
            "hosts:1: \u{fffd}\u{fffd}\\u{0} is not an IP address\n  expected: ADDRESS NAME [NAME]..., as in 192.168.1.10 nas.home.arpa",
        ),
    ] {
        assert_eq!(hosts(text).err().as_deref(), Some(reported));
    }
}

#[test]
fn conflicting_records_are_reported_with_both_positions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts");
    fs::write(&path, "10.0.0.1 a\n10.0.0.2 b").unwrap();
    let reported = Local::load(&config(&["x A 10.0.0.9", "b CNAME a"], Some(path.clone())));
    let reported = reported.unwrap_err().to_string();
    let place = format!("{}:2: its name has a CNAME record", path.display());
    assert!(reported.starts_with(&place), "{reported}");
    assert!(
        reported.ends_with("the other one: DOTGATE_LOCAL_RECORDS: b CNAME a"),
        "{reported}"
    );
    let missing = Local::load(&config(&[], Some(folder.path().join("none"))));
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("none: cannot be read: ")
    );
}
