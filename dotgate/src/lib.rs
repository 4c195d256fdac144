//! The program: command line, configuration, workers, TLS.
#![forbid(unsafe_code)]

pub mod demo;
pub mod tls;
