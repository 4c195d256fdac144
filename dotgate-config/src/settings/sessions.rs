//! The settings of sessions to upstreams.

use std::time::Duration;

use crate::kinds::{FilePath, OrOff, Time};
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
        doc: "File that preserves across restarts what sessions showed about upstreams: whether a large TLS \
              ClientHello reaches them. It is written when that changes, and read at startup. It contains no names that \
              clients looked up. If unset, nothing is written.",
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
        doc: "Age at which a session to an upstream is replaced, less up to an eighth at random. While there are queries, the \
              next session is open before the old one takes no more of them, so none waits for it. A bounded age lets a \
              provider drain a server, renews the keys, and moves back from a far server to a near one. `off` keeps sessions \
              until they are idle or closed. Sessions that are already open keep the age that they were opened with.",
        example: "15m",
    },
    kind: OrOff(Time {
        lowest: Duration::from_secs(10),
        highest: Duration::from_secs(604_800),
    }),
};
