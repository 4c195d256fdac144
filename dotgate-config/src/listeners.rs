//! All listeners of a configuration, whatever their clients speak.

use std::path::PathBuf;

use crate::address::ScopedSocketAddress;
use crate::from_spec::ServerConfig;
use crate::identity::CertificateFiles;

/// What clients speak at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// DNS over UDP and TCP.
    Plain,
    /// DNS over TLS.
    Dot,
    /// DNS over HTTPS.
    Doh,
    /// DNS over QUIC.
    Doq,
}

impl ServerConfig {
    /// All listeners, those of UDP and TCP first.
    pub fn listeners(&self) -> impl Iterator<Item = (Listener, &ScopedSocketAddress)> {
        let plain = self.listen.iter().map(|address| (Listener::Plain, address));
        let dot = self.dot.listen.iter();
        let doh = self.doh.listen.iter();
        let doq = self.doq.listen.iter();
        plain
            .chain(dot.map(|address| (Listener::Dot, address)))
            .chain(doh.map(|address| (Listener::Doh, address)))
            .chain(doq.map(|address| (Listener::Doq, address)))
    }

    /// The addresses of all listeners.
    pub(crate) fn addresses(&self) -> Vec<ScopedSocketAddress> {
        let all = self.listeners();
        all.map(|(_, address)| address.clone()).collect()
    }

    /// The files of what clients that speak TLS are shown.
    pub fn tls_files(&self) -> impl Iterator<Item = &PathBuf> {
        let pairs = self.tls.iter().flat_map(|tls| &tls.certificates);
        let pairs = pairs.flat_map(CertificateFiles::paths);
        let tls = self.tls.iter();
        let others = tls.flat_map(|tls| tls.client_authorities.iter().chain(&tls.ticket_key));
        pairs.chain(others)
    }
}
