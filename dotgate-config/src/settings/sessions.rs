//! The settings of sessions to upstreams.

use std::time::Duration;

use crate::kinds::{FilePath, OrOff, Portal, Time};
use crate::setting::{Entry, Names, Reload, Setting, Unset};

/// `DOTGATE_DNS_STATE_FILE`.
pub static DNS_STATE_FILE: Setting<FilePath> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "dns",
            key: "state_file",
        },
        reload: Reload::Restart,
        unset: Unset::Nothing,
        doc: "File that preserves what dotgate learned about upstreams across restarts: whether a large TLS \
              ClientHello reaches them, and their idle timeouts. It is written when this changes, and read at \
              startup. It contains no names that clients looked up. If unset, nothing is written.",
        example: "/var/lib/dotgate/upstreams.json",
    },
    kind: FilePath,
};

/// `DOTGATE_DNS_SESSION_MAX_AGE`.
pub static DNS_SESSION_MAX_AGE: Setting<OrOff<Time>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "dns",
            key: "session_max_age",
        },
        reload: Reload::Live,
        unset: Unset::Default("1h"),
        doc: "Age at which a session to an upstream is replaced, minus a random part of up to an eighth. While there \
              are queries, the next session is opened before the old one is closed, so no query waits. A maximum age \
              lets a provider drain a server, renews the keys, and returns sessions from a distant server to a near \
              one. With `off`, sessions end when they are idle or closed. A reload does not change the maximum age of \
              open sessions.",
        example: "15m",
    },
    kind: OrOff(Time {
        lowest: Duration::from_secs(10),
        highest: Duration::from_secs(604_800),
    }),
};

/// `DOTGATE_DNS_PORTAL`.
pub static DNS_PORTAL: Setting<Portal> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "dns",
            key: "portal",
        },
        reload: Reload::Live,
        unset: Unset::Default("off"),
        doc: "Whether `dotgate portal` may open a portal window. For at most 30 minutes, the names of connectivity \
              checks, or all names without a route, are then sent to the resolver of the network, **not encrypted**. \
              With `on`, the command chooses the resolver; with an address, only this resolver is permitted. A window \
              closes at the first response over TLS (`docs/laptop.md`).",
        example: "on",
    },
    kind: Portal,
};
