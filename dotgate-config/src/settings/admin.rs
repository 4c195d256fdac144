//! The settings of the admin endpoint.

use crate::kinds::{AdminAddresses, FilePath, HostNames, SocketPath, Switch};
use crate::setting::{Entry, Names, Reload, Setting, Unset};

/// `DOTGATE_ADMIN_LISTEN`.
pub static ADMIN_LISTEN: Setting<AdminAddresses> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "admin",
            key: "listen",
        },
        reload: Reload::Restart,
        unset: Unset::Default("127.0.0.1:9153"),
        doc: "Addresses of the admin endpoint (HTTP: health, status, metrics). `off` disables it.",
        example: "0.0.0.0:9153",
    },
    kind: AdminAddresses { most: 8 },
};

/// `DOTGATE_ADMIN_SOCKET`.
pub static ADMIN_SOCKET: Setting<SocketPath> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "admin",
            key: "socket",
        },
        reload: Reload::Restart,
        unset: Unset::Default("auto"),
        doc: "Unix socket of the admin endpoint. The user that runs dotgate and root need no token there. `auto` \
              is `admin.sock` in the folder of `DOTGATE_SERVER_TAKE_OVER_SOCKET`, or no socket if that is not set; \
              `off` disables it.",
        example: "/run/dotgate/admin.sock",
    },
    kind: SocketPath,
};

/// `DOTGATE_ADMIN_HOST_NAMES`.
pub static ADMIN_HOST_NAMES: Setting<HostNames> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "admin",
            key: "host_names",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Names accepted in the `Host` header of requests to the admin endpoint, in addition to `localhost` \
              and IP addresses. Requests with other names are refused, to stop DNS rebinding.",
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
        unset: Unset::Nothing,
        doc: "File with the admin token. Without it, changes and cache views at the admin endpoint are disabled.",
        example: "/etc/dotgate/admin-token",
    },
    kind: FilePath,
};

/// `DOTGATE_ADMIN_QUERIES`.
pub static ADMIN_QUERIES: Setting<Switch> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "admin",
            key: "queries",
        },
        reload: Reload::Live,
        unset: Unset::Default("false"),
        doc: "Show queries as they end (`docs/query-log.md`) on the page, at `/api/v1/queries`, and with `dotgate \
              tail`. Readers need the admin token or the admin socket. `DOTGATE_QUERY_LOG_CLIENTS` and \
              `DOTGATE_QUERY_LOG_NAMES` apply. Queries never wait for a reader.",
        example: "true",
    },
    kind: Switch,
};

/// `DOTGATE_ADMIN_ROUTES`.
pub static ADMIN_ROUTES: Setting<Switch> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "admin",
            key: "routes",
        },
        reload: Reload::Live,
        unset: Unset::Default("false"),
        doc: "Let programs, such as the hook of a VPN, set routes while dotgate runs, with `dotgate routes set` or \
              `POST /api/v1/routes` (`docs/routes.md`). Programs need the admin token or the admin socket. They \
              cannot change the routes of the settings.",
        example: "true",
    },
    kind: Switch,
};
