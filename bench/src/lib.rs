//! Measures forwarders from plain DNS to DNS over TLS, side by side on one machine.
//!
//! Ten parts: an [`upstream`] that answers everything over TLS, a [`load`] of queries over UDP, TCP or TLS
//! that counts what comes back, [`compare`], which runs forwarders between the two in turns, [`report`], which does so under
//! all workloads and writes a page, an
//! [`echo`] that shows what a query costs at least and a [`relay`] that shows the same of a forwarded one, [`soak`], which keeps dotgate between load
//! and upstream for long while the upstream restarts, [`replace`], which replaces dotgate
//! itself under load, [`roll`], which restarts a fleet behind a balancer, and [`unread`], in which clients do not read.
//! The figure that matters is the forwarder's CPU time per query: on loopback all three share the
//! machine, so queries per second say as much about the other two.
//!
//! A tool for developers, not published. It listens and sends on loopback only.

#![forbid(unsafe_code)]

pub mod compare;
pub mod cpu;
pub mod echo;
pub mod error;
pub mod forwarder;
pub mod load;
pub mod message;
pub mod relay;
pub mod replace;
pub mod report;
pub mod roll;
pub mod soak;
mod threads;
pub mod unread;
pub mod upstream;
pub mod usage;

pub use error::Error;
