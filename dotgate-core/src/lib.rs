//! Every decision on the path of a query.
#![forbid(unsafe_code)]
