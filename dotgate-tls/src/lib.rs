//! TLS towards upstreams and clients: who an upstream has to be, what clients are shown, and the bytes of one
//! connection in and out.
//!
//! On the path of a query this stands under *session*, and under *stream* for clients: the core gives frames of plaintext and takes
//! plaintext back, and what is on the wire is made here. It never opens a socket, reads no
//! configuration, keeps no clock of its own (certificates are judged by the system's wall clock, inside
//! rustls) and logs nothing. Everything that names rustls on the path is in this crate, so that a
//! newer rustls stays a change in one place.
//!
//! Limits: 64 KiB of unsent records per session, at most 8 tickets per upstream. TLS 1.2 and 1.3 alone,
//! early data never; no resumption past the certificate's end or a day after the full handshake. RFC 7858 (ports, pins), RFC 8310 (authentication domain names, profiles), RFC 9325.

mod certificate;
mod channel;
mod failure;
mod identity;
mod pins;
mod roots;
mod server;
#[cfg(test)]
mod tests;
mod tickets;
mod upstream;
mod verifier;
mod window;

pub use certificate::{CertificateFacts, CertificateUnreadable, pin_of, pin_text};
pub use rustls::pki_types::{CertificateDer, UnixTime};

pub use channel::{Close, HandshakeFacts, Progress, TlsChannel, WriteState};
pub use failure::TlsFailure;
pub use identity::KeyPairError;
pub use roots::{Roots, RootsError};
pub use server::{
    ClientProtocol, KEY_BYTES, ServedCertificate, ServerTls, ServerTlsError, TicketSecret,
};

pub use upstream::{TlsSetupError, UpstreamTls};
pub use verifier::is_credible;
