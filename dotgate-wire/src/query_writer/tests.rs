//! Upstream queries.
