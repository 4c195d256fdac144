//! The settings of how often clients may ask and connect.

use std::num::NonZeroU32;

use crate::kinds::Number;
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
        doc: "Queries that one client may send in a second, over UDP and as many over connections; without it, any number. A client \
              is a prefix (`DOTGATE_RATE_IPV4_PREFIX`, `DOTGATE_RATE_IPV6_PREFIX`), and may save up two seconds' worth. Above it, every \
              second query over UDP gets TC, so that the client asks over TCP, and the others nothing; over connections \
              queries get REFUSED. Clients in `DOTGATE_QUERY_EXEMPT` have no limit.",
        example: "100",
    },
    kind: Number {
        lowest: NonZeroU32::MIN,
        highest: HIGHEST,
        unit: "queries per second",
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
        doc: "The same of new connections, over TCP or TLS; further ones are closed at once.",
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
        doc: "The same of TLS handshakes; further connections are closed before theirs.",
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
        doc: "Bits of an IPv4 address that make one client, as far as rates go.",
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
        doc: "The same of an IPv6 address.",
        example: "64",
    },
    kind: Number {
        lowest: 16,
        highest: 64,
        unit: "bits",
    },
};
