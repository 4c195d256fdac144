//! Problems of configuration files, whole and as printed.

use super::*;

#[test]
fn a_wrong_value_in_the_file_is_reported_with_its_line() {
    check_file(
        &["HOST", "PORT"],
        b"# first line\n[server]\nhost = [\"127.0.0.1\", \"x\"]\nport = 70000\n\n[query]\ndeadline = \"1h\"\n",
        "\
FILE:3: [server] host = [\"127.0.0.1\", \"x\"]: x is not an IP address
  expected: 1 to 64 IP addresses, separated by commas
  example: [server] host = [\"127.0.0.1\", \"::1\"]

FILE:4: [server] port = 70000: it is out of range
  expected: a whole number from 0 to 65535
  example: [server] port = 5300

FILE:7: [query] deadline = \"1h\": it is out of range
  expected: a duration from 500ms to 30s, a whole number followed by ms, s, m, h or d
  example: [query] deadline = \"1800ms\"
",
    );
    check_file(
        &[],
        b"[query]\ndeadline = [4]\n[server]\nworkers = 1.5\n",
        "\
FILE:2: [query] deadline is of type array
  expected: a duration from 500ms to 30s, a whole number followed by ms, s, m, h or d
  example: [query] deadline = \"1800ms\"

FILE:4: [server] workers is of type float
  expected: a whole number from 1 to 64, or auto
  example: [server] workers = 2
",
    );
}

#[test]
fn an_unknown_key_is_reported_with_its_line_and_the_nearest_known_one() {
    check_file(
        &[],
        b"host = 1\n[server]\nworker = 2\ndeadline = \"4s\"\n[servers]\n[dns]\nxyzzy = 1\n[upstream]\n",
        "\
FILE:1: host is not a setting
  nearest: [server] host

FILE:3: [server] worker is not a setting
  nearest: [server] workers

FILE:4: [server] deadline is not a setting
  nearest: [query] deadline

FILE:5: [servers] is not a setting
  nearest: [server]

FILE:7: [dns] xyzzy is not a setting
  to do: remove it, or find the right one in `dotgate --help`

FILE:8: [upstream] is not a setting
  nearest: [[upstream]]
",
    );
}

#[test]
fn an_unparsable_file_is_reported_and_hides_no_other_problem() {
    check_file(
        &["HOST"],
        b"[server]\nhost = \n",
        "FILE:2: not TOML: string values must be quoted, expected literal string\n",
    );
    check_file(&[], b"[log]\n# \xff\n", "FILE: not UTF-8 in line 2\n");
    check_file(
        &[],
        &b"#".repeat((1 << 20) + 1),
        "FILE: longer than 1048576 bytes\n",
    );
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.toml");
    let reported = reported(&environment(&[("LOG_LEVEL", "3")]), Some(&absent));
    assert_eq!(
        reported.replace(absent.to_str().unwrap(), "FILE"),
        "\
FILE: cannot be read: No such file or directory (os error 2)

LOG_LEVEL=3: 3 is not a valid value
  expected: error, warn, info, debug or trace
  example: LOG_LEVEL=info
"
    );
}

#[test]
fn a_wrong_upstream_table_is_reported() {
    check_file(
        &["DNS_HOST"],
        b"\
[[upstream]]
address = \"dot.test\"
port = 0
auth-name = \"dot.test\"

[[upstream]]
name = \"dot.test\"
auth_name = \"other.test\"
pins = [\"sha256/AAAA\"]

[[upstream]]
port = [1]

[[upstream]]
port = 853

[[upstream]]
name = \"dot.test\"
auth_name = \"other.test\"
",
        "\
FILE:4: [[upstream]] auth-name is not a setting
  nearest: auth_name

FILE:12: [[upstream]] port is of type array
  expected: a whole number from 1 to 65535
  example: port = 853

FILE:2: [[upstream]] address = \"dot.test\": dot.test is not an IP address
  expected: an IP address
  example: address = \"9.9.9.9\"

FILE:3: [[upstream]] port = 0: 0 is not a port from 1 to 65535
  expected: a whole number from 1 to 65535
  example: port = 853

FILE:9: [[upstream]] pins = \"sha256/AAAA\": sha256/AAAA is not sha256/ and 32 bytes in base64
  expected: at most 8 of sha256/BASE64, the digest of a SubjectPublicKeyInfo
  example: pins = [\"sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]

FILE:14: an [[upstream]] needs either an address or a name

FILE:19: [[upstream]] auth_name = \"other.test\": dot.test has two names (a name is authenticated as itself)
  expected: a DNS name
  example: auth_name = \"dns.quad9.net\"
",
    );
    check_file(
        &["DNS_HOST"],
        b"[dns]\nhost = \"192.0.2.1\"\n[[upstream]]\naddress = \"192.0.2.2\"\n",
        "\
FILE:3: [[upstream]] and [dns] host (FILE:2) are the same list in two forms
  to do: remove one of them
",
    );
    let tables: Vec<String> = (1..=17)
        .map(|last| format!("[[upstream]]\naddress = \"192.0.2.{last}\"\n"))
        .collect();
    check_file(
        &["DNS_HOST"],
        tables.concat().as_bytes(),
        "FILE:33: there are 17 [[upstream]] tables\n  expected: at most 16\n",
    );
}

#[test]
fn the_files_of_the_system_are_read_if_nothing_names_one() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let toml = write(
        "dotgate.toml",
        "[server]\nhost = \"127.0.0.1\"\nport = 5300\n[dns]\nhost = \"192.0.2.1\"\nport = 1\n",
    );
    let in_folder = |variables: &[(&str, &str)]| {
        let environment: Environment = variables.iter().copied().collect();
        environment.with_default_folder(folder.path())
    };
    let port = |environment: &Environment, file: Option<&Path>| {
        let loaded = load(environment, file).unwrap();
        loaded.config.upstreams()[0].label.clone()
    };
    assert_eq!(port(&in_folder(&[]), None), "192.0.2.1@1");
    let loaded = load(&in_folder(&[]), None).unwrap();
    assert_eq!(loaded.file.as_deref(), Some(toml.as_path()));
    write("dotgate.env", "# comment\n\n; another\nDNS_PORT = \"2\"\n");
    assert_eq!(port(&in_folder(&[]), None), "192.0.2.1@2");
    assert_eq!(port(&in_folder(&[("DNS_PORT", "3")]), None), "192.0.2.1@3");
    let other = write(
        "other.toml",
        "[server]\nhost = \"127.0.0.1\"\nport = 5300\n[dns]\nhost = \"192.0.2.9\"\nport = 4\n",
    );
    let named = [("DOTGATE_CONFIG_FILE", other.to_str().unwrap())];
    assert_eq!(port(&in_folder(&named), None), "192.0.2.9@4");
    assert_eq!(port(&in_folder(&[]), Some(&other)), "192.0.2.9@4");
    write(
        "dotgate.env",
        &format!("DOTGATE_CONFIG_FILE={}\n", other.display()),
    );
    assert_eq!(port(&in_folder(&[]), None), "192.0.2.9@4");
    let env = write("dotgate.env", "export DNS_PORT\n");
    let problems = load(&in_folder(&[]), None).unwrap_err().to_string();
    let expected = format!("{}:1: not NAME=VALUE", env.display());
    assert!(problems.contains(&expected), "{problems}");
}
