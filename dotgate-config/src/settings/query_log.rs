//! Settings of the query log and of dnstap.

use std::marker::PhantomData;

use super::super::dnstap::DnstapPlace;
use super::super::kinds::OneOf;
use super::super::query_log::{ClientForm, Filter, LogPlace, NameForm};
use super::super::setting::{Entry, Names, Reload, Setting, Unset};
use super::super::words::LogFormat;

/// `DOTGATE_QUERY_LOG`.
pub static QUERY_LOG: Setting<LogPlace> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "query",
            key: "log",
        },
        reload: Reload::Live,
        unset: Unset::Default("off"),
        doc: "Where queries are logged (`docs/query-log.md`): `off`, `stdout`, or a file, which is opened again on \
              SIGHUP. The log contains names and client addresses. Queries never wait for it: if it is too slow, \
              records are dropped and counted.",
        example: "/var/log/dotgate/queries.log",
    },
    kind: LogPlace,
};

/// `DOTGATE_DNSTAP`.
pub static DNSTAP: Setting<DnstapPlace> = Setting {
    entry: Entry {
        names: Names::Plain {
            variable: "DOTGATE_DNSTAP",
            section: "query",
            key: "dnstap",
        },
        reload: Reload::Live,
        unset: Unset::Default("off"),
        doc: "Reader to which all messages of clients and upstreams are copied as dnstap (`docs/dnstap.md`): `off`, \
              `unix:PATH`, or `tcp:ADDR:PORT`. The messages contain names and client addresses. Queries never wait \
              for the reader: if it is too slow, copies are dropped and counted.",
        example: "unix:/run/dnstap/dnstap.sock",
    },
    kind: DnstapPlace,
};

/// `DOTGATE_QUERY_LOG_FORMAT`.
pub static QUERY_LOG_FORMAT: Setting<OneOf<LogFormat>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "query",
            key: "log_format",
        },
        reload: Reload::Live,
        unset: Unset::Default("text"),
        doc: "Format of the query log: `text`, one line per query, or `json`, one JSON object per line.",
        example: "json",
    },
    kind: OneOf(PhantomData),
};

/// `DOTGATE_QUERY_LOG_FILTER`.
pub static QUERY_LOG_FILTER: Setting<Filter> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "query",
            key: "log_filter",
        },
        reload: Reload::Live,
        unset: Unset::Default(""),
        doc: "Queries to log; all if empty. `failed`: answered with SERVFAIL or without an upstream's response. \
              `slow>200ms`: took longer; together with `failed`, either condition is enough. `suffix=example.com`: \
              this name and names below it. `client=192.0.2.0/24`: these clients. `sample=1/100`: one in 100 of the \
              remaining queries.",
        example: "failed,slow>200ms",
    },
    kind: Filter,
};

/// `DOTGATE_QUERY_LOG_CLIENTS`.
pub static QUERY_LOG_CLIENTS: Setting<OneOf<ClientForm>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "query",
            key: "log_clients",
        },
        reload: Reload::Live,
        unset: Unset::Default("full"),
        doc: "Clients in the query log and in the live view: `full`, their addresses; `prefix`, the /24 of an IPv4 \
              address and the /56 of an IPv6 address; `hashed`, a pseudonym that changes each day and at each \
              restart.",
        example: "prefix",
    },
    kind: OneOf(PhantomData),
};

/// `DOTGATE_QUERY_LOG_NAMES`.
pub static QUERY_LOG_NAMES: Setting<OneOf<NameForm>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "query",
            key: "log_names",
        },
        reload: Reload::Live,
        unset: Unset::Default("full"),
        doc: "Names in the query log and in the live view: `full`; `domain`, the registrable domain only (`example.com` for `www.example.com`); \
              `hashed`, a pseudonym as for clients.",
        example: "domain",
    },
    kind: OneOf(PhantomData),
};
