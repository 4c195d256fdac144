//! The settings of the cache.
//!
//! Rows of the one table of settings, in a file of their own. TTLs are whole seconds; a fraction is dropped.

use std::time::Duration;

use crate::config::kinds::{ByteCount, FilePath, Size, Suffixes, Switch, Time};
use crate::config::setting::{Absent, Entry, Names, Reload, Setting};

const DAY: Duration = Duration::from_secs(86_400);

/// `DOTGATE_CACHE_SIZE`.
pub static CACHE_SIZE: Setting<Size> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "cache",
            key: "size",
        },
        reload: Reload::Restart,
        absent: Absent::Default("64MiB"),
        doc: "The memory that kept answers may take, all they cost included; 0 keeps none.",
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
        absent: Absent::Default("0s"),
        doc: "The shortest time an answer is kept; clients are told it too. One with TTL 0 is never kept.",
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
        absent: Absent::Default("1d"),
        doc: "The longest time an answer is kept.",
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
        absent: Absent::Default("1h"),
        doc: "The longest time it is kept that a name or a type does not exist (RFC 2308).",
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
        absent: Absent::Default("5s"),
        doc: "The longest time a failure is remembered (RFC 9520): 1s at first, doubled each time in a row. \
              The recovery of an upstream ends it.",
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
        absent: Absent::Default("1d"),
        doc: "How long after its end an answer may still be given when no upstream has a newer one (RFC 8767); \
              0s for never.",
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
        absent: Absent::Default("1800ms"),
        doc: "How long a client waits for the upstreams before it is given a stale answer; while all upstreams \
              are known to be down it gets one at once.",
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
        absent: Absent::Default("true"),
        doc: "Whether popular answers are asked for again shortly before they end, with at most a tenth of \
              clients' queries.",
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
        absent: Absent::Default("false"),
        doc: "Whether a cached NXDOMAIN answers queries for all types of its name (RFC 2308 section 5); if not, only \
              those for the type it was asked for. Some servers deny AAAA, HTTPS or DS of names that have addresses.",
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
        absent: Absent::Default("true"),
        doc: "Whether the addresses of a cached answer are given in another order each time, so that clients that \
              take the first one spread over all.",
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
        absent: Absent::Default(""),
        doc: "Names at and below which nothing is kept.",
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
        absent: Absent::Nothing,
        doc: "The file that carries the cache over a restart: written at a stop and when another process takes \
              over, read at the start. The names that clients asked for stand in it; unset, nothing is written.",
        example: "/var/lib/dotgate/cache",
    },
    kind: FilePath,
};
