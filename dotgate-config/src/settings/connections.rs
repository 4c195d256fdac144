//! The settings of how long clients may use one connection.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::kinds::{Number, OrOff, Time};
use crate::setting::{Entry, Names, Reload, Setting, Unset};

/// `DOTGATE_TCP_QUERIES_MAX`.
pub static TCP_QUERIES_MAX: Setting<Number<NonZeroU32>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "tcp",
            key: "queries_max",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Maximum number of queries on a client connection over TCP, TLS, HTTPS or QUIC; no limit if unset. \
              Behind a balancer, this distributes clients with long connections to all instances. The last response \
              has an idle timeout of zero (RFC 7828), or HTTP sends GOAWAY, and the connection is closed as soon as \
              no query is in flight. After 2 seconds, dotgate reads no more queries from it.",
        example: "10000",
    },
    kind: Number {
        lowest: NonZeroU32::MIN,
        highest: NonZeroU32::MAX,
        unit: "queries",
    },
};

/// `DOTGATE_TCP_MAX_AGE`.
pub static TCP_MAX_AGE: Setting<OrOff<Time>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "tcp",
            key: "max_age",
        },
        reload: Reload::Live,
        unset: Unset::Default("off"),
        doc: "Age at which a client connection is closed in the same way, minus a random part of up to an eighth, so \
              that connections that were opened together do not end together.",
        example: "1h",
    },
    kind: OrOff(Time {
        lowest: Duration::from_secs(10),
        highest: Duration::from_secs(604_800),
    }),
};
