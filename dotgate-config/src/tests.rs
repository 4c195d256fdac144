//! Every text an operator may be shown instead of a start, whole and as printed.

mod files;

use std::ffi::OsString;
use std::io::Write as _;

use super::*;

/// The required four, right.
const RIGHT: [(&str, &str); 4] = [
    ("HOST", "127.0.0.1"),
    ("PORT", "5300"),
    ("DNS_HOST", "192.0.2.1"),
    ("DNS_PORT", "853"),
];

/// The environment with the required four, changed and added to by `variables`.
fn environment(variables: &[(&str, &str)]) -> Environment {
    RIGHT.iter().chain(variables).copied().collect()
}

/// The configuration of the required four and `settings`, or all its problems as text.
pub(crate) fn loaded(settings: &[(&str, &str)]) -> Result<Config, String> {
    let loaded = load(&environment(settings), None);
    loaded
        .map(|loaded| loaded.config)
        .map_err(|problems| problems.to_string())
}

/// The configuration of the required four and valid `settings`.
#[track_caller]
pub(crate) fn config(settings: &[(&str, &str)]) -> Config {
    loaded(settings).unwrap()
}

/// The problems' text, without the first line.
fn reported(environment: &Environment, file: Option<&Path>) -> String {
    let problems = load(environment, file).unwrap_err().to_string();
    let (first, rest) = problems.split_once("\n\n").unwrap();
    let count = rest.split("\n\n").count();
    let plural = if count == 1 { "" } else { "s" };
    assert_eq!(
        first,
        format!("dotgate: {count} problem{plural} in the configuration, nothing was started")
    );
    rest.to_owned()
}

/// Expects that `variables`, added to the valid four, are reported as wrong in exactly these words.
#[track_caller]
fn check(variables: &[(&str, &str)], expected: &str) {
    assert_eq!(reported(&environment(variables), None), expected);
}

/// Expects that a file with `text`, added to the valid four but `without`, is reported as wrong in exactly these words,
/// where `FILE` stands for its path.
#[track_caller]
fn check_file(without: &[&str], text: &[u8], expected: &str) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    let right = RIGHT
        .into_iter()
        .filter(|(variable, _)| !without.contains(variable));
    let reported = reported(&right.collect(), Some(file.path()));
    assert_eq!(
        reported.replace(file.path().to_str().unwrap(), "FILE"),
        expected
    );
}

#[test]
fn all_that_is_missing_is_reported_at_once() {
    let problems = load(&Environment::default(), None).unwrap_err().to_string();
    assert_eq!(
        problems,
        "\
dotgate: 4 problems in the configuration, nothing was started

HOST is not set
  expected: 1 to 64 IP addresses, separated by commas
  example: HOST=127.0.0.1,::1

PORT is not set
  expected: a whole number from 0 to 65535
  example: PORT=5300

DNS_HOST is not set
  expected: 1 to 16 of ADDR[@PORT][#AUTH-NAME][;PARAMETER]... or NAME[@PORT][;PARAMETER]..., or of the words adguard, \
cloudflare, google, mullvad, quad9, separated by commas; PARAMETER is one of pin=sha256/BASE64, pin-report=sha256/BASE64, client-cert=FILE, client-key=FILE, source=ADDR, interface=NAME, mark=N, weight=N
  example: DNS_HOST=9.9.9.9#dns.quad9.net,1.1.1.1#one.one.one.one

DNS_PORT is not set
  expected: a whole number from 1 to 65535
  example: DNS_PORT=853
"
    );
}

#[test]
fn a_wrong_value_an_unknown_variable_and_a_missing_one_are_reported_together() {
    let environment: Environment = [
        ("HOST", "localhost"),
        ("PORT", "5300"),
        ("DNS_HOST", "192.0.2.1"),
        ("DOTGATE_WORKERS", "2"),
    ]
    .into_iter()
    .collect();
    assert_eq!(
        reported(&environment, None),
        "\
DOTGATE_WORKERS is not a setting
  nearest: DOTGATE_SERVER_WORKERS

HOST=localhost: localhost is not an IP address (write 127.0.0.1,::1)
  expected: 1 to 64 IP addresses, separated by commas
  example: HOST=127.0.0.1,::1

DNS_PORT is not set
  expected: a whole number from 1 to 65535
  example: DNS_PORT=853
"
    );
}

#[test]
fn an_invalid_value_is_reported_in_one_line() {
    for (variable, value, reason) in [
        ("HOST", "", "it is empty"),
        ("PORT", "", "it is empty"),
        ("DNS_HOST", "", "it is empty"),
        ("DNS_PORT", "", "it is empty"),
        ("HOST", "::1,,", "there is nothing before or after a comma"),
        ("HOST", "::1,::1", "::1 is listed twice"),
        (
            "HOST",
            "fe80::1",
            "fe80::1 is link-local and needs its interface (as in fe80::1%eth0)",
        ),
        ("PORT", "65536", "it is out of range"),
        ("PORT", "http", "it is not a whole number"),
        ("DNS_PORT", "0", "it is out of range"),
        ("LOG_LEVEL", "3", "3 is not a valid value"),
        (
            "DOTGATE_QUERY_DEADLINE",
            "4",
            "it is not a number with a unit of time (write 4s)",
        ),
        ("DOTGATE_QUERY_DEADLINE", "60s", "it is out of range"),
        (
            "DOTGATE_SERVER_UDP_RECEIVE_BUFFER",
            "4M",
            "it is not a number with a unit of size (write 4MiB for a power of 1024, or 4MB for one of 1000)",
        ),
        (
            "DOTGATE_ACCESS_ALLOW",
            "10.1.0.0/8",
            "10.1.0.0/8 has bits beyond its length (write 10.0.0.0/8)",
        ),
        (
            "DOTGATE_ACCESS_ALLOW",
            "all",
            "all is not an address or prefix (any allows every client, also from the Internet: use it \
             if this is intended)",
        ),
        (
            "DOTGATE_ACCESS_ALLOW",
            "10.0.0.0/8@sctp",
            "the part after @ in 10.0.0.0/8@sctp is not a listener",
        ),
        (
            "DOTGATE_ACCESS_ALLOW",
            "localnets@",
            "the part after @ in localnets@ is not a listener",
        ),
        (
            "DOTGATE_ACCESS_DENY",
            "any@192.0.2.1:53",
            "the part after @ in any@192.0.2.1:53 is not a listener (the address alone, without its port)",
        ),
        (
            "DOTGATE_ACCESS_DENY",
            "any@::",
            "the part after @ in any@:: is not a listener (an entry without @ holds at every address)",
        ),
        (
            "DOTGATE_ACCESS_DENY",
            "10.1.0.0/8@udp",
            "10.1.0.0/8 has bits beyond its length (write 10.0.0.0/8)",
        ),
        (
            "DOTGATE_ACCESS_DENY",
            "10.0.0.0/8@udp,10.0.0.0/8@UDP",
            "10.0.0.0/8@UDP is listed twice",
        ),
        ("DOTGATE_ACCESS_ANSWER", "drop", "drop is not a valid value"),
        (
            "DOTGATE_TLS_AUTHENTICATION",
            "opportunistic",
            "opportunistic is not a valid value",
        ),
    ] {
        let reported = reported(&environment(&[(variable, value)]), None);
        assert_eq!(
            reported.lines().next(),
            Some(&*format!("{variable}={value}: {reason}"))
        );
    }
}

#[test]
fn common_mistakes_are_reported_with_what_to_write() {
    for (variable, value, reason) in [
        (
            "DNS_HOST",
            "https://dns.quad9.net/dns-query",
            "https://dns.quad9.net/dns-query is neither an IP address nor a DNS name (DNS over HTTPS is not \
             supported, DNS over TLS is)",
        ),
        (
            "DNS_HOST",
            "9.9.9.9#",
            "9.9.9.9# is neither an IP address nor a DNS name (there is nothing after #: write the name that its \
             certificate is for)",
        ),
        (
            "DNS_HOST",
            "9.9.9.9 1.1.1.1",
            "9.9.9.9 1.1.1.1 is neither an IP address nor a DNS name (items are separated by commas: write \
             9.9.9.9,1.1.1.1)",
        ),
        (
            "HOST",
            "127.0.0.1 ::1",
            "127.0.0.1 ::1 is not an IP address (items are separated by commas: write 127.0.0.1,::1)",
        ),
        (
            "HOST",
            "127.0.0.1:53",
            "127.0.0.1:53 is not an IP address (write 127.0.0.1; the port goes into PORT)",
        ),
        (
            "HOST",
            "*",
            "* is not an IP address (write 0.0.0.0,:: for all addresses)",
        ),
        (
            "HOST",
            "lo",
            "lo is not an IP address (it is an interface: write its addresses, which `ip address show lo` lists)",
        ),
        (
            "LOG_LEVEL",
            "verbose",
            "verbose is not a valid value (write debug)",
        ),
        (
            "DOTGATE_CACHE_SIZE",
            "8G",
            "it is not a number with a unit of size (write 8GiB for a power of 1024, or 8GB for one of 1000)",
        ),
        (
            "DOTGATE_TCP_IDLE",
            "1.5s",
            "it is not a number with a unit of time (write 1500ms)",
        ),
        (
            "DOTGATE_ADMIN_LISTEN",
            ":9153",
            ":9153 is not a valid ADDR:PORT (write 127.0.0.1:9153, or 0.0.0.0:9153 for all addresses)",
        ),
        (
            "DOTGATE_ADMIN_LISTEN",
            "9153",
            "9153 is not a valid ADDR:PORT (write 127.0.0.1:9153, or 0.0.0.0:9153 for all addresses)",
        ),
        (
            "DOTGATE_ADMIN_LISTEN",
            "localhost:9153",
            "localhost:9153 is not a valid ADDR:PORT (write 127.0.0.1:9153)",
        ),
        (
            "DOTGATE_ADMIN_LISTEN",
            "::1",
            "::1 is not a valid ADDR:PORT (write [::1]:9153)",
        ),
        (
            "HOST",
            "\"127.0.0.1\"",
            "the quotes are part of the value and are not removed (write 127.0.0.1)",
        ),
        (
            "DOTGATE_CACHE_SIZE",
            "'64MiB'",
            "the quotes are part of the value and are not removed (write 64MiB)",
        ),
    ] {
        let reported = reported(&environment(&[(variable, value)]), None);
        assert_eq!(
            reported.lines().next(),
            Some(&*format!("{variable}={value}: {reason}"))
        );
    }
}

#[test]
fn an_optional_variable_that_is_empty_is_not_set() {
    let empty: Vec<(String, &str)> = TABLE
        .iter()
        .filter(|subject| !subject.entry().is_required())
        .map(|subject| (subject.entry().variable().into_owned(), ""))
        .collect();
    let empty: Vec<(&str, &str)> = empty.iter().map(|(name, text)| (&**name, *text)).collect();
    let with = load(&environment(&empty), None).unwrap();
    let without = load(&environment(&[]), None).unwrap();
    for (with, without) in with.effective.iter().zip(&without.effective) {
        assert_eq!(
            (&with.value, &with.origin),
            (&without.value, &without.origin)
        );
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[query]\ndeadline = \"2s\"\n").unwrap();
    let loaded = load(
        &environment(&[("DOTGATE_QUERY_DEADLINE", " ")]),
        Some(file.path()),
    );
    let loaded = loaded.unwrap();
    assert_eq!(loaded.config.query().deadline.as_secs(), 2);
    assert_eq!(loaded.overridden, []);
}

#[test]
fn a_file_in_another_format_or_without_quotes_is_reported_with_what_to_write() {
    for text in [&b"server:\n  host: 127.0.0.1\n"[..], b"# x\n---\na: b\n"] {
        check_file(
            &[],
            text,
            "FILE: this looks like YAML; dotgate reads TOML\n  example: [server]\n           host = [\"127.0.0.1\"]\n",
        );
    }
    check_file(
        &[],
        b"{\"server\": {}}\n",
        "FILE: this looks like JSON; dotgate reads TOML\n  example: [server]\n           host = [\"127.0.0.1\"]\n",
    );
    check_file(
        &[],
        b"[log]\nlevel = debug\n",
        "FILE:2: not TOML: string values must be quoted, expected literal string (write level = \"debug\")\n",
    );
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[server]\nhost = 127.0.0.1\n").unwrap();
    let reported = reported(&environment(&[]), Some(file.path()));
    assert!(
        reported.contains("(write host = \"127.0.0.1\")"),
        "{reported}"
    );
}

#[test]
fn keys_of_a_file_are_reported_as_keys_of_a_file() {
    check_file(
        &["DNS_PORT"],
        b"HOST = \"127.0.0.1\"\n[dns]\ncache.size = \"64MiB\"\n",
        "\
FILE:1: HOST is not a setting
  nearest: [server] host

FILE:3: [dns] cache is not a setting
  nearest: [cache] size; dotted keys belong above the first section

FILE: [dns] port is not set, nor is DNS_PORT
  expected: a whole number from 1 to 65535
  example: [dns] port = 853
",
    );
}

#[test]
fn a_long_value_is_cut_and_control_characters_are_escaped() {
    let first_line = |variable, value: &str| {
        let reported = reported(&environment(&[(variable, value)]), None);
        reported.lines().next().unwrap().to_owned()
    };
    let shown = "x".repeat(200);
    for (value, shown) in [
        ("x".repeat(200), shown.clone()),
        ("x".repeat(201), format!("{shown}...")),
        ("1\u{1b}[2J\n2".to_owned(), "1\\u{1b}[2J\\n2".to_owned()),
    ] {
        let expected = format!("DOTGATE_SERVER_WORKERS={shown}: it is not a whole number");
        assert_eq!(first_line("DOTGATE_SERVER_WORKERS", &value), expected);
    }
}

#[test]
fn more_listeners_or_upstreams_than_allowed_are_reported() {
    let addresses = |count| {
        let all: Vec<String> = (1..=count).map(|last| format!("127.0.0.{last}")).collect();
        all.join(",")
    };
    for (variable, most) in [("HOST", 64), ("DNS_HOST", 16)] {
        assert!(load(&environment(&[(variable, &addresses(most))]), None).is_ok());
        let reported = reported(&environment(&[(variable, &addresses(most + 1))]), None);
        let expected = format!(": there are {}", most + 1);
        assert!(
            reported
                .lines()
                .next()
                .is_some_and(|line| line.ends_with(&expected)),
            "{reported}"
        );
    }
}

#[test]
fn a_value_that_kubernetes_injected_is_reported_as_such() {
    check(
        &[("DNS_PORT", "tcp://10.0.0.1:53")],
        "\
DNS_PORT=tcp://10.0.0.1:53: Kubernetes injected this for a Service named \"dns\"
  to do: set `enableServiceLinks: false` in the pod's spec or rename the Service, and set DNS_PORT
  expected: a whole number from 1 to 65535
  example: DNS_PORT=853
",
    );
    check(
        &[("HOST", "udp://10.0.0.1:53")],
        "\
HOST=udp://10.0.0.1:53: Kubernetes injected this
  to do: set `enableServiceLinks: false` in the pod's spec or rename the Service, and set HOST
  expected: 1 to 64 IP addresses, separated by commas
  example: HOST=127.0.0.1,::1
",
    );
}

#[test]
fn an_unknown_variable_is_reported_with_the_nearest_known_one_if_one_is_near() {
    check(
        &[("DOTGATE_PORT", "5300"), ("DOTGATE_XYZZY", "")],
        "\
DOTGATE_PORT is not a setting
  nearest: PORT

DOTGATE_XYZZY is not a setting
  to do: remove it, or find the right one in `dotgate --help`
",
    );
}

#[test]
fn a_setting_that_was_removed_is_reported_with_what_replaces_it() {
    check(
        &[("DOTGATE_LOCAL_FORWARD", "home.arpa")],
        "\
DOTGATE_LOCAL_FORWARD is not a setting
  to do: remove it. Names with a route are forwarded, such as DOTGATE_ROUTES=home.arpa=plain:192.168.1.1; others are not
",
    );
    check_file(
        &[],
        b"[local]\nforward = [\"home.arpa\"]\n",
        "\
FILE:2: [local] forward is not a setting
  to do: remove it. Names with a route are forwarded, such as DOTGATE_ROUTES=home.arpa=plain:192.168.1.1; others are not
",
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_reported() {
    use std::os::unix::ffi::OsStringExt as _;
    let variables = RIGHT.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let not_utf8 = (
        OsString::from("LOG_LEVEL"),
        OsString::from_vec(vec![b'i', 0xff]),
    );
    let environment = variables.into_iter().chain([not_utf8]).collect();
    assert_eq!(
        reported(&environment, None),
        "\
LOG_LEVEL is not UTF-8
  expected: error, warn, info, debug or trace
  example: LOG_LEVEL=info
"
    );
}

#[test]
fn invalid_upstreams_are_reported() {
    check(
        &[("DNS_HOST", "dot.test")],
        "\
DNS_HOST: the upstream dot.test is a name, and no resolver is configured for its address
  to do: write its address, as in ADDR#dot.test, or set DOTGATE_BOOTSTRAP_ADDRESSES to \
resolvers that can be queried in plain text
",
    );
    check(
        &[("DNS_HOST", "192.0.2.1,192.0.2.1@853")],
        "DNS_HOST: the upstream 192.0.2.1@853 is listed twice\n",
    );
    check(
        &[("DNS_HOST", "127.0.0.1@5300#dot.test")],
        "DNS_HOST: the upstream 127.0.0.1@5300#dot.test is dotgate itself, which listens on 127.0.0.1:5300\n",
    );
    check(
        &[("DOTGATE_BOOTSTRAP_ADDRESSES", "127.0.0.1@5300")],
        "DOTGATE_BOOTSTRAP_ADDRESSES: the bootstrap resolver 127.0.0.1:5300 is dotgate itself, \
         which listens on 127.0.0.1:5300\n",
    );
}

#[test]
fn a_command_that_asks_the_running_process_needs_only_what_finds_it() {
    let admin = load_client(&Environment::default(), None).unwrap().admin;
    assert_eq!(admin.listen, ["127.0.0.1:9153".parse().unwrap()]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[admin]\nlisten = \"127.0.0.1:1\"\n[server]\nhost = 5\nxyzzy = 1\n")
        .unwrap();
    let environment: Environment = [("DNS_PORT", "x"), ("DOTGATE_XYZZY", "1")]
        .into_iter()
        .collect();
    let admin = load_client(&environment, Some(file.path())).unwrap().admin;
    assert_eq!(admin.listen, ["127.0.0.1:1".parse().unwrap()]);
    let wrong: Environment = [("DOTGATE_ADMIN_LISTEN", "x")].into_iter().collect();
    let problems = load_client(&wrong, None).unwrap_err();
    assert_eq!(problems.iter().count(), 1);
    assert!(load_client(&environment, Some(Path::new("/nonexistent.toml"))).is_err());
}
