//! Settings of queries: how long they may take, how many there may be, which are forwarded.

use std::marker::PhantomData;
use std::time::Duration;

use super::super::kinds::{Number, Prefixes, SomeOf, Time};
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
        doc: "The queries a worker has in flight at once. Beyond it one that has waited for 200ms, of the domain with \
              most of them, gets SERVFAIL, else the new one. \
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
        absent: Absent::Default("1000"),
        doc: "The queries of one client address in flight at once over UDP, and as many over TCP, in all workers; \
              further ones get SERVFAIL at once.",
        example: "500",
    },
    kind: Number {
        lowest: 1,
        highest: 60_000,
        unit: "queries",
    },
};

/// `DOTGATE_QUERY_EXEMPT`.
pub static QUERY_EXEMPT: Setting<Prefixes> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "query",
            key: "exempt",
        },
        reload: Reload::Live,
        absent: Absent::Default("127.0.0.0/8,::1"),
        doc: "The clients that may have any number of queries in flight, such as forwarders and balancers that ask for \
              many others. To all others a UDP response is sent without records (TC) after 1.9s, and when 12KiB of \
              responses that waited leave for one address within 10ms: their source address may be forged.",
        example: "127.0.0.0/8,::1,10.0.0.53",
    },
    kind: Prefixes { most: 256 },
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
