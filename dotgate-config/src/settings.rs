//! The one table of settings: names, kind, range, default, sentence and example of each.
//! Everything that knows a setting is made from it: the conversion to `Config`, `dotgate check`, `--help`,
//! `docs/settings.md`, `etc/full.toml` and the tests. No default or range stands anywhere else.
//! A new setting: one `pub static` here, its line in `TABLE`, its field in `meaning`; the two files are then
//! written anew by `dotgate check --print`.
//! No key may be called `port` but those of the required four: `DOTGATE_..._PORT` is what Kubernetes injects.

mod admin;
mod cache;
mod file;
mod local;
mod query;
mod tables;
mod tls;

use std::marker::PhantomData;
use std::num::NonZeroU16;
use std::time::Duration;

pub use self::admin::{ADMIN_HOST_NAMES, ADMIN_LISTEN, ADMIN_SOCKET, ADMIN_TOKEN_FILE};
pub use self::file::{CONFIG_FILE, CONFIG_WATCH};
pub use self::local::{LOCAL_FORWARD, LOCAL_HOSTS_FILE, LOCAL_RECORDS, LOCAL_TTL};
pub use self::tables::{
    ROUTE_KEYS, ROUTE_SUFFIXES, ROUTE_UPSTREAMS, ROUTES, UPSTREAM_ADDRESS, UPSTREAM_AUTH_NAME,
    UPSTREAM_CLIENT_CERT, UPSTREAM_CLIENT_KEY, UPSTREAM_INTERFACE, UPSTREAM_KEYS, UPSTREAM_MARK,
    UPSTREAM_NAME, UPSTREAM_PINS, UPSTREAM_PORT, UPSTREAM_REPORT_PINS, UPSTREAM_SOURCE,
};
pub use self::tls::{
    SSL_CERT_DIR, SSL_CERT_FILE, TLS_AUTHENTICATION, TLS_CA_FILE, TLS_KEY_EXCHANGE,
};
use super::kinds::{
    ByteCount, DomainName, FilePath, ListenAddresses, Number, OneOf, OrAuto, Prefixes, Resolvers,
    Size, Time, Upstreams,
};
use super::setting::{AnySetting, Entry, Names, Reload, Setting, Unset};
use super::words::{LogFormat, LogLevel, PlainDefault, StartPolicy};

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
pub static TABLE: &[AnySetting] = &[
    &SERVER_HOST,
    &SERVER_PORT,
    &DNS_HOST,
    &DNS_PORT,
    &DNS_PROBE,
    &DNS_ALLOW_PLAIN_DEFAULT,
    &ROUTES,
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
    &SERVER_START,
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
    &LOCAL_RECORDS,
    &LOCAL_HOSTS_FILE,
    &LOCAL_TTL,
    &ADMIN_LISTEN,
    &ADMIN_SOCKET,
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
        unset: Unset::Required,
        doc: "Addresses to listen on, over UDP and TCP. `::` is IPv6 only; `0.0.0.0,::` listens on all IPv4 and \
              IPv6 addresses. An IPv6 link-local address includes its interface, by name or index: `fe80::1%eth0`. \
              This holds wherever an address is set. An address that the host does not have yet is served as soon \
              as it appears; the other addresses are served in the meantime.",
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
        unset: Unset::Required,
        doc: "UDP and TCP port to listen on. 0 lets the kernel choose a port.",
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
        unset: Unset::Required,
        doc: "Upstream DNS-over-TLS servers, in order of preference. With `ADDR` alone, the certificate must \
              contain that address. With a name and pins, both must match. With `ADDR` and pins only, a matching \
              key is enough. A `NAME` requires `DOTGATE_BOOTSTRAP_ADDRESSES`. The word of a provider stands for its \
              upstreams (`docs/resolvers.md`).",
        example: "9.9.9.9#dns.quad9.net,1.1.1.1#one.one.one.one",
    },
    kind: Upstreams::OF_A_GROUP,
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
        unset: Unset::Required,
        doc: "Port of upstreams that do not specify one. 853 is the standard DNS-over-TLS port.",
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
        unset: Unset::Default("."),
        doc: "Name for the NS queries that test whether an upstream responds. Any response counts, including an \
              error. Change it only for an upstream that never answers queries for the root. A plain upstream of a route is \
              asked for the route's first suffix instead.",
        example: "corp.example",
    },
    kind: DomainName,
};

/// `DOTGATE_DNS_ALLOW_PLAIN_DEFAULT`.
pub static DNS_ALLOW_PLAIN_DEFAULT: Setting<OneOf<PlainDefault>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "dns",
            key: "allow_plain_default",
        },
        reload: Reload::Live,
        unset: Unset::Default("refuse"),
        doc: "Whether the upstreams of `DNS_HOST` may be `plain:`. With `insecure`, anyone on the network path can read \
              and forge the responses to all names. Upstreams of routes may always be `plain:`.",
        example: "refuse",
    },
    kind: OneOf(PhantomData),
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
        unset: Unset::Default("info"),
        doc: "Minimum log level.",
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
        unset: Unset::Default("text"),
        doc: "Log format: `text`, one line per event, or `json`, one JSON object per line.",
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
        unset: Unset::Default("auto"),
        doc: "Number of worker threads that serve queries. `auto` is one per available CPU, at most 4.",
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
        unset: Unset::Default("4MiB"),
        doc: "Receive buffer requested from the kernel for each UDP socket. The kernel grants at most \
              `net.core.rmem_max`.",
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
        unset: Unset::Default("1232"),
        doc: "Maximum size of a UDP response. Longer responses are truncated (TC), and the client retries over \
              TCP.",
        example: "1400",
    },
    kind: Number {
        lowest: 512,
        highest: 1_400,
        unit: "bytes",
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
        unset: Unset::Default("auto"),
        doc: "Memory limit for TCP connections, for their unread responses in dotgate and in the kernel, and for \
              queries in flight. Above half of the limit, one client address may use at most one eighth of it. At \
              the limit, connections of the address that uses most are closed. `auto` is a quarter of the cgroup's \
              memory limit, at least 4MiB and at most 1GiB, or 64MiB if there is no limit.",
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
        unset: Unset::Nothing,
        doc: "Unix socket over which a new process takes over the listening sockets of the running one, which then \
              exits. No query is lost. Only processes of the same user and of root are accepted.",
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
        unset: Unset::Default("8s"),
        doc: "Maximum time to keep serving after a signal to stop, as long as clients still send queries.",
        example: "15s",
    },
    kind: Time {
        lowest: Duration::ZERO,
        highest: Duration::from_secs(300),
    },
};

/// `DOTGATE_SERVER_START`.
pub static SERVER_START: Setting<OneOf<StartPolicy>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "start",
        },
        reload: Reload::Restart,
        unset: Unset::Default("serve-anyway"),
        doc: "What to do at the start while no upstream is reachable. `serve-anyway`: serve, and report ready. `wait`: \
              serve, but `/readyz` returns 503 until a session to one upstream has been opened. `fail`: if none could \
              be opened within 8 seconds, exit with status 1 and the reasons; a replacement then leaves the running \
              process in place.",
        example: "wait",
    },
    kind: OneOf(PhantomData),
};

/// `DOTGATE_TCP_CONNECTIONS_MAX`.
pub static TCP_CONNECTIONS_MAX: Setting<OrAuto<Number<u32>>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "tcp",
            key: "connections_max",
        },
        reload: Reload::Live,
        unset: Unset::Default("auto"),
        doc: "Maximum number of TCP connections, for all clients together. `auto` is what the limit on open files \
              leaves, at most 65536.",
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
        unset: Unset::Default("auto"),
        doc: "Maximum number of TCP connections per client address. `auto` is a quarter of the limit for all \
              clients.",
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
        unset: Unset::Default("10s"),
        doc: "Idle timeout of client TCP connections.",
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
        unset: Unset::Default("1000"),
        doc: "Maximum number of queries in flight on one client TCP connection. Further queries are not read until \
              some are answered.",
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
        unset: Unset::Default(
            "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,169.254.0.0/16,\
             fe80::/10,fc00::/7",
        ),
        doc: "Clients that may send queries. All others get REFUSED. `any` is every client: an open resolver where the \
              Internet reaches it.",
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
        unset: Unset::Nothing,
        doc: "Resolvers that are queried, over plain DNS, for the addresses of upstreams given as a `NAME`. No \
              other resolver is used for this.",
        example: "192.168.1.1,9.9.9.9@53",
    },
    kind: Resolvers { most: 8, port: 53 },
};
