//! The settings about names that are answered here: those of special use, and local data.

use std::marker::PhantomData;
use std::time::Duration;

use dotgate_core::Substitute;

use crate::kinds::{FilePath, FilePaths, OneOf, Records, Suffixes, Time};
use crate::setting::{Entry, Names, Reload, Setting, Unset};
use crate::words::RebindProtect;

/// `DOTGATE_LOCAL_RECORDS`.
pub static LOCAL_RECORDS: Setting<Records> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "local",
            key: "records",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Local records. Queries of any type for a name with a local record are answered from these and never \
              forwarded; `*.lab.example` covers all names below `lab.example` that have no records of their own. \
              PTR records are derived from addresses. In the file, `[[record]]` tables can replace the list.",
        example: "nas.home.arpa A 192.168.1.10; *.lab.example 300 CNAME nas.home.arpa",
    },
    kind: Records { most: 10_000 },
};

/// `DOTGATE_LOCAL_HOSTS_FILE`.
pub static LOCAL_HOSTS_FILE: Setting<FilePath> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "local",
            key: "hosts_file",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Hosts file (hosts(5)). Its names are answered like those of `DOTGATE_LOCAL_RECORDS`. It is reloaded \
              when its content changes.",
        example: "/etc/hosts",
    },
    kind: FilePath,
};

/// `DOTGATE_LOCAL_TTL`.
pub static LOCAL_TTL: Setting<Time> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "local",
            key: "ttl",
        },
        reload: Reload::Live,
        unset: Unset::Default("60s"),
        doc: "TTL of local records without one, and of negative answers for local names.",
        example: "5m",
    },
    kind: Time {
        lowest: Duration::ZERO,
        highest: Duration::from_secs(86_400),
    },
};

/// The most files of one kind.
const FILES_MAX: usize = 32;

/// `DOTGATE_LOCAL_BLOCK_FILE`.
pub static LOCAL_BLOCK_FILE: Setting<FilePaths> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "local",
            key: "block_file",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Files with blocked names, which includes all names below them: one name per line, a hosts file \
              (`0.0.0.0 NAME`), or an RPZ zone. They are reloaded when their content changes.",
        example: "/etc/dotgate/block/ads.txt,/etc/dotgate/block/urlhaus.rpz",
    },
    kind: FilePaths { most: FILES_MAX },
};

/// `DOTGATE_LOCAL_ALLOW_FILE`.
pub static LOCAL_ALLOW_FILE: Setting<FilePaths> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "local",
            key: "allow_file",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Files with names that are never blocked, which includes all names below them: one name per line. \
              They take precedence over `DOTGATE_LOCAL_BLOCK_FILE`, and are reloaded when their content changes.",
        example: "/etc/dotgate/allow.txt",
    },
    kind: FilePaths { most: FILES_MAX },
};

/// `DOTGATE_LOCAL_BLOCK_ANSWER`.
pub static LOCAL_BLOCK_ANSWER: Setting<OneOf<Substitute>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "local",
            key: "block_answer",
        },
        reload: Reload::Live,
        unset: Unset::Default("nxdomain"),
        doc: "Response for a blocked name. `null`: the addresses `0.0.0.0` and `::`, and no records of other \
              types. RPZ rules specify their own response.",
        example: "null",
    },
    kind: OneOf(PhantomData),
};

/// `DOTGATE_LOCAL_REBIND_PROTECT`.
pub static LOCAL_REBIND_PROTECT: Setting<OneOf<RebindProtect>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "local",
            key: "rebind_protect",
        },
        reload: Reload::Live,
        unset: Unset::Default("off"),
        doc: "Response that replaces an answer with a private, shared, loopback, link-local or unspecified address \
              from the upstreams of `DNS_HOST`. Such an address would give a web page on the Internet access to \
              hosts of the local network (DNS rebinding).",
        example: "nxdomain",
    },
    kind: OneOf(PhantomData),
};

/// `DOTGATE_LOCAL_REBIND_EXCEPT`.
pub static LOCAL_REBIND_EXCEPT: Setting<Suffixes> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "local",
            key: "rebind_except",
        },
        reload: Reload::Live,
        unset: Unset::Default(""),
        doc: "Names that may have private addresses despite `DOTGATE_LOCAL_REBIND_PROTECT`, together with all \
              names below them.",
        example: "plex.direct,vpn.example.com",
    },
    kind: Suffixes { most: 1_000 },
};

/// `DOTGATE_LOCAL_REBIND_ROUTES`.
pub static LOCAL_REBIND_ROUTES: Setting<Suffixes> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "local",
            key: "rebind_routes",
        },
        reload: Reload::Live,
        unset: Unset::Default(""),
        doc: "Routes, by one of their suffixes, whose answers are checked for private addresses too. By default, \
              only answers of `DNS_HOST` are.",
        example: "partner.example",
    },
    kind: Suffixes { most: 64 },
};
