//! Routes, and the keys of the tables that stand for a list of upstreams, of routes or of records.

use super::super::kinds::Routes;
use super::super::setting::{Entry, Names, Reload, Setting, TableKey, Unset};

/// `DOTGATE_ROUTES`.
pub static ROUTES: Setting<Routes> = Setting {
    entry: Entry {
        names: Names::VariableOnly("DOTGATE_ROUTES"),
        reload: Reload::Live,
        unset: Unset::Default(""),
        doc: "Names to forward to their own upstreams. A name at or below a `SUFFIX` is only ever sent to the \
              upstreams of that route, even if all of them fail; the longest suffix is used. An address prefix \
              matches its reverse zones. Every other name goes to `DNS_HOST`. An upstream is written as there, or as \
              `plain:ADDR[@PORT]` (port 53 by default) for a server without TLS. In the file, use `[[route]]` tables.",
        example: "corp.example,10.0.0.0/8=10.0.0.53#dns.corp.example home.arpa=plain:192.168.1.1",
    },
    kind: Routes,
};

/// `suffixes` of a route.
pub static ROUTE_SUFFIXES: TableKey = TableKey {
    table: "route",
    key: "suffixes",
    is_list: true,
    expected: "an array of domain names and address prefixes",
    doc: "Names of the route, which include all names below them. An address prefix matches its reverse zones.",
    example: "[\"corp.example\", \"10.0.0.0/8\"]",
};

/// `upstreams` of a route.
pub static ROUTE_UPSTREAMS: TableKey = TableKey {
    table: "route",
    key: "upstreams",
    is_list: true,
    expected: "an array of at most 16 upstreams, each as in DNS_HOST",
    doc: "The only upstreams that these names are sent to, in order of preference.",
    example: "[\"10.0.0.53#dns.corp.example\"]",
};

/// `dns64` of a route.
pub static ROUTE_DNS64: TableKey = TableKey {
    table: "route",
    key: "dns64",
    is_list: false,
    expected: "off, auto, or an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits",
    doc: "Prefix of the NAT64 for names of this route. `DOTGATE_DNS_DNS64` applies only to `DNS_HOST`.",
    example: "\"64:ff9b::/96\"",
};

/// `strategy` of a route.
pub static ROUTE_STRATEGY: TableKey = TableKey {
    table: "route",
    key: "strategy",
    is_list: false,
    expected: "ordered, fastest, round-robin or shard",
    doc: "Strategy of this route. `DOTGATE_DNS_STRATEGY` applies only to `DNS_HOST`.",
    example: "\"ordered\"",
};

/// All keys of a `[[route]]` table.
pub static ROUTE_KEYS: [&TableKey; 4] = [
    &ROUTE_SUFFIXES,
    &ROUTE_UPSTREAMS,
    &ROUTE_DNS64,
    &ROUTE_STRATEGY,
];

/// `address` of an upstream.
pub static UPSTREAM_ADDRESS: TableKey = TableKey {
    table: "upstream",
    key: "address",
    is_list: false,
    expected: "an IP address",
    doc: "Address of the upstream. Set either this or `name`.",
    example: "\"9.9.9.9\"",
};

/// `name` of an upstream.
pub static UPSTREAM_NAME: TableKey = TableKey {
    table: "upstream",
    key: "name",
    is_list: false,
    expected: "a DNS name",
    doc: "Host name of the upstream, which is also the name its certificate must match. Set either this or \
          `address`.",
    example: "\"dns.quad9.net\"",
};

/// `port` of an upstream.
pub static UPSTREAM_PORT: TableKey = TableKey {
    table: "upstream",
    key: "port",
    is_list: false,
    expected: "a whole number from 1 to 65535",
    doc: "Port of the upstream, if it differs from `[dns] port`.",
    example: "853",
};

/// `auth_name` of an upstream.
pub static UPSTREAM_AUTH_NAME: TableKey = TableKey {
    table: "upstream",
    key: "auth_name",
    is_list: false,
    expected: "a DNS name",
    doc: "The name that the certificate of an upstream with an `address` must match.",
    example: "\"dns.quad9.net\"",
};

/// `pins` of an upstream.
pub static UPSTREAM_PINS: TableKey = TableKey {
    table: "upstream",
    key: "pins",
    is_list: true,
    expected: "at most 8 of sha256/BASE64, the digest of a SubjectPublicKeyInfo",
    doc: "Public keys, one of which must be that of the upstream, or, with a name, that of an authority that issued its certificate.",
    example: "[\"sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]",
};

/// `report_pins` of an upstream.
pub static UPSTREAM_REPORT_PINS: TableKey = TableKey {
    table: "upstream",
    key: "report_pins",
    is_list: true,
    expected: "at most 8 of sha256/BASE64, the digest of a SubjectPublicKeyInfo",
    doc: "As `pins`, but a mismatch is only reported.",
    example: "[\"sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]",
};

/// `client_cert` of an upstream.
pub static UPSTREAM_CLIENT_CERT: TableKey = TableKey {
    table: "upstream",
    key: "client_cert",
    is_list: false,
    expected: "a path",
    doc: "PEM file with the certificate for an upstream that requires one. It is reloaded when it changes.",
    example: "\"/etc/dotgate/client.pem\"",
};

/// `client_key` of an upstream.
pub static UPSTREAM_CLIENT_KEY: TableKey = TableKey {
    table: "upstream",
    key: "client_key",
    is_list: false,
    expected: "a path",
    doc: "PEM file with the key of `client_cert`, if it is not in the same file.",
    example: "\"/etc/dotgate/client-key.pem\"",
};

/// `source` of an upstream.
pub static UPSTREAM_SOURCE: TableKey = TableKey {
    table: "upstream",
    key: "source",
    is_list: false,
    expected: "an IP address of this host, of the same family as the upstream's",
    doc: "Source address of connections to the upstream.",
    example: "\"192.0.2.10\"",
};

/// `interface` of an upstream.
pub static UPSTREAM_INTERFACE: TableKey = TableKey {
    table: "upstream",
    key: "interface",
    is_list: false,
    expected: "the name of a network interface",
    doc: "Interface of connections to the upstream, independent of the routing table (Linux).",
    example: "\"wan2\"",
};

/// `mark` of an upstream.
pub static UPSTREAM_MARK: TableKey = TableKey {
    table: "upstream",
    key: "mark",
    is_list: false,
    expected: "a whole number from 0 to 4294967295",
    doc: "Mark of each packet to the upstream, for policy routing and packet filters (Linux; needs CAP_NET_ADMIN).",
    example: "51820",
};

/// `weight` of an upstream.
pub static UPSTREAM_WEIGHT: TableKey = TableKey {
    table: "upstream",
    key: "weight",
    is_list: false,
    expected: "a whole number from 1 to 100",
    doc: "Share of the queries with the strategy `round-robin`, relative to upstreams that have 1.",
    example: "3",
};

/// All keys of an `[[upstream]]` table.
pub static UPSTREAM_KEYS: [&TableKey; 12] = [
    &UPSTREAM_ADDRESS,
    &UPSTREAM_NAME,
    &UPSTREAM_PORT,
    &UPSTREAM_AUTH_NAME,
    &UPSTREAM_PINS,
    &UPSTREAM_REPORT_PINS,
    &UPSTREAM_CLIENT_CERT,
    &UPSTREAM_CLIENT_KEY,
    &UPSTREAM_SOURCE,
    &UPSTREAM_INTERFACE,
    &UPSTREAM_MARK,
    &UPSTREAM_WEIGHT,
];

/// `name` of a record.
pub static RECORD_NAME: TableKey = TableKey {
    table: "record",
    key: "name",
    is_list: false,
    expected: "a domain name, perhaps with * as its first label",
    doc: "The name that has the record. `*.lab.example` covers all names below `lab.example` that have no records of \
          their own.",
    example: "\"nas.home.arpa\"",
};

/// `type` of a record.
pub static RECORD_TYPE: TableKey = TableKey {
    table: "record",
    key: "type",
    is_list: false,
    expected: "a record type such as A, CNAME or TXT",
    doc: "Type of the record.",
    example: "\"A\"",
};

/// `data` of a record.
pub static RECORD_DATA: TableKey = TableKey {
    table: "record",
    key: "data",
    is_list: false,
    expected: "the data of a record of this type, as in a zone file",
    doc: "Data of the record, as in a zone file.",
    example: "\"192.168.1.10\"",
};

/// `ttl` of a record.
pub static RECORD_TTL: TableKey = TableKey {
    table: "record",
    key: "ttl",
    is_list: false,
    expected: "a whole number from 0 to 2147483647, in seconds",
    doc: "TTL of the record in seconds, if it is not `DOTGATE_LOCAL_TTL`.",
    example: "300",
};

/// All keys of a `[[record]]` table.
pub static RECORD_KEYS: [&TableKey; 4] = [&RECORD_NAME, &RECORD_TYPE, &RECORD_DATA, &RECORD_TTL];
