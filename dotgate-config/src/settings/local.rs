//! The settings about names that are answered here: those of special use, and local data.

use std::marker::PhantomData;
use std::time::Duration;

use crate::kinds::{FilePath, Records, SomeOf, Time};
use crate::setting::{Entry, Names, Reload, Setting, Unset};
use crate::words::LocalName;

/// `DOTGATE_LOCAL_FORWARD`.
pub static LOCAL_FORWARD: Setting<SomeOf<LocalName>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "local",
            key: "forward",
        },
        reload: Reload::Live,
        unset: Unset::Default(""),
        doc: "Special-use names to forward to upstreams. By default, dotgate answers them itself.",
        example: "home.arpa,private-reverse",
    },
    kind: SomeOf(PhantomData),
};

/// `DOTGATE_LOCAL_RECORDS`.
pub static LOCAL_RECORDS: Setting<Records> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "local",
            key: "records",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Records that are answered here. A name that has one is answered from them for every type and is never \
              forwarded; `*.lab.example` covers all names below `lab.example` that have no records of their own. PTR \
              records follow from addresses.",
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
        doc: "A hosts file (hosts(5)), whose names are answered here like those of `DOTGATE_LOCAL_RECORDS`. It is read \
              again when its content changes.",
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
        doc: "The TTL of local records that are written without one, and of negative answers about local names.",
        example: "5m",
    },
    kind: Time {
        lowest: Duration::ZERO,
        highest: Duration::from_secs(86_400),
    },
};
