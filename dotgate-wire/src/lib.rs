//! DNS messages as bytes: checked views, in-place edits, stream framing.
//!
//! Everything a query passes on its way through dotgate and that is about bytes, never about
//! policy. The modules are in the order of the path of a query. No code here reads a clock,
//! touches a socket, or allocates for what a peer announced but did not send; no input makes it
//! panic, and its work grows linearly with the bytes given.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::cast_possible_truncation,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

mod bytes; // big-endian integers in slices
mod consts; // the code points of the IANA registries
mod cookie; // DNS cookies of clients
mod frame; // stream bytes to messages and back
mod header; // the first twelve bytes
mod name; // names in messages: pointers, folding, comparing, printing
mod names; // all names of a message, each label read once
mod opt; // the OPT record and its options
mod proxy; // the header with which a balancer names its client
mod records; // resource records, and which RDATA holds names

mod answer; // what an upstream sent, freed of its hop
mod dns64; // IPv4 addresses as IPv6 addresses, and answers made of them
mod freshness; // how long an HTTP cache may hold a response
mod parts; // an answer taken apart
mod query; // what a client sent
mod query_writer; // the query towards an upstream
mod question; // what is asked: key of cache and of queries in flight
mod respond; // the response towards a client
mod stored; // an answer as a cache keeps it

#[doc(hidden)]
pub mod planted; // deliberate faults

#[cfg(test)]
mod build; // messages for the tests of this crate

pub use answer::{
    CacheTtl, EDE_TEXT_MAX, EdeRef, ResponseFault, TTL_MAX, UpstreamEdns, UpstreamResponse,
    is_printable_text,
};
pub use consts::{ede, opcode, rclass, rcode, rtype};
pub use cookie::{Cookie, ResponseCookie, find_cookie};
pub use dns64::Nat64Prefix;
pub use frame::{split_frame, write_framed};
pub use freshness::freshness;
pub use header::{Flags, HEADER_LEN, message_id};
pub use name::{NameFault, ShownName};
pub use opt::{OPTIONS_MAX, OptionFault};
pub use proxy::{PROXY_HEADER_MAX, ProxyFault, ProxyHeader, parse_proxy_header};
pub use query::{
    ClientEdns, Front, Ignore, Malformed, Query, QueryFault, RECORDS_MAX, Received, Reject,
    parse_front, parse_query,
};
pub use query_writer::{PADDING_BLOCK, UPSTREAM_UDP_SIZE, UpstreamQuery, write_query};
pub use question::{NameCase, PADDED_LEN, QUESTION_MAX, Question};
pub use respond::{
    COOKIE_OPTION_LEN, ClientHop, Ede, LocalData, ResponseOpt, Truncation, add_cookie, write_error,
    write_local, write_response, write_shortened, write_stored,
};
pub use stored::{
    LocalResponse, LocalSet, Stored, Ttls, is_judged, judged, store_failure, store_joined,
    store_local,
};
