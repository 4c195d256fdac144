//! The configuration as a person meets it: variables and a file in, what holds out, the pages that are shipped, and
//! the program's exit status. Nothing here opens a socket.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails, outside its own function too"
)]

use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use dotgate::cli::Page;
use dotgate_config::setting::Unset;
use dotgate_config::settings::TABLE;
use dotgate_config::{
    AccessEntry, AccessNetwork, Amount, ByteCount, Config, ConnectionLimits, Endpoint, Environment,
    Loaded, LogFormat, LogLevel, Note, Origin, Problem, Profile, StartPolicy, UpstreamsFault, load,
};
use dotgate_core::labels::ClientTransport;
use dotgate_core::{AccessAnswer, AccessScope};

const RIGHT: [(&str, &str); 4] = [
    ("HOST", "127.0.0.1"),
    ("PORT", "5300"),
    ("DNS_HOST", "192.0.2.1"),
    ("DNS_PORT", "853"),
];

fn environment(variables: &[(&str, &str)]) -> Environment {
    RIGHT.iter().chain(variables).copied().collect()
}

#[track_caller]
fn loaded(environment: &Environment, file: Option<&Path>) -> Loaded {
    load(environment, file).unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn config(variables: &[(&str, &str)]) -> Config {
    loaded(&environment(variables), None).config
}

#[track_caller]
fn loaded_file(variables: &[(&str, &str)], text: &str) -> Loaded {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    loaded(&variables.iter().copied().collect(), Some(file.path()))
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn labels(config: &Config) -> Vec<&str> {
    config
        .upstreams()
        .iter()
        .map(|upstream| upstream.label.as_str())
        .collect()
}

#[test]
fn what_is_not_set_has_the_documented_default() {
    let config = config(&[]);
    let (server, query, tcp) = (config.server(), config.query(), config.tcp());
    let available = std::thread::available_parallelism().unwrap().get();
    assert_eq!(server.listen, ["127.0.0.1:5300".parse().unwrap()]);
    assert_eq!(server.workers.get(), available.min(4));
    assert_eq!(server.udp_receive_buffer, ByteCount(4 << 20));
    assert_eq!(server.udp_response_max, 1232);
    assert_eq!(server.take_over_socket, None);
    assert_eq!(server.drain_max, Duration::from_secs(8));
    assert_eq!(server.start, StartPolicy::ServeAnyway);
    assert_eq!(query.deadline, Duration::from_secs(4));
    assert_eq!(query.in_flight_max, 20_000);
    assert_eq!(query.in_flight_per_client_max, 1_000);
    assert_eq!(tcp.connections_max, Amount::Auto);
    assert_eq!(tcp.connections_per_client_max, Amount::Auto);
    assert_eq!(tcp.idle, Duration::from_secs(10));
    assert_eq!(tcp.in_flight_max, 1000);
    assert_eq!(config.access().allow.len(), 9);
    assert_eq!(config.tls().authorities.ca_file, None);
    assert_eq!(config.tls().authentication, Profile::Strict);
    assert_eq!(
        (config.log().level, config.log().format),
        (LogLevel::Info, LogFormat::Text)
    );
    assert!(config.bootstrap().is_empty());
    assert_eq!(labels(&config), ["192.0.2.1@853"]);
    assert_eq!(config.admin().listen, ["127.0.0.1:9153".parse().unwrap()]);
    assert!(config.admin().hosts.is_empty());
    assert_eq!(config.admin().token_file, None);
}

#[test]
fn every_variable_changes_what_it_says() {
    let config = config(&[
        ("HOST", "0.0.0.0, ::"),
        ("PORT", "0"),
        ("DNS_HOST", "192.0.2.1#dot.test, dns.test@8853"),
        ("LOG_LEVEL", "debug"),
        ("LOG_FORMAT", "json"),
        ("DOTGATE_SERVER_WORKERS", "64"),
        ("DOTGATE_SERVER_UDP_RECEIVE_BUFFER", "64KiB"),
        ("DOTGATE_SERVER_UDP_RESPONSE_MAX", "512"),
        ("DOTGATE_SERVER_TAKE_OVER_SOCKET", "take-over.sock"),
        ("DOTGATE_SERVER_DRAIN_MAX", "0s"),
        ("DOTGATE_SERVER_START", "wait"),
        ("DOTGATE_SERVER_PROXY_PROTOCOL_FROM", "198.51.100.0/24"),
        ("DOTGATE_SERVER_USER", "998:997"),
        ("DOTGATE_SERVER_SANDBOX", "require"),
        ("DOTGATE_QUERY_DEADLINE", "1800ms"),
        ("DOTGATE_QUERY_IN_FLIGHT_MAX", "100"),
        ("DOTGATE_QUERY_IN_FLIGHT_PER_CLIENT_MAX", "1"),
        ("DOTGATE_TCP_CONNECTIONS_MAX", "7"),
        ("DOTGATE_TCP_CONNECTIONS_PER_CLIENT_MAX", "3"),
        ("DOTGATE_TCP_IDLE", "5m"),
        ("DOTGATE_TCP_IN_FLIGHT_MAX", "10000"),
        ("DOTGATE_ACCESS_ALLOW", "192.0.2.0/24"),
        ("DOTGATE_ACCESS_DENY", "localnets@dot"),
        ("DOTGATE_ACCESS_ANSWER", "silence"),
        ("DOTGATE_RATE_QUERIES", "100"),
        ("DOTGATE_RATE_CONNECTIONS", "20"),
        ("DOTGATE_RATE_HANDSHAKES", "10"),
        ("DOTGATE_RATE_IPV4_PREFIX", "24"),
        ("DOTGATE_RATE_IPV6_PREFIX", "64"),
        ("DOTGATE_TLS_CA_FILE", "ca.pem"),
        ("DOTGATE_TLS_AUTHENTICATION", "insecure-opportunistic"),
        ("DOTGATE_BOOTSTRAP_ADDRESSES", "192.0.2.53"),
        ("DOTGATE_ADMIN_LISTEN", "0.0.0.0:1, [::1]:2"),
        ("DOTGATE_ADMIN_HOST_NAMES", "Dotgate.Test"),
        ("DOTGATE_ADMIN_TOKEN_FILE", "token"),
        ("DOTGATE_CACHE_SNAPSHOT_FILE", "cache"),
    ]);
    let (server, query, tcp) = (config.server(), config.query(), config.tcp());
    assert_eq!(
        server.listen,
        ["0.0.0.0:0".parse().unwrap(), "[::]:0".parse().unwrap()]
    );
    assert_eq!(server.workers.get(), 64);
    assert_eq!(server.udp_receive_buffer, ByteCount(65_536));
    assert_eq!(server.udp_response_max, 512);
    assert_eq!(
        server.take_over_socket.as_deref(),
        Some(Path::new("take-over.sock"))
    );
    assert_eq!(server.drain_max, Duration::ZERO);
    assert_eq!(server.start, StartPolicy::Wait);
    assert_eq!(query.deadline, Duration::from_millis(1800));
    assert_eq!(query.in_flight_max, 100);
    assert_eq!(query.in_flight_per_client_max, 1);
    assert_eq!(
        config.connection_limits(1 << 20),
        ConnectionLimits {
            all: 7,
            per_client: 3
        }
    );
    assert_eq!(tcp.idle, Duration::from_secs(300));
    assert_eq!(tcp.in_flight_max, 10_000);
    let balancers = ["198.51.100.0/24".parse().unwrap()];
    assert_eq!(config.server().proxies, balancers);
    let rates = config.rates();
    assert_eq!((rates.ipv4_bits, rates.ipv6_bits), (24, 64));
    let rates = [rates.queries, rates.connections, rates.handshakes];
    assert_eq!(
        rates.map(|rate| rate.map_or(0, NonZeroU32::get)),
        [100, 20, 10]
    );
    let access = config.access();
    let network = |prefix: &str| AccessNetwork::Prefix(prefix.parse().unwrap());
    let only = |entries: &[AccessEntry]| {
        let [entry] = entries else {
            panic!("{entries:?}")
        };
        (entry.network, entry.scope)
    };
    let everywhere = (network("192.0.2.0/24"), AccessScope::Everywhere);
    assert_eq!(only(&access.allow), everywhere);
    let of_dot = AccessScope::Transport(ClientTransport::Dot);
    assert_eq!(only(&access.deny), (AccessNetwork::Local, of_dot));
    assert_eq!(access.answer, AccessAnswer::NoResponse);
    assert_eq!(
        config.tls().authorities.ca_file.as_deref(),
        Some(Path::new("ca.pem"))
    );
    assert_eq!(config.tls().authentication, Profile::InsecureOpportunistic);
    assert!(
        config
            .upstreams()
            .iter()
            .all(|upstream| !upstream.authentication.as_ref().unwrap().strict)
    );
    assert_eq!(
        (config.log().level, config.log().format),
        (LogLevel::Debug, LogFormat::Json)
    );
    assert_eq!(config.bootstrap(), ["192.0.2.53:53".parse().unwrap()]);
    assert_eq!(labels(&config), ["192.0.2.1@853#dot.test", "dns.test@8853"]);
    let admin = config.admin();
    assert_eq!(
        admin.listen,
        ["0.0.0.0:1".parse().unwrap(), "[::1]:2".parse().unwrap()]
    );
    assert_eq!(admin.hosts, ["dotgate.test"]);
    assert_eq!(admin.token_file.as_deref(), Some(Path::new("token")));
    let snapshot_file = config.cache().snapshot_file.as_deref();
    assert_eq!(snapshot_file, Some(Path::new("cache")));
}

#[test]
fn the_environment_wins_over_the_file_and_each_value_knows_where_it_is_from() {
    let text = "\
[server]
host = \"127.0.0.1\"
port = 5300
workers = 2
[query]
deadline = \"2s\"
[dns]
host = [\"192.0.2.1\", \"192.0.2.2\"]
port = 853
";
    let loaded = loaded_file(
        &[("DOTGATE_QUERY_DEADLINE", "3s"), ("DNS_PORT", "8853")],
        text,
    );
    assert_eq!(loaded.config.query().deadline, Duration::from_secs(3));
    assert_eq!(labels(&loaded.config), ["192.0.2.1@8853", "192.0.2.2@8853"]);
    let origin = |variable: &str| {
        let found = loaded
            .effective
            .iter()
            .find(|row| row.subject.entry().variable() == variable);
        match &found.unwrap().origin {
            Origin::File { line, .. } => format!("line {line}"),
            origin => origin.to_string(),
        }
    };
    for (variable, expected) in [
        ("HOST", "line 2"),
        ("DOTGATE_SERVER_WORKERS", "line 4"),
        ("DOTGATE_QUERY_DEADLINE", "DOTGATE_QUERY_DEADLINE"),
        ("DNS_HOST", "line 8"),
        ("DNS_PORT", "DNS_PORT"),
        ("DOTGATE_TCP_IDLE", "default"),
        ("DOTGATE_CONFIG_FILE", "--config"),
    ] {
        assert_eq!(origin(variable), expected, "{variable}");
    }
}

#[test]
fn upstream_tables_mean_what_the_one_line_form_means() {
    let text = "\
[[upstream]]
address = \"192.0.2.1\"
auth_name = \"dot.test\"
pins = [\"sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]

[[upstream]]
address = \"2001:db8::1\"
port = 8853

[[upstream]]
name = \"dns.test\"
";
    let tables = loaded_file(
        &[
            ("HOST", "127.0.0.1"),
            ("PORT", "5300"),
            ("DNS_PORT", "853"),
            ("DOTGATE_BOOTSTRAP_ADDRESSES", "192.0.2.53"),
        ],
        text,
    );
    let line = "192.0.2.1#dot.test;pin=sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,\
                [2001:db8::1]@8853,dns.test";
    let line = config(&[
        ("DNS_HOST", line),
        ("DOTGATE_BOOTSTRAP_ADDRESSES", "192.0.2.53"),
    ]);
    assert_eq!(tables.config.upstreams(), line.upstreams());
    let name = Endpoint::Name {
        name: "dns.test".to_owned(),
        port: 853,
    };
    assert_eq!(
        line.upstreams().last().map(|upstream| &upstream.endpoint),
        Some(&name)
    );
    let row = tables
        .effective
        .iter()
        .find(|row| row.subject.entry().variable() == "DNS_HOST");
    let shown = "192.0.2.1@853#dot.test,[2001:db8::1]@8853,dns.test@853";
    assert_eq!(row.and_then(|row| row.value.as_deref()), Some(shown));
}

#[test]
fn upstreams_of_the_environment_stand_in_for_the_files_tables() {
    let loaded = loaded_file(&RIGHT, "[[upstream]]\naddress = \"192.0.2.9\"\n");
    assert_eq!(labels(&loaded.config), ["192.0.2.1@853"]);
}

#[test]
fn an_upstream_is_a_listener_only_if_a_connection_would_reach_one() {
    let listener = |host: &str, port: &str, upstream: &str| {
        let environment = environment(&[("HOST", host), ("PORT", port), ("DNS_HOST", upstream)]);
        match load(&environment, None) {
            Ok(_) => None,
            Err(problems) => match problems.iter().collect::<Vec<_>>().as_slice() {
                [
                    Problem::Upstreams {
                        fault: UpstreamsFault::IsListener { listener, .. },
                        ..
                    },
                ] => Some(listener.to_string()),
                others => panic!("{others:?}"),
            },
        }
    };
    for (host, port, upstream, expected) in [
        ("127.0.0.1", "853", "127.0.0.1", Some("127.0.0.1:853")),
        (
            "127.0.0.1,::1",
            "5300",
            "::1@5300#dot.test",
            Some("[::1]:5300"),
        ),
        (
            "127.0.0.1",
            "853",
            "::ffff:127.0.0.1",
            Some("127.0.0.1:853"),
        ),
        ("0.0.0.0", "853", "127.1.2.3", Some("0.0.0.0:853")),
        ("::", "853", "::1", Some("[::]:853")),
        ("::", "853", "127.0.0.1", None),
        ("0.0.0.0", "853", "::1", None),
        ("0.0.0.0", "853", "192.0.2.1", None),
        ("127.0.0.1", "853", "127.0.0.2", None),
        ("127.0.0.1", "5300", "127.0.0.1", None),
        ("127.0.0.1", "0", "127.0.0.1", None),
    ] {
        let found = listener(host, port, upstream);
        assert_eq!(found.as_deref(), expected, "{host} {port} {upstream}");
    }
}

#[test]
fn one_address_with_two_authentication_names_is_two_upstreams() {
    let config = config(&[("DNS_HOST", "192.0.2.1#a.test,192.0.2.1#b.test")]);
    assert_eq!(
        labels(&config),
        ["192.0.2.1@853#a.test", "192.0.2.1@853#b.test"]
    );
}

#[test]
fn words_and_schemes_stand_for_what_they_mean() {
    let read = |upstreams| config(&[("DNS_HOST", upstreams), ("DOTGATE_ACCESS_ALLOW", "Any")]);
    let config = read("mullvad,tls://192.0.2.1#dot.test");
    let expected = [
        "194.242.2.2@853#dns.mullvad.net",
        "[2a07:e340::2]@853#dns.mullvad.net",
        "192.0.2.1@853#dot.test",
    ];
    assert_eq!(labels(&config), expected);
    let network = |prefix: &str| AccessNetwork::Prefix(prefix.parse().unwrap());
    let allowed = config.access().allow.iter().map(|entry| entry.network);
    assert!(allowed.eq([network("0.0.0.0/0"), network("::/0")]));
    let all = "quad9,google,adguard,cloudflare";
    assert_eq!(read(all).upstreams().len(), 16);
    let too_many = format!("{all},mullvad");
    let environment = environment(&[("DNS_HOST", &too_many)]);
    let problems = load(&environment, None).unwrap_err();
    assert!(
        problems.to_string().contains(": there are 18\n"),
        "{problems}"
    );
}

#[test]
fn what_kubernetes_injects_for_a_service_called_dotgate_does_not_stop_the_program() {
    let loaded = loaded(
        &environment(&[
            ("DOTGATE_SERVICE_HOST", "10.0.0.1"),
            ("DOTGATE_SERVICE_PORT", "53"),
            ("DOTGATE_PORT", "udp://10.0.0.1:53"),
            ("DOTGATE_PORT_53_UDP_ADDR", "10.0.0.1"),
        ]),
        None,
    );
    assert_eq!(
        loaded.notes,
        [Note::OneUpstream, Note::ServiceLinks { count: 4 }]
    );
}

#[test]
fn automatic_connection_limits_leave_room_for_sessions_and_listeners() {
    let config = config(&[("DOTGATE_SERVER_WORKERS", "2")]);
    // Two workers with 2 listening sockets, 4 sessions and 12 other files each, 64 connections of the admin endpoint,
    // and 64 other files.
    let limits = |descriptors| {
        let ConnectionLimits { all, per_client } = config.connection_limits(descriptors);
        (all, per_client)
    };
    assert_eq!(limits(1024), (1024 - 2 * 18 - 64 - 64, 215));
    assert_eq!(limits(0), (16, 4));
    assert_eq!(limits(1 << 30), (65_536, 16_384));
    assert_eq!(limits(u64::MAX), (65_536, 16_384));
}

#[test]
fn automatic_connection_limits_leave_room_for_the_sockets_of_plain_upstreams() {
    let all = |routes: &str| {
        let own = [("DOTGATE_SERVER_WORKERS", "2"), ("DOTGATE_ROUTES", routes)];
        config(&own).connection_limits(1024).all
    };
    let none = all("");
    assert_eq!(all("corp.test=192.0.2.7"), none - 2 * 4);
    assert_eq!(all("lan=plain:192.0.2.7"), none - 2 * (4 + 16));
    // A server in two groups shares its sockets.
    let two = "lan=plain:192.0.2.7,plain:192.0.2.8 corp.test=plain:192.0.2.7";
    assert_eq!(all(two), none - 2 * 2 * (4 + 16));
}

#[test]
fn no_name_is_twice_in_the_table_and_none_looks_injected() {
    let variables: Vec<String> = TABLE
        .iter()
        .map(|subject| subject.entry().variable().into_owned())
        .collect();
    let mut sorted = variables.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), variables.len());
    for variable in variables {
        let is_ours = variable.starts_with("DOTGATE_");
        assert!(!is_ours || !variable.ends_with("_PORT") && !variable.contains("_SERVICE_"));
        let required = ["HOST", "PORT", "DNS_HOST", "DNS_PORT"];
        let others = ["LOG_LEVEL", "LOG_FORMAT", "SSL_CERT_FILE", "SSL_CERT_DIR"];
        assert!(is_ours || required.contains(&&*variable) || others.contains(&&*variable));
    }
}

#[test]
fn every_default_and_every_example_of_the_table_can_be_read() {
    for subject in TABLE {
        let entry = subject.entry();
        subject
            .check(entry.example)
            .unwrap_or_else(|fault| panic!("{entry:?}: {fault}"));
        if let Unset::Default(text) = entry.unset {
            subject
                .check(text)
                .unwrap_or_else(|fault| panic!("{entry:?}: {fault}"));
        }
    }
}

#[test]
fn the_shipped_pages_are_those_of_the_table() {
    for (page, path) in [
        (Page::Settings, "docs/settings.md"),
        (Page::FullFile, "etc/full.toml"),
        (Page::Metrics, "docs/metrics.md"),
        (Page::LogMessages, "docs/log-messages.md"),
        (Page::Manual, "docs/man/dotgate.8"),
        (Page::OpenApi, "docs/openapi.json"),
        (Page::FileSchema, "etc/dotgate.schema.json"),
    ] {
        let shipped = std::fs::read_to_string(shipped(path)).unwrap();
        assert!(
            shipped == page.text(),
            "{path} is old; write it with dotgate check --print"
        );
    }
}

#[test]
fn groff_finds_nothing_wrong_with_the_manual_page() {
    let mut command = Command::new("groff");
    command.args(["-man", "-ww", "-z", "-Tutf8"]);
    let Ok(output) = command.arg(shipped("docs/man/dotgate.8")).output() else {
        println!("skipped: groff is not installed");
        return;
    };
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_full_file_holds_every_key_and_says_what_holds_without_it() {
    let path = shipped("etc/full.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let full = loaded(&Environment::default(), Some(&path));
    for row in &full.effective {
        let entry = row.subject.entry();
        let Some((section, key)) = entry.section_and_key() else {
            continue;
        };
        let in_section = text.split(&format!("\n[{section}]\n")).nth(1).unwrap();
        let in_section = in_section.split("\n[").next().unwrap();
        let expected = match entry.unset {
            Unset::Required => Some(entry.example),
            Unset::Default(text) => Some(text),
            Unset::Nothing => None,
        };
        let line = in_section
            .lines()
            .find(|line| line.trim_start_matches("# ").split(" = ").next() == Some(key));
        assert_eq!(
            line.map(|line| line.starts_with('#')),
            Some(expected.is_none()),
            "{key}"
        );
        assert_eq!(row.value.as_deref(), expected, "{key}");
    }
}

#[test]
fn the_smaller_shipped_files_are_right() {
    let minimal = loaded(&Environment::default(), Some(&shipped("etc/minimal.toml")));
    assert_eq!(minimal.config.upstreams().len(), 1);
    let typical = loaded(&Environment::default(), Some(&shipped("etc/typical.toml")));
    assert_eq!(labels(&typical.config).len(), 4);
}

/// Runs the program with these variables alone.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dotgate"));
    command
        .env_clear()
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn check_exits_with_0_and_the_settings_or_with_2_and_the_problems() {
    let right = run(&["check"], &RIGHT);
    assert_eq!(right.status.code(), Some(0));
    let out = String::from_utf8(right.stdout).unwrap();
    assert!(out.starts_with("server.host  ") && out.ends_with("configuration OK\n"));
    assert!(right.stderr.is_empty());

    let wrong = run(&["check"], &[("HOST", "127.0.0.1"), ("PORT", "x")]);
    assert_eq!(wrong.status.code(), Some(2));
    let err = String::from_utf8(wrong.stderr).unwrap();
    assert!(err.starts_with("dotgate: 3 problems in the configuration, nothing was started\n"));
    assert!(wrong.stdout.is_empty());
}

#[test]
fn check_reads_the_file_of_the_command_line_before_that_of_the_environment() {
    let minimal = shipped("etc/minimal.toml");
    let minimal = minimal.to_str().unwrap();
    let by_variable = run(&["check"], &[("DOTGATE_CONFIG_FILE", minimal)]);
    assert_eq!(by_variable.status.code(), Some(0));
    let by_option = run(
        &["check", "--config", minimal],
        &[("DOTGATE_CONFIG_FILE", "/nonexistent.toml")],
    );
    assert_eq!(by_option.status.code(), Some(0));
}
