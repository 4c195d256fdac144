//! Settings of queries: how long they may take, how many there may be, which are forwarded.

use std::marker::PhantomData;
use std::time::Duration;

use super::super::kinds::{Number, Prefixes, SomeOf, Time};
use super::super::setting::{Entry, Names, Reload, Setting, Unset};
use super::super::words::QueryClass;

/// `DOTGATE_QUERY_DEADLINE`.
pub static QUERY_DEADLINE: Setting<Time> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "query",
            key: "deadline",
        },
        reload: Reload::Live,
        unset: Unset::Default("4s"),
        doc: "Maximum time from a query to its response. Use 1800ms for clients that give up after 2s, such as \
              CoreDNS.",
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
        unset: Unset::Default("20000"),
        doc: "Maximum number of queries in flight per worker. Above it, the oldest query of the domain with the most \
              queries in flight gets SERVFAIL, if it has waited for at least 200ms; otherwise the new query does. \
              Queries in flight use at most half of `DOTGATE_SERVER_CLIENT_MEMORY`, at 1600 bytes per query.",
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
        unset: Unset::Default("1000"),
        doc: "Maximum number of queries in flight per client address over UDP, and as many over TCP, for all \
              workers together. Further queries get SERVFAIL immediately.",
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
        unset: Unset::Default("127.0.0.0/8,::1"),
        doc: "Clients without a limit on queries in flight and without rates, such as forwarders and load balancers that act for \
              many clients. For all other clients, a UDP response is sent without records (TC) after 1.9s, and \
              when more than 12KiB of delayed responses become ready for one address within 10ms, because the \
              source address may be forged.",
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
        unset: Unset::Default(""),
        doc: "Query classes to forward in addition to IN: `any`, and `private` for 65280 to 65534. Queries of \
              other classes get REFUSED.",
        example: "private",
    },
    kind: SomeOf(PhantomData),
};
