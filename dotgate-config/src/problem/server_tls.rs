//! Problems of listeners with TLS that are right one by one.

use std::fmt;

use crate::address::ScopedSocketAddress;

/// What is wrong with listeners whose clients speak TLS.
#[derive(Debug)]
pub enum ServerTlsFault {
    /// There is no certificate.
    WithoutCertificate,
    /// There are more or fewer keys than certificates.
    OtherNumber {
        /// How many certificates there are.
        certificates: usize,
        /// How many keys there are.
        keys: usize,
    },
    /// Clients of the address already speak DNS without TLS.
    IsPlainListener {
        /// The address.
        address: ScopedSocketAddress,
    },
    /// Clients of the address already speak DNS over TLS.
    IsDotListener {
        /// The address.
        address: ScopedSocketAddress,
    },
}

impl fmt::Display for ServerTlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WithoutCertificate => write!(
                f,
                "encrypted listeners need a certificate\n  to do: set DOTGATE_SERVER_CERTIFICATE_FILE, and \
                 DOTGATE_SERVER_KEY_FILE if the key is in another file"
            ),
            Self::OtherNumber { certificates, keys } => write!(
                f,
                "there are {keys} key files and {certificates} certificate files\n  to do: list the key file of each \
                 certificate, in the same order"
            ),
            Self::IsPlainListener { address } => write!(
                f,
                "{address} is already a listener without TLS (HOST, PORT)\n  to do: use another port; that of DNS \
                 over TLS is 853, and that of HTTPS 443"
            ),
            Self::IsDotListener { address } => write!(
                f,
                "{address} is already a listener of DNS over TLS (DOTGATE_DOT_LISTEN)\n  to do: use another port; \
                 that of HTTPS is 443"
            ),
        }
    }
}
