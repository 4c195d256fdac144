//! DNS messages as bytes.
#![forbid(unsafe_code)]
