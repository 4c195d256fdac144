//! The settings of sessions to upstreams.

use crate::kinds::FilePath;
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
