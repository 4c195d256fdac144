//! The settings of the cache.
//!
//! Rows of the one table of settings, in a file of their own. TTLs are whole seconds; a fraction is dropped.

use std::time::Duration;

use crate::kinds::{ByteCount, FilePath, Size, Suffixes, Switch, Time};
use crate::setting::{Entry, Names, Reload, Setting, Unset};

const DAY: Duration = Duration::from_secs(86_400);

/// `DOTGATE_CACHE_SIZE`.
pub static CACHE_SIZE: Setting<Size> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "cache",
            key: "size",
        },
        reload: Reload::Restart,
        unset: Unset::Default("64MiB"),
        doc: "Cache size, including overhead. 0 disables the cache.",
        example: "256MiB",
    },
    kind: Size {
        lowest: ByteCount(0),
        highest: ByteCount::mebibytes(4_095),
    },
};

/// `DOTGATE_CACHE_TTL_MIN`.
pub static CACHE_TTL_MIN: Setting<Time> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "cache",
            key: "ttl_min",
        },
        reload: Reload::Live,
        unset: Unset::Default("0s"),
        doc: "Minimum TTL of cached responses. Clients see the raised TTL. A response with TTL 0 is never cached.",
        example: "10s",
    },
    kind: Time {
        lowest: Duration::ZERO,
        highest: Duration::from_secs(3_600),
    },
};

/// `DOTGATE_CACHE_TTL_MAX`.
pub static CACHE_TTL_MAX: Setting<Time> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "cache",
            key: "ttl_max",
        },
        reload: Reload::Live,
        unset: Unset::Default("1d"),
        doc: "Maximum TTL of cached responses.",
        example: "1h",
    },
    kind: Time {
        lowest: Duration::from_secs(1),
        highest: Duration::from_secs(604_800),
    },
};

/// `DOTGATE_CACHE_NEGATIVE_TTL_MAX`.
pub static CACHE_NEGATIVE_TTL_MAX: Setting<Time> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "cache",
            key: "negative_ttl_max",
        },
        reload: Reload::Live,
        unset: Unset::Default("1h"),
        doc: "Maximum TTL of negative responses (RFC 2308).",
        example: "300s",
    },
    kind: Time {
        lowest: Duration::from_secs(1),
        highest: DAY,
    },
};

/// `DOTGATE_CACHE_FAILURE_TTL_MAX`.
pub static CACHE_FAILURE_TTL_MAX: Setting<Time> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "cache",
            key: "failure_ttl_max",
        },
        reload: Reload::Live,
        unset: Unset::Default("5s"),
        doc: "Maximum time a resolution failure is cached (RFC 9520). It starts at 1s and doubles with each \
              consecutive failure. Cached failures are dropped when an upstream recovers.",
        example: "30s",
    },
    kind: Time {
        lowest: Duration::from_secs(1),
        highest: Duration::from_secs(300),
    },
};

/// `DOTGATE_CACHE_STALE_MAX`.
pub static CACHE_STALE_MAX: Setting<Time> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "cache",
            key: "stale_max",
        },
        reload: Reload::Live,
        unset: Unset::Default("1d"),
        doc: "How long after expiry a response may still be served if no upstream has a newer one: the maximum \
              stale timer of RFC 8767. 0s disables stale responses.",
        example: "259200s",
    },
    kind: Time {
        lowest: Duration::ZERO,
        highest: Duration::from_secs(604_800),
    },
};

/// `DOTGATE_CACHE_STALE_AFTER`.
pub static CACHE_STALE_AFTER: Setting<Time> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "cache",
            key: "stale_after",
        },
        reload: Reload::Live,
        unset: Unset::Default("1800ms"),
        doc: "How long a client waits for an upstream before it gets a stale response: the client response timer \
              of RFC 8767. While all upstreams are down, stale responses are served immediately.",
        example: "500ms",
    },
    kind: Time {
        lowest: Duration::ZERO,
        highest: Duration::from_secs(30),
    },
};

/// `DOTGATE_CACHE_PREFETCH`.
pub static CACHE_PREFETCH: Setting<Switch> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "cache",
            key: "prefetch",
        },
        reload: Reload::Live,
        unset: Unset::Default("true"),
        doc: "Refresh popular responses shortly before they expire. Refreshes add at most one query for every ten \
              client queries.",
        example: "false",
    },
    kind: Switch,
};

/// `DOTGATE_CACHE_NXDOMAIN_ALL_TYPES`.
pub static CACHE_NXDOMAIN_ALL_TYPES: Setting<Switch> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "cache",
            key: "nxdomain_all_types",
        },
        reload: Reload::Live,
        unset: Unset::Default("false"),
        doc: "Let a cached NXDOMAIN answer queries for every type of its name (RFC 2308 section 5). If false, it \
              answers only queries for the type it was received for: some servers return NXDOMAIN for AAAA, HTTPS \
              or DS of names that have addresses.",
        example: "true",
    },
    kind: Switch,
};

/// `DOTGATE_CACHE_ROTATE_ADDRESSES`.
pub static CACHE_ROTATE_ADDRESSES: Setting<Switch> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "cache",
            key: "rotate_addresses",
        },
        reload: Reload::Live,
        unset: Unset::Default("true"),
        doc: "Rotate the order of the addresses in cached responses, so that clients that use the first address \
              are spread over all of them.",
        example: "false",
    },
    kind: Switch,
};

/// `DOTGATE_CACHE_EXCEPT`.
pub static CACHE_EXCEPT: Setting<Suffixes> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "cache",
            key: "except",
        },
        reload: Reload::Live,
        unset: Unset::Default(""),
        doc: "Domains that are not cached, including all names below them.",
        example: "internal.example,dyn.example",
    },
    kind: Suffixes { most: 64 },
};

/// `DOTGATE_CACHE_SNAPSHOT_FILE`.
pub static CACHE_SNAPSHOT_FILE: Setting<FilePath> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "cache",
            key: "snapshot_file",
        },
        reload: Reload::Restart,
        unset: Unset::Nothing,
        doc: "File that preserves the cache across restarts. It is written at shutdown and when another process \
              takes over, and read at startup. It contains the names that clients looked up. If unset, nothing is \
              written.",
        example: "/var/lib/dotgate/cache",
    },
    kind: FilePath,
};
