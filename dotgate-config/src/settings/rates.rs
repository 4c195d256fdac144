//! The settings of how often clients may ask and connect, and of the cookies by which they show who they are.

use std::num::NonZeroU32;

use crate::kinds::{FilePath, Number};
use crate::setting::{Entry, Names, Reload, Setting, Unset};

/// The highest rate: above it, a bucket's time is not exact.
const HIGHEST: NonZeroU32 = NonZeroU32::MIN.saturating_add(9_999);

/// `DOTGATE_RATE_QUERIES`.
pub static RATE_QUERIES: Setting<Number<NonZeroU32>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "rate",
            key: "queries",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Maximum rate of queries per client, over UDP and over connections separately; no limit if unset. A \
              client is a prefix (`DOTGATE_RATE_IPV4_PREFIX`, `DOTGATE_RATE_IPV6_PREFIX`), and may send twice as many \
              in a burst. Above the rate, some queries over UDP get TC (`DOTGATE_RATE_SLIP`), so that the client \
              retries over TCP, and the others no response. Queries over connections or with a valid DNS cookie get \
              REFUSED. Clients in `DOTGATE_QUERY_EXEMPT` have no limit.",
        example: "100",
    },
    kind: Number {
        lowest: NonZeroU32::MIN,
        highest: HIGHEST,
        unit: "queries per second",
    },
};

/// `DOTGATE_RATE_RESPONSES`.
pub static RATE_RESPONSES: Setting<Number<NonZeroU32>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "rate",
            key: "responses",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Maximum rate of responses over UDP per client and question, with bursts of twice as many; no limit if \
              unset. Further queries are treated as those above `DOTGATE_RATE_QUERIES`. The limit does not apply to \
              queries with a valid DNS cookie or over connections, and to clients in `DOTGATE_QUERY_EXEMPT`.",
        example: "5",
    },
    kind: Number {
        lowest: NonZeroU32::MIN,
        highest: HIGHEST,
        unit: "responses per second",
    },
};

/// `DOTGATE_RATE_SLIP`.
pub static RATE_SLIP: Setting<Number<u8>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "rate",
            key: "slip",
        },
        reload: Reload::Live,
        unset: Unset::Default("2"),
        doc: "One in this many queries over UDP above a rate gets a response without records (TC, or BADCOOKIE if it \
              had a cookie), so that real clients retry over TCP or with the cookie. `1`: all of them, `0`: none.",
        example: "1",
    },
    kind: Number {
        lowest: 0,
        highest: 10,
        unit: "queries",
    },
};

/// `DOTGATE_RATE_CONNECTIONS`.
pub static RATE_CONNECTIONS: Setting<Number<NonZeroU32>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "rate",
            key: "connections",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Maximum rate of new connections per client, over TCP, TLS, HTTPS and QUIC; further connections are \
              closed at once.",
        example: "20",
    },
    kind: Number {
        lowest: NonZeroU32::MIN,
        highest: HIGHEST,
        unit: "connections per second",
    },
};

/// `DOTGATE_RATE_HANDSHAKES`.
pub static RATE_HANDSHAKES: Setting<Number<NonZeroU32>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "rate",
            key: "handshakes",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Maximum rate of TLS handshakes per client; further connections are closed before the handshake.",
        example: "10",
    },
    kind: Number {
        lowest: NonZeroU32::MIN,
        highest: HIGHEST,
        unit: "handshakes per second",
    },
};

/// `DOTGATE_RATE_IPV4_PREFIX`.
pub static RATE_IPV4_PREFIX: Setting<Number<u8>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "rate",
            key: "ipv4_prefix",
        },
        reload: Reload::Live,
        unset: Unset::Default("32"),
        doc: "Prefix length of the IPv4 addresses that rates count as one client.",
        example: "24",
    },
    kind: Number {
        lowest: 8,
        highest: 32,
        unit: "bits",
    },
};

/// `DOTGATE_RATE_IPV6_PREFIX`.
pub static RATE_IPV6_PREFIX: Setting<Number<u8>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "rate",
            key: "ipv6_prefix",
        },
        reload: Reload::Live,
        unset: Unset::Default("56"),
        doc: "Prefix length of the IPv6 addresses that rates count as one client.",
        example: "64",
    },
    kind: Number {
        lowest: 16,
        highest: 64,
        unit: "bits",
    },
};

/// `DOTGATE_SERVER_COOKIE_SECRET_FILE`.
pub static SERVER_COOKIE_SECRET_FILE: Setting<FilePath> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "cookie_secret_file",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "File with 1 to 8 lines of 32 hexadecimal digits: secrets of DNS cookies (RFC 9018). The first secret \
              creates cookies. Cookies of all secrets, and of the first one before a reload, are accepted. Instances \
              that clients reach at the same address need the same file. If unset, each process has a random secret, \
              which it passes to the process that replaces it.",
        example: "/etc/dotgate/cookies.secret",
    },
    kind: FilePath,
};
