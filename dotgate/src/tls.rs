//! TLS towards upstreams: who an upstream has to be, and one session's octets in and out.
//!
//! On the path of a query this stands under *session*: the core gives frames of plaintext and takes
//! plaintext back, and what is on the wire is made here. It never opens a socket, reads no
//! configuration, keeps no clock of its own (certificates are judged by the system's wall clock, inside
//! rustls) and logs nothing. Everything that names rustls for upstreams is in this module, so that a
//! newer rustls stays a change in one place.
//!
//! Limits: 64 KiB of unsent records per session, at most 8 tickets per upstream. TLS 1.2 and 1.3 alone,
//! early data never; no resumption past the certificate's end or a day after the full handshake. RFC 7858 (ports, pins), RFC 8310 (authentication domain names, profiles), RFC 9325.

mod certificate;
mod client;
mod failure;
mod roots;
#[cfg(test)]
mod tests;
mod upstream;
mod verifier;
mod window;

use std::net::IpAddr;

use rustls::pki_types::ServerName;

pub use certificate::{CertificateFacts, CertificateUnreadable, pin_of, pin_text};
pub use client::{ClientTls, Close, HandshakeFacts, Progress, WriteState};
pub use failure::TlsFailure;
pub use roots::{AuthoritySources, Roots, RootsError};
pub use upstream::{TlsSetupError, UpstreamTls};

/// What an upstream's certificate has to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// An authentication domain name (RFC 8310 section 7.1), sent as SNI and looked for among the
    /// certificate's subject alternative names; the common name is never read (RFC 8310 section 8.1).
    Name(ServerName<'static>),
    /// The upstream's own address, looked for among the certificate's IP alternative names.
    Address(IpAddr),
    /// Nothing: a pin alone authenticates the upstream (RFC 7858 section 4.2).
    PinOnly,
}

/// How an upstream is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// What the certificate has to carry.
    pub identity: Identity,
    /// SHA-256 digests of the subject public key infos of which the end-entity certificate must have one.
    /// With a name or an address both the certificate and a pin must pass. Empty: no pins.
    pub pins: Vec<[u8; 32]>,
    /// `false` only where the operator wrote `insecure-opportunistic` (RFC 8310 section 5): any
    /// certificate passes, and the identity is used for SNI alone.
    pub strict: bool,
}
