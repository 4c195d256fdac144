//! The one table of settings: names, kind, range, default, sentence and example of each.
//! Everything that knows a setting is made from it: the conversion to `Config`, `dotgate check`, `--help`,
//! `docs/settings.md`, `etc/full.toml` and the tests. No default or range stands anywhere else.
//! A new setting: one `pub static` here, its line in `TABLE`, its field in `meaning`; the two files are then
//! written anew by `dotgate check --print`.
//! No key may be called `port` but those of the required four: `DOTGATE_..._PORT` is what Kubernetes injects.

mod admin;
mod cache;
mod file;
mod query;
mod tls;

use std::marker::PhantomData;
use std::num::NonZeroU16;
use std::time::Duration;

pub use self::admin::{ADMIN_HOST_NAMES, ADMIN_LISTEN, ADMIN_TOKEN_FILE};
pub use self::file::{CONFIG_FILE, CONFIG_WATCH};
pub use self::tls::{
    SSL_CERT_DIR, SSL_CERT_FILE, TLS_AUTHENTICATION, TLS_CA_FILE, TLS_KEY_EXCHANGE,
};
use super::kinds::{
    ByteCount, DomainName, FilePath, ListenAddresses, Number, OneOf, OrAuto, Prefixes, Resolvers,
    Size, SomeOf, Time, Upstreams,
};
use super::setting::{Absent, Entry, Names, Reload, Setting, Subject, UpstreamKey};
use super::words::{LocalName, LogFormat, LogLevel};

pub use cache::{
    CACHE_EXCEPT, CACHE_FAILURE_TTL_MAX, CACHE_NEGATIVE_TTL_MAX, CACHE_NXDOMAIN_ALL_TYPES,
    CACHE_PREFETCH, CACHE_ROTATE_ADDRESSES, CACHE_SIZE, CACHE_SNAPSHOT_FILE, CACHE_STALE_AFTER,
    CACHE_STALE_MAX, CACHE_TTL_MAX, CACHE_TTL_MIN,
};

pub use query::{
    QUERY_DEADLINE, QUERY_EXEMPT, QUERY_FORWARD_CLASSES, QUERY_IN_FLIGHT_MAX,
    QUERY_IN_FLIGHT_PER_CLIENT_MAX,
};

/// All settings, the required ones first, those of one section together.
pub static TABLE: &[Subject] = &[
    &SERVER_HOST,
    &SERVER_PORT,
    &DNS_HOST,
    &DNS_PORT,
    &DNS_PROBE,
    &CONFIG_FILE,
    &CONFIG_WATCH,
    &LOG_LEVEL,
    &LOG_FORMAT,
    &SERVER_WORKERS,
    &SERVER_UDP_RECEIVE_BUFFER,
    &SERVER_UDP_RESPONSE_MAX,
    &SERVER_CLIENT_MEMORY,
    &SERVER_TAKE_OVER_SOCKET,
    &SERVER_DRAIN_MAX,
    &QUERY_DEADLINE,
    &QUERY_IN_FLIGHT_MAX,
    &QUERY_IN_FLIGHT_PER_CLIENT_MAX,
    &QUERY_EXEMPT,
    &QUERY_FORWARD_CLASSES,
    &TCP_CONNECTIONS_MAX,
    &TCP_CONNECTIONS_PER_CLIENT_MAX,
    &TCP_IDLE,
    &TCP_IN_FLIGHT_MAX,
    &ACCESS_ALLOW,
    &TLS_CA_FILE,
    &SSL_CERT_FILE,
    &SSL_CERT_DIR,
    &TLS_AUTHENTICATION,
    &TLS_KEY_EXCHANGE,
    &BOOTSTRAP_ADDRESSES,
    &LOCAL_FORWARD,
    &ADMIN_LISTEN,
    &ADMIN_HOST_NAMES,
    &ADMIN_TOKEN_FILE,
    &CACHE_SIZE,
    &CACHE_TTL_MIN,
    &CACHE_TTL_MAX,
    &CACHE_NEGATIVE_TTL_MAX,
    &CACHE_FAILURE_TTL_MAX,
    &CACHE_STALE_MAX,
    &CACHE_STALE_AFTER,
    &CACHE_PREFETCH,
    &CACHE_NXDOMAIN_ALL_TYPES,
    &CACHE_ROTATE_ADDRESSES,
    &CACHE_EXCEPT,
    &CACHE_SNAPSHOT_FILE,
];

/// `HOST`.
pub static SERVER_HOST: Setting<ListenAddresses> = Setting {
    entry: Entry {
        names: Names::Plain {
            variable: "HOST",
            section: "server",
            key: "host",
        },
        reload: Reload::Restart,
        absent: Absent::Required,
        doc: "The addresses to listen on, for UDP and TCP. `::` is IPv6 alone; `0.0.0.0,::` listens on all IPv4 and \
              IPv6 addresses. An IPv6 link-local address is written with its interface, by name or number: \
              `fe80::1%eth0`, here and wherever addresses are set. An address that this host does not have yet is \
              served as soon as it does, and the others meanwhile.",
        example: "127.0.0.1,::1",
    },
    kind: ListenAddresses { most: 64 },
};

/// `PORT`.
pub static SERVER_PORT: Setting<Number<u16>> = Setting {
    entry: Entry {
        names: Names::Plain {
            variable: "PORT",
            section: "server",
            key: "port",
        },
        reload: Reload::Restart,
        absent: Absent::Required,
        doc: "The UDP and TCP port to listen on; 0 lets the kernel choose one.",
        example: "5300",
    },
    kind: Number {
        lowest: 0,
        highest: 65_535,
        unit: "",
    },
};

/// `DNS_HOST`.
pub static DNS_HOST: Setting<Upstreams> = Setting {
    entry: Entry {
        names: Names::Plain {
            variable: "DNS_HOST",
            section: "dns",
            key: "host",
        },
        reload: Reload::Live,
        absent: Absent::Required,
        doc: "The upstreams, DNS over TLS servers. `ADDR` alone: the certificate must carry the address. \
              Name and pins: both must pass. `ADDR` with pins alone: a pinned key is enough. \
              A `NAME` needs `DOTGATE_BOOTSTRAP_ADDRESSES`.",
        example: "9.9.9.9#dns.quad9.net,1.1.1.1#one.one.one.one",
    },
    kind: Upstreams { most: 16 },
};

/// `DNS_PORT`.
pub static DNS_PORT: Setting<Number<u16>> = Setting {
    entry: Entry {
        names: Names::Plain {
            variable: "DNS_PORT",
            section: "dns",
            key: "port",
        },
        reload: Reload::Live,
        absent: Absent::Required,
        doc: "The port of the upstreams that are written without one; 853 is DNS over TLS's own.",
        example: "853",
    },
    kind: Number {
        lowest: 1,
        highest: 65_535,
        unit: "",
    },
};

/// `DOTGATE_DNS_PROBE`.
pub static DNS_PROBE: Setting<DomainName> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "dns",
            key: "probe",
        },
        reload: Reload::Live,
        absent: Absent::Default("."),
        doc: "The name whose NS records upstreams are asked for to see whether they answer. Any response will do, \
              also an error; change it only for an upstream that never answers questions about the root.",
        example: "corp.example",
    },
    kind: DomainName,
};

/// `LOG_LEVEL`.
pub static LOG_LEVEL: Setting<OneOf<LogLevel>> = Setting {
    entry: Entry {
        names: Names::Plain {
            variable: "LOG_LEVEL",
            section: "log",
            key: "level",
        },
        reload: Reload::Live,
        absent: Absent::Default("info"),
        doc: "The least important events that are still logged.",
        example: "info",
    },
    kind: OneOf(PhantomData),
};

/// `LOG_FORMAT`.
pub static LOG_FORMAT: Setting<OneOf<LogFormat>> = Setting {
    entry: Entry {
        names: Names::Plain {
            variable: "LOG_FORMAT",
            section: "log",
            key: "format",
        },
        reload: Reload::Live,
        absent: Absent::Default("text"),
        doc: "How events are logged: as lines for people or as a JSON object each.",
        example: "json",
    },
    kind: OneOf(PhantomData),
};

/// `DOTGATE_SERVER_WORKERS`.
pub static SERVER_WORKERS: Setting<OrAuto<Number<NonZeroU16>>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "workers",
        },
        reload: Reload::Restart,
        absent: Absent::Default("auto"),
        doc: "The threads that serve queries; `auto` is one for each available CPU, at most 4.",
        example: "2",
    },
    kind: OrAuto(Number {
        lowest: NonZeroU16::MIN,
        highest: NonZeroU16::MIN.saturating_add(63),
        unit: "",
    }),
};

/// `DOTGATE_SERVER_UDP_RECEIVE_BUFFER`.
pub static SERVER_UDP_RECEIVE_BUFFER: Setting<Size> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "udp_receive_buffer",
        },
        reload: Reload::Restart,
        absent: Absent::Default("4MiB"),
        doc: "The receive buffer asked of the kernel for each UDP socket; it gives at most `net.core.rmem_max`.",
        example: "8MiB",
    },
    kind: Size {
        lowest: ByteCount::kibibytes(64),
        highest: ByteCount::mebibytes(256),
    },
};

/// `DOTGATE_SERVER_UDP_RESPONSE_MAX`.
pub static SERVER_UDP_RESPONSE_MAX: Setting<Number<u16>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "udp_response_max",
        },
        reload: Reload::Live,
        absent: Absent::Default("1232"),
        doc: "The longest response sent over UDP; a longer one is cut and the client asks again over TCP.",
        example: "1400",
    },
    kind: Number {
        lowest: 512,
        highest: 1_400,
        unit: "octets",
    },
};

/// `DOTGATE_SERVER_CLIENT_MEMORY`.
pub static SERVER_CLIENT_MEMORY: Setting<OrAuto<Size>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "client_memory",
        },
        reload: Reload::Live,
        absent: Absent::Default("auto"),
        doc: "The memory that TCP connections, their unread responses in dotgate and in the kernel, and queries in \
              flight may take together. From half of it on no client address gets more than an eighth; at the limit \
              the address that takes most loses connections. `auto` is a quarter of the cgroup's memory limit, at \
              least 4MiB and at most 1GiB, and 64MiB where there is no limit.",
        example: "128MiB",
    },
    kind: OrAuto(Size {
        lowest: ByteCount::mebibytes(4),
        highest: ByteCount::mebibytes(2_048),
    }),
};

/// `DOTGATE_SERVER_TAKE_OVER_SOCKET`.
pub static SERVER_TAKE_OVER_SOCKET: Setting<FilePath> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "take_over_socket",
        },
        reload: Reload::Restart,
        absent: Absent::Nothing,
        doc: "The Unix socket by which a new process takes the listening sockets over from the running one, \
              which then ends; no query is lost. Only processes of the same user and root are served there.",
        example: "/run/dotgate/take-over.sock",
    },
    kind: FilePath,
};

/// `DOTGATE_SERVER_DRAIN_MAX`.
pub static SERVER_DRAIN_MAX: Setting<Time> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "drain_max",
        },
        reload: Reload::Live,
        absent: Absent::Default("8s"),
        doc: "How long clients are still served after a signal to stop, while they still ask.",
        example: "15s",
    },
    kind: Time {
        lowest: Duration::ZERO,
        highest: Duration::from_secs(300),
    },
};

/// `DOTGATE_TCP_CONNECTIONS_MAX`.
pub static TCP_CONNECTIONS_MAX: Setting<OrAuto<Number<u32>>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "tcp",
            key: "connections_max",
        },
        reload: Reload::Live,
        absent: Absent::Default("auto"),
        doc: "The TCP connections of all clients together; \
              `auto` is what the limit on open files leaves, at most 65536.",
        example: "1000",
    },
    kind: OrAuto(Number {
        lowest: 1,
        highest: 1_000_000,
        unit: "connections",
    }),
};

/// `DOTGATE_TCP_CONNECTIONS_PER_CLIENT_MAX`.
pub static TCP_CONNECTIONS_PER_CLIENT_MAX: Setting<OrAuto<Number<u32>>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "tcp",
            key: "connections_per_client_max",
        },
        reload: Reload::Live,
        absent: Absent::Default("auto"),
        doc: "The TCP connections of one client address; `auto` is a quarter of those of all clients.",
        example: "100",
    },
    kind: OrAuto(Number {
        lowest: 1,
        highest: 1_000_000,
        unit: "connections",
    }),
};

/// `DOTGATE_TCP_IDLE`.
pub static TCP_IDLE: Setting<Time> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "tcp",
            key: "idle",
        },
        reload: Reload::Live,
        absent: Absent::Default("10s"),
        doc: "How long a client's TCP connection stays open with nothing asked on it.",
        example: "30s",
    },
    kind: Time {
        lowest: Duration::from_secs(1),
        highest: Duration::from_secs(300),
    },
};

/// `DOTGATE_TCP_IN_FLIGHT_MAX`.
pub static TCP_IN_FLIGHT_MAX: Setting<Number<u32>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "tcp",
            key: "in_flight_max",
        },
        reload: Reload::Live,
        absent: Absent::Default("1000"),
        doc: "The queries in flight on one TCP connection of a client; further ones are not read until some are answered.",
        example: "100",
    },
    kind: Number {
        lowest: 1,
        highest: 10_000,
        unit: "queries",
    },
};

/// `DOTGATE_ACCESS_ALLOW`.
pub static ACCESS_ALLOW: Setting<Prefixes> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "access",
            key: "allow",
        },
        reload: Reload::Live,
        absent: Absent::Default(
            "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,169.254.0.0/16,\
             fe80::/10,fc00::/7",
        ),
        doc: "The clients that may ask; all others get REFUSED.",
        example: "127.0.0.1,192.168.1.0/24",
    },
    kind: Prefixes { most: 256 },
};

/// `DOTGATE_BOOTSTRAP_ADDRESSES`.
pub static BOOTSTRAP_ADDRESSES: Setting<Resolvers> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "bootstrap",
            key: "addresses",
        },
        reload: Reload::Live,
        absent: Absent::Nothing,
        doc: "The resolvers asked, in the clear, for the addresses of upstreams that are written as a `NAME`; \
              no others are ever asked.",
        example: "192.168.1.1,9.9.9.9@53",
    },
    kind: Resolvers { most: 8, port: 53 },
};

/// `DOTGATE_LOCAL_FORWARD`.
pub static LOCAL_FORWARD: Setting<SomeOf<LocalName>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "local",
            key: "forward",
        },
        reload: Reload::Live,
        absent: Absent::Default(""),
        doc: "The names that are forwarded although they are answered here by default.",
        example: "home.arpa,private-reverse",
    },
    kind: SomeOf(PhantomData),
};

/// `address` of an upstream.
pub static UPSTREAM_ADDRESS: UpstreamKey = UpstreamKey {
    key: "address",
    expected: "an IP address",
    doc: "Where the upstream is; this or `name`.",
    example: "\"9.9.9.9\"",
};

/// `name` of an upstream.
pub static UPSTREAM_NAME: UpstreamKey = UpstreamKey {
    key: "name",
    expected: "a DNS name",
    doc: "Where the upstream is and whom its certificate must be for; this or `address`.",
    example: "\"dns.quad9.net\"",
};

/// `port` of an upstream.
pub static UPSTREAM_PORT: UpstreamKey = UpstreamKey {
    key: "port",
    expected: "a whole number from 1 to 65535",
    doc: "Its port, if it is not that of `[dns] port`.",
    example: "853",
};

/// `auth_name` of an upstream.
pub static UPSTREAM_AUTH_NAME: UpstreamKey = UpstreamKey {
    key: "auth_name",
    expected: "a DNS name",
    doc: "Whom the certificate of an upstream with an `address` must be for.",
    example: "\"dns.quad9.net\"",
};

/// `pins` of an upstream.
pub static UPSTREAM_PINS: UpstreamKey = UpstreamKey {
    key: "pins",
    expected: "at most 8 of sha256/BASE64, the digest of a SubjectPublicKeyInfo",
    doc: "The keys that the upstream may have.",
    example: "[\"sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]",
};

/// All keys of an `[[upstream]]` table.
pub static UPSTREAM_KEYS: [&UpstreamKey; 5] = [
    &UPSTREAM_ADDRESS,
    &UPSTREAM_NAME,
    &UPSTREAM_PORT,
    &UPSTREAM_AUTH_NAME,
    &UPSTREAM_PINS,
];
