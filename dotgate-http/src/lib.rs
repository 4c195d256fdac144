//! DNS over HTTPS (RFC 8484) as bytes in and out: one client connection that speaks HTTP/2 or HTTP/1.1.
//!
//! On the path of a query this stands between TLS, or a TCP connection from a proxy, and the engine: bytes of HTTP go in,
//! queries come out; responses go in, bytes of HTTP come out. It owns no socket, thread or timer: the worker's loop drives
//! it, and the engine's deadlines for connections bound it. Everything of the path that names hyper is in this crate.
//!
//! Limits: `limits`. Messages in `application/dns-message` only, at `/dns-query` only; JSON is not served.
#![forbid(unsafe_code)]

mod exchange;
mod forwarded;
mod pipe;
mod request;
mod server;
mod tasks;
#[cfg(test)]
mod tests;

/// The fixed bounds of a connection.
pub mod limits;

pub use exchange::{HttpQuery, Status};
pub use request::PATH;
pub use server::{HttpEnd, HttpServer, Trust};
