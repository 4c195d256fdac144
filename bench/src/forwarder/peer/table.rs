//! The table of the other forwarders. To add one: a row here, and its configuration in `bench/peers/`.

use super::{Peer, WORKERS};

const NONE: Peer = Peer {
    name: "",
    remark: "",
    install: "",
    has_cache: true,
    serves_tls: true,
    program: "",
    arguments: &[],
    version: &["--version"],
    version_begin: "",
    configuration: "",
    environment: &[],
    ending: "conf",
    processes: 1,
};

/// The file of certificate authorities, in place of the system's: OpenSSL's variable, which Go and Rust libraries read as well.
const AUTHORITY: &[(&str, &str)] = &[("SSL_CERT_FILE", "@CA_FILE@")];

/// All of them, in the order of the tables.
pub static PEERS: [Peer; 13] = [
    Peer {
        name: "dnsdist",
        install: "Debian: dnsdist",
        program: "dnsdist",
        arguments: &["--supervised", "--disable-syslog", "-C", "@CONFIG@"],
        configuration: include_str!("../../../peers/dnsdist.lua"),
        ..NONE
    },
    Peer {
        name: "dnsdist-master",
        remark: "the development version",
        install: "GitHub: PowerDNS/pdns, its master branch; it goes under this name into the folder of --tools",
        program: "dnsdist-master",
        arguments: &["--supervised", "--disable-syslog", "-C", "@CONFIG@"],
        configuration: include_str!("../../../peers/dnsdist.lua"),
        ..NONE
    },
    Peer {
        name: "unbound",
        install: "Debian: unbound",
        program: "unbound",
        arguments: &["-d", "-c", "@CONFIG@"],
        version: &["-V"],
        configuration: include_str!("../../../peers/unbound.conf"),
        ..NONE
    },
    Peer {
        name: "knot-resolver",
        remark: "two processes",
        install: "Debian: knot-resolver6",
        program: "kresd",
        arguments: &["-n", "-c", "@CONFIG@", "@FOLDER@"],
        configuration: include_str!("../../../peers/kresd.lua"),
        processes: WORKERS,
        ..NONE
    },
    Peer {
        name: "bind",
        install: "Debian: bind9",
        program: "named",
        arguments: &["-f", "-n", "@WORKERS@", "-c", "@CONFIG@"],
        version: &["-v"],
        configuration: include_str!("../../../peers/named.conf"),
        ..NONE
    },
    Peer {
        name: "coredns",
        install: "Go: github.com/coredns/coredns",
        program: "coredns",
        arguments: &["-conf", "@CONFIG@"],
        version: &["-version"],
        configuration: include_str!("../../../peers/Corefile"),
        ..NONE
    },
    Peer {
        name: "dnsproxy",
        install: "Go: github.com/AdguardTeam/dnsproxy",
        program: "dnsproxy",
        arguments: &["--config-path=@CONFIG@"],
        configuration: include_str!("../../../peers/dnsproxy.yml"),
        environment: AUTHORITY,
        ending: "yml",
        ..NONE
    },
    Peer {
        name: "hickory-dns",
        install: "Cargo: hickory-dns",
        program: "hickory-dns",
        arguments: &["--quiet", "--workers", "@WORKERS@", "--config", "@CONFIG@"],
        configuration: include_str!("../../../peers/hickory.toml"),
        environment: AUTHORITY,
        ending: "toml",
        ..NONE
    },
    Peer {
        name: "blocky",
        remark: "no pipelining, and a connection to the upstream for each query in flight, of which 8 stay open; closes a \
                 connection of a client after 128 queries",
        install: "GitHub: the releases of 0xERR0R/blocky; it goes into the folder of --tools",
        program: "blocky",
        arguments: &["serve", "-c", "@CONFIG@"],
        version: &["version"],
        configuration: include_str!("../../../peers/blocky.yml"),
        environment: AUTHORITY,
        ending: "yml",
        ..NONE
    },
    Peer {
        name: "routedns",
        remark: "closes a connection of a client after 128 queries",
        install: "GitHub: the releases of folbricht/routedns; it goes into the folder of --tools",
        program: "routedns",
        // Errors alone: with warnings, each query that fails is a line.
        arguments: &["--log-level", "2", "@CONFIG@"],
        version: &["--version"],
        version_begin: "Version:",
        configuration: include_str!("../../../peers/routedns.toml"),
        ending: "toml",
        ..NONE
    },
    Peer {
        name: "sdns",
        remark: "a TLS handshake for each query that is forwarded",
        install: "GitHub: the releases of semihalev/sdns; it goes into the folder of --tools",
        program: "sdns",
        arguments: &["-c", "@CONFIG@"],
        version: &["version"],
        configuration: include_str!("../../../peers/sdns.toml"),
        environment: AUTHORITY,
        ending: "toml",
        ..NONE
    },
    Peer {
        name: "smartdns",
        install: "Debian: smartdns",
        program: "smartdns",
        arguments: &["-f", "-x", "-p", "-", "-c", "@CONFIG@"],
        version: &["-v"],
        configuration: include_str!("../../../peers/smartdns.conf"),
        ..NONE
    },
    Peer {
        name: "stubby",
        remark: "one thread",
        install: "Debian: stubby",
        has_cache: false,
        serves_tls: false,
        program: "stubby",
        arguments: &["-C", "@CONFIG@"],
        version: &["-V"],
        configuration: include_str!("../../../peers/stubby.yml"),
        ending: "yml",
        ..NONE
    },
];

/// A second upstream, so that the first is not the only one: Unbound with the same data, over TLS.
pub static OTHER_UPSTREAM: Peer = Peer {
    name: "other-upstream",
    install: "Debian: unbound",
    program: "unbound",
    arguments: &["-d", "-c", "@CONFIG@"],
    version: &["-V"],
    configuration: include_str!("../../../peers/upstream.conf"),
    ..NONE
};
