//! What becomes of each command on the pages.

/// What becomes of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It is run before the server starts.
    Prepares,
    /// It starts the server that the others are run against.
    Serves,
    /// It is run, and must end with status 0.
    Runs,
    /// The file runs it.
    Elsewhere(&'static str),
    /// It is not run, for this reason.
    Skipped(&'static str),
}

use Fate::{Elsewhere, Prepares, Runs, Serves, Skipped};

const INSTALLED: Fate = Elsewhere("dotgate/tests/systemd/install.rs");
const PACKAGED: Fate = Elsewhere("dotgate/tests/systemd/packages.rs");
const CLUSTER: Fate =
    Skipped("no cluster; what it renders is tested in dotgate/tests/kubernetes/main.rs");
const NO_SDK: Fate = Skipped("no SDK of OpenWrt, and no router");
const EXAMPLE: Fate = Skipped("an address of an example network");

/// The page, empty for every page, and how the command begins. The first row that fits holds.
pub(crate) const FATES: &[(&str, &str, Fate)] = &[
    ("README.md", "HOST=127.0.0.1 PORT=5300 ", Serves),
    ("docs/routes.md", "HOST=127.0.0.1 PORT=5300 ", Runs),
    (
        "README.md",
        "cargo install",
        Skipped("it builds the program that the tests run"),
    ),
    (
        "README.md",
        "cargo build --release -p dotgate && packaging/build",
        PACKAGED,
    ),
    ("README.md", "dpkg --install", PACKAGED),
    ("README.md", "rpm --upgrade", Skipped("no system with RPM")),
    ("README.md", "echo \"src-link", NO_SDK),
    ("README.md", "./scripts/feeds install", NO_SDK),
    ("README.md", "ssh root@router", NO_SDK),
    ("README.md", "dotgate init --print", PACKAGED),
    (
        "README.md",
        "dotgate init --config",
        Elsewhere("dotgate/tests/commands.rs"),
    ),
    (
        "README.md",
        "dotgate --config",
        Elsewhere("dotgate/tests/commands.rs"),
    ),
    ("", "cargo ", Elsewhere(".ci/run")),
    ("", "dotgate demo", Elsewhere(".ci/run")),
    (
        "docs/containers.md",
        "dig ",
        Elsewhere("dotgate/tests/docker/stack.rs"),
    ),
    ("", "docker", Elsewhere("dotgate/tests/docker/stack.rs")),
    (
        "docs/limits.md",
        "dig @192.0.2.53 example.com +cookie",
        Elsewhere("dotgate/tests/it/cookies.rs"),
    ),
    (
        "docs/limits.md",
        "openssl rand",
        Skipped("a file of the reader"),
    ),
    (
        "docs/listeners.md",
        "kdig @192.0.2.1 +tls-ca",
        Elsewhere("dotgate/tests/it/dot.rs"),
    ),
    (
        "docs/listeners.md",
        "kdig @192.0.2.1 +https",
        Elsewhere("dotgate/tests/it/doh.rs"),
    ),
    (
        "docs/listeners.md",
        "kdig @192.0.2.1 +quic",
        Elsewhere("dotgate/tests/it/doq.rs"),
    ),
    (
        "docs/listeners.md",
        "dig @192.0.2.1 +tls",
        Elsewhere("dotgate/tests/it/stubs.rs"),
    ),
    (
        "docs/listeners.md",
        "dig @192.0.2.1 +https",
        Elsewhere("dotgate/tests/it/stubs.rs"),
    ),
    ("", "dotgate healthcheck --upstreams", Runs),
    ("docs/host.md", "dotgate check", INSTALLED),
    ("docs/host.md", "packaging/build", PACKAGED),
    ("docs/host.md", "dpkg --install", PACKAGED),
    (
        "docs/reload.md",
        "dotgate check --config new.toml",
        Skipped("a file of the reader"),
    ),
    ("docs/recipes.md", "dig @2001:db8::53", EXAMPLE),
    ("docs/filtering.md", "mv ", Skipped("a file of the reader")),
    (
        "docs/filtering.md",
        "curl ",
        Skipped("a list of the Internet"),
    ),
    (
        "docs/sandbox.md",
        "dotgate check --sandbox",
        Elsewhere("dotgate/tests/it/sandbox.rs"),
    ),
    ("", "dotgate check", Runs),
    (
        "docs/query.md",
        "dotgate query example.org --upstream '9.9.9.9#dns.quad9.net' --json",
        Runs,
    ),
    ("", "dotgate query", Runs),
    ("", "dotgate cache", Runs),
    ("", "dotgate status", Runs),
    ("", "dotgate tail", Elsewhere("dotgate/tests/it/tail.rs")),
    ("docs/query-log.md", "dnsperf ", Skipped("it measures")),
    (
        "docs/query-log.md",
        "curl -N",
        Elsewhere("dotgate/tests/it/tail.rs"),
    ),
    ("", "dotgate top", Runs),
    ("", "dotgate why", Runs),
    (
        "",
        "dotgate portal",
        Elsewhere("dotgate/tests/it/portal.rs"),
    ),
    (
        "",
        "dotgate routes",
        Elsewhere("dotgate/tests/it/volatile_routes.rs"),
    ),
    ("", "target/release/dotgate check", Runs),
    (
        "",
        "target/release/dotgate-bench",
        Skipped("it measures for minutes"),
    ),
    (
        "docs/benchmarks.md",
        "bench/peers/get",
        Skipped("it installs other forwarders"),
    ),
    (
        "docs/benchmarks.md",
        "just bench-report",
        Skipped("it measures for a quarter of an hour"),
    ),
    ("", "curl ", Runs),
    ("", "(umask 077", Prepares),
    ("", "dig @127.0.0.1", Runs),
    ("", "dig @192.168.1.2", EXAMPLE),
    (
        "docs/laptop.md",
        "install -D -m 755 deploy/laptop",
        Skipped("it needs NetworkManager"),
    ),
    ("docs/laptop.md", "install -D", Runs),
    ("", "install ", INSTALLED),
    (
        "docs/host.md",
        "head -c 32",
        Elsewhere("dotgate/tests/systemd/secrets.rs"),
    ),
    (
        "docs/dnstap.md",
        "",
        Elsewhere("dotgate/tests/it/dnstap.rs"),
    ),
    (
        "docs/query-log.md",
        "DOTGATE_QUERY_LOG",
        Elsewhere("dotgate/tests/it/query_log.rs"),
    ),
    (
        "docs/query-log.md",
        "jq ",
        Skipped("it needs a query log; dotgate/tests/it/query_log.rs reads one"),
    ),
    (
        "",
        "systemctl ",
        Skipped("it needs systemd; tests/systemd reloads, stops and kills the service"),
    ),
    (
        "",
        "journalctl ",
        Skipped("it needs systemd; tests/systemd reads the journal"),
    ),
    ("", "resolvectl ", Skipped("it needs systemd-resolved")),
    ("", "helm ", CLUSTER),
    ("", "kubectl ", CLUSTER),
    ("", "pihole-FTL ", Skipped("it needs Pi-hole")),
    ("", "ufw ", Skipped("it changes the firewall")),
    ("", "tcpdump ", Skipped("it waits for 1,000 packets")),
];

/// The row for a command, and what becomes of it.
pub(crate) fn fate(page: &str, command: &str) -> Option<(usize, &'static Fate)> {
    let mut rows = FATES.iter().enumerate();
    rows.find(|(_, (of, begin, _))| (of.is_empty() || *of == page) && command.starts_with(begin))
        .map(|(row, (_, _, fate))| (row, fate))
}
