//! The settings of the admin endpoint.

use crate::config::kinds::{AdminAddresses, FilePath, HostNames};
use crate::config::setting::{Absent, Entry, Names, Reload, Setting};

/// `DOTGATE_ADMIN_LISTEN`.
pub static ADMIN_LISTEN: Setting<AdminAddresses> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "admin",
            key: "listen",
        },
        reload: Reload::Restart,
        absent: Absent::Default("127.0.0.1:9153"),
        doc: "Where the admin endpoint listens for HTTP: health, status, metrics; `off` for nowhere.",
        example: "0.0.0.0:9153",
    },
    kind: AdminAddresses { most: 8 },
};

/// `DOTGATE_ADMIN_HOST_NAMES`.
pub static ADMIN_HOST_NAMES: Setting<HostNames> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "admin",
            key: "host_names",
        },
        reload: Reload::Live,
        absent: Absent::Nothing,
        doc: "The names by which the admin endpoint may be asked, besides `localhost` and any IP address; \
              all others are refused, as a web page could bring its own name here.",
        example: "dotgate.example.net",
    },
    kind: HostNames { most: 16 },
};

/// `DOTGATE_ADMIN_TOKEN_FILE`.
pub static ADMIN_TOKEN_FILE: Setting<FilePath> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "admin",
            key: "token_file",
        },
        reload: Reload::Live,
        absent: Absent::Nothing,
        doc: "A file with the token that allows to change things and to read the cache at the admin endpoint; \
              without it nobody may.",
        example: "/etc/dotgate/admin-token",
    },
    kind: FilePath,
};
