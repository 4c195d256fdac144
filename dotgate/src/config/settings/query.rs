//! Settings of queries: how long they may take, how many there may be, which are forwarded.

use std::marker::PhantomData;
use std::time::Duration;

use super::super::kinds::{Number, SomeOf, Time};
use super::super::setting::{Absent, Entry, Names, Reload, Setting};
use super::super::words::QueryClass;

/// `DOTGATE_QUERY_DEADLINE`.
pub static QUERY_DEADLINE: Setting<Time> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "query",
            key: "deadline",
        },
        reload: Reload::Live,
        absent: Absent::Default("4s"),
        doc: "How long after a query arrived its client has a response, whatever happens; \
              1800ms suits clients that give up after 2s, as CoreDNS does.",
        example: "1800ms",
    },
    kind: Time {
        lowest: Duration::from_millis(500),
        highest: Duration::from_secs(30),
    },
};

/// `DOTGATE_QUERY_IN_FLIGHT_MAX`.
pub static QUERY_IN_FLIGHT_MAX: Setting<Number<u32>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "query",
            key: "in_flight_max",
        },
        reload: Reload::Live,
        absent: Absent::Default("20000"),
        doc: "The queries a worker has in flight at once; further ones get SERVFAIL at once. \
              Also at most what half of `DOTGATE_SERVER_CLIENT_MEMORY` has room for, 1600 bytes each.",
        example: "20000",
    },
    kind: Number {
        lowest: 100,
        highest: 60_000,
        unit: "queries",
    },
};

/// `DOTGATE_QUERY_IN_FLIGHT_PER_CLIENT_MAX`.
pub static QUERY_IN_FLIGHT_PER_CLIENT_MAX: Setting<Number<u32>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "query",
            key: "in_flight_per_client_max",
        },
        reload: Reload::Live,
        absent: Absent::Default("5000"),
        doc: "The queries of one client address that a worker has in flight at once; \
              further ones get SERVFAIL at once.",
        example: "500",
    },
    kind: Number {
        lowest: 1,
        highest: 60_000,
        unit: "queries",
    },
};

/// `DOTGATE_QUERY_FORWARD_CLASSES`.
pub static QUERY_FORWARD_CLASSES: Setting<SomeOf<QueryClass>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "query",
            key: "forward_classes",
        },
        reload: Reload::Live,
        absent: Absent::Default(""),
        doc: "The classes of questions that are forwarded besides IN: `any`, and `private` for 65280 to 65534; all \
              others get REFUSED.",
        example: "private",
    },
    kind: SomeOf(PhantomData),
};
