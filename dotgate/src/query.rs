//! Asking as a client does, and showing the response as `dig` does.
//!
//! Stands outside the path of a query: it makes the client's end of it, for `dotgate demo`.

mod client;
mod message;

pub use client::{Asked, Response, Transport, ask};
pub use message::{Millis, write_response};
